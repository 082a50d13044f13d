//! Parts, classes and copies of tasks, and the readers on files written by the tests.

use std::fs;

use super::*;

fn documents(count: usize, class: &str, part: Option<Split>) -> Vec<RawDocument> {
    let document = |number| RawDocument {
        text: format!("{class} document {number} {part:?}"),
        labels: vec![class.to_owned()],
        part,
        group: None,
    };
    (0..count).map(document).collect()
}

fn refused(raw: Vec<RawDocument>) -> String {
    TextTask::build("mine", raw, &TextTaskOptions::default()).unwrap_err().to_string()
}

#[test]
fn copies_go_before_anything_is_divided_and_parts_are_apart() {
    // Sorted by class, as IMDB is, and each document twice in other letters.
    let mut raw = [documents(300, "bad", None), documents(300, "good", None)].concat();
    let copies = raw.clone().into_iter().map(|document| RawDocument {
        text: format!("  {}\n", document.text.to_uppercase()),
        ..document
    });
    raw.extend(copies);
    raw.push(RawDocument { labels: vec!["bad".to_owned()], ..RawDocument::default() });
    let whole = TextTask::build("mine", raw.clone(), &TextTaskOptions::default()).unwrap();
    assert_eq!((whole.duplicates, whole.without_text), (600, 1));
    assert_eq!(whole.classes, ["bad", "good"]);
    let texts = |part: &[ClassedText]| -> HashSet<String> {
        part.iter().map(|document| folded(&document.text)).collect()
    };
    let [train, held, test] = [&whole.train, &whole.validation, &whole.test].map(|p| texts(p));
    assert_eq!(train.len() + held.len() + test.len(), 600);
    assert!(train.is_disjoint(&held) && train.is_disjoint(&test) && held.is_disjoint(&test));
    assert!((90..150).contains(&test.len()) && (25..75).contains(&held.len()));

    // The first documents are a fair sample, whatever the order of the source.
    let options = TextTaskOptions { limit: Some(100), test_limit: Some(40), ..Default::default() };
    let few = TextTask::build("mine", raw.clone(), &options).unwrap();
    assert_eq!((few.train.len() + few.validation.len(), few.test.len()), (100, 40));
    let good = few.train.iter().filter(|document| document.class == 1).count();
    assert!((25..75).contains(&good), "{good}");
    raw.reverse();
    let turned = TextTask::build("mine", raw, &options).unwrap();
    assert_eq!(turned.train.len(), few.train.len());
    assert_eq!(texts(&turned.test), texts(&few.test));
}

#[test]
fn parts_of_the_source_are_kept_and_a_copy_in_both_is_tested() {
    let (train, test) = (Some(Split::Train), Some(Split::Test));
    let mut raw = [documents(60, "a", train), documents(60, "b", train)].concat();
    raw.extend(documents(10, "a", test));
    raw.push(RawDocument { text: "A document 3 SOME(Test)".to_owned(), ..raw[0].clone() });
    let task = TextTask::build("mine", raw, &TextTaskOptions::default()).unwrap();
    assert_eq!((task.duplicates, task.test.len()), (1, 10));
    assert_eq!(task.train.len() + task.validation.len(), 120);
}

#[test]
fn what_is_no_task_is_refused() {
    let usual = [documents(60, "a", None), documents(60, "b", None)].concat();
    let mut two = usual.clone();
    two[5].labels.push("b".to_owned());
    assert!(refused(two).contains("has labels [a, b]; it must have one"));
    assert!(refused(documents(60, "a", None)).contains("have classes [a]; it needs two"));
    let (train, test) = (Some(Split::Train), Some(Split::Test));
    let parted = [documents(60, "a", train), documents(60, "b", train)].concat();
    assert!(refused(parted.clone()).contains("no document is left in its test part"));
    let beyond = [parted, documents(3, "c", test)].concat();
    assert!(refused(beyond).contains("has class \"c\", which no training document has (a, b)"));
    let options = TextTaskOptions { validation: 1.0, ..TextTaskOptions::default() };
    let error = TextTask::build("mine", usual, &options).unwrap_err().to_string();
    assert_eq!(error, "validation = 1: must be in (0, 1)");
}

