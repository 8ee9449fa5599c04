//! `maildesk bounce …`

use super::output::{CliError, Output};
use super::table::{Table, id, maybe_id};
use super::{Context, Page};
use crate::store::listing::BounceLine;
use crate::ticket::{BounceId, TicketId};

#[derive(Debug, clap::Subcommand)]
pub enum Verb {
    /// Those that nobody has resolved yet
    List {
        /// With those that are resolved
        #[arg(long)]
        all: bool,
        #[arg(long, value_name = "ID")]
        ticket: Option<TicketId>,
        #[command(flatten)]
        page: Page,
    },
    /// Mark as dealt with
    Resolve {
        #[arg(required = true)]
        ids: Vec<BounceId>,
    },
}

pub async fn run(verb: Verb, context: &Context) -> Result<Output, CliError> {
    let (all, ticket, page) = match verb {
        Verb::List { all, ticket, page } => (all, ticket, page),
        // SEAM: desk resolves each, with its event.
        Verb::Resolve { .. } => return Err(CliError::not_built_yet("bounce resolve")),
    };
    let ticket = ticket.map_or(0, |t| t.0);
    let lines = context.store.read().await?.list_bounces(all, ticket, page.limit(context)).await?;
    Output::list(&lines, context.wants_json, |lines| {
        let heads =
            ["ID", "RECIPIENT", "STATUS", "CLASS", "HARD", "ACTION", "TICKET", "CREATED", "DIAGNOSTIC"];
        Table::of(heads, "no bounce", lines, |b: &BounceLine| {
            [
                id(b.id),
                b.recipient.clone(),
                b.status.clone(),
                b.class.clone(),
                (if b.hard { "hard" } else { "soft" }).to_owned(),
                b.action.clone(),
                maybe_id(b.ticket),
                b.created.clone(),
                b.diagnostic.clone(),
            ]
        })
    })
}
