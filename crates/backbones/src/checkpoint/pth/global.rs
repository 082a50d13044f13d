//! The few names that a pickle can import, with their meaning here.

use tch::Kind;

/// A name that a pickle can import.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Global {
    OrderedDict,
    StorageType(Kind),
    RebuildTensor,
    RebuildTensorV2,
    RebuildParameter,
}

impl Global {
    /// Looks up a name; the error says why it is not supported, and what to do.
    pub fn find(module: &str, name: &str, remedy: Remedy<'_>) -> Result<Self, String> {
        Ok(match (module, name) {
            ("collections", "OrderedDict") => Self::OrderedDict,
            ("torch._utils", "_rebuild_tensor") => Self::RebuildTensor,
            ("torch._utils", "_rebuild_tensor_v2") => Self::RebuildTensorV2,
            ("torch._utils", "_rebuild_parameter") => Self::RebuildParameter,
            ("torch", "FloatStorage") => Self::StorageType(Kind::Float),
            ("torch", "DoubleStorage") => Self::StorageType(Kind::Double),
            ("torch", "HalfStorage") => Self::StorageType(Kind::Half),
            ("torch", "BFloat16Storage") => Self::StorageType(Kind::BFloat16),
            ("torch", "LongStorage") => Self::StorageType(Kind::Int64),
            ("torch", "IntStorage") => Self::StorageType(Kind::Int),
            ("torch", "ShortStorage") => Self::StorageType(Kind::Int16),
            ("torch", "CharStorage") => Self::StorageType(Kind::Int8),
            ("torch", "ByteStorage") => Self::StorageType(Kind::Uint8),
            ("torch", "BoolStorage") => Self::StorageType(Kind::Bool),
            ("torch", storage) if storage.ends_with("Storage") => {
                return Err(format!(
                    "`torch.{}` is an unsupported number type; save the tensors as float32",
                    storage.escape_debug()
                ));
            }
            _ => {
                let (module, name) = (module.escape_debug(), name.escape_debug());
                return Err(format!(
                    "`{module}.{name}` is neither plain data nor part of a plain tensor, and \
                     nothing in a checkpoint is executed; if you trust the file, {}, or save them \
                     as safetensors",
                    remedy.in_python()
                ));
            }
        })
    }
}

/// How to extract the tensors of a trusted file, depending on what was known of it when reading
/// stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Remedy<'a> {
    /// The whole file is an object of a class, such as a module.
    StateDict,
    /// The file has a dict of tensors under this key.
    Key(&'a str),
    /// Nothing is known yet.
    Unknown,
}

impl Remedy<'_> {
    fn in_python(self) -> String {
        match self {
            Self::StateDict => "keep only its tensors, in Python: torch.save(torch.load(f, \
                                weights_only=False).state_dict(), out)"
                .to_owned(),
            Self::Key(key) => format!(
                "keep only its tensors, in Python: torch.save({{k: v for k, v in torch.load(f, \
                 weights_only=False)[\"{}\"].items()}}, out)",
                key.escape_debug()
            ),
            Self::Unknown => "load it in Python with weights_only=False and torch.save only the \
                              dict of its tensors, or a module's state_dict()"
                .to_owned(),
        }
    }
}
