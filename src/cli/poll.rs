//! `maildesk poll`

use serde::Serialize;

use super::Context;
use super::output::{CliError, Output};
use super::table::{Table, clean};
use crate::failure::{Failure, Kind};
use crate::intake::RoundReport;
use crate::store::MailboxRow;

/// One round over the mailboxes now; says what became of each message
#[derive(Debug, clap::Args)]
#[command(after_help = "Beside a running daemon it asks the daemon for a round.\n\n\
    Example:\n  maildesk poll --mailbox support --json")]
pub struct Args {
    /// Of this one alone
    #[arg(long, value_name = "NAME")]
    pub mailbox: Option<String>,
}

pub async fn run(args: Args, context: &Context) -> Result<Output, CliError> {
    let works = &context.works;
    let mut mailboxes = works.mailboxes_to_read().await?;
    if let Some(named) = &args.mailbox {
        let wanted = context.store.read().await?.find_mailbox(named).await?;
        mailboxes.retain(|m| m.id == wanted.id);
        if mailboxes.is_empty() {
            let words = "is not read: it is switched off, held, or no active type answers to it";
            return Err(CliError::unavailable(format!("mailbox {:?} {words}", wanted.spec.name)));
        }
    }
    if !context.is_daemon {
        works.take_free(&mailboxes).await?;
    }
    let (mut lines, mut code) = (vec![], super::code::OK);
    for (at, mailbox) in mailboxes.iter().enumerate() {
        context.tell(at as u64, mailboxes.len() as u64, format!("mailbox {}", mailbox.spec.name));
        let polled = works.poll(mailbox).await;
        works.wake.notify_one();
        if polled.as_ref().map_or(true, |report| report.is_cut_short) {
            code = super::code::TRY_AGAIN;
        }
        lines.push(Line::of(mailbox, polled));
    }
    context.tell(mailboxes.len() as u64, mailboxes.len() as u64, "done");
    let mut output = Output::list(&lines, context.wants_json, table)?;
    if !context.wants_json {
        output.human.extend(lines.iter().filter_map(Line::failure));
    }
    Ok(Output { code, ..output })
}

/// What a round over a mailbox did.
#[derive(Serialize)]
struct Line {
    mailbox: String,
    listed: u64,
    fetched: u64,
    acknowledged: u64,
    left: u64,
    vanished: u64,
    /// Lay there before the start, and stays there.
    before_start: u64,
    /// Most of its mail is suddenly unknown: it waits for `maildesk mailbox resume`.
    held: bool,
    became: Vec<Became>,
    /// What the server showed less what is accounted for (M2).
    difference: i64,
    error: Option<String>,
    /// Its kind and what to do, as `mailbox show` has them.
    failure: Option<&'static str>,
    advice: Option<&'static str>,
}

#[derive(Serialize)]
struct Became {
    act: &'static str,
    code: &'static str,
    count: u64,
}

impl Line {
    fn of(mailbox: &MailboxRow, polled: Result<RoundReport, Failure>) -> Line {
        let error = polled.as_ref().err().map(Failure::to_string);
        let kind = polled.as_ref().err().map(|failure| failure.kind);
        let report = polled.unwrap_or_default();
        let cut_short = || "cut short: the disk is nearly full".to_owned();
        let error = error.or_else(|| report.is_cut_short.then(cut_short));
        let became = report.fates.0.iter().map(|((act, code), count)| Became { act, code, count: *count });
        Line {
            mailbox: mailbox.spec.name.clone(),
            listed: report.listed,
            fetched: report.fetched,
            acknowledged: report.acknowledged,
            left: report.left,
            vanished: report.vanished,
            before_start: report.before_start,
            held: report.is_held,
            became: became.collect(),
            difference: report.balance.difference(),
            error,
            failure: kind.map(Kind::word),
            advice: kind.filter(|kind| *kind != Kind::Other).map(Kind::advice),
        }
    }

    /// The whole of it, which is too long for a cell, and what to do.
    fn failure(&self) -> Option<String> {
        let advice = self.advice.map_or(String::new(), |advice| format!("  {advice}\n"));
        self.error.as_ref().map(|error| format!("\n{}\n{advice}", clean(error)))
    }
}

fn table(lines: &[Line]) -> Table {
    let mut table = Table::new(["MAILBOX", "ACT", "CODE", "MESSAGES"], "no mailbox is read");
    for line in lines {
        match &line.error {
            Some(_) => {
                let kind = line.failure.unwrap_or_default().to_owned();
                table.row([line.mailbox.clone(), "failed".into(), kind, String::new()]);
            }
            None if line.held => {
                let words = "most of its mail is suddenly unknown: `maildesk alert list` says what to do";
                table.row([line.mailbox.clone(), "held".into(), words.into(), String::new()]);
            }
            None if line.became.is_empty() => {
                table.row([line.mailbox.clone(), "nothing new".into(), String::new(), "0".into()]);
            }
            None => {}
        }
        for Became { act, code, count } in &line.became {
            table.row([line.mailbox.clone(), (*act).into(), (*code).into(), count.to_string()]);
        }
    }
    table
}
