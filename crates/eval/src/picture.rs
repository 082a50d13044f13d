//! Panels of images on one sheet, and the sheet as a PNG file.

use std::io::Cursor;
use std::path::Path;

use bauta_files::write_whole;
use image::{ImageFormat, RgbImage};
use tch::{Device, Kind, Tensor};

use crate::EvalError;

/// The layout of panels on a sheet.
#[derive(Clone, Debug)]
pub struct PictureLayout {
    /// Groups of panels per row; at least 1.
    pub columns: usize,
    /// Small images are enlarged by a whole factor to at least this height, in pixels.
    pub min_height: usize,
    /// White pixels between the panels of a group; four times as many between groups.
    pub gap: usize,
}

impl Default for PictureLayout {
    fn default() -> Self {
        Self { columns: 3, min_height: 96, gap: 3 }
    }
}

impl PictureLayout {
    /// Paints groups of panels [N, K, C, H, W] with values in [0, 1], C 1 or 3.
    pub(crate) fn paint(&self, panels: &Tensor) -> Picture {
        let [groups, count, channels, height, width] = panels.size()[..] else {
            unreachable!("panels have five dimensions")
        };
        let gap = self.gap as i64;
        let zoom = self.min_height.div_ceil(height as usize).max(1) as i64;
        let pixels = (panels.clamp(0.0, 1.0) * 255.0).round().to_kind(Kind::Uint8);
        let pixels = enlarge(&pixels.reshape([-1, channels, height, width]), zoom, zoom);

        // A panel and the gap after it; a group and the other gaps after it.
        let (down, right) = (height * zoom + 2 * gap, width * zoom + gap);
        let group_right = count * right + 3 * gap;
        let columns = (self.columns.max(1) as i64).min(groups);
        let rows = (groups + columns - 1) / columns;
        let sheet = [channels, rows * down + 2 * gap, columns * group_right];
        let sheet = Tensor::full(sheet, 255, (Kind::Uint8, panels.device()));
        for (panel, i) in pixels.unbind(0).iter().zip(0..) {
            let (group, place) = (i / count, i % count);
            let top = 2 * gap + group / columns * down;
            let left = 2 * gap + group % columns * group_right + place * right;
            sheet.narrow(1, top, height * zoom).narrow(2, left, width * zoom).copy_(panel);
        }
        Picture::new(&sheet)
    }
}

/// u8 pixels as f32 in [0, 1]: the bytes divided by 255.
///
/// # Errors
/// [`EvalError::Kind`] for any other kind.
pub(crate) fn unit_values(what: &'static str, pixels: &Tensor) -> Result<Tensor, EvalError> {
    let found = pixels.kind();
    if found != Kind::Uint8 {
        return Err(EvalError::Kind { what, found, expected: "Uint8" });
    }
    Ok(pixels.to_kind(Kind::Float) / 255.0)
}

/// Repeats each pixel of [N, C, H, W] `rows` × `columns` times.
pub(crate) fn enlarge(images: &Tensor, rows: i64, columns: i64) -> Tensor {
    images.repeat_interleave_self_int(rows, 2, None).repeat_interleave_self_int(columns, 3, None)
}

/// A painted picture.
#[derive(Clone, Debug)]
pub struct Picture(RgbImage);

impl Picture {
    /// Takes u8 pixels [C, H, W] with C = 1 (greyscale) or 3.
    fn new(pixels: &Tensor) -> Self {
        let [_, height, width] = pixels.size()[..] else {
            unreachable!("a picture has three dimensions")
        };
        let pixels = pixels.expand([3, height, width], false).permute([1, 2, 0]);
        let pixels = pixels.contiguous().to_device(Device::Cpu).view([-1]);
        let bytes = Vec::try_from(pixels).expect("a flat tensor of u8");
        let image = RgbImage::from_raw(width as u32, height as u32, bytes);
        Self(image.expect("three bytes a pixel"))
    }

    /// Width and height in pixels.
    pub fn dimensions(&self) -> (u32, u32) {
        self.0.dimensions()
    }

    /// The pixels.
    pub fn image(&self) -> &RgbImage {
        &self.0
    }

    /// The bytes of a PNG file; errors name it as `path`.
    ///
    /// # Errors
    /// [`EvalError::Encode`] when the picture is too large for PNG.
    pub(crate) fn png(&self, path: &Path) -> Result<Vec<u8>, EvalError> {
        let mut png = Cursor::new(Vec::new());
        self.0
            .write_to(&mut png, ImageFormat::Png)
            .map_err(|source| EvalError::Encode { path: path.into(), source })?;
        Ok(png.into_inner())
    }

    /// Writes a PNG file atomically: to a temporary file first, which is then renamed.
    ///
    /// # Errors
    /// [`EvalError::Write`] when the folder cannot be written,
    /// [`EvalError::Encode`] when the picture is too large for PNG.
    pub fn write_png(&self, path: &Path) -> Result<(), EvalError> {
        write_whole(path, &self.png(path)?)
            .map_err(|source| EvalError::Write { path: path.into(), source })
    }

    /// Writes pictures of one size as a looping animated PNG, each shown for `delay`
    /// milliseconds, the last four times as long.
    ///
    /// # Errors
    /// [`EvalError::Write`] when the folder cannot be written, and [`EvalError::Unsuitable`] when
    /// there is no picture or the pictures cannot be encoded.
    pub fn write_moving(frames: &[Self], delay: u16, path: &Path) -> Result<(), EvalError> {
        let bytes = Self::moving_png(frames, delay, path)?;
        write_whole(path, &bytes).map_err(|source| EvalError::Write { path: path.into(), source })
    }

    /// The bytes of an animated PNG; errors name it as `path`.
    ///
    /// # Errors
    /// [`EvalError::Unsuitable`], as [`Self::write_moving`].
    pub(crate) fn moving_png(
        frames: &[Self],
        delay: u16,
        path: &Path,
    ) -> Result<Vec<u8>, EvalError> {
        let Some(first) = frames.first() else {
            return Err(EvalError::Unsuitable("a moving picture needs a frame".to_owned()));
        };
        encode_moving(first.dimensions(), frames, delay).map_err(|source| {
            EvalError::Unsuitable(format!("cannot encode {}: {source}", path.display()))
        })
    }
}

fn encode_moving(
    (width, height): (u32, u32),
    frames: &[Picture],
    delay: u16,
) -> Result<Vec<u8>, png::EncodingError> {
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, width, height);
    encoder.set_color(png::ColorType::Rgb);
    encoder.set_animated(frames.len() as u32, 0)?;
    let mut writer = encoder.write_header()?;
    for (place, frame) in frames.iter().enumerate() {
        let times = if place + 1 == frames.len() { 4 } else { 1 };
        writer.set_frame_delay(delay.saturating_mul(times), 1000)?;
        writer.write_image_data(frame.0.as_raw())?;
    }
    writer.finish()?;
    Ok(bytes)
}
