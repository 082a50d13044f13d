//! Texts read by a frozen encoder: whole runs on tasks and on labels, in miniature.

#![allow(clippy::unwrap_used, reason = "in tests a panic is the report")]

mod program;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Child;

use bauta_backbones::{BertConfig, BertEncoder};
use bauta_report::Summary;
use bauta_streams::{Purpose, StreamKey};
use program::{finish, kill_within, same_files};
use tch::Device;

const WORDS: [&str; 8] = ["red", "green", "blue", "cat", "dog", "sun", "rain", "snow"];

/// A folder with an encoder, three tasks of two classes each, and labelled documents.
struct Place(tempfile::TempDir);

impl Place {
    fn new() -> Self {
        let place = Self(tempfile::tempdir().unwrap());
        place.write_encoder();
        for task in 0..3 {
            for number in 0..60 {
                for (class, name) in ["one", "two"].into_iter().enumerate() {
                    // Each class has a word of its own.
                    let own = WORDS[2 * task + class];
                    let text = format!("{own} {} {own} {number}", words(number, 3));
                    place.write(&format!("tasks/{task}/{name}/{number}.txt"), &text);
                }
            }
        }
        let line = |number: u64| {
            let place = (number % 3) as usize;
            let own = WORDS[place];
            let text = format!("{own} {} {own} {number}", words(number, 3));
            format!("{{\"text\": \"{text}\", \"labels\": [\"{}\"]}}\n", WORDS[place])
        };
        place.write("labels/mine.jsonl", &(0..300).map(line).collect::<String>());
        place
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    /// Number of files of features in the cache, beside which lie their locks.
    fn stored_features(&self) -> usize {
        let files = fs::read_dir(self.path("cache/features")).unwrap();
        let names = files.map(|file| file.unwrap().path());
        names.filter(|path| path.extension().is_some_and(|kind| kind == "safetensors")).count()
    }

    fn write_encoder(&self) {
        let special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"];
        let pieces: Vec<&str> = special.into_iter().chain(WORDS).collect();
        self.write("encoder/vocab.txt", &pieces.join("\n"));
        let config = r#"{"vocab_size": 13, "hidden_size": 16, "num_hidden_layers": 1,
            "num_attention_heads": 2, "intermediate_size": 32, "max_position_embeddings": 32,
            "type_vocab_size": 2, "layer_norm_eps": 1e-12, "hidden_act": "gelu"}"#;
        self.write("encoder/config.json", config);
        let config: BertConfig = serde_json::from_str(config).unwrap();
        let encoder = BertEncoder::new(&config, 5, Device::Cpu).unwrap();
        encoder.parameters().save(&self.path("encoder/model.safetensors")).unwrap();
    }

    /// Features are cached here, and not in the user's own cache.
    fn start(&self, recipe: &str, set: &[String], out: &str, resume: bool) -> Child {
        let mut command = program::run(recipe, set.iter().cloned(), &self.path(out));
        command.env("BAUTA_DATA", self.path("cache"));
        if resume {
            command.arg("--resume");
        }
        program::start(&mut command)
    }

    fn refused(&self, set: &[String]) -> String {
        let output = self.start("exssnet-text", set, "refused", false).wait_with_output().unwrap();
        assert!(!output.status.success());
        assert!(!self.path("refused").exists(), "a refused run leaves no folder");
        String::from_utf8(output.stderr).unwrap()
    }

    fn summary(&self, out: &str) -> Summary {
        Summary::read(&self.path(out).join("summary.json")).unwrap()
    }
}

/// `count` words that do not depend on the class, unlike the first six of `WORDS`.
fn words(number: u64, count: usize) -> String {
    let purpose = Purpose::named("words");
    let mut stream = StreamKey { seed: 0, purpose, epoch: 0, sample: number }.stream();
    let mut drawn = || WORDS[6 + (stream.uniform() < 0.5) as usize];
    (0..count).map(|_| drawn()).collect::<Vec<_>>().join(" ")
}

fn tasks(place: &Place, more: &[&str]) -> Vec<String> {
    let set = [
        "texts.names=[]",
        "texts.tokens=12",
        "model.filters=16",
        "mask.density=0.3",
        "learning.weight_lr=0.2",
        "learning.plain_lr=0.2",
        "learning.samples=20",
        "learning.weight_epochs=5",
        "train.epochs=10",
        "eval.against=[\"joint\", \"supsup\"]",
        "train.batch_size=16",
        "train.base_lr=0.5",
        "train.device=cpu",
        "train.threads=1",
        "train.log_every=4",
        "train.checkpoint_every=5",
    ];
    let paths = ["texts.root=tasks", "texts.encoder=encoder"].map(|text| {
        let (key, name) = text.split_once('=').unwrap();
        format!("{key}={}", place.path(name).display())
    });
    let more = more.iter().map(|&text| text.to_owned());
    set.map(str::to_owned).into_iter().chain(paths).chain(more).collect()
}

