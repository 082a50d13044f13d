//! The API documentation of all crates, and its front page.

use std::fmt::Write;
use std::path::PathBuf;

use anyhow::{Context, Result};
use bauta_files::write_whole;
use cargo_metadata::Metadata;

use crate::cargo::{cargo, complete};
use crate::libtorch::Search;
use crate::workspace::{Workspace, members};

/// Builds the documentation and returns its front page, which cargo does not generate.
pub fn build(workspace: &Workspace) -> Result<PathBuf> {
    Search::new(workspace)?.find_or_fetch()?;
    complete(cargo(workspace, "doc").args(["--quiet", "--workspace", "--no-deps"]))?;
    let metadata = workspace.metadata()?;
    let path: PathBuf = metadata.target_directory.join("doc/index.html").into();
    write_whole(&path, front_page(&metadata).as_bytes())
        .with_context(|| format!("cannot write {}", path.display()))?;
    Ok(path)
}

/// A line for each library, with the description in its manifest.
fn front_page(metadata: &Metadata) -> String {
    let mut page =
        "<!DOCTYPE html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n<title>Bauta: the \
         crates</title>\n<style>body{font:1rem/1.5 sans-serif;max-width:50em;margin:2em auto}\
         </style>\n<h1>Bauta: the crates</h1>\n<dl>\n"
            .to_owned();
    for package in members(metadata) {
        let Some(library) = package.targets.iter().find(|target| target.is_lib()) else { continue };
        let folder = library.name.replace('-', "_");
        let about = package.description.as_deref().unwrap_or_default();
        let _ = writeln!(
            page,
            "<dt><a href=\"{folder}/index.html\"><code>{}</code></a></dt><dd>{about}</dd>",
            package.name
        );
    }
    page + "</dl>\n</html>\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_library_has_its_line() {
        let metadata = Workspace::find().unwrap().metadata().unwrap();
        let page = front_page(&metadata);
        for name in ["bauta-masking", "bauta-train", "bauta-eval"] {
            let folder = name.replace('-', "_");
            assert!(
                page.contains(&format!("href=\"{folder}/index.html\"><code>{name}<")),
                "{name}"
            );
        }
        assert!(!page.contains("<code>xtask<"), "a program is no library");
    }
}
