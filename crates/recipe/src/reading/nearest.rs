//! The known name that a mistyped one was probably meant to be.

/// The candidate most like `name`; of equals the first.
///
/// A dotted key is compared as a whole and by its last part, so that `epochs`
/// finds `train.epochs`.
pub fn nearest<'a>(name: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let mut best: Option<(f64, &str)> = None;
    for candidate in candidates {
        let whole = strsim::normalized_damerau_levenshtein(name, candidate);
        let last = strsim::normalized_damerau_levenshtein(last_part(name), last_part(candidate));
        let likeness = whole.max(0.8 * last);
        if best.is_none_or(|(most, _)| likeness > most) {
            best = Some((likeness, candidate));
        }
    }
    best.map(|(_, candidate)| candidate)
}

fn last_part(dotted: &str) -> &str {
    dotted.rsplit('.').next().unwrap_or(dotted)
}

#[cfg(test)]
mod tests {
    use super::nearest;

    #[test]
    fn finds_typing_errors_and_forgotten_tables() {
        let keys = ["seed", "mask.ratio", "mask.strategy", "train.epochs", "eval.linear.epochs"];
        for (typed, meant) in [
            ("mask.ration", "mask.ratio"),
            ("msak.ratio", "mask.ratio"),
            ("mask_ratio", "mask.ratio"),
            ("epochs", "train.epochs"),
            ("train.epcohs", "train.epochs"),
            ("sede", "seed"),
        ] {
            assert_eq!(nearest(typed, keys), Some(meant), "{typed}");
        }
        assert_eq!(nearest("anything", []), None);
    }
}
