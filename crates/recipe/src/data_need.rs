//! The data that a system reads from the disk, to be fetched before a run starts.

use bauta_datasets::Package;

/// A data set that a system reads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DataNeed {
    /// The name that recipes and lists show.
    pub name: &'static str,
    /// What must be in the cache; `None` if the data are generated or lie in a folder of the
    /// user's.
    pub package: Option<&'static Package>,
}
