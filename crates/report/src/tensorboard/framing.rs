//! TFRecord: bytes framed by their length and masked CRC-32C checksums.
//!
//! A record is the payload's length (u64), the length's checksum (u32), the payload and its
//! checksum (u32), all little-endian.

const HEAD: usize = 12;
const TAIL: usize = 4;

/// Castagnoli's polynomial, its bits reversed.
const POLYNOMIAL: u32 = 0x82F6_3B78;

const TABLE: [u32; 256] = table();

const fn table() -> [u32; 256] {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < table.len() {
        let mut crc = byte as u32;
        let mut bit = 0;
        while bit < 8 {
            crc = if crc & 1 == 1 { (crc >> 1) ^ POLYNOMIAL } else { crc >> 1 };
            bit += 1;
        }
        table[byte] = crc;
        byte += 1;
    }
    table
}

/// CRC-32C (RFC 3720, appendix B.4).
fn crc32c(bytes: &[u8]) -> u32 {
    let step = |crc: u32, &byte: &u8| TABLE[(crc as u8 ^ byte) as usize] ^ (crc >> 8);
    !bytes.iter().fold(!0, step)
}

/// The checksum as a record holds it: masked, so that checksums of data with checksums are safe.
fn masked(bytes: &[u8]) -> [u8; 4] {
    crc32c(bytes).rotate_right(15).wrapping_add(0xA282_EAD8).to_le_bytes()
}

/// A payload as a record.
pub fn frame(payload: &[u8]) -> Vec<u8> {
    let length = (payload.len() as u64).to_le_bytes();
    [&length[..], &masked(&length), payload, &masked(payload)].concat()
}

/// Bytes of the record of a payload.
pub fn framed_len(payload: &[u8]) -> usize {
    HEAD + payload.len() + TAIL
}

/// The payloads of a file's records, up to the first that is cut short or damaged: no reader gets
/// beyond it.
pub fn payloads(mut bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    std::iter::from_fn(move || {
        let (head, rest) = bytes.split_at_checked(HEAD)?;
        let (length, checksum) = head.split_first_chunk::<8>()?;
        let (payload, rest) =
            rest.split_at_checked(u64::from_le_bytes(*length).try_into().ok()?)?;
        let (tail, rest) = rest.split_at_checked(TAIL)?;
        bytes = rest;
        (checksum == masked(length) && tail == masked(payload)).then_some(payload)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checksums_are_those_of_the_rfc() {
        let ascending: Vec<u8> = (0..32).collect();
        for (bytes, expected) in [
            (&b"123456789"[..], 0xE306_9283),
            (&[0; 32], 0x8A91_36AA),
            (&[0xFF; 32], 0x62A8_AB43),
            (&ascending, 0x46DD_794E),
            (b"", 0),
        ] {
            assert_eq!(crc32c(bytes), expected, "{bytes:?}");
        }
    }

    #[test]
    fn payloads_end_where_a_record_is_cut_or_damaged() {
        let records = [frame(b"first"), frame(b""), frame(b"third")];
        let file = records.concat();
        assert!(payloads(&file).eq([&b"first"[..], b"", b"third"]));
        assert_eq!(framed_len(b"first"), records[0].len());
        let whole = records[0].len() + records[1].len();
        for length in whole..file.len() {
            assert!(payloads(&file[..length]).eq([&b"first"[..], b""]), "cut at {length}");
        }
        for place in whole..file.len() {
            let mut damaged = file.clone();
            damaged[place] ^= 4;
            assert!(payloads(&damaged).eq([&b"first"[..], b""]), "damaged at {place}");
        }
    }
}
