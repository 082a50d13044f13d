//! Categories of annotation files, and matching those of two files by name.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::source::layout::several;

/// A category as annotation files write it.
#[derive(Clone, Debug, Deserialize, PartialEq)]
pub(super) struct Category {
    pub(super) id: u64,
    pub(super) name: String,
}

/// The class of each category number of a file.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Categories {
    /// In the order of their numbers in the training file; a class is an index into this.
    classes: Vec<Category>,
    /// The class of each category number of the file.
    by_number: BTreeMap<u64, usize>,
}

impl Categories {
    /// Numbers the classes from 0 in the order of the file's own numbers.
    pub(super) fn of(mut categories: Vec<Category>) -> Result<Self, String> {
        categories.sort_by_key(|category| category.id);
        if let Some(twice) = categories.windows(2).find(|pair| pair[0].id == pair[1].id) {
            return Err(format!("two categories have number {}", twice[0].id));
        }
        let numbered = categories.iter().enumerate();
        let by_number = numbered.map(|(class, category)| (category.id, class)).collect();
        Ok(Self { classes: categories, by_number })
    }

    /// The class of a category number.
    pub(super) fn class(&self, number: u64) -> Option<usize> {
        self.by_number.get(&number).copied()
    }

    /// Names of the classes.
    pub(super) fn names(&self) -> Vec<String> {
        self.classes.iter().map(|category| category.name.clone()).collect()
    }

    /// Maps the categories of another file to these classes, by name, and also by number if several
    /// have the same name.
    ///
    /// Categories that no annotation uses (according to `used`) need not be known.
    pub(super) fn joined(&self, other: &Self, used: impl Fn(u64) -> bool) -> Result<Self, String> {
        let mut by_number = BTreeMap::new();
        let (mut strange, mut unclear) = (Vec::new(), Vec::new());
        for category in &other.classes {
            let same = |of: &[Category]| -> Vec<usize> {
                (0..of.len()).filter(|&at| of[at].name == category.name).collect()
            };
            let known = same(&self.classes);
            let alone = known.len() == 1 && same(&other.classes).len() == 1;
            let class = known.iter().find(|&&at| alone || self.classes[at].id == category.id);
            let shown = || format!("{} `{}`", category.id, category.name);
            match class {
                Some(&class) => {
                    by_number.insert(category.id, class);
                }
                None if !used(category.id) => {}
                None if known.is_empty() => strange.push(shown()),
                None => unclear.push(shown()),
            }
        }
        if !strange.is_empty() {
            return Err(format!(
                "categories {} are not among those of the training annotations ({})",
                several(&strange),
                several(&self.names())
            ));
        }
        if !unclear.is_empty() {
            return Err(format!(
                "categories {}: several have the same name, and the training annotations have none \
                 with the same number; give each its own name or number",
                several(&unclear)
            ));
        }
        Ok(Self { classes: self.classes.clone(), by_number })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn categories(of: &[(u64, &str)]) -> Categories {
        let category = |&(id, name): &(u64, &str)| Category { id, name: name.to_owned() };
        Categories::of(of.iter().map(category).collect()).unwrap()
    }

    #[test]
    fn categories_are_joined_by_name_and_then_by_number() {
        let train = categories(&[(7, "cup"), (3, "cat"), (9, "cup"), (12, "dog")]);
        assert_eq!(train.names(), ["cat", "cup", "cup", "dog"]);
        // A different order, different numbers, fewer categories, and additional ones that nothing
        // uses.
        for (other, classes) in [
            (&[(12, "dog"), (9, "cup"), (3, "cat"), (7, "cup")][..], &[3, 2, 0, 1][..]),
            (&[(1, "dog"), (2, "cat")], &[3, 0]),
            (&[(3, "dog"), (12, "cat")], &[3, 0]),
            (&[(9, "cup")], &[2]),
            (&[(3, "cat"), (4, "emu")], &[0]),
        ] {
            let joined = train.joined(&categories(other), |number| number != 4).unwrap();
            let found: Vec<usize> = other.iter().filter_map(|&(id, _)| joined.class(id)).collect();
            assert_eq!(found, classes, "{other:?}");
            assert_eq!(joined.names(), train.names());
        }
        for (other, word) in
            [(&[(4, "emu")][..], "4 `emu`"), (&[(1, "cup")], "1 `cup`: several have the same name")]
        {
            let error = train.joined(&categories(other), |_| true).unwrap_err();
            assert!(error.contains(word), "{error}");
        }
    }
}
