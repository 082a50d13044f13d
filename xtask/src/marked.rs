//! Parts of the book's pages that are made, between two marks.

use anyhow::{Context, Result};

/// The text with `part` between the two marks, in place of what stands there.
pub fn put_between(text: &str, [begin, end]: [&str; 2], part: &str) -> Result<String> {
    let around = text.split_once(begin).and_then(|(before, rest)| {
        let (_, after) = rest.split_once(end)?;
        Some((before, after))
    });
    let (before, after) =
        around.with_context(|| format!("the page lacks the marks {begin} and {end}"))?;
    Ok(format!("{before}{begin}\n{part}{end}{after}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_stands_between_the_marks_is_replaced() {
        let marks = ["<!-- a -->", "<!-- b -->"];
        let text = "before\n<!-- a -->\nold\n<!-- b -->\nafter\n";
        let new = put_between(text, marks, "new\n").unwrap();
        assert_eq!(new, "before\n<!-- a -->\nnew\n<!-- b -->\nafter\n");
        assert_eq!(put_between(&new, marks, "new\n").unwrap(), new);
        assert!(put_between("<!-- b -->", marks, "").is_err());
    }
}
