//! Dense tasks: a class for every pixel, or boxes around objects.
//!
//! Metrics follow the published definitions and are checked against the
//! programs that define them: mean IoU against scikit-learn's confusion matrix,
//! average precision against pycocotools.

mod average_precision;
mod convolution;
mod detector;
mod iou;
mod pictures;
mod segmentation;

pub use average_precision::{AveragePrecision, Detection, DetectionScores, TruthBox};
pub use detector::{BoxBatch, Decoding, DetectionHead, DetectionLoss, Predictions, suppressed};
pub use iou::ConfusionMatrix;
pub use pictures::{paint_boxes, paint_classes};
pub use segmentation::{SegmentationHead, SegmentationKind, UperNet, segmentation_loss};
