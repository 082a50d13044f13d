//! Errors of a run's files and pages.

use std::io;
use std::path::{Path, PathBuf};

use bauta_recipe::claim::ClaimError;
use thiserror::Error;

/// A file that is missing or unusable, or runs that cannot be made or compared.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ReportError {
    /// A file cannot be read.
    #[error("cannot read {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file cannot be written.
    #[error("cannot write {}: {source}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A folder cannot be moved.
    #[error("cannot move {} to {}: {source}", from.display(), to.display())]
    Move {
        /// The folder.
        from: PathBuf,
        /// Where to.
        to: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file with unexpected contents.
    #[error("{}: {message}", path.display())]
    Unusable {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        message: String,
    },
    /// A curve or plot cannot be drawn.
    #[error("cannot draw {what}: {message}")]
    Draw {
        /// What it would show.
        what: String,
        /// Why.
        message: String,
    },
    /// A folder that is not a run's.
    #[error("{} holds no recipe.toml, so it is not the folder of a run", .0.display())]
    NoRun(PathBuf),
    /// A run has no result yet.
    #[error(
        "{} is not finished: it has no summary.json; finish it with --resume first",
        .0.display()
    )]
    Unfinished(PathBuf),
    /// Fewer than two runs to compare.
    #[error("compare needs at least two runs; name their folders")]
    TooFewRuns,
    /// One run to compare with itself.
    #[error("{} is named twice; compare different runs", .0.display())]
    SameRun(PathBuf),
    /// No metric of this name.
    #[error("no metric is called {name}; the metrics are {}", known.join(", "))]
    NoMetric {
        /// The name asked for.
        name: String,
        /// The known names.
        known: Vec<String>,
    },
    /// Numbers that no plan can be made from.
    #[error("{0}")]
    Plan(String),
    /// The file of this program cannot be found.
    #[error("cannot find this program: {0}")]
    NoProgram(io::Error),
    /// An error in a row of a table of results.
    #[error("row {row}: {reason}")]
    Row {
        /// The row's name.
        row: String,
        /// What is wrong.
        reason: String,
    },
    /// An error in a table's recipes.
    #[error(transparent)]
    Recipes(Box<ClaimError>),
    /// An error of the caller's function.
    #[error(transparent)]
    Caller(Box<dyn std::error::Error + Send + Sync>),
    /// An error of one run of a claim.
    #[error("{run}: {source}")]
    Run {
        /// The run's name.
        run: String,
        /// What is wrong.
        source: Box<ReportError>,
    },
    /// A claim's setting without any results.
    #[error("the claim's setting {label} lacks {lacks}")]
    NoSetting {
        /// The setting's label.
        label: String,
        /// What is missing.
        lacks: &'static str,
    },
}

impl From<ClaimError> for ReportError {
    fn from(error: ClaimError) -> Self {
        Self::Recipes(Box::new(error))
    }
}

impl ReportError {
    /// Wraps the error as that of the claim's run of this name.
    pub(crate) fn of(self, run: &str) -> Self {
        Self::Run { run: run.to_owned(), source: Box::new(self) }
    }

    /// For `map_err`: the error that `path` cannot be read.
    pub(crate) fn read(path: &Path) -> impl Fn(io::Error) -> Self {
        move |source| Self::Read { path: path.into(), source }
    }

    /// For `map_err`: the error that `path` cannot be written.
    pub(crate) fn write(path: &Path) -> impl Fn(io::Error) -> Self {
        move |source| Self::Write { path: path.into(), source }
    }

    /// For `map_err`: the error that `what` cannot be drawn.
    pub(crate) fn draw(what: &str) -> impl Fn(Box<dyn std::error::Error>) -> Self {
        move |error| Self::Draw { what: what.to_owned(), message: error.to_string() }
    }
}
