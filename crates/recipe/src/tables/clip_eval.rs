//! The `eval` table of systems that train on clips.

use serde::{Deserialize, Serialize};

use super::eval::{Eval, Knn, Linear, Pictures, Protocol};
use super::limits::count;
use crate::reading::Violation;

/// What is measured at the end, on the test videos and each of their labels.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ClipEval {
    /// The protocols to run.
    pub protocols: Vec<Protocol>,
    /// Measure with only this many training videos, spread evenly over those that are trained on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit: Option<usize>,
    /// Measure raw pixels and the untrained network too.
    pub baselines: bool,
    /// Views of each video, over which features are averaged.
    pub views: ViewCounts,
    /// Weighted k-nearest neighbours.
    pub knn: Knn,
    /// Linear probe.
    pub linear: Linear,
    /// Reconstruction pictures.
    pub pictures: Pictures,
}

/// Views of a video: clips in time, and crops in space of each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ViewCounts {
    /// Clips spread evenly over the video.
    pub clips: usize,
    /// Crops of each clip, from one end of its longer side to the other.
    pub crops: usize,
}

impl Default for ViewCounts {
    fn default() -> Self {
        Self { clips: 1, crops: 1 }
    }
}

impl Default for ClipEval {
    fn default() -> Self {
        Self {
            protocols: vec![Protocol::Knn, Protocol::Linear],
            limit: None,
            baselines: true,
            views: ViewCounts::default(),
            knn: Knn::default(),
            linear: Linear::default(),
            pictures: Pictures { count: 4 },
        }
    }
}

impl ClipEval {
    /// The protocols as the `eval` table of images, which has more keys.
    pub fn as_eval(&self) -> Eval {
        let Self { protocols, limit, baselines, views: _, knn, linear, pictures } = self.clone();
        Eval { protocols, limit, baselines, knn, linear, pictures, ..Eval::default() }
    }

    /// Checks what types cannot say.
    ///
    /// # Errors
    /// [`Violation`] for the first value that makes no sense.
    pub fn check(&self) -> Result<(), Violation> {
        count("eval.views.clips", self.views.clips)?;
        count("eval.views.crops", self.views.crops)?;
        self.as_eval().check()
    }
}
