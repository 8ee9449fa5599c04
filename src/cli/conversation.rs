//! `maildesk ticket show`: a ticket with all that was said on it, as a person reads it.

use std::fmt::Write as _;

use super::Context;
use super::output::{CliError, Output, json, only};
use super::table::{clean, maybe};
use crate::store::listing::{
    ALL, BounceFilter, BounceLine, EntryLine, EventLine, ParticipantLine, QueueFilter, QueueLine,
    TicketFilter, TicketLine,
};
use crate::ticket::TicketId;

struct Conversation {
    ticket: TicketLine,
    entries: Vec<EntryLine>,
    participants: Vec<ParticipantLine>,
    events: Vec<EventLine>,
    mails: Vec<QueueLine>,
    bounces: Vec<BounceLine>,
}

pub async fn show(id: TicketId, context: &Context) -> Result<Output, CliError> {
    let it = load(id, context).await?;
    if !context.wants_json {
        return Ok(Output { human: words(&it), ..Output::default() });
    }
    let mut shown = json(&it.ticket)?;
    // Not only how many.
    shown["entries"] = json(&it.entries)?;
    shown["participants"] = json(&it.participants)?;
    shown["events"] = json(&it.events)?;
    shown["mails"] = json(&it.mails)?;
    shown["bounces"] = json(&it.bounces)?;
    Ok(Output { json: shown, ..Output::default() })
}

async fn load(id: TicketId, context: &Context) -> Result<Conversation, CliError> {
    let mut tx = context.store.read().await?;
    let filter = TicketFilter { id: id.0, limit: ALL, ..TicketFilter::default() };
    let ticket = only(tx.list_tickets(&filter).await?, format_args!("ticket #{id}"))?;
    let bounces = BounceFilter { with_resolved: true, ticket: id.0, id: 0, limit: ALL };
    let mails = QueueFilter { ticket: id.0, limit: ALL, ..QueueFilter::default() };
    Ok(Conversation {
        ticket,
        entries: tx.list_entries(id).await?,
        participants: tx.list_participants(id).await?,
        events: tx.list_events(id).await?,
        mails: tx.list_queue(&mails).await?,
        bounces: tx.list_bounces(&bounces).await?,
    })
}

fn words(it: &Conversation) -> String {
    let mut out = head(&it.ticket);
    for participant in &it.participants {
        let ParticipantLine { how, name, address, .. } = participant;
        line(&mut out, &format!("{how:<9} {}", person(name, address)));
    }
    for entry in &it.entries {
        out.push_str(&said(entry, it.ticket.id));
    }
    if !it.mails.is_empty() {
        out.push_str("\nMails\n");
    }
    for mail in &it.mails {
        let to: Vec<String> = mail.recipients.iter().map(|r| format!("{} {}", r.address, r.state)).collect();
        line(&mut out, &format!("  #{} {} {}: {}", mail.id, mail.purpose, mail.state, to.join(", ")));
    }
    if !it.events.is_empty() {
        out.push_str("\nEvents\n");
    }
    for event in &it.events {
        let EventLine { at, kind, detail, actor, .. } = event;
        line(&mut out, &format!("  {at} {kind} {detail} ({actor})"));
    }
    out
}

fn head(ticket: &TicketLine) -> String {
    let mut out = String::new();
    let tag = maybe(ticket.tag_line.as_ref());
    line(&mut out, &format!("#{} {}  {}", ticket.id, ticket.subject, tag));
    let mut state =
        vec![ticket.of_type.clone(), ticket.status.clone(), format!("{} priority", ticket.priority)];
    state.push(ticket.kind.clone());
    state.extend(ticket.assignee.as_ref().map(|login| format!("{login}'s")));
    state.extend(ticket.due.as_ref().map(|due| format!("due {due}")));
    state.extend(ticket.merged_into.map(|target| format!("merged into #{target}")));
    state.extend(ticket.follows.map(|earlier| format!("follows #{earlier}")));
    state.extend(ticket.deleted.then(|| "deleted".to_owned()));
    line(&mut out, &format!("{} (version {})", state.join(", "), ticket.version));
    out
}

fn said(entry: &EntryLine, shown: TicketId) -> String {
    let mut out = String::from("\n");
    let of = if entry.ticket == shown { String::new() } else { format!(" of #{}", entry.ticket) };
    let author = person(&entry.author_name, &entry.author);
    line(
        &mut out,
        &format!("── #{}{of} {}  {author}  {}  {}", entry.id, entry.kind, entry.created, entry.code),
    );
    if !entry.receivers.is_empty() {
        let to: Vec<String> = entry.receivers.iter().map(|r| r.address.to_string()).collect();
        line(&mut out, &format!("   to {}", to.join(", ")));
    }
    if !entry.subject.is_empty() {
        line(&mut out, &format!("   {}", entry.subject));
    }
    out.push('\n');
    for text in entry.body.lines() {
        line(&mut out, &format!("   {text}"));
    }
    if entry.body_truncated {
        out.push_str("   (the text goes on; the whole mail is kept)\n");
    }
    for attachment in &entry.attachments {
        let name = if attachment.name.is_empty() { "(no name)" } else { &attachment.name };
        let words = format!(
            "   attachment {}: {name} ({}, {} bytes): maildesk ticket attachment {} {}",
            attachment.position, attachment.content_type, attachment.size, entry.id, attachment.position
        );
        line(&mut out, &words);
    }
    out
}

fn person(name: &str, address: &str) -> String {
    match (name, address) {
        ("", "") => "nobody by name".to_owned(),
        ("", address) => address.to_owned(),
        (name, address) => format!("{name} <{address}>"),
    }
}

/// A line that cannot steer the terminal.
fn line(out: &mut String, words: &str) {
    writeln!(out, "{}", clean(words).trim_end()).expect("writing to a String cannot fail");
}
