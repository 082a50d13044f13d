//! The machine and versions that a record was measured with.

use std::fmt;
use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::Result;
use serde::Serialize;

use crate::libtorch;
use crate::python::ask;
use crate::workspace::Workspace;

/// Machine, date and versions of our side.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Machine {
    /// Universal time, to the minute.
    pub date: String,
    /// The commit, with `+changes` if the tree differs from it outside `docs`.
    pub commit: String,
    pub version: &'static str,
    pub rustc: String,
    pub libtorch: String,
    pub cpu: String,
    /// Threads that the machine runs at once.
    pub threads: usize,
}

impl Machine {
    /// Reads the properties of this machine and this tree.
    pub fn read(workspace: &Workspace, libtorch: &Path) -> Result<Self> {
        Ok(Self {
            date: ask(Command::new("date").args(["-u", "+%Y-%m-%d %H:%M"]))?,
            commit: commit(workspace).unwrap_or_else(|| "none".to_owned()),
            version: env!("CARGO_PKG_VERSION"),
            rustc: ask(Command::new("rustc").arg("--version"))?,
            libtorch: libtorch::version(libtorch).unwrap_or_default(),
            cpu: processor(),
            threads: std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
        })
    }
}

impl fmt::Display for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { date, commit, version, rustc, libtorch, cpu, threads } = self;
        write!(
            f,
            "{date}, Bauta {version} ({commit}), {rustc}, libtorch {libtorch}; \
             {cpu}, {threads} threads"
        )
    }
}

/// The tree's commit, with `+changes` if the tree differs from it; `None` outside a repository.
///
/// Pages and records in `docs` change no result, and recording one must not mark the next.
pub fn commit(workspace: &Workspace) -> Option<String> {
    let git = |arguments: &[&str]| {
        ask(Command::new("git").current_dir(&workspace.root).args(arguments)).ok()
    };
    let commit = git(&["rev-parse", "--short", "HEAD"])?;
    let changes = git(&["status", "--porcelain", "--", ".", ":(exclude)docs"]);
    let changed = changes.is_some_and(|changes| !changes.is_empty());
    Some(commit + if changed { "+changes" } else { "" })
}

/// This machine's processor.
pub fn processor() -> String {
    cpu(&fs::read_to_string("/proc/cpuinfo").unwrap_or_default())
}

/// The model's name and its vector extensions.
fn cpu(info: &str) -> String {
    let field = |name: &str| {
        let line = info.lines().find(|line| line.starts_with(name))?;
        line.split_once(':').map(|(_, value)| value.trim())
    };
    let flags: Vec<&str> = field("flags").unwrap_or_default().split(' ').collect();
    let units = ["avx2", "avx512f", "avx512_bf16", "amx_bf16"];
    let units: Vec<&str> = units.into_iter().filter(|unit| flags.contains(unit)).collect();
    let model = field("model name").unwrap_or(std::env::consts::ARCH);
    if units.is_empty() { model.to_owned() } else { format!("{model} ({})", units.join(", ")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_commit_says_whether_results_may_be_of_another_program() {
        let scratch = tempfile::tempdir().unwrap();
        let root = scratch.path();
        let git = |arguments: &[&str]| {
            let who = ["-c", "user.name=a", "-c", "user.email=a", "-c", "commit.gpgsign=false"];
            ask(Command::new("git").current_dir(root).args(who).args(arguments)).unwrap()
        };
        git(&["init"]);
        git(&["commit", "--allow-empty", "--message", "first"]);
        let workspace = Workspace { root: root.to_owned() };
        let first = git(&["rev-parse", "--short", "HEAD"]);
        assert_eq!(commit(&workspace).as_ref(), Some(&first));
        fs::create_dir(root.join("docs")).unwrap();
        fs::write(root.join("docs/record.json"), "").unwrap();
        assert_eq!(commit(&workspace).as_ref(), Some(&first));
        fs::write(root.join("recipe.toml"), "").unwrap();
        assert_eq!(commit(&workspace), Some(format!("{first}+changes")));
    }

    #[test]
    fn a_cpu_is_named_with_its_vector_units() {
        let info = "processor\t: 0\nmodel name\t: Some CPU\nflags\t\t: fpu avx2 avx512_bf16 sse\n";
        assert_eq!(cpu(info), "Some CPU (avx2, avx512_bf16)");
        assert_eq!(cpu(""), std::env::consts::ARCH);
    }
}
