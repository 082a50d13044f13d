//! Which systems' blocks can be recomputed, by `train.checkpoint_blocks`.

#![allow(clippy::unwrap_used, reason = "in tests a panic is the report")]

#[allow(dead_code, reason = "other tests read it all")]
mod valid;

mod of_systems;

use std::path::Path;

use bauta_recipe::{Layers, Recipe, System};
use of_systems::recipe_of;
use strum::VariantArray;

fn read(system: &str, set: &[&str]) -> Result<Recipe, String> {
    let layers = Layers::of(&set.iter().map(|&text| text.to_owned()).collect::<Vec<_>>());
    Recipe::parse(&recipe_of(system), Path::new("r.toml"), &layers).map_err(|e| e.to_string())
}

#[test]
fn blocks_are_checkpointed_where_there_are_any() {
    let with = ["mae", "dbot", "maskdistill", "i-mae", "mae-st", "m3ae"];
    for system in System::VARIANTS.iter().map(ToString::to_string) {
        match read(&system, &["train.checkpoint_blocks=true"]) {
            Ok(recipe) => {
                assert!(with.contains(&system.as_str()), "{system}");
                assert!(recipe.to_toml().unwrap().contains("checkpoint_blocks = true"));
            }
            Err(refused) => {
                assert!(!with.contains(&system.as_str()), "{system}: {refused}");
                let wanted = format!("system {system} has no transformer blocks");
                assert!(refused.contains(&wanted), "{refused}");
            }
        }
        assert!(!read(&system, &[]).unwrap().to_toml().unwrap().contains("checkpoint_blocks"));
    }
}
