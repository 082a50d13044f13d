//! Host batches as tensors.

use std::sync::Arc;

use bauta_data::{DataError, Loader, LoaderConfig, Source};
use bauta_libtorch::on_one_thread;
pub use bauta_train::host_tensor;
use tch::{Kind, Tensor};

/// All images of a source in order, u8 [N, C, H, W], and their labels i64 `[N]`, on the host.
/// For a source without labels, the labels are empty.
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

/// Appends a point, a scalar of any kind, to a curve of doubles, without waiting for the device.
pub fn appended(curve: Option<&Tensor>, point: &Tensor) -> Tensor {
    let point = point.detach().to_kind(Kind::Double).view([1]);
    curve.map_or_else(|| point.copy(), |curve| Tensor::cat(&[curve, &point], 0))
}

/// The images at the indices `rows` of a batch [B, ..], in their order; the batch itself if the
/// indices are all of it in order.
///
/// # Panics
/// When an index is outside the batch.
pub fn rows_of(images: &Tensor, rows: &[usize]) -> Tensor {
    if rows.iter().copied().eq(0..images.size()[0] as usize) {
        return images.shallow_clone();
    }
    let rows: Vec<i64> = rows.iter().map(|&row| row as i64).collect();
    images.index_select(0, &Tensor::from_slice(&rows).to_device(images.device()))
}