#[test]
fn a_folder_a_task_in_each_layout() {
    let place = tempfile::tempdir().unwrap();
    let write = |path: String, bytes: &[u8]| {
        let path = place.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    };
    for number in 0..40 {
        for class in ["left", "right"] {
            let text = format!("{class} caf\u{e9} {number}");
            write(format!("1/{class}/{number}.txt"), text.as_bytes());
            let latin: Vec<u8> = text.chars().map(|c| c as u8).collect();
            let part = if number < 30 { "train" } else { "test" };
            write(format!("2/{part}/{class}/{number}.txt"), &latin);
        }
    }
    let lines = (0..80).map(|n| format!("{{\"text\": \"line {n}\", \"labels\": [\"{}\"]}}", n % 2));
    write("3/mine.jsonl".to_owned(), lines.collect::<Vec<_>>().join("\n").as_bytes());
    write(".hidden/x.txt".to_owned(), b"");
    // What macOS leaves beside files on other disks and in zip files, and another letter case.
    write("1/left/._0.txt".to_owned(), b"\0\x05\x16\x07");
    write("__MACOSX/1/._left".to_owned(), b"");
    write("1/left/40.TXT".to_owned(), b"left in capitals");
    let options = TextTaskOptions::default();
    let tasks = TextTask::of_folders(place.path(), &options).unwrap();
    let names: Vec<&str> = tasks.iter().map(|task| task.name.as_str()).collect();
    assert_eq!(names, ["1", "2", "3"]);
    let parts = [&tasks[0].train, &tasks[0].validation, &tasks[0].test];
    assert_eq!(parts.map(|part| part.len()).iter().sum::<usize>(), 81);
    assert_eq!(tasks[1].test.len(), 20);
    assert!(tasks[1].test.iter().all(|document| document.text.contains("café")));
    assert_eq!(tasks[2].classes, ["0", "1"]);
    write("3/mine.jsonl".to_owned(), b"{\"text\": \"a\", \"labels\": [\"x\"]}\n{\"text\": 3}");
    let error = TextTask::of_folders(place.path(), &options).unwrap_err().to_string();
    assert!(error.contains("mine.jsonl: line 2"), "{error}");
    write("1/left/wide.txt".to_owned(), b"\xff\xfew\0i\0d\0e\0");
    let error = TextTask::of_folders(place.path(), &options).unwrap_err().to_string();
    assert!(error.ends_with("wide.txt: is UTF-16; save it as UTF-8"), "{error}");
    let empty = tempfile::tempdir().unwrap();
    let error = TextTask::of_folders(empty.path(), &options).unwrap_err().to_string();
    assert!(error.contains("make one for each task"), "{error}");
    fs::create_dir(empty.path().join("task")).unwrap();
    let error = TextTask::of_folders(empty.path(), &options).unwrap_err().to_string();
    assert!(error.contains("task holds no documents"), "{error}");
}

#[test]
fn the_files_of_the_packages_are_read() {
    let place = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| {
        let path = place.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    };
    write(
        "reviews.json",
        "[{\"t\": \"a < b<br /><br />end\", \"s\": 0}, {\"t\": \"x\", \"s\": 1}]",
    );
    let read = |dataset| readers::read(dataset, place.path()).unwrap();
    let found = read(TextDataset::Imdb);
    assert_eq!((found[0].text.as_str(), found[0].labels[0].as_str()), ("a < b  end", "against"));
    assert_eq!(found[1].labels, ["for"]);
    write("easy-ham-1/1.txt", "From: me\nDate: now\n\nHello there");
    write("spam-2/1.txt", "From: them\n\n<HTML><b>Buy</b></HTML>");
    write("spam-2/1.json", "{}");
    let found = read(TextDataset::Spam);
    let words = |place: usize| found[place].text.split_whitespace().collect::<Vec<_>>();
    assert_eq!((words(0), words(1), found.len()), (vec!["Hello", "there"], vec!["Buy"], 2));
    assert_eq!([&found[0].labels[0], &found[1].labels[0]], ["ham", "spam"]);
    let stories = "[{\"id\": \"1\", \"body\": \"x\", \"topics\": [\"earn\"]}, \
                   {\"id\": \"2\", \"body\": \"y\", \"topics\": [\"earn\", \"acq\"]}, \
                   {\"id\": \"15000\", \"body\": \"z\", \"topics\": [\"cocoa\"]}]";
    write("reuters-000.json", stories);
    assert_eq!(read(TextDataset::Reuters8).len(), 1);
}
