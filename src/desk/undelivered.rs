//! Mail that was given up is told to the team, once a mail: read from the events behind a cursor, so that none is missed
//! whatever dies in between.

use super::Desk;
use super::mails::About;
use crate::letters::{BounceOfAnswer, Letter};
use crate::mail::Address;
use crate::store::outbox::{OutboxRow, Purpose};
use crate::store::ticket::TicketRow;
use crate::store::{Counter, Error, Tx};
use crate::ticket::{EventNumber, OutboxId};
use crate::triage::{Rules, TypeRule};

/// Where the reading stands.
const CURSOR: &str = "undelivered";
/// Events in one transaction: it is short.
const BATCH: i64 = 100;

impl Desk {
    /// Queues a notice for each mail of a ticket that was given up since the last look: to the assignee, else to the
    /// type's admin. Nothing for automatic answers, which are owed to nobody, nor for notices and alerts themselves.
    /// Gives the number of notices.
    pub async fn tell_undelivered(&self) -> Result<usize, Error> {
        let (from, upto) = self.store.read().await?.events_behind(CURSOR).await?;
        if from >= upto {
            return Ok(0);
        }
        let mut tx = self.store.desk().await?;
        let (failed, upto) = tx.failed_deliveries((from, upto), BATCH).await?;
        let mut told = 0;
        if !failed.is_empty() {
            let rules = tx.load_rules().await?;
            for outbox in failed {
                told += usize::from(self.tell_of(&mut tx, &rules, outbox).await?);
            }
        }
        tx.set_cursor(CURSOR, upto).await?;
        tx.commit().await?;
        Ok(told)
    }

    async fn tell_of(&self, tx: &mut Tx, rules: &Rules, outbox: OutboxId) -> Result<bool, Error> {
        let operation = format!("outbox:{outbox}:undelivered");
        let mail = tx.outbox_show(outbox).await?;
        let (Some(ticket), Some(entry), Some(what)) = (mail.ticket, mail.log_entry, what(&mail.purpose))
        else {
            return Ok(false);
        };
        if tx.is_queued(&operation).await? {
            return Ok(false);
        }
        let ticket = tx.resolved_ticket(ticket).await?;
        let Some(rule) = rules.of_type(ticket.type_id) else { return Ok(false) };
        let Some(to) = whom(&ticket, rule, rules, &mail) else {
            tracing::warn!(
                outbox.id = outbox.0,
                ticket.id = ticket.id.0,
                "desk.undelivered_untold nobody else is there"
            );
            return Ok(false);
        };
        let about = About { rules, rule, ticket: ticket.id, entry };
        let letter = letter(&ticket, &about, &mail, what);
        let number = EventNumber(tx.last_drawn(Counter::Event));
        let notice = about.mail(Purpose::Notice, letter, vec![to.into()], (operation, number));
        self.enqueue(tx, notice).await?;
        Ok(true)
    }
}

fn what(purpose: &str) -> Option<&'static str> {
    let told = [
        (Purpose::Answer, "an answer on this ticket"),
        (Purpose::Forward, "the copy for a forward address"),
        (Purpose::Notification, "a notification about this ticket"),
    ];
    told.iter().find(|(told, _)| told.as_str() == purpose).map(|(_, what)| *what)
}

/// The assignee, else the type's admin; not the one whom the mail did not reach.
fn whom(ticket: &TicketRow, rule: &TypeRule, rules: &Rules, mail: &OutboxRow) -> Option<Address> {
    let assignee = ticket.assignee.and_then(|a| rules.accounts.iter().find(|(_, id)| *id == a));
    let is_reached = |address: &&Address| mail.recipients.iter().all(|r| r.address != address.as_str());
    assignee.map(|(address, _)| address).into_iter().chain(rule.admin.as_ref()).find(is_reached).cloned()
}

fn letter(ticket: &TicketRow, about: &About<'_>, mail: &OutboxRow, what: &str) -> Letter {
    let failed = mail.recipients.iter().find(|r| r.state == "failed");
    let status = failed.map(|r| match (r.enhanced.as_str(), r.code) {
        ("", 0) => String::new(),
        ("", code) => code.to_string(),
        (enhanced, _) => enhanced.to_owned(),
    });
    Letter::BounceOfAnswer(BounceOfAnswer {
        subject: about.subject(&ticket.subject),
        ticket: ticket.id.0,
        tag_line: about.tag_line().to_string(),
        recipient: failed.map(|r| r.address.clone()).unwrap_or_default(),
        what: what.to_owned(),
        status: status.unwrap_or_default(),
        class: String::new(),
        diagnostic: failed.map(|r| r.words.clone()).unwrap_or_default(),
        at: failed.and_then(|r| r.settled).map(|at| at.rfc3339()).unwrap_or_default(),
        is_hard: true,
        show_command: format!("maildesk queue show {}", mail.id),
    })
}
