//! Servers that fail in one way or another, as scripts: two sessions that fail, and one that works.

use maildesk::config::Tls;
use maildesk::failure::Kind;

use super::letter;

pub struct Script {
    pub name: &'static str,
    pub kind: Kind,
    pub text: String,
    /// Of the mailbox: what becomes of handled mail.
    pub handled: &'static str,
    pub fails_by: Tls,
    pub works_by: Tls,
}

const GREETING: &str = "S: * OK [CAPABILITY IMAP4rev1 UIDPLUS MOVE] ready\n";
const LOGGED_IN: &str = "S: $tag OK [CAPABILITY IMAP4rev1 UIDPLUS MOVE] welcome\n";
const SELECT: &str = "C: $tag SELECT \"INBOX\"\nS: * 1 EXISTS\nS: * OK [UIDVALIDITY 7] fine\n";
const SELECTED: &str = "S: $tag OK [READ-WRITE] selected\n";
const LIST: &str = "C: $tag UID FETCH 1:* (UID FLAGS RFC822.SIZE)\n";
const FETCH: &str = "C: $tag UID FETCH 1 (UID INTERNALDATE *\n";
const STORE: &str = "C: $tag UID STORE 1 *\n";
const EXPUNGE: &str = "C: $tag UID EXPUNGE 1\n";
const MOVE: &str = "C: $tag UID MOVE 1 \"Done\"\n";
const OK: &str = "S: $tag OK done\n";
const LOGOUT: &str = "C: $tag LOGOUT\nS: $tag OK bye\n";

/// The steps of a session with one message in the folder.
struct Steps {
    name: &'static str,
}

impl Steps {
    fn logged_in(&self) -> String {
        // The password of the tests goes as a literal, for it has more than ASCII.
        format!("{GREETING}C: $tag LOGIN \"joe\" {{*\nS: + go\nC: *\n{LOGGED_IN}")
    }

    fn selected(&self) -> String {
        format!("{}{SELECT}{SELECTED}", self.logged_in())
    }

    fn listed(&self, selected: &str) -> String {
        let size = letter(self.name).len();
        format!("{selected}{LIST}S: * 1 FETCH (UID 1 FLAGS () RFC822.SIZE {size})\n{OK}")
    }

    fn body(&self) -> String {
        let bytes = letter(self.name);
        let text = String::from_utf8(bytes).expect("ASCII").replace('\\', "\\\\").replace('"', "\\\"");
        let text = text.replace('\r', "\\r").replace('\n', "\\n");
        format!("!half \"* 1 FETCH (UID 1 BODY[]<0> {{{}}}\\r\\n{text})\\r\\n\"\n", letter(self.name).len())
    }

    fn fetched(&self, selected: &str) -> String {
        format!("{}{FETCH}{}{OK}", self.listed(selected), self.body())
    }

    fn works(&self, handled: &str) -> String {
        let gone = match handled {
            "" => format!("{STORE}{OK}{EXPUNGE}{OK}"),
            _ => format!("{MOVE}{OK}"),
        };
        format!("{}{gone}{LOGOUT}", self.fetched(&self.selected()))
    }

    /// The message was taken in before: it is let go only.
    fn lets_go(&self, handled: &str) -> String {
        let gone = match handled {
            "" => format!("{STORE}{OK}{EXPUNGE}{OK}"),
            _ => format!("{MOVE}{OK}"),
        };
        format!("{}{gone}{LOGOUT}", self.listed(&self.selected()))
    }
}

/// A server that fails in the same way twice, and then works.
fn twice(name: &'static str, kind: Kind, fails: impl Fn(&Steps) -> String) -> Script {
    let steps = Steps { name };
    let fails = fails(&steps);
    let text = format!("{fails}---\n{fails}---\n{}", steps.works(""));
    Script { name, kind, text, handled: "", fails_by: Tls::Plain, works_by: Tls::Plain }
}

