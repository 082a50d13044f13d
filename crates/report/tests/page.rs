//! The page of a run, from a folder written by hand.

use std::fs;
use std::path::Path;

use bauta_report::{
    Body, MetricsLog, PictureFile, Record, Section, Series, Summary, TableCell, table, write,
};

const RECIPE: &str = "system = \"mae\"\n[about]\nsummary = \"Masks & pixels.\"\n\
                      paper = \"A paper <1>\"\n[data]\nname = \"cifar10\"\n";

const SUMMARY: &str = r#"{
  "recipe": "mae-cifar10", "system": "mae", "seed": 3, "version": "0.1.0", "device": "cpu",
  "threads": 2, "precision": "fp32",
  "teacher": { "path": "runs/teachers/mae", "sha256": "0123456789abcdef" },
  "train": {
    "steps": 40, "samples": 2560, "seconds": 2.5, "samples_per_second": 1024.0,
    "data_seconds": 0.25, "skipped_images": 7, "first_loss": 2.0, "final_loss": 0.75,
    "parameters": 1000
  },
  "eval": { "knn_top1": 0.375, "linear_top1": 0.5, "pixel_mse": 0.125 },
  "baseline": { "random_init.linear_top1": 0.25, "raw_pixels.knn_top1": 0.4375 },
  "eval_seconds": 1.0
}"#;

/// A finished run from before there were phases and sections.
fn older_run(folder: &Path) {
    let write = |name: &str, text: &str| {
        fs::write(folder.join(name), text).expect("a writable folder");
    };
    write("recipe.toml", RECIPE);
    write("summary.json", SUMMARY);
    let line = |step: u32| {
        format!(
            r#"{{"step":{step},"epoch":0.5,"loss":0.9,"lr":0.1,"grad_norm":1.0,"samples_per_second":100.0,"step_seconds":0.1,"data_seconds":0.0}}"#
        )
    };
    write("metrics.jsonl", &[line(10), line(20), "{\"step\":30,".to_owned()].join("\n"));
    fs::create_dir(folder.join("pictures")).expect("a writable folder");
    for name in ["pictures/attention.png", "pictures/projection.svg", "pictures/notes.txt"] {
        write(name, "a picture's bytes");
    }
}

fn page_of(folder: &Path) -> String {
    write(folder).expect("a page");
    let page = fs::read_to_string(folder.join("report.html")).expect("the page");
    for outside in ["<script", "<link", "src=\"http", "href=\"http"] {
        assert!(!page.contains(outside), "{outside}");
    }
    page.replace(" class=\"\"", "")
}

fn sections() -> Vec<Section> {
    let words = |words: &[&str]| words.iter().map(|&word| word.to_owned()).collect();
    let series = |name: &str, points: &[(f64, f64)]| Series {
        name: name.to_owned(),
        points: points.to_vec(),
    };
    vec![
        Section {
            title: "Tasks & <tags>".to_owned(),
            body: vec![
                Body::Text("First <p>.\n\nSecond.".to_owned()),
                Body::Table {
                    head: words(&["task", "top1", "<note>"]),
                    rows: vec![
                        vec!["<i>digits".into(), 0.5.into(), "a & b".into()],
                        vec!["letters".into(), None::<f64>.into()],
                        vec!["signs".into(), 12.0.into(), TableCell::Empty],
                    ],
                    caption: "By <task>".to_owned(),
                },
                Body::Curves {
                    x: "tasks <learnt>".to_owned(),
                    y: "accuracy".to_owned(),
                    series: vec![
                        series("own <b>", &[(1.0, 0.9), (2.0, 0.95)]),
                        series("old", &[(1.0, 0.9), (2.0, 0.5)]),
                    ],
                    caption: "After <each>".to_owned(),
                },
            ],
        },
        Section {
            title: "More".to_owned(),
            body: vec![
                Body::Matrix {
                    rows: words(&["<r>", "s"]),
                    columns: words(&["c", "d"]),
                    values: vec![vec![Some(0.25), None], vec![Some(0.5), Some(1.0)]],
                    caption: "Rows <learnt>".to_owned(),
                },
                Body::Pictures(vec![PictureFile {
                    file: "pictures/attention.png".to_owned(),
                    caption: "Where it <looks>".to_owned(),
                }]),
            ],
        },
    ]
}

