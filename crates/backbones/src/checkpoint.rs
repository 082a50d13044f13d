//! Parameters as safetensors files, written atomically. PyTorch's files can be read too.

pub mod interchange;
mod mismatch;
mod pth;
mod regular_file;
mod safetensors_header;

use std::borrow::Cow;
use std::collections::HashMap;
use std::io::Read;
use std::path::Path;

use bauta_files::write_whole;
use safetensors::tensor::{Dtype, View};
use tch::{Device, Kind, TchError, Tensor};

pub use self::mismatch::Mismatch;
pub use self::pth::read_pth;
use self::safetensors_header::Entry;
use crate::{ModelError, Parameters};

/// Writes named tensors to a safetensors file: to a temporary file next to it, flushed, then
/// renamed.
///
/// # Errors
/// [`ModelError::Io`] when the file cannot be written; no partial file remains.
pub fn write_tensors<'a>(
    path: &Path,
    tensors: impl IntoIterator<Item = (&'a str, &'a Tensor)>,
) -> Result<(), ModelError> {
    write_tensors_with(path, tensors, HashMap::new())
}

/// As [`write_tensors`], with metadata in the file's header.
///
/// # Errors
/// As [`write_tensors`].
pub fn write_tensors_with<'a>(
    path: &Path,
    tensors: impl IntoIterator<Item = (&'a str, &'a Tensor)>,
    metadata: HashMap<String, String>,
) -> Result<(), ModelError> {
    let tensors: Vec<(&str, HostTensor)> =
        tensors.into_iter().map(|(name, tensor)| (name, HostTensor::new(tensor))).collect();
    let bytes = safetensors::serialize(tensors, (!metadata.is_empty()).then_some(metadata))
        .map_err(|error| ModelError::Format { path: path.into(), reason: error.to_string() })?;
    write_whole(path, &bytes).map_err(|source| ModelError::Io { path: path.into(), source })
}

/// As [`write_tensors`], with the metadata of PyTorch's files, without which `from_pretrained` of
/// older versions of transformers fails.
///
/// # Errors
/// As [`write_tensors`].
pub(crate) fn write_for_pytorch<'a>(
    path: &Path,
    tensors: impl IntoIterator<Item = (&'a str, &'a Tensor)>,
) -> Result<(), ModelError> {
    write_tensors_with(path, tensors, [("format".to_owned(), "pt".to_owned())].into())
}

/// Reads all tensors of a safetensors file to the CPU. The header is checked against the file's
/// length first, and only one tensor at a time is in memory twice.
///
/// # Errors
/// [`ModelError::Io`] when it cannot be read, [`ModelError::Format`] when it is truncated, not a
/// safetensors file, or holds a number type without a tensor kind or an impossible shape.
pub fn read_tensors(path: &Path) -> Result<HashMap<String, Tensor>, ModelError> {
    let io = |source| ModelError::Io { path: path.into(), source };
    let format = |reason: String| ModelError::Format { path: path.into(), reason };
    let (mut file, length) = regular_file::open(path)?;
    let entries = safetensors_header::read(&mut file, length).map_err(format)?;
    let mut tensors = HashMap::with_capacity(entries.len());
    for Entry { name, kind, shape, bytes } in entries {
        let mut numbers = vec![0; bytes];
        file.read_exact(&mut numbers).map_err(io)?;
        // In a hostile file, any byte can stand for a bool; all but 0 become true.
        let stored = if kind == Kind::Bool { Kind::Uint8 } else { kind };
        let tensor = Tensor::f_from_data_size(&numbers, &shape, stored)
            .map_err(|error| format(format!("{name}: {}", first_line(&error))))?;
        tensors.insert(name, tensor.to_kind(kind));
    }
    Ok(tensors)
}

/// The first line of libtorch's message, without its stack trace.
fn first_line(error: &TchError) -> String {
    error.to_string().lines().next().unwrap_or_default().to_owned()
}

/// Whether a parameter can be loaded from tensors of this kind.
pub(crate) fn is_float(kind: Kind) -> bool {
    matches!(kind, Kind::Float | Kind::Double | Kind::Half | Kind::BFloat16)
}

