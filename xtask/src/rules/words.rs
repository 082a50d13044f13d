//! Rules 3, 4 and 5: words that must not occur in certain crates.

use std::path::Path;

use super::tokens::{self, Token};
use super::{Source, Violation};

/// Methods that are tensor mathematics wherever they are called.
const TENSOR_METHODS: [&str; 28] = [
    "addmm",
    "backward",
    "baddbmm",
    "batch_norm",
    "bmm",
    "broadcast_to",
    "conv2d",
    "cumsum",
    "einsum",
    "gather",
    "gelu",
    "index_select",
    "layer_norm",
    "log_softmax",
    "masked_fill",
    "matmul",
    "mean_dim",
    "mse_loss",
    "permute",
    "relu",
    "scatter",
    "sigmoid",
    "smooth_l1_loss",
    "softmax",
    "std_dim",
    "sum_dim_intlist",
    "unsqueeze",
    "var_dim",
];

/// Functions of `Tensor` that compute nothing; any other is mathematics.
const TENSOR_FUNCTIONS: [&str; 3] = ["from_slice", "shallow_clone", "try_from"];

/// Crates whose models take masks, noise and time as arguments.
const MODEL_CRATES: [&str; 6] =
    ["backbones", "targets", "multimodal", "siamese", "supermask", "brep"];

/// Paths that a model must not use.
const WORLD: [&str; 7] =
    ["MaskPlan::draw", "RandomStream", "StreamKey", "std::env", "std::fs", "std::time", "Instant"];

/// Exceptions, by the beginning of a part of a file's path: the allowed words and the reason.
const EXCEPTIONS: [(&str, &[&str], &str); 4] = [
    ("checkpoint", &["std::fs"], "reads and writes a model's folder"),
    ("parameters", &["RandomStream", "StreamKey"], "draws initial weights from the run's seed"),
    ("geometry", &["RandomStream", "StreamKey", "std::fs"], "makes, draws and reads parts"),
    ("step", &["StreamKey", "std::fs", "std::time", "Instant"], "reads STEP files, each in a time"),
];

const PRINTING: [&str; 5] = ["dbg", "eprint", "eprintln", "print", "println"];

/// Checks one file.
pub fn check(source: &Source) -> Vec<Violation> {
    let Some(library) = source.library() else { return Vec::new() };
    if is_test_file(&source.path) || is_program(&source.path) {
        return Vec::new();
    }
    let tokens = match tokens::lex(&source.text) {
        Ok(tokens) => tokens,
        Err(message) => return vec![source.violation(1, "syntax", message)],
    };
    if library == "experiments" {
        return tensor_mathematics(source, &tokens);
    }
    let mut violations = printing(source, &tokens);
    if MODEL_CRATES.contains(&library) {
        violations.extend(world(source, &tokens));
    }
    violations
}

/// `tests.rs` and files in a folder `tests` are compiled for tests only.
fn is_test_file(path: &Path) -> bool {
    path.iter().any(|part| part == "tests" || part == "tests.rs")
}

/// Files in `src/bin` are programs, which print to the terminal.
fn is_program(path: &Path) -> bool {
    path.iter().any(|part| part == "bin")
}

/// Rule 3: `experiments` composes; `Tensor::zeros(…)` and `x.matmul(…)` belong below it.
fn tensor_mathematics(source: &Source, tokens: &[Token]) -> Vec<Violation> {
    let mut violations = Vec::new();
    for (index, token) in tokens.iter().enumerate() {
        let text = token.text.as_str();
        let called = TENSOR_METHODS.contains(&text)
            && index > 0
            && matches(&tokens[index - 1..], &[".", text, "("]);
        let constructed = matches(&tokens[index..], &["Tensor", ":", ":"])
            && tokens.get(index + 3).is_none_or(|name| !TENSOR_FUNCTIONS.contains(&&*name.text));
        if called || constructed {
            let word = if called { format!(".{text}(…)") } else { "Tensor::…".to_owned() };
            let message = format!("{word} is tensor mathematics; move it down a layer");
            violations.push(source.violation(token.line, "composition", message));
        }
    }
    violations
}

/// Rule 4: a model samples nothing and reads no clock, file or environment.
fn world(source: &Source, tokens: &[Token]) -> Vec<Violation> {
    let stem = |part: &std::ffi::OsStr, begin: &str| part.to_string_lossy().starts_with(begin);
    let excepted = |word: &str| {
        EXCEPTIONS.iter().any(|(begin, words, _)| {
            words.contains(&word) && source.path.iter().any(|part| stem(part, begin))
        })
    };
    let mut violations = Vec::new();
    for (line, found) in paths(tokens) {
        for word in WORLD.iter().filter(|word| !excepted(word)) {
            let inside = format!("::{found}::").contains(&format!("::{word}::"));
            if inside {
                let message = format!("{word}: a model must take it as an argument");
                violations.push(source.violation(line, "pure models", message));
            }
        }
    }
    violations
}

