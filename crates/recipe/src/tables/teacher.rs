//! The `teacher` table: the network that provides the targets.

use std::path::PathBuf;

use bauta_datasets::{ModelName, Package};
use serde::{Deserialize, Serialize};
use strum::{Display, VariantArray};

use super::limits::{count, within_limit};
use crate::reading::{Violation, ensure, must_be};

/// The frozen network whose features of the whole image are predicted.
///
/// Keys that the kind does not read are left out of the resolved recipe.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Teacher {
    /// The kind of teacher.
    pub kind: TeacherKind,
    /// With kind `folder`: a model folder, ours or Hugging Face's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<PathBuf>,
    /// With kind `recipe`: the recipe that trains it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recipe: Option<String>,
    /// With kind `recipe`: overrides of that recipe, `key=value` each.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub set: Vec<String>,
    /// With kind `random`: its number of blocks, that of the student if not given; with 0 it is
    /// only patch embedding and positions (dBOT's published ViT-L and ViT-H).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub depth: Option<usize>,
    /// Side of the square images that it sees, in pixels; if not given, the side at which its
    /// tokens match the student's (a transformer), or `data.image_size` (a conv net).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image_size: Option<usize>,
    /// With a conv net: pixels of its image from one feature to the next; 4, 8, 16 or 32.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stride: Option<usize>,
    /// Apply a transformer's final norm to its features.
    #[serde(default)]
    pub final_norm: bool,
}

/// Teachers, by the names that recipes use, in the order of the documentation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, Display, VariantArray)]
#[serde(rename_all = "kebab-case")]
#[strum(serialize_all = "kebab-case")]
pub enum TeacherKind {
    /// The pixels of each patch: no network.
    Pixels,
    /// A copy of the student's initial encoder.
    Random,
    /// A model folder.
    Folder,
    /// A model that another recipe trains first, and which is kept.
    Recipe,
    /// EfficientNet-Lite0, trained with labels on ImageNet.
    EfficientnetLite0,
}

impl Teacher {
    /// What must be in the cache: the package of its weights.
    pub fn package(&self) -> Option<&'static Package> {
        match self.kind {
            TeacherKind::EfficientnetLite0 => Some(ModelName::EfficientNetLite0.package()),
            _ => None,
        }
    }

    /// Drops the keys of other kinds of teachers, so that `teacher.kind` can be overridden alone.
    pub fn keep_own(&mut self) {
        use TeacherKind::{EfficientnetLite0, Folder, Pixels, Random, Recipe};
        let kind = self.kind;
        let forget = |unless: &[TeacherKind]| !unless.contains(&kind);
        self.model.take_if(|_| forget(&[Folder]));
        self.recipe.take_if(|_| forget(&[Recipe]));
        if forget(&[Recipe]) {
            self.set.clear();
        }
        self.depth.take_if(|_| forget(&[Random]));
        self.stride.take_if(|_| forget(&[EfficientnetLite0]));
        self.image_size.take_if(|_| kind == Pixels);
        self.final_norm &= !forget(&[Random, Folder, Recipe]);
    }

    /// Checks what types cannot say.
    ///
    /// # Errors
    /// [`Violation`] for a missing key that the kind needs, or a value that makes no sense.
    pub fn check(&self) -> Result<(), Violation> {
        let Self { kind, model, recipe, depth, image_size, stride, .. } = self;
        for (key, reader, given) in [
            ("teacher.model", TeacherKind::Folder, model.is_some()),
            ("teacher.recipe", TeacherKind::Recipe, recipe.is_some()),
            ("teacher.stride", TeacherKind::EfficientnetLite0, stride.is_some()),
        ] {
            ensure(given || *kind != reader, &[key, "teacher.kind"], || {
                format!("{key} is missing: a teacher of kind \"{kind}\" needs it")
            })?;
        }
        if let Some(stride) = *stride {
            let known = [4, 8, 16, 32].contains(&stride);
            must_be(known, "teacher.stride", stride, "4, 8, 16 or 32")?;
        }
        depth.map_or(Ok(()), |depth| within_limit("teacher.depth", depth as f64))?;
        image_size.map_or(Ok(()), |side| count("teacher.image_size", side))
    }
}
