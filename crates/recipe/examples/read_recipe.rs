//! Reads a recipe as `cargo xtask run` does: `read_recipe FILE [KEY=VALUE]…` prints it with every
//! default, or says where the mistake is.

#![allow(clippy::print_stdout, reason = "an example is a program")]

use std::path::Path;

use bauta_recipe::{Layers, Recipe};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut words = std::env::args().skip(1);
    let file = words.next().ok_or("give a recipe's file")?;
    let layers = Layers { quick: false, set: words.collect() };
    let recipe: Recipe = Recipe::load(Path::new(&file), &layers)?;
    println!("{}", recipe.to_toml()?);
    Ok(())
}
