//! The contents of annotation files.

use std::fmt;
use std::io::BufReader;
use std::path::Path;

use bauta_datasets::DataError;
use serde::Deserialize;
use serde::de::{Deserializer, Error, Unexpected, Visitor};

use super::categories::Category;
use super::segmentation::Segmentation;
use crate::regular;

#[derive(Deserialize)]
pub(super) struct Document {
    pub(super) images: Vec<ImageEntry>,
    #[serde(default)]
    pub(super) annotations: Vec<Annotation>,
    pub(super) categories: Vec<Category>,
}

#[derive(Clone, Debug, Deserialize)]
pub(super) struct ImageEntry {
    pub(super) id: u64,
    pub(super) file_name: String,
    pub(super) height: usize,
    pub(super) width: usize,
}

#[derive(Clone, Debug, Deserialize)]
pub(super) struct Annotation {
    /// For messages; some programs leave it out.
    #[serde(default)]
    pub(super) id: u64,
    pub(super) image_id: u64,
    pub(super) category_id: u64,
    pub(super) bbox: [f64; 4],
    pub(super) area: Option<f64>,
    /// COCO's own files have 0 and 1, many programs booleans or null.
    #[serde(default, deserialize_with = "crowd")]
    pub(super) iscrowd: bool,
    pub(super) segmentation: Option<Segmentation>,
}

impl Document {
    /// Reads a file.
    ///
    /// # Errors
    /// When it cannot be read or is malformed: the message names the position and the key, such as
    /// `annotations[3].bbox`.
    pub(super) fn read(path: &Path) -> Result<Self, DataError> {
        let file = BufReader::new(regular::open(path)?);
        let mut parser = serde_json::Deserializer::from_reader(file);
        let document = serde_path_to_error::deserialize(&mut parser)
            .map_err(|error| DataError::malformed(path, error))?;
        parser.end().map_err(|error| DataError::malformed(path, error))?;
        Ok(document)
    }
}

fn crowd<'de, D: Deserializer<'de>>(deserializer: D) -> Result<bool, D::Error> {
    deserializer.deserialize_any(Crowd)
}

struct Crowd;

impl Visitor<'_> for Crowd {
    type Value = bool;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("0, 1, a boolean or null")
    }

    fn visit_bool<E>(self, value: bool) -> Result<bool, E> {
        Ok(value)
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<bool, E> {
        match value {
            0 | 1 => Ok(value == 1),
            other => Err(E::invalid_value(Unexpected::Unsigned(other), &self)),
        }
    }

    fn visit_unit<E>(self) -> Result<bool, E> {
        Ok(false)
    }
}
