//! `maildesk invalid …`

use super::output::{CliError, Output, json};
use super::table::{Table, id, maybe, maybe_id};
use super::{Context, Page};
use crate::store::listing::{ALL, InvalidLine};
use crate::ticket::InvalidId;

#[derive(Debug, clap::Subcommand)]
pub enum Verb {
    /// Those that are open
    List {
        /// With those that are settled
        #[arg(long)]
        all: bool,
        /// open, accepted, reassigned, rejected, deleted or superseded
        #[arg(long, conflicts_with = "all")]
        state: Option<String>,
        #[command(flatten)]
        page: Page,
    },
    /// One, with its code and evidence
    Show { id: InvalidId },
    /// Put it onto the ticket that it named
    #[command(after_help = "Example:\n  maildesk invalid accept 3 --remember")]
    Accept {
        #[arg(required = true)]
        ids: Vec<InvalidId>,
        /// The sender's address is the contact's from now on
        #[arg(long)]
        remember: bool,
    },
    /// Make it a ticket of a type; only then its mails go out
    #[command(after_help = "Example:\n  maildesk invalid reassign 3 4 --type Support")]
    Reassign {
        #[arg(required = true)]
        ids: Vec<InvalidId>,
        #[arg(long = "type", value_name = "TYPE")]
        to_type: String,
    },
    /// Settle it as unwanted
    Reject {
        #[arg(required = true)]
        ids: Vec<InvalidId>,
    },
    /// Take it out of the list
    Delete {
        #[arg(required = true)]
        ids: Vec<InvalidId>,
    },
    /// Reject it, and all later mail of its sender
    Block {
        #[arg(required = true)]
        ids: Vec<InvalidId>,
        /// All senders of the domain
        #[arg(long)]
        domain: bool,
    },
    /// Take back a reject, delete or block
    Undo {
        #[arg(required = true)]
        ids: Vec<InvalidId>,
    },
}

pub async fn run(verb: Verb, context: &Context) -> Result<Output, CliError> {
    match verb {
        Verb::List { all, state, page } => {
            let state = state.unwrap_or_else(|| if all { String::new() } else { "open".to_owned() });
            let lines = context.store.read().await?.list_invalid(&state, 0, page.limit(context)).await?;
            Output::list(&lines, context.wants_json, table)
        }
        Verb::Show { id } => {
            let mut lines = context.store.read().await?.list_invalid("", id.0, ALL).await?;
            let line =
                lines.pop().ok_or_else(|| CliError::data(format!("there is no invalid ticket #{id}")))?;
            Ok(Output::thing(json(line)?))
        }
        // SEAM: the desk's commands of F1 and F2, each id in a transaction of its own.
        Verb::Accept { .. } => Err(CliError::not_built_yet("invalid accept")),
        Verb::Reassign { .. } => Err(CliError::not_built_yet("invalid reassign")),
        Verb::Reject { .. } => Err(CliError::not_built_yet("invalid reject")),
        Verb::Delete { .. } => Err(CliError::not_built_yet("invalid delete")),
        Verb::Block { .. } => Err(CliError::not_built_yet("invalid block")),
        Verb::Undo { .. } => Err(CliError::not_built_yet("invalid undo")),
    }
}

fn table(lines: &[InvalidLine]) -> Table {
    let heads = ["ID", "ARRIVAL", "CODE", "STATE", "NAMED", "FROM", "SUBJECT", "EVIDENCE", "CREATED"];
    Table::of(heads, "no invalid ticket", lines, |i| {
        [
            id(i.id),
            id(i.arrival),
            i.code.clone(),
            i.state.clone(),
            maybe_id(i.named_ticket),
            i.from.clone(),
            i.subject.clone(),
            maybe(i.evidence.as_ref()),
            i.created.clone(),
        ]
    })
}
