//! Experiment recipes: which data, model, mask, target and schedule make a run.
//!
//! A recipe is a TOML file with strict keys. [`Recipe::load`] reads it in
//! layers: the file, its own `[quick]` table of dotted keys if asked for, and
//! `key=value` overrides. The result is validated and fully resolved, and
//! [`Recipe::to_toml`] writes it with every default spelled out. An error names
//! the key, the nearest known key, and the file and line or the override.
//!
//! ```
//! use bauta_recipe::{Layers, Recipe};
//! use std::path::Path;
//!
//! let text = r#"
//! system = "mae"
//! [about]
//! summary = "an example"
//! paper = "He et al., Masked Autoencoders Are Scalable Vision Learners, arXiv 2111.06377"
//! minutes = 1.0
//! machine = "2 CPU cores"
//! metric = "linear_top1"
//! [data]
//! name = "cifar10"
//! image_size = 32
//! [model]
//! patch_size = 4
//! dim = 64
//! depth = 2
//! heads = 2
//! [decoder]
//! dim = 32
//! depth = 1
//! heads = 2
//! [mask]
//! ratio = 0.75
//! [target]
//! [train]
//! epochs = 4
//! batch_size = 128
//! base_lr = 1.0e-3
//! [quick]
//! "train.epochs" = 1
//! "#;
//!
//! let layers = Layers { quick: true, set: vec!["mask.ratio=0.9".to_owned()] };
//! let recipe = Recipe::parse(text, Path::new("example.toml"), &layers)?;
//! assert_eq!((recipe.train.epochs, recipe.mask.ratio), (1, 0.9));
//!
//! let mistyped = Layers { quick: false, set: vec!["mask.ration=0.9".to_owned()] };
//! let error = Recipe::parse(text, Path::new("example.toml"), &mistyped).unwrap_err();
//! assert_eq!(
//!     error.to_string(),
//!     "--set mask.ration=0.9: unknown key mask.ration; did you mean mask.ratio?"
//! );
//! # Ok::<(), bauta_recipe::RecipeError>(())
//! ```

pub mod claim;
mod document;
mod error;
mod eval;
mod finetune;
mod keys;
mod load;
mod mixture;
mod nearest;
mod schema;
mod teacher;
mod typed;
mod validate;

pub use error::{Place, RecipeError};
pub use eval::{Eval, Features, FewShot, Knn, Linear, Pictures, ProbeOptimizer, Protocol, Semi};
pub use finetune::{FineTune, FineTuneData, FineTuneMachine, FineTuneProtocol, FineTuneSettings};
pub use keys::known_keys;
pub use load::{Layers, find, names};
pub use mixture::{Branches, Mixture, MixtureInit, TeacherInput};
pub use nearest::nearest;
pub use schema::{
    About, Data, Decoder, Device, ImageSize, Mask, Model, Precision, Recipe, System, Target,
    TargetKind, Train,
};
pub use teacher::{FeatureTarget, Loss, Normalization, Stages, Teacher, TeacherKind};
