//! The parameters of a model: ordered, uniquely named, seeded by name.
//!
//! Names are those of timm and the MAE reference. A parameter starts from the
//! random stream (seed, "init", its name), so its value depends neither on the
//! order of construction nor on libtorch's global generator.

use std::collections::HashMap;

use bauta_masking::{Purpose, RandomStream, StreamKey};
use tch::{Device, Tensor};

/// How a parameter starts.
#[derive(Clone, Debug, PartialEq)]
pub enum Init {
    /// Every element is this.
    Constant(f32),
    /// Normal with mean 0 and this standard deviation.
    Normal(f64),
    /// Uniform in ± this bound.
    Uniform(f64),
    /// Uniform in ±√(6 / (fan in + fan out)), of the matrix [first side, all other sides].
    XavierUniform,
    /// These values, row by row.
    Values(Vec<f32>),
}

/// One named tensor of a model.
#[derive(Debug)]
pub struct Parameter {
    /// Its full name, such as `blocks.0.attn.qkv.weight`.
    pub name: String,
    /// Its value.
    pub tensor: Tensor,
    /// Whether training changes it.
    pub trainable: bool,
}

/// All parameters of a model, in the order in which they were added.
#[derive(Debug)]
pub struct Parameters {
    seed: u64,
    device: Device,
    entries: Vec<Parameter>,
    places: HashMap<String, usize>,
}

impl Parameters {
    /// Creates an empty set whose members will start from `seed` and live on `device`.
    pub fn new(seed: u64, device: Device) -> Self {
        Self { seed, device, entries: Vec::new(), places: HashMap::new() }
    }

    /// The top of the name space.
    pub fn root(&mut self) -> Scope<'_> {
        Scope { parameters: self, prefix: String::new() }
    }

    /// Where the parameters live.
    pub fn device(&self) -> Device {
        self.device
    }

    /// The parameters, in the order in which they were added.
    pub fn iter(&self) -> std::slice::Iter<'_, Parameter> {
        self.entries.iter()
    }

    /// The parameters that training changes, in order.
    pub fn trainable(&self) -> impl Iterator<Item = &Parameter> {
        self.entries.iter().filter(|parameter| parameter.trainable)
    }

    /// The parameter of this name.
    pub fn get(&self, name: &str) -> Option<&Parameter> {
        self.places.get(name).map(|&place| &self.entries[place])
    }

    /// Number of scalars in all parameters.
    pub fn count(&self) -> usize {
        self.entries.iter().map(|parameter| parameter.tensor.numel()).sum()
    }

    fn add(&mut self, name: String, shape: &[i64], init: Init, trainable: bool) -> Tensor {
        let key = StreamKey {
            seed: self.seed,
            purpose: Purpose::INIT,
            epoch: 0,
            sample: Purpose::named(&name).value(),
        };
        let values = init.values(shape, &mut key.stream());
        let tensor = Tensor::from_slice(&values)
            .view(shape)
            .to_device(self.device)
            .set_requires_grad(trainable);
        let result = tensor.shallow_clone();
        let place = self.entries.len();
        let previous = self.places.insert(name.clone(), place);
        assert!(previous.is_none(), "parameter {name} was added twice");
        self.entries.push(Parameter { name, tensor, trainable });
        result
    }
}

impl<'a> IntoIterator for &'a Parameters {
    type Item = &'a Parameter;
    type IntoIter = std::slice::Iter<'a, Parameter>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

/// A place in the name space, where a layer adds its parameters.
#[derive(Debug)]
pub struct Scope<'a> {
    parameters: &'a mut Parameters,
    prefix: String,
}

impl Scope<'_> {
    /// The scope of a part, `name` below this one.
    pub fn sub(&mut self, name: impl std::fmt::Display) -> Scope<'_> {
        Scope { prefix: format!("{}{name}.", self.prefix), parameters: self.parameters }
    }

    /// Adds a parameter that training changes.
    ///
    /// # Panics
    /// When the name is taken.
    pub fn add(&mut self, name: &str, shape: &[i64], init: Init) -> Tensor {
        self.parameters.add(format!("{}{name}", self.prefix), shape, init, true)
    }

    /// Adds a tensor that belongs to the model but not to training.
    ///
    /// # Panics
    /// When the name is taken.
    pub fn add_frozen(&mut self, name: &str, shape: &[i64], init: Init) -> Tensor {
        self.parameters.add(format!("{}{name}", self.prefix), shape, init, false)
    }
}

impl Init {
    fn values(self, shape: &[i64], stream: &mut RandomStream) -> Vec<f32> {
        let count = shape.iter().product::<i64>() as usize;
        let mut fill = |draw: &mut dyn FnMut(&mut RandomStream) -> f64| -> Vec<f32> {
            (0..count).map(|_| draw(stream) as f32).collect()
        };
        match self {
            Self::Constant(value) => vec![value; count],
            Self::Normal(std) => fill(&mut |stream| std * stream.normal()),
            Self::Uniform(bound) => fill(&mut |stream| stream.uniform_in(-bound, bound)),
            Self::XavierUniform => {
                let rows = shape[0];
                let columns = count as i64 / rows;
                let bound = (6.0 / (rows + columns) as f64).sqrt();
                fill(&mut |stream| stream.uniform_in(-bound, bound))
            }
            Self::Values(values) => {
                assert_eq!(values.len(), count, "initial values must fill {shape:?}");
                values
            }
        }
    }
}
