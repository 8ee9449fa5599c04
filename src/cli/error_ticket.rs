//! `maildesk error …`

use std::path::PathBuf;

use serde_json::json;

use super::each::{Done, Results, each};
use super::output::{CliError, Output, json, only};
use super::table::{Table, id};
use super::{Context, Page};
use crate::store::arrival::Of;
use crate::store::listing::{ALL, ErrorLine};
use crate::ticket::{ArrivalId, ErrorId};

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
    /// Take one in that was too big, with the next round of its mailbox, whatever it weighs
    Fetch {
        #[arg(required = true)]
        ids: Vec<ErrorId>,
    },
    /// Put it back into the mailbox that it came from, where it is not taken in again
    #[command(
        after_help = "What was deleted there is written there anew, unseen. What is only marked as seen, was moved, or is too big\n\
        and still there, stays as it is. A file that was imported, and POP3, take nothing back: see `export`."
    )]
    Return {
        #[arg(required = true)]
        ids: Vec<ErrorId>,
    },
    /// Let it go; the journal keeps that it was there
    Discard {
        #[arg(required = true)]
        ids: Vec<ErrorId>,
    },
    /// Its raw bytes, as .eml, on standard output or into a file; its headers alone while it is at its source
    #[command(after_help = "Example:\n  maildesk error export 3 > broken.eml")]
    Export {
        id: ErrorId,
        /// A new file; one that is there is not written over
        #[arg(long, value_name = "FILE")]
        to: Option<PathBuf>,
    },
}

pub async fn run(verb: Verb, context: &Context) -> Result<Output, CliError> {
    let desk = &context.works.desk;
    match verb {
        Verb::List { all, state, page } => {
            let state = Page::state(all, state);
            let lines = context.store.read().await?.list_errors(&state, 0, page.limit(context)).await?;
            Output::list(&lines, context.wants_json, table)
        }
        Verb::Show { id } => {
            let lines = context.store.read().await?.list_errors("", id.0, ALL).await?;
            let mut shown = json(only(lines, format_args!("error ticket #{id}"))?)?;
            let headers = context.store.read().await?.error_headers(id).await?;
            shown["headers"] = String::from_utf8_lossy(&headers).into();
            Ok(Output::thing(shown))
        }
        Verb::Retry { ids } => retry(&ids, context).await,
        Verb::Fetch { ids } => {
            let cause = &context.cause("error fetch");
            each(&ids, context, |id| async move {
                desk.fetch_error(id, cause).await?;
                let words = format!("error #{id} is fetched with the next round of its mailbox");
                Ok((words, json!({ "state": "fetch" })))
            })
            .await
        }
        Verb::Discard { ids } => {
            let cause = &context.cause("error discard");
            each(&ids, context, |id| async move {
                desk.discard_error(id, cause).await?;
                Ok((format!("error #{id} discarded"), json!({ "state": "discarded" })))
            })
            .await
        }
        Verb::Return { ids } => {
            let cause = &context.cause("error return");
            each(&ids, context, |id| async move {
                let words = context.works.put_back(id, cause).await?;
                Ok((format!("error #{id}: {words}"), json!({ "state": "returned" })))
            })
            .await
        }
        Verb::Export { id, .. } => export(id, context).await,
    }
}

/// Each is pending again with a transaction of its own; then all are decided.
async fn retry(ids: &[ErrorId], context: &Context) -> Result<Output, CliError> {
    let cause = context.cause("error retry");
    let mut pending = vec![];
    for id in ids {
        pending.push((*id, context.works.desk.retry_error(*id, &cause).await));
    }
    context.works.intake.decide_pending(Of::All, false).await?;
    context.works.wake.notify_one();
    let mut results = Results::default();
    for (id, arrival) in pending {
        let done = match arrival {
            Ok(arrival) => decided(id, arrival, context).await,
            Err(e) => Err(e.into()),
        };
        results.add(id, done);
    }
    results.output(context.wants_json)
}

/// What became of a message that was decided again.
async fn decided(id: ErrorId, arrival: ArrivalId, context: &Context) -> Result<Done, CliError> {
    let row = context.store.read().await?.journal_row(arrival).await?;
    let row = row.ok_or_else(|| CliError::unavailable(format!("error #{id} waits to be decided again")))?;
    let onto = row.ticket.map_or(String::new(), |ticket| format!(", ticket #{ticket}"));
    let words = format!("error #{id} decided again: {} {}{onto}", row.act, row.code);
    let keys = json!({ "arrival": arrival, "act": row.act, "code": row.code, "ticket": row.ticket });
    Ok((words, keys))
}

/// The message as it came; its header block where it is still at its source.
async fn export(id: ErrorId, context: &Context) -> Result<Output, CliError> {
    let (arrival, _) = context.store.read().await?.error_ticket(id).await?;
    let mut number = 0;
    // Each by itself: a snapshot would stand as long as the asker is slow.
    while let Some(chunk) = context.store.read().await?.raw_chunk(arrival, number).await? {
        context.hand_out(chunk).await?;
        number += 1;
    }
    if number == 0 {
        let headers = context.store.read().await?.error_headers(id).await?;
        if headers.is_empty() {
            return Err(CliError::data(format!("nothing of the message of error #{id} is here")));
        }
        context.hand_out(headers).await?;
    }
    Ok(Output::default())
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