impl Parameters {
    /// Writes all parameters under their names.
    ///
    /// # Errors
    /// As [`write_tensors`].
    pub fn save(&self, path: &Path) -> Result<(), ModelError> {
        write_tensors(path, self.iter().map(|p| (p.name.as_str(), &p.tensor)))
    }

    /// Overwrites all parameters with those of a file.
    ///
    /// # Errors
    /// As [`read_tensors`], and [`ModelError::Mismatch`] unless names and shapes agree exactly; no
    /// parameter is changed in that case.
    pub fn load(&self, path: &Path) -> Result<(), ModelError> {
        self.assign(&read_tensors(path)?)
            .map_err(|mismatch| ModelError::Mismatch { path: path.into(), mismatch })
    }

    /// Overwrites all parameters with tensors of the same names and shapes.
    ///
    /// # Errors
    /// The differences, if names or shapes do not agree; no parameter is changed in that case.
    pub fn assign(&self, tensors: &HashMap<String, Tensor>) -> Result<(), Mismatch> {
        let mismatch = self.mismatch(tensors);
        if !mismatch.is_empty() {
            return Err(mismatch);
        }
        tch::no_grad(|| {
            for parameter in self {
                parameter.tensor.shallow_clone().copy_(&tensors[&parameter.name]);
            }
        });
        Ok(())
    }

    /// The differences in names, shapes and types between tensors and the parameters.
    pub(crate) fn mismatch(&self, tensors: &HashMap<String, Tensor>) -> Mismatch {
        let mut mismatch = Mismatch::default();
        for parameter in self {
            let Some(tensor) = tensors.get(&parameter.name) else {
                mismatch.missing.push(parameter.name.clone());
                continue;
            };
            if !is_float(tensor.kind()) {
                mismatch.mistyped.push((parameter.name.clone(), tensor.kind()));
            }
            let (found, wanted) = (tensor.size(), parameter.tensor.size());
            if found != wanted {
                mismatch.misshaped.push((parameter.name.clone(), found, wanted));
            }
        }
        mismatch.unexpected =
            tensors.keys().filter(|name| self.get(name).is_none()).cloned().collect();
        mismatch.unexpected.sort();
        mismatch
    }
}

/// A tensor's bytes in host memory, as safetensors needs them.
struct HostTensor {
    dtype: Dtype,
    shape: Vec<usize>,
    bytes: Vec<u8>,
}

impl HostTensor {
    fn new(tensor: &Tensor) -> Self {
        let host = tensor.detach().to_device(Device::Cpu).contiguous();
        let kind = host.kind();
        let (dtype, size) =
            dtype_of(kind).unwrap_or_else(|| panic!("{kind:?} has no safetensors type"));
        let mut bytes = vec![0; host.numel() * size];
        host.copy_data_u8(&mut bytes, host.numel());
        let shape = host.size().iter().map(|&side| side as usize).collect();
        Self { dtype, shape, bytes }
    }
}

impl View for HostTensor {
    fn dtype(&self) -> Dtype {
        self.dtype
    }

    fn shape(&self) -> &[usize] {
        &self.shape
    }

    fn data(&self) -> Cow<'_, [u8]> {
        Cow::Borrowed(&self.bytes)
    }

    fn data_len(&self) -> usize {
        self.bytes.len()
    }
}

const KINDS: [(Dtype, Kind, usize); 10] = [
    (Dtype::F32, Kind::Float, 4),
    (Dtype::F64, Kind::Double, 8),
    (Dtype::F16, Kind::Half, 2),
    (Dtype::BF16, Kind::BFloat16, 2),
    (Dtype::I64, Kind::Int64, 8),
    (Dtype::I32, Kind::Int, 4),
    (Dtype::I16, Kind::Int16, 2),
    (Dtype::I8, Kind::Int8, 1),
    (Dtype::U8, Kind::Uint8, 1),
    (Dtype::BOOL, Kind::Bool, 1),
];

fn kind_of(dtype: Dtype) -> Option<Kind> {
    KINDS.iter().find(|(d, ..)| *d == dtype).map(|&(_, kind, _)| kind)
}

