//! `maildesk error …`

use std::path::PathBuf;

use super::output::{CliError, Output, json};
use super::table::{Table, id};
use super::{Context, Page};
use crate::store::listing::{ALL, ErrorLine};
use crate::ticket::ErrorId;

#[derive(Debug, clap::Subcommand)]
pub enum Verb {
    /// Those that are open
    List {
        /// With those that are settled
        #[arg(long)]
        all: bool,
        /// open, fetch, retried, returned, discarded or superseded
        #[arg(long, conflicts_with = "all")]
        state: Option<String>,
        #[command(flatten)]
        page: Page,
    },
    /// One, with what is known of it
    Show { id: ErrorId },
    /// Decide again, after a fix
    Retry {
        #[arg(required = true)]
        ids: Vec<ErrorId>,
    },
    /// Let it go; the journal keeps that it was there
    Discard {
        #[arg(required = true)]
        ids: Vec<ErrorId>,
    },
    /// Its raw bytes, as .eml, on standard output or into a file
    #[command(after_help = "Example:\n  maildesk error export 3 > broken.eml")]
    Export {
        id: ErrorId,
        #[arg(long, value_name = "FILE")]
        to: Option<PathBuf>,
    },
}

pub async fn run(verb: Verb, context: &Context) -> Result<Output, CliError> {
    match verb {
        Verb::List { all, state, page } => {
            let state = state.unwrap_or_else(|| if all { String::new() } else { "open".to_owned() });
            let lines = context.store.read().await?.list_errors(&state, 0, page.limit(context)).await?;
            Output::list(&lines, context.wants_json, table)
        }
        Verb::Show { id } => {
            let mut lines = context.store.read().await?.list_errors("", id.0, ALL).await?;
            let line =
                lines.pop().ok_or_else(|| CliError::data(format!("there is no error ticket #{id}")))?;
            Ok(Output::thing(json(line)?))
        }
        // SEAM: the arrival is kept again and decided anew.
        Verb::Retry { .. } => Err(CliError::not_built_yet("error retry")),
        // SEAM: settled, with its event; at the source it is acknowledged.
        Verb::Discard { .. } => Err(CliError::not_built_yet("error discard")),
        // SEAM: the raw bytes as `Output::raw`; --to is written by the client (`input`) or refused beside a daemon.
        Verb::Export { .. } => Err(CliError::not_built_yet("error export")),
    }
}

fn table(lines: &[ErrorLine]) -> Table {
    let heads = ["ID", "ARRIVAL", "MAILBOX", "CODE", "STATE", "SIZE", "FROM", "SUBJECT", "WORDS"];
    Table::of(heads, "no error ticket", lines, |e| {
        [
            id(e.id),
            id(e.arrival),
            e.mailbox.clone(),
            e.code.clone(),
            e.state.clone(),
            e.size.to_string(),
            e.from.clone(),
            e.subject.clone(),
            e.words.clone(),
        ]
    })
}
