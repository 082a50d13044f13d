//! A host batch as tensors.

use std::sync::Arc;

use bauta_data::{DataError, Loader, LoaderConfig, Source};
use bauta_libtorch::on_one_thread;
use ndarray::{Array, Dimension};
use tch::{Kind, Tensor};

/// Bytes of a batch, pixels [B, C, H, W] or labels [B, H, W], as a u8 tensor of the same
/// shape on the host.
///
/// ```
/// let pixels = ndarray::Array4::<u8>::from_elem((2, 3, 4, 5), 7);
/// assert_eq!(bauta_eval::host_tensor(&pixels).size(), [2, 3, 4, 5]);
/// ```
pub fn host_tensor<D: Dimension>(bytes: &Array<u8, D>) -> Tensor {
    let shape: Vec<i64> = bytes.shape().iter().map(|&side| side as i64).collect();
    let bytes = bytes.as_standard_layout();
    let flat = bytes.as_slice().expect("the standard layout is one slice");
    Tensor::from_slice(flat).view(shape.as_slice())
}

/// All images of a source in order, u8 [N, C, H, W], and their labels i64 [N], on the host.
/// Images without a label have none, and N is 0 of them.
///
/// # Errors
/// When an image cannot be read and `config` does not skip it.
pub fn whole_source(
    source: Arc<dyn Source>,
    config: LoaderConfig,
) -> Result<[Tensor; 2], DataError> {
    let loader = Loader::for_evaluation(source, config)?;
    let prepare = on_one_thread(|batch: bauta_data::Batch| {
        let labels = Tensor::from_slice(&batch.labels.unwrap_or_default());
        [host_tensor(&batch.pixels), labels]
    });
    let batches = loader.batches(0..loader.steps_per_epoch(), prepare);
    let (mut pixels, mut labels) = (Vec::new(), Vec::new());
    for batch in batches {
        let [images, classes] = batch?;
        pixels.push(images);
        labels.push(classes);
    }
    Ok([Tensor::cat(&pixels, 0), Tensor::cat(&labels, 0)])
}

/// A curve of doubles with one more point, a scalar of any kind, without waiting for the device.
pub fn appended(curve: Option<&Tensor>, point: &Tensor) -> Tensor {
    let point = point.detach().to_kind(Kind::Double).view([1]);
    curve.map_or_else(|| point.copy(), |curve| Tensor::cat(&[curve, &point], 0))
}
