//! PyTorch's checkpoints, read without executing anything in them.
//!
//! `torch.save` writes a pickle of the object, in which a tensor is a view (offset, size, stride)
//! of a named storage, and the raw numbers of each storage: in the entries of a zip [`archive`],
//! or, before PyTorch 1.6, one after the other ([`legacy`]). [`pickle`] reads the pickle as data.
//! This module chooses the wanted dict and checks every claim against the file before memory is
//! allocated for it.

mod archive;
mod global;
mod legacy;
mod pickle;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;

use tch::{Device, Kind, Tensor};

use self::archive::Archive;
use self::legacy::Legacy;
use self::pickle::{Pickle, Storage, Value, View};
use super::{first_line, regular_file};
use crate::ModelError;

/// Maximum length of a pickle; a thousand tensors take a fifth of a megabyte.
const LONGEST_PICKLE: u64 = 8 << 20;

/// Bytes that the tensors can take per byte of the file: tied weights and broadcast views repeat
/// some of it, but never much.
const LARGEST_GROWTH: u64 = 8;

/// Bytes that the tensors of any file can take.
const SMALL: u64 = 64 << 20;

/// Maximum number of a tensor's dimensions, as in PyTorch's own loops.
const MOST_SIDES: usize = 64;

/// Reads the named tensors of a PyTorch checkpoint (`.pth`, `.pt`) to the CPU.
///
/// Both of PyTorch's formats are read, told apart by their first bytes. The file can hold a dict of
/// tensors, or one under `model`, `state_dict` or another key, as well as plain data, which is
/// ignored. Nothing in the file is executed, so anything but plain data and plain tensors is
/// refused. Each returned tensor is contiguous and has its own memory.
///
/// # Errors
/// [`ModelError::Io`] when it cannot be opened, [`ModelError::Format`] when it
/// is damaged, of another format, or contains an object that is not a plain tensor.
pub fn read_pth(path: &Path) -> Result<HashMap<String, Tensor>, ModelError> {
    let (file, _) = regular_file::open(path)?;
    read(file).map_err(|reason| ModelError::Format { path: path.into(), reason })
}

fn read(mut file: impl Read + Seek) -> Result<HashMap<String, Tensor>, String> {
    let begin = legacy::read_begin(&mut file).map_err(|error| error.to_string())?;
    let length = file.seek(SeekFrom::End(0)).map_err(|error| error.to_string())?;
    let budget = Budget::new(length);
    if begin.starts_with(legacy::MAGIC) {
        let (pickle, storages) = Legacy::open(file, length, &begin)?;
        return tensors(&pickle, storages, budget);
    }
    drop(begin);
    let mut archive = Archive::open(file)?;
    let bytes = archive.entry("data.pkl", 0..=LONGEST_PICKLE)?;
    let (pickle, _) = Pickle::parse("data.pkl", &bytes)?;
    tensors(&pickle, archive, budget)
}

/// Access to the raw numbers of a file's storages.
trait Storages {
    /// The bytes of a storage; an error unless there are `count` of them.
    fn bytes(&mut self, key: &str, count: u64) -> Result<Vec<u8>, String>;
}

