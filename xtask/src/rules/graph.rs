//! The dependencies between packages, and the packages that must not depend on libtorch.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::path::PathBuf;

use anyhow::{Context, Result};
use cargo_metadata::{DependencyKind, Metadata};

use super::Violation;

/// The package through which everything links libtorch.
const LIBTORCH: &str = "torch-sys";

/// Packages that never link libtorch with default features.
const WITHOUT_LIBTORCH: [&str; 9] = [
    "bauta-streams",
    "bauta-files",
    "bauta-masking",
    "bauta-datasets",
    "bauta-data",
    "bauta-evolve",
    "bauta-recipe",
    "bauta-report",
    "xtask",
];

/// Normal and build dependencies by name, with default features.
#[derive(Default)]
pub struct Graph {
    edges: BTreeMap<String, BTreeSet<String>>,
    /// The workspace's own packages and their folders, relative to its root.
    pub(super) members: BTreeMap<String, PathBuf>,
}

impl Graph {
    /// Reads cargo's resolution.
    pub fn new(metadata: &Metadata) -> Result<Self> {
        let resolve = metadata.resolve.as_ref().context("cargo metadata has no resolution")?;
        let mut graph = Self::default();
        for node in &resolve.nodes {
            let needed = node.deps.iter().filter(|dependency| {
                dependency.dep_kinds.iter().any(|kind| kind.kind != DependencyKind::Development)
            });
            let needed = needed.map(|dependency| metadata[&dependency.pkg].name.to_string());
            graph.edges.entry(metadata[&node.id].name.to_string()).or_default().extend(needed);
        }
        for package in metadata.workspace_packages() {
            let manifest = package.manifest_path.as_std_path();
            let folder = manifest.parent().unwrap_or(manifest);
            let folder = folder.strip_prefix(&metadata.workspace_root).unwrap_or(folder);
            graph.members.insert(package.name.to_string(), folder.to_owned());
        }
        Ok(graph)
    }

    /// Whether the package or a dependency of it, at any depth, links libtorch.
    pub fn builds_on_libtorch(&self, package: &str) -> bool {
        self.chain(package, LIBTORCH).is_some()
    }

    /// What a package depends on directly.
    pub(super) fn dependencies(&self, package: &str) -> impl Iterator<Item = &str> {
        self.edges.get(package).into_iter().flatten().map(String::as_str)
    }

    /// The manifest that declares a member's dependencies.
    pub(super) fn manifest(&self, member: &str) -> PathBuf {
        self.members.get(member).cloned().unwrap_or_default().join("Cargo.toml")
    }

    /// A shortest path from one package to another.
    fn chain<'a>(&'a self, from: &'a str, to: &str) -> Option<Vec<&'a str>> {
        let mut seen = BTreeSet::from([from]);
        let mut queue = VecDeque::from([vec![from]]);
        while let Some(chain) = queue.pop_front() {
            let last = *chain.last()?;
            if last == to {
                return Some(chain);
            }
            for next in self.dependencies(last) {
                if seen.insert(next) {
                    queue.push_back([&chain[..], &[next]].concat());
                }
            }
        }
        None
    }
}

/// Rule 1: the light crates never link libtorch.
pub fn check_libtorch(graph: &Graph) -> Vec<Violation> {
    let members = WITHOUT_LIBTORCH.iter().filter(|name| graph.members.contains_key(**name));
    let reaching = members.filter_map(|name| graph.chain(name, LIBTORCH));
    reaching
        .map(|chain| Violation {
            path: graph.manifest(chain[0]),
            line: 1,
            rule: "no libtorch",
            message: format!("{} must not link libtorch: {}", chain[0], chain.join(" → ")),
        })
        .collect()
}

#[cfg(test)]
pub mod tests {
    use super::*;

    /// A workspace with these dependencies; names with `bauta-` and `xtask` are members.
    pub fn graph(edges: &[(&str, &[&str])]) -> Graph {
        let mut graph = Graph::default();
        for (package, dependencies) in edges {
            let dependencies = dependencies.iter().map(|&name| name.to_owned()).collect();
            graph.edges.insert((*package).to_owned(), dependencies);
            if let Some(name) = package.strip_prefix("bauta-") {
                graph.members.insert((*package).to_owned(), PathBuf::from("crates").join(name));
            }
        }
        graph
    }

    #[test]
    fn finds_libtorch_behind_other_packages() {
        let graph = graph(&[
            ("bauta-masking", &["serde"]),
            ("bauta-data", &["bauta-masking", "decoder"]),
            ("bauta-train", &["tch"]),
            ("decoder", &["tch"]),
            ("tch", &["torch-sys"]),
        ]);
        let violations: Vec<String> =
            check_libtorch(&graph).iter().map(ToString::to_string).collect();
        assert_eq!(
            violations,
            ["crates/data/Cargo.toml:1: no libtorch: bauta-data must not link libtorch: \
              bauta-data → decoder → tch → torch-sys"]
        );
        assert!(graph.builds_on_libtorch("bauta-train"));
        assert!(!graph.builds_on_libtorch("bauta-masking"));
    }
}
