//! Mean and standard deviation of a data set's channels.

/// Per-channel moments of the training images, with samples scaled to [0, 1].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Statistics {
    /// Mean of each channel.
    pub mean: &'static [f32],
    /// Standard deviation of each channel.
    pub std: &'static [f32],
}

impl Statistics {
    /// CIFAR-10's training images.
    pub const CIFAR10: Self =
        Self { mean: &[0.4914, 0.4822, 0.4465], std: &[0.2470, 0.2435, 0.2616] };
    /// MNIST's training images.
    pub const MNIST: Self = Self { mean: &[0.1307], std: &[0.3081] };
    /// Fashion-MNIST's training images.
    pub const FASHION_MNIST: Self = Self { mean: &[0.2860], std: &[0.3530] };
    /// ImageNet's, the custom for photos of any origin.
    pub const IMAGENET: Self = Self { mean: &[0.485, 0.456, 0.406], std: &[0.229, 0.224, 0.225] };
}
