//! Tables of results: what is shown, kept and refused.

use super::*;

fn results() -> Results {
    let row = |name: &str, numbers: &[&[f64]], made: Option<Made>| ResultsRow {
        name: name.to_owned(),
        numbers: numbers.iter().map(|numbers| numbers.to_vec()).collect(),
        made,
        digest: None,
        former: false,
    };
    Results {
        table: "images".to_owned(),
        quick: false,
        summary: "Two systems.".to_owned(),
        note: Some("Half an epoch <each>.".to_owned()),
        columns: vec!["k-NN".to_owned(), "images/s".to_owned()],
        rows: vec![
            row("MAE", &[&[0.5, 0.6], &[1000.0, 1100.0]], Some(made(12.4, "abc1234"))),
            row("raw | pixels", &[&[0.4, 0.4], &[]], None),
        ],
        seeds: vec![0, 1],
    }
}

fn made(minutes: f64, commit: &str) -> Made {
    Made {
        minutes,
        machine: "a processor, 2 threads, fp32".to_owned(),
        set: Vec::new(),
        version: "0.1.0".to_owned(),
        commit: commit.to_owned(),
        date: "2026-11-29 07:00".to_owned(),
    }
}

#[test]
fn the_markdown_has_means_deviations_and_where_they_were_made() {
    let text = results().markdown();
    for line in [
        "### `images`",
        "| | k-NN | images/s |",
        "|---|---|---|",
        "| MAE | 0.5500 ± 0.0707 | 1050 ± 71 |",
        "| raw \\| pixels | 0.4000 ± 0.0000 | – |",
        "Fractions lie in [0, 1]; mean ± standard deviation over 2 seeds. 12 minutes in all on a \
         processor, 2 threads, fp32; Bauta 0.1.0, commit abc1234, 2026-11-29 07:00.",
        "Half an epoch <each>.",
    ] {
        assert!(text.lines().any(|found| found == line), "{line:?} is not a line of\n{text}");
    }
}

#[test]
fn the_page_shows_the_same_numbers_and_escapes_words() {
    let page = results().page();
    for part in ["0.5500 ± 0.0707", "raw | pixels", "Half an epoch &lt;each&gt;.", "abc1234"] {
        assert!(page.contains(part), "{part} is not in\n{page}");
    }
    assert!(Results { quick: true, ..results() }.page().contains("images --quick"));
}

#[test]
fn each_row_says_what_made_it_and_rows_that_are_not_made_yet_are_named() {
    let mut results = results();
    let row = |name: &str, numbers: Vec<Vec<f64>>, made| ResultsRow {
        name: name.to_owned(),
        numbers,
        made,
        digest: None,
        former: false,
    };
    let numbers = || vec![vec![0.5, 0.5], vec![]];
    results.rows.push(row("dBOT", numbers(), Some(made(7.6, "abc1234"))));
    let set = vec!["train.threads=1".to_owned()];
    results.rows.push(row("MoCo", numbers(), Some(Made { set, ..made(9.0, "def5678") })));
    results.rows.push(row("MixMask", vec![vec![], vec![]], None));
    let text = results.made_by();
    let expected = "Fractions lie in [0, 1]; mean ± standard deviation over 2 seeds. 20 minutes for \
        MAE; dBOT on a processor, 2 threads, fp32; Bauta 0.1.0, commit abc1234, 2026-11-29 07:00. \
        9 minutes for MoCo on a processor, 2 threads, fp32, with train.threads=1; Bauta 0.1.0, commit \
        def5678, 2026-11-29 07:00. Not made yet: MixMask.";
    assert_eq!(text, expected);
}

#[test]
fn rows_made_earlier_are_taken_over_by_name() {
    let mut empty = results();
    empty.rows.iter_mut().for_each(ResultsRow::clear);
    assert!(empty.rows.iter().all(|row| row.is_empty() && row.made.is_none()));
    assert_eq!(empty.clone().with_rows_of(results()), Ok(results()));
    let mut newer = results();
    newer.rows[0].numbers[0] = vec![0.7, 0.8];
    assert_eq!(results().with_rows_of(newer.clone()), Ok(newer.clone()));
    assert_eq!(newer.clone().with_rows_of(empty.clone()), Ok(newer));

    // One row is new and another has a new name; the third keeps its numbers.
    let mut changed = empty;
    changed.rows[1].name = "pixels".to_owned();
    let new = ResultsRow { name: "dBOT".to_owned(), ..changed.rows[1].clone() };
    changed.rows.insert(0, new);
    let taken = changed.with_rows_of(results()).unwrap();
    let empty: Vec<(&str, bool)> =
        taken.rows.iter().map(|row| (row.name.as_str(), row.is_empty())).collect();
    assert_eq!(empty, [("dBOT", true), ("MAE", false), ("pixels", true)]);
    assert_eq!(taken.rows[1], results().rows[0]);
}

#[test]
fn rows_of_another_table_and_of_other_columns_or_seeds_are_refused() {
    let refused = |earlier: Results| results().with_rows_of(earlier).unwrap_err();
    let columns = vec!["k-NN".to_owned(), "seconds".to_owned()];
    assert_eq!(
        refused(Results { columns, ..results() }),
        "the columns k-NN | seconds, not k-NN | images/s"
    );
    assert_eq!(refused(Results { seeds: vec![0], ..results() }), "the seeds 0, not 0, 1");
    assert_eq!(
        refused(Results { quick: true, ..results() }),
        "the name images --quick, not images"
    );
}

#[test]
fn it_is_read_back_and_a_row_that_lacks_a_number_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("images.json");
    let mut results = results();
    results.write(&path).unwrap();
    assert_eq!(Results::read(&path).unwrap(), results);
    results.rows[0].digest = Some("0123".to_owned());
    results.write(&path).unwrap();
    assert_eq!(Results::read(&path).unwrap(), results);
    results.rows[0].numbers[1].pop();
    results.write(&path).unwrap();
    let error = Results::read(&path).unwrap_err().to_string();
    assert!(error.ends_with("row MAE does not have 2 × 2 numbers"), "{error}");
}
