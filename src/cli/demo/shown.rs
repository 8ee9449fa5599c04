//! What the demo says at its end: the table, where the mail lies, and how to look around.

use super::super::output::CliError;
use super::super::table::{Table, maybe_id};
use super::{Demo, Line};
use crate::store::listing::{ALL, QueueFilter};
use crate::triage::Code;

impl Demo {
    pub(super) async fn shown(&self, lines: &[Line]) -> Result<String, CliError> {
        let config = self.folder.config();
        let path = self.folder.path.display();
        Ok(format!(
            "{} messages lay in the Maildir of {path}. What became of each, and why:\n\n{}\n{}\n{}",
            lines.len(),
            table(lines),
            self.places().await?,
            commands(&format!("{} --config {}", program(), config.display()), lines),
        ))
    }

    async fn places(&self) -> Result<String, CliError> {
        let mut tx = self.context.store.read().await?;
        let queued = tx.list_queue(&QueueFilter { limit: ALL, ..QueueFilter::default() }).await?;
        let count = |purpose: &str| queued.iter().filter(|mail| mail.purpose == purpose).count();
        let files = |folder: &str| self.folder.files(folder).len();
        let path = self.folder.path.display();
        Ok(format!(
            "Where the mail is:\n  \
             {:>3}  in {path}/Maildir/.Done, taken in and moved away\n  \
             {:>3}  in {path}/Maildir/new, over the size limit: it stays there, and an error ticket tells of it\n  \
             {:>3}  in {path}/outgoing, sent: {} tell the team of an entry, {} answer a new ticket by themselves,\n       \
             {} are an agent's answers, {} tell of what a person has to know\n",
            files("Maildir/.Done/cur"),
            files("Maildir/new"),
            files("outgoing"),
            count("notification"),
            count("auto_answer"),
            count("answer"),
            count("alert") + count("notice"),
        ))
    }
}

fn table(lines: &[Line]) -> Table {
    let heads = ["ARRIVAL", "MESSAGE", "IT IS", "BECAME", "CODE", "TICKET", "WHY"];
    Table::of(heads, "nothing", lines, |line| {
        [
            line.arrival.to_string(),
            line.message.into(),
            line.kind.clone(),
            line.act.clone(),
            line.code.clone(),
            maybe_id(line.ticket),
            // The words of the code alone: what they say of this very message is `explain`'s to tell.
            Code::parse(&line.code).map_or(String::new(), |code| code.words().to_owned()),
        ]
    })
}

fn commands(program: &str, lines: &[Line]) -> String {
    let of = |sample: &str| lines.iter().find(|line| line.message == sample);
    let ticket = of("new-enquiry").and_then(|line| line.ticket).map_or(1, |id| id.0);
    let arrival = of("reply-by-a-stranger").map_or(1, |line| line.arrival.0);
    let words = [
        "ticket list".to_owned(),
        format!("ticket show {ticket}"),
        format!("explain --arrival {arrival}"),
        "invalid list".into(),
        "error list".into(),
        "bounce list".into(),
        "queue list".into(),
        "journal list".into(),
        "mailbox balance".into(),
    ];
    let lines: Vec<String> = words.iter().map(|words| format!("  {program} {words}\n")).collect();
    format!("Look around (--json for programs):\n{}", lines.concat())
}

/// As it was called.
fn program() -> String {
    std::env::args().next().unwrap_or_else(|| "maildesk".into())
}
