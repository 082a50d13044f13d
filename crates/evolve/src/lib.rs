//! Search over the weights of losses, and a fitness that needs no labels (ELo, arXiv 2002.12177).
//!
//! A [`Search`] proposes points of the box [0, 1]ⁿ and is told their costs. It uses CMA-ES,
//! tournament selection, a grid, or random points. It draws from keyed streams and its whole state
//! is plain data, so a search that is saved and loaded continues exactly as it would have.
//! [`ZipfFitness`] measures how far the sizes of a representation's clusters are from Zipf's law;
//! its clusters are those of [`KMeans`].
//!
//! This crate does not know what a point stands for or how features are computed.
//!
//! ```
//! use bauta_evolve::{Method, Search, SearchConfig};
//!
//! let mut search = Search::new(SearchConfig::new(Method::CmaEs, 3, 30))?;
//! while !search.is_over() {
//!     let asked = search.ask();
//!     let cost = |point: &[f64]| point.iter().map(|x| (x - 0.3).powi(2)).sum();
//!     let costs: Vec<f64> = asked.iter().map(|candidate| cost(&candidate.point)).collect();
//!     search.tell(&costs)?;
//! }
//! let best = search.recommended().expect("some cost was finite");
//! assert!(best.iter().all(|x| (x - 0.3).abs() < 0.05));
//! # Ok::<(), bauta_evolve::EvolveError>(())
//! ```

mod cma;
mod error;
mod grid;
mod kmeans;
mod points;
mod rank_correlation;
mod search;
mod tournament;
mod zipf;

pub use self::error::EvolveError;
pub use self::kmeans::{KMeans, KMeansConfig, Majority};
pub use self::points::Points;
pub use self::rank_correlation::{GroupedCorrelation, grouped_rank_correlation, rank_correlation};
pub use self::search::{Candidate, Elite, Generation, Method, Search, SearchConfig};
pub use self::zipf::{Fitness, ZipfFitness, kl_divergence, soft_sizes, zipf_prior};
