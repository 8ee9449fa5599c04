//! `maildesk ticket …`

use std::path::PathBuf;

use serde_json::json;

use super::each::{Done, each};
use super::output::{CliError, Output, json, only};
use super::row::Seen;
use super::table::{Table, id, maybe};
use super::{Context, Page, attachment, conversation};
use crate::desk::command::Words;
use crate::mail::Address;
use crate::store::listing::{ALL, QueueFilter, TicketFilter, TicketLine};
use crate::store::ticket::TicketEdit;
use crate::ticket::{LogEntryId, Status, TicketId};

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
    Attachment(attachment::Args),
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
    /// Bring back what was deleted
    Restore {
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

/// Answer the contact; the text comes from standard input, a file or the command line
#[derive(Debug, clap::Args)]
pub struct AnswerArgs {
    pub id: TicketId,
    #[command(flatten)]
    pub text: TextArgs,
    /// What it becomes then
    #[arg(long, value_parser = status)]
    pub status: Option<Status>,
}

/// An internal note; the text comes from standard input, a file or the command line
#[derive(Debug, clap::Args)]
pub struct NoteArgs {
    pub id: TicketId,
    #[command(flatten)]
    pub text: TextArgs,
}

#[derive(Debug, clap::Args)]
pub struct TextArgs {
    /// The text itself
    #[arg(long, value_name = "WORDS", conflicts_with = "file")]
    pub text: Option<String>,
    /// Read the text from here; without either it comes from standard input
    #[arg(long, value_name = "FILE")]
    pub file: Option<PathBuf>,
    /// Who says it; without it nobody is named
    #[arg(long, value_name = "LOGIN")]
    pub agent: Option<String>,
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
    #[command(flatten)]
    pub seen: Seen,
}

fn status(word: &str) -> Result<Status, String> {
    Status::parse(word).ok_or_else(|| {
        let all: Vec<&str> = Status::all().map(Status::as_str).collect();
        format!("must be one of {}", all.join(", "))
    })
}

pub async fn run(verb: Verb, context: &Context) -> Result<Output, CliError> {
    let desk = &context.works.desk;
    match verb {
        Verb::List(args) => list(args, context).await,
        Verb::Show { id } => conversation::show(id, context).await,
        Verb::Attachment(args) => attachment::run(&args, context).await,
        Verb::Answer(args) => answer(args, context).await,
        Verb::Note(args) => note(args, context).await,
        Verb::Close { ids } => become_(&ids, Status::Closed, context).await,
        Verb::Reopen { ids } => become_(&ids, Status::Open, context).await,
        Verb::Assign { id, login } => {
            let login = Some(login.as_str()).filter(|login| *login != "nobody");
            desk.assign(id, login, &context.cause("ticket assign")).await?;
            changed(id, "assigned", context).await
        }
        Verb::Edit(args) => edit(args, context).await,
        Verb::Merge { id, into } => {
            desk.merge(id, into, &context.cause("ticket merge")).await?;
            let target = context.store.read().await?.resolved_ticket(into).await?.id;
            let words = format!("ticket #{id} is part of #{target} now: what names it lands there");
            Ok(Output::said(words, json!({ "id": id, "merged_into": target })))
        }
        Verb::Delete { ids } => set_deleted(&ids, true, context).await,
        Verb::Restore { ids } => set_deleted(&ids, false, context).await,
        Verb::Type { id, to_type } => {
            let to = context.store.read().await?.find_type(&to_type).await?;
            desk.set_type(id, to.id, &context.cause("ticket type")).await?;
            changed(id, "changed", context).await
        }
    }
}

/// A ticket as it is after a change; a merged one is named by its target.
async fn changed(id: TicketId, what: &str, context: &Context) -> Result<Output, CliError> {
    let (words, json) = changed_line(id, what, context).await?;
    Ok(Output::said(words, json))
}

async fn changed_line(id: TicketId, what: &str, context: &Context) -> Result<Done, CliError> {
    let line = line_of(id, context).await?;
    let assignee = line.assignee.as_ref().map_or(String::new(), |login| format!(", {login}'s"));
    let words = format!("ticket #{} {what}: {}, {}{assignee}", line.id, line.status, line.of_type);
    Ok((words, json(line)?))
}

/// The ticket, or the one that it was merged into.
async fn line_of(id: TicketId, context: &Context) -> Result<TicketLine, CliError> {
    let mut tx = context.store.read().await?;
    let resolved = tx.resolved_ticket(id).await?.id;
    let filter = TicketFilter { id: resolved.0, limit: ALL, ..TicketFilter::default() };
    only(tx.list_tickets(&filter).await?, format_args!("ticket #{id}"))
}

/// Whose words they are, and the words: UTF-8, as they were gathered where the command was typed.
async fn said(agent: Option<&str>, context: &Context) -> Result<(String, String), CliError> {
    let agent = match agent {
        Some(login) => context.store.read().await?.find_account(login).await?.spec.name,
        None => String::new(),
    };
    let text = std::str::from_utf8(&context.stdin).map_err(|_| CliError::data("the text is not UTF-8"))?;
    Ok((agent, text.trim_end().to_owned()))
}

async fn answer(args: AnswerArgs, context: &Context) -> Result<Output, CliError> {
    let (agent, text) = said(args.text.agent.as_deref(), context).await?;
    let words = Words { text: &text, agent: &agent };
    let cause = context.cause("ticket answer");
    let entry = context.works.desk.answer(args.id, &words, args.status, &cause).await?;
    context.works.wake.notify_one();
    entered(args.id, entry, "answered", context).await
}

async fn note(args: NoteArgs, context: &Context) -> Result<Output, CliError> {
    let (agent, text) = said(args.text.agent.as_deref(), context).await?;
    let words = Words { text: &text, agent: &agent };
    let entry = context.works.desk.note(args.id, &words, &context.cause("ticket note")).await?;
    entered(args.id, entry, "noted", context).await
}

/// An entry was made: where it stands, and the mail that is owed for it.
async fn entered(id: TicketId, entry: LogEntryId, what: &str, context: &Context) -> Result<Output, CliError> {
    let line = line_of(id, context).await?;
    let filter = QueueFilter { ticket: line.id.0, limit: ALL, ..QueueFilter::default() };
    let mails = context.store.read().await?.list_queue(&filter).await?;
    let mail = mails.iter().find(|mail| mail.log_entry == Some(entry)).map(|mail| mail.id);
    let on_its_way = mail.map_or(String::new(), |mail| format!("; mail #{mail} is on its way"));
    let words = format!("ticket #{} {what} with entry #{entry}, now {}{on_its_way}", line.id, line.status);
    let json = json!({
        "ticket": line.id,
        "log_entry": entry,
        "mail": mail,
        "status": line.status,
        "tag_line": line.tag_line,
    });
    Ok(Output::said(words, json))
}

async fn become_(ids: &[TicketId], status: Status, context: &Context) -> Result<Output, CliError> {
    let (verb, what) = if status.is_ended() { ("close", "closed") } else { ("reopen", "reopened") };
    let cause = &context.cause(format!("ticket {verb}"));
    each(ids, context, |id| async move {
        context.works.desk.set_status(id, status, cause).await?;
        changed_line(id, what, context).await
    })
    .await
}

async fn edit(args: EditArgs, context: &Context) -> Result<Output, CliError> {
    let due = match args.due.as_deref() {
        None => None,
        Some("none") => Some(None),
        Some(time) => Some(Some(time.parse().map_err(CliError::usage)?)),
    };
    let edit = TicketEdit {
        subject: args.subject,
        status: args.status,
        priority: args.priority,
        kind: args.kind,
        due,
    };
    if edit.names().is_empty() && edit.status.is_none() {
        return Err(CliError::usage("nothing to change: `maildesk ticket edit --help` names what can be"));
    }
    context.works.desk.edit(args.id, &edit, args.seen.at_version, &context.cause("ticket edit")).await?;
    changed(args.id, "changed", context).await
}

async fn set_deleted(ids: &[TicketId], is_deleted: bool, context: &Context) -> Result<Output, CliError> {
    let (verb, what) = if is_deleted { ("delete", "deleted") } else { ("restore", "restored") };
    let cause = &context.cause(format!("ticket {verb}"));
    each(ids, context, |id| async move {
        context.works.desk.set_deleted(id, is_deleted, cause).await?;
        Ok((format!("ticket #{id} {what}"), json!({ "deleted": is_deleted })))
    })
    .await
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
