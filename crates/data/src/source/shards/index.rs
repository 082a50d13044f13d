//! Positions of the pictures and labels in a tar file, from its headers alone.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::ffi::OsStr;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use tar::EntryType;

use crate::source::listing::{has_extension, is_foreign, is_hidden_name, is_picture, shown};

/// Maximum number of bytes read of a label's file.
const LABEL: u64 = 16;

/// Bytes checked after the end of an archive; programs pad with 20 blocks at most.
const PADDING: u64 = 1 << 20;

/// Number of links that are followed before they are taken for a circle.
const HOPS: usize = 16;

/// A picture in a tar file.
#[derive(Debug)]
pub(super) struct Sample {
    /// Its entry's name, for display.
    pub(super) name: String,
    /// Offset of its file in bytes.
    pub(super) offset: u64,
    /// Length of its file in bytes.
    pub(super) size: u64,
    /// Its class, if there is a `.cls`.
    pub(super) label: Option<u32>,
    /// Number of further pictures of the sample, under longer names.
    pub(super) beside: usize,
    /// Its caption, if captions are wanted and there is one.
    pub(super) caption: Option<Caption>,
}

/// Position of a caption: of `KEY.txt` or, without that, of `KEY.json`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Caption {
    /// Offset of its file in bytes.
    pub(super) offset: u64,
    /// Length of its file in bytes.
    pub(super) size: u64,
    /// Whether it is a `KEY.json`.
    pub(super) json: bool,
}

/// The contents of a tar file.
#[derive(Debug, Default)]
pub(super) struct Index {
    /// Its pictures.
    pub(super) samples: Vec<Sample>,
    /// Captions of keys without a picture, each after its key.
    pub(super) alone: Vec<(String, Caption)>,
    /// Names of pictures of formats that are not read.
    pub(super) foreign: Vec<String>,
    /// Keys with a label and no picture of any format.
    pub(super) bare: Vec<String>,
}

/// Offset and length in an archive.
type Place = (u64, u64);

/// Entries of an archive by name: files, and links to other names.
#[derive(Default)]
struct Entries {
    /// Pictures, labels and wanted captions, in the order of the archive.
    wanted: Vec<(Vec<u8>, EntryType)>,
    files: HashMap<Vec<u8>, Place>,
    /// Targets, and whether they are relative to the link's own folder.
    links: HashMap<Vec<u8>, (Vec<u8>, bool)>,
    /// Pictures of formats that are not read.
    foreign: Vec<Vec<u8>>,
}

/// Fields of one sample: names and positions of its pictures, and its label.
#[derive(Default)]
struct Fields {
    picture: Option<(Vec<u8>, Place)>,
    longer: Vec<(Vec<u8>, Place)>,
    label: Option<u32>,
    caption: Option<Caption>,
}

