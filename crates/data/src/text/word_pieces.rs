//! Text as the ids of word pieces, with any `tokenizer.json` or a BERT vocabulary.
//!
//! A thin layer over Hugging Face's `tokenizers`: it finds the tokens that models need by name
//! (padding, mask), encodes to a fixed length, and names the file that an error is about.
//!
//! ```
//! use bauta_data::text::{Ends, WordPieces};
//!
//! let folder = tempfile::tempdir()?;
//! let path = folder.path().join("vocab.txt");
//! std::fs::write(&path, "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\na\nswallow\n##s\n.\n")?;
//! let pieces = WordPieces::open(&path)?;
//! let encoded = pieces.encode("Swallows.", 6, Ends::Bare)?;
//! assert_eq!(encoded.ids, [6, 7, 8, 0, 0, 0]);
//! assert_eq!((encoded.used, encoded.cut), (3, 0));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use bauta_datasets::DataError;
use serde_json::json;
use tokenizers::{Encoding, Tokenizer, TruncationDirection};

/// Whether to add the tokenizer's special tokens around a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ends {
    /// Only the text's own pieces.
    Bare,
    /// As the tokenizer's own post-processor adds them: `[CLS] text [SEP]` for BERT.
    Special,
}

/// One text in word pieces, at a fixed length.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Encoded {
    /// The ids; those from `used` on are the padding token's.
    pub ids: Vec<u32>,
    /// Number of ids that are not padding.
    pub used: usize,
    /// Number of pieces that did not fit and were left out.
    pub cut: usize,
}

/// A vocabulary of word pieces and the rules by which text becomes a sequence of them.
#[derive(Clone, Debug)]
pub struct WordPieces {
    tokenizer: Tokenizer,
    path: PathBuf,
    pad: u32,
    mask: Option<u32>,
}

impl WordPieces {
    /// Opens a `tokenizer.json`, a vocabulary `*.txt` with one piece per line (read by the rules of
    /// bert-base-uncased), or a folder that holds `tokenizer.json` or `vocab.txt`.
    ///
    /// The file's own settings for truncation and padding are not used: lengths are arguments.
    ///
    /// # Errors
    /// When the file is absent or malformed, or has no token for padding (`[PAD]`, `<pad>`, or
    /// what its own padding section names).
    pub fn open(path: &Path) -> Result<Self, DataError> {
        let path = file_of(path)?;
        let malformed = |problem: String| DataError::malformed(&path, problem);
        let text = std::fs::read(&path).map_err(DataError::io(&path))?;
        let text =
            String::from_utf8(text).map_err(|error| malformed(format!("is not UTF-8: {error}")))?;
        let mut tokenizer = if path.extension().is_some_and(|extension| extension == "txt") {
            bert_uncased(&text).map_err(malformed)?
        } else {
            text.parse::<Tokenizer>()
                .map_err(|error| malformed(format!("is not a tokenizer.json: {error}")))?
        };
        let named = tokenizer.get_padding().map(|padding| padding.pad_token.clone());
        let names = named.as_deref().into_iter().chain(["[PAD]", "<pad>"]);
        let pad = names.filter_map(|name| tokenizer.token_to_id(name)).next().ok_or_else(|| {
            malformed("has no token for padding; add [PAD] or <pad> to its vocabulary".to_owned())
        })?;
        tokenizer.with_padding(None);
        tokenizer.with_truncation(None).map_err(|error| malformed(error.to_string()))?;
        let mask = ["[MASK]", "<mask>"].iter().find_map(|name| tokenizer.token_to_id(name));
        Ok(Self { tokenizer, path, pad, mask })
    }

    /// The file that it was read from.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Number of ids: one more than the largest.
    pub fn size(&self) -> usize {
        let vocabulary = self.tokenizer.get_vocab(true);
        vocabulary.values().max().map_or(0, |&id| id as usize + 1)
    }

    /// The id of padding.
    pub fn pad_id(&self) -> u32 {
        self.pad
    }

    /// The id of the token that stands for a masked piece, if the vocabulary has one.
    pub fn mask_id(&self) -> Option<u32> {
        self.mask
    }

    /// The id of a piece as the vocabulary writes it, such as `[CLS]` or `##s`.
    pub fn id(&self, piece: &str) -> Option<u32> {
        self.tokenizer.token_to_id(piece)
    }

    /// The piece of an id, as the vocabulary writes it; `None` beyond the vocabulary.
    pub fn piece(&self, id: u32) -> Option<String> {
        self.tokenizer.id_to_token(id)
    }

