//! The parameters of a model: ordered, uniquely named, and each initialised from a seed by its
//! name.
//!
//! Names are those of timm and the MAE reference. A parameter's initial value is drawn from the
//! random stream (seed, "init", its name), so it depends neither on the order of construction nor
//! on libtorch's global generator.

use std::collections::HashMap;

use bauta_libtorch::{normal, uniform};
use bauta_streams::{Purpose, RandomStream, StreamKey};
use tch::{Device, Kind, Tensor};

const CPU: (Kind, Device) = (Kind::Float, Device::Cpu);

/// How a parameter is initialised.
#[derive(Clone, Debug, PartialEq)]
pub enum Init {
    /// Every element has this value.
    Constant(f32),
    /// Normal with mean 0 and this standard deviation.
    Normal(f64),
    /// The same with values beyond one standard deviation redrawn, which leaves 0.54 of it.
    TruncatedNormal(f64),
    /// Uniform in ± this bound.
    Uniform(f64),
    /// Uniform in ±√(6 / (fan in + fan out)), for the matrix [first dimension, all others].
    XavierUniform,
    /// This number or its negative, each with probability ½: "signed constant".
    Signed(f32),
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
    /// None in a sketch.
    seed: Option<u64>,
    /// Index of the draw for this seed.
    draw: u64,
    device: Device,
    entries: Vec<Parameter>,
    places: HashMap<String, usize>,
}

impl Parameters {
    /// Creates an empty set whose members are initialised from `seed` and live on `device`.
    pub fn new(seed: u64, device: Device) -> Self {
        Self::drawn(seed, 0, device)
    }

    /// The same with another draw for the same seed, for a network that starts anew.
    pub fn drawn(seed: u64, draw: u64, device: Device) -> Self {
        Self { seed: Some(seed), draw, device, entries: Vec::new(), places: HashMap::new() }
    }

    /// Creates an empty set whose members have names and shapes, but no memory of their own, for
    /// counting or listing the parameters of a model of any size.
    pub fn sketch() -> Self {
        Self {
            seed: None,
            draw: 0,
            device: Device::Cpu,
            entries: Vec::new(),
            places: HashMap::new(),
        }
    }

    /// The root of the namespace.
    pub fn root(&mut self) -> Scope<'_> {
        Scope { parameters: self, prefix: String::new() }
    }

    /// The device of the parameters.
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

    /// Makes exactly those parameters trainable whose names `chosen` accepts; no gradient is
    /// computed for the others, nor for the running moments of batch norms.
    pub fn train_only(&mut self, chosen: impl Fn(&str) -> bool) {
        for parameter in &mut self.entries {
            let moment = ["running_mean", "running_var"].map(|end| parameter.name.ends_with(end));
            parameter.trainable = chosen(&parameter.name) && !moment.contains(&true);
            // All handles share one tensor, which is changed in place.
            let _ = parameter.tensor.set_requires_grad(parameter.trainable);
        }
    }

    /// Number of scalars in all parameters.
    pub fn count(&self) -> usize {
        self.entries.iter().map(|parameter| parameter.tensor.numel()).sum()
    }

    fn add(&mut self, name: String, shape: &[i64], init: Init, trainable: bool) -> Tensor {
        let tensor = match self.seed {
            Some(seed) => {
                let sample = Purpose::named(&name).value();
                let key = StreamKey { seed, purpose: Purpose::INIT, epoch: self.draw, sample };
                let tensor = init.tensor(shape, &mut key.stream()).to_device(self.device);
                tensor.set_requires_grad(trainable)
            }
            None => Tensor::zeros([1], (Kind::Float, self.device)).expand(shape, false),
        };
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

/// A place in the namespace, where a layer adds its parameters.
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

    /// This scope again, for a part without a name of its own.
    pub fn again(&mut self) -> Scope<'_> {
        Scope { prefix: self.prefix.clone(), parameters: self.parameters }
    }

    /// Adds a parameter that training changes.
    ///
    /// # Panics
    /// When the name is taken.
    pub fn add(&mut self, name: &str, shape: &[i64], init: Init) -> Tensor {
        self.parameters.add(format!("{}{name}", self.prefix), shape, init, true)
    }

    /// Adds a tensor that belongs to the model but is not trained.
    ///
    /// # Panics
    /// When the name is taken.
    pub fn add_frozen(&mut self, name: &str, shape: &[i64], init: Init) -> Tensor {
        self.parameters.add(format!("{}{name}", self.prefix), shape, init, false)
    }
}

