//! Bounds on what is read, compared and printed: a file or a name of a megabyte is refused
//! at once, in a short message.

use std::borrow::Cow;
use std::io::{Error, Read};
use std::path::Path;
use std::{fs, io};

/// The largest settings file, in bytes.
pub(crate) const MOST_FILE: usize = 1 << 20;

/// The longest key that is looked for among the known ones, in bytes.
pub(crate) const MOST_KEY: usize = 128;

/// The longest override, in bytes.
pub(crate) const MOST_OVERRIDE: usize = 1 << 16;

/// The longest name or value that is printed whole, in characters.
const MOST_NAME: usize = 120;

/// The longest message that is printed whole, in characters.
const MOST_MESSAGE: usize = 1000;

/// The text of a regular file of at most [`MOST_FILE`] bytes.
///
/// # Errors
/// Errors of opening and reading; pipes, devices and folders are refused without opening them.
pub(crate) fn read_text(path: &Path) -> io::Result<String> {
    if !fs::metadata(path)?.is_file() {
        return Err(Error::other("it is not a regular file"));
    }
    let mut text = String::new();
    let size = fs::File::open(path)?.take(MOST_FILE as u64 + 1).read_to_string(&mut text)?;
    if size > MOST_FILE {
        return Err(Error::other(format!("it has more than {MOST_FILE} bytes")));
    }
    Ok(text)
}

/// A name or value as messages show it: whole, or its beginning and its length.
pub(crate) fn shown(name: &str) -> Cow<'_, str> {
    beginning(name, MOST_NAME)
}

/// A message, which may quote a file, cut to a readable length.
pub(crate) fn shown_message(message: &str) -> Cow<'_, str> {
    beginning(message, MOST_MESSAGE)
}

fn beginning(text: &str, most: usize) -> Cow<'_, str> {
    match text.char_indices().nth(most) {
        None => Cow::Borrowed(text),
        Some(_) => {
            let end = text.char_indices().nth(most / 2).map_or(text.len(), |(at, _)| at);
            Cow::Owned(format!("{}… ({} bytes)", &text[..end], text.len()))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_names_are_cut_and_short_ones_are_whole() {
        assert_eq!(shown("mask.ratio"), "mask.ratio");
        let whole = "é".repeat(MOST_NAME);
        assert_eq!(shown(&whole), whole);
        let cut = shown(&"é".repeat(1_000_000)).into_owned();
        assert_eq!(cut, format!("{}… (2000000 bytes)", "é".repeat(60)));
    }

    #[test]
    fn only_regular_files_of_a_sane_size_are_read() {
        let folder = std::env::temp_dir();
        let error = read_text(&folder).unwrap_err().to_string();
        assert_eq!(error, "it is not a regular file");
        let device = Path::new("/dev/zero");
        if device.exists() {
            assert_eq!(read_text(device).unwrap_err().to_string(), "it is not a regular file");
        }
    }
}