#[test]
fn an_older_runs_folder_gives_a_page_with_its_pictures() {
    let scratch = tempfile::tempdir().unwrap();
    older_run(scratch.path());
    let page = page_of(scratch.path());
    for part in [
        "Masks &amp; pixels.",
        "A paper &lt;1&gt;",
        "Test split of cifar10. Seed 3. Baselines go through the same code.",
        "<td>samples skipped as unreadable</td><td>7</td>",
        "<td>waiting for data</td><td>10.0 %</td>",
        "runs/teachers/mae, SHA-256 0123456789ab…",
        "where the last block's class token looks",
        "on their two principal components",
        "data:image/svg+xml;base64,",
        // The best of each row, but never of a mean squared error.
        "<tr><td>knn_top1</td><td>0.3750</td><td>–</td><td class=\"best\">0.4375</td></tr>",
        "<tr><td>linear_top1</td><td class=\"best\">0.5000</td><td>0.2500</td><td>–</td></tr>",
        "<tr><td>pixel_mse</td><td>0.1250</td><td>–</td><td>–</td></tr>",
        "[data]\nname = &quot;cifar10&quot;",
    ] {
        assert!(page.contains(part), "{part:?} is not on the page\n{page}");
    }
    assert_eq!(page.matches("<svg").count(), 4);
    assert_eq!(page.matches("<img").count(), 2, "the text file is no picture");
}

#[test]
fn a_run_that_was_measured_on_held_out_images_does_not_name_the_test_split() {
    let scratch = tempfile::tempdir().unwrap();
    older_run(scratch.path());
    let recipe = format!("{RECIPE}validation = 0.1\n");
    fs::write(scratch.path().join("recipe.toml"), recipe).unwrap();
    let page = page_of(scratch.path());
    assert!(page.contains("Held-out training images of cifar10. Seed 3."), "{page}");
    assert!(!page.contains("Test split"));
}

#[test]
fn the_share_of_the_peak_is_the_mean_over_the_time() {
    let scratch = tempfile::tempdir().unwrap();
    older_run(scratch.path());
    assert!(!page_of(scratch.path()).contains("processor"), "older logs do not know it");
    let record = |step, step_seconds, peak_share| Record {
        step,
        step_seconds,
        peak_share,
        ..Record::default()
    };
    // 10 s with an unknown share, 30 s at 0.2, 10 s at 0.6.
    let records = [record(10, 1.0, None), record(40, 1.0, Some(0.2)), record(60, 0.5, Some(0.6))];
    let path = scratch.path().join("metrics.jsonl");
    fs::remove_file(&path).unwrap();
    let mut log = MetricsLog::open(&path, 0).unwrap();
    for record in &records {
        log.write(record).unwrap();
    }
    let page = page_of(scratch.path());
    for part in ["<td>share of the processor's peak</td><td>30.0 %</td>", "Share of the processor"]
    {
        assert!(page.contains(part), "{part:?} is not on the page\n{page}");
    }
}

#[test]
fn every_kind_of_section_is_shown_and_escaped() {
    let scratch = tempfile::tempdir().unwrap();
    older_run(scratch.path());
    let mut summary = Summary::read(&scratch.path().join("summary.json")).unwrap();
    summary.protocols = vec!["knn: 20 neighbours <cosine>".to_owned()];
    summary.write(&scratch.path().join("summary.json")).unwrap();
    Section::write_all(&sections(), scratch.path()).unwrap();
    let page = page_of(scratch.path());
    for part in [
        "<br>knn: 20 neighbours &lt;cosine&gt;",
        "<h2>Tasks &amp; &lt;tags&gt;</h2>",
        "<p>First &lt;p&gt;.</p><p>Second.</p>",
        "<th class=\"words\">&lt;note&gt;</th>",
        "<td class=\"words\">&lt;i&gt;digits</td><td>0.5000</td><td class=\"words\">a &amp; b</td>",
        "<td class=\"words\">letters</td><td>–</td><td class=\"words\">–</td>",
        "<td>12.0000</td>",
        "tasks &lt;learnt&gt;",
        "</i>own &lt;b&gt;</span>",
        "After &lt;each&gt;",
        "<th>&lt;r&gt;</th>",
        ">0.250</td>",
        "Rows &lt;learnt&gt;",
        "Where it &lt;looks&gt;",
    ] {
        assert!(page.contains(part), "{part:?} is not on the page\n{page}");
    }
    let places =
        ["<h2>Result", "<h2>Curves", "<h2>Tasks", "<h2>More", "<h2>Pictures", "<h2>Recipe"]
            .map(|heading| page.find(heading).expect(heading));
    assert!(places.is_sorted(), "{places:?}");
    assert_eq!(page.matches("<img").count(), 2, "no picture is shown twice");
}

