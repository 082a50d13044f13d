//! The origin of a run's images and starting weights, as text for its report.

use std::path::Path;

use bauta_backbones::Beginning;
use bauta_data::{Source, TestOrigin};
use bauta_report::{Body, Section};

/// A sentence on which images are trained on and which measured on, or why none are.
pub fn describe_splits(train: &dyn Source, test: &dyn Source, origin: TestOrigin) -> String {
    let held = test.len();
    let measured = match origin {
        TestOrigin::Own => format!("{held} images of the data's own test split are held out"),
        TestOrigin::HeldOut(fraction) => format!(
            "{held} images are held out by the hash of their paths: {} % of those that are there",
            100.0 * fraction
        ),
        TestOrigin::ByCaption(fraction) => format!(
            "{held} images are held out by the hash of their captions, none of which is trained \
             on: {} % of the captions that are there",
            100.0 * fraction
        ),
        TestOrigin::Validation(fraction) => format!(
            "{held} images, {} % of the training split, are held out to choose settings by; the \
             test split is not used",
            100.0 * fraction
        ),
        TestOrigin::None => "No images are held out, so nothing is measured".to_owned(),
    };
    let classes = match train.classes().len() {
        0 | 1 => " They have no classes, so no protocol measures their features.",
        _ => "",
    };
    format!("{measured}; {} are trained on.{classes}", train.len())
}

/// The section of a report on the weights that training started from.
pub fn starting_weights(title: &str, folder: &Path, begun: &Beginning) -> Section {
    let Beginning { loaded, missing, misshaped, .. } = begun;
    let all = loaded.len() + missing.len() + misshaped.len();
    let text = format!("{} of {all} tensors are those of {}.", loaded.len(), folder.display());
    let rows: Vec<_> = begun
        .remarks()
        .into_iter()
        .map(|(what, names)| {
            vec![what.into(), (names.len() as f64).into(), names.join(", ").into()]
        })
        .collect();
    let mut body = vec![Body::Text(text)];
    if !rows.is_empty() {
        let head = ["tensors", "number", "names"].map(str::to_owned).to_vec();
        body.push(Body::Table { head, rows, caption: String::new() });
    }
    Section { title: title.to_owned(), body }
}

#[cfg(test)]
mod tests {
    use bauta_data::{InMemory, Statistics};

    use super::*;

    fn images(count: usize, classes: usize) -> InMemory {
        let names = (0..classes).map(|class| class.to_string()).collect();
        let (pixels, labels) = (vec![0; count], vec![0; count]);
        InMemory::new("t", [1, 1, 1], pixels, labels, names, Statistics::MNIST).unwrap()
    }

    #[test]
    fn a_split_says_where_it_comes_from() {
        let said = |classes, origin| describe_splits(&images(90, classes), &images(10, 2), origin);
        assert_eq!(
            said(2, TestOrigin::HeldOut(0.1)),
            "10 images are held out by the hash of their paths: 10 % of those that are there; 90 \
             are trained on."
        );
        assert!(said(2, TestOrigin::Validation(0.1)).contains("10 % of the training split"));
        assert!(said(2, TestOrigin::Own).starts_with("10 images of the data's own test split"));
        assert!(said(1, TestOrigin::Own).ends_with("no protocol measures their features."));
        assert!(said(2, TestOrigin::None).starts_with("No images are held out"));
    }

    #[test]
    fn starting_weights_name_what_was_not_loaded() {
        let begun = Beginning {
            loaded: vec!["a".to_owned(), "b".to_owned()],
            missing: vec!["c".to_owned()],
            ..Beginning::default()
        };
        let section = starting_weights("Start", Path::new("m"), &begun);
        assert_eq!(section.body[0], Body::Text("2 of 3 tensors are those of m.".to_owned()));
        let Body::Table { rows, .. } = &section.body[1] else { panic!("a table of remarks") };
        assert_eq!((rows.len(), &rows[0][2]), (1, &"c".into()));
        let whole = Beginning { missing: Vec::new(), ..begun };
        assert_eq!(starting_weights("Start", Path::new("m"), &whole).body.len(), 1);
    }
}
