//! Claims: their runs and results, as a table with a verdict and as a page with plots.

mod findings;
mod page;
mod plot;
mod record;
mod run;
mod sweep;

pub use findings::{Findings, Judgement, Row, metric};
pub(crate) use findings::{over, spread};
pub use page::page;
pub use record::{Record, finished, table};
pub use run::{Fingerprint, claim_folder};
pub use sweep::sweep;
