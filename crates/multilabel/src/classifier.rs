//! Classifiers with one sigmoid per label: a bag of words, a 1-d convolution over their sequence,
//! or a perceptron on features that a frozen encoder made.
//!
//! Symbols: B documents, N labels, V ids of words, D width of an embedding.

use bauta_backbones::{Init, Linear, Scope};
use ndarray::Array2;
use tch::{Device, Kind, Tensor};

use crate::MultilabelError;

/// A classifier's input.
#[derive(Debug)]
pub enum Words {
    /// Documents as bags: the ids of all words, one document behind the other, with a weight each.
    Bag {
        /// Ids in 0..V, i64 of `[words]`.
        ids: Tensor,
        /// Where each document begins, i64 of `[B]`.
        offsets: Tensor,
        /// Weights (tf-idf, or shares that sum to 1), f32 of `[words]`.
        weights: Tensor,
    },
    /// Documents as sequences: ids, 0 where there is no word, i64 of `[B, L]`.
    Sequence(Tensor),
    /// Documents as features, f32 of `[B, D]`.
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

/// How words become the hidden layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Architecture {
    /// The weighted sum of embeddings, then a layer: an embedding bag with shares, a perceptron
    /// on tf-idf with these.
    Bag,
    /// Convolutions of 3, 4 and 5 words, ReLU, the maximum over the sequence (Kim, arXiv 1408.5882).
    Convolution,
    /// A layer on features of the whole document.
    Perceptron,
}

/// Sizes of a classifier.
#[derive(Clone, Debug, PartialEq)]
pub struct ClassifierConfig {
    /// How words become the hidden layer.
    pub architecture: Architecture,
    /// Ids of words, V; a perceptron has none and takes no notice.
    pub ids: usize,
    /// Width of an embedding, or of a document's features, D.
    pub dim: usize,
    /// Width of the hidden layer; of a convolution, filters of each width.
    pub hidden: usize,
    /// The share of training documents that bears each label, N of them: the output begins there.
    pub prevalence: Vec<f64>,
}

/// The widths of the convolutions, in words.
const WIDTHS: [i64; 3] = [3, 4, 5];

/// Embeddings where words are read, one hidden layer, N outputs.
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
    /// Adds the parameters `embedding.weight` (where words are read), `hidden.*` and `output.*`; the
    /// output's bias begins at the logit of each label's prevalence.
    ///
    /// # Errors
    /// When a size is 0, there is no label, or a prevalence is outside [0, 1].
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
        // Never surer than one document in ten thousand, so that no logit is infinite.
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

    /// The width of the hidden layer, which dropout masks have.
    pub fn width(&self) -> i64 {
        self.output.weight.size()[1]
    }

    /// The probabilities of documents' labels, read from the device: `[B, N]`.
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

    /// The logits of documents, `[B, N]`. `keep` `[B, width]` multiplies the hidden layer:
    /// 0 where a unit is dropped, 1 / (1 − rate) elsewhere.
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
