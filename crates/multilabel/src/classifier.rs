//! Classifiers with one sigmoid per label: a bag of words, a 1-d convolution over the word
//! sequence, or a perceptron on features from a frozen encoder.
//!
//! Symbols: B documents, N labels, V word ids, D width of an embedding.

use bauta_backbones::{Init, Linear, Scope};
use ndarray::Array2;
use tch::{Device, Kind, Tensor};

use crate::MultilabelError;

/// A classifier's input.
#[derive(Debug)]
pub enum Words {
    /// Documents as bags: the ids of all words, concatenated over documents, with one weight each.
    Bag {
        /// Ids in 0..V, i64 `[words]`.
        ids: Tensor,
        /// The start of each document, i64 `[B]`.
        offsets: Tensor,
        /// Weights (tf-idf, or fractions that sum to 1), f32 `[words]`.
        weights: Tensor,
    },
    /// Documents as sequences: ids, 0 for padding, i64 `[B, L]`.
    Sequence(Tensor),
    /// Documents as features, f32 `[B, D]`.
    Features(Tensor),
}

impl Words {
    /// The same on a device.
    pub fn to_device(&self, device: Device) -> Self {
        match self {
            Self::Bag { ids, offsets, weights } => Self::Bag {
                ids: ids.to_device(device),
                offsets: offsets.to_device(device),
                weights: weights.to_device(device),
            },
            Self::Sequence(ids) => Self::Sequence(ids.to_device(device)),
            Self::Features(features) => Self::Features(features.to_device(device)),
        }
    }
}

/// How the hidden layer is computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Architecture {
    /// The weighted sum of embeddings, then a layer. With fractions as weights this is an embedding
    /// bag, with tf-idf a perceptron.
    Bag,
    /// Convolutions over 3, 4 and 5 words, ReLU, the maximum over the sequence (Kim, arXiv
    /// 1408.5882).
    Convolution,
    /// A layer on features of the whole document.
    Perceptron,
}

/// Sizes of a classifier.
#[derive(Clone, Debug, PartialEq)]
pub struct ClassifierConfig {
    /// How the hidden layer is computed.
    pub architecture: Architecture,
    /// Number of word ids, V, at least 1; not used by a perceptron.
    pub ids: usize,
    /// Width of an embedding, or of a document's features, D.
    pub dim: usize,
    /// Width of the hidden layer; for a convolution, the number of filters of each width.
    pub hidden: usize,
    /// The fraction of training documents with each label, N of them, which initialises the output.
    pub prevalence: Vec<f64>,
}

/// The widths of the convolutions, in words.
const WIDTHS: [i64; 3] = [3, 4, 5];

/// Embeddings, if words are read, one hidden layer and N outputs.
#[derive(Debug)]
pub struct Classifier {
    body: Body,
    output: Linear,
}

#[derive(Debug)]
enum Body {
    Bag { embedding: Tensor, hidden: Linear },
    Convolution { embedding: Tensor, filters: Vec<[Tensor; 2]> },
    Perceptron(Linear),
}

