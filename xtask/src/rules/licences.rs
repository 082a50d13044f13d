//! Allowed dependencies: licences of `deny.toml`, and packages of the registry alone.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use cargo_metadata::Metadata;
use serde::Deserialize;

use super::Violation;

/// The file that `cargo deny` reads too.
const FILE: &str = "deny.toml";

#[derive(Deserialize)]
struct Deny {
    licenses: Licences,
}

#[derive(Deserialize)]
struct Licences {
    allow: BTreeSet<String>,
}

/// Checks every package that the workspace is built from, at any depth.
pub fn check(root: &Path, metadata: &Metadata) -> Result<Vec<Violation>> {
    let text =
        fs::read_to_string(root.join(FILE)).with_context(|| format!("cannot read {FILE}"))?;
    let allowed = toml::from_str::<Deny>(&text).context(FILE)?.licenses.allow;
    let mut violations = Vec::new();
    for package in &metadata.packages {
        let mut report = |rule, message| {
            violations.push(Violation { path: FILE.into(), line: 1, rule, message });
        };
        let name = format!("{} {}", package.name, package.version);
        match &package.license {
            Some(licence) if allows(licence, &allowed) => {}
            Some(licence) => {
                report("licences", format!("{name} is under {licence}, which is not allowed"));
            }
            None => report("licences", format!("{name} declares no licence")),
        }
        if package.source.as_ref().is_some_and(|source| !source.is_crates_io()) {
            report("sources", format!("{name} is neither from crates.io nor of this workspace"));
        }
    }
    Ok(violations)
}

/// Whether the allowed licences satisfy an SPDX expression, in which `/` is an old `OR`.
fn allows(expression: &str, allowed: &BTreeSet<String>) -> bool {
    let spaced = expression.replace('/', " OR ").replace('(', " ( ").replace(')', " ) ");
    let mut words = spaced.split_whitespace().peekable();
    let satisfied = any(&mut words, allowed);
    satisfied == Some(true) && words.next().is_none()
}

type Words<'a> = std::iter::Peekable<std::str::SplitWhitespace<'a>>;

/// Parses `A OR B`; `None` if it is not an expression.
fn any(words: &mut Words<'_>, allowed: &BTreeSet<String>) -> Option<bool> {
    let mut satisfied = all(words, allowed)?;
    while words.next_if_eq(&"OR").is_some() {
        satisfied |= all(words, allowed)?;
    }
    Some(satisfied)
}

/// Parses `A AND B`.
fn all(words: &mut Words<'_>, allowed: &BTreeSet<String>) -> Option<bool> {
    let mut satisfied = one(words, allowed)?;
    while words.next_if_eq(&"AND").is_some() {
        satisfied &= one(words, allowed)?;
    }
    Some(satisfied)
}

/// Parses `(A)`, `A` or `A WITH exception`.
fn one(words: &mut Words<'_>, allowed: &BTreeSet<String>) -> Option<bool> {
    if words.next_if_eq(&"(").is_some() {
        let satisfied = any(words, allowed)?;
        return words.next_if_eq(&")").map(|_| satisfied);
    }
    let licence = words.next().filter(|word| !["AND", "OR", "WITH", ")"].contains(word))?;
    if words.next_if_eq(&"WITH").is_none() {
        return Some(allowed.contains(licence));
    }
    let exception = words.next()?;
    Some(allowed.contains(&format!("{licence} WITH {exception}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expressions_are_held_against_the_list() {
        let allowed = ["MIT", "ISC", "Apache-2.0 WITH LLVM-exception"].map(str::to_owned).into();
        for (expression, expected) in [
            ("MIT", true),
            ("GPL-3.0-only", false),
            ("GPL-3.0-only OR MIT", true),
            ("GPL-3.0-only/MIT", true),
            ("Apache-2.0 / MIT", true),
            ("MIT AND GPL-3.0-only", false),
            ("(GPL-3.0-only OR MIT) AND ISC", true),
            ("GPL-3.0-only OR MIT AND ISC", true),
            ("Apache-2.0 WITH LLVM-exception", true),
            ("Apache-2.0 WITH other", false),
            ("Apache-2.0", false),
            ("(MIT", false),
            ("MIT ISC", false),
            ("MIT OR", false),
            ("", false),
        ] {
            assert_eq!(allows(expression, &allowed), expected, "{expression}");
        }
    }
}
