//! Every layout, with files written here, and the errors for broken ones.

use std::fs;

use super::*;

fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
    let root = tempfile::tempdir().unwrap();
    for (name, text) in files {
        fs::write(root.path().join(name), text).unwrap();
    }
    root
}

fn read(files: &[(&str, &str)]) -> Vec<RawDocument> {
    read_folder(folder(files).path()).unwrap()
}

/// The message, from the file's name on.
fn error(files: &[(&str, &str)]) -> String {
    let root = folder(files);
    let error = read_folder(root.path()).unwrap_err().to_string();
    assert!(error.contains(&root.path().display().to_string()), "{error}");
    error.replace(&format!("{}/", root.path().display()), "")
}

fn document(text: &str, labels: &[&str], part: Option<Split>, group: Option<&str>) -> RawDocument {
    let labels = labels.iter().map(|&label| label.to_owned()).collect();
    RawDocument { text: text.to_owned(), labels, part, group: group.map(str::to_owned) }
}

#[test]
fn csv_with_quotes_parts_and_groups() {
    let found = read(&[
        ("train.csv", "id,text,labels\n1,\"a, b\nc\",x; y\n2,d,\n"),
        ("more.csv", "labels,text,split,group\nx|z,e,test,g\ny,f,train,\n"),
    ]);
    let (train, test) = (Some(Split::Train), Some(Split::Test));
    let wanted = [
        document("e", &["x", "z"], test, Some("g")),
        document("f", &["y"], train, None),
        document("a, b\nc", &["x", "y"], train, None),
        document("d", &[], train, None),
    ];
    assert_eq!(found, wanted);
}

#[test]
fn json_lines_by_their_keys() {
    let found = read(&[(
        "test.jsonl",
        r#"{"text": "a", "labels": ["x"]}

{"tokens": ["Ada", "met", "Charles", "Babbage"], "mentions": [{"start": 2, "end": 4, "labels": ["/person", "/person/scientist"]}]}
{"left_context_token": ["in"], "mention_span": "New York", "right_context_token": ["today"], "y_str": ["city"]}
"#,
    )]);
    let test = Some(Split::Test);
    let sentence = "Ada met Charles Babbage";
    let types = ["/person", "/person/scientist"];
    let wanted = [
        document("a", &["x"], test, None),
        document(&format!("{sentence} m_Charles m_Babbage"), &types, test, Some(sentence)),
        document("in New York today m_New m_York", &["city"], test, Some("in New York today")),
    ];
    assert_eq!(found, wanted);
}

#[test]
fn reuters_as_json_and_as_sgml() {
    let found = read(&[(
        "reuters-000.json",
        "[{\"id\": \"14818\", \"title\": \"T\", \"body\": \"Co <X> rose.\\n Reuter\\n\\u0003\", \
          \"topics\": [\"acq\"]}, {\"id\": \"14819\", \"title\": \"only a headline\"}]",
    )]);
    let (train, test) = (Some(Split::Train), Some(Split::Test));
    let wanted =
        [document("T\nCo  X  rose.", &["acq"], train, None), document("", &[], test, None)];
    assert_eq!(found, wanted);

    let story = |split: &str, topics: &str, body: &str| {
        format!(
            "<REUTERS TOPICS=\"YES\" LEWISSPLIT=\"{split}\" NEWID=\"1\">\n<TOPICS>{topics}</TOPICS>\n\
             <TEXT>&#2;\n<TITLE>A &amp; B</TITLE><BODY>{body}\n Reuter\n&#3;</BODY></TEXT>\n</REUTERS>\n"
        )
    };
    let text = [
        story("TRAIN", "<D>grain</D><D>corn</D>", "of &lt;ABC>"),
        story("TEST", "", "b"),
        story("NOT-USED", "<D>x</D>", "c"),
    ]
    .concat();
    let wanted = [
        document("A & B\nof  ABC", &["grain", "corn"], train, None),
        document("A & B\nb", &[], test, None),
    ];
    assert_eq!(read(&[("reut2-000.sgm", &text)]), wanted);
    let error = error(&[("reut2-000.sgm", "<!DOCTYPE lewis>\n<REUTERS TOPICS=\"YES\">\nno end")]);
    assert_eq!(error, "reut2-000.sgm: line 2: <REUTERS> is not closed");
}