/// A server that gives the message and does not let it go, twice; then it does.
fn keeps(name: &'static str, kind: Kind, (handled, selected): (&'static str, &str), refuses: &str) -> Script {
    let steps = Steps { name };
    let opened = format!("{}{SELECT}{selected}", steps.logged_in());
    let first = format!("{}{refuses}{LOGOUT}", steps.fetched(&opened));
    let second = format!("{}{refuses}{LOGOUT}", steps.listed(&opened));
    let text = format!("{first}---\n{second}---\n{}", steps.lets_go(handled));
    Script { name, kind, text, handled, fails_by: Tls::Plain, works_by: Tls::Plain }
}

/// A server that is reached the third time only.
fn away(name: &'static str, kind: Kind) -> Script {
    let text = Steps { name }.works("");
    Script { name, kind, text, handled: "", fails_by: Tls::Plain, works_by: Tls::Plain }
}

/// A server that will not be had without TLS, or with it.
fn by_tls(name: &'static str, kind: Kind, (fails_by, fails): (Tls, &str)) -> Script {
    let text = format!("{fails}\n---\n{fails}\n---\n{}", Steps { name }.works(""));
    Script { name, kind, text, handled: "", fails_by, works_by: Tls::Plain }
}

pub fn cases() -> Vec<Script> {
    let move_to = "handled = \"move\"\nmove_to = \"Done\"";
    let login = |answer: &str| format!("{GREETING}C: $tag LOGIN \"joe\" {{*\nS: {answer}\n");
    let no_starttls = "S: * OK ready\nC: $tag CAPABILITY\nS: * CAPABILITY IMAP4rev1\nS: $tag OK done";
    vec![
        away("no_such_host", Kind::Dns),
        away("nobody_listens", Kind::ConnectionRefused),
        away("no_route", Kind::Unreachable),
        by_tls("starttls_not_offered", Kind::NoStartTls, (Tls::Starttls, no_starttls)),
        by_tls(
            "starttls_refused",
            Kind::NoStartTls,
            (
                Tls::Starttls,
                "S: * OK ready\nC: $tag CAPABILITY\nS: * CAPABILITY IMAP4rev1 STARTTLS\nS: $tag OK done\n\
                 C: $tag STARTTLS\nS: $tag NO not today",
            ),
        ),
        by_tls("expired_certificate", Kind::TlsExpired, (Tls::Tls, "!tls expired")),
        by_tls("no_tls_here", Kind::TlsRefused, (Tls::Tls, "S: * OK ready")),
        by_tls("handshake_hangs", Kind::Silent, (Tls::Tls, "!stall")),
        twice("greeting_hangs", Kind::Silent, |_| "!stall\n".into()),
        twice("greeting_is_cut", Kind::Cut, |_| "!close\n".into()),
        twice("greeting_of_another_protocol", Kind::Garbage, |_| "S: 220 mail.example.org ESMTP\n".into()),
        twice("greeting_says_bye", Kind::Bye, |_| "S: * BYE down for maintenance\n".into()),
        twice("too_many_connections", Kind::Throttled, |_| {
            "S: * BYE Too many connections from your IP\n".into()
        }),
        twice("login_refused_without_a_code", Kind::Login, |_| login("$tag NO LOGIN failed.")),
        twice("login_wants_another_password", Kind::Login, |_| {
            login("$tag NO [ALERT] Application-specific password required \u{7}(Failure)")
        }),
        twice("login_not_understood", Kind::NotUnderstood, |_| login("$tag BAD what?")),
        twice("login_unavailable", Kind::Unavailable, |_| {
            login("$tag NO [UNAVAILABLE] Temporary authentication failure.")
        }),
        twice("login_in_use", Kind::InUse, |_| login("$tag NO [INUSE] Mailbox is locked by another process")),
        twice("login_limit", Kind::Throttled, |_| {
            login("$tag NO [LIMIT] Maximum number of connections from user+IP exceeded")
        }),
        twice("login_throttled", Kind::Throttled, |_| {
            login("$tag NO [THROTTLED] Request is throttled. Suggested Backoff Time: 997140 milliseconds")
        }),
        twice("login_disabled", Kind::LoginUnsupported, |_| {
            "S: * OK [CAPABILITY IMAP4rev1 LOGINDISABLED] ready\n!stall\n".into()
        }),
        twice("login_hangs", Kind::Silent, |_| format!("{GREETING}C: $tag LOGIN *\n!stall\n")),
        twice("login_says_bye", Kind::Bye, |_| login("* BYE Autologout; idle for too long")),
        twice("select_refused", Kind::Refused, |s| {
            format!("{}{SELECT}S: $tag NO not today\n{LOGOUT}", s.logged_in())
        }),
        twice("select_not_understood", Kind::NotUnderstood, |s| {
            format!("{}{SELECT}S: $tag BAD what?\n{LOGOUT}", s.logged_in())
        }),
        twice("select_has_no_permission", Kind::NoRights, |s| {
            format!("{}{SELECT}S: $tag NO [NOPERM] Permission denied\n{LOGOUT}", s.logged_in())
        }),
        twice("select_says_bye", Kind::Unavailable, |s| {
            format!("{}{SELECT}S: * BYE Server unavailable. 15\n!close\n", s.logged_in())
        }),
        twice("list_refused", Kind::Refused, |s| format!("{}{LIST}S: $tag NO why\n{LOGOUT}", s.selected())),
        twice("list_hangs", Kind::Silent, |s| {
            format!("{}{LIST}S: * 1 FETCH (UID 1 FLAGS ())\n!stall\n", s.selected())
        }),
        twice("list_is_garbage", Kind::Garbage, |s| {
            format!("{}{LIST}S: <html>Sign in</html>\n", s.selected())
        }),
        twice("fetch_refused", Kind::Throttled, |s| {
            let words = "[ALERT] Account exceeded command or bandwidth limits.";
            format!("{}{FETCH}S: $tag NO {words}\n{LOGOUT}", s.listed(&s.selected()))
        }),
        twice("fetch_not_understood", Kind::NotUnderstood, |s| {
            format!("{}{FETCH}S: $tag BAD Error in IMAP command\n{LOGOUT}", s.listed(&s.selected()))
        }),
        twice("fetch_hangs", Kind::Silent, |s| format!("{}{FETCH}!stall\n", s.listed(&s.selected()))),
        twice("fetch_hangs_within_the_message", Kind::Silent, |s| {
            let half = "!half \"* 1 FETCH (UID 1 BODY[]<0> {100}\\r\\nFrom: jo\"";
            format!("{}{FETCH}{half}\n!stall\n", s.listed(&s.selected()))
        }),
        twice("fetch_is_cut_within_the_message", Kind::Cut, |s| {
            let half = "!half \"* 1 FETCH (UID 1 BODY[]<0> {100}\\r\\nFrom: jo\"";
            format!("{}{FETCH}{half}\n!close\n", s.listed(&s.selected()))
        }),
        keeps(
            "folder_is_read_only",
            Kind::NoRights,
            ("", "S: $tag OK [READ-ONLY] look only\n"),
            &format!("{STORE}S: $tag NO Mailbox cannot be written\n"),
        ),
        keeps(
            "expunge_refused",
            Kind::NotRemoved,
            ("", SELECTED),
            &format!("{STORE}{OK}{EXPUNGE}S: $tag NO it is kept for the records\n"),
        ),
        keeps(
            "move_target_missing",
            Kind::TargetMissing,
            (move_to, SELECTED),
            &format!(
                "{MOVE}S: $tag NO [TRYCREATE] no such folder\nC: $tag CREATE \"Done\"\nS: $tag NO Invalid mailbox name\n"
            ),
        ),
        keeps(
            "move_over_quota",
            Kind::Quota,
            (move_to, SELECTED),
            &format!("{MOVE}S: $tag NO [OVERQUOTA] Quota exceeded (mailbox for user is full)\n"),
        ),
        keeps("removal_says_bye", Kind::Bye, ("", SELECTED), &format!("{STORE}S: * BYE enough\n!close\n")),
    ]
}
