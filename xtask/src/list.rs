//! `list`: everything that can be run, for readers and as JSON.

use anyhow::Result;
use bauta_masking::Strategy;
use bauta_recipe::claim::{self, Claim, Size};
use bauta_recipe::{FeatureLoss, Normalization, Protocol, Recipe, System, TargetKind, TeacherKind};
use serde::Serialize;
use strum::VariantArray;

use crate::workspace::Workspace;

/// What `list --json` prints, as one object.
#[derive(Serialize)]
struct Listing {
    /// Names that a recipe's `system` takes.
    systems: Vec<String>,
    recipes: Vec<RecipeEntry>,
    /// Names that `mask.strategy` takes.
    strategies: Vec<String>,
    /// Names that `target.kind` takes.
    targets: Vec<String>,
    /// Names that `teacher.kind` takes.
    teachers: Vec<String>,
    /// Names that `target.features.normalization` takes.
    normalizations: Vec<String>,
    /// Names that `target.features.loss` takes.
    losses: Vec<String>,
    /// Names that `eval.protocols` takes.
    protocols: Vec<String>,
    claims: Vec<ClaimEntry>,
}

/// One recipe.
#[derive(Serialize)]
struct RecipeEntry {
    name: String,
    system: String,
    summary: String,
    /// Name of the data set; names, if there are several.
    data: String,
    /// Expected minutes of training and evaluation on `machine`.
    minutes: f64,
    machine: String,
    /// The headline metric in `summary.json`.
    metric: String,
    /// Its expected value; null if it has not been measured.
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
        systems: names::<System>(),
        recipes: recipes(workspace)?,
        strategies: names::<Strategy>(),
        targets: names::<TargetKind>(),
        teachers: names::<TeacherKind>(),
        normalizations: names::<Normalization>(),
        losses: names::<FeatureLoss>(),
        protocols: names::<Protocol>(),
        claims: claims(workspace)?,
    };
    if json {
        println!("{}", serde_json::to_string_pretty(&listing)?);
    } else {
        print!("{}", text(&listing));
    }
    Ok(())
}

/// Every name of an enum, in the order of the documentation.
fn names<T: VariantArray + ToString>() -> Vec<String> {
    T::VARIANTS.iter().map(T::to_string).collect()
}

fn recipes(workspace: &Workspace) -> Result<Vec<RecipeEntry>> {
    let folder = workspace.recipes();
    let mut entries = Vec::new();
    for name in bauta_recipe::names(&folder)? {
        let recipe: Recipe = Recipe::outline(&bauta_recipe::find(&folder, &name)?)?;
        entries.push(RecipeEntry {
            name,
            system: recipe.system().to_string(),
            data: recipe.data().iter().map(|need| need.name).collect::<Vec<_>>().join(", "),
            summary: recipe.about.summary,
            minutes: recipe.about.minutes,
            machine: recipe.about.machine,
            metric: recipe.about.metric,
            expected: recipe.about.expected,
        });
    }
    Ok(entries)
}

/// The claims, sorted by name; empty if their folder is missing.
fn claims(workspace: &Workspace) -> Result<Vec<ClaimEntry>> {
    let folder = workspace.claims();
    if !folder.is_dir() {
        return Ok(Vec::new());
    }
    let entry = |name: String| {
        let claim = Claim::load(&claim::find(&folder, &name)?, Size::Full)?;
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
    text += "\n";
    for (key, names) in [
        ("Systems", &listing.systems),
        ("mask.strategy", &listing.strategies),
        ("target.kind", &listing.targets),
        ("teacher.kind", &listing.teachers),
        ("target.features.normalization", &listing.normalizations),
        ("target.features.loss", &listing.losses),
        ("eval.protocols", &listing.protocols),
    ] {
        text += &format!("{key:30} {}\n", names.join(", "));
    }
    match listing.claims.as_slice() {
        [] => text += &format!("{:30} none yet\n", "Claims"),
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
