//! Dense tasks: a class for every pixel, or boxes around objects.
//!
//! Metrics follow the published definitions and are checked against the
//! programs that define them: mean IoU against scikit-learn's confusion matrix,
//! average precision against pycocotools.

mod average_precision;
mod iou;

pub use average_precision::{AveragePrecision, Detection, DetectionScores, TruthBox};
pub use iou::ConfusionMatrix;
