//! Parts that all pages share: frame, style, and table rows of a name and a value.

use maud::{DOCTYPE, Markup, PreEscaped, html};

const STYLE: &str = include_str!("style.css");

/// A self-contained page.
pub fn page(title: &str, content: &Markup) -> String {
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                title { (title) " · Bauta" }
                style { (PreEscaped(STYLE)) }
            }
            body { (content) }
        }
    };
    page.into_string()
}

/// A row of a name and a value.
pub fn row(name: &str, value: &str) -> Markup {
    html! { tr { td { (name) } td { (value) } } }
}

/// A figure with a caption, unless that is empty.
pub fn figure(content: &Markup, caption: &str) -> Markup {
    html! {
        figure {
            (content)
            @if !caption.is_empty() { figcaption { (caption) } }
        }
    }
}

/// A cell's text, or a dash.
pub fn or_dash(cell: Option<String>) -> String {
    cell.unwrap_or_else(|| "–".to_owned())
}
