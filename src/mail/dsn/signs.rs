//! Does a machine of the mail system write here? By the header fields alone, so that ordinary mail costs next to nothing.

use std::sync::LazyLock;

use super::super::phrases::Phrases;
use super::super::{Message, ReturnPath};

/// What speaks for a report before its words are looked at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Signs {
    /// The sender is named like a mail system.
    pub is_daemon: bool,
    /// RFC 5321 §4.5.5: reports have the null reverse-path, and so have automatic answers.
    pub is_null: bool,
    /// The subject is that of a report.
    pub is_titled: bool,
    /// A field that only reports bear.
    pub is_marked: bool,
    /// Sent from an address that nobody reads.
    pub is_unattended: bool,
    /// The subject says that it answers somebody.
    pub is_answer: bool,
}

impl Signs {
    /// Nothing a person's mail has: a person may well write about a report, and quote it.
    pub fn is_machine(self) -> bool {
        self.is_daemon || self.is_null || self.is_marked || (self.is_titled && self.is_unattended)
    }

    /// It may be a shop about a parcel, or a postmaster who answers a question: a server's code must stand in its words.
    pub fn needs_code(self) -> bool {
        !self.is_null && !self.is_marked && (!self.is_daemon || self.is_answer)
    }

    /// Two things that agree.
    pub fn is_strong(self) -> bool {
        self.is_marked || (self.is_titled && (self.is_daemon || self.is_null))
    }
}

/// Names of mail systems in From, in the address or the name; lower case.
const DAEMONS: &[&str] = &[
    "mailer-daemon",
    "mailerdaemon",
    "mailer_daemon",
    "mail-daemon",
    "maildaemon",
    "mail daemon",
    "mailer daemon",
    "postmaster",
    "post-master",
    "post.master",
    "postoffice",
    "mail delivery s",
    "mail delivery agent",
    "maildelivery",
    "mail-delivery",
    "delivery subsystem",
    "delivery system",
    "delivery-notification",
    "delivery notification",
    "deliveryservice",
    "mail administrator",
    "mailadmin",
    "mail_admin",
    "system administrator",
    "systemadministrator",
    "mail router",
    "mail gateway",
    "mail transport",
    "mail system",
    "mailsystem",
    "mmdf mail",
    "mdaemon@",
    "smtp server",
    "mail server",
    "smtp gateway",
    "bounce@",
    "bounces@",
    "microsoft outlook",
    "microsoftexchange",
    "undelivered",
    "undeliverable",
    "nondelivery",
    "non-delivery",
    "mailhandler",
    "internet mail delivery",
    "automatic-email-",
    "uucp",
];

/// How subjects of reports read, lower case.
pub(super) const TITLES: &[&str] = &[
    "undeliver",
    "undelivrable",
    "not deliver",
    "returned mail",
    "returned to sender",
    "returning message to sender",
    "return to sender",
    "mail returned",
    "message returned",
    "failure notice",
    "failure notification",
    "delivery fail",
    "delivery status",
    "delivery notification",
    "delivery report",
    "delivery problem",
    "delivery error",
    "delivery has failed",
    "delivery attempts",
    "delivery delay",
    "delivery is delayed",
    "delayed mail",
    "mail delayed",
    "message delayed",
    "message delivery",
    "mail deliver",
    "mail failure",
    "mail error",
    "mail system error",
    "mail could not be delivered",
    "could not be delivered",
    "could not deliver",
    "couldn't be delivered",
    "cannot be delivered",
    "can't be delivered",
    "unable to deliver",
    "could not send message",
    "cannot send message",
    "error sending your mail",
    "not be sent",
    "nondeliverable",
    "non-deliver",
    "non deliver",
    "non remis",
    "non distribu",
    "échec de",
    "message bounced",
    "bounced mail",
    "user unknown",
    "unknown user",
    "address unknown",
    "unknown address",
    "invalid address",
    "no such user",
    "transmit",
    "ndn:",
    "dsn:",
    "status report",
    "warning: ",
    "unzustellbar",
    "nicht zugestellt",
    "zustellung",
    "rücksendung",
    "konnte nicht",
    "nicht übermittelt",
    "onbestelbaar",
    "niet bezorgd",
    "niet afgeleverd",
    "niet worden bezorgd",
    "no se puede entregar",
    "no se pudo entregar",
    "no entregado",
    "no se ha podido entregar",
    "devuelto",
    "não foi entregue",
    "não pôde ser entregue",
    "não é possível entregar",
    "não entregue",
    "devolvid",
    "non recapitat",
    "mancata consegna",
    "impossibile recapitare",
    "messaggio non consegnato",
    "niedostarczon",
    "nie można dostarczyć",
    "nie dostarczono",
    "не доставлен",
    "недоставлен",
    "невозможно доставить",
    "nedoručiteln",
    "doručení",
    "ej levererat",
    "kan inte levereras",
    "olevererbar",
    "kan ikke leveres",
    "ulevert",
    "toimittaminen",
    "toimitus epäonnistui",
    "kézbesíthetetlen",
    "teslim edilemedi",
    "não entregue",
    "エラーメール",
    "メールエラー",
    "送信できません",
    "配信できません",
    "配信エラー",
    "送信エラー",
    "配信不能",
    "未送信",
    "未達",
    "退信",
    "无法投递",
    "無法傳遞",
    "无法送达",
    "無法遞送",
    "投递失败",
    "반송",
    "전송 실패",
];

static DAEMON_NAMES: LazyLock<Phrases> = LazyLock::new(|| Phrases::new(DAEMONS.iter().copied()));
static TITLE_WORDS: LazyLock<Phrases> = LazyLock::new(|| Phrases::new(TITLES.iter().copied()));

/// Fields that only reports bear.
const MARKS: &[&str] =
    &["X-Failed-Recipients", "X-MS-Exchange-Message-Is-Ndr", "X-DSN-Reason", "X-Amz-Bounce"];

/// Of the top of a message.
pub(super) fn signs(message: &Message) -> Signs {
    Signs {
        is_daemon: message.header("From").is_some_and(is_daemon),
        is_null: message.return_path == ReturnPath::Null || is_return_path_of_daemon(message),
        is_titled: is_title(&message.subject),
        is_answer: is_answer(&message.subject),
        is_marked: MARKS.iter().any(|name| message.has_header(name)),
        is_unattended: message
            .from
            .as_ref()
            .is_some_and(|f| matches!(f.address.local(), "no-reply" | "noreply" | "no_reply" | "donotreply")),
    }
}

/// Whether it says that it answers or forwards a mail.
pub(super) fn is_reply(message: &Message) -> bool {
    is_answer(&message.subject) || ["In-Reply-To", "References"].iter().any(|name| message.has_header(name))
}

fn is_daemon(value: &str) -> bool {
    let said = value.to_lowercase();
    let is_bare_null = said.trim_end().ends_with("<>");
    is_bare_null || DAEMON_NAMES.are_in(&said)
}

fn is_return_path_of_daemon(message: &Message) -> bool {
    match &message.return_path {
        ReturnPath::Address(path) => path.local().starts_with("mailer-daemon"),
        _ => false,
    }
}

/// An answer to a report is none: what stands behind `Re:` is not looked at.
fn is_title(subject: &str) -> bool {
    !is_answer(subject) && TITLE_WORDS.are_in(&subject.to_lowercase())
}

fn is_answer(subject: &str) -> bool {
    let starts =
        |mark: &&str| subject.get(..mark.len()).is_some_and(|start| start.eq_ignore_ascii_case(mark));
    ["re:", "aw:", "fw:", "fwd:", "wg:", "sv:"].iter().any(starts)
}
