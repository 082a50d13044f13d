//! `check`: everything that must hold before a change is shown to others.

use std::process::ExitCode;

use anyhow::Result;

use crate::cargo::{cargo, complete};
use crate::libtorch::Search;
use crate::workspace::Workspace;
use crate::{claims, docs, rules, table, test};

/// Runs all steps, the quick ones first, and fails if one of them fails.
pub fn check(workspace: &Workspace, no_tests: bool) -> Result<ExitCode> {
    let mut steps = Steps::default();
    steps.perform("format", || {
        complete(cargo(workspace, "fmt").args(["--all", "--check", "--", "--files-with-diff"]))
    });
    steps.perform("house rules", || {
        let violations = rules::check(workspace)?;
        for violation in &violations {
            println!("{violation}");
        }
        anyhow::ensure!(violations.is_empty(), "{} violations", violations.len());
        Ok(())
    });
    steps.perform("book", || {
        docs::check(workspace)
            .and_then(|()| claims::check(workspace))
            .and_then(|()| table::check(workspace))
    });
    steps.perform("libtorch", || Search::new(workspace)?.find_or_fetch().map(drop));
    steps.perform("lints", || {
        let scope = ["--quiet", "--workspace", "--all-targets", "--", "-D", "warnings"];
        complete(cargo(workspace, "clippy").args(scope))
    });
    steps.perform("documentation", || {
        let scope = ["--quiet", "--workspace", "--no-deps"];
        complete(cargo(workspace, "doc").args(scope).env("RUSTDOCFLAGS", "-D warnings"))
    });
    if !no_tests {
        steps.perform("tests", || test::test(workspace));
    }
    Ok(steps.conclude())
}

/// The names of the steps that failed.
#[derive(Default)]
struct Steps {
    failed: Vec<&'static str>,
}

impl Steps {
    fn perform(&mut self, name: &'static str, step: impl FnOnce() -> Result<()>) {
        match step() {
            Ok(()) => println!("✓ {name}"),
            Err(error) => {
                println!("✗ {name}: {}", crate::explain(&error));
                self.failed.push(name);
            }
        }
    }

    fn conclude(self) -> ExitCode {
        if self.failed.is_empty() {
            return ExitCode::SUCCESS;
        }
        eprintln!("error: failed: {}; see the messages above", self.failed.join(", "));
        ExitCode::FAILURE
    }
}
