//! The alerts that there are. A new one gets a row here: the table in docs/operations.md is made of it.

/// A sort of alert.
#[derive(Clone, Copy, Debug)]
pub struct Entry {
    /// Parts in capitals stand for an id or a name: `mailbox:ID:failing`.
    pub name: &'static str,
    pub meaning: &'static str,
    /// What to do, and when it clears itself.
    pub advice: &'static str,
    /// Who was told that it stands is told by mail that it is over.
    pub is_told_when_over: bool,
}

pub const CATALOGUE: &[Entry] = &[
    Entry {
        name: "mailbox:ID:failing",
        meaning: "rounds over a mailbox fail, or a message of `deliver` could not be kept; the alert's kind and words say why (see the kinds below)",
        advice: "What its kind says. It is tried again by itself, and cleared by the next round that works. \
                 `maildesk mailbox test NAME` asks at once.",
        is_told_when_over: true,
    },
    Entry {
        name: "mailbox:ID:unknown",
        meaning: "most of a folder is suddenly unknown and old; the mailbox waits",
        advice: "`maildesk mailbox resume NAME`, or with `--from-now`; see [The first week](#the-first-week).",
        is_told_when_over: false,
    },
    Entry {
        name: "mailbox:ID:silent",
        meaning: "a mailbox is read without trouble, and no mail has come for much longer than is usual for it",
        advice: "Look whether mail is held up before the mailbox: its address, forwarding, MX records, spam filters. \
                 Send one there. Cleared by the next message.",
        is_told_when_over: true,
    },
    Entry {
        name: "relay:ID:failing",
        meaning: "nothing goes through a relay; its mail waits",
        advice: "Its words are the server's. Cleared by the next mail that goes through. `maildesk queue list` shows \
                 what waits, `maildesk doctor` tries the relay.",
        is_told_when_over: true,
    },
    Entry {
        name: "oauth:OWNER:ID:failing",
        meaning: "the identity provider gives no access token for a mailbox or relay any more; its words are the provider's",
        advice: "What its advice says; `maildesk oauth status` has it too, and docs/oauth.md the whole table. Cleared by the \
                 next token.",
        is_told_when_over: true,
    },
    Entry {
        name: "oauth:OWNER:ID:refresh_ends:DAYS",
        meaning: "a refresh token was not used for long, and ends in 14, 7, 3 or 1 days",
        advice: "`maildesk oauth status` says why it is not refreshed. Cleared by the next refresh, or by signing in again.",
        is_told_when_over: true,
    },
    Entry {
        name: "oauth:OWNER:ID:secret_ends:DAYS",
        meaning: "a client secret ends in 14, 7, 3 or 1 days; the owner is the provider, or the mailbox or relay with a secret \
                  of its own",
        advice: "Make a new secret at the provider, and give it with its day. Cleared by that.",
        is_told_when_over: true,
    },
    Entry {
        name: "store:failing",
        meaning: "the store could not be read or written: locked, full, gone, read-only. Nothing is lost: mail waits in the mailboxes",
        advice: "What its kind says. While the store is away it stands in the log and in `health` only; all goes on by \
                 itself when it is back.",
        is_told_when_over: true,
    },
    Entry {
        name: "store:behind",
        meaning: "PostgreSQL has lost what it had confirmed: a standby that lagged was made the primary, or an older state was brought back. The desk is held, and the daemons that noticed have ended",
        advice: "Bring back the server that has it all and start maildesk again; or go on with what is there: \
                 `maildesk restore --as-it-stands`, which clears it.",
        is_told_when_over: false,
    },
    Entry {
        name: "disk:nearly_full",
        meaning: "less disk is free than `min_free_mb` of `[run]`, where the SQLite file or the spool lies",
        advice: "Free some. No mail is taken in meanwhile: it waits in its mailboxes, and `deliver` ends with 75. Sending \
                 and commands go on. Cleared, and all of it continues, when a tenth more is free than the mark.",
        is_told_when_over: true,
    },
    Entry {
        name: "disk:nearly_full:HOST",
        meaning: "the same on one of several machines that share a PostgreSQL",
        advice: "As above, on that machine.",
        is_told_when_over: true,
    },
    Entry {
        name: "scanner:failing",
        meaning: "the virus scanner cannot be asked: mail waits, kept and undecided (or is taken in unscanned, where `unscanned = \"take\"`)",
        advice: "See that clamd runs, and that `[virus_scanner]` names its socket. What waits is decided by itself once it \
                 answers; that clears it. `maildesk doctor` asks it.",
        is_told_when_over: true,
    },
    Entry {
        name: "unscanned:ARRIVAL",
        meaning: "the virus scanner answers, but gives no verdict on this message, which waits undecided; other mail goes on",
        advice: "It is asked again, less and less often. Look into clamd's log. `unscanned = \"take\"` of `[virus_scanner]` \
                 and a restart take it in without a verdict. Cleared when it is decided.",
        is_told_when_over: false,
    },
    Entry {
        name: "backup:failing",
        meaning: "the daily backup failed",
        advice: "Its words say why: the folder, the disk, the passphrase file. `maildesk backup FILE` tries at once. \
                 Cleared by the next good one.",
        is_told_when_over: true,
    },
    Entry {
        name: "job:NAME:failing",
        meaning: "a job of the daemon failed",
        advice: "Its words say why. It runs again at its next time. Cleared by the next run that goes well.",
        is_told_when_over: false,
    },
    Entry {
        name: "task:NAME:failing",
        meaning: "a part of maildesk broke off or made no progress, and was started again",
        advice: "A fault of maildesk: please report it with the words. Cleared when that part has worked for ten minutes.",
        is_told_when_over: true,
    },
    Entry {
        name: "clock:jumped",
        meaning: "the clock of this machine was set forward or back by minutes or more",
        advice: "Look at its time service (`timedatectl`). Waiting mail keeps its turn. Cleared by itself when the clock \
                 has run evenly for a while.",
        is_told_when_over: false,
    },
    Entry {
        name: "too_big:ARRIVAL",
        meaning: "a message is over its mailbox's limit and stays there; one that an MTA brought is kept undecided",
        advice: "`maildesk error list`, then `fetch` (`retry` of one that an MTA brought) or `discard`. Cleared when that \
                 is done, or it is gone from the mailbox.",
        is_told_when_over: false,
    },
    Entry {
        name: "refused:ARRIVAL",
        meaning: "a server lists a message and has not given it in five rounds; it stays there, and the others go on",
        advice: "Its words are the server's. Ask its operator, or look at the message with another program. `maildesk error \
                 fetch` asks for it once more, `discard` removes it there. Cleared when that is done, or it is gone.",
        is_told_when_over: false,
    },
    Entry {
        name: "balance:ID",
        meaning: "the server has shown more or fewer messages than are accounted for",
        advice: "This must not happen. Look for arrivals without a journal row (`maildesk journal list --mailbox NAME`), \
                 keep a copy of the store, and report it.",
        is_told_when_over: true,
    },
    Entry {
        name: "loop:KIND:KEY",
        meaning: "a key of the loop breaker is over its limit: a flood from one sender, or mail of ours that goes round; \
                  see [Loops and floods](#loops-and-floods)",
        advice: "`maildesk loop list` names the key. Cleared when nothing was stopped for a whole window, or by \
                 `maildesk loop reset`. What was stopped stays where it is until somebody settles it.",
        is_told_when_over: true,
    },
    Entry {
        name: "template:NAME",
        meaning: "a letter template of yours does not work; the built-in one is used",
        advice: "Its words name file, line and reason. Mend the file and restart. Cleared at that start, if the template works.",
        is_told_when_over: false,
    },
];

/// What is not listed is told.
pub(super) fn is_told_when_over(name: &str) -> bool {
    CATALOGUE.iter().find(|entry| is_named(entry.name, name)).is_none_or(|entry| entry.is_told_when_over)
}

fn is_named(pattern: &str, name: &str) -> bool {
    let is_free = |part: &str| part.bytes().all(|b| b.is_ascii_uppercase());
    let (mut parts, mut names) = (pattern.split(':'), name.split(':'));
    loop {
        match (parts.next(), names.next()) {
            (None, None) => return true,
            (Some(part), Some(name)) if part == name || is_free(part) => {}
            _ => return false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_found_by_their_pattern() {
        assert!(is_named("mailbox:ID:failing", "mailbox:3:failing"));
        assert!(!is_named("mailbox:ID:failing", "mailbox:3:silent"));
        assert!(!is_named("balance:ID", "balance:3:x"));
        assert!(is_told_when_over("mailbox:3:failing") && !is_told_when_over("too_big:4"));
    }
}
