//! `maildesk journal …`

use super::output::{CliError, Output};
use super::table::{Table, id, maybe, maybe_id};
use super::{Context, Page};
use crate::store::listing::{JournalFilter, JournalLine};
use crate::ticket::TicketId;

#[derive(Debug, clap::Subcommand)]
pub enum Verb {
    #[command(after_help = "`maildesk explain --arrival ID` tells why.\n\n\
        Examples:\n  maildesk journal list --act discard\n  maildesk journal list --ticket 12 --json")]
    List(ListArgs),
}

/// A row for each message ever seen
#[derive(Debug, clap::Args)]
pub struct ListArgs {
    #[arg(long, value_name = "NAME", default_value = "")]
    mailbox: String,
    /// open, append, bounce, invalid, error or discard
    #[arg(long, default_value = "")]
    act: String,
    /// A reason code, such as reply_by_tag
    #[arg(long, default_value = "")]
    code: String,
    /// before_start, kept, decided, ack_pending, acked, left, refused, vanished, shadow_kept or shadow
    #[arg(long, default_value = "")]
    state: String,
    #[arg(long, value_name = "ID", default_value = "")]
    message_id: String,
    #[arg(long, value_name = "ID")]
    ticket: Option<TicketId>,
    #[command(flatten)]
    page: Page,
}

pub async fn run(verb: Verb, context: &Context) -> Result<Output, CliError> {
    let Verb::List(args) = verb;
    let filter = JournalFilter {
        mailbox: args.mailbox,
        act: args.act,
        code: args.code,
        state: args.state,
        message_id: args.message_id.trim_matches(['<', '>']).to_owned(),
        ticket: args.ticket.map_or(0, |t| t.0),
        limit: args.page.limit(context),
    };
    let lines = context.store.read().await?.list_journal(&filter).await?;
    Output::list(&lines, context.wants_json, |lines| {
        let heads =
            ["ARRIVAL", "MAILBOX", "STATE", "ACT", "CODE", "TICKET", "ENTRY", "RECEIVED", "MESSAGE-ID"];
        Table::of(heads, "no message", lines, |j: &JournalLine| {
            [
                id(j.arrival),
                j.mailbox.clone(),
                j.state.clone(),
                maybe(j.act.as_ref()),
                maybe(j.code.as_ref()),
                match j.shadow_of {
                    Some(root) => format!("of arrival {root}"),
                    None => maybe_id(j.ticket),
                },
                maybe_id(j.log_entry),
                j.received.clone(),
                maybe(j.message_id.as_ref()),
            ]
        })
    })
}
