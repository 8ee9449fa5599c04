//! The closed list of what the log tells: a line of maildesk's own begins with one of these names.
//!
//! Names are `room.past_tense`. error: a person must act; warn: something went wrong and was coped with; info: what was
//! done, one line for each message decided and for each recipient and attempt. `docs/log-events.md` is made of this list,
//! and a test holds every call in the source to it.

use tracing::Level;

/// An event of the log.
#[derive(Clone, Copy, Debug)]
pub struct Event {
    pub name: &'static str,
    pub level: Level,
    /// Its fields, in the order of the line; one that does not apply is left out.
    pub fields: &'static [&'static str],
    /// What it means, and what to do where a person must act.
    pub about: &'static str,
}

const fn event(
    name: &'static str,
    level: Level,
    fields: &'static [&'static str],
    about: &'static str,
) -> Event {
    Event { name, level, fields, about }
}

/// All of them, by name.
pub const EVENTS: &[Event] = &[
    event("alert.cleared", Level::INFO, &["alert.name"], "What an alert was about is well again."),
    event(
        "alert.raised",
        Level::ERROR,
        &["alert.name"],
        "Something needs a person; the words say what to do. It also stands in `maildesk alert list`, and is told by mail.",
    ),
    event(
        "config.provisioned",
        Level::INFO,
        &[],
        "What the configuration declares was laid down in the store.",
    ),
    event(
        "control.accept_failed",
        Level::WARN,
        &["error"],
        "A connection to the control socket could not be taken; the next one is.",
    ),
    event(
        "control.command_panicked",
        Level::ERROR,
        &["error"],
        "A command broke off inside the daemon, which goes on. Report it.",
    ),
    event(
        "control.peer_lost",
        Level::DEBUG,
        &["error"],
        "Whoever typed a command has gone before its answer.",
    ),
    event(
        "daemon.alert_failed",
        Level::WARN,
        &[],
        "Alerts could not be written or told; they are looked at again in a moment.",
    ),
    event(
        "daemon.desk_lost",
        Level::ERROR,
        &[],
        "The right to work on this desk is gone with its connection to PostgreSQL. The daemon ends, and is to be started again.",
    ),
    event(
        "daemon.mailboxes_unread",
        Level::WARN,
        &[],
        "The list of mailboxes could not be read; it is read again.",
    ),
    event(
        "daemon.notify_failed",
        Level::WARN,
        &["error"],
        "systemd could not be told how the daemon fares. If that lasts, its watchdog restarts the service.",
    ),
    event(
        "daemon.socket_left",
        Level::WARN,
        &["error"],
        "The control socket could not be removed at the end.",
    ),
    event(
        "daemon.started",
        Level::INFO,
        &["decided"],
        "It works; so many messages of an earlier life were decided first.",
    ),
    event("daemon.starting", Level::INFO, &["pid", "socket"], "The desk is open and is this process's."),
    event("daemon.stopped", Level::INFO, &[], "It has ended in good order."),
    event("daemon.stopping", Level::INFO, &["by"], "A signal, or the daemon itself, has asked for the end."),
    event(
        "daemon.task_broke_off",
        Level::ERROR,
        &[],
        "A task of the daemon ended by itself, and with it the daemon. Report it.",
    ),
    event(
        "intake.acknowledgement_dropped",
        Level::WARN,
        &["messages"],
        "Messages that were taken in cannot be removed at their source under their old numbers; if they are still there, they are known.",
    ),
    event(
        "intake.apply_failed",
        Level::ERROR,
        &["arrival.id"],
        "One message could not be written. It has a try more, and becomes an error ticket after the last one.",
    ),
    event(
        "intake.batch_taken_apart",
        Level::WARN,
        &[],
        "A batch could not be written whole; its messages go one by one, so that the cause is found out.",
    ),
    event(
        "intake.decided",
        Level::INFO,
        &["arrival.id", "mailbox.id", "act", "code", "ticket.id", "entry.id", "message_id"],
        "One message, and what became of it: the line is written when that is durable. `maildesk explain --arrival ID` says why.",
    ),
    event(
        "intake.round_failed",
        Level::WARN,
        &["mailbox.name"],
        "A round over a mailbox failed; it is tried again, later each time. The alert has the same words.",
    ),
    event(
        "intake.unreadable",
        Level::ERROR,
        &["arrival.id"],
        "The stored bytes of one message cannot be read. It has a try more, and becomes an error ticket after the last one.",
    ),
    event(
        "outbound.deferred",
        Level::INFO,
        &["outbox.id", "to", "relay", "attempt", "delay_ms", "dsn", "code", "words", "next"],
        "A recipient was not reached and is tried again at `next`.",
    ),
    event(
        "outbound.delivered",
        Level::INFO,
        &["outbox.id", "to", "relay", "attempt", "delay_ms", "dsn"],
        "The relay has taken a mail for a recipient, so long after it was queued.",
    ),
    event(
        "outbound.failed",
        Level::INFO,
        &["outbox.id", "to", "relay", "attempt", "delay_ms", "dsn", "code", "words"],
        "A recipient was refused or given up. A note on the ticket says the same.",
    ),
    event(
        "outbound.goodbye_missed",
        Level::DEBUG,
        &["failure"],
        "A relay did not answer QUIT; nothing is lost.",
    ),
    event(
        "outbound.mail_cut_off",
        Level::WARN,
        &[],
        "The stop could not wait for a mail under way; it is taken up again at the next start.",
    ),
    event(
        "outbound.mail_taken_over",
        Level::WARN,
        &["outbox.id", "relay"],
        "Another sender has this mail by now; what this one did with it is not recorded.",
    ),
    event(
        "outbound.password_sealed_shut",
        Level::ERROR,
        &["relay"],
        "The sealing key does not open a relay's password. Set it anew with `maildesk relay edit`.",
    ),
    event(
        "outbound.queue_unread",
        Level::WARN,
        &["failure"],
        "The outbox could not be read; it is read again.",
    ),
    event(
        "outbound.relay_failed",
        Level::WARN,
        &["relay", "mails"],
        "Nothing goes through a relay; so many mails wait for its next try. The alert has the same words.",
    ),
    event(
        "outbound.store_failed",
        Level::WARN,
        &["relay", "error"],
        "Sending through a relay rests, because what becomes of the mails could not be recorded.",
    ),
    event("telemetry.started_already", Level::DEBUG, &[], "The log was started twice in one process."),
    event(
        "web.listen_failed",
        Level::ERROR,
        &["address", "error"],
        "Health and metrics cannot be told: the port is taken, most likely. It is tried again; mail goes on meanwhile.",
    ),
    event("web.listening", Level::INFO, &["address"], "Health and metrics are told there."),
];

/// The event of this name.
pub fn find(name: &str) -> Option<&'static Event> {
    EVENTS.iter().find(|event| event.name == name)
}
