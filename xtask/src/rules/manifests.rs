//! The manifests of published packages.

use cargo_metadata::{Metadata, Package};

use super::Violation;
use crate::workspace::members;

/// Checks the manifest of every package of the workspace that can be published.
pub fn check(metadata: &Metadata) -> Vec<Violation> {
    let published = |package: &&Package| package.publish.as_ref().is_none_or(|to| !to.is_empty());
    let mut violations = Vec::new();
    for package in members(metadata).into_iter().filter(published) {
        for (key, given) in [
            ("description", package.description.is_some()),
            ("documentation", package.documentation.is_some()),
            ("license", package.license.is_some()),
            ("readme", package.readme.is_some()),
            ("repository", package.repository.is_some()),
        ] {
            if !given {
                let path = package.manifest_path.strip_prefix(&metadata.workspace_root);
                violations.push(Violation {
                    path: path.unwrap_or(&package.manifest_path).into(),
                    line: 1,
                    rule: "manifests",
                    message: format!("{key} is missing; add it, or publish = false"),
                });
            }
        }
    }
    violations
}