#[test]
fn rcv1_joins_words_and_topics() {
    let qrels = ("rcv1-v2.topics.qrels", "E11 2286 1\nECAT 2286 1\nM11 2287 1\n");
    let tokens = [
        ("lyrl2004_tokens_train.dat", ".I 2286\n.W\nrecov recov\nexcit\n\n.I 2287\n.W\nshar\n"),
        ("lyrl2004_tokens_test_pt0.dat", ".I 9\n.W\nother\n"),
    ];
    let found = read(&[qrels, tokens[0], tokens[1]]);
    let (train, test) = (Some(Split::Train), Some(Split::Test));
    let wanted = [
        document("other ", &[], test, None),
        document("recov recov excit ", &["E11", "ECAT"], train, None),
        document("shar ", &["M11"], train, None),
    ];
    assert_eq!(found, wanted);
    assert!(error(&tokens).contains("holds no file rcv1-v2.topics.qrels"));
    let broken = error(&[("rcv1-v2.topics.qrels", "E11 2286 1\nE11 x 1\n"), tokens[0]]);
    assert_eq!(broken, "rcv1-v2.topics.qrels: line 2: expected `TOPIC ID 1`, found `E11 x 1`");
    let broken = error(&[qrels, ("lyrl2004_tokens_train.dat", "words\n")]);
    assert!(broken.ends_with("line 1: words before the first `.I ID` line"), "{broken}");
}

#[test]
fn broken_files_name_file_and_line() {
    for (file, text, wanted) in [
        ("a.csv", "text,label\nx,y\n", "line 1: there is no column \"labels\"; found: text, label"),
        ("a.csv", "text,labels\nx,y\na,b,c\n", "line 3: the row has 3 cells, but the header has 2"),
        ("a.csv", "text,labels\nx,y\n\"z,y\nv,w\n", "line 3: a quote is opened and never closed"),
        ("a.csv", "text,labels\nx,y\nz,\"y\nv,w\n", "line 3: a quote is opened and never closed"),
        ("a.csv", "text,labels,split\nx,y,half\n", "line 2: split \"half\" must be train or test"),
        (
            "a.jsonl",
            "{\"text\": \"a\", \"labels\": []}\n{\"text\": \"b\"\n",
            "line 2: it is not JSON",
        ),
        (
            "a.jsonl",
            "\n{\"text\": \"a\", \"labels\": \"x\"}",
            "line 2: it must be an object with text",
        ),
        ("a.jsonl", "{\"text\": 1}", "line 1: it must be an object with text"),
        (
            "a.jsonl",
            "{\"tokens\": [\"a\"], \"mentions\": [{\"start\": 0, \"end\": 2, \"labels\": []}]}",
            "line 1: mention 0..2 is not a span of 1 tokens",
        ),
        ("reuters-000.json", "[{\"id\": \"x\"}]", "id \"x\" is not a number"),
        ("reuters-000.json", "[{\"id\"", "EOF"),
    ] {
        let error = error(&[(file, text)]);
        assert!(error.starts_with(&format!("{file}: ")) && error.contains(wanted), "{error}");
        assert_eq!(error.lines().count(), 1, "{error}");
    }
    assert!(error(&[("notes.txt", "x")]).contains("holds no documents; give it .csv files"));
}

#[test]
fn labels_of_unknown_names_are_refused() {
    let list = ("labels.txt", "x\ny\n");
    for file in
        [("a.csv", "text,labels\na,x\nb,z\n"), ("a.jsonl", "\n{\"text\":\"a\",\"labels\":[\"z\"]}")]
    {
        let error = error(&[list, file]);
        assert_eq!(
            error,
            format!(
                "{}: line {}: label \"z\" is not one of labels.txt",
                file.0,
                if file.0 == "a.csv" { 3 } else { 2 }
            )
        );
    }
    assert_eq!(read(&[list, ("a.csv", "text,labels\na,x;y\n")]).len(), 1);
    assert!(error(&[("labels.txt", "\n"), ("a.csv", "text,labels\n")]).contains("lists no labels"));
}

#[test]
fn names_count_in_any_case_hidden_files_do_not_and_marks_are_no_text() {
    let marked = "\u{feff}{\"text\": \"a\", \"labels\": [\"x\"]}\n";
    let found = read(&[
        ("Test.CSV", "text,labels\nb,x\n"),
        ("Train.jsonl", marked),
        ("._Train.jsonl", "\u{0}\u{5}\u{16}"),
        ("labels.txt", "\u{feff}x\n"),
    ]);
    let (train, test) = (Some(Split::Train), Some(Split::Test));
    assert_eq!(found, [document("b", &["x"], test, None), document("a", &["x"], train, None)]);
}

#[test]
fn one_file_is_a_folder_of_itself() {
    let root = folder(&[("a.csv", "text,labels\na,x\n"), ("b.csv", "broken")]);
    assert_eq!(read_folder(&root.path().join("a.csv")).unwrap().len(), 1);
}
