//! Gaussian blur as torchvision's `gaussian_blur`: a kernel of a given side, with reflected
//! borders.

use super::operations::Planes;

/// Blurs each channel with a Gaussian of standard deviation `sigma` pixels, cut to `side` pixels,
/// an odd number.
///
/// An image with a side that the kernel would reflect twice stays as it is.
pub(super) fn gaussian_blur(
    image: &mut Planes<'_>,
    side: usize,
    sigma: f64,
    scratch: &mut Vec<u8>,
) {
    let (height, width, half) = (image.height, image.width, side / 2);
    if half >= height.min(width) {
        return;
    }
    let weight = |place: usize| {
        let from_middle = (place as f64 - half as f64) / sigma;
        (-0.5 * from_middle * from_middle).exp()
    };
    let sum: f64 = (0..side).map(weight).sum();
    let kernel: Vec<f32> = (0..side).map(|place| (weight(place) / sum) as f32).collect();
    let mut rows = vec![0.0_f32; height * width];
    let mut padded = vec![0.0_f32; width + 2 * half];
    for plane in image.pixels.chunks_exact_mut(height * width) {
        scratch.clear();
        scratch.extend_from_slice(plane);
        for (row, out) in scratch.chunks_exact(width).zip(rows.chunks_exact_mut(width)) {
            for (place, sample) in padded.iter_mut().enumerate() {
                *sample = f32::from(row[mirrored(place, half, width)]);
            }
            out.fill(0.0);
            for (tap, &weight) in kernel.iter().enumerate() {
                let shifted = &padded[tap..][..width];
                out.iter_mut().zip(shifted).for_each(|(out, &sample)| *out += weight * sample);
            }
        }
        let mut column = vec![0.0_f32; width];
        for (y, out) in plane.chunks_exact_mut(width).enumerate() {
            column.fill(0.0);
            for (tap, &weight) in kernel.iter().enumerate() {
                let row = &rows[mirrored(y + tap, half, height) * width..][..width];
                column.iter_mut().zip(row).for_each(|(sum, &sample)| *sum += weight * sample);
            }
            for (out, &sum) in out.iter_mut().zip(&column) {
                *out = sum.round_ties_even() as u8;
            }
        }
    }
}

/// The position in 0..`size` of a sample of the padded row, the border not being repeated.
fn mirrored(padded: usize, half: usize, size: usize) -> usize {
    let place = padded.abs_diff(half);
    if padded >= half && place >= size { 2 * (size - 1) - place } else { place }
}
