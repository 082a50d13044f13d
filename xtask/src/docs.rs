//! `docs`: the pages of the book that are generated from the sources.

mod api;
#[cfg(test)]
mod commands;
mod fields;
mod keys;
mod page;

use anyhow::{Context, Result, ensure};
use bauta_files::write_whole;

use crate::workspace::Workspace;

/// The page of every key, from the workspace's root.
const KEYS: &str = "docs/keys.md";

/// Writes the pages, or builds the documentation of the crates.
pub fn docs(workspace: &Workspace, api: bool) -> Result<()> {
    if api {
        println!("front page: {}", workspace.shown(&api::build(workspace)?).display());
        return Ok(());
    }
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

#[cfg(test)]
mod tests {
    use bauta_recipe::Recipe;
    use bauta_recipe::claim::{self, Claim};
    use clap::Parser;
    use clap::error::ErrorKind;

    use super::commands::documented;
    use crate::workspace::Workspace;
    use crate::{Command, Task};

    /// Names that stand for the reader's own, and the systems that the book adds.
    const OWN: [&str; 5] = ["RECIPE", "CLAIM", "NAME", "denoiser-mnist", "denoiser-half"];

    #[test]
    fn every_command_of_the_book_is_one() {
        let workspace = Workspace::find().unwrap();
        let commands = documented(&workspace.root);
        assert!(commands.len() > 50, "only {} commands were found", commands.len());
        for command in commands {
            let line = ["cargo xtask".to_owned()].into_iter().chain(command.words.clone());
            let parsed = match Command::try_parse_from(line) {
                Ok(parsed) => parsed,
                // A mention of a command needs no arguments.
                Err(error)
                    if !command.whole
                        && matches!(
                            error.kind(),
                            ErrorKind::MissingRequiredArgument
                                | ErrorKind::DisplayHelp
                                | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand
                        ) =>
                {
                    continue;
                }
                Err(error) => panic!("{}: {error}", command.place),
            };
            let known = match parsed.task {
                Task::Run(run) => {
                    let (name, mut layers) = run.recipe();
                    // A page adds the strategy `mask.strategy=centre`.
                    layers.set.retain(|key| !key.ends_with("=centre"));
                    // The reader's own recipe, or one of the workspace's.
                    if !OWN.contains(&name) && !name.ends_with(".toml") {
                        let loaded = bauta_recipe::find(&workspace.recipes(), name)
                            .map_err(anyhow::Error::from)
                            .and_then(|path| {
                                Ok(Recipe::<bauta_recipe::Settings>::load(&path, &layers)?)
                            });
                        loaded
                            .map(drop)
                            .unwrap_or_else(|error| panic!("{}: {error}", command.place));
                    }
                    true
                }
                Task::Reproduce(reproduce) => {
                    let (name, size) = reproduce.claim();
                    OWN.contains(&name)
                        || claim::find(&workspace.claims(), name)
                            .and_then(|path| Claim::load(&path, size))
                            .is_ok()
                }
                Task::Table(table) => {
                    let table = table.load(&workspace);
                    OWN.iter().any(|own| command.words.contains(&(*own).to_owned()))
                        || table.is_ok()
                }
                Task::Sweep(sweep) => {
                    let claim = sweep.claim(&workspace, "sweep");
                    claim.and_then(|claim| Ok(claim.cells(&workspace.recipes())?)).is_ok()
                }
                _ => true,
            };
            assert!(known, "{}: {:?}", command.place, command.words);
        }
    }
}