/// Reads a tar file's headers and labels, and the positions of captions if they are wanted.
///
/// # Errors
/// A description of what is wrong with the archive.
pub(super) fn index(file: File, captions: bool) -> Result<Index, String> {
    let entries = Entries::read(&file, captions)?;
    let mut samples = BTreeMap::<Vec<u8>, Fields>::new();
    let mut order: Vec<Vec<u8>> = Vec::new();
    for (name, kind) in &entries.wanted {
        let place = entries.resolve(name, *kind)?;
        let (key, field) = divide(name);
        let fields = samples.entry(key.to_vec()).or_default();
        if is_label(name) {
            // Only the sample's own label is used here.
            if field.eq_ignore_ascii_case(b"cls") {
                let label = label(&file, place).map_err(|what| format!("{} {what}", text(name)))?;
                if fields.label.replace(label).is_some() {
                    return Err(format!("{} occurs twice", text(name)));
                }
            }
            continue;
        }
        if is_caption(name) {
            let json = field.eq_ignore_ascii_case(b"json");
            if !(json && fields.caption.is_some()) {
                fields.caption = Some(Caption { offset: place.0, size: place.1, json });
            }
            continue;
        }
        order.push(key.to_vec());
        if field.contains(&b'.') {
            fields.longer.push((name.clone(), place));
        } else if let Some((other, _)) = fields.picture.replace((name.clone(), place)) {
            let both = format!("{} and {}", text(&other), text(name));
            return Err(format!("{both} are two pictures of one sample; keep one"));
        }
    }
    let mut found = Index::default();
    for key in order {
        // Samples are in the order of their first pictures.
        let Some(Fields { picture, mut longer, label, caption }) = samples.remove(&key) else {
            continue;
        };
        let (name, (offset, size)) = match (picture, longer.len()) {
            (Some(picture), _) => picture,
            (None, 1) => longer.remove(0),
            _ => {
                return Err(format!(
                    "{} and {} would be one sample, as their names agree up to the first dot; \
                     rename them so that their only dot is that of .png",
                    text(&longer[0].0),
                    text(&longer[1].0)
                ));
            }
        };
        let (name, beside) = (text(&name), longer.len());
        found.samples.push(Sample { name, offset, size, label, beside, caption });
    }
    let foreign: HashSet<&[u8]> = entries.foreign.iter().map(|name| divide(name).0).collect();
    let bare = samples.iter().filter(|(key, fields)| {
        fields.label.is_some() && fields.caption.is_none() && !foreign.contains(&key[..])
    });
    found.bare = bare.map(|(key, _)| text(key)).collect();
    found.foreign = entries.foreign.iter().map(|name| text(name)).collect();
    let alone = samples.into_iter().filter_map(|(key, fields)| Some((text(&key), fields.caption?)));
    found.alone = alone.collect();
    Ok(found)
}

impl Entries {
    fn read(file: &File, captions: bool) -> Result<Self, String> {
        let length = file.metadata().map_err(|error| error.to_string())?.len();
        check_start(file)?;
        let mut archive = tar::Archive::new(file);
        let (mut found, mut end) = (Self::default(), 0);
        for entry in archive.entries_with_seek().map_err(|error| error.to_string())? {
            // The reader's own message would quote the damaged bytes.
            let entry = entry.map_err(|_| match end {
                0 => "it is not a tar file".to_owned(),
                _ => format!("the header behind byte {end} is damaged; copy the file again"),
            })?;
            let name = plain(&entry.path_bytes());
            let kind = entry.header().entry_type();
            let place = (entry.raw_file_position(), entry.size());
            end = place
                .0
                .checked_add(place.1)
                .filter(|&end| end <= length)
                .ok_or_else(|| format!("the file is cut off within {}", text(&name)))?;
            if kind.is_file() || kind.is_contiguous() {
                found.files.insert(name.clone(), place);
            } else if kind.is_hard_link() || kind.is_symlink() {
                let target = entry.link_name_bytes().unwrap_or_default().into_owned();
                found.links.insert(name.clone(), (target, kind.is_symlink()));
            }
            let wanted = is_picture(path(&name)) || is_label(&name);
            let wanted = wanted || (captions && is_caption(&name));
            if kind.is_dir() || is_hidden(&name) {
                continue;
            }
            if wanted {
                found.wanted.push((name, kind));
            } else if is_foreign(path(&name)) {
                found.foreign.push(name);
            }
        }
        check_end(file, end, length)?;
        Ok(found)
    }

    /// The position of an entry's bytes, following links.
    fn resolve(&self, name: &[u8], kind: EntryType) -> Result<Place, String> {
        let mut at = name.to_vec();
        for _ in 0..HOPS {
            // A name can occur twice, as a file and, later, as a link to another.
            let link = self.links.get(&at);
            match (self.files.get(&at), link) {
                (Some(&place), None) => return Ok(place),
                (_, Some((target, symbolic))) => {
                    let folder = at.iter().rposition(|&byte| byte == b'/');
                    let folder = folder.filter(|_| *symbolic).map_or(&[][..], |end| &at[..=end]);
                    if target.starts_with(b"/") {
                        break;
                    }
                    at = plain(&[folder, target].concat());
                }
                (None, None) => break,
            }
        }
        let name_shown = text(name);
        Err(match self.links.get(name) {
            Some((target, _)) => format!(
                "{name_shown} is a link to {}, which is not a file of the archive; pack the file \
                 itself (tar --dereference)",
                text(target)
            ),
            None => format!("{name_shown} is not a plain file but has tar's type {kind:?}"),
        })
    }
}

