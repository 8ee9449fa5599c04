//! The log line of each message and its count, once what became of it is durable.

use super::Intake;
use crate::desk::apply::Applied;
use crate::store::arrival::Pending;
use crate::store::journal::MailKey;
use crate::ticket::{ArrivalId, MailboxId};
use crate::triage::Decision;

/// What is told of one message. It waits for the commit: a batch that is taken back is decided, and told, again.
pub(super) struct Told {
    arrival: ArrivalId,
    mailbox: MailboxId,
    act: &'static str,
    code: &'static str,
    grade: Option<&'static str>,
    pub stands: Applied,
    message_id: Option<String>,
}

impl Told {
    pub fn new(pending: &Pending, decision: &Decision, stands: Applied, key: &MailKey) -> Told {
        Told {
            arrival: pending.id,
            mailbox: pending.mailbox,
            act: decision.act.as_str(),
            code: decision.code.as_str(),
            grade: decision.trust.as_ref().map(|trust| trust.grade.as_str()),
            stands,
            message_id: key.message_id.as_ref().map(|id| id.as_str().to_owned()),
        }
    }
}

impl Intake {
    pub(super) fn tell(&self, told: &[Told]) {
        for one in told {
            self.metrics.decided(one.act, one.code);
            if let Some(grade) = one.grade {
                self.metrics.graded(grade);
            }
            tracing::info!(
                arrival.id = one.arrival.0,
                mailbox.id = one.mailbox.0,
                act = one.act,
                code = one.code,
                ticket.id = one.stands.ticket.map(|t| t.0),
                entry.id = one.stands.log_entry.map(|e| e.0),
                message_id = one.message_id,
                "intake.decided"
            );
        }
    }
}
