//! Projectors and predictors: sequences of linear layers, batch normalisations and ReLU, named by
//! their index as in torch's `Sequential`.

use bauta_backbones::{BatchNorm, Init, Linear, Moments, Scope};
use tch::Tensor;

/// The layers of a head.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Part {
    /// A linear layer with the given number of outputs, with or without a bias.
    Linear(usize, bool),
    /// A batch normalisation, with or without scale and shift.
    Norm(bool),
    Relu,
}

/// A head of several layers, or of a single layer that has the head's own name.
#[derive(Debug)]
pub(crate) struct Head(Vec<Layer>);

#[derive(Debug)]
enum Layer {
    Linear(Linear),
    Norm(BatchNorm),
    Relu,
}

impl Head {
    pub(crate) fn new(mut scope: Scope<'_>, inputs: usize, parts: &[Part]) -> Self {
        let mut width = inputs;
        let mut layers = Vec::new();
        for (place, &part) in parts.iter().enumerate() {
            let scope = if parts.len() == 1 { scope.again() } else { scope.sub(place) };
            layers.push(match part {
                Part::Linear(outputs, bias) => {
                    // torch's default initialisation.
                    let init = Init::Uniform(1.0 / (width as f64).sqrt());
                    let layer = Linear::starting(scope, width, outputs, init, bias);
                    width = outputs;
                    Layer::Linear(layer)
                }
                Part::Norm(true) => Layer::Norm(BatchNorm::new(scope, width)),
                Part::Norm(false) => Layer::Norm(BatchNorm::plain(scope, width)),
                Part::Relu => Layer::Relu,
            });
        }
        Self(layers)
    }

    /// [B, in] to [B, out].
    pub(crate) fn forward(&self, x: &Tensor, moments: Moments) -> Tensor {
        self.0.iter().fold(x.shallow_clone(), |x, layer| match layer {
            Layer::Linear(linear) => linear.forward(&x),
            Layer::Norm(norm) => norm.forward(&x, moments),
            Layer::Relu => x.relu(),
        })
    }
}
