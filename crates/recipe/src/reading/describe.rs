//! Describes every key of a type of settings, for the page that lists them all.

use serde::Serialize;
use serde::de::DeserializeOwned;
use toml::Value;

use super::keys::{Kind, Traced, traced, without};

/// One key of a type of settings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyDescription {
    /// The dotted key.
    pub key: String,
    /// What it takes, in words: `integer`, `number`, `true or false`, `text`, `list`, `table`,
    /// `value`, or the names it takes.
    pub takes: String,
    /// Whether it must be given.
    pub required: bool,
    /// Its default, as TOML writes it; `None` if it has none, or the default is to leave the key
    /// out.
    pub default: Option<String>,
}

/// Describes every key of a type, in the order of its fields.
///
/// ```
/// use bauta_recipe::FineTuneSettings;
/// use bauta_recipe::reading::describe;
///
/// let keys = describe::<FineTuneSettings>();
/// let epochs = keys.iter().find(|key| key.key == "eval.finetune.epochs").unwrap();
/// assert_eq!((epochs.takes.as_str(), epochs.default.as_deref()), ("integer", Some("5")));
/// ```
pub fn describe<T: DeserializeOwned + Serialize>() -> Vec<KeyDescription> {
    let describe = |Traced { key, kind }| {
        let rest = without::<T>(&key);
        let required = rest.is_none();
        let default = rest.and_then(|rest| value_at(&Value::try_from(rest).ok()?, &key));
        KeyDescription { key, takes: in_words(kind), required, default }
    };
    traced::<T>("").into_iter().map(describe).collect()
}

fn value_at(settings: &Value, key: &str) -> Option<String> {
    key.split('.').try_fold(settings, |value, part| value.get(part)).map(Value::to_string)
}

fn in_words(kind: Kind) -> String {
    match kind {
        Kind::Any => "value".to_owned(),
        Kind::Boolean => "true or false".to_owned(),
        Kind::Integer => "integer".to_owned(),
        Kind::Number => "number".to_owned(),
        Kind::Text => "text".to_owned(),
        Kind::List => "list".to_owned(),
        Kind::Table => "table".to_owned(),
        Kind::Choice(names) => {
            names.iter().map(|name| format!("\"{name}\"")).collect::<Vec<_>>().join(", ")
        }
    }
}
