//! `maildesk queue …`

use serde_json::json;

use super::output::{CliError, Output, json as as_json};
use super::table::{Table, id, maybe_id};
use super::{Context, Page};
use crate::mail::Address;
use crate::store::listing::{ALL, QueueFilter, QueueLine};
use crate::ticket::{OutboxId, TicketId};

#[derive(Debug, clap::Subcommand)]
pub enum Verb {
    List(ListArgs),
    /// One, with its recipients and what the servers said
    Show {
        id: OutboxId,
    },
    /// Try again now what waits or has failed
    Retry {
        #[arg(required = true)]
        ids: Vec<OutboxId>,
    },
    /// Do not send what has not been sent
    Cancel {
        #[arg(required = true)]
        ids: Vec<OutboxId>,
    },
    /// Hold all mail back
    Pause(RelayArgs),
    /// Let mail go again
    Resume(RelayArgs),
}

/// What is on its way, and what has become of what was
#[derive(Debug, clap::Args)]
pub struct ListArgs {
    /// queued, held, done or cancelled
    #[arg(long, default_value = "")]
    state: String,
    /// notification, forward, auto_answer, answer, notice or alert
    #[arg(long, default_value = "")]
    purpose: String,
    /// One of its recipients
    #[arg(long, value_name = "ADDRESS")]
    to: Option<Address>,
    #[arg(long, value_name = "ID")]
    ticket: Option<TicketId>,
    #[command(flatten)]
    page: Page,
}

#[derive(Debug, clap::Args)]
pub struct RelayArgs {
    /// Of this relay alone
    #[arg(long, value_name = "NAME")]
    relay: Option<String>,
}

pub async fn run(verb: Verb, context: &Context) -> Result<Output, CliError> {
    match verb {
        Verb::List(args) => list(args, context).await,
        Verb::Show { id } => {
            let filter = QueueFilter { id: id.0, limit: ALL, ..QueueFilter::default() };
            let mut lines = context.store.read().await?.list_queue(&filter).await?;
            let line =
                lines.pop().ok_or_else(|| CliError::data(format!("there is no outbound mail #{id}")))?;
            Ok(Output::thing(as_json(line)?))
        }
        // SEAM: recipients due now.
        Verb::Retry { .. } => Err(CliError::not_built_yet("queue retry")),
        // SEAM: recipients cancelled that are not settled, with an event on the ticket.
        Verb::Cancel { .. } => Err(CliError::not_built_yet("queue cancel")),
        Verb::Pause(args) => pause(args, true, context).await,
        Verb::Resume(args) => pause(args, false, context).await,
    }
}

async fn list(args: ListArgs, context: &Context) -> Result<Output, CliError> {
    let filter = QueueFilter {
        state: args.state,
        purpose: args.purpose,
        to: args.to.map_or(String::new(), |to| to.to_string()),
        ticket: args.ticket.map_or(0, |t| t.0),
        id: 0,
        limit: args.page.limit(context),
    };
    let lines = context.store.read().await?.list_queue(&filter).await?;
    Output::list(&lines, context.wants_json, |lines| {
        let heads = ["ID", "PURPOSE", "TICKET", "STATE", "ATTEMPTS", "CREATED", "RECIPIENTS", "SUBJECT"];
        Table::of(heads, "no mail", lines, |q: &QueueLine| {
            let recipients: Vec<String> =
                q.recipients.iter().map(|r| format!("{} {}", r.address, r.state)).collect();
            [
                id(q.id),
                q.purpose.clone(),
                maybe_id(q.ticket),
                q.state.clone(),
                q.attempts.to_string(),
                q.created.clone(),
                recipients.join(", "),
                q.subject.clone(),
            ]
        })
    })
}

async fn pause(args: RelayArgs, paused: bool, context: &Context) -> Result<Output, CliError> {
    let mut tx = context.store.write().await?;
    let rows = match &args.relay {
        Some(named) => vec![tx.find_relay(named).await?],
        None => tx.relays().await?,
    };
    let mut names = vec![];
    for row in rows {
        if tx.pause_relay(row.id, paused).await? {
            names.push(row.spec.name);
        }
    }
    tx.commit().await?;
    let word = if paused { "paused" } else { "resumed" };
    let human = match names.as_slice() {
        [] => format!("nothing to do: no relay is {}", if paused { "sending" } else { "paused" }),
        names => format!("{word}: {}", names.join(", ")),
    };
    Ok(Output::said(human, json!({ "relays": names, "paused": paused })))
}
