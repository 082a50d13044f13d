//! `list`: what can be run, for people and as JSON.

use anyhow::Result;
use bauta_masking::Strategy;
use bauta_recipe::claim::{self, Claim};
use bauta_recipe::{Layers, Recipe, System, TargetKind};
use serde::Serialize;

use crate::workspace::Workspace;

/// What `list --json` prints, as one object.
#[derive(Serialize)]
struct Listing {
    /// Names that a recipe's `system` takes.
    systems: Vec<&'static str>,
    recipes: Vec<RecipeEntry>,
    /// Names that `mask.strategy` takes.
    strategies: Vec<&'static str>,
    /// Names that `target.kind` takes.
    targets: Vec<&'static str>,
    claims: Vec<ClaimEntry>,
}

/// One recipe.
#[derive(Serialize)]
struct RecipeEntry {
    name: String,
    system: &'static str,
    summary: String,
    /// Name of the data set.
    data: &'static str,
    /// Expected minutes of training and evaluation on `machine`.
    minutes: f64,
    machine: String,
    /// The headline metric in `summary.json`.
    metric: String,
    /// Its expected value; null where it has not been measured.
    expected: Option<f64>,
}

/// One claim.
#[derive(Serialize)]
struct ClaimEntry {
    name: String,
    /// Paper and table.
    source: String,
    /// What the paper found.
    summary: String,
    /// The recipe whose settings are varied.
    recipe: String,
    /// The metric that is compared.
    metric: String,
}

/// Prints the listing.
pub fn list(workspace: &Workspace, json: bool) -> Result<()> {
    let listing = Listing {
        systems: System::ALL.map(System::name).to_vec(),
        recipes: recipes(workspace)?,
        strategies: Strategy::ALL.map(Strategy::name).to_vec(),
        targets: TargetKind::ALL.map(TargetKind::name).to_vec(),
        claims: claims(workspace)?,
    };
    if json {
        println!("{}", serde_json::to_string_pretty(&listing)?);
    } else {
        print!("{}", text(&listing));
    }
    Ok(())
}

fn recipes(workspace: &Workspace) -> Result<Vec<RecipeEntry>> {
    let folder = workspace.recipes();
    let mut entries = Vec::new();
    for name in bauta_recipe::names(&folder)? {
        let recipe = Recipe::load(&bauta_recipe::find(&folder, &name)?, &Layers::default())?;
        entries.push(RecipeEntry {
            name,
            system: recipe.system.name(),
            summary: recipe.about.summary,
            data: recipe.data.name.name(),
            minutes: recipe.about.minutes,
            machine: recipe.about.machine,
            metric: recipe.about.metric,
            expected: recipe.about.expected,
        });
    }
    Ok(entries)
}

/// The claims, sorted by name; none while their folder is absent.
fn claims(workspace: &Workspace) -> Result<Vec<ClaimEntry>> {
    let folder = workspace.claims();
    if !folder.is_dir() {
        return Ok(Vec::new());
    }
    let entry = |name: String| {
        let claim = Claim::load(&claim::find(&folder, &name)?, false)?;
        let Claim { source, summary, recipe, metric, .. } = claim;
        Ok(ClaimEntry { name, source, summary, recipe, metric })
    };
    bauta_recipe::names(&folder)?.into_iter().map(entry).collect()
}

fn text(listing: &Listing) -> String {
    let mut text = String::from("Recipes (cargo xtask run NAME)\n");
    for recipe in &listing.recipes {
        let expected = match recipe.expected {
            Some(value) => format!("{} {value}", recipe.metric),
            None => format!("{} not measured yet", recipe.metric),
        };
        text += &format!(
            "  {}\n      {}\n      data {}; about {} min on {}; {expected}\n",
            recipe.name, recipe.summary, recipe.data, recipe.minutes, recipe.machine,
        );
    }
    text += &format!("\nSystems            {}\n", listing.systems.join(", "));
    text += &format!("mask.strategy      {}\n", listing.strategies.join(", "));
    text += &format!("target.kind        {}\n", listing.targets.join(", "));
    match listing.claims.as_slice() {
        [] => text += "Claims             none yet\n",
        claims => {
            text += "\nClaims (cargo xtask reproduce NAME)\n";
            claims.iter().for_each(|claim| {
                let ClaimEntry { name, source, summary, .. } = claim;
                text += &format!("  {name}\n      {summary}\n      {source}\n");
            });
        }
    }
    text
}
