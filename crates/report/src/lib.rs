//! The readable results of a run, without libtorch.
//!
//! A run's folder holds its log ([`MetricsLog`], and [`EventLog`] for TensorBoard), its result
//! ([`Summary`]) and its system's parts of the report ([`Section`]). From these files alone
//! [`write()`] creates `report.html`, and [`table`] a table for the terminal. [`compare`] compares
//! runs; [`claims`] runs a claim's experiments and compares them with the paper; [`TableRuns`] runs
//! several recipes, and [`Results`] is the table of their results. [`Throughput`] is the speed at
//! which a recipe trains, and [`plan`] the cost on a number of devices. Pages are self-contained:
//! no script, nothing loaded from elsewhere.
//!
//! ```
//! use bauta_report::{Body, MetricsLog, Record, Section, Series};
//!
//! let folder = tempfile::tempdir()?;
//! let mut log = MetricsLog::open(&folder.path().join("metrics.jsonl"), 0)?;
//! log.write(&Record { step: 50, loss: 1.5, ..Record::default() })?;
//!
//! let accuracy = Section {
//!     title: "Accuracy by task".to_owned(),
//!     body: vec![
//!         Body::Text("After each task, on the tasks so far.".to_owned()),
//!         Body::Curves {
//!             x: "tasks learnt".to_owned(),
//!             y: "accuracy".to_owned(),
//!             series: vec![Series {
//!                 name: "task 1".to_owned(),
//!                 points: vec![(1.0, 0.9), (2.0, 0.8)],
//!             }],
//!             caption: String::new(),
//!         },
//!     ],
//! };
//! Section::write_all(&[accuracy.clone()], folder.path())?;
//! assert_eq!(Section::read_all(folder.path())?, [accuracy]);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod body;
mod chart;
pub mod claims;
pub mod compare;
mod error;
mod heat_map;
mod html;
mod metrics;
mod number;
mod page;
mod picture;
pub mod plan;
mod results;
mod scatter;
mod section;
mod summary;
mod table;
mod tensorboard;
mod throughput;
mod verdict;

pub use error::ReportError;
pub use metrics::{FeatureRecord, MetricsLog, Record};
pub use page::write;
pub use results::{Made, Results, ResultsRow, RowNumbers, TableRuns, row_digest};
pub use scatter::scatter;
pub use section::{Body, PictureFile, Section, Series, TableCell};
pub use summary::{Summary, TeacherWeights, Training, thread_count};
pub use table::table;
pub use tensorboard::EventLog;
pub use throughput::{Spread, Throughput};
