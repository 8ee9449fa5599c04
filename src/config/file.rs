//! The file as text, and where in it a mistake stands: file, line, key, words.
//!
//! The TOML crate's own rendering is not used: it prints the line, and the line may hold a password.

use std::ops::Range;
use std::path::{Path, PathBuf};

use toml::de::{DeTable, DeValue};

/// One mistake.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    pub line: usize,
    /// `mailbox.port`; empty where the text is no TOML at all.
    pub key: String,
    pub words: String,
}

/// Every mistake found in the file, or that it could not be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError {
    pub file: PathBuf,
    pub problems: Vec<Problem>,
}

impl std::fmt::Display for ConfigError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (i, problem) in self.problems.iter().enumerate() {
            let line_break = if i == 0 { "" } else { "\n" };
            write!(f, "{line_break}{}", self.file.display())?;
            if problem.line > 0 {
                write!(f, ":{}", problem.line)?;
            }
            if !problem.key.is_empty() {
                write!(f, ": {}", problem.key)?;
            }
            write!(f, ": {}", problem.words)?;
        }
        Ok(())
    }
}

impl std::error::Error for ConfigError {}

/// The text with its places.
pub struct Source<'t> {
    pub file: &'t Path,
    text: &'t str,
    table: toml::Spanned<DeTable<'t>>,
}

impl<'t> Source<'t> {
    pub fn parse(file: &'t Path, text: &'t str) -> Result<Source<'t>, ConfigError> {
        let table = DeTable::parse(text).map_err(|error| {
            let line = error.span().map_or(0, |span| line_of(text, span.start));
            let words = format!("is no TOML: {}", error.message().replace('\n', " "));
            ConfigError { file: file.into(), problems: vec![Problem { line, key: String::new(), words }] }
        })?;
        Ok(Source { file, text, table })
    }

    pub fn error(&self, problems: Vec<Problem>) -> ConfigError {
        ConfigError { file: self.file.into(), problems }
    }

    /// What the reader of a section said, with the key that it was about.
    pub fn refused(&self, error: &toml::de::Error) -> ConfigError {
        let span = error.span().unwrap_or(0..0);
        let words = error.message().replace('\n', " ");
        let key = self.key_at(&span).unwrap_or_default();
        self.error(vec![Problem { line: line_of(self.text, span.start), key, words }])
    }

    /// A problem with a key of a section: of the `index`-th where the section is a list.
    pub fn problem(&self, section: &str, index: usize, key: &str, words: impl Into<String>) -> Problem {
        let line = self.place(section, index, key).map_or(0, |at| line_of(self.text, at));
        Problem { line, key: format!("{section}.{key}"), words: words.into() }
    }

    /// Whether the section gives the key at all.
    pub fn gives(&self, section: &str, index: usize, key: &str) -> bool {
        self.section(section, index).is_some_and(|(_, table)| table.contains_key(key))
    }

    /// How many of the section there are.
    pub fn count(&self, section: &str) -> usize {
        match self.table.get_ref().get(section).map(|value| value.get_ref()) {
            Some(DeValue::Array(list)) => list.len(),
            Some(_) => 1,
            None => 0,
        }
    }

    /// Where the key stands, else the section's head.
    fn place(&self, section: &str, index: usize, key: &str) -> Option<usize> {
        let (at, table) = self.section(section, index)?;
        let key = table.iter().find(|(name, _)| name.get_ref().as_ref() == key);
        Some(key.map_or(at, |(name, _)| name.span().start))
    }

    fn section(&self, section: &str, index: usize) -> Option<(usize, &DeTable<'t>)> {
        let value = self.table.get_ref().get(section)?;
        let value = match value.get_ref() {
            DeValue::Array(list) => list.get(index)?,
            _ => value,
        };
        match value.get_ref() {
            DeValue::Table(table) => Some((value.span().start, table)),
            _ => None,
        }
    }

    /// The key whose name or value holds the range: `mailbox.port`.
    fn key_at(&self, span: &Range<usize>) -> Option<String> {
        let mut path: Vec<&str> = vec![];
        let mut table = self.table.get_ref();
        loop {
            let holds = |range: Range<usize>| range.start <= span.start && span.end <= range.end;
            let mut found = None;
            for (name, value) in table.iter() {
                let inner = tables_of(value).find(|t| holds(t.0.clone())).map(|t| t.1);
                if inner.is_some() || holds(name.span()) || holds(value.span()) {
                    found = Some((name.get_ref().as_ref(), inner));
                    break;
                }
            }
            let Some((name, inner)) = found else { break };
            path.push(name);
            match inner {
                Some(inner) => table = inner,
                None => break,
            }
        }
        (!path.is_empty()).then(|| path.join("."))
    }
}

/// The tables in a value, with the range of bytes from the first to the last of their parts.
fn tables_of<'v, 't>(
    value: &'v toml::Spanned<DeValue<'t>>,
) -> impl Iterator<Item = (Range<usize>, &'v DeTable<'t>)> {
    let values: &[toml::Spanned<DeValue<'t>>] = match value.get_ref() {
        DeValue::Array(list) => list,
        _ => std::slice::from_ref(value),
    };
    values.iter().filter_map(|value| match value.get_ref() {
        DeValue::Table(table) => {
            let parts = table.iter().flat_map(|(name, value)| [name.span(), value.span()]);
            let all = parts.fold(value.span(), |all, part| all.start.min(part.start)..all.end.max(part.end));
            Some((all, table))
        }
        _ => None,
    })
}

fn line_of(text: &str, offset: usize) -> usize {
    text.as_bytes()[..offset.min(text.len())].iter().filter(|b| **b == b'\n').count() + 1
}
