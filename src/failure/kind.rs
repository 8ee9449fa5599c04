//! The kinds of failure: a closed list, each with what it means, what to do, and how much patience it gets.

use std::time::Duration;

/// After a failure: this, doubled with each further one in a row.
const FIRST_PAUSE: Duration = Duration::from_secs(15);
/// The same where knocking again soon does harm: a refused login locks accounts, a throttled one stays throttled.
const FIRST_LONG_PAUSE: Duration = Duration::from_secs(5 * 60);
const LONGEST_PAUSE: Duration = Duration::from_secs(60 * 60);
/// The store is ours: nobody minds being asked, and all mail waits for it.
const LONGEST_PAUSE_OF_STORE: Duration = Duration::from_secs(60);

/// What went wrong, as far as it can be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    Dns,
    ConnectionRefused,
    Unreachable,
    Silent,
    Cut,
    TlsName,
    TlsUntrusted,
    TlsExpired,
    TlsRefused,
    NoStartTls,
    Login,
    LoginUnsupported,
    Token,
    TokenScope,
    MailboxClosed,
    ProtocolOff,
    Throttled,
    InUse,
    Unavailable,
    Bye,
    Quota,
    FolderMissing,
    TargetMissing,
    NoRights,
    NotRemoved,
    Refused,
    NotUnderstood,
    Garbage,
    Settings,
    Grant,
    Spool,
    StoreFull,
    StoreReadOnly,
    StoreLocked,
    StoreGone,
    StoreDamaged,
    BrokeOff,
    Stuck,
    Other,
}

/// Whether a kind may pass before anybody could look at it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Hope {
    /// Told when it happens twice in a row.
    Passes,
    /// Told at once: somebody has to act.
    Stays,
}

struct Facts {
    word: &'static str,
    hope: Hope,
    is_harmed_by_haste: bool,
    meaning: &'static str,
    advice: &'static str,
}

impl Kind {
    pub const ALL: [Kind; 39] = [
        Kind::Dns,
        Kind::ConnectionRefused,
        Kind::Unreachable,
        Kind::Silent,
        Kind::Cut,
        Kind::TlsName,
        Kind::TlsUntrusted,
        Kind::TlsExpired,
        Kind::TlsRefused,
        Kind::NoStartTls,
        Kind::Login,
        Kind::LoginUnsupported,
        Kind::Token,
        Kind::TokenScope,
        Kind::MailboxClosed,
        Kind::ProtocolOff,
        Kind::Throttled,
        Kind::InUse,
        Kind::Unavailable,
        Kind::Bye,
        Kind::Quota,
        Kind::FolderMissing,
        Kind::TargetMissing,
        Kind::NoRights,
        Kind::NotRemoved,
        Kind::Refused,
        Kind::NotUnderstood,
        Kind::Garbage,
        Kind::Settings,
        Kind::Grant,
        Kind::Spool,
        Kind::StoreFull,
        Kind::StoreReadOnly,
        Kind::StoreLocked,
        Kind::StoreGone,
        Kind::StoreDamaged,
        Kind::BrokeOff,
        Kind::Stuck,
        Kind::Other,
    ];

