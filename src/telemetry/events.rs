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
        &["alert.name", "alert.kind"],
        "Something needs a person; the words say what to do. It also stands in `maildesk alert list`, and is told by mail.",
    ),
    event(
        "alert.worse",
        Level::ERROR,
        &["alert.name", "alert.kind"],
        "What may have passed by itself now needs a person; it is told once more.",
    ),
    event(
        "backup.failed",
        Level::WARN,
        &[],
        "The daily backup failed; an alert says so too. It is tried again in an hour.",
    ),
    event(
        "backup.removed",
        Level::INFO,
        &["file"],
        "An older backup was deleted, because a newer one is whole.",
    ),
    event("backup.taken", Level::INFO, &["file", "bytes", "rows", "with_key"], "The daily backup is whole."),
    event(
        "clock.jumped",
        Level::WARN,
        &["by_us"],
        "The clock of this machine was set. Look at its time service.",
    ),
    event(
        "clock.waits_not_taken_back",
        Level::WARN,
        &[],
        "Waits that were written under a clock since set back could not be shortened; it is tried again.",
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
        &["task"],
        "Alerts could not be written or told; they are looked at again in a moment.",
    ),
    event(
        "daemon.desk_lock_away",
        Level::DEBUG,
        &[],
        "The desk's lock was asked for again, and the store was not there.",
    ),
    event(
        "daemon.desk_lock_lost",
        Level::WARN,
        &[],
        "The connection that holds the desk's lock broke; it is taken again.",
    ),
    event("daemon.desk_lock_taken_again", Level::INFO, &[], "The desk's lock is held again."),
    event(
        "daemon.desk_lost",
        Level::ERROR,
        &[],
        "The right to work on this desk is gone with its connection to PostgreSQL. The daemon ends, and is to be started again.",
    ),
    event(
        "daemon.in_shadow",
        Level::WARN,
        &[],
        "It was started with --shadow: every mailbox is read as in shadow mode, and nothing comes of mail.",
    ),
    event(
        "daemon.keeper_broke_off",
        Level::ERROR,
        &[],
        "What looks after a part of the daemon broke off; the daemon ends, to be started anew. Report it.",
    ),
    event(
        "daemon.mailboxes_unread",
        Level::WARN,
        &[],
        "The list of mailboxes could not be read; it is read again.",
    ),
    event(
        "daemon.not_reloaded",
        Level::WARN,
        &[],
        "SIGHUP came. The configuration is read at the start only: restart to apply it.",
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
        "daemon.task_cut_off",
        Level::ERROR,
        &["task"],
        "A part of the daemon did not end when it was told to.",
    ),
    event(
        "daemon.task_failed",
        Level::ERROR,
        &["task"],
        "A part of the daemon broke off and is started again. Report it.",
    ),
    event(
        "daemon.task_stuck",
        Level::ERROR,
        &["task"],
        "A part of the daemon hangs and cannot be ended. Restart the daemon, and report it.",
    ),
    event("daemon.waiting", Level::WARN, &[], "The store is away at the start; it is waited for."),
    event(
        "desk.undelivered_untold",
        Level::WARN,
        &["outbox.id", "ticket.id"],
        "Nobody is there who could be told that a mail was given up.",
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
        "intake.before_start",
        Level::INFO,
        &["mailbox.id"],
        "What lay in a folder before the start was noted, and stays there untouched.",
    ),
    event(
        "intake.before_start_renumbered",
        Level::INFO,
        &["mailbox.id"],
        "What lay there before the start was known again under new numbers.",
    ),
    event(
        "intake.decided",
        Level::INFO,
        &["arrival.id", "mailbox.id", "act", "code", "ticket.id", "entry.id", "message_id"],
        "One message, and what became of it: the line is written when that is durable. `maildesk explain --arrival ID` says why.",
    ),
    event(
        "intake.decided_in_shadow",
        Level::INFO,
        &["arrival.id"],
        "What would have become of a message of a mailbox in shadow mode.",
    ),
    event(
        "intake.delivery_failed",
        Level::WARN,
        &["mailbox.name"],
        "What an MTA has brought could not be kept; it tries again.",
    ),
    event(
        "intake.idle_ended",
        Level::INFO,
        &["mailbox.name"],
        "Waiting in IDLE failed; the schedule goes on, and IDLE is tried again.",
    ),
    event(
        "intake.nothing_to_read_again",
        Level::WARN,
        &[],
        "After a restore: the folder for handled mail is not there, so nothing was read again.",
    ),
    event(
        "intake.read_again",
        Level::INFO,
        &["mailbox.name"],
        "After a restore: handled mail was read again where it was moved to.",
    ),
    event(
        "intake.round_failed",
        Level::WARN,
        &["mailbox.name"],
        "A round over a mailbox failed; it is tried again, later each time. The alert has the same words.",
    ),
    event(
        "intake.scan_failed",
        Level::WARN,
        &["arrival.id"],
        "The virus scanner gave no verdict on a message; what comes of that stands in `[virus_scanner]`.",
    ),
    event(
        "intake.session_ended",
        Level::DEBUG,
        &["mailbox.name"],
        "A session that was kept open has ended; the next round has a new one.",
    ),
    event(
        "intake.stays_in_hand",
        Level::DEBUG,
        &["arrival.id"],
        "The store has failed on a message and could not be told that this was no try; it is told before tries are counted.",
    ),
    event(
        "intake.unreadable",
        Level::ERROR,
        &["arrival.id"],
        "The stored bytes of one message cannot be read. It has a try more, and becomes an error ticket after the last one.",
    ),
    event(
        "lease.kept",
        Level::WARN,
        &[],
        "A mailbox or job could not be given back to the other daemons; they have it when this daemon's lease is over.",
    ),
    event(
        "lease.life_over",
        Level::WARN,
        &["daemon.id"],
        "The lease could not be renewed in time: others may have what this daemon held. It stopped that, and begins anew.",
    ),
    event(
        "lease.unrenewed",
        Level::DEBUG,
        &[],
        "The lease could not be renewed this time; it is tried again.",
    ),
    event("oauth.connected", Level::INFO, &["grant.owner"], "Somebody has signed in for a mailbox or relay."),
    event(
        "oauth.forgotten",
        Level::INFO,
        &["grant.owner"],
        "A grant was given back, and its tokens are deleted.",
    ),
    event(
        "oauth.not_looked_after",
        Level::WARN,
        &[],
        "The grants could not be looked after just now; it is tried again in some seconds.",
    ),
    event("oauth.refreshed", Level::INFO, &["grant.owner"], "A new access token is durable."),
    event(
        "oauth.refused",
        Level::WARN,
        &["grant.owner", "code"],
        "The identity provider gave no access token; the code stands in docs/oauth.md, with what to do.",
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
    event(
        "outbound.visit_broke_off",
        Level::ERROR,
        &["relay.id"],
        "A visit to a relay broke off inside the daemon, which goes on. Report it.",
    ),
    event(
        "outbound.waits_taken_back",
        Level::INFO,
        &[],
        "The clock was set back; mails that wait were set back with it.",
    ),
    event("scheduler.job_done", Level::INFO, &["job.name"], "A job has run."),
    event(
        "scheduler.job_failed",
        Level::ERROR,
        &["job.name"],
        "A job failed; an alert says so too. It runs again at its next time.",
    ),
    event(
        "scheduler.job_unread",
        Level::WARN,
        &["job.name"],
        "When a job ran last could not be read; it is asked again.",
    ),
    event("scheduler.job_unrecorded", Level::WARN, &["job.name"], "That a job has run could not be written."),
    event(
        "store.behind",
        Level::ERROR,
        &[],
        "The database has lost what it had confirmed, as after a failover to a standby that lagged. The daemon ends.",
    ),
    event(
        "store.failing",
        Level::ERROR,
        &["store.failure"],
        "The store cannot be used; the words say why and what to do. Mail waits where it is.",
    ),
    event(
        "store.mark_unwritten",
        Level::WARN,
        &[],
        "What was confirmed could not be written beside the spool; a restart would not know of it.",
    ),
    event(
        "store.server_changed",
        Level::WARN,
        &[],
        "Another of the PostgreSQL servers in store.url takes writes now, and is used.",
    ),
    event(
        "store.space_unknown",
        Level::WARN,
        &["error", "folder"],
        "How much disk is free could not be asked; nothing is held up.",
    ),
    event("store.works_again", Level::INFO, &[], "The store can be used again."),
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