fn dtype_of(kind: Kind) -> Option<(Dtype, usize)> {
    KINDS.iter().find(|(_, k, _)| *k == kind).map(|&(dtype, _, size)| (dtype, size))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        Encode, MaeDecoder, MaeDecoderConfig, VisionTransformer, VitConfig, tests::normal,
    };

    fn model(seed: u64, with_decoder: bool) -> (Parameters, VisionTransformer) {
        let config = VitConfig::new(8, 4, 16, 1, 2);
        let mut parameters = Parameters::new(seed, Device::Cpu);
        let encoder = VisionTransformer::new(parameters.root(), &config).unwrap();
        if with_decoder {
            let decoder = MaeDecoderConfig::new(16, 8, 1, 2, config.patch_values());
            MaeDecoder::new(parameters.root(), &decoder, encoder.grid()).unwrap();
        }
        (parameters, encoder)
    }

    #[test]
    fn a_loaded_model_computes_the_same() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("model.safetensors");
        let (saved, encoder) = model(1, true);
        saved.save(&path).unwrap();
        let (loaded, same) = model(2, true);
        let images = normal("images", &[2, 3, 8, 8]);
        assert_ne!(
            encoder.encode(&images, Encode::whole()).unwrap(),
            same.encode(&images, Encode::whole()).unwrap()
        );
        loaded.load(&path).unwrap();
        assert_eq!(
            encoder.encode(&images, Encode::whole()).unwrap(),
            same.encode(&images, Encode::whole()).unwrap()
        );
        let files: Vec<_> = std::fs::read_dir(folder.path()).unwrap().collect();
        assert_eq!(files.len(), 1, "no partial file stays");
    }

    #[test]
    fn an_encoder_alone_lacks_exactly_the_decoder() {
        let (encoder, _) = model(1, false);
        let tensors = encoder.iter().map(|p| (p.name.clone(), p.tensor.shallow_clone())).collect();
        let (whole, _) = model(2, true);
        let mismatch = whole.assign(&tensors).unwrap_err();
        let decoder: Vec<&str> = whole
            .iter()
            .map(|p| p.name.as_str())
            .filter(|name| name.starts_with("decoder") || *name == "mask_token")
            .collect();
        assert_eq!(mismatch.missing, decoder);
        assert!(mismatch.unexpected.is_empty() && mismatch.misshaped.is_empty());
    }

    #[test]
    fn a_misfit_is_listed_and_changes_nothing() {
        let (parameters, _) = model(1, false);
        let mut tensors: HashMap<String, Tensor> =
            parameters.iter().map(|p| (p.name.clone(), p.tensor.copy())).collect();
        tensors.remove("norm.bias");
        let cpu = (Kind::Float, Device::Cpu);
        tensors.insert("head.weight".into(), Tensor::zeros([2, 16], cpu));
        tensors.insert("blocks.0.attn.qkv.weight".into(), Tensor::zeros([24, 8], cpu));
        let before = parameters.get("norm.weight").unwrap().tensor.copy();
        tensors.insert("norm.weight".into(), &before + 1.0);
        let text = parameters.assign(&tensors).unwrap_err().to_string();
        assert_eq!(
            text,
            "missing norm.bias; unexpected head.weight; blocks.0.attn.qkv.weight: file has [24, \
             8], model expects [48, 16]"
        );
        assert_eq!(parameters.get("norm.weight").unwrap().tensor, before);
    }

    #[test]
    fn broken_files_are_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("model.safetensors");
        let (parameters, _) = model(1, false);
        let refuse = || parameters.load(&path).unwrap_err().to_string();
        assert!(refuse().contains("model.safetensors"));
        parameters.save(&path).unwrap();
        let whole = std::fs::read(&path).unwrap();
        for length in [0, 4, 9, 100, whole.len() - 1] {
            std::fs::write(&path, &whole[..length]).unwrap();
            assert!(refuse().contains("safetensors file"), "{length}: {}", refuse());
        }
        let mut lying = whole.clone();
        lying[..8].copy_from_slice(&u64::MAX.to_le_bytes());
        std::fs::write(&path, &lying).unwrap();
        assert!(refuse().contains("safetensors file"));
    }

    #[test]
    fn a_failed_write_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("missing-folder/model.safetensors");
        assert!(model(1, false).0.save(&path).is_err());
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    }
}
