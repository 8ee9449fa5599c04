//! `maildesk bounce …`

use serde_json::json;

use super::each::each;
use super::output::{CliError, Output, json, only};
use super::table::{Table, id, maybe_id};
use super::{Context, Page};
use crate::store::listing::{ALL, BounceFilter, BounceLine};
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
    /// One, with what the other server said
    Show { id: BounceId },
    /// Mark as dealt with
    Resolve {
        #[arg(required = true)]
        ids: Vec<BounceId>,
    },
}

pub async fn run(verb: Verb, context: &Context) -> Result<Output, CliError> {
    match verb {
        Verb::List { all, ticket, page } => {
            let filter = BounceFilter {
                with_resolved: all,
                ticket: ticket.map_or(0, |t| t.0),
                id: 0,
                limit: page.limit(context),
            };
            let lines = context.store.read().await?.list_bounces(&filter).await?;
            Output::list(&lines, context.wants_json, table)
        }
        Verb::Show { id } => {
            let filter = BounceFilter { with_resolved: true, ticket: 0, id: id.0, limit: ALL };
            let lines = context.store.read().await?.list_bounces(&filter).await?;
            Ok(Output::thing(json(only(lines, format_args!("bounce #{id}"))?)?))
        }
        Verb::Resolve { ids } => {
            let cause = &context.cause("bounce resolve");
            each(&ids, context, |id| async move {
                context.works.desk.resolve_bounce(id, cause).await?;
                Ok((format!("bounce #{id} resolved"), json!({})))
            })
            .await
        }
    }
}

fn table(lines: &[BounceLine]) -> Table {
    let heads = ["ID", "RECIPIENT", "STATUS", "CLASS", "HARD", "ACTION", "TICKET", "CREATED", "DIAGNOSTIC"];
    Table::of(heads, "no bounce", lines, |b| {
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
}
