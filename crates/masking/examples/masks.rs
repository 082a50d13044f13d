//! Prints every strategy's mask of one image as text; no tensor library is linked.
//!
//! `cargo run -p bauta-masking --example masks`

#![allow(clippy::print_stdout, reason = "an example is a program")]

use bauta_masking::{Grid, MaskError, MaskPlan, Strategy};
use strum::VariantArray;

fn main() -> Result<(), MaskError> {
    let grid = Grid::of_image(224, 224, 16)?;
    for strategy in Strategy::VARIANTS {
        // Seed 0, epoch 0, sample 17: the same key gives the same mask anywhere.
        let plan = MaskPlan::draw(&*strategy.build(grid, 0.75)?, 0, 0, &[17])?;
        println!("{strategy}: {} of {} tokens are visible", plan.visible_count(), plan.tokens());
        for row in plan.mask().chunks(grid.width()) {
            let row: String = row.iter().map(|&m| if m == 1.0 { "· " } else { "■ " }).collect();
            println!("  {row}");
        }
    }
    Ok(())
}
