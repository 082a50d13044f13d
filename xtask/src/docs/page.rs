//! Rows of keys as Markdown tables, one for each table of settings.

/// One key of some systems.
pub struct Row {
    pub key: String,
    pub takes: String,
    pub unit: String,
    /// The greatest value that it takes.
    pub most: Option<u64>,
    pub default: String,
    pub systems: Vec<String>,
    pub text: String,
}

impl Row {
    /// Whether it differs in nothing but the systems.
    pub fn says_the_same(&self, other: &Self) -> bool {
        let said = |row: &Self| {
            let Self { key, takes, default, text, .. } = row;
            [key, takes, default, text].map(Clone::clone)
        };
        said(self) == said(other)
    }

    /// The table that the key is in, by its dotted name.
    fn table(&self) -> &str {
        self.key.rsplit_once('.').map_or("", |(table, _)| table)
    }
}

/// The rows by table, in the order in which the tables first appear.
pub fn tables(rows: &[Row]) -> String {
    let mut names: Vec<&str> = Vec::new();
    for row in rows {
        if !names.contains(&row.table()) {
            names.push(row.table());
        }
    }
    let with_systems = rows.iter().any(|row| !row.systems.is_empty());
    let tables = names.into_iter().map(|name| {
        let rows: Vec<&Row> = rows.iter().filter(|row| row.table() == name).collect();
        let title = if name.is_empty() { String::new() } else { format!("### `[{name}]`\n\n") };
        let head = if with_systems {
            "| key | takes | unit | default | systems | meaning |\n|---|---|---|---|---|---|\n"
        } else {
            "| key | takes | unit | default | meaning |\n|---|---|---|---|---|\n"
        };
        let lines = rows.iter().map(|row| line(row, with_systems)).collect::<Vec<_>>().concat();
        format!("{title}{head}{lines}")
    });
    tables.collect::<Vec<_>>().join("\n")
}

fn line(row: &Row, with_systems: bool) -> String {
    let Row { key, takes, unit, default, text, .. } = row;
    let most = row.most.map_or(String::new(), |most| format!(", at most {}", grouped(most)));
    let systems =
        if with_systems { format!(" {} |", row.systems.join(", ")) } else { String::new() };
    let text = text.replace("[`", "`").replace("`]", "`").replace('|', "\\|");
    format!("| `{key}` | {takes}{most} | {unit} | {default} |{systems} {text} |\n")
}

/// Formats 65536 as `65,536`.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let groups = digits.as_bytes().rchunks(3).rev();
    groups.map(String::from_utf8_lossy).collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_stand_in_the_table_of_their_key() {
        let row = |key: &str, most| Row {
            key: key.to_owned(),
            takes: "integer".to_owned(),
            unit: "steps".to_owned(),
            most,
            default: "`0`".to_owned(),
            systems: Vec::new(),
            text: "Either [`A`] | B.".to_owned(),
        };
        let page = tables(&[row("seed", None), row("a.b", Some(1_000_000)), row("c.d", Some(64))]);
        assert!(page.starts_with("| key | takes | unit | default | meaning |\n|---"), "{page}");
        assert!(page.contains("\n\n### `[a]`\n\n| key"), "{page}");
        let line = "| `a.b` | integer, at most 1,000,000 | steps | `0` | Either `A` \\| B. |\n";
        assert!(page.contains(line), "{page}");
        assert!(page.contains("at most 64 |"), "{page}");
    }
}
