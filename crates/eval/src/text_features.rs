//! A frozen text encoder's features of documents, computed once and kept in a file.

use std::fs;
use std::path::Path;
use std::sync::atomic::AtomicBool;

use bauta_backbones::checkpoint::{read_tensors, write_tensors};
use bauta_backbones::{BertConfig, BertEncoder};
use bauta_data::text::{Encoded, Ends, WordPieces};
use bauta_files::wait_for;
use sha2::{Digest, Sha256};
use strum::Display;
use tch::{Device, Kind, Tensor};

use crate::EvalError;
use crate::watch::go_on;

/// Number of documents in one forward pass.
const BATCH: usize = 32;

/// The requested features of each document.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Display)]
#[strum(serialize_all = "kebab-case")]
pub enum TextFeatures {
    /// The last hidden state of each token, f16 [N, T, D], zero at padding.
    Tokens,
    /// The mean of the last hidden state over the tokens, f32 [N, D].
    Mean,
}

/// Features, f32, of the documents at the indices `places`, i64 `[B]`, from features of any kind.
pub fn chosen_features(all: &Tensor, places: &Tensor) -> Tensor {
    all.index_select(0, places).to_kind(Kind::Float)
}

/// A frozen text encoder with its vocabulary of word pieces.
#[derive(Debug)]
pub struct TextEncoder {
    pieces: WordPieces,
    encoder: BertEncoder,
    device: Device,
    /// Hash of all its files.
    hash: Vec<u8>,
}

impl TextEncoder {
    /// Opens a folder in Hugging Face's layout: `config.json` and `model.safetensors` of a
    /// `BertModel`, and `tokenizer.json` or `vocab.txt`.
    ///
    /// # Errors
    /// When a file is missing or malformed, the weights do not fit the sizes, or the vocabulary
    /// is larger than the encoder's.
    pub fn open(folder: &Path, device: Device) -> Result<Self, EvalError> {
        let (config, weights) = (folder.join("config.json"), folder.join("model.safetensors"));
        let read = |path: &Path| {
            fs::read(path).map_err(|source| EvalError::Read { path: path.to_owned(), source })
        };
        let text = read(&config)?;
        let sizes: BertConfig = serde_json::from_slice(&text).map_err(|error| {
            EvalError::Unsuitable(format!(
                "{}: it does not give the sizes of a BertModel: {error}",
                config.display()
            ))
        })?;
        let pieces = WordPieces::open(folder)?;
        if pieces.size() > sizes.vocab_size {
            return Err(EvalError::Unsuitable(format!(
                "{} has {} word pieces, but the encoder beside it has only {}",
                pieces.path().display(),
                pieces.size(),
                sizes.vocab_size
            )));
        }
        let mut hasher = Sha256::new();
        for bytes in [text, read(&weights)?, read(pieces.path())?] {
            hasher.update((bytes.len() as u64).to_le_bytes());
            hasher.update(bytes);
        }
        let encoder = BertEncoder::of_tensors(&sizes, &read_tensors(&weights)?, device)?;
        Ok(Self { pieces, encoder, device, hash: hasher.finalize().to_vec() })
    }

    /// Width of a token, D.
    pub fn width(&self) -> usize {
        self.encoder.config().hidden_size
    }

    /// The features of documents, cut to `length` tokens including the special tokens around the
    /// text; on the CPU.
    ///
    /// They are read from `folder` if they were computed before, and otherwise stored there, in a
    /// file whose name contains a hash of everything they depend on. Of several processes, one
    /// computes them and the others wait for it.
    ///
    /// # Errors
    /// When `length` does not fit the encoder, a file cannot be read or written, or `stop` is
    /// set.
    pub fn kept(
        &self,
        wanted: TextFeatures,
        texts: &[&str],
        length: usize,
        folder: &Path,
        stop: &AtomicBool,
    ) -> Result<Tensor, EvalError> {
        let file = folder.join(format!("{}.safetensors", self.name(wanted, texts, length)));
        let stored = || -> Result<Option<Tensor>, EvalError> {
            match file.is_file() {
                true => Ok(read_tensors(&file)?.remove(NAME)),
                false => Ok(None),
            }
        };
        if let Some(found) = stored()? {
            return Ok(found);
        }
        // Another process may compute them already.
        let _lock = wait_for(&file)
            .map_err(|source| EvalError::Write { path: folder.to_owned(), source })?;
        if let Some(found) = stored()? {
            return Ok(found);
        }
        let features = self.features(wanted, texts, length, stop)?;
        write_tensors(&file, [(NAME, &features)])?;
        Ok(features)
    }

