//! Values by their names, with the nearest known name for a wrong one.

use strum::VariantArray;
use thiserror::Error;

use super::bounds::shown;
use super::nearest;

/// An unknown name.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("no {what} named {}; {}Known: {}", shown(name), meant(*nearest), known.join(", "))]
pub struct UnknownName {
    what: String,
    name: String,
    nearest: Option<&'static str>,
    known: Vec<&'static str>,
}

/// The value of this name, which a command line gives.
///
/// # Errors
/// [`UnknownName`], with the nearest of the known names, and all of them.
///
/// ```
/// use bauta_recipe::{Protocol, named};
///
/// assert_eq!(named::<Protocol>("protocol", "linear")?, Protocol::Linear);
/// assert_eq!(
///     named::<Protocol>("protocol", "liner").unwrap_err().to_string(),
///     "no protocol named liner; did you mean linear? Known: knn, linear, few-shot, semi"
/// );
/// # Ok::<(), bauta_recipe::reading::UnknownName>(())
/// ```
pub fn named<T>(what: &str, name: &str) -> Result<T, UnknownName>
where
    T: VariantArray + Copy + Into<&'static str>,
{
    let known: Vec<&'static str> = T::VARIANTS.iter().map(|&value| value.into()).collect();
    let place = known.iter().position(|&known| known == name);
    place.map(|place| T::VARIANTS[place]).ok_or_else(|| UnknownName {
        what: what.to_owned(),
        name: name.to_owned(),
        nearest: nearest(name, known.iter().copied()),
        known,
    })
}

/// The suggestion; a name longer than any key gets none.
fn meant(nearest: Option<&str>) -> String {
    nearest.map_or_else(String::new, |name| format!("did you mean {name}? "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Protocol;

    #[test]
    fn a_name_of_a_megabyte_is_refused_in_short() {
        let error = named::<Protocol>("protocol", &"x".repeat(1_000_000)).unwrap_err().to_string();
        assert!(error.len() < 200 && error.contains("; Known: knn"), "{error}");
    }
}
