//! `report`: write a run's report again from its folder.

use std::path::Path;

use anyhow::{Result, bail};

/// Renders `report.html` of a run folder with the current code.
pub fn report(run_dir: &Path) -> Result<()> {
    if !run_dir.join("recipe.toml").is_file() {
        bail!("{} is not a run folder: it contains no recipe.toml", run_dir.display());
    }
    let folder = std::path::absolute(run_dir)?;
    bauta_report::write(&folder)?;
    println!("report: {}", folder.join("report.html").display());
    Ok(())
}
