//! The commands that the book tells its readers to type, so that tests can check that the programs
//! understand them.

use std::fs;
use std::path::Path;

/// A command of the book.
#[derive(Debug, PartialEq)]
pub struct Documented {
    /// The page and line, relative to the workspace's root.
    pub place: String,
    /// The words after `cargo xtask`.
    pub words: Vec<String>,
    /// Whether it stands in a block of its own, to be typed verbatim.
    pub whole: bool,
}

/// Every `cargo xtask …` of the pages in the workspace's `root`.
///
/// What stands in brackets is optional and left out; so are commands with words that a reader
/// cannot type, such as `DIR…`.
///
/// # Panics
/// When a page cannot be read.
pub fn documented(root: &Path) -> Vec<Documented> {
    let mut pages = vec!["README.md".into(), "CONTRIBUTING.md".into(), "benches/README.md".into()];
    for folder in ["docs", "docs/systems"] {
        let entries = fs::read_dir(root.join(folder)).expect("the book is there");
        let names = entries.map(|entry| entry.expect("the folder can be read").file_name());
        let names = names.filter_map(|name| name.into_string().ok());
        pages.extend(
            names.filter(|name| name.ends_with(".md")).map(|name| format!("{folder}/{name}")),
        );
    }
    pages.sort();
    let commands = pages.iter().flat_map(|page| {
        let text = fs::read_to_string(root.join(page)).expect("a page can be read");
        of_page(page, &text)
    });
    commands.collect()
}

fn of_page(page: &str, text: &str) -> Vec<Documented> {
    let mut found = Vec::new();
    let (mut in_block, mut open) = (false, None::<(usize, String)>);
    for (number, line) in (1..).zip(text.lines()) {
        let mut add = |number: usize, command: &str, whole| {
            let words = words(command);
            if !words.iter().any(|word| word.contains('…') || word == "COMMAND") {
                found.push(Documented { place: format!("{page}:{number}"), words, whole });
            }
        };
        if line.trim_start().starts_with("```") {
            in_block = !in_block;
            continue;
        }
        if !in_block {
            for code in line.split('`').skip(1).step_by(2) {
                if let Some(command) = code.strip_prefix("cargo xtask ") {
                    add(number, command, false);
                }
            }
            continue;
        }
        let (at, line) = match open.take() {
            Some((at, begun)) => (at, format!("{begun} {}", line.trim())),
            None => match line.trim_start_matches("$ ").strip_prefix("cargo xtask ") {
                Some(command) => (number, command.to_owned()),
                None => continue,
            },
        };
        match line.strip_suffix('\\') {
            Some(begun) => open = Some((at, begun.trim_end().to_owned())),
            None => add(at, &line, true),
        }
    }
    found
}

/// The words of a command line as a shell splits them, without its comment and optional parts.
fn words(command: &str) -> Vec<String> {
    let (mut words, mut word) = (Vec::new(), None::<String>);
    let (mut quote, mut optional) = (None, 0_usize);
    for character in command.chars() {
        match (quote, character) {
            (Some(open), _) if open == character => quote = None,
            (None, '\'' | '"') if optional == 0 => {
                quote = Some(character);
                word.get_or_insert_default();
            }
            (None, '#') if word.is_none() => break,
            (None, '[') if word.is_none() || optional > 0 => optional += 1,
            (None, ']') if optional > 0 => optional -= 1,
            (None, _) if optional > 0 => {}
            (None, _) if character.is_whitespace() => words.extend(word.take()),
            _ => word.get_or_insert_default().push(character),
        }
    }
    words.extend(word);
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_found_in_blocks_and_in_lines() {
        let page = "Run `cargo xtask list` or `cargo test`.\n```sh\ncargo xtask run r --set a=1 \\\n    \
                    --quick # why\ncargo xtask data fetch NAME… \ncargo xtask export --model m \
                    [--format hf|mae]\n$ cargo xtask run r --set 'a=[\"b\", \"c\"]'\n```\n";
        let found = of_page("p.md", page);
        let found: Vec<_> =
            found.iter().map(|c| (c.place.as_str(), c.words.join(" "), c.whole)).collect();
        assert_eq!(
            found,
            [
                ("p.md:1", "list".to_owned(), false),
                ("p.md:3", "run r --set a=1 --quick".to_owned(), true),
                ("p.md:6", "export --model m".to_owned(), true),
                ("p.md:7", "run r --set a=[\"b\", \"c\"]".to_owned(), true),
            ]
        );
    }
}
