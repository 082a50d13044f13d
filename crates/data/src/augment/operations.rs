//! The operations of RandAugment on colours, as Pillow computes them.
//!
//! Images are planes, \[channels, height, width\]. All but sharpening and the geometry of `warp`
//! change each pixel on its own, some of them with statistics of the whole image.

/// An image in planes.
pub(super) struct Planes<'a> {
    pub(super) pixels: &'a mut [u8],
    pub(super) channels: usize,
    pub(super) height: usize,
    pub(super) width: usize,
}

impl Planes<'_> {
    fn planes(&mut self) -> std::slice::ChunksExactMut<'_, u8> {
        self.pixels.chunks_exact_mut(self.height * self.width)
    }

    /// Replaces every sample by its entry in a table.
    fn look_up(&mut self, entry: impl Fn(u8) -> u8) {
        let table: [u8; 256] = std::array::from_fn(|sample| entry(sample as u8));
        self.pixels.iter_mut().for_each(|sample| *sample = table[usize::from(*sample)]);
    }

    /// Stretches each channel to the whole range (`ImageOps.autocontrast`).
    pub(super) fn auto_contrast(&mut self) {
        for plane in self.planes() {
            let (Some(&low), Some(&high)) = (plane.iter().min(), plane.iter().max()) else {
                continue;
            };
            if high <= low {
                continue;
            }
            let scale = 255.0 / f64::from(high - low);
            let offset = -f64::from(low) * scale;
            for sample in plane {
                *sample = (f64::from(*sample) * scale + offset) as u8;
            }
        }
    }

    /// Makes each channel's histogram as flat as a table can (`ImageOps.equalize`).
    pub(super) fn equalize(&mut self) {
        for plane in self.planes() {
            let mut histogram = [0_usize; 256];
            plane.iter().for_each(|&sample| histogram[usize::from(sample)] += 1);
            let mut used = histogram.iter().filter(|&&count| count > 0);
            let last = *used.next_back().unwrap_or(&0);
            // `next_back` has taken the last level; there is a second one, or nothing to equalise.
            if used.next().is_none() {
                continue;
            }
            let step = (plane.len() - last) / 255;
            if step == 0 {
                continue;
            }
            let mut sum = step / 2;
            let table = histogram.map(|count| {
                let entry = (sum / step).min(255) as u8;
                sum += count;
                entry
            });
            plane.iter_mut().for_each(|sample| *sample = table[usize::from(*sample)]);
        }
    }

    /// Inverts every sample: 255 − sample.
    pub(super) fn invert(&mut self) {
        self.look_up(|sample| 255 - sample);
    }

    /// Keeps the highest `bits` bits.
    pub(super) fn posterize(&mut self, bits: u32) {
        let mask = if bits >= 8 { 255 } else { !(255_u8 >> bits) };
        self.look_up(|sample| sample & mask);
    }

    /// Inverts samples of at least `threshold`.
    pub(super) fn solarize(&mut self, threshold: u32) {
        self.look_up(|sample| if u32::from(sample) < threshold { sample } else { 255 - sample });
    }

    /// Brightens samples below 128.
    pub(super) fn solarize_add(&mut self, add: u8) {
        self.look_up(|sample| if sample < 128 { sample.saturating_add(add) } else { sample });
    }

    /// Interpolates or extrapolates a sample: factor 0 gives the degenerate image, 1 this one
    /// (`Image.blend`, in single precision, clipped to bytes).
    fn blend(sample: &mut u8, degenerate: u8, factor: f32) {
        let (from, to) = (f32::from(degenerate), f32::from(*sample));
        // The cast truncates, and clips values that are out of range.
        *sample = (from + factor * (to - from)) as u8;
    }

    /// Blends away from or towards black (`ImageEnhance.Brightness`).
    pub(super) fn brightness(&mut self, factor: f32) {
        self.look_up(|mut sample| {
            Self::blend(&mut sample, 0, factor);
            sample
        });
    }

    /// Blends away from or towards the mean grey (`ImageEnhance.Contrast`).
    pub(super) fn contrast(&mut self, factor: f32) {
        let area = self.height * self.width;
        let sum: u64 = (0..area).map(|place| u64::from(self.grey(place))).sum();
        let mean = (sum as f64 / area as f64 + 0.5) as u8;
        self.look_up(|mut sample| {
            Self::blend(&mut sample, mean, factor);
            sample
        });
    }

    /// Blends away from or towards grey (`ImageEnhance.Color`); a grey image stays as it is.
    pub(super) fn color(&mut self, factor: f32) {
        let area = self.height * self.width;
        if self.channels != 3 {
            return;
        }
        for place in 0..area {
            let grey = self.grey(place);
            for channel in 0..3 {
                Self::blend(&mut self.pixels[channel * area + place], grey, factor);
            }
        }
    }

    /// Luma of a pixel (ITU-R 601-2, in Pillow's fixed point).
    fn grey(&self, place: usize) -> u8 {
        let area = self.height * self.width;
        let at = |channel: usize| u32::from(self.pixels[channel * area + place]);
        match self.channels {
            3 => ((at(0) * 19595 + at(1) * 38470 + at(2) * 7471 + 0x8000) >> 16) as u8,
            _ => self.pixels[place],
        }
    }

    /// Blends away from or towards a smoothed image (`ImageEnhance.Sharpness`): (1, 1, 1; 1, 5, 1;
    /// 1, 1, 1) / 13, the border left as it is.
    pub(super) fn sharpness(&mut self, factor: f32, scratch: &mut Vec<u8>) {
        let (height, width) = (self.height, self.width);
        for plane in self.planes() {
            scratch.clear();
            scratch.extend_from_slice(plane);
            for y in 0..height {
                for x in 0..width {
                    let place = y * width + x;
                    let inside = 0 < y && y + 1 < height && 0 < x && x + 1 < width;
                    let smooth = if inside {
                        let around = (0..3).flat_map(|dy| {
                            let first = (y + dy - 1) * width + x - 1;
                            &scratch[first..first + 3]
                        });
                        let sum: u32 = around.map(|&sample| u32::from(sample)).sum();
                        let sum = sum + 4 * u32::from(scratch[place]);
                        (f64::from(sum) / 13.0 + 0.5) as u8
                    } else {
                        scratch[place]
                    };
                    Self::blend(&mut plane[place], smooth, factor);
                }
            }
        }
    }
}
