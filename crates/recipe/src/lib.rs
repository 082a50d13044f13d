//! Experiment recipes: which data, model, mask, target and schedule make a run.
//!
//! A recipe is a TOML file with strict keys. Every recipe has `system`, `seed`, `about` and
//! `train`; the rest belongs to its system, as a struct of shared tables: [`Mae`], [`DBot`],
//! [`MaskDistill`], [`IMae`], [`MaeSt`], [`ExSsNet`], [`Multilabel`], [`Brep`], [`MixMask`],
//! [`M3ae`], [`Elo`]. [`Recipe::load`] reads a file in layers: the file, its own `[quick]` table of
//! dotted keys if asked for, and `key=value` overrides. The result is validated and fully resolved,
//! and [`Recipe::to_toml`] writes it with every default spelled out. An error names the key, the
//! nearest key of this system, and the file and line or the override.
//!
//! ```
//! use bauta_recipe::{Layers, Mae, Recipe, System};
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
//! let recipe: Recipe<Mae> = Recipe::parse(text, Path::new("example.toml"), &layers)?;
//! assert_eq!((recipe.train.epochs, recipe.settings.mask.ratio), (1, 0.9));
//!
//! // Settings of whichever system the file names:
//! let recipe: Recipe = Recipe::parse(text, Path::new("example.toml"), &Layers::default())?;
//! assert_eq!(recipe.system(), System::Mae);
//!
//! let error = |assignment: &str| {
//!     let layers = Layers::of(&[assignment.to_owned()]);
//!     <Recipe>::parse(text, Path::new("example.toml"), &layers).unwrap_err().to_string()
//! };
//! assert_eq!(
//!     error("mask.ratoi=0.5"),
//!     "--set mask.ratoi=0.5: unknown key mask.ratoi; did you mean mask.ratio?"
//! );
//! assert_eq!(
//!     error("mixture.lambda=1"),
//!     "--set mixture.lambda=1: mixture.lambda is a key of system i-mae, not of mae"
//! );
//! # Ok::<(), bauta_recipe::RecipeError>(())
//! ```
//!
//! # A system of your own
//!
//! A recipe can be read into any settings that implement [`SystemSettings`], built from the tables
//! here, your own, or both. (A system of this workspace is a file in `src/systems/` and a line in
//! the table of systems.)
//!
//! ```
//! use bauta_recipe::reading::{Violation, must_be};
//! use bauta_recipe::{Data, DataNeed, Layers, Recipe, SystemSettings, Train};
//! use serde::{Deserialize, Serialize};
//! use std::path::Path;
//!
//! /// Images from the same images under noise.
//! #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
//! #[serde(deny_unknown_fields)]
//! struct Denoising {
//!     data: Data,
//!     noise: Noise,
//! }
//!
//! #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
//! #[serde(deny_unknown_fields)]
//! struct Noise {
//!     deviation: f64,
//! }
//!
//! impl SystemSettings for Denoising {
//!     const NAME: &'static str = "denoising";
//!
//!     fn check(&self, train: &Train) -> Result<(), Violation> {
//!         self.data.check(train)?;
//!         let deviation = self.noise.deviation;
//!         must_be(deviation > 0.0, "noise.deviation", deviation, "above 0")
//!     }
//!
//!     fn data(&self) -> Vec<DataNeed> {
//!         vec![self.data.need()]
//!     }
//! }
//!
//! let text = r#"
//! system = "denoising"
//! about = { summary = "", paper = "", minutes = 1, machine = "", metric = "loss" }
//! data = { name = "mnist", image_size = 28 }
//! noise = { deviation = 0.5 }
//! train = { epochs = 1, batch_size = 64, base_lr = 1e-3 }
//! "#;
//! let layers = Layers::of(&["noise.deviation=0".to_owned()]);
//! let recipe: Recipe<Denoising> =
//!     Recipe::parse(text, Path::new("denoising.toml"), &Layers::default())?;
//! assert_eq!(recipe.settings.noise.deviation, 0.5);
//! assert_eq!(
//!     Recipe::<Denoising>::parse(text, Path::new("denoising.toml"), &layers)
//!         .unwrap_err()
//!         .to_string(),
//!     "--set noise.deviation=0: noise.deviation is 0; it must be above 0"
//! );
//! # Ok::<(), bauta_recipe::RecipeError>(())
//! ```

pub mod claim;
mod commands;
mod data_need;
mod error;
mod explain;
mod folder;
mod paths;
pub mod reading;
mod recipe;
mod run_folder;
mod system_settings;
mod systems;
mod tables;

pub use commands::{
    ClipEvaluateSettings, ClipFineTuneProtocol, ClipFineTuneSettings, ClipWindow, LabelledClips,
    NamedData,
};
pub use commands::{
    DenseData, DenseHead, DenseSettings, DenseTrain, EvaluateData, EvaluateSettings, FineTuneData,
    FineTuneMachine, FineTuneProtocol, FineTuneSettings,
};
pub use data_need::DataNeed;
pub use error::RecipeError;
pub use folder::{find, names};
pub use reading::{Layers, Place, SettingsError, Violation, named, nearest};
pub use recipe::{Recipe, WITHOUT_EFFECT, known_keys};
pub use run_folder::{Folders, prepare_run_folder};
pub use system_settings::{RecipeSettings, SystemSettings};
pub use systems::{
    Brep, FaceEncoder, FaceEval, FaceModel, Field, FieldChannels, FieldDecoder, PartData,
    PartSource, SplitBy,
};
pub use systems::{
    ClipModality, ClipNetwork, ClipNetworks, Elo, EloEval, LEAST_WEIGHT, OfFrames, OfModalities,
    OfPairs, OfSites, OfTransfers, SearchTable, SoundingClipSource, SoundingData, TaskWeights,
    WeightSearch,
};
pub use systems::{
    Continual, ContinualMethod, ExSsNet, Network, Supermask, TaskEval, TaskNetwork, TaskOrigin,
    TaskTexts, Tasks, Transfer, WeightStart,
};
pub use systems::{DBot, IMae, Mae, MaeSt, MaskDistill, Settings, System};
pub use systems::{
    FillTable, Filling, MixMask, ResidualBlocks, ResidualNetwork, ResidualStem, SiameseBase,
    SiameseTable,
};
pub use systems::{LabelEval, Multilabel};
pub use systems::{M3ae, PairData, PairEval, PairMask, PairTarget, PairVit};
pub use tables::{
    About, Beit, Branches, ClassToken, ClipData, ClipEval, Comparison, Data, Decoder, Device,
    DroppingVit, Eval, FeatureLoss, FeatureTarget, FewShot, FineTune, FrameTarget, ImageSize, Knn,
    LIMITS, Limit, Linear, Mask, Mixture, MixtureInit, Normalization, Optimizer, Pictures,
    PixelTarget, Pooling, Precision, PredictedFrames, ProbeOptimizer, Protocol, Schedule, Semi,
    SpacetimePositions, Stages, TargetKind, Teacher, TeacherInput, TeacherKind, Train,
    VideoDecoder, VideoVit, ViewCounts, Vit, limit,
};
pub use tables::{
    ClassifierKind, Documents, LearntPolicies, PolicyReward, PolicyTable, TextClassifier, Tree,
};
