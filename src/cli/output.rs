//! What a handler gives: the same for people and for programs, or an error with its exit code.

use std::fmt::Display;

use serde::Serialize;

use super::code;
use super::table::Table;
use crate::config::{ConfigError, Wrong};
use crate::control::Response;
use crate::failure::Failure;
use crate::store::Error;

/// A command's result. It is printed by whoever was typed to, which may be another process.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Output {
    pub human: String,
    pub json: serde_json::Value,
    pub code: u8,
}

impl Output {
    /// A sentence for people, an object for programs.
    pub fn said(human: impl Into<String>, json: serde_json::Value) -> Output {
        let mut human = human.into();
        if !human.ends_with('\n') {
            human.push('\n');
        }
        Output { human, json, ..Output::default() }
    }

    /// A listing: of the two forms the one that is wanted, since it may be long.
    pub fn list<T: Serialize>(
        lines: &[T],
        wants_json: bool,
        table: impl FnOnce(&[T]) -> Table,
    ) -> Result<Output, CliError> {
        match wants_json {
            true => Ok(Output { json: json(lines)?, ..Output::default() }),
            false => Ok(Output { human: table(lines).to_string(), ..Output::default() }),
        }
    }

    /// Things that programs read one a line, and people as text.
    pub fn lines<T: Serialize>(
        things: &[T],
        wants_json: bool,
        text: impl Fn(&T) -> String,
    ) -> Result<Output, CliError> {
        let mut human = String::new();
        for thing in things {
            match wants_json {
                true => human.push_str(&format!("{}\n", json(thing)?)),
                false => human.push_str(&text(thing)),
            }
        }
        Ok(Output { human, ..Output::default() })
    }

    /// One thing: its JSON, and for people the same, a line a key.
    pub fn thing(json: serde_json::Value) -> Output {
        Output { human: super::table::keys(&json), json, ..Output::default() }
    }
}

pub fn json(value: impl Serialize) -> Result<serde_json::Value, CliError> {
    serde_json::to_value(value).map_err(|e| CliError::data(format!("it cannot be written as JSON: {e}")))
}

/// The one line of a listing that was asked for by its id.
pub fn only<T>(mut lines: Vec<T>, what: impl Display) -> Result<T, CliError> {
    lines.pop().ok_or_else(|| CliError::data(format!("there is no {what}")))
}

/// Why a command was not done, in words for people, with the exit code for scripts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CliError {
    pub code: u8,
    pub words: String,
}

impl CliError {
    pub fn usage(words: impl Into<String>) -> CliError {
        CliError { code: code::USAGE, words: words.into() }
    }

    pub fn data(words: impl Into<String>) -> CliError {
        CliError { code: code::DATA, words: words.into() }
    }

    pub fn unavailable(words: impl Into<String>) -> CliError {
        CliError { code: code::UNAVAILABLE, words: words.into() }
    }

    pub fn config(words: impl Into<String>) -> CliError {
        CliError { code: code::CONFIG, words: words.into() }
    }
}

impl From<Error> for CliError {
    fn from(error: Error) -> CliError {
        let code = match &error {
            Error::Unavailable(_) | Error::Unreachable(_) | Error::TakenOver(_) => code::TRY_AGAIN,
            Error::Held(_) => code::UNAVAILABLE,
            Error::WrongKey
            | Error::BadUrl
            | Error::CannotOpen(_)
            | Error::Moved(_)
            | Error::Behind(_)
            | Error::OldSchema { .. }
            | Error::NewSchema { .. } => code::CONFIG,
            Error::Taken(_)
            | Error::Stale(_)
            | Error::Missing(_)
            | Error::InUse(_)
            | Error::ReadOnly(_)
            | Error::Refused(_)
            | Error::Unfit(_)
            | Error::Corrupt(_) => code::DATA,
        };
        CliError { code, words: error.to_string() }
    }
}

impl From<Failure> for CliError {
    fn from(failure: Failure) -> CliError {
        let code = if failure.is_temporary() { code::TRY_AGAIN } else { code::DATA };
        CliError { code, words: failure.to_string() }
    }
}

impl From<ConfigError> for CliError {
    fn from(error: ConfigError) -> CliError {
        CliError::config(error.to_string())
    }
}

impl From<Wrong> for CliError {
    /// A key that was given as a flag.
    fn from(wrong: Wrong) -> CliError {
        CliError::usage(format!("--{}: {}", wrong.key.replace('_', "-"), wrong.words))
    }
}

impl From<Result<Output, CliError>> for Response {
    fn from(result: Result<Output, CliError>) -> Response {
        match result {
            Ok(Output { human, json, code }) => Response { code, human, json, ..Response::default() },
            Err(CliError { code, words }) => Response { code, error: words, ..Response::default() },
        }
    }
}
