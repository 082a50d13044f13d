//! Claims: what their runs say, as a table with a verdict and as a page with plots.

mod findings;
mod page;
mod plot;

pub use findings::{Findings, Judgement, Row, metric};
pub use page::page;

pub use crate::number::short;