/// Refuses a file that starts like a compressed one.
fn check_start(mut file: &File) -> Result<(), String> {
    const COMPRESSED: [(&[u8], &str); 4] = [
        (b"\x1F\x8B", "gunzip"),
        (b"\x28\xB5\x2F\xFD", "unzstd"),
        (b"\xFD7zXZ", "unxz"),
        (b"BZh", "bunzip2"),
    ];
    let mut start = Vec::new();
    let read = file.take(8).read_to_end(&mut start).and_then(|_| file.rewind());
    read.map_err(|error| error.to_string())?;
    match COMPRESSED.iter().find(|(magic, _)| start.starts_with(magic)) {
        Some((_, program)) => {
            Err(format!("it is compressed; unpack it with {program}, and keep the name .tar"))
        }
        None => Ok(()),
    }
}

/// Refuses an archive without the block of zeros that ends it, which was truncated between entries.
///
/// Data after the end must be zeros too: two archives that were joined would be read as one.
fn check_end(mut file: &File, end: u64, length: u64) -> Result<(), String> {
    let mut block = [1; 512];
    let start = end.next_multiple_of(512);
    let whole = start + 512 <= length
        && file.seek(SeekFrom::Start(start)).is_ok()
        && file.read_exact(&mut block).is_ok()
        && block == [0; 512];
    if whole {
        let mut rest = Vec::new();
        let read = file.take(PADDING).read_to_end(&mut rest);
        read.map_err(|error| error.to_string())?;
        return match rest.iter().all(|&byte| byte == 0) {
            true => Ok(()),
            false => Err(format!(
                "more follows the end of the archive at byte {start}, as where several tar files \
                 were joined; keep them apart"
            )),
        };
    }
    Err("the file is cut off: the zeros that end a tar file are missing; copy it again".to_owned())
}

/// Reads a class number.
fn label(mut file: &File, (offset, size): Place) -> Result<u32, String> {
    let mut text = String::new();
    let number = file
        .seek(SeekFrom::Start(offset))
        .and_then(|_| file.take(size.min(LABEL)).read_to_string(&mut text))
        .ok()
        .and_then(|_| text.trim().parse::<u32>().ok());
    number.ok_or_else(|| {
        format!("holds {text:?}, which is not a class number; number the classes from 0")
    })
}

/// A name without `./`, and with `..` resolved.
fn plain(name: &[u8]) -> Vec<u8> {
    let mut parts: Vec<&[u8]> = Vec::new();
    for part in name.split(|&byte| byte == b'/') {
        match part {
            b"" | b"." => {}
            b".." if parts.last().is_some_and(|last| *last != b"..") => {
                parts.pop();
            }
            part => parts.push(part),
        }
    }
    parts.join(&b'/')
}

/// Whether a part of a name is hidden, like those of macOS, which hold no pictures.
fn is_hidden(name: &[u8]) -> bool {
    name.split(|&byte| byte == b'/')
        .any(|part| part != b".." && is_hidden_name(OsStr::from_bytes(part)))
}

fn is_label(name: &[u8]) -> bool {
    has_extension(path(name), &["cls"])
}

/// Whether it is a key's own text: `KEY.txt` or `KEY.json`.
fn is_caption(name: &[u8]) -> bool {
    let (_, field) = divide(name);
    [&b"txt"[..], b"json"].iter().any(|known| field.eq_ignore_ascii_case(known))
}

fn path(name: &[u8]) -> &Path {
    Path::new(OsStr::from_bytes(name))
}

fn text(name: &[u8]) -> String {
    shown(OsStr::from_bytes(name))
}

/// A path up to the first dot of its last component, and what follows that dot.
fn divide(name: &[u8]) -> (&[u8], &[u8]) {
    let base = name.iter().rposition(|&byte| byte == b'/').map_or(0, |slash| slash + 1);
    match name[base..].iter().position(|&byte| byte == b'.') {
        Some(dot) => (&name[..base + dot], &name[base + dot + 1..]),
        None => (name, &[]),
    }
}