#[test]
fn tasks_of_texts_killed_in_the_middle_of_the_third() {
    let place = Place::new();
    let set = tasks(&place, &["learning.transfer=always"]);
    finish(place.start("exssnet-text", &set, "whole", false));
    let killed = place.path("killed");
    kill_within(place.start("exssnet-text", &set, "killed", false), &killed, "exssnet-3-masks");
    finish(place.start("exssnet-text", &set, "killed", true));
    let files = [
        "checkpoints/last/model.safetensors",
        "checkpoints/last/state.safetensors",
        "subnetworks.safetensors",
    ];
    same_files(&place.path("whole"), &killed, &files);
    let [whole, killed] = ["whole", "killed"].map(|run| place.summary(run));
    assert_eq!((&whole.eval, &whole.baseline), (&killed.eval, &killed.baseline));
    assert_eq!(whole.eval["forgetting"], 0.0);
    assert!(whole.eval["average_accuracy"] > 0.8, "{:?}", whole.eval);
    // Nine parts of the tasks were encoded, once.
    assert_eq!(place.stored_features(), 9);
    let report = fs::read_to_string(place.path("whole/report.html")).unwrap();
    assert!(report.contains("Accuracy after each task") && report.contains("Free capacity"));
}

#[test]
fn tasks_that_cannot_be_are_refused_before_anything_is_left() {
    let place = Place::new();
    for (set, wanted) in [
        ("texts.root=/nowhere", "/nowhere"),
        ("texts.encoder=/nowhere", "/nowhere/config.json"),
        ("texts.tokens=64", "the encoder reads at most 32"),
        ("train.batch_size=128", "fewer than train.batch_size 128"),
        ("texts.limit=0", "texts.limit is 0; it must be at least 1"),
        ("texts.names=[\"imdb\"]", "texts.names and texts.root are both given"),
        ("model.network=mlp", "model.network \"mlp\" does not go with tasks.origin \"texts\""),
    ] {
        let error = place.refused(&tasks(&place, &[set]));
        assert!(error.contains(wanted), "{set}: {error}");
    }
    place.write("tasks/2/two/0.txt", "");
    fs::rename(place.path("tasks/2/two"), place.path("tasks/2/one/two")).unwrap();
    let error = place.refused(&tasks(&place, &[]));
    assert!(error.contains("task 2: its training documents have classes [one]"), "{error}");
    let lines = "{\"text\": \"red\", \"labels\": [\"a\"]}\n{\"text\": \"green\", \"labels\": [\"a\", \"b\"]}";
    fs::remove_dir_all(place.path("tasks/2")).unwrap();
    place.write("tasks/2/mine.jsonl", lines);
    let error = place.refused(&tasks(&place, &[]));
    assert!(error.contains("task 2: \"green\" has labels [a, b]; it must have one"), "{error}");
    place.write("tasks/2/mine.jsonl", "{\"text\": \"red\", \"labels\": [\"a\"]}\n{\"text\":");
    let error = place.refused(&tasks(&place, &[]));
    assert!(error.contains("mine.jsonl: line 2: it is not JSON"), "{error}");
}

#[test]
fn labels_are_told_from_a_frozen_encoders_features() {
    let place = Place::new();
    let labels = place.path("labels").display().to_string();
    let encoder = place.path("encoder").display().to_string();
    let set = [
        "data.name=documents".to_owned(),
        format!("data.root={labels}"),
        "model.kind=features".to_owned(),
        format!("model.encoder={encoder}"),
        "model.words=12".to_owned(),
        "model.hidden=16".to_owned(),
        "policies.hidden=8".to_owned(),
        "policies.episodes=1".to_owned(),
        "policies.batch_size=16".to_owned(),
        "train.epochs=20".to_owned(),
        "train.base_lr=0.2".to_owned(),
        "train.batch_size=16".to_owned(),
        "train.device=cpu".to_owned(),
        "train.threads=1".to_owned(),
        "eval.documents=3".to_owned(),
    ];
    finish(place.start("multilabel-tree", &set, "run", false));
    let eval = place.summary("run").eval;
    assert!(eval["micro_f1"] > 0.9, "{eval:?}");
    assert_eq!(place.stored_features(), 3);
    let weights = place.path("run/checkpoints/last/model.safetensors");
    let weights = bauta_backbones::checkpoint::read_tensors(Path::new(&weights)).unwrap();
    assert_eq!(weights["hidden.weight"].size(), [16, 16]);
    assert!(!weights.contains_key("embedding.weight"));
}