impl Classifier {
    /// Adds the parameters `embedding.weight` (if words are read), `hidden.*` and `output.*`; the
    /// output's bias is initialised to the logit of each label's prevalence.
    ///
    /// # Errors
    /// When a size is 0, there are no labels, or a prevalence is outside [0, 1].
    pub fn new(mut scope: Scope<'_>, config: &ClassifierConfig) -> Result<Self, MultilabelError> {
        let ClassifierConfig { architecture, ids, dim, hidden, prevalence } = config;
        for (argument, size) in
            [("ids", *ids), ("dim", *dim), ("hidden", *hidden), ("prevalence", prevalence.len())]
        {
            if size == 0 {
                return Err(MultilabelError::argument(argument, 0, "must be at least 1"));
            }
        }
        if let Some(value) = prevalence.iter().find(|share| !(0.0..=1.0).contains(*share)) {
            return Err(MultilabelError::argument("prevalence", value, "must be in [0, 1]"));
        }
        let (labels, sides) = (prevalence.len(), [*ids as i64, *dim as i64]);
        let mut embedding = || scope.sub("embedding").add("weight", &sides, Init::Normal(0.1));
        let (body, width) = match architecture {
            Architecture::Bag => {
                let embedding = embedding();
                let layer = Linear::new(scope.sub("hidden"), *dim, *hidden, true);
                (Body::Bag { embedding, hidden: layer }, *hidden)
            }
            Architecture::Perceptron => {
                let layer = Linear::new(scope.sub("hidden"), *dim, *hidden, true);
                (Body::Perceptron(layer), *hidden)
            }
            Architecture::Convolution => {
                let embedding = embedding();
                let mut hidden_scope = scope.sub("hidden");
                let mut convolution = |words: i64| {
                    let mut scope = hidden_scope.sub(words);
                    let sides = [*hidden as i64, *dim as i64, words];
                    let weight = scope.add("weight", &sides, Init::XavierUniform);
                    [weight, scope.add("bias", &[*hidden as i64], Init::Constant(0.0))]
                };
                let filters: Vec<_> = WIDTHS.iter().map(|&words| convolution(words)).collect();
                (Body::Convolution { embedding, filters }, *hidden * WIDTHS.len())
            }
        };
        let mut output = scope.sub("output");
        // Probabilities are clamped to at least one in ten thousand, so that no logit is infinite.
        let logit = |share: &f64| {
            let share = share.clamp(1e-4, 1.0 - 1e-4);
            (share / (1.0 - share)).ln() as f32
        };
        let bias = Init::Values(prevalence.iter().map(logit).collect());
        let output = Linear {
            weight: output.add("weight", &[labels as i64, width as i64], Init::XavierUniform),
            bias: Some(output.add("bias", &[labels as i64], bias)),
        };
        Ok(Self { body, output })
    }

    /// The width of the hidden layer and of dropout masks.
    pub fn width(&self) -> i64 {
        self.output.weight.size()[1]
    }

    /// The probabilities of documents' labels, copied to the host: `[B, N]`.
    ///
    /// # Panics
    /// As [`Self::forward`].
    pub fn probabilities(&self, words: &Words) -> Array2<f32> {
        let outputs = tch::no_grad(|| self.forward(words, None).sigmoid());
        let sides = outputs.size();
        let flat = outputs.to_device(Device::Cpu).flatten(0, -1);
        let flat = Vec::<f32>::try_from(&flat).expect("a vector of single precision");
        Array2::from_shape_vec((sides[0] as usize, sides[1] as usize), flat).expect("it was B · N")
    }

    /// The logits of documents, `[B, N]`. `keep` `[B, width]` multiplies the hidden layer: 0 for a
    /// dropped unit, 1 / (1 − rate) otherwise.
    ///
    /// # Panics
    /// When the words are not of the architecture's kind.
    pub fn forward(&self, words: &Words, keep: Option<&Tensor>) -> Tensor {
        let hidden = match (&self.body, words) {
            (Body::Bag { embedding, hidden }, Words::Bag { ids, offsets, weights }) => {
                // Mode 0 sums.
                let (sum, ..) = Tensor::embedding_bag(
                    embedding,
                    ids,
                    offsets,
                    false,
                    0,
                    false,
                    Some(weights),
                    false,
                );
                hidden.forward(&sum).relu()
            }
            (Body::Perceptron(hidden), Words::Features(features)) => {
                hidden.forward(features).relu()
            }
            (Body::Convolution { embedding, filters }, Words::Sequence(ids)) => {
                let embedded = Tensor::embedding(embedding, ids, 0, false, false);
                let present = ids.not_equal(0).unsqueeze(-1).to_kind(Kind::Float);
                let embedded = (embedded * present).transpose(1, 2);
                let convolved = filters.iter().map(|[weight, bias]| {
                    let padding = weight.size()[2] - 1;
                    let response = embedded.conv1d(weight, Some(bias), 1, padding, 1, 1).relu();
                    response.amax([2], false)
                });
                Tensor::cat(&convolved.collect::<Vec<_>>(), 1)
            }
            _ => panic!("the words are not those of the classifier's architecture"),
        };
        self.output.forward(&match keep {
            Some(keep) => hidden * keep,
            None => hidden,
        })
    }
}
