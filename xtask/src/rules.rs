//! The house rules of the design, each checked mechanically.
//!
//! Dependencies are read from `cargo metadata`, all else from the sources' tokens, so that comments
//! and strings can say anything.

mod chance;
mod graph;
mod layers;
mod licences;
mod manifests;
mod paths;
mod tokens;
mod words;

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use walkdir::WalkDir;

pub use graph::Graph;

use crate::workspace::Workspace;

/// A place that breaks a rule; shown as `path:line: rule: message`.
#[derive(Debug, PartialEq)]
pub struct Violation {
    path: PathBuf,
    line: usize,
    rule: &'static str,
    message: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { path, line, rule, message } = self;
        write!(f, "{}:{line}: {rule}: {message}", path.display())
    }
}

/// One Rust file of the workspace.
struct Source {
    /// Relative to the workspace's root.
    path: PathBuf,
    text: String,
}

impl Source {
    fn violation(&self, line: usize, rule: &'static str, message: String) -> Violation {
        Violation { path: self.path.clone(), line, rule, message }
    }

    /// `masking` for `crates/masking/src/grid.rs`; `None` for tests, benches and examples.
    fn library(&self) -> Option<&str> {
        let mut parts = self.path.iter().filter_map(|part| part.to_str());
        let (crates, name, src) = (parts.next()?, parts.next()?, parts.next()?);
        (crates == "crates" && src == "src").then_some(name)
    }
}

/// Checks every rule, and returns the violations.
pub fn check(workspace: &Workspace) -> Result<Vec<Violation>> {
    let metadata = workspace.metadata()?;
    let graph = Graph::new(&metadata)?;
    let mut violations = graph::check_libtorch(&graph);
    violations.extend(layers::check(&graph));
    violations.extend(manifests::check(&metadata));
    violations.extend(licences::check(&workspace.root, &metadata)?);
    for source in sources(&workspace.root)? {
        violations.extend(paths::check(&source));
        violations.extend(words::check(&source));
        violations.extend(chance::check(&source));
    }
    Ok(violations)
}

/// Every Rust file of the packages, in order.
fn sources(root: &Path) -> Result<Vec<Source>> {
    let mut sources = Vec::new();
    for folder in ["crates", "xtask", "benches"] {
        for entry in WalkDir::new(root.join(folder)).sort_by_file_name() {
            let entry = entry?;
            let path = entry.path();
            if entry.file_type().is_file() && path.extension().is_some_and(|e| e == "rs") {
                let text = fs::read_to_string(path)
                    .with_context(|| format!("cannot read {}", path.display()))?;
                let path = path.strip_prefix(root).unwrap_or(path).to_owned();
                sources.push(Source { path, text });
            }
        }
    }
    Ok(sources)
}
