//! Rule 6 and the length of a system's file: names, lengths and first lines.

use super::{Source, Violation};

/// Names that say nothing about the contents.
const EMPTY_NAMES: [&str; 7] = ["util", "utils", "common", "helper", "helpers", "misc", "base"];

/// Source files have fewer lines than this.
const LINES: usize = 400;

/// A system's file has at most this many: it must read like the paper's algorithm.
const SYSTEM_LINES: usize = 250;

/// Checks one file.
pub fn check(source: &Source) -> Vec<Violation> {
    let mut violations = Vec::new();
    let path = &source.path;
    let parts = path.iter().filter_map(|part| part.to_str());
    for part in parts.map(|part| part.strip_suffix(".rs").unwrap_or(part)) {
        if EMPTY_NAMES.contains(&part) {
            let message =
                format!("the name {part:?} does not say what is inside; name the subject");
            violations.push(source.violation(1, "names", message));
        }
    }
    let lines = source.text.lines().count();
    if lines >= LINES {
        let message = format!("{lines} lines; a file has one subject and fewer than {LINES}");
        violations.push(source.violation(LINES, "length", message));
    } else if path.starts_with("crates/experiments/src/systems") && lines > SYSTEM_LINES {
        let message = format!("{lines} lines; a system's file has at most {SYSTEM_LINES}");
        violations.push(source.violation(SYSTEM_LINES + 1, "length", message));
    }
    if !source.text.starts_with("//!") {
        let message = "a file must begin with a module comment, //! and its idea".to_owned();
        violations.push(source.violation(1, "module comment", message));
    }
    violations
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(path: &str, text: &str) -> Vec<&'static str> {
        let source = Source { path: path.into(), text: text.to_owned() };
        check(&source).into_iter().map(|violation| violation.rule).collect()
    }

    #[test]
    fn names_lengths_and_first_lines() {
        let lines = |count: usize| "//! Idea.\n".repeat(count);
        let none: [&str; 0] = [];
        assert_eq!(rules("crates/masking/src/grid.rs", &lines(399)), none);
        assert_eq!(rules("crates/masking/src/grid.rs", &lines(400)), ["length"]);
        assert_eq!(rules("crates/experiments/src/systems/mae.rs", &lines(250)), none);
        assert_eq!(rules("crates/experiments/src/systems/mae.rs", &lines(251)), ["length"]);
        assert_eq!(rules("crates/masking/src/grid.rs", "use x;\n"), ["module comment"]);
        assert_eq!(rules("crates/data/src/utils.rs", "//! A.\n"), ["names"]);
        assert_eq!(rules("crates/common/src/lib.rs", "//! A.\n"), ["names"]);
        assert_eq!(rules("crates/data/src/database.rs", "//! A.\n"), none);
    }
}
