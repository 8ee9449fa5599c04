//! `maildesk job …`

use serde::Serialize;

use super::Context;
use super::output::{CliError, Output};
use super::table::{Table, maybe};
use crate::clock::Micros;
use crate::store::JobRow;

#[derive(Debug, clap::Subcommand)]
pub enum Verb {
    /// Each with its schedule, its last run and how that went, and its next run
    List,
}

#[derive(Serialize)]
struct Line {
    name: String,
    schedule: String,
    /// When the last run began and ended; none: it has not run yet.
    last_run: Option<String>,
    ended: Option<String>,
    /// ok, failed; none: it has not run yet.
    outcome: Option<&'static str>,
    /// What the last run said.
    words: String,
    /// In a row.
    failures: i64,
    next_run: String,
}

pub async fn run(verb: Verb, context: &Context) -> Result<Output, CliError> {
    let Verb::List = verb;
    let lines: Vec<Line> = context.store.read().await?.jobs().await?.into_iter().map(line).collect();
    Output::list(&lines, context.wants_json, |lines| {
        let none = "no job yet: the daemon registers its jobs when it starts";
        Table::of(
            ["NAME", "SCHEDULE", "LAST RUN", "OUTCOME", "NEXT RUN", "WORDS"],
            none,
            lines,
            |job: &Line| {
                [
                    job.name.clone(),
                    job.schedule.clone(),
                    maybe(job.last_run.as_ref()),
                    job.outcome.unwrap_or("-").to_owned(),
                    job.next_run.clone(),
                    job.words.clone(),
                ]
            },
        )
    })
}

fn line(row: JobRow) -> Line {
    Line {
        outcome: row.ended.map(|_| if row.failures == 0 { "ok" } else { "failed" }),
        name: row.name,
        schedule: row.schedule,
        last_run: row.began.map(Micros::rfc3339),
        ended: row.ended.map(Micros::rfc3339),
        words: row.words,
        failures: row.failures,
        next_run: row.next.rfc3339(),
    }
}