    /// Like [`Self::kept`], but always computes the features.
    ///
    /// # Errors
    /// As [`Self::kept`].
    pub fn features(
        &self,
        wanted: TextFeatures,
        texts: &[&str],
        length: usize,
        stop: &AtomicBool,
    ) -> Result<Tensor, EvalError> {
        let longest = self.encoder.config().max_position_embeddings;
        if length > longest {
            return Err(EvalError::Unsuitable(format!(
                "{length} tokens per document are requested; the encoder reads at most {longest}"
            )));
        }
        let encoded = self.pieces.encode_all(texts, length, Ends::Special)?;
        // Documents of similar length are batched together, so that there is little padding.
        let mut order: Vec<usize> = (0..encoded.len()).collect();
        order.sort_by_key(|&place| encoded[place].used);
        let width = self.width() as i64;
        let (sides, kind) = match wanted {
            TextFeatures::Tokens => (vec![texts.len() as i64, length as i64, width], Kind::Half),
            TextFeatures::Mean => (vec![texts.len() as i64, width], Kind::Float),
        };
        let all = Tensor::zeros(&sides, (kind, Device::Cpu));
        for places in order.chunks(BATCH) {
            go_on(stop)?;
            let documents: Vec<&Encoded> = places.iter().map(|&place| &encoded[place]).collect();
            let features = tch::no_grad(|| self.pass(wanted, &documents))?;
            let features = features.to_device(Device::Cpu).to_kind(kind);
            for (row, &place) in places.iter().enumerate() {
                let features = features.get(row as i64);
                let into = all.get(place as i64);
                let into = match wanted {
                    TextFeatures::Tokens => into.narrow(0, 0, features.size()[0]),
                    TextFeatures::Mean => into,
                };
                into.shallow_clone().copy_(&features);
            }
        }
        Ok(all)
    }

    /// One forward pass of documents, padded to the longest of them.
    fn pass(&self, wanted: TextFeatures, documents: &[&Encoded]) -> Result<Tensor, EvalError> {
        let longest = documents.iter().map(|document| document.used).max().unwrap_or(1);
        let ids = documents.iter().flat_map(|document| &document.ids[..longest]);
        let ids: Vec<i64> = ids.map(|&id| i64::from(id)).collect();
        let seen =
            documents.iter().flat_map(|document| (0..longest).map(|place| place < document.used));
        let seen: Vec<bool> = seen.collect();
        let sides = [documents.len() as i64, longest as i64];
        let words = Tensor::from_slice(&ids).view(sides).to_device(self.device);
        let seen = Tensor::from_slice(&seen).view(sides).to_device(self.device);
        let present = seen.unsqueeze(-1).to_kind(Kind::Float);
        let hidden = self.encoder.encode(&words, &seen)? * &present;
        Ok(match wanted {
            TextFeatures::Tokens => hidden,
            TextFeatures::Mean => {
                let counts = present.sum_dim_intlist(1, false, Kind::Float);
                hidden.sum_dim_intlist(1, false, Kind::Float) / counts
            }
        })
    }

    fn name(&self, wanted: TextFeatures, texts: &[&str], length: usize) -> String {
        let mut hasher = Sha256::new();
        hasher.update(&self.hash);
        hasher.update((length as u64).to_le_bytes());
        for text in texts {
            hasher.update((text.len() as u64).to_le_bytes());
            hasher.update(text);
        }
        let hash = hasher.finalize();
        let hash: String = hash.iter().take(16).map(|byte| format!("{byte:02x}")).collect();
        format!("{wanted}-{hash}")
    }
}