    /// The name under which it is stored and shown.
    pub fn word(self) -> &'static str {
        self.facts().word
    }

    /// What it means, in half a sentence.
    pub fn meaning(self) -> &'static str {
        self.facts().meaning
    }

    /// What a person can do about it, in whole sentences.
    pub fn advice(self) -> &'static str {
        self.facts().advice
    }

    /// Somebody has to act; waiting alone does not mend it.
    pub fn needs_somebody(self) -> bool {
        self.facts().hope == Hope::Stays
    }

    /// Whether it is told after this many failures in a row: at once, or, where it may pass, with the second.
    pub fn is_told_after(self, failures: u32) -> bool {
        failures >= if self.needs_somebody() { 1 } else { 2 }
    }

    /// The store as a whole cannot be worked with now: no fault of the peer, and nothing can be recorded either.
    pub fn is_store_away(self) -> bool {
        use Kind::*;
        matches!(self, StoreFull | StoreReadOnly | StoreLocked | StoreGone)
    }

    /// How long to wait after this many failures in a row. What the peer has asked for counts where it is longer, up to
    /// the longest pause.
    pub fn pause(self, failures: u32, wanted: Option<Duration>) -> Duration {
        let first = if self.facts().is_harmed_by_haste { FIRST_LONG_PAUSE } else { FIRST_PAUSE };
        let pause = first.saturating_mul(1 << failures.saturating_sub(1).min(10));
        let longest = if self.is_store_away() { LONGEST_PAUSE_OF_STORE } else { LONGEST_PAUSE };
        pause.max(wanted.unwrap_or_default()).min(longest)
    }

    fn facts(self) -> Facts {
        use Hope::{Passes, Stays};
        let (word, hope, meaning, advice) = match self {
            Kind::Dns => (
                "dns",
                Passes,
                "the name of the server is not found",
                "Check the host's name in the settings, and the resolver of this machine.",
            ),
            Kind::ConnectionRefused => (
                "connection_refused",
                Passes,
                "nothing listens at that host and port",
                "Check host and port in the settings; else wait for the server to come back.",
            ),
            Kind::Unreachable => (
                "unreachable",
                Passes,
                "no connection comes about",
                "Check host and port, this machine's network, and firewalls on the way.",
            ),
            Kind::Silent => (
                "silent",
                Passes,
                "the server has hung in the step that is named",
                "The server is overloaded, or something on the way swallows its packets: ask its operator if it lasts.",
            ),
            Kind::Cut => (
                "cut",
                Passes,
                "the connection broke in the step that is named",
                "The network or the server broke it: if it lasts, look at firewalls with short memories and at the server's log.",
            ),
            Kind::TlsName => (
                "tls_name",
                Stays,
                "the certificate is for another name",
                "Set the host to a name that the certificate carries. If none is right, somebody may be in between: do not go around it.",
            ),
            Kind::TlsUntrusted => (
                "tls_untrusted",
                Stays,
                "the certificate comes from a CA that this machine does not know",
                "Install the CA on this machine, or have the server use a certificate of a known one.",
            ),
            Kind::TlsExpired => (
                "tls_expired",
                Stays,
                "the certificate is out of date, or not valid yet",
                "The server's operator has to renew it. If it is valid elsewhere, set the clock of this machine.",
            ),
            Kind::TlsRefused => (
                "tls_refused",
                Passes,
                "the TLS handshake failed",
                "Check that the port speaks TLS from the start (usually 993 or 995); with STARTTLS it is another port.",
            ),
            Kind::NoStartTls => (
                "no_starttls",
                Stays,
                "the server does not offer STARTTLS; the password was not sent",
                "Use the server's TLS port with `tls`. If it did offer STARTTLS before, somebody may be in between.",
            ),
            Kind::Login => (
                "login",
                Stays,
                "the server refuses the login",
                "Check user name and password, and whether the account is locked or wants a password for programs. It is \
                 tried seldom, so that the account is not locked.",
            ),
            Kind::LoginUnsupported => (
                "login_unsupported",
                Stays,
                "the server takes neither password nor token in the way that is set",
                "Use TLS or STARTTLS; where it still takes no password, set `auth` to oauth2 and run `maildesk oauth login`. \
                 One that takes no token wants a password.",
            ),
            Kind::Token => (
                "token",
                Stays,
                "the server refuses the access token, and a fresh one too",
                "Look at `maildesk oauth status`; sign in again with `maildesk oauth login` as the user whose mailbox it is. \
                 Microsoft says so, too, where the user has no licence, or IMAP, POP or SMTP is switched off for him.",
            ),
            Kind::TokenScope => (
                "token_scope",
                Stays,
                "the grant does not allow this protocol",
                "Microsoft: add IMAP.AccessAsUser.All, POP.AccessAsUser.All or SMTP.Send to the registration (of an application \
                 by itself: IMAP.AccessAsApp, POP.AccessAsApp, SMTP.SendAsApp). Google: the scope https://mail.google.com/. Then \
                 sign in again with `maildesk oauth login`.",
            ),
            Kind::MailboxClosed => (
                "mailbox_closed",
                Passes,
                "the user of the grant is known, and may not open this mailbox",
                "Check `username`: it names the mailbox. Where it is another than the user who signed in (a shared mailbox), give \
                 him full access to it; check its licence, and that IMAP or POP is on for it. While Exchange Online moves a \
                 mailbox this passes by itself.",
            ),
            Kind::ProtocolOff => (
                "protocol_off",
                Stays,
                "IMAP, POP3 or SMTP is switched off for this user, or a rule of the organisation forbids the login",
                "Its administrator has to allow it. Microsoft 365: `Set-CASMailbox` with -ImapEnabled, -PopEnabled or \
                 -SmtpClientAuthenticationDisabled, or the conditional access rule. Google: Gmail's settings, under Forwarding and \
                 POP/IMAP, or the Workspace console.",
            ),
            Kind::Throttled => (
                "throttled",
                Passes,
                "the server limits connections, logins or commands",
                "maildesk waits longer now. If it lasts, read the mailbox less often, and close other programs that read it.",
            ),
            Kind::InUse => (
                "in_use",
                Passes,
                "another program has the mailbox locked",
                "Find the other program that reads this mailbox, and stop it.",
            ),
            Kind::Unavailable => (
                "unavailable",
                Passes,
                "the server says that it cannot now",
                "Wait; if it lasts, ask the server's operator with the server's own words.",
            ),
            Kind::Bye => (
                "bye",
                Passes,
                "the server ended the session",
                "Its words say why. If it lasts, ask the server's operator.",
            ),
            Kind::Quota => (
                "quota",
                Stays,
                "the mailbox is full",
                "Make room in the mailbox (other folders, the trash), or have its quota raised: new mail may be bouncing.",
            ),
            Kind::FolderMissing => (
                "folder_missing",
                Stays,
                "a folder that is to be read is not there",
                "Correct `folders` of the mailbox, or make the folder on the server. The other folders are read.",
            ),
            Kind::TargetMissing => (
                "target_missing",
                Stays,
                "the folder for handled mail is not there and cannot be made",
                "Correct `move_to` of the mailbox, or make the folder on the server. Mail is taken in all the same, and stays where it is.",
            ),
            Kind::NoRights => (
                "no_rights",
                Stays,
                "the account may not do this in the folder: it is read-only, or its rights do not allow it",
                "Give the account the rights to read the folder, and to do there what `handled` says. What it can read is taken \
                 in all the same, once, and stays where it is.",
            ),
            Kind::NotRemoved => (
                "not_removed",
                Passes,
                "the server refuses to remove, move or flag handled mail",
                "Its words say why. Mail is taken in all the same, once, and stays where it is until the server allows it.",
            ),
            Kind::Refused => (
                "refused",
                Passes,
                "the server refuses a command (NO, -ERR)",
                "Its words say why; ask the server's operator if it lasts.",
            ),
            Kind::NotUnderstood => (
                "not_understood",
                Passes,
                "the server takes a command for an error (BAD)",
                "The server lacks something that maildesk needs, or something in between changes the words: please report it with them.",
            ),
            Kind::Garbage => (
                "garbage",
                Passes,
                "the server's answer cannot be read",
                "Check that host and port are those of the mail server. If they are, please report it with the words.",
            ),
            Kind::Settings => (
                "settings",
                Stays,
                "something is missing in the settings, or does not fit",
                "Correct it with `maildesk mailbox edit` or `maildesk relay edit`, or in the configuration file.",
            ),
            Kind::Grant => (
                "grant",
                Stays,
                "the identity provider gives no access token any more",
                "`maildesk oauth status` says why, and what to do.",
            ),
            Kind::Spool => (
                "spool",
                Stays,
                "the spool folder cannot be written",
                "Free some space there, or have `[run] spool` name another folder.",
            ),
            Kind::StoreFull => (
                "store_full",
                Stays,
                "the disk of the store is full",
                "Free some space. Mail stays in the mailboxes meanwhile, and all goes on by itself.",
            ),
            Kind::StoreReadOnly => (
                "store_read_only",
                Stays,
                "the store cannot be written",
                "Look whether the file system is mounted read-only, and whether file and folder belong to maildesk's user; on \
                 PostgreSQL, whether the server is a standby.",
            ),
            Kind::StoreLocked => (
                "store_locked",
                Passes,
                "another program holds the store",
                "End what else has the database open: a copy, a shell, a long transaction.",
            ),
            Kind::StoreGone => (
                "store_gone",
                Passes,
                "the store does not answer",
                "Look whether the database server runs, and the disk is there. All goes on by itself when it is back.",
            ),
            Kind::StoreDamaged => (
                "store_damaged",
                Stays,
                "the store's file is damaged",
                "Stop maildesk, keep the file as it is, and restore the last backup; `maildesk doctor` says what is wrong.",
            ),
            Kind::BrokeOff => (
                "broke_off",
                Stays,
                "a part of maildesk broke off (a panic), and was started again",
                "This is a fault of maildesk: please report it with the words. If a certain message causes it, it is set aside.",
            ),
            Kind::Stuck => (
                "stuck",
                Stays,
                "a part of maildesk made no progress, was ended and started again",
                "This is a fault of maildesk or of something below it: please report it with the words.",
            ),
            Kind::Other => ("other", Passes, "something else", "The words say what."),
        };
        let is_harmed_by_haste = matches!(
            self,
            Kind::Login
                | Kind::Token
                | Kind::TokenScope
                | Kind::MailboxClosed
                | Kind::ProtocolOff
                | Kind::Throttled
        );
        Facts { word, hope, is_harmed_by_haste, meaning, advice }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn every_kind_has_a_word_of_its_own() {
        let words: HashSet<&str> = Kind::ALL.iter().map(|kind| kind.word()).collect();
        assert_eq!(words.len(), Kind::ALL.len());
    }

    #[test]
    fn pauses_grow_to_an_hour_and_keep_to_what_the_server_wants() {
        let seconds = |kind: Kind| (1..=10).map(|n| kind.pause(n, None).as_secs()).collect::<Vec<_>>();
        assert_eq!(seconds(Kind::Cut), [15, 30, 60, 120, 240, 480, 960, 1920, 3600, 3600]);
        assert_eq!(seconds(Kind::Login)[..5], [300, 600, 1200, 2400, 3600]);
        let wanted = |seconds| Kind::Throttled.pause(1, Some(Duration::from_secs(seconds))).as_secs();
        assert_eq!([wanted(1), wanted(900), wanted(1_000_000)], [300, 900, 3600]);
        assert_eq!(Kind::Cut.pause(u32::MAX, None).as_secs(), 3600);
        assert_eq!(seconds(Kind::StoreGone)[..4], [15, 30, 60, 60]);
    }

    #[test]
    fn what_may_pass_is_told_with_the_second_failure() {
        assert!(!Kind::Cut.is_told_after(1) && Kind::Cut.is_told_after(2));
        assert!(Kind::Login.is_told_after(1));
    }
}
