//! Reading settings of any kind: TOML with strict keys, in layers, into types.
//!
//! A file becomes a tree of values that remember where they stand (`document`), the layers are
//! merged there, and serde reads types off the tree (`typed`). An error names the key, the nearest
//! key that the type knows (`keys`, `nearest`) and the place: file and line, or the override. What
//! types cannot say is checked afterwards (`checks`). Nothing here knows what the settings are for.
//!
//! ```
//! use bauta_recipe::reading::{Checked, Violation, at_least_one, overrides};
//!
//! #[derive(serde::Deserialize)]
//! #[serde(deny_unknown_fields, default)]
//! struct Search {
//!     population: usize,
//! }
//!
//! impl Default for Search {
//!     fn default() -> Self {
//!         Self { population: 16 }
//!     }
//! }
//!
//! impl Checked for Search {
//!     fn check(&self) -> Result<(), Violation> {
//!         at_least_one("population", self.population)
//!     }
//! }
//!
//! let set = |text: &str| overrides::<Search>("the search", &[text.to_owned()]);
//! assert_eq!(set("population=8")?.population, 8);
//! assert_eq!(
//!     set("population=0").err().map(|error| error.to_string()).as_deref(),
//!     Some("--set population=0: population is 0; it must be at least 1")
//! );
//! # Ok::<(), bauta_recipe::reading::SettingsError>(())
//! ```

mod bounds;
mod checks;
mod describe;
pub(crate) mod document;
mod error;
mod fault;
mod keys;
mod layers;
mod named;
mod nearest;
mod typed;

pub(crate) use bounds::{read_text, shown};
pub use checks::{
    Checked, Violation, at_least_one, below_one, each_must_be, ensure, fraction, must_be,
    no_repeats, non_negative, positive, proper_fraction,
};
pub use describe::{KeyDescription, describe};
pub use error::{Place, SettingsError};
pub(crate) use error::{did_you_mean, listed};
pub(crate) use keys::{is_table, keys_of, tables_of};
pub(crate) use layers::at_place;
pub use layers::{Layers, overrides};
pub use named::{UnknownName, named};
pub use nearest::nearest;
pub(crate) use typed::read;
