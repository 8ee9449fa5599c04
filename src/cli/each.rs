//! Several ids in one command: each is done by itself, and each has its result.

use std::fmt::Display;

use serde::Serialize;
use serde_json::{Value, json};

use super::output::{CliError, Output};
use super::row::lay_over;
use super::{Context, code};

/// What was done, in words, and as keys beside `id` and `ok`.
pub type Done = (String, Value);

/// Does one thing to each of `ids`, in their order. For programs a list with a result each, for people a line each; where
/// nothing was done it is a refusal.
pub async fn each<I: Copy + Display + Serialize, F: Future<Output = Result<Done, CliError>>>(
    ids: &[I],
    context: &Context,
    act: impl Fn(I) -> F,
) -> Result<Output, CliError> {
    let mut results = Results::default();
    for &id in ids {
        results.add(id, act(id).await);
    }
    results.output(context.wants_json)
}

/// The results, in the order of the ids.
#[derive(Default)]
pub struct Results {
    lines: Vec<Value>,
    words: Vec<String>,
    failed: Vec<CliError>,
}

impl Results {
    pub fn add(&mut self, id: impl Display + Serialize, done: Result<Done, impl Into<CliError>>) {
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

    pub fn output(self, wants_json: bool) -> Result<Output, CliError> {
        let code = self.failed.first().map_or(code::OK, |e| e.code);
        if !wants_json && self.failed.len() == self.lines.len() {
            let words: Vec<String> = self.failed.into_iter().map(|e| e.words).collect();
            return Err(CliError { code, words: words.join("; ") });
        }
        let output = Output::said(self.words.join("\n"), Value::Array(self.lines));
        Ok(Output { code, ..output })
    }
}
