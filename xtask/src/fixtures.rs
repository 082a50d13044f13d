//! `fixtures`: regenerates the tests' reference data with the reference implementations.

use std::fs;
use std::process::Command;

use anyhow::{Context, Result};

use crate::cargo::complete;
use crate::python;
use crate::workspace::Workspace;

/// Runs every generator in `fixtures`, in a Python environment with its own requirements.
///
/// Same versions, same bytes: a difference that git shows afterwards is a
/// change of a generator or of a reference.
pub fn fixtures(workspace: &Workspace) -> Result<()> {
    let folder = workspace.root.join("fixtures");
    let python = python::environment(&folder.join("requirements.txt"))?;
    let entries =
        fs::read_dir(&folder).with_context(|| format!("cannot read {}", folder.display()))?;
    let mut generators = Vec::new();
    for entry in entries {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "py") {
            generators.push(path);
        }
    }
    generators.sort();
    for generator in generators {
        println!("{}", workspace.shown(&generator).display());
        complete(Command::new(&python).arg(&generator))?;
    }
    Ok(())
}
