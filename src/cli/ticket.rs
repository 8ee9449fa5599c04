//! `maildesk ticket …`

use std::path::PathBuf;

use super::output::{CliError, Output, json};
use super::table::{Table, id, maybe};
use super::{Context, Page};
use crate::mail::Address;
use crate::store::listing::{ALL, TicketFilter, TicketLine};
use crate::ticket::{Status, TicketId};

#[derive(Debug, clap::Subcommand)]
pub enum Verb {
    #[command(
        after_help = "Examples:\n  maildesk ticket list --status new --status open\n  maildesk ticket list --type Support --json"
    )]
    List(ListArgs),
    /// One, with its conversation
    Show {
        id: TicketId,
    },
    #[command(
        after_help = "Example:\n  echo 'It is on its way.' | maildesk ticket answer 12 --status pending"
    )]
    Answer(AnswerArgs),
    Note(NoteArgs),
    /// Close; a reply reopens it, or opens a follow-up, as its type says
    Close {
        #[arg(required = true)]
        ids: Vec<TicketId>,
    },
    /// Open again what is solved or closed
    Reopen {
        #[arg(required = true)]
        ids: Vec<TicketId>,
    },
    /// Give it to somebody
    Assign {
        id: TicketId,
        /// A login, or `nobody`
        login: String,
    },
    Edit(EditArgs),
    /// Make a ticket part of another: later replies follow
    Merge {
        id: TicketId,
        #[arg(long)]
        into: TicketId,
    },
    /// Take it out of sight; its mail stays, and what names it becomes invalid
    Delete {
        #[arg(required = true)]
        ids: Vec<TicketId>,
    },
    /// Make it a ticket of another type; its old tag lines still find it
    Type {
        id: TicketId,
        #[arg(value_name = "TYPE")]
        to_type: String,
    },
}

/// Those that are not deleted
#[derive(Debug, clap::Args)]
pub struct ListArgs {
    /// new, open, pending, on_hold, solved or closed; may be given several times
    #[arg(long, value_parser = status)]
    status: Vec<Status>,
    #[arg(long = "type", value_name = "TYPE", default_value = "")]
    of_type: String,
    /// A login
    #[arg(long, value_name = "LOGIN", default_value = "")]
    assignee: String,
    /// One of the contact's addresses
    #[arg(long, value_name = "ADDRESS")]
    contact: Option<Address>,
    #[command(flatten)]
    page: Page,
}

/// Answer the contact; the text comes from standard input or a file
#[derive(Debug, clap::Args)]
pub struct AnswerArgs {
    pub id: TicketId,
    #[command(flatten)]
    pub text: TextArgs,
    /// What it becomes then
    #[arg(long, value_parser = status)]
    pub status: Option<Status>,
}

/// An internal note; the text comes from standard input or a file
#[derive(Debug, clap::Args)]
pub struct NoteArgs {
    pub id: TicketId,
    #[command(flatten)]
    pub text: TextArgs,
}

#[derive(Debug, clap::Args)]
pub struct TextArgs {
    /// Read the text from here, not from standard input
    #[arg(long, value_name = "FILE")]
    pub text: Option<PathBuf>,
}

/// Change what is given; the rest stays
#[derive(Debug, clap::Args)]
pub struct EditArgs {
    pub id: TicketId,
    #[arg(long)]
    pub subject: Option<String>,
    #[arg(long, value_parser = status)]
    pub status: Option<Status>,
    #[arg(long, value_parser = ["low", "normal", "high", "urgent"])]
    pub priority: Option<String>,
    #[arg(long, value_parser = ["question", "incident", "problem", "task"])]
    pub kind: Option<String>,
    /// RFC 3339, or `none`
    #[arg(long, value_name = "TIME")]
    pub due: Option<String>,
    /// Only if it is still at this version, as `show` told it
    #[arg(long = "at-version", value_name = "VERSION")]
    pub version: Option<i64>,
}

fn status(word: &str) -> Result<Status, String> {
    Status::parse(word).ok_or_else(|| {
        let all: Vec<&str> = Status::all().map(Status::as_str).collect();
        format!("must be one of {}", all.join(", "))
    })
}

pub async fn run(verb: Verb, context: &Context) -> Result<Output, CliError> {
    match verb {
        Verb::List(args) => list(args, context).await,
        Verb::Show { id } => {
            let filter = TicketFilter { id: id.0, limit: ALL, ..TicketFilter::default() };
            let mut lines = context.store.read().await?.list_tickets(&filter).await?;
            let line = lines.pop().ok_or_else(|| CliError::data(format!("there is no ticket #{id}")))?;
            // SEAM: with its entries, participants and events.
            Ok(Output::thing(json(line)?))
        }
        // SEAM: the desk's commands. The text of answer and note is `context.stdin`.
        Verb::Answer(_) => Err(CliError::not_built_yet("ticket answer")),
        Verb::Note(_) => Err(CliError::not_built_yet("ticket note")),
        Verb::Close { .. } => Err(CliError::not_built_yet("ticket close")),
        Verb::Reopen { .. } => Err(CliError::not_built_yet("ticket reopen")),
        Verb::Assign { .. } => Err(CliError::not_built_yet("ticket assign")),
        Verb::Edit(_) => Err(CliError::not_built_yet("ticket edit")),
        Verb::Merge { .. } => Err(CliError::not_built_yet("ticket merge")),
        Verb::Delete { .. } => Err(CliError::not_built_yet("ticket delete")),
        Verb::Type { .. } => Err(CliError::not_built_yet("ticket type")),
    }
}

async fn list(args: ListArgs, context: &Context) -> Result<Output, CliError> {
    let filter = TicketFilter {
        statuses: args.status.iter().map(|s| s.as_str().to_owned()).collect(),
        of_type: args.of_type,
        assignee: args.assignee,
        contact: args.contact.map_or(String::new(), |c| c.to_string()),
        id: 0,
        limit: args.page.limit(context),
    };
    let lines = context.store.read().await?.list_tickets(&filter).await?;
    Output::list(&lines, context.wants_json, |lines| {
        let heads = ["ID", "TYPE", "STATUS", "CONTACT", "ENTRIES", "UPDATED", "ASSIGNEE", "SUBJECT"];
        Table::of(heads, "no ticket", lines, |t: &TicketLine| {
            [
                id(t.id),
                t.of_type.clone(),
                t.status.clone(),
                maybe(t.contact.as_ref()),
                t.entries.to_string(),
                t.updated.clone(),
                maybe(t.assignee.as_ref()),
                t.subject.clone(),
            ]
        })
    })
}
