//! Files from other sources, opened with care: no pipes, devices or folders, and no more bytes than
//! a file of the kind can have.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use crate::ModelError;

/// Maximum length of a JSON file next to a model, in bytes; the names of 22,000 classes take two
/// megabytes.
const LONGEST_TEXT: u64 = 16 << 20;

/// Opens a file for reading and returns its length in bytes.
///
/// # Errors
/// [`ModelError::Io`] when it does not exist or cannot be opened, [`ModelError::Format`] when it is
/// a folder, pipe, socket or device, which is never opened.
pub(super) fn open(path: &Path) -> Result<(File, u64), ModelError> {
    let io = |source| ModelError::Io { path: path.into(), source };
    let found = std::fs::metadata(path).map_err(io)?;
    if !found.is_file() {
        let what = if found.is_dir() { "a folder" } else { "a pipe, socket or device" };
        let reason = format!("it is {what}, not a file");
        return Err(ModelError::Format { path: path.into(), reason });
    }
    Ok((File::open(path).map_err(io)?, found.len()))
}

/// Reads a whole text file, without the UTF-8 byte order mark that some editors write first.
///
/// # Errors
/// As [`open`], and [`ModelError::Format`] when it is not UTF-8 or too long.
pub(super) fn read_text(path: &Path) -> Result<String, ModelError> {
    let format = |reason: String| ModelError::Format { path: path.into(), reason };
    let (file, length) = open(path)?;
    if length > LONGEST_TEXT {
        return Err(format(format!(
            "it has {length} bytes; a model's configuration may have at most {LONGEST_TEXT}"
        )));
    }
    let mut bytes = Vec::new();
    file.take(LONGEST_TEXT)
        .read_to_end(&mut bytes)
        .map_err(|source| ModelError::Io { path: path.into(), source })?;
    if bytes.starts_with(b"\xEF\xBB\xBF") {
        bytes.drain(..3);
    }
    String::from_utf8(bytes).map_err(|_| format("it is not UTF-8 text".to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_file_is_refused_and_never_opened() {
        let folder = tempfile::tempdir().unwrap();
        let refused = open(folder.path()).unwrap_err().to_string();
        assert!(refused.contains("a folder, not a file"), "{refused}");
        // Opening a socket fails with another message, and reading the device would never end.
        let socket = folder.path().join("socket");
        let _listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
        for path in [socket.as_path(), Path::new("/dev/zero")] {
            let refused = read_text(path).unwrap_err().to_string();
            assert!(refused.contains("a pipe, socket or device"), "{refused}");
        }
        assert!(matches!(open(&folder.path().join("absent")), Err(ModelError::Io { .. })));
    }

    #[test]
    fn the_mark_of_utf8_is_no_part_of_a_text() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("config.json");
        std::fs::write(&path, b"\xEF\xBB\xBF{}").unwrap();
        assert_eq!(read_text(&path).unwrap(), "{}");
    }

    #[test]
    fn long_and_binary_texts_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("config.json");
        std::fs::write(&path, b"\xff\xfe{}").unwrap();
        assert!(read_text(&path).unwrap_err().to_string().contains("not UTF-8 text"));
        // Sparse, so it takes no space on disk.
        File::create(&path).unwrap().set_len(LONGEST_TEXT + 1).unwrap();
        assert!(read_text(&path).unwrap_err().to_string().contains("at most 16777216"));
    }
}
