//! NumPy's file format, version 1.0: an ASCII header and the values.

use tch::{Kind, Tensor};

/// The bytes of a `.npy` file of features [N, D] as little-endian f32.
pub(super) fn bytes(tensor: &Tensor) -> Vec<u8> {
    let [rows, columns] = tensor.size()[..] else { unreachable!("features are [N, D]") };
    let shape = format!("({rows}, {columns})");
    let header = format!("{{'descr': '<f4', 'fortran_order': False, 'shape': {shape}, }}");
    // The values start at a multiple of 64 bytes; 10 bytes precede the header, a newline ends it.
    let length = (header.len() + 11).next_multiple_of(64) - 10;
    let values = tensor.to_kind(Kind::Float).contiguous().view([-1]);
    let values = Vec::<f32>::try_from(values).expect("a flat tensor of f32");
    let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
    bytes.extend((length as u16).to_le_bytes());
    bytes.extend(format!("{header:<width$}\n", width = length - 1).bytes());
    bytes.extend(values.into_iter().flat_map(f32::to_le_bytes));
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The bytes that `numpy.save` writes for `arange(6, dtype=float32).reshape(2, 3)`.
    #[test]
    fn the_bytes_are_numpys() {
        let found = bytes(&Tensor::arange(6, (Kind::Float, tch::Device::Cpu)).view([2, 3]));
        let text = "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }";
        assert_eq!(found[..10], *b"\x93NUMPY\x01\x00\x76\x00");
        let header = String::from_utf8(found[10..128].to_vec()).unwrap();
        assert_eq!(header.trim_end(), text);
        assert!(header.ends_with(" \n"));
        let values: Vec<u8> = (0..6_u8).flat_map(|value| f32::from(value).to_le_bytes()).collect();
        assert_eq!(found[128..], values);
    }
}
