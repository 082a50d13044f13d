//! Reading a recipe in layers: file, then its `[quick]` table, then overrides.

use std::path::{Path, PathBuf};
use std::{fs, io};

use serde::Deserialize;

use crate::document::{Node, Value, parse_override};
use crate::error::RecipeError;
use crate::eval::Eval;
use crate::keys::known_keys;
use crate::nearest::nearest;
use crate::schema::Recipe;
use crate::teacher::Teacher;

/// What is laid over the recipe file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Layers {
    /// Lay the file's own `[quick]` table over it.
    pub quick: bool,
    /// Overrides as `key=value`, later ones over earlier ones.
    ///
    /// A value is read as TOML, or else taken as a string: `train.epochs=2`,
    /// `data.image_size=[32, 64]`, `data.root=/srv/images`.
    pub set: Vec<String>,
}

impl Recipe {
    /// Reads and validates the recipe file at `path`.
    ///
    /// # Errors
    /// [`RecipeError`], which names the key, its file and line (or its
    /// override) and what would do.
    pub fn load(path: &Path, layers: &Layers) -> Result<Self, RecipeError> {
        let text = fs::read_to_string(path)
            .map_err(|source| RecipeError::Read { path: path.to_owned(), source })?;
        Self::parse(&text, path, layers)
    }

    /// Reads and validates the recipe in `text`; `path` is only named in errors.
    ///
    /// The `[quick]` table holds dotted keys, `"train.epochs" = 1`, and is no
    /// part of the resolved recipe.
    ///
    /// # Errors
    /// As [`Recipe::load`].
    pub fn parse(text: &str, path: &Path, layers: &Layers) -> Result<Self, RecipeError> {
        let mut document = Node::parse(text, path)?;
        let quick = document.remove("quick");
        if layers.quick {
            match quick {
                Some(Node { value: Value::Table(entries), .. }) => {
                    entries.into_iter().for_each(|(key, node)| document.set(&key, node));
                }
                _ => return Err(RecipeError::NoQuick(path.to_owned())),
            }
        }
        for assignment in &layers.set {
            let (key, node) = parse_override(assignment)?;
            document.set(&key, node);
        }
        Self::resolve(&document)
    }

    /// Reads and validates the merged layers.
    pub(crate) fn resolve(document: &Node) -> Result<Self, RecipeError> {
        let mut recipe = Self::deserialize(document)
            .map_err(|fault| fault.into_error(&document.place, known_keys()))?;
        recipe.teacher.as_mut().map(Teacher::keep_own);
        recipe.check().map_err(|violation| RecipeError::Invalid {
            place: document.place_of_any(&violation.keys).clone(),
            message: violation.message,
        })?;
        Ok(recipe)
    }

    /// Writes the fully resolved recipe: every default spelled out.
    ///
    /// [`Recipe::parse`] reads it back to an equal recipe.
    ///
    /// # Errors
    /// [`RecipeError::Write`] for a recipe built in code that TOML cannot
    /// express, such as a seed above 2⁶³ − 1.
    pub fn to_toml(&self) -> Result<String, RecipeError> {
        Ok(toml::to_string(self)?)
    }
}

impl Eval {
    /// The defaults under overrides of `eval` keys, as in [`Layers::set`]: how a model
    /// is evaluated without a recipe.
    ///
    /// # Errors
    /// As [`Recipe::load`]; other keys than those of `eval` are unknown.
    pub fn from_overrides(set: &[String]) -> Result<Self, RecipeError> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Document {
            #[serde(default)]
            eval: Eval,
        }
        let mut document = Node::parse("", Path::new("evaluation"))?;
        for assignment in set {
            let (key, node) = parse_override(assignment)?;
            document.set(&key, node);
        }
        let known: Vec<String> =
            known_keys().iter().filter(|key| key.starts_with("eval.")).cloned().collect();
        let Document { eval } = Document::deserialize(&document)
            .map_err(|fault| fault.into_error(&document.place, &known))?;
        eval.check().map_err(|violation| RecipeError::Invalid {
            place: document.place_of_any(&violation.keys).clone(),
            message: violation.message,
        })?;
        Ok(eval)
    }
}

/// Finds the recipe that a user asks for: a path to a `.toml` file, or the name of one in `folder`.
///
/// # Errors
/// [`RecipeError::Unknown`] with the nearest name, [`RecipeError::Read`] when
/// `folder` or the named file cannot be read.
pub fn find(folder: &Path, name: &str) -> Result<PathBuf, RecipeError> {
    if name.ends_with(".toml") {
        let path = PathBuf::from(name);
        let found = fs::metadata(&path);
        return found.map(|_| path.clone()).map_err(|source| RecipeError::Read { path, source });
    }
    let known = names(folder)?;
    if known.iter().any(|known| known == name) {
        return Ok(folder.join(format!("{name}.toml")));
    }
    let nearest = nearest(name, known.iter().map(String::as_str)).map(str::to_owned);
    Err(RecipeError::Unknown { name: name.to_owned(), nearest, known })
}

/// The names of the recipes in `folder`, sorted.
///
/// # Errors
/// [`RecipeError::Read`] when the folder cannot be read.
pub fn names(folder: &Path) -> Result<Vec<String>, RecipeError> {
    let read = || -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(folder)? {
            let path = entry?.path();
            if path.extension().is_some_and(|extension| extension == "toml") {
                names.extend(path.file_stem().map(|stem| stem.to_string_lossy().into_owned()));
            }
        }
        names.sort();
        Ok(names)
    };
    read().map_err(|source| RecipeError::Read { path: folder.to_owned(), source })
}
