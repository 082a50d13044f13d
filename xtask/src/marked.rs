//! Generated parts of the book's pages, between two marks.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use bauta_files::write_whole;

use crate::workspace::Workspace;

/// A part of a page that is generated from records.
pub struct Marked {
    /// The page, from the workspace's root.
    pub page: &'static str,
    /// The marks before and after the part.
    pub marks: [&'static str; 2],
    /// The folder of the records, from the workspace's root.
    pub records: &'static str,
    /// The command that writes it.
    pub command: &'static str,
}

impl Marked {
    /// Writes the page with this part.
    pub fn write(&self, workspace: &Workspace, part: &str) -> Result<()> {
        let path = workspace.root.join(self.page);
        let text = put_between(&self.read(workspace)?, self.marks, part).context(self.page)?;
        write_whole(&path, text.as_bytes())
            .with_context(|| format!("cannot write {}", path.display()))?;
        println!("Wrote {}", workspace.shown(&path).display());
        Ok(())
    }

    /// Fails unless the page has this part.
    pub fn check(&self, workspace: &Workspace, part: &str) -> Result<()> {
        let Self { page, marks, records, command } = self;
        let found = self.read(workspace)?;
        ensure!(
            found == put_between(&found, *marks, part).context(*page)?,
            "{page} does not agree with {records}; write it with `{command}`"
        );
        Ok(())
    }

    /// The files of its records, by name; empty if their folder is missing.
    pub fn records(&self, workspace: &Workspace) -> Result<Vec<PathBuf>> {
        let folder = workspace.root.join(self.records);
        if !folder.is_dir() {
            return Ok(Vec::new());
        }
        let files = fs::read_dir(&folder).and_then(|files| {
            files.map(|file| Ok(file?.path())).collect::<std::io::Result<Vec<_>>>()
        });
        let mut files = files.with_context(|| format!("cannot read {}", folder.display()))?;
        files.sort();
        Ok(files)
    }

    fn read(&self, workspace: &Workspace) -> Result<String> {
        fs::read_to_string(workspace.root.join(self.page))
            .with_context(|| format!("cannot read {}", self.page))
    }
}

/// The text with `part` between the two marks, in place of what stands there.
fn put_between(text: &str, [begin, end]: [&str; 2], part: &str) -> Result<String> {
    let around = text.split_once(begin).and_then(|(before, rest)| {
        let (_, after) = rest.split_once(end)?;
        Some((before, after))
    });
    let (before, after) =
        around.with_context(|| format!("the page lacks the marks {begin} and {end}"))?;
    Ok(format!("{before}{begin}\n{part}{end}{after}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_stands_between_the_marks_is_replaced() {
        let marks = ["<!-- a -->", "<!-- b -->"];
        let text = "before\n<!-- a -->\nold\n<!-- b -->\nafter\n";
        let new = put_between(text, marks, "new\n").unwrap();
        assert_eq!(new, "before\n<!-- a -->\nnew\n<!-- b -->\nafter\n");
        assert_eq!(put_between(&new, marks, "new\n").unwrap(), new);
        assert!(put_between("<!-- b -->", marks, "").is_err());
    }
}
