//! `setup`: find or fetch libtorch and link to it.

use anyhow::Result;

use crate::libtorch::{Search, VERSION};
use crate::workspace::Workspace;

/// Does what plain `cargo build`, `cargo test` and editors need.
pub fn setup(workspace: &Workspace) -> Result<()> {
    let libtorch = Search::new(workspace)?.find_or_fetch()?;
    println!(
        "libtorch {VERSION} from {}: {}\nPlain cargo and editors find it through {}.",
        libtorch.origin,
        libtorch.folder.display(),
        workspace.shown(&workspace.libtorch_link()).display()
    );
    Ok(())
}
