//! Dense tasks: a class for every pixel, or boxes around objects.
//!
//! A [`DenseTask`] trains a head on a model folder's encoder and measures it.
//!
//! Metrics follow the published definitions and are checked against the
//! programs that define them: mean IoU against scikit-learn's confusion matrix,
//! average precision against pycocotools.

mod average_precision;
mod convolution;
mod detect;
mod detector;
mod iou;
mod objects;
mod pictures;
mod place;
mod report;
mod segment;
mod segmentation;
mod task;

pub use average_precision::{AveragePrecision, DetectionScores};
pub use detector::{BoxBatch, Decoding, DetectionHead, DetectionLoss, Predictions, suppressed};
pub use iou::ConfusionMatrix;
pub use objects::{Detection, TruthBox};
pub use pictures::{paint_boxes, paint_classes};
pub use place::output_folder;
pub use report::DenseReport;
pub(crate) use segmentation::on_grid;
pub use segmentation::{SegmentationHead, SegmentationKind, UperNet, segmentation_loss};
pub use task::{DenseConfig, DenseScores, DenseTask};
