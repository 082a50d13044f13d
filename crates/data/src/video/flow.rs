//! Optical flow: each pixel's displacement from one frame to the next.
//!
//! TV-L1 (Zach, Pock and Bischof, DAGM 2007), by the scheme of Sánchez, Meinhardt-Llopis and
//! Facciolo (IPOL 2013) with the median filter and the settings of OpenCV's `DualTVL1OpticalFlow`,
//! with which it is compared in tests. It uses one thread, and its results are bitwise
//! reproducible.

mod clips;
mod plane;
mod scale;

pub use self::clips::ClipFlow;
use bauta_datasets::DataError;

use self::plane::Plane;
use self::scale::refine;

/// Minimum side of a picture of the pyramid, in pixels.
const SHORTEST: usize = 16;

/// Settings of the flow; the defaults are OpenCV's.
#[derive(Clone, Debug, PartialEq)]
pub struct TvL1Config {
    /// Step of the dual variables, τ, above 0 and at most 0.25.
    pub time_step: f32,
    /// Weight of constant brightness against smoothness, λ, above 0.
    pub attachment: f32,
    /// Tightness of the coupling between both terms, θ, above 0.
    pub tightness: f32,
    /// Number of pictures in the pyramid, at least 1; fewer if the next had a side below 16 pixels.
    pub scales: usize,
    /// Size of a picture of the pyramid relative to the one below, in \[0.1, 0.9\].
    pub scale_step: f64,
    /// Number of times that the second frame is warped per picture of the pyramid, at least 1.
    pub warps: usize,
    /// Median filters per warp, and maximum number of steps after each, both at least 1.
    pub iterations: [usize; 2],
    /// Root mean square change of a step in pixels below which a warp is done, at least 0.
    pub epsilon: f32,
}

impl Default for TvL1Config {
    fn default() -> Self {
        Self {
            time_step: 0.25,
            attachment: 0.15,
            tightness: 0.3,
            scales: 5,
            scale_step: 0.8,
            warps: 5,
            iterations: [10, 30],
            epsilon: 0.01,
        }
    }
}

/// Computes optical flow.
#[derive(Clone, Debug)]
pub struct TvL1 {
    config: TvL1Config,
}

impl TvL1 {
    /// Checks the settings.
    ///
    /// # Errors
    /// [`DataError::Setting`] when one is out of its range.
    pub fn new(config: TvL1Config) -> Result<Self, DataError> {
        let TvL1Config { time_step, attachment, tightness, scale_step, epsilon, .. } = config;
        if !(time_step > 0.0 && time_step <= 0.25) {
            return Err(DataError::setting("time_step", time_step, "must be in (0, 0.25]"));
        }
        for (key, value) in [("attachment", attachment), ("tightness", tightness)] {
            if !(value > 0.0 && value.is_finite()) {
                return Err(DataError::setting(key, value, "must be above 0"));
            }
        }
        if !(0.1..=0.9).contains(&scale_step) {
            return Err(DataError::setting("scale_step", scale_step, "must be in [0.1, 0.9]"));
        }
        if !(epsilon >= 0.0 && epsilon.is_finite()) {
            return Err(DataError::setting("epsilon", epsilon, "must be at least 0"));
        }
        let [outer, inner] = config.iterations;
        for (key, count) in [
            ("scales", config.scales),
            ("warps", config.warps),
            ("iterations", outer),
            ("iterations", inner),
        ] {
            if !(1..=1000).contains(&count) {
                return Err(DataError::setting(key, count, "must be in [1, 1000]"));
            }
        }
        Ok(Self { config })
    }

    /// The flow from a grey frame to the next, in pixels: \[2, H, W\], to the right and
    /// downwards. Frames are \[H, W\] row by row, each side in \[8, 4096\].
    ///
    /// # Errors
    /// [`DataError::Setting`] when a side is out of its range, or a frame has a different number of
    /// pixels.
    pub fn between(
        &self,
        before: &[u8],
        after: &[u8],
        [height, width]: [usize; 2],
    ) -> Result<Vec<f32>, DataError> {
        for (key, side) in [("height", height), ("width", width)] {
            if !(8..=4096).contains(&side) {
                return Err(DataError::setting(key, side, "must be in [8, 4096] pixels"));
            }
        }
        for (key, frame) in [("before", before), ("after", after)] {
            if frame.len() != height * width {
                let rule = format!("a frame of {height} × {width} pixels has {}", height * width);
                return Err(DataError::setting(key, frame.len(), rule));
            }
        }
        let frame = |pixels: &[u8]| Plane::new(height, width, |at| f32::from(pixels[at]));
        let mut pyramid = vec![[frame(before), frame(after)]];
        while pyramid.len() < self.config.scales {
            let [last, _] = &pyramid[pyramid.len() - 1];
            let [height, width] = [last.height(), last.width()]
                .map(|side| (side as f64 * self.config.scale_step).round_ties_even() as usize);
            if height < SHORTEST || width < SHORTEST {
                break;
            }
            let step = 1.0 / self.config.scale_step;
            let smaller = |plane: &Plane| plane.resized([height, width], [step, step]);
            let next = pyramid[pyramid.len() - 1].each_ref().map(smaller);
            pyramid.push(next);
        }
        let mut field: Option<[Plane; 2]> = None;
        for frames in pyramid.iter().rev() {
            let sides = [frames[0].height(), frames[0].width()];
            let mut flow = match field {
                None => [(); 2].map(|()| Plane::new(sides[0], sides[1], |_| 0.0)),
                Some(coarse) => coarse.map(|part| {
                    let steps = [
                        part.height() as f64 / sides[0] as f64,
                        part.width() as f64 / sides[1] as f64,
                    ];
                    let mut finer = part.resized(sides, steps);
                    let grown = (1.0 / self.config.scale_step) as f32;
                    finer.values_mut().iter_mut().for_each(|x| *x *= grown);
                    finer
                }),
            };
            refine(frames, &mut flow, &self.config);
            field = Some(flow);
        }
        let [right, down] = field.expect("the pyramid has a picture");
        Ok([right.values(), down.values()].concat())
    }
}

#[cfg(test)]
mod tests;
