//! libtorch: found, or fetched if there is none, and linked to from the repository.
//!
//! The order: `LIBTORCH` if the user set it; the active Python's torch if `LIBTORCH_USE_PYTORCH=1`;
//! the folder that an earlier set-up linked to, if it is not one of ours; our own cache, filled
//! from the PyPI wheels.

mod driver;
mod fetch;
mod folder;
mod link;
mod search;

pub use driver::nvidia_driver;
pub use folder::{VERSION, version};
pub use search::{Libtorch, Search};
