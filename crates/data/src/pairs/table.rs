//! Parquet files in Hugging Face's layout: a column `image.bytes` with picture files, and a column
//! `caption`.
//!
//! A picture in a Parquet file can only be read with its whole page, so the pictures are copied
//! once, unchanged, to an unnamed file that is deleted with its reader.

use std::fs::File;
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;

use bauta_datasets::{DataError, Decoding};
use parquet::column::reader::ColumnReader;
use parquet::data_type::ByteArray;
use parquet::errors::ParquetError;
use parquet::file::reader::{FileReader, RowGroupReader, SerializedFileReader};

use super::listing::{Listing, caption_in};
use crate::image::Image;
use crate::regular;
use crate::source::listing::{files_below, has_extension, shown};
use crate::source::{Source, Statistics};

/// Columns of pictures.
const PICTURES: [&str; 1] = ["image.bytes"];
/// Columns of captions; the first one present is used.
const CAPTIONS: [&str; 2] = ["caption", "text"];
/// Rows that are read at once.
const ROWS: usize = 64;

pub(super) fn is_table(path: &Path) -> bool {
    has_extension(path, &["parquet"])
}

/// Every row of the Parquet files below a folder. Pictures are copied to a file in `scratch`, which
/// is created if necessary.
pub(super) fn open(root: &Path, scratch: &Path, decoding: Decoding) -> Result<Listing, DataError> {
    let listed = files_below(root, is_table)?;
    if let Some(special) = listed.special.first() {
        let problem = "is a pipe, socket or device, not a file; remove it";
        return Err(DataError::malformed(special, problem));
    }
    let file = std::fs::create_dir_all(scratch).and_then(|()| tempfile::tempfile_in(scratch));
    let mut file = file.map_err(DataError::io(scratch))?;
    let (mut end, mut copies) = (0, Vec::new());
    let (mut captions, mut mute, mut blind) = (Vec::new(), Vec::new(), Vec::new());
    for path in &listed.paths {
        let below = shown(path.strip_prefix(root).unwrap_or(path).as_os_str());
        let malformed = |problem: String| DataError::malformed(path, problem);
        let reader = SerializedFileReader::new(regular::open(path)?)
            .map_err(|error| malformed(said(&error)))?;
        let pictures = column(&reader, &PICTURES).map_err(malformed)?;
        let words = column(&reader, &CAPTIONS).map_err(malformed)?;
        let mut row = 0;
        for group in 0..reader.num_row_groups() {
            let group = reader.get_row_group(group).map_err(|error| malformed(said(&error)))?;
            let mut places = Vec::new();
            each(&*group, pictures, |bytes| {
                let size = bytes.map_or(0, <[u8]>::len) as u64;
                let written = file.write_all(bytes.unwrap_or_default());
                places.push((end, size));
                end += size;
                written.map_err(DataError::io(scratch))
            })
            .map_err(|error| error.at(path))?;
            let mut texts = Vec::new();
            each(&*group, words, |bytes| {
                let text = caption_in(bytes.unwrap_or_default().to_vec(), str::to_owned);
                let place = row + texts.len();
                texts.push(text.map_err(|problem| {
                    DataError::malformed(path, format!("the caption of row {place} {problem}"))
                })?);
                Ok(())
            })
            .map_err(|error| error.at(path))?;
            for (place, text) in places.into_iter().zip(texts) {
                let name = format!("{below} row {row}");
                row += 1;
                match (place.1, text.is_empty()) {
                    (0, true) => continue,
                    (0, false) => {
                        blind.push((name, text));
                        continue;
                    }
                    (_, true) => mute.push(name.clone()),
                    (_, false) => {}
                }
                captions.push(text);
                copies.push(Copied { name, place });
            }
        }
    }
    if copies.is_empty() {
        return Err(DataError::Absent {
            path: root.to_path_buf(),
            wanted: "row with bytes in image.bytes".to_owned(),
            remedy: "embed the pictures (datasets: push_to_hub with embed_external_files)"
                .to_owned(),
        });
    }
    let images = Arc::new(Copies { file, copies, decoding });
    Ok(Listing { images, captions, mute, blind, notes: Vec::new() })
}

