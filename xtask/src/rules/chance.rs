//! All random numbers come from keyed streams, in tests, benches and examples too: libtorch's
//! generator is shared by the threads of a process, so its output depends on who drew before.

use super::tokens::{self, Token};
use super::{Source, Violation};

/// Methods of a tensor that draw from libtorch's generator.
const METHODS: [&str; 11] = [
    "bernoulli",
    "bernoulli_",
    "exponential_",
    "log_normal_",
    "multinomial",
    "normal_",
    "rand_like",
    "randint_like",
    "randn_like",
    "random_",
    "uniform_",
];

/// Files that may draw from it, and why.
const EXCEPTIONS: [(&str, &str); 1] =
    [("crates/eval/tests/protocols.rs", "shows that no protocol touches it")];

/// Checks one file, tests included.
pub fn check(source: &Source) -> Vec<Violation> {
    if EXCEPTIONS.iter().any(|(path, _)| source.path.as_os_str() == *path) {
        return Vec::new();
    }
    let tokens = match tokens::lex_with_tests(&source.text) {
        Ok(tokens) => tokens,
        Err(message) => return vec![source.violation(1, "syntax", message)],
    };
    let drawing = |&index: &usize| {
        let (before, word) = tokens.split_at(index);
        let word = word[0].text.as_str();
        word == "manual_seed"
            || METHODS.contains(&word) && ends_with(before, &["."])
            || word.starts_with("rand") && ends_with(before, &["Tensor", ":", ":"])
    };
    let violation = |index: usize| {
        let Token { line, text } = &tokens[index];
        let message = format!(
            "{text} draws from libtorch's own generator; draw from a stream with \
             bauta_libtorch::normal, uniform or integers"
        );
        source.violation(*line, "keyed chance", message)
    };
    (0..tokens.len()).filter(drawing).map(violation).collect()
}

fn ends_with(tokens: &[Token], pattern: &[&str]) -> bool {
    let texts = tokens.iter().rev().map(|token| token.text.as_str());
    tokens.len() >= pattern.len() && texts.zip(pattern.iter().rev()).all(|(text, p)| text == *p)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(path: &str, text: &str) -> Vec<usize> {
        let source = Source { path: path.into(), text: text.to_owned() };
        check(&source).iter().map(|violation| violation.line).collect()
    }

    #[test]
    fn the_global_generator_is_found_wherever_it_is_drawn_from() {
        for word in [
            "Tensor::randn([2], CPU)",
            "tch::Tensor::randint(9, [2], CPU)",
            "x.rand_like()",
            "x.uniform_(0.0, 1.0)",
            "tch::manual_seed(0)",
            "Tensor::randn_like(&x)",
        ] {
            let text = format!("//! A.\nfn a() {{ b({word}); }}\n");
            assert_eq!(lines("crates/eval/src/knn.rs", &text), [2], "{word}");
            let test = format!("//! A.\n#[cfg(test)]\nmod tests {{ fn a() {{ b({word}); }} }}\n");
            for path in ["crates/eval/src/knn.rs", "crates/eval/tests/knn.rs", "benches/lib.rs"] {
                assert_eq!(lines(path, &test), [3], "{word} in {path}");
            }
        }
    }

    #[test]
    fn streams_are_fine() {
        let text = "//! Tensor::randn([2], CPU)\nuse rand_core::Rng; fn a() { \
                    normal(&[2], 1.0, &mut stream); stream.uniform_in(0.0, 1.0); b(\"manual_seed\") }";
        assert_eq!(lines("crates/eval/src/knn.rs", text), [0; 0]);
    }

    #[test]
    fn what_shows_that_nobody_draws_may_draw() {
        let text = "//! A.\nfn a() { tch::manual_seed(0); }";
        assert_eq!(lines(EXCEPTIONS[0].0, text), [0; 0]);
    }
}
