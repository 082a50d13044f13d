//! Tables: their rows, which are made, kept and recorded.

use super::*;

fn load(name: &str, quick: bool) -> ResultTable {
    let workspace = Workspace::find().unwrap();
    let path = workspace.tables().join(format!("{name}.toml"));
    let layers = TableLayers { quick, ..TableLayers::default() };
    ResultTable::load(&path, &workspace.recipes(), &layers).unwrap()
}

#[test]
fn every_table_of_the_workspace_plans_its_runs_in_both_sizes() {
    let workspace = Workspace::find().unwrap();
    let names = bauta_recipe::names(&workspace.tables()).unwrap();
    assert!(names.len() >= 2, "{names:?}");
    for (name, quick) in names.iter().flat_map(|name| [(name, false), (name, true)]) {
        let table = load(name, quick);
        for row in 0..table.rows.len() {
            let cells = table.cells(row, &workspace.recipes()).unwrap();
            assert_eq!(cells.len(), table.seeds.len(), "{name}");
        }
        assert!(quick || table.seeds.len() == 3, "{name} is over three seeds");
    }
}

#[test]
fn the_book_has_the_tables_of_the_records_and_these_are_of_tables_that_there_are() {
    let workspace = Workspace::find().unwrap();
    for (name, record) in records(&workspace).unwrap() {
        let file =
            if record.quick { format!("{}-quick", record.table) } else { record.table.clone() };
        assert_eq!(name, file);
        let table = load(&record.table, record.quick);
        let rows: Vec<&str> = table.rows.iter().map(|row| row.name.as_str()).collect();
        let recorded: Vec<&str> = record.rows.iter().map(|row| row.name.as_str()).collect();
        assert_eq!(rows, recorded, "{name}");
        let columns: Vec<&str> = table.columns.iter().map(|c| c.name.as_str()).collect();
        assert_eq!(columns, record.columns, "{name}");
    }
    check(&workspace).unwrap();
}

#[test]
fn a_record_keeps_earlier_rows_and_takes_nothing_of_other_seeds_or_names() {
    let scratch = tempfile::tempdir().unwrap();
    let workspace = Workspace { root: scratch.path().to_owned() };
    let (out, [begin, end]) = (scratch.path().join("out"), TABLES.marks);
    fs::create_dir_all(&out).unwrap();
    fs::create_dir_all(scratch.path().join("docs")).unwrap();
    fs::write(scratch.path().join(TABLES.page), format!("{begin}\n{end}\n")).unwrap();
    let table = load("images-cifar10", false);
    let record = |names: &[&str], seeds: &[u64], digest: &str, present: Present<'_>| {
        let mut results = Results { seeds: seeds.to_vec(), ..Results::empty(&table) };
        results.rows.truncate(names.len());
        for (row, name) in results.rows.iter_mut().zip(names) {
            (*name).clone_into(&mut row.name);
            row.numbers[0] = vec![0.5; seeds.len()];
            row.digest = Some(digest.to_owned());
        }
        results.write(&out.join(RECORD)).unwrap();
        keep(&workspace, &table, &out, &table.name, present)
    };
    let now = |_: usize, _: &[String]| Some("now".to_owned());
    let none = "has no finished row of the table images-cifar10";
    for (name, seeds, digest, message) in [
        ("MAE", &[0][..], "now", "has the seeds 0, not 0, 1, 2; choose another folder with --out"),
        ("gone", &[0, 1, 2], "now", none),
        ("MAE", &[0, 1, 2], "before", none),
        ("untrained ViT", &[0, 1, 2], "now", none),
    ] {
        let error = record(&[name], seeds, digest, &now).unwrap_err().to_string();
        assert!(error.contains(message), "{error}");
        assert!(records(&workspace).unwrap().is_empty());
    }
    let recorded = || {
        let (_, recorded) = records(&workspace).unwrap().remove(0);
        assert_eq!(recorded.rows.len(), table.rows.len());
        let full = recorded.rows.into_iter().filter(|row| !row.is_empty());
        full.map(|row| row.name).collect::<Vec<_>>()
    };
    record(&["MAE", "untrained ViT"], &table.seeds, "now", &now).unwrap();
    record(&["dBOT"], &table.seeds, "now", &now).unwrap();
    assert_eq!(recorded(), ["MAE", "dBOT", "untrained ViT"]);
    // Other numbers of runs that are made again are no longer those of the row beside them.
    record(&["MAE"], &table.seeds, "now", &now).unwrap();
    assert_eq!(recorded(), ["MAE", "dBOT"]);
    // The recipe of the first row changes.
    let later = |row: usize, _: &[String]| Some(["later", "now"][row.min(1)].to_owned());
    record(&["i-MAE"], &table.seeds, "now", &later).unwrap();
    assert_eq!(recorded(), ["MAE", "dBOT", "i-MAE"]);
    let page = fs::read_to_string(scratch.path().join(TABLES.page)).unwrap();
    assert!(page.contains("Settings may have changed since these were made: MAE.\n"), "{page}");
    check(&workspace).unwrap();
}

