//! The structs of settings as their sources show them: fields, types and documentation.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result, anyhow};
use proc_macro2::{Delimiter, Group, TokenStream, TokenTree};
use walkdir::WalkDir;

/// Where settings are declared; of a struct declared twice, the later folder's counts.
const FOLDERS: [&str; 2] = ["crates/datasets/src", "crates/recipe/src"];

/// A field of a struct.
#[derive(Clone, Debug, PartialEq)]
pub struct Field {
    pub name: String,
    /// The words of its type: `Option`, `Vec`, `f64` for `Option<Vec<f64>>`.
    pub types: Vec<String>,
    /// The first paragraph of its documentation, as one line.
    pub doc: String,
}

/// The fields of each struct by the struct's name.
pub struct Structs(BTreeMap<String, Vec<Field>>);

impl Structs {
    /// Reads every struct that settings can consist of.
    pub fn read(root: &Path) -> Result<Self> {
        let mut structs = Self(BTreeMap::new());
        for folder in FOLDERS {
            for entry in WalkDir::new(root.join(folder)).sort_by_file_name() {
                let path = entry?.into_path();
                if path.extension().is_some_and(|extension| extension == "rs") {
                    let text = fs::read_to_string(&path)
                        .with_context(|| format!("cannot read {}", path.display()))?;
                    structs.add(&text).with_context(|| path.display().to_string())?;
                }
            }
        }
        Ok(structs)
    }

    /// The field of a dotted key within the struct of that name.
    pub fn field(&self, name: &str, key: &str) -> Option<&Field> {
        let (first, rest) = match key.split_once('.') {
            Some((first, rest)) => (first, Some(rest)),
            None => (key, None),
        };
        let field = self.0.get(name)?.iter().find(|field| field.name == first)?;
        match rest {
            None => Some(field),
            Some(rest) => field.types.iter().find_map(|inner| self.field(inner, rest)),
        }
    }

    fn add(&mut self, text: &str) -> Result<()> {
        let stream: TokenStream = text.parse().map_err(|error| anyhow!("not Rust: {error}"))?;
        let trees: Vec<TokenTree> = stream.into_iter().collect();
        for window in trees.windows(3) {
            let [TokenTree::Ident(word), TokenTree::Ident(name), TokenTree::Group(body)] = window
            else {
                continue;
            };
            if word == "struct" && body.delimiter() == Delimiter::Brace {
                self.0.insert(name.to_string(), fields(body));
            }
        }
        Ok(())
    }
}

/// The fields between the braces of a struct.
fn fields(body: &Group) -> Vec<Field> {
    let mut fields = Vec::new();
    let (mut doc, mut words, mut depth) = (Vec::new(), Vec::new(), 0_i32);
    let mut attribute = false;
    for tree in body.stream() {
        match tree {
            TokenTree::Punct(sign) => match sign.as_char() {
                '#' => attribute = true,
                '<' => depth += 1,
                '>' => depth -= 1,
                ',' if depth == 0 => fields.extend(field(&mut doc, &mut words)),
                _ => {}
            },
            TokenTree::Group(group) if attribute => {
                doc.extend(doc_line(&group));
                attribute = false;
            }
            TokenTree::Group(group) if group.delimiter() == Delimiter::Bracket => {
                words.push("[]".to_owned());
                words.extend(group.stream().into_iter().map(|tree| tree.to_string()));
            }
            TokenTree::Ident(word) if word == "pub" => {}
            TokenTree::Ident(word) => words.push(word.to_string()),
            TokenTree::Group(_) | TokenTree::Literal(_) => {}
        }
    }
    fields.extend(field(&mut doc, &mut words));
    fields
}

/// The field that has been collected, if one has.
fn field(doc: &mut Vec<String>, words: &mut Vec<String>) -> Option<Field> {
    let doc: Vec<String> = std::mem::take(doc);
    let mut words = std::mem::take(words).into_iter();
    let name = words.next()?;
    let paragraph = doc.iter().take_while(|line| !line.is_empty());
    let doc = paragraph.map(String::as_str).collect::<Vec<_>>().join(" ");
    Some(Field { name, types: words.collect(), doc })
}

/// The line of `[doc = "line"]`, which is what a comment `/// line` becomes.
fn doc_line(attribute: &Group) -> Option<String> {
    let mut trees = attribute.stream().into_iter();
    let is_doc = matches!(trees.next(), Some(TokenTree::Ident(word)) if word == "doc");
    let TokenTree::Literal(literal) = trees.nth(1).filter(|_| is_doc)? else { return None };
    let text = literal.to_string();
    let line = text.strip_prefix('"')?.strip_suffix('"')?;
    Some(line.replace("\\\"", "\"").replace("\\'", "'").replace("\\\\", "\\").trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_have_their_types_and_first_paragraphs() {
        let mut structs = Structs(BTreeMap::new());
        let text = "/// Outer.\n#[derive(Debug)]\npub struct A {\n/// The \"inner\"\n/// part's.\n///\n\
                    /// More.\n#[serde(default)]\npub inner: Option<B>, pairs: [f64; 2] }\n\
                    struct B { /// Many, \\ of them.\n pub many: std::collections::Map<u8, f64>, \
                    last: bool }\nstruct C(u8);";
        structs.add(text).unwrap();
        let inner = structs.field("A", "inner").unwrap();
        assert_eq!(
            (inner.types.join(" ").as_str(), &*inner.doc),
            ("Option B", "The \"inner\" part's.")
        );
        assert_eq!(structs.field("A", "inner.many").unwrap().doc, "Many, \\ of them.");
        assert_eq!(structs.field("A", "inner.last").unwrap().types, ["bool"]);
        assert!(structs.field("A", "pairs").unwrap().types.starts_with(&["[]".to_owned()]));
        assert_eq!(structs.field("A", "inner.none"), None);
        assert!(structs.add("fn a( {").is_err());
    }
}
