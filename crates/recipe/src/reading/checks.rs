//! Checks of values beyond their types, and the violation that they report.

use std::collections::HashSet;

use super::bounds::shown;

/// Values that are out of range or do not go together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// The dotted keys involved, the one most likely at fault first: the error names
    /// the place of one that is written.
    pub keys: Vec<String>,
    /// Names the key, its value and what is accepted.
    pub message: String,
    /// Whether a recipe's file may leave the value to each run, such as the folder of a user's own
    /// pictures.
    pub left_open: bool,
}

impl Violation {
    /// A violation of the given keys.
    pub fn new(keys: &[&str], message: impl Into<String>) -> Self {
        let keys = keys.iter().map(|&key| key.to_owned()).collect();
        Self { keys, message: message.into(), left_open: false }
    }

    /// The same violation, for a value that a recipe's file may leave to each run.
    #[must_use]
    pub fn left_open(self) -> Self {
        Self { left_open: true, ..self }
    }
}

/// Settings with checks of their own.
pub trait Checked {
    /// Checks what types cannot say.
    ///
    /// # Errors
    /// The first [`Violation`].
    fn check(&self) -> Result<(), Violation>;
}

/// Checks a condition between the values of some keys.
///
/// # Errors
/// A [`Violation`] with the message where it does not hold.
pub fn ensure(
    holds: bool,
    keys: &[&str],
    message: impl FnOnce() -> String,
) -> Result<(), Violation> {
    if holds { Ok(()) } else { Err(Violation::new(keys, message())) }
}

/// Checks a count.
///
/// # Errors
/// A [`Violation`] unless it is at least 1.
pub fn at_least_one(key: &str, value: usize) -> Result<(), Violation> {
    must_be(value > 0, key, value, "at least 1")
}

/// Checks a fraction strictly between 0 and 1, such as a held-out part.
///
/// # Errors
/// A [`Violation`] unless it is in (0, 1).
pub fn proper_fraction(key: &str, value: f64) -> Result<(), Violation> {
    must_be(value > 0.0 && value < 1.0, key, value, "in (0, 1)")
}

/// Checks a positive number.
///
/// # Errors
/// A [`Violation`] unless it is finite and above 0.
pub fn positive(key: &str, value: f64) -> Result<(), Violation> {
    must_be(value.is_finite() && value > 0.0, key, value, "a finite number above 0")
}

/// Checks a non-negative number.
///
/// # Errors
/// A [`Violation`] unless it is finite and at least 0.
pub fn non_negative(key: &str, value: f64) -> Result<(), Violation> {
    must_be(value.is_finite() && value >= 0.0, key, value, "a finite number of at least 0")
}

/// Checks a probability or another fraction.
///
/// # Errors
/// A [`Violation`] unless it is in [0, 1].
pub fn fraction(key: &str, value: f64) -> Result<(), Violation> {
    must_be((0.0..=1.0).contains(&value), key, value, "in [0, 1]")
}

/// Checks a rate below 1.
///
/// # Errors
/// A [`Violation`] unless it is in [0, 1).
pub fn below_one(key: &str, value: f64) -> Result<(), Violation> {
    must_be((0.0..1.0).contains(&value), key, value, "in [0, 1)")
}

/// Checks one value against a rule in words, which follow "must be".
///
/// # Errors
/// A [`Violation`] where the rule does not hold.
pub fn must_be(
    holds: bool,
    key: &str,
    value: impl std::fmt::Display,
    rule: &str,
) -> Result<(), Violation> {
    ensure(holds, &[key], || format!("{key} is {}; it must be {rule}", brief(value)))
}

/// Formats a value, as a power of ten if it has many digits.
fn brief(value: impl std::fmt::Display) -> String {
    let text = value.to_string();
    match text.parse::<f64>() {
        Ok(number) if text.len() > 20 => format!("{number:e}"),
        _ => shown(&text).into_owned(),
    }
}

/// Checks each value of a list against a rule in words, which follow "must be".
///
/// # Errors
/// A [`Violation`] with the first value for which it does not hold.
pub fn each_must_be<T: std::fmt::Display + Copy>(
    key: &str,
    values: &[T],
    holds: impl Fn(T) -> bool,
    rule: &str,
) -> Result<(), Violation> {
    values.iter().try_for_each(|&value| {
        ensure(holds(value), &[key], || {
            format!("{key} contains {}; each value must be {rule}", brief(value))
        })
    })
}

/// Checks a list whose values name something, so that it must hold each once.
///
/// # Errors
/// A [`Violation`] with the first value that it holds twice.
pub fn no_repeats<T: ToString>(
    key: &str,
    values: impl IntoIterator<Item = T>,
) -> Result<(), Violation> {
    let mut seen = HashSet::new();
    values.into_iter().map(|value| value.to_string()).try_for_each(|value| {
        ensure(seen.insert(value.clone()), &[key], || format!("{key} contains {value} twice"))
    })
}