#[test]
fn sections_read_as_they_were_written() {
    let scratch = tempfile::tempdir().unwrap();
    assert_eq!(Section::read_all(scratch.path()).unwrap(), []);
    Section::write_all(&sections(), scratch.path()).unwrap();
    assert_eq!(Section::read_all(scratch.path()).unwrap(), sections());

    // JSON has no numbers that are not finite: these become gaps.
    let mut gaps = sections();
    gaps[0].body = vec![
        Body::Table {
            head: vec!["a".to_owned()],
            rows: vec![vec![f64::NAN.into()]],
            caption: String::new(),
        },
        Body::Curves {
            x: String::new(),
            y: String::new(),
            series: vec![Series {
                name: String::new(),
                points: vec![(0.0, f64::INFINITY), (1.0, 2.0)],
            }],
            caption: String::new(),
        },
    ];
    Section::write_all(&gaps, scratch.path()).unwrap();
    let read = Section::read_all(scratch.path()).unwrap();
    let [Body::Table { rows, .. }, Body::Curves { series, .. }] = &read[0].body[..] else {
        panic!("{read:?}")
    };
    assert_eq!(rows[0], [TableCell::Empty]);
    assert_eq!(series[0].points, [(1.0, 2.0)]);

    fs::write(scratch.path().join("sections.json"), "[{\"title\": 3}]").unwrap();
    let refused = Section::read_all(scratch.path()).unwrap_err().to_string();
    assert!(refused.contains("sections.json: cannot read the report's sections"), "{refused}");
}

#[test]
fn pictures_from_elsewhere_and_files_that_are_none_are_refused() {
    let scratch = tempfile::tempdir().unwrap();
    older_run(scratch.path());
    let inside = scratch.path().join("pictures/attention.png").display().to_string();
    for (file, why) in [
        ("../secret.png", "must lie in the run's folder"),
        (inside.as_str(), "must lie in the run's folder"),
        ("pictures/notes.txt", "must be a .png or .svg file"),
        ("pictures/absent.png", "cannot read"),
    ] {
        let picture = PictureFile { file: file.to_owned(), caption: String::new() };
        let body = vec![Body::Pictures(vec![picture])];
        let section = Section { title: "Pictures".to_owned(), body };
        Section::write_all(&[section], scratch.path()).unwrap();
        let refused = write(scratch.path()).unwrap_err().to_string();
        assert!(refused.contains(why), "{file}: {refused}");
    }
    assert!(!scratch.path().join("report.html").exists(), "half a page");
}

#[test]
fn a_folder_without_a_result_is_refused_by_its_file() {
    let scratch = tempfile::tempdir().unwrap();
    older_run(scratch.path());
    let summary = scratch.path().join("summary.json");
    fs::write(&summary, "{\"recipe\": ").unwrap();
    let refused = write(scratch.path()).unwrap_err().to_string();
    assert!(refused.contains("summary.json: cannot read the summary: EOF"), "{refused}");
    fs::remove_file(&summary).unwrap();
    assert!(write(scratch.path()).unwrap_err().to_string().starts_with("cannot read "));
}

#[test]
fn the_terminals_table_has_the_training_and_the_metrics() {
    let scratch = tempfile::tempdir().unwrap();
    older_run(scratch.path());
    let mut summary = Summary::read(&scratch.path().join("summary.json")).unwrap();
    let text = table(&summary);
    for words in [
        "40 steps, 2560 samples in 2 s (1024 samples/s); loss 2.000 -> 0.750",
        "trained random_init raw_pixels",
        "knn_top1 0.3750 - 0.4375",
    ] {
        let found = text.lines().any(|line| line.split_whitespace().eq(words.split(' ')));
        assert!(found, "{words:?} is not a line of\n{text}");
    }
    // Nothing was measured, so there is no table to head.
    summary.eval.clear();
    assert_eq!(table(&summary), text.lines().next().unwrap());
}
