//! `maildesk daemon …`

use super::Context;
use super::output::{CliError, Output};
use super::table::Table;
use crate::daemon::daemons;
use crate::telemetry::health::DaemonHealth;

#[derive(Debug, clap::Subcommand)]
pub enum Verb {
    /// Those at work on this desk, and the mailboxes and jobs that each has
    List,
}

pub async fn run(verb: Verb, context: &Context) -> Result<Output, CliError> {
    let Verb::List = verb;
    let daemons = daemons(&context.works).await?;
    Output::list(&daemons, context.wants_json, |daemons| {
        let heads = ["COMMAND", "HOST", "PID", "SINCE", "MAILBOXES", "JOBS"];
        Table::of(heads, "no daemon is at work", daemons, |d: &DaemonHealth| {
            [
                d.command.clone(),
                d.host.clone(),
                d.pid.to_string(),
                d.since.clone(),
                d.mailboxes.join(", "),
                d.jobs.join(", "),
            ]
        })
    })
}
