//! `test`: every test of the workspace, the quick crates first.

use anyhow::Result;

use crate::cargo::{cargo, complete};
use crate::libtorch::Search;
use crate::rules::Graph;
use crate::workspace::{self, Workspace};

/// Tests the crates without libtorch before looking for libtorch, then the others.
pub fn test(workspace: &Workspace) -> Result<()> {
    let metadata = workspace.metadata()?;
    let graph = Graph::new(&metadata)?;
    let (mut light, mut heavy) = (cargo(workspace, "test"), cargo(workspace, "test"));
    for package in workspace::members(&metadata) {
        let command = if graph.builds_on_libtorch(&package.name) { &mut heavy } else { &mut light };
        command.args(["--package", &package.name]);
    }
    complete(&mut light)?;
    Search::new(workspace)?.find_or_fetch()?;
    complete(&mut heavy)
}
