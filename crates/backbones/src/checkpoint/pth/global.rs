//! The few names that a pickle may import, each with the meaning it has here.

use tch::Kind;

/// A name that may be imported.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Global {
    OrderedDict,
    StorageType(Kind),
    RebuildTensor,
    RebuildTensorV2,
    RebuildParameter,
}

impl Global {
    /// The meaning of a name; the error says why it has none.
    pub fn find(module: &str, name: &str) -> Result<Self, String> {
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
            _ => {
                let (module, name) = (module.escape_debug(), name.escape_debug());
                return Err(format!(
                    "`{module}.{name}` is neither plain data nor part of a plain tensor, and \
                     nothing in a checkpoint is executed; if you trust the file, keep its tensors \
                     alone, in Python: torch.save({{k: v for k, v in torch.load(f, \
                     weights_only=False)[\"model\"].items()}}, out), or save them as safetensors"
                ));
            }
        })
    }
}
