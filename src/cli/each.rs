//! Several ids in one command: each is done by itself, and each has its result.

use std::fmt::Display;

use serde::Serialize;
use serde_json::json;

use super::code;
use super::output::{CliError, Output};
use super::relay::lay_over;

/// The results, in the order of the ids.
#[derive(Default)]
pub struct Results {
    lines: Vec<serde_json::Value>,
    words: Vec<String>,
    failed: Vec<CliError>,
}

impl Results {
    /// `done`: what was done, in words and as keys beside `id` and `ok`.
    pub fn add(
        &mut self,
        id: impl Display + Serialize,
        done: Result<(String, serde_json::Value), impl Into<CliError>>,
    ) {
        match done {
            Ok((words, keys)) => {
                let mut line = json!({ "id": id, "ok": true, "error": null });
                lay_over(&mut line, keys);
                self.lines.push(line);
                self.words.push(words);
            }
            Err(error) => {
                let error = error.into();
                self.lines.push(json!({ "id": id, "ok": false, "error": error.words }));
                self.words.push(format!("#{id} failed: {}", error.words));
                self.failed.push(error);
            }
        }
    }

    /// For programs a list with all of them; for people a line each. Where nothing was done it is a refusal.
    pub fn output(self, wants_json: bool) -> Result<Output, CliError> {
        let code = self.failed.first().map_or(code::OK, |e| e.code);
        if !wants_json && self.failed.len() == self.lines.len() {
            let words: Vec<String> = self.failed.into_iter().map(|e| e.words).collect();
            return Err(CliError { code, words: words.join("; ") });
        }
        let output = Output::said(self.words.join("\n"), serde_json::Value::Array(self.lines));
        Ok(Output { code, ..output })
    }
}
