//! `maildesk loop …`

use serde::Serialize;
use serde_json::json;

use super::Context;
use super::each::each;
use super::output::{CliError, Output};
use super::table::Table;
use crate::clock::Micros;
use crate::store::loops::StormRow;

#[derive(Debug, clap::Subcommand)]
pub enum Verb {
    /// The keys that are over their limit
    List {
        /// With those that were, in the last days
        #[arg(long)]
        all: bool,
    },
    /// Let a key count from nothing again; what waits stays where it is
    #[command(after_help = "Example:\n  maildesk loop reset sender:shop@example.com")]
    Reset {
        /// As `list` has it: sender:ADDRESS, client:IP, address:ADDRESS, domain:DOMAIN, subject:WORDS, ticket:ID
        #[arg(required = true)]
        keys: Vec<String>,
    },
}

#[derive(Serialize)]
struct Line {
    key: String,
    /// stopping, over
    state: &'static str,
    cap: i64,
    window_minutes: i64,
    /// Messages that were suspended or journalled only, or whose mails wait in hold.
    stopped: i64,
    /// When the first and the last of them were received.
    first: String,
    last: String,
}

pub async fn run(verb: Verb, context: &Context) -> Result<Output, CliError> {
    match verb {
        Verb::List { all } => list(all, context).await,
        Verb::Reset { keys } => {
            let cause = context.cause("loop reset");
            let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
            let cause = &cause;
            each(&keys, context, |typed| async move {
                let key = context.works.desk.reset_loop(typed, cause).await?;
                Ok((format!("{key} counts from nothing again"), json!({ "key": key })))
            })
            .await
        }
    }
}

async fn list(all: bool, context: &Context) -> Result<Output, CliError> {
    let now = context.works.clock.now();
    let storms = context.store.read().await?.storms().await?;
    let shown = storms.iter().filter(|storm| all || !storm.is_over(now));
    let lines: Vec<Line> = shown.map(|storm| line(storm, now)).collect();
    Output::list(&lines, context.wants_json, |lines| {
        let heads = ["KEY", "STATE", "LIMIT", "MINUTES", "STOPPED", "FIRST", "LAST"];
        Table::of(heads, "no key is over its limit", lines, |l: &Line| {
            [
                l.key.clone(),
                l.state.to_owned(),
                l.cap.to_string(),
                l.window_minutes.to_string(),
                l.stopped.to_string(),
                l.first.clone(),
                l.last.clone(),
            ]
        })
    })
}

fn line(storm: &StormRow, now: Micros) -> Line {
    Line {
        key: format!("{}:{}", storm.kind, storm.name),
        state: if storm.is_over(now) { "over" } else { "stopping" },
        cap: storm.cap,
        window_minutes: storm.window_s / 60,
        stopped: storm.stopped,
        first: storm.first.rfc3339(),
        last: storm.last.rfc3339(),
    }
}
