//! Values that a command line names, with the nearest known name for a wrong one.

use anyhow::{Context, Result};
use bauta_recipe::nearest;
use strum::VariantArray;

/// What has this name.
///
/// # Errors
/// With the nearest of the known names, and all of them.
pub(crate) fn named<T>(what: &str, name: &str) -> Result<T>
where
    T: VariantArray + Copy + Into<&'static str>,
{
    let known: Vec<&'static str> = T::VARIANTS.iter().map(|&value| value.into()).collect();
    let place = known.iter().position(|&known| known == name);
    place.map(|place| T::VARIANTS[place]).with_context(|| {
        let meant = nearest(name, known.iter().copied()).unwrap_or_default();
        format!("no {what} named {name}; did you mean {meant}? Known: {}", known.join(", "))
    })
}
