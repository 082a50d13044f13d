//! Hierarchies of labels: a document with a child label also has its parent.

use std::collections::HashMap;

use ndarray::Array2;

use crate::MultilabelError;

/// The parent of each label, if it has one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hierarchy {
    parents: Vec<Option<usize>>,
}

impl Hierarchy {
    /// A hierarchy given by the number of each label's parent.
    ///
    /// # Errors
    /// When a parent is not a label, or a label is its own ancestor.
    pub fn new(parents: Vec<Option<usize>>) -> Result<Self, MultilabelError> {
        let labels = parents.len();
        if let Some(parent) = parents.iter().flatten().find(|&&parent| parent >= labels) {
            let rule = format!("must be one of {labels} labels");
            return Err(MultilabelError::argument("parents", parent, rule));
        }
        for label in 0..labels {
            let above = std::iter::successors(parents[label], |&above| parents[above]);
            if above.take(labels).any(|above| above == label) {
                return Err(MultilabelError::Circle { label });
            }
        }
        Ok(Self { parents })
    }

    /// The hierarchy given by names with slashes: the parent of `a/b/c` is `a/b` if that is a
    /// label, else `a`.
    pub fn of_paths<S: AsRef<str>>(names: &[S]) -> Self {
        let numbers: HashMap<&str, usize> =
            names.iter().zip(0..).map(|(name, number)| (name.as_ref(), number)).collect();
        let parent = |name: &str| {
            let mut above = name;
            while let Some((shorter, _)) = above.rsplit_once('/') {
                if let Some(&number) = numbers.get(shorter) {
                    return Some(number);
                }
                above = shorter;
            }
            None
        };
        Self { parents: names.iter().map(|name| parent(name.as_ref())).collect() }
    }

    /// The parent of each label.
    pub fn parents(&self) -> &[Option<usize>] {
        &self.parents
    }

    /// Whether no label has a parent.
    pub fn is_flat(&self) -> bool {
        self.parents.iter().all(Option::is_none)
    }

    /// Adds all ancestors of each document's labels `[D, N]`.
    ///
    /// # Panics
    /// When the number of columns is not the number of labels.
    pub fn close(&self, decisions: &mut Array2<bool>) {
        assert_eq!(decisions.ncols(), self.parents.len(), "a column is a label");
        for mut row in decisions.rows_mut() {
            for label in 0..self.parents.len() {
                if !row[label] {
                    continue;
                }
                let mut above = self.parents[label];
                while let Some(parent) = above {
                    row[parent] = true;
                    above = self.parents[parent];
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use ndarray::array;

    use super::*;

    #[test]
    fn paths_make_parents_and_closure_adds_ancestors() {
        let names = ["/person", "/person/artist/actor", "/place", "/person/artist"];
        let hierarchy = Hierarchy::of_paths(&names);
        assert_eq!(hierarchy.parents(), [None, Some(3), None, Some(0)]);
        let mut decisions = array![[false, true, false, false], [false, false, true, false]];
        hierarchy.close(&mut decisions);
        assert_eq!(decisions, array![[true, true, false, true], [false, false, true, false]]);
        let closed = decisions.clone();
        hierarchy.close(&mut decisions);
        assert_eq!(decisions, closed);
        assert!(Hierarchy::of_paths(&["grain", "corn"]).is_flat());
    }

    #[test]
    fn circles_and_strangers_are_refused() {
        let circle = Hierarchy::new(vec![Some(1), Some(2), Some(0)]).unwrap_err();
        assert_eq!(
            circle.to_string(),
            "label 0 is its own ancestor; a hierarchy must not have cycles"
        );
        assert!(Hierarchy::new(vec![Some(7)]).is_err());
    }
}
