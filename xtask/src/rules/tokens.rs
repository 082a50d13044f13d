//! A source as its words and signs with their lines, with or without its tests.

use proc_macro2::{Delimiter, Group, TokenStream, TokenTree};

/// A word or sign; a group counts as its opening sign, its content and its closing sign.
#[derive(Debug, PartialEq)]
pub struct Token {
    pub line: usize,
    pub text: String,
}

/// Lexes a file. Comments, strings and items under `#[cfg(test)]` are left out.
pub fn lex(text: &str) -> Result<Vec<Token>, String> {
    tokens(text, false)
}

/// The same with the items under `#[cfg(test)]`.
pub fn lex_with_tests(text: &str) -> Result<Vec<Token>, String> {
    tokens(text, true)
}

fn tokens(text: &str, tests: bool) -> Result<Vec<Token>, String> {
    let stream: TokenStream = text.parse().map_err(|error| format!("not Rust: {error}"))?;
    let mut tokens = Vec::new();
    flatten(stream, tests, &mut tokens);
    Ok(tokens)
}

fn flatten(stream: TokenStream, tests: bool, out: &mut Vec<Token>) {
    let mut trees = stream.into_iter().peekable();
    while let Some(tree) = trees.next() {
        match tree {
            TokenTree::Punct(sign) if sign.as_char() == '#' => match trees.peek() {
                Some(TokenTree::Group(group)) if !tests && is_cfg_test(group) => {
                    // The item ends with its body or with a semicolon.
                    let ends = |tree: &TokenTree| match tree {
                        TokenTree::Group(group) => group.delimiter() == Delimiter::Brace,
                        TokenTree::Punct(sign) => sign.as_char() == ';',
                        _ => false,
                    };
                    trees.by_ref().find(ends);
                }
                _ => out.push(sign_token(sign.span().start().line, '#')),
            },
            TokenTree::Punct(sign) => {
                out.push(sign_token(sign.span().start().line, sign.as_char()));
            }
            TokenTree::Ident(word) => {
                out.push(Token { line: word.span().start().line, text: word.to_string() });
            }
            TokenTree::Literal(_) => {}
            TokenTree::Group(group) => {
                let (open, close) = match group.delimiter() {
                    Delimiter::Parenthesis => ('(', ')'),
                    Delimiter::Brace => ('{', '}'),
                    Delimiter::Bracket => ('[', ']'),
                    Delimiter::None => (' ', ' '),
                };
                out.push(sign_token(group.span_open().start().line, open));
                flatten(group.stream(), tests, out);
                out.push(sign_token(group.span_close().start().line, close));
            }
        }
    }
}

fn sign_token(line: usize, sign: char) -> Token {
    Token { line, text: sign.to_string() }
}

/// `[cfg(test)]` and `[cfg(all(test, …))]`, but not `[cfg(not(test))]`.
fn is_cfg_test(attribute: &Group) -> bool {
    let text = attribute.stream().to_string().replace(' ', "");
    text == "cfg(test)" || text.starts_with("cfg(all(test,")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> String {
        let tokens = lex(text).unwrap();
        tokens.iter().map(|token| token.text.as_str()).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn comments_strings_and_tests_are_left_out() {
        let text = "//! println!(1)\nfn a() { b(\"std::fs\", 2) } // c";
        assert!(words(text).ends_with("] fn a ( ) { b ( , ) }"));
        assert_eq!(words("#[cfg(test)] mod tests { use x; } fn a() {}"), "fn a ( ) { }");
        assert_eq!(words("#[cfg(test)] mod tests; struct S;"), "struct S ;");
        assert_eq!(words("#[cfg(test)] #[x] fn t() -> u8 { 1 } struct S;"), "struct S ;");
        assert!(words("#[cfg(not(test))] fn a() {}").ends_with("fn a ( ) { }"));
        assert!(lex("fn a( {").is_err());
        let whole = lex_with_tests("#[cfg(test)] mod tests { use x; }").unwrap();
        assert!(whole.iter().any(|token| token.text == "x"));
    }

    #[test]
    fn tokens_know_their_lines() {
        let tokens = lex("//! A.\n\nfn a() {\n    b()\n}\n").unwrap();
        let line = |text: &str| tokens.iter().find(|token| token.text == text).map(|t| t.line);
        assert_eq!((line("fn"), line("b"), line("}")), (Some(3), Some(4), Some(5)));
    }
}