/// Rule 5: libraries report through tracing and metric sinks.
fn printing(source: &Source, tokens: &[Token]) -> Vec<Violation> {
    let printed = |index: &usize| {
        PRINTING.contains(&tokens[*index].text.as_str())
            && matches(&tokens[*index..], &[&tokens[*index].text, "!"])
    };
    (0..tokens.len())
        .filter(printed)
        .map(|index| {
            let message = format!("{}!: libraries do not print", tokens[index].text);
            source.violation(tokens[index].line, "no printing", message)
        })
        .collect()
}

fn matches(tokens: &[Token], pattern: &[&str]) -> bool {
    tokens.len() >= pattern.len() && tokens.iter().zip(pattern).all(|(t, p)| t.text == *p)
}

/// Every path with its line; `use` trees are expanded: `use std::{fs, io}` gives `std::fs` and
/// `std::io`.
fn paths(tokens: &[Token]) -> Vec<(usize, String)> {
    let mut paths = Vec::new();
    let mut index = 0;
    while index < tokens.len() {
        index = path_at(tokens, index, "", &mut paths).max(index + 1);
    }
    paths
}

/// Reads the path or tree that starts at `index`; returns where it ends.
fn path_at(
    tokens: &[Token],
    mut index: usize,
    prefix: &str,
    out: &mut Vec<(usize, String)>,
) -> usize {
    let mut path = prefix.to_owned();
    let start = index;
    while let Some(token) = tokens.get(index) {
        let is_word = token.text.starts_with(|c: char| c.is_alphabetic() || c == '_');
        if !is_word {
            break;
        }
        path = if path.is_empty() { token.text.clone() } else { format!("{path}::{}", token.text) };
        index += 1;
        if !matches(&tokens[index..], &[":", ":"]) {
            out.push((token.line, path));
            return index;
        }
        index += 2;
        if matches(&tokens[index..], &["{"]) {
            index += 1;
            while index < tokens.len() && tokens[index].text != "}" {
                index = path_at(tokens, index, &path, out).max(index + 1);
            }
            return index + 1;
        }
    }
    if index > start {
        out.push((tokens[start].line, path)); // Ends in `::*` or `::<…>`.
    }
    index
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(path: &str, text: &str) -> Vec<String> {
        let source = Source { path: path.into(), text: text.to_owned() };
        check(&source).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn experiments_hold_no_tensor_mathematics() {
        let system = "crates/experiments/src/systems/mae.rs";
        let text = "//! A.\nfn step() {\n let y = x.matmul(&w);\n let z = Tensor::zeros(1); }";
        assert_eq!(
            found(system, text),
            [
                format!(
                    "{system}:3: composition: .matmul(…) is tensor mathematics; move it down a layer"
                ),
                format!(
                    "{system}:4: composition: Tensor::… is tensor mathematics; move it down a layer"
                ),
            ]
        );
        let fine = "//! x.matmul(y)\nuse tch::Tensor; fn f(t: &Tensor) { println!(\"{}\", t.size()) } \
                    fn g() { Tensor::from_slice(&[1]) }";
        assert_eq!(found(system, fine), Vec::<String>::new());
        assert_eq!(found("crates/targets/src/pixels.rs", text), Vec::<String>::new());
    }

    #[test]
    fn models_reach_for_nothing() {
        let model = "crates/backbones/src/vit.rs";
        for (line, word) in [
            ("use std::fs;", "std::fs"),
            ("use std::{io, fs::File};", "std::fs"),
            ("use std::{env, io};", "std::env"),
            ("fn a() { let t = std::time::Instant::now(); }", "std::time"),
            ("fn a() { MaskPlan::draw(s, 0, 0, &[]) }", "MaskPlan::draw"),
            ("use bauta_streams::{Purpose, StreamKey};", "StreamKey"),
        ] {
            let found = found(model, &format!("//! A.\n{line}\n"));
            let expected =
                format!("{model}:2: pure models: {word}: a model must take it as an argument");
            assert!(found.contains(&expected), "{line}: {found:?}");
        }
        let fine = "use bauta_masking::{Grid, MaskPlan}; use std::path::Path; fn draw(env: u8) {}";
        assert_eq!(found(model, fine), Vec::<String>::new());
        assert_eq!(found(model, "#[cfg(test)] mod tests { use std::fs; }"), Vec::<String>::new());
        assert_eq!(found("crates/backbones/tests/x.rs", "use std::fs;"), Vec::<String>::new());
        assert_eq!(found("crates/train/src/x.rs", "use std::fs;"), Vec::<String>::new());
    }

    #[test]
    fn exceptions_are_for_their_words_only() {
        let checkpoint = "crates/backbones/src/checkpoint/write.rs";
        assert_eq!(found(checkpoint, "use std::fs;"), Vec::<String>::new());
        assert_eq!(found(checkpoint, "use std::env;").len(), 1);
        assert_eq!(
            found("crates/backbones/src/parameters.rs", "use m::RandomStream;"),
            Vec::<String>::new()
        );
    }

    #[test]
    fn libraries_do_not_print() {
        let text = "//! println!()\nfn f() { println!(\"\"); info!(print); eprintln!() }";
        assert_eq!(found("crates/eval/src/knn.rs", text).len(), 2);
        assert_eq!(found("crates/eval/examples/knn.rs", text), Vec::<String>::new());
        assert_eq!(found("xtask/src/main.rs", text), Vec::<String>::new());
    }
}
