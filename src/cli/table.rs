//! Tables for people: aligned columns, and nothing in a cell that could steer a terminal.

use std::fmt;

pub struct Table {
    heads: Vec<&'static str>,
    rows: Vec<Vec<String>>,
    /// What to say where there are no rows.
    none: &'static str,
}

/// Longest cell; a subject may be a novel.
const WIDEST: usize = 64;

impl Table {
    pub fn new<const N: usize>(heads: [&'static str; N], none: &'static str) -> Table {
        Table { heads: heads.into(), rows: vec![], none }
    }

    pub fn row<const N: usize>(&mut self, cells: [String; N]) {
        self.rows.push(cells.iter().map(|cell| shown(cell)).collect());
    }

    /// A table with a row for each of `lines`.
    pub fn of<T, const N: usize>(
        heads: [&'static str; N],
        none: &'static str,
        lines: &[T],
        cells: impl Fn(&T) -> [String; N],
    ) -> Table {
        let mut table = Table::new(heads, none);
        for line in lines {
            table.row(cells(line));
        }
        table
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.rows.is_empty() {
            return writeln!(f, "{}", self.none);
        }
        let heads: Vec<String> = self.heads.iter().map(|head| (*head).to_owned()).collect();
        let all = || std::iter::once(&heads).chain(&self.rows);
        let width = |at: usize| all().map(|row| row[at].chars().count()).max().unwrap_or(0);
        let widths: Vec<usize> = (0..heads.len()).map(width).collect();
        for row in all() {
            let cells: Vec<String> =
                row.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}")).collect();
            writeln!(f, "{}", cells.join("  ").trim_end())?;
        }
        Ok(())
    }
}

/// A cell as it may be shown: hostile mail must not move the cursor or hide a line (L4).
fn shown(text: &str) -> String {
    let clean = clean(text);
    if clean.chars().count() <= WIDEST {
        return clean;
    }
    let cut: String = clean.chars().take(WIDEST - 1).collect();
    format!("{cut}…")
}

/// Without control characters and marks that turn the direction of writing.
pub fn clean(text: &str) -> String {
    let is_bad = |c: char| c.is_control() || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    text.chars().map(|c| if is_bad(c) { ' ' } else { c }).collect()
}

/// An object for people: a line for each key.
pub fn keys(json: &serde_json::Value) -> String {
    let Some(object) = json.as_object() else { return format!("{json}\n") };
    let width = object.keys().map(String::len).max().unwrap_or(0);
    let line = |(name, value): (&String, &serde_json::Value)| {
        let words = match value {
            serde_json::Value::String(text) => clean(text),
            serde_json::Value::Null => "-".to_owned(),
            serde_json::Value::Array(list) if list.iter().all(serde_json::Value::is_string) => {
                clean(&list.iter().filter_map(|v| v.as_str()).collect::<Vec<_>>().join(", "))
            }
            other => clean(&other.to_string()),
        };
        format!("{name:width$}  {words}").trim_end().to_owned() + "\n"
    };
    object.iter().map(line).collect()
}

/// `#12`
pub fn id(id: impl fmt::Display) -> String {
    format!("#{id}")
}

/// `#12`, or a dash.
pub fn maybe_id(maybe: Option<impl fmt::Display>) -> String {
    maybe.map_or("-".to_owned(), id)
}

/// The words, or a dash.
pub fn maybe(words: Option<&String>) -> String {
    words.cloned().unwrap_or_else(|| "-".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned_and_cells_cannot_steer_the_terminal() {
        let lines = [("1", "a\u{1b}[2Jb\nc"), ("22", "é")];
        let table = Table::of(["ID", "WORDS"], "nothing", &lines, |(a, b)| [id(a), (*b).to_owned()]);
        assert_eq!(table.to_string(), "ID   WORDS\n#1   a [2Jb c\n#22  é\n");
        assert_eq!(Table::new(["ID"], "nothing").to_string(), "nothing\n");
        assert_eq!(shown(&"x".repeat(100)).chars().count(), WIDEST);
    }
}
