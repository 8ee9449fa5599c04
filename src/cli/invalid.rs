//! `maildesk invalid …`

use std::collections::BTreeMap;

use serde_json::json;

use super::each::each;
use super::output::{CliError, Output, json, only};
use super::table::{Table, id, maybe, maybe_id};
use super::{Context, Page};
use crate::mail::Address;
use crate::store::arrival::Of;
use crate::store::listing::{ALL, InvalidLine};
use crate::ticket::{InvalidId, TicketId};

const RECOVERED_A_COMMIT: usize = 200;

#[derive(Debug, clap::Subcommand)]
pub enum Verb {
    /// Those that are open
    List {
        /// With those that are settled
        #[arg(long)]
        all: bool,
        /// open, journalled, accepted, reassigned, recovered, rejected, deleted, blocked or superseded
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
        /// Onto this one, whatever it named
        #[arg(long, value_name = "ID")]
        ticket: Option<TicketId>,
        /// The sender's address is the contact's from now on, and belongs to the ticket
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
    /// Take in what a flood has suspended, as if it had come just so: decided anew, with its own time of receipt
    #[command(
        after_help = "Example:\n  maildesk invalid recover --code flood_sender --sender shop@example.com"
    )]
    Recover {
        #[arg(required_unless_present_any = ["code", "sender"])]
        ids: Vec<InvalidId>,
        /// All with this code: flood_sender, or flood_journalled, which no list shows
        #[arg(long, conflicts_with = "ids")]
        code: Option<String>,
        /// All from this address, of either code
        #[arg(long, value_name = "ADDRESS", conflicts_with = "ids")]
        sender: Option<Address>,
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
    let desk = &context.works.desk;
    match verb {
        Verb::List { all, state, page } => {
            let state = Page::state(all, state);
            let lines = context.store.read().await?.list_invalid(&state, 0, page.limit(context)).await?;
            Output::list(&lines, context.wants_json, table)
        }
        Verb::Show { id } => {
            let lines = context.store.read().await?.list_invalid("", id.0, ALL).await?;
            Ok(Output::thing(json(only(lines, format_args!("invalid ticket #{id}"))?)?))
        }
        Verb::Accept { ids, ticket, remember } => {
            let cause = &context.cause("invalid accept");
            let done = each(&ids, context, |id| async move {
                let ticket = desk.accept(id, ticket, remember, cause).await?;
                Ok((format!("invalid #{id} is on ticket #{ticket} now"), json!({ "ticket": ticket })))
            })
            .await;
            context.works.wake.notify_one();
            done
        }
        Verb::Reassign { ids, to_type } => {
            let to_type = context.store.read().await?.find_type(&to_type).await?;
            let cause = &context.cause("invalid reassign");
            let done = each(&ids, context, |id| async move {
                let ticket = desk.reassign(id, to_type.id, cause).await?;
                Ok((format!("invalid #{id} is ticket #{ticket} now"), json!({ "ticket": ticket })))
            })
            .await;
            context.works.wake.notify_one();
            done
        }
        Verb::Recover { ids, code, sender } => {
            let ids = match (code, sender) {
                (None, None) => ids,
                (code, sender) => {
                    let sender = sender.as_ref().map_or("", Address::as_str);
                    context.store.read().await?.suspended(&code.unwrap_or_default(), sender).await?
                }
            };
            recover(&ids, context).await
        }
        Verb::Reject { ids } => dismiss(&ids, "rejected", context).await,
        Verb::Delete { ids } => dismiss(&ids, "deleted", context).await,
        Verb::Block { ids, domain } => {
            let cause = &context.cause("invalid block");
            each(&ids, context, |id| async move {
                let pattern = desk.block(id, domain, cause).await?;
                let words = format!("invalid #{id} rejected; {pattern} is blocked from now on");
                Ok((words, json!({ "blocked": pattern })))
            })
            .await
        }
        Verb::Undo { ids } => {
            let cause = &context.cause("invalid undo");
            each(&ids, context, |id| async move {
                desk.undo(id, cause).await?;
                Ok((format!("invalid #{id} is open again"), json!({})))
            })
            .await
        }
    }
}

/// Some hundred with one commit; then all are decided, in the order in which they had come.
async fn recover(ids: &[InvalidId], context: &Context) -> Result<Output, CliError> {
    let cause = context.cause("invalid recover");
    let mut arrivals = vec![];
    for part in ids.chunks(RECOVERED_A_COMMIT) {
        arrivals.extend(context.works.desk.let_through(part, &cause).await?);
    }
    context.works.intake.decide_pending(Of::All, false).await?;
    context.works.wake.notify_one();
    let mut fates: BTreeMap<String, u64> = BTreeMap::new();
    let mut lines = vec![];
    for (id, arrival) in ids.iter().zip(&arrivals) {
        let row = context.store.read().await?.journal_row(*arrival).await?;
        let (act, code) = row.as_ref().map_or(("kept", ""), |row| (row.act.as_str(), row.code.as_str()));
        *fates.entry(format!("{act} {code}")).or_default() += 1;
        let ticket = row.as_ref().and_then(|row| row.ticket);
        lines.push(json!({ "id": id, "arrival": arrival, "act": act, "code": code, "ticket": ticket }));
    }
    let fates = fates.iter().map(|(fate, n)| format!("; {n} {}", fate.trim())).collect::<String>();
    Ok(Output::said(format!("{} recovered{fates}", arrivals.len()), lines.into()))
}

async fn dismiss(ids: &[InvalidId], state: &str, context: &Context) -> Result<Output, CliError> {
    let cause = &context.cause(format!("invalid {state}"));
    each(ids, context, |id| async move {
        context.works.desk.dismiss(id, state, cause).await?;
        Ok((format!("invalid #{id} {state}"), json!({ "state": state })))
    })
    .await
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
