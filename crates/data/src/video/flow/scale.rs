//! One picture of the pyramid: the flow is warped, thresholded and smoothed until it converges.

use super::TvL1Config;
use super::plane::Plane;

/// The second frame as warped by the flow, and the brightness that the flow must explain.
struct Warped {
    slopes: [Plane; 2],
    /// |∇I₁|².
    steepness: Plane,
    /// I₁ − ∇I₁ · u₀ − I₀, so that ρ(u) is this plus ∇I₁ · u.
    rest: Plane,
}

impl Warped {
    fn new([before, after]: &[Plane; 2], slopes: &[Plane; 2], flow: &[Plane; 2]) -> Self {
        let there = after.warped(flow);
        let slopes = slopes.each_ref().map(|slope| slope.warped(flow));
        let [across, down] = slopes.each_ref().map(Plane::values);
        let [right, below] = flow.each_ref().map(Plane::values);
        let (height, width) = (before.height(), before.width());
        let steepness = Plane::new(height, width, |at| across[at].powi(2) + down[at].powi(2));
        let rest = Plane::new(height, width, |at| {
            let led = across[at] * right[at] + down[at] * below[at];
            there.values()[at] - led - before.values()[at]
        });
        Self { slopes, steepness, rest }
    }

    /// The flow at a position that explains the brightness better, at most a step away.
    fn threshold(&self, at: usize, flow: [f32; 2], step: f32) -> [f32; 2] {
        let slope = self.slopes.each_ref().map(|slope| slope.values()[at]);
        let steepness = self.steepness.values()[at];
        let rho = self.rest.values()[at] + slope[0] * flow[0] + slope[1] * flow[1];
        let factor = if rho < -step * steepness {
            step
        } else if rho > step * steepness {
            -step
        } else if steepness > f32::EPSILON {
            -rho / steepness
        } else {
            0.0
        };
        [0, 1].map(|axis| flow[axis] + factor * slope[axis])
    }
}

/// Improves a flow from the first frame to the second.
pub(super) fn refine(frames: &[Plane; 2], flow: &mut [Plane; 2], config: &TvL1Config) {
    let (height, width) = (frames[0].height(), frames[0].width());
    let slopes = frames[1].slopes();
    let least = f64::from(config.epsilon).powi(2) * (height * width) as f64;
    let [outer, inner] = config.iterations;
    let mut dual = [(); 2].map(|()| [(); 2].map(|()| vec![0.0_f32; height * width]));
    for _ in 0..config.warps {
        let warped = Warped::new(frames, &slopes, flow);
        let mut change = f64::INFINITY;
        for _ in 0..outer {
            if change <= least {
                break;
            }
            flow.iter_mut().for_each(|part| *part = part.median());
            for _ in 0..inner {
                if change <= least {
                    break;
                }
                change = step(&warped, flow, &dual, config);
                for (dual, part) in dual.iter_mut().zip(flow.iter()) {
                    smooth(dual, part, config.time_step / config.tightness);
                }
            }
        }
    }
}

/// Makes a step of the flow, and returns the sum of the squared changes.
fn step(
    warped: &Warped,
    flow: &mut [Plane; 2],
    dual: &[[Vec<f32>; 2]; 2],
    config: &TvL1Config,
) -> f64 {
    let (height, width) = (flow[0].height(), flow[0].width());
    let reach = config.attachment * config.tightness;
    let mut change = 0.0;
    for row in 0..height {
        for column in 0..width {
            let at = row * width + column;
            let now = flow.each_ref().map(|part| part.values()[at]);
            let wanted = warped.threshold(at, now, reach);
            let parts = flow.iter_mut().zip(dual).zip(now.into_iter().zip(wanted));
            for ((part, [across, down]), (now, wanted)) in parts {
                let left = if column > 0 { across[at - 1] } else { 0.0 };
                let above = if row > 0 { down[at - width] } else { 0.0 };
                let divergence = across[at] - left + down[at] - above;
                let next = wanted + config.tightness * divergence;
                change += f64::from((next - now).powi(2));
                part.values_mut()[at] = next;
            }
        }
    }
    change
}

/// Makes a step of the dual variables of one part of the flow, by its slopes.
fn smooth(dual: &mut [Vec<f32>; 2], part: &Plane, step: f32) {
    let (height, width, values) = (part.height(), part.width(), part.values());
    let [across, down] = dual;
    for row in 0..height {
        for column in 0..width {
            let at = row * width + column;
            let right = if column + 1 < width { values[at + 1] - values[at] } else { 0.0 };
            let below = if row + 1 < height { values[at + width] - values[at] } else { 0.0 };
            let shrink = 1.0 / (1.0 + step * (right * right + below * below).sqrt());
            across[at] = (across[at] + step * right) * shrink;
            down[at] = (down[at] + step * below) * shrink;
        }
    }
}
