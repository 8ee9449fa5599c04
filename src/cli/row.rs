//! What mailboxes, relays, types and accounts have in common as commands list, show, add, change and delete them.

use std::fmt::Display;

use serde::Serialize;
use serde_json::{Value, json};

use super::Context;
use super::output::{CliError, Output, json};
use super::table::Table;

/// The version of a row that its editor has seen.
#[derive(Clone, Copy, Debug, clap::Args)]
pub struct Seen {
    /// Only if it is still at this version, as `show` told it
    #[arg(long = "at-version", value_name = "VERSION")]
    pub at_version: Option<i64>,
}

impl Seen {
    /// Where none was named, what stands there counts as seen.
    pub fn or(self, current: i64) -> i64 {
        self.at_version.unwrap_or(current)
    }
}

/// A row as its commands name it.
pub struct Named<'a> {
    /// The command that it is a matter of.
    pub word: &'static str,
    pub id: i64,
    /// How its name is called in JSON.
    pub key: &'static str,
    pub name: &'a str,
}

impl Named<'_> {
    /// `hint`: what is to be done next, or nothing.
    pub fn added(&self, hint: &str) -> Output {
        self.said(format_args!(" added{hint}"), json!({ "version": 1 }))
    }

    /// `hint`: what else has come of it, or nothing.
    pub fn changed(&self, version: i64, hint: &str) -> Output {
        self.said(format_args!(" changed, now version {version}{hint}"), json!({ "version": version }))
    }

    pub fn deleted(&self) -> Output {
        self.said(" deleted", json!({ "deleted": true }))
    }

    /// The row, and `words` right behind it; `keys` beside its own.
    pub fn said(&self, words: impl Display, keys: Value) -> Output {
        let mut shown = json!({ "id": self.id, self.key: self.name });
        lay_over(&mut shown, keys);
        Output::said(format!("{} #{} {:?}{words}", self.word, self.id, self.name), shown)
    }
}

/// What is to be done next about a row that signs in by OAuth2.
pub fn sign_in_hint(name: &str) -> String {
    format!("; `maildesk oauth login {name:?}` signs in for it")
}

/// A row for programs: its settings as they would be written, and what else there is to say of it. Never its password.
pub fn shown(id: impl Serialize, section: impl Serialize, rest: Value) -> Result<Value, CliError> {
    let mut shown = json!({ "id": id });
    lay_over(&mut shown, json(section)?);
    lay_over(&mut shown, rest);
    Ok(shown)
}

/// Rows in full for programs, as a table for people.
pub fn list<T>(
    rows: &[T],
    context: &Context,
    shown: impl Fn(&T) -> Result<Value, CliError>,
    table: impl FnOnce(&[T]) -> Table,
) -> Result<Output, CliError> {
    let lines: Vec<Value> = rows.iter().map(shown).collect::<Result<_, _>>()?;
    Output::list(&lines, context.wants_json, |_| table(rows))
}

/// Lays the keys of one object over another; what is about passwords stays out.
pub fn lay_over(under: &mut Value, over: Value) {
    let (Some(under), Value::Object(over)) = (under.as_object_mut(), over) else { return };
    under.extend(over.into_iter().filter(|(key, _)| !key.starts_with("password")));
}
