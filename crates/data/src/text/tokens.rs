//! Words of a text: maximal runs of letters, digits and `_`, at least two characters, in lower
//! case.
//!
//! This is scikit-learn's default (`(?u)\b\w\w+\b`), without a dictionary: a word is identified by
//! the hash of its bytes.

const OFFSET: u64 = 0xcbf2_9ce4_8422_2325;
const PRIME: u64 = 0x0000_0100_0000_01b3;

/// The hash (FNV-1a, mixed) of a word that is already in lower case.
pub fn word_hash(word: &str) -> u64 {
    mixed(word.bytes().fold(OFFSET, step))
}

fn step(hash: u64, byte: u8) -> u64 {
    (hash ^ u64::from(byte)).wrapping_mul(PRIME)
}

/// Spreads the hash over all bits (the finaliser of MurmurHash3), so that any of them can select a
/// bucket.
fn mixed(mut hash: u64) -> u64 {
    hash = (hash ^ (hash >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
    hash = (hash ^ (hash >> 33)).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    hash ^ (hash >> 33)
}

/// Calls `take` with the hash of each word of `text`, in order; see [`word_hash`].
pub fn for_each_word(text: &str, mut take: impl FnMut(u64)) {
    let (mut hash, mut length) = (OFFSET, 0_usize);
    for character in text.chars() {
        if character.is_ascii() {
            let byte = character as u8;
            if byte.is_ascii_alphanumeric() || byte == b'_' {
                hash = step(hash, byte.to_ascii_lowercase());
                length += 1;
                continue;
            }
        } else if character.is_alphanumeric() {
            let mut buffer = [0; 4];
            for lower in character.to_lowercase() {
                hash = lower.encode_utf8(&mut buffer).bytes().fold(hash, step);
            }
            length += 1;
            continue;
        }
        if length >= 2 {
            take(mixed(hash));
        }
        (hash, length) = (OFFSET, 0);
    }
    if length >= 2 {
        take(mixed(hash));
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn hashes(text: &str) -> Vec<u64> {
        let mut found = Vec::new();
        for_each_word(text, |hash| found.push(hash));
        found
    }

    #[test]
    fn words_are_those_of_scikit_learn() {
        let wanted = |words: &[&str]| words.iter().map(|word| word_hash(word)).collect::<Vec<_>>();
        let text = "The U.S. Fed's rate: 6-1/2 pct; x_y I ÉTÉ (été)";
        let words = ["the", "fed", "rate", "pct", "x_y", "été", "été"];
        assert_eq!(hashes(text), wanted(&words));
        assert_eq!(hashes("a b c ! ?"), wanted(&[]));
        assert_eq!(hashes("last"), wanted(&["last"]));
    }

    proptest! {
        #[test]
        fn case_and_what_lies_between_words_change_nothing(
            words in prop::collection::vec("[a-z0-9]{2,8}", 0..12), gap in "[ .,;:\n!-]{1,3}",
        ) {
            let wanted: Vec<u64> = words.iter().map(|word| word_hash(word)).collect();
            let text = words.join(&gap);
            prop_assert_eq!(hashes(&text), wanted.clone());
            prop_assert_eq!(hashes(&text.to_uppercase()), wanted);
        }
    }
}
