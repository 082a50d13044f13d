//! A mask as bits: n / 8 bytes per layer.

use tch::{Device, Kind, Tensor};

/// A mask of 0 and 1 with eight entries per byte, the first in the lowest bit.
#[derive(Debug)]
pub struct PackedMask {
    shape: Vec<i64>,
    /// u8 of ⌈n / 8⌉, on the CPU.
    bits: Tensor,
}

impl PackedMask {
    /// Packs a mask of 0 and 1 of any shape.
    pub fn pack(mask: &Tensor) -> Self {
        let flat = mask.detach().to_device(Device::Cpu).to_kind(Kind::Uint8).flatten(0, -1);
        let padding = (8 - flat.numel() as i64 % 8) % 8;
        let rows = flat.constant_pad_nd([0, padding]).view([-1, 8]);
        let bits = (rows * places()).sum_dim_intlist(1, false, Kind::Uint8);
        Self { shape: mask.size(), bits }
    }

    /// Restores a mask of this shape from saved bits.
    ///
    /// Returns `None` if they are not ⌈n / 8⌉ bytes, or the spare bits of the last are not 0.
    pub fn of_bits(shape: Vec<i64>, bits: Tensor) -> Option<Self> {
        let n = shape.iter().product::<i64>();
        if bits.kind() != Kind::Uint8 || bits.size() != [(n + 7) / 8] {
            return None;
        }
        let packed = Self { shape, bits };
        let spare = packed.unpacked().narrow(0, n, (8 - n % 8) % 8);
        (spare.sum(Kind::Int64).int64_value(&[]) == 0).then_some(packed)
    }

    /// The mask, f32 of its shape, on `device`.
    pub fn unpack(&self, device: Device) -> Tensor {
        let n = self.shape.iter().product::<i64>();
        let flat = self.unpacked().narrow(0, 0, n).to_device(device).to_kind(Kind::Float);
        flat.view(self.shape.as_slice())
    }

    /// Shape of the mask.
    pub fn shape(&self) -> &[i64] {
        &self.shape
    }

    /// The bits, u8 of ⌈n / 8⌉.
    pub fn bits(&self) -> &Tensor {
        &self.bits
    }

    /// Size in memory, in bytes.
    pub fn bytes(&self) -> usize {
        self.bits.numel()
    }

    /// Every bit as a byte, including spare ones.
    fn unpacked(&self) -> Tensor {
        self.bits
            .unsqueeze(1)
            .bitwise_and_tensor(&places())
            .ne(0)
            .to_kind(Kind::Uint8)
            .flatten(0, -1)
    }
}

/// The value of each bit of a byte.
fn places() -> Tensor {
    Tensor::from_slice(&[1_u8, 2, 4, 8, 16, 32, 64, 128])
}
