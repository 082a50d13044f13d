//! The names of classes, as Hugging Face's files write them.

use std::collections::BTreeMap;

/// Hugging Face's own name of a class that has none.
fn label(class: usize) -> String {
    format!("LABEL_{class}")
}

/// The names of so many classes by index.
pub(super) fn id2label(classes: usize) -> BTreeMap<usize, String> {
    (0..classes).map(|class| (class, label(class))).collect()
}

/// The reverse of [`id2label`].
pub(super) fn label2id(classes: usize) -> BTreeMap<String, usize> {
    (0..classes).map(|class| (label(class), class)).collect()
}
