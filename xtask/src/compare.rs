//! `compare`: finished runs side by side, in the terminal and on one page.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result};
use bauta_files::write_whole;
use bauta_report::compare::{Comparison, page};
use clap::Args;

use crate::workspace::Workspace;

/// The arguments of `compare`.
#[derive(Args)]
pub struct Arguments {
    /// The runs' folders, two or more
    #[arg(required = true, value_name = "RUN")]
    runs: Vec<PathBuf>,
    /// The page, runs/compare.html if not given
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

/// Prints the comparison and writes its page.
pub fn compare(workspace: &Workspace, arguments: &Arguments) -> Result<()> {
    let comparison = Comparison::of(&arguments.runs)?;
    println!("{comparison}");
    let out = arguments.out.clone();
    let out = out.unwrap_or_else(|| workspace.shown(&workspace.root.join("runs/compare.html")));
    let refuse = || format!("cannot write {}", out.display());
    if let Some(folder) = out.parent() {
        fs::create_dir_all(folder).with_context(refuse)?;
    }
    write_whole(&out, page(&comparison)?.as_bytes()).with_context(refuse)?;
    println!("page: {}", out.display());
    Ok(())
}
