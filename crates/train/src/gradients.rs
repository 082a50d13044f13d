//! The gradients of a step by name, for objectives that change them before the optimiser's step.

use tch::Tensor;

/// The gradients of the trained parameters, before norm, clip and step.
///
/// They are the means over the inputs of the step. The optimiser sees the values written into
/// them; shapes and layout must stay, so change them in place. A parameter that the loss does not
/// depend on has a gradient of zeros.
#[derive(Debug)]
pub struct Gradients<'a> {
    names: &'a [String],
    tensors: &'a mut [Tensor],
}

impl<'a> Gradients<'a> {
    /// Pairs names with gradients.
    ///
    /// # Panics
    /// When there are more of one than of the other.
    pub fn new(names: &'a [String], tensors: &'a mut [Tensor]) -> Self {
        assert_eq!(names.len(), tensors.len(), "each gradient has a name");
        Self { names, tensors }
    }

    /// The gradient of the parameter with this name, if it is trained.
    pub fn get_mut(&mut self, name: &str) -> Option<&mut Tensor> {
        let place = self.names.iter().position(|known| known == name)?;
        Some(&mut self.tensors[place])
    }

    /// All gradients with the names of their parameters.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = (&str, &mut Tensor)> {
        self.names.iter().map(String::as_str).zip(self.tensors.iter_mut())
    }
}