/// The name of the tensor in a file.
const NAME: &str = "features";

#[cfg(test)]
mod tests {
    use super::*;

    /// An encoder of two blocks and seven pieces, at random weights.
    fn folder() -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        let vocabulary = "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\na\nb\n";
        fs::write(path("vocab.txt"), vocabulary).unwrap();
        let config = r#"{"vocab_size": 7, "hidden_size": 8, "num_hidden_layers": 2,
            "num_attention_heads": 2, "intermediate_size": 16, "max_position_embeddings": 12,
            "type_vocab_size": 2, "layer_norm_eps": 1e-12, "hidden_act": "gelu"}"#;
        fs::write(path("config.json"), config).unwrap();
        let encoder = BertEncoder::new(&serde_json::from_str(config).unwrap(), 3, Device::Cpu);
        encoder.unwrap().parameters().save(&path("model.safetensors")).unwrap();
        folder
    }

    fn stop(set: bool) -> AtomicBool {
        AtomicBool::new(set)
    }

    #[test]
    fn a_documents_features_do_not_depend_on_its_neighbours_and_are_kept() {
        let (folder, keep) = (folder(), tempfile::tempdir().unwrap());
        let encoder = TextEncoder::open(folder.path(), Device::Cpu).unwrap();
        let texts = ["a b a b a b a", "a", "", "b a", "a b a b a b a b a b a b a b"];
        let tokens = |texts: &[&str]| {
            encoder.features(TextFeatures::Tokens, texts, 10, &stop(false)).unwrap()
        };
        let all = tokens(&texts);
        assert_eq!((all.size(), all.kind()), (vec![5, 10, 8], Kind::Half));
        for (place, text) in texts.iter().enumerate() {
            let alone = tokens(&[text]).get(0);
            let off = (all.get(place as i64) - alone).abs().max().double_value(&[]);
            assert!(off < 2e-3, "{text}: {off}");
        }
        // [CLS] a [SEP], then padding.
        assert_eq!(all.get(1).narrow(0, 3, 7).abs().max().double_value(&[]), 0.0);
        assert!(all.get(1).narrow(0, 2, 1).abs().max().double_value(&[]) > 0.0);
        let mean = encoder.features(TextFeatures::Mean, &texts, 10, &stop(false)).unwrap();
        let wanted =
            all.get(1).narrow(0, 0, 3).to_kind(Kind::Float).mean_dim(0, false, Kind::Float);
        assert!((mean.get(1) - wanted).abs().max().double_value(&[]) < 2e-3);

        let kept = |texts: &[&str], length, stop: &AtomicBool| {
            encoder.kept(TextFeatures::Mean, texts, length, keep.path(), stop)
        };
        let stopped = kept(&texts, 10, &stop(true)).unwrap_err();
        assert!(matches!(stopped, EvalError::Stopped));
        let first = kept(&texts, 10, &stop(false)).unwrap();
        // The features are read, so stopping has no effect.
        assert_eq!(kept(&texts, 10, &stop(true)).unwrap(), first);
        for (texts, length) in [(&texts[1..], 10), (&texts[..], 9)] {
            assert!(kept(texts, length, &stop(true)).is_err());
        }
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let folder = folder();
        let encoder = TextEncoder::open(folder.path(), Device::Cpu).unwrap();
        let error = encoder.features(TextFeatures::Mean, &["a"], 13, &stop(false)).unwrap_err();
        assert!(error.to_string().contains("the encoder reads at most 12"), "{error}");
        let refused = || TextEncoder::open(folder.path(), Device::Cpu).unwrap_err().to_string();
        let vocabulary = "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\na\nb\nc\n";
        fs::write(folder.path().join("vocab.txt"), vocabulary).unwrap();
        let said = "has 8 word pieces, but the encoder beside it has only 7";
        assert!(refused().contains(said), "{}", refused());
        fs::write(folder.path().join("config.json"), "{}").unwrap();
        assert!(refused().contains("sizes of a BertModel"), "{}", refused());
        fs::remove_file(folder.path().join("config.json")).unwrap();
        assert!(refused().contains("config.json"), "{}", refused());
    }
}