/// The reason why reading a column ended.
enum Ended {
    Reading(ParquetError),
    Taking(DataError),
}

impl Ended {
    fn at(self, path: &Path) -> DataError {
        match self {
            Self::Reading(error) => DataError::malformed(path, said(&error)),
            Self::Taking(error) => error,
        }
    }
}

/// The message to a user for a reader's error.
fn said(error: &ParquetError) -> String {
    let text = error.to_string();
    match text.contains("Disabled feature") {
        true => format!(
            "is compressed with an unsupported codec ({text}); write it again with snappy, gzip or \
             no compression"
        ),
        false => format!("is not a readable Parquet file: {text}"),
    }
}

/// The index of the first of these columns that exists.
fn column(reader: &SerializedFileReader<File>, names: &[&str]) -> Result<usize, String> {
    let schema = reader.metadata().file_metadata().schema_descr();
    let found: Vec<String> = schema.columns().iter().map(|column| column.path().string()).collect();
    let place = names.iter().find_map(|name| found.iter().position(|found| found == name));
    let place = place.ok_or_else(|| {
        format!("has no column {}; its columns are {}", names.join(" or "), found.join(", "))
    })?;
    let column = schema.column(place);
    if column.max_rep_level() > 0 || column.physical_type() != parquet::basic::Type::BYTE_ARRAY {
        let name = &found[place];
        return Err(format!("the column {name} does not hold one text or file in each row"));
    }
    Ok(place)
}

/// Passes the value of each row of a column to `take`, in order; `None` for a null.
fn each(
    group: &dyn RowGroupReader,
    column: usize,
    mut take: impl FnMut(Option<&[u8]>) -> Result<(), DataError>,
) -> Result<(), Ended> {
    let rows = group.metadata().num_rows().max(0) as usize;
    let full = group.metadata().column(column).column_descr().max_def_level();
    let reader = group.get_column_reader(column).map_err(Ended::Reading)?;
    let ColumnReader::ByteArrayColumnReader(mut reader) = reader else {
        let problem = "the column holds no bytes".to_owned();
        return Err(Ended::Reading(ParquetError::General(problem)));
    };
    let mut left = rows;
    while left > 0 {
        let (mut values, mut levels) = (Vec::<ByteArray>::new(), Vec::new());
        let (read, ..) = reader
            .read_records(left.min(ROWS), Some(&mut levels), None, &mut values)
            .map_err(Ended::Reading)?;
        if read == 0 {
            let problem = format!("its last {left} rows are missing");
            return Err(Ended::Reading(ParquetError::General(problem)));
        }
        let mut values = values.iter();
        for row in 0..read {
            let is_there = full == 0 || levels.get(row) == Some(&full);
            let value = if is_there { values.next().map(ByteArray::data) } else { None };
            take(value).map_err(Ended::Taking)?;
        }
        left -= read;
    }
    Ok(())
}

/// Picture files, one after the other in one file.
struct Copies {
    file: File,
    copies: Vec<Copied>,
    decoding: Decoding,
}

/// A picture's file: its origin, and its first byte and length in the copy.
struct Copied {
    name: String,
    place: (u64, u64),
}

impl Source for Copies {
    fn len(&self) -> usize {
        self.copies.len()
    }

    fn channels(&self) -> usize {
        self.decoding.channels.count()
    }

    fn classes(&self) -> &[String] {
        &[]
    }

    fn label(&self, _index: usize) -> Option<u32> {
        None
    }

    fn image(&self, index: usize) -> Result<Image<'_>, DataError> {
        let (offset, size) = self.copies[index].place;
        let mut bytes = vec![0; size as usize];
        let read = self.file.read_exact_at(&mut bytes, offset);
        read.map_err(DataError::io(Path::new("the file of copied pictures")))?;
        Image::decode_with(&bytes, self.decoding)
            .map_err(|problem| DataError::Image { image: self.describe(index), problem })
    }

    fn describe(&self, index: usize) -> String {
        self.copies[index].name.clone()
    }

    fn statistics(&self) -> Statistics {
        Statistics::of_photos(self.decoding.channels)
    }
}

#[cfg(test)]
mod tests;