fn tensors(
    pickle: &Pickle<'_>,
    mut storages: impl Storages,
    mut budget: Budget,
) -> Result<HashMap<String, Tensor>, String> {
    let mut named = named_views(pickle)?;
    // One storage is in memory at a time, and each is read once.
    named.sort_by_key(|(_, view)| view.storage.key);
    let mut last: Option<(Storage<'_>, Tensor)> = None;
    let mut tensors = HashMap::new();
    for (name, view) in named {
        let of = |reason: String| format!("{name}: {reason}");
        let (size, stride) = check(pickle, &view).map_err(of)?;
        budget.spend(size.iter().product(), view.storage.kind).map_err(of)?;
        let mut tensor = Tensor::f_empty(&size, (view.storage.kind, Device::Cpu))
            .map_err(|error| of(first_line(&error)))?;
        if tensor.numel() > 0 {
            let numbers = match last.take_if(|(storage, _)| *storage == view.storage) {
                Some((_, numbers)) => numbers,
                None => numbers(&view.storage, &mut storages, &mut budget).map_err(of)?,
            };
            numbers
                .f_as_strided(&size, &stride, view.offset)
                .and_then(|view| tensor.f_copy_(&view))
                .map_err(|error| of(first_line(&error)))?;
            last = Some((view.storage, numbers));
        }
        tensors.insert(name.to_owned(), tensor);
    }
    Ok(tensors)
}

/// All numbers of a storage; bools are read as bytes, which in a hostile file can have any value.
fn numbers(
    storage: &Storage<'_>,
    storages: &mut impl Storages,
    budget: &mut Budget,
) -> Result<Tensor, String> {
    let count = budget.spend(storage.numel, storage.kind)?;
    let bytes = storages.bytes(storage.key, count)?;
    let kind = if storage.kind == Kind::Bool { Kind::Uint8 } else { storage.kind };
    Tensor::f_from_data_size(&bytes, &[storage.numel], kind).map_err(|error| first_line(&error))
}

/// The tensors of the chosen dict, by name.
fn named_views<'a>(pickle: &Pickle<'a>) -> Result<Vec<(&'a str, View<'a>)>, String> {
    let Some(top) = pickle.dict(pickle.root) else {
        let noun = pickle.root.noun();
        return Err(format!("it holds {noun}, not a dict of tensors"));
    };
    let inner: Vec<_> =
        top.iter().copied().filter(|&(_, value)| pickle.holds_tensors(value)).collect();
    let named =
        |name| inner.iter().rfind(|(key, _)| *key == Value::Str(name)).map(|&(_, value)| value);
    let chosen = match (named("model").or(named("state_dict")), inner.as_slice()) {
        (Some(value), _) => value,
        _ if pickle.holds_tensors(pickle.root) => pickle.root,
        (None, &[(_, value)]) => value,
        (None, []) => {
            return Err(
                "it holds no tensors, neither directly nor in a nested dict; save a model's \
                 state_dict()"
                    .into(),
            );
        }
        (None, several) => {
            let keys: Vec<_> = several.iter().map(|(key, _)| title(*key)).collect();
            return Err(format!(
                "{} all hold tensors; save only the one you want, in Python: \
                 torch.save(torch.load(f)[\"{}\"], out)",
                keys.join(", "),
                keys[0]
            ));
        }
    };
    if let Some((key, _)) = inner.iter().find(|(_, value)| *value == chosen) {
        let others = inner.iter().filter(|(_, value)| *value != chosen);
        let others: Vec<_> = others.map(|(key, _)| title(*key)).collect();
        if !others.is_empty() {
            let (key, others) = (title(*key), others.join(", "));
            tracing::info!("the tensors under {key} are read, not those under {others}");
        }
    }
    let entries = pickle.dict(chosen).unwrap_or_default();
    let view = |&(key, value): &(Value<'a>, Value<'a>)| match (key, pickle.view(value)) {
        (Value::Str(name), Some(view)) => Ok((name, view)),
        (Value::Str(name), None) => {
            let noun = value.noun();
            Err(format!("{name} is {noun}, not a tensor; save the tensors without it"))
        }
        _ => Err(format!("{} is the key of a tensor; save it under a string", title(key))),
    };
    entries.iter().map(view).collect()
}

fn title(key: Value<'_>) -> String {
    match key {
        Value::Str(name) => name.to_owned(),
        Value::Int(int) => int.to_string(),
        other => other.noun().to_owned(),
    }
}

/// A view's sizes and strides, after checking that it lies within its storage.
fn check(pickle: &Pickle<'_>, view: &View<'_>) -> Result<(Vec<i64>, Vec<i64>), String> {
    let (Some(size), Some(stride)) = (pickle.ints(view.size), pickle.ints(view.stride)) else {
        return Err("its size or stride does not consist of integers".into());
    };
    let numel = view.storage.numel;
    let wrong = || {
        format!(
            "size {size:?}, stride {stride:?} and offset {} reach outside a storage of {numel} \
             numbers; the file is damaged, fetch or write it again",
            view.offset
        )
    };
    if size.len() != stride.len() || size.len() > MOST_SIDES {
        return Err(format!(
            "it has {} dimensions and {} strides, which no tensor has",
            size.len(),
            stride.len()
        ));
    }
    if numel < 0 || view.offset < 0 || size.iter().chain(&stride).any(|&number| number < 0) {
        return Err(wrong());
    }
    // Dimensions of 0 count as 1, since libtorch multiplies the others too.
    size.iter().try_fold(1i64, |all, &side| all.checked_mul(side.max(1))).ok_or_else(wrong)?;
    let last = size.iter().zip(&stride).try_fold(view.offset, |last, (&side, &stride)| {
        last.checked_add((side - 1).max(0).checked_mul(stride)?)
    });
    match last {
        _ if size.contains(&0) => Ok((size, stride)),
        Some(last) if last < numel => Ok((size, stride)),
        _ => Err(wrong()),
    }
}

/// Memory that a file's tensors can still take, in bytes.
struct Budget(u64);

impl Budget {
    /// The budget for a file of this length.
    fn new(length: u64) -> Self {
        Self(length.saturating_mul(LARGEST_GROWTH).saturating_add(SMALL))
    }

    /// Deducts the bytes of `numel` numbers, and returns how many they are.
    fn spend(&mut self, numel: i64, kind: Kind) -> Result<u64, String> {
        let bytes = u64::try_from(numel).ok();
        let bytes = bytes.and_then(|numel| numel.checked_mul(kind.elt_size_in_bytes() as u64));
        let spent = bytes.and_then(|bytes| Some((bytes, self.0.checked_sub(bytes)?)));
        let (bytes, left) = spent.ok_or_else(|| {
            format!(
                "with its {numel} numbers the tensors take more than {LARGEST_GROWTH} times the \
                 file's size; save contiguous tensors"
            )
        })?;
        self.0 = left;
        Ok(bytes)
    }
}