impl Init {
    /// A tensor on the CPU, initialised this way.
    fn tensor(self, shape: &[i64], stream: &mut RandomStream) -> Tensor {
        let count = shape.iter().product::<i64>();
        match self {
            Self::Constant(value) => Tensor::full(shape, f64::from(value), CPU),
            Self::Normal(std) => normal(shape, std, stream),
            Self::TruncatedNormal(std) => {
                let mut draw = || {
                    let mut draws = std::iter::repeat_with(|| stream.normal());
                    (std * draws.find(|draw| draw.abs() <= 1.0).expect("draws do not end")) as f32
                };
                let values: Vec<f32> = (0..count).map(|_| draw()).collect();
                Tensor::from_slice(&values).view(shape)
            }
            Self::Uniform(bound) => uniform(shape, -bound, bound, stream),
            Self::XavierUniform => {
                let rows = shape[0];
                let bound = (6.0 / (rows + count / rows) as f64).sqrt();
                uniform(shape, -bound, bound, stream)
            }
            // The signs are those of a uniform draw from the same stream.
            Self::Signed(size) => uniform(shape, -1.0, 1.0, stream).sign() * f64::from(size),
            Self::Values(values) => {
                assert_eq!(values.len(), count as usize, "initial values must fill {shape:?}");
                Tensor::from_slice(&values).view(shape)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values(tensor: &Tensor) -> Vec<f32> {
        tensor.detach().flatten(0, -1).try_into().unwrap()
    }

    #[test]
    fn a_value_depends_on_seed_and_name_alone() {
        let draw = |seed, names: &[&str]| {
            let mut parameters = Parameters::new(seed, Device::Cpu);
            for name in names {
                let _ = parameters.root().add(name, &[4, 3], Init::XavierUniform);
            }
            values(&parameters.get("b").unwrap().tensor)
        };
        assert_eq!(draw(1, &["a", "b"]), draw(1, &["b", "c"]));
        assert_ne!(draw(1, &["b"]), draw(2, &["b"]));
    }

    /// Every recorded run starts from these values.
    #[test]
    fn golden_values_never_change() {
        let mut parameters = Parameters::drawn(7, 2, Device::Cpu);
        let mut root = parameters.root();
        let mut start = |name: &str, init| values(&root.add(name, &[3, 2], init));
        let found = [
            start("a", Init::Normal(0.02)),
            start("b", Init::TruncatedNormal(0.02)),
            start("c", Init::Uniform(0.3)),
            start("d", Init::XavierUniform),
        ];
        let wanted = [
            [-0.008569083_f32, 0.017638331, -0.0059041153, -0.014310483, -0.02907129, -0.03767121],
            [0.003344718, 0.0073194867, 0.0077656466, 0.0061801914, -0.003547245, 0.013569644],
            [0.26320693, 0.21239574, 0.25682345, -0.09761248, -0.10565156, -0.12644666],
            [0.05322931, 1.0100657, 0.7089389, -0.2224919, 0.30541182, -0.59080017],
        ];
        assert_eq!(found.each_ref().map(Vec::as_slice), wanted.each_ref().map(|row| &row[..]));
    }

    #[test]
    fn draws_lie_within_their_bounds_and_fill_them() {
        let mut parameters = Parameters::new(0, Device::Cpu);
        let mut root = parameters.root();
        // One [3D, D] matrix: the bound is that of the whole matrix, sqrt(6 / 4D).
        let qkv = values(&root.add("qkv", &[3 * 64, 64], Init::XavierUniform));
        let bound = (6.0_f32 / (4.0 * 64.0)).sqrt();
        let largest = qkv.iter().fold(0.0_f32, |max, x| max.max(x.abs()));
        assert!(largest <= bound && largest > 0.99 * bound);

        let normal = values(&root.add("normal", &[20_000], Init::Normal(0.02)));
        let mean = normal.iter().sum::<f32>() / 20_000.0;
        let variance = normal.iter().map(|x| (x - mean).powi(2)).sum::<f32>() / 20_000.0;
        assert!(mean.abs() < 6e-4 && (variance.sqrt() - 0.02).abs() < 6e-4);

        let cut = values(&root.add("cut", &[20_000], Init::TruncatedNormal(0.02)));
        let largest = cut.iter().fold(0.0_f32, |max, x| max.max(x.abs()));
        assert!(largest <= 0.02 && largest > 0.0199);
        let square = cut.iter().map(|x| x.powi(2)).sum::<f32>() / 20_000.0;
        assert!((square.sqrt() - 0.0108).abs() < 1e-4, "{}", square.sqrt());
    }

    #[test]
    fn what_is_not_chosen_has_no_gradient() {
        let mut parameters = Parameters::new(0, Device::Cpu);
        let a = parameters.root().add("a", &[2], Init::Constant(1.0));
        let b = parameters.root().add_frozen("b", &[2], Init::Constant(2.0));
        parameters.train_only(|name| name == "b");
        assert!(!a.requires_grad() && b.requires_grad());
        assert_eq!(parameters.trainable().map(|p| p.name.as_str()).collect::<Vec<_>>(), ["b"]);
        let sum = (&a * &b).sum(Kind::Float);
        sum.backward();
        assert_eq!(values(&b.grad()), [1.0, 1.0]);
        assert!(!a.grad().defined());
    }

    #[test]
    #[should_panic(expected = "parameter a was added twice")]
    fn a_name_is_taken_once() {
        let mut parameters = Parameters::new(0, Device::Cpu);
        let _ = parameters.root().add("a", &[1], Init::Constant(0.0));
        let _ = parameters.root().add("a", &[1], Init::Constant(0.0));
    }
}