#[test]
fn a_row_is_of_the_present_settings_under_its_own_overrides() {
    let workspace = Workspace::find().unwrap();
    let scratch = tempfile::tempdir().unwrap();
    let file = scratch.path().join(RECORD);
    let table = load("others", true);
    let arguments = Arguments {
        table: table.name.clone(),
        quick: true,
        seeds: Vec::new(),
        only: Vec::new(),
        set: Vec::new(),
        out: None,
        record: false,
    };
    let present = |row: usize, set: &[String]| arguments.digest(&workspace, row, set).ok();
    let set = vec!["train.threads=1".to_owned()];
    let mut results = Results::empty(&table);
    results.rows[0].numbers.iter_mut().for_each(|numbers| *numbers = vec![0.5]);
    results.rows[0].digest = present(0, &set);
    for (stated, kept) in [(set, true), (Vec::new(), false)] {
        results.rows[0].made = Some(Made {
            minutes: 1.0,
            machine: String::new(),
            set: stated,
            version: String::new(),
            commit: String::new(),
            date: String::new(),
        });
        results.write(&file).unwrap();
        let taken = present_rows_of(&table, &file, ELSEWHERE, &present).unwrap();
        assert_eq!(!taken.rows[0].is_empty(), kept);
    }
}

#[test]
fn a_folder_with_rows_of_other_seeds_is_refused_before_anything_is_made() {
    let scratch = tempfile::tempdir().unwrap();
    let file = scratch.path().join(RECORD);
    Results::empty(&load("images-cifar10", false)).write(&file).unwrap();
    let before = fs::read(&file).unwrap();
    let arguments = Arguments {
        table: "images-cifar10".to_owned(),
        quick: false,
        seeds: vec![0],
        only: vec!["MAE".to_owned()],
        set: Vec::new(),
        out: Some(scratch.path().to_owned()),
        record: false,
    };
    let error = table(&Workspace::find().unwrap(), &arguments).unwrap_err().to_string();
    let message = "has the seeds 0, 1, 2, not 0; choose another folder with --out";
    assert_eq!(error, format!("{} {message}", file.display()));
    assert_eq!(fs::read(&file).unwrap(), before);
}

#[test]
fn rows_are_asked_for_by_their_names() {
    let table = load("images-cifar10", false);
    let place = |name: &str| table.rows.iter().position(|row| row.name == name).unwrap();
    let wanted_with = |name: &str| wanted(&table, &[name.to_owned()]).unwrap();
    assert_eq!(wanted_with("dBOT"), [place("dBOT")]);
    let shown = [place("MAE"), place("untrained ViT"), place("raw pixels")];
    for name in ["MAE", "untrained ViT", "raw pixels"] {
        assert_eq!(wanted_with(name), shown, "{name}: one table shows the same runs");
    }
    assert_eq!(wanted(&table, &[]).unwrap().len(), table.rows.len());
    let error = wanted(&table, &["nothing".to_owned()]).unwrap_err().to_string();
    assert!(error.starts_with("no row is called nothing; the rows are: MAE; "), "{error}");
}
