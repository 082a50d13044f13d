//! The published systems, one file each, and the table of them.

pub mod brep;
mod dbot;
mod elo;
mod exssnet;
mod i_mae;
mod m3ae;
mod mae;
pub mod mae_st;
mod mask_distill;
pub mod mix_mask;
mod multilabel;

use anyhow::Result;
use bauta_recipe::{Recipe, Settings};

pub use self::brep::Brep;
pub use self::dbot::DBot;
pub use self::elo::Elo;
pub use self::exssnet::ExSsNet;
pub use self::i_mae::IMae;
pub use self::m3ae::M3ae;
pub use self::mae::Mae;
pub use self::mae_st::MaeSt;
pub use self::mask_distill::MaskDistill;
pub use self::mix_mask::MixMask;
pub use self::multilabel::Multilabel;
use crate::run::{Launch, RunEnd};

/// Generates [`launch`] from the table of systems.
macro_rules! systems {
    ($($system:ident),* $(,)?) => {
        /// Runs a recipe by the system that it names.
        ///
        /// # Errors
        /// As [`Launch::run`].
        pub fn launch(recipe: Recipe, launch: &Launch<'_>) -> Result<RunEnd> {
            let Recipe { seed, about, train, settings } = recipe;
            match settings {
                $(Settings::$system(settings) => {
                    launch.run::<$system>(&Recipe { seed, about, train, settings })
                })*
            }
        }
    };
}

systems![Mae, DBot, MaskDistill, IMae, MaeSt, ExSsNet, Multilabel, Brep, MixMask, M3ae, Elo];
