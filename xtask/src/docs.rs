//! `docs`: the pages of the book that are made from the sources.

mod fields;
mod keys;
mod page;

use anyhow::{Context, Result, ensure};
use bauta_files::write_whole;

use crate::workspace::Workspace;

/// The page of every key, from the workspace's root.
const KEYS: &str = "docs/keys.md";

/// Writes the pages.
pub fn docs(workspace: &Workspace) -> Result<()> {
    let path = workspace.root.join(KEYS);
    write_whole(&path, keys::page(&workspace.root)?.as_bytes())
        .with_context(|| format!("cannot write {}", path.display()))?;
    println!("Wrote {}", workspace.shown(&path).display());
    Ok(())
}

/// Fails unless the pages are what [`docs`] would write.
pub fn check(workspace: &Workspace) -> Result<()> {
    let found = std::fs::read_to_string(workspace.root.join(KEYS)).unwrap_or_default();
    ensure!(
        found == keys::page(&workspace.root)?,
        "{KEYS} is not current; write it with `cargo xtask docs`"
    );
    Ok(())
}