    /// Encodes a text to exactly `length` ids: a longer one is cut at its end (with
    /// [`Ends::Special`] the tokens around it stay), a shorter one is padded at its end.
    ///
    /// # Errors
    /// When `length` leaves no room besides the tokens around a text, or the tokenizer fails.
    pub fn encode(&self, text: &str, length: usize, ends: Ends) -> Result<Encoded, DataError> {
        self.encode_all(&[text], length, ends).map(|mut encoded| encoded.remove(0))
    }

    /// Like [`encode`](Self::encode) for many texts, in order, on rayon's threads.
    ///
    /// # Errors
    /// As `encode`.
    pub fn encode_all(
        &self,
        texts: &[&str],
        length: usize,
        ends: Ends,
    ) -> Result<Vec<Encoded>, DataError> {
        let special = ends == Ends::Special;
        let failed = |error: tokenizers::Error| DataError::malformed(&self.path, error);
        let around =
            if special { self.tokenizer.encode("", true).map_err(failed)?.len() } else { 0 };
        if length <= around {
            return Err(DataError::setting("length", length, format!("must be above {around}")));
        }
        let encodings = self.tokenizer.encode_batch_fast(texts.to_vec(), false).map_err(failed)?;
        let one = |mut encoding: Encoding| {
            let cut = encoding.len().saturating_sub(length - around);
            encoding.truncate(length - around, 0, TruncationDirection::Right);
            let encoding = match special {
                true => self.tokenizer.post_process(encoding, None, true).map_err(failed)?,
                false => encoding,
            };
            let mut ids = encoding.get_ids().to_vec();
            let used = ids.len();
            ids.resize(length, self.pad);
            Ok(Encoded { ids, used, cut })
        };
        encodings.into_iter().map(one).collect()
    }
}

/// The file that a path refers to.
fn file_of(path: &Path) -> Result<PathBuf, DataError> {
    if !path.is_dir() {
        return Ok(path.to_path_buf());
    }
    let candidates = ["tokenizer.json", "vocab.txt"].map(|name| path.join(name));
    candidates.into_iter().find(|file| file.is_file()).ok_or_else(|| DataError::Absent {
        path: path.to_path_buf(),
        wanted: "tokenizer.json or vocab.txt".to_owned(),
        remedy: "name the file itself, or a folder that holds one of them".to_owned(),
    })
}

/// The tokenizer of bert-base-uncased with the pieces of a `vocab.txt`, one per line.
fn bert_uncased(text: &str) -> Result<Tokenizer, String> {
    let vocabulary = places_of(text)?;
    let id = |name: &str| vocabulary.get(name).ok_or_else(|| format!("has no piece {name}"));
    id("[UNK]")?;
    let (start, end) = (id("[CLS]")?, id("[SEP]")?);
    let special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"];
    let added = special.iter().filter_map(|name| {
        let id = vocabulary.get(*name)?;
        Some(json!({
            "id": id, "content": name, "special": true, "single_word": false,
            "lstrip": false, "rstrip": false, "normalized": false,
        }))
    });
    let rules = json!({
        "version": "1.0",
        "added_tokens": added.collect::<Vec<_>>(),
        "normalizer": {
            "type": "BertNormalizer", "clean_text": true, "handle_chinese_chars": true,
            "strip_accents": null, "lowercase": true,
        },
        "pre_tokenizer": { "type": "BertPreTokenizer" },
        "post_processor": {
            "type": "BertProcessing", "sep": ["[SEP]", end], "cls": ["[CLS]", start],
        },
        "decoder": { "type": "WordPiece", "prefix": "##", "cleanup": true },
        "model": {
            "type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": "##",
            "max_input_chars_per_word": 100, "vocab": vocabulary,
        },
    });
    rules.to_string().parse().map_err(|error: tokenizers::Error| error.to_string())
}

/// Pieces with their positions; refuses pieces that are repeated or empty.
fn places_of(text: &str) -> Result<HashMap<&str, usize>, String> {
    let mut places = HashMap::new();
    for (place, piece) in text.lines().enumerate() {
        if piece.is_empty() {
            return Err(format!("line {} is empty; it must hold a piece", place + 1));
        }
        if let Some(first) = places.insert(piece, place) {
            return Err(format!("line {} repeats the piece of line {}", place + 1, first + 1));
        }
    }
    Ok(places)
}

#[cfg(test)]
mod tests;
