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
    /// The sender bears the name that no person and no shop has.
    pub is_mailer_daemon: bool,
    /// Sent with a return path that is not of a mail system: a report should have none.
    pub is_returnable: bool,
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

    /// It may be a postmaster who writes: a code, or the mail that is returned, must say that mail has failed.
    pub fn needs_proof(self) -> bool {
        !self.is_null && !self.is_marked && !self.is_mailer_daemon && !self.is_titled
    }

    /// It may be an office that delivers other things: its words must speak of mail.
    pub fn needs_mail(self) -> bool {
        self.is_returnable && !self.is_marked && !self.is_mailer_daemon
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
    "internet gateway",
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
    "deferred",
    "mail queued",
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
    "warning: could not",
    "warning: message",
    "warning: mail",
    "warning: delivery",
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
    "발송 실패",
    "발송실패",
    "전송되지",
    "배달되지",
    "배달 실패",
    "배달할 수 없",
    "未送达",
    "未送達",
    "未传递",
    "未傳遞",
    "无法传递",
    "传递失败",
    "傳遞失敗",
    "投遞失敗",
    "发送失败",
    "發送失敗",
    "送信失敗",
    "送信に失敗",
    "配信に失敗",
    "配信失敗",
    "送信されませんでした",
    "配信されませんでした",
    "送信できませんでした",
    "ei voi toimittaa",
    "ei voitu toimittaa",
    "non délivr",
    "non délivré",
    "echec de",
    "impossible de remettre",
    "pas pu être remis",
    "retardé",
    "non consegn",
    "errore di consegna",
    "recapito non riuscito",
    "non è stato recapitato",
    "non è stato possibile recapitare",
    "falha na entrega",
    "falha de entrega",
    "falha no envio",
    "error de entrega",
    "fallo en la entrega",
    "error en la entrega",
    "nie została dostarczona",
    "nie mogła zostać dostarczona",
    "niedostarczal",
    "zwrot wiadomości",
    "zwrot poczty",
    "nedoručen",
    "nedoručiteľn",
    "nepodařilo se doručit",
    "inte att leverera",
    "inte levereras",
    "kunne ikke leveres",
    "kunne ikke levere",
    "kézbesítés",
    "nem kézbesíthető",
    "nelivrabil",
    "nelivrat",
    "imposibil de livrat",
    "не може да бъде доставен",
    "не вдалося доставити",
    "неможливо доставити",
    "не удалось доставить",
    "не может быть доставлен",
    "сбой доставки",
    "ошибка доставки",
    "ошибка при доставке",
    "возврат письма",
    "возврат почты",
    "teslim edilemiyor",
    "iletilemedi",
    "gönderilemedi",
    "δεν παραδόθηκε",
    "δεν είναι δυνατή η παράδοση",
    "לא ניתן למסירה",
    "לא נמסר",
    "غير قابل للتسليم",
    "تعذر تسليم",
    "ไม่สามารถส่ง",
    "tidak terkirim",
    "gagal terkirim",
    "không gửi được",
    "không thể gửi",
    "nije isporučen",
    "verzögert",
    "vertraagd",
    "遅延",
    "延迟送达",
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
        is_mailer_daemon: message.header("From").is_some_and(|from| {
            let from = from.to_lowercase();
            ["mailer-daemon", "mail delivery system", "mail delivery subsystem"]
                .iter()
                .any(|w| from.contains(w))
        }),
        is_returnable: matches!(&message.return_path, ReturnPath::Address(path)
            if !["mailer-daemon", "postmaster"].iter().any(|name| path.local().starts_with(name))),
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
        || ABSENCES.begin(subject.trim_start().to_lowercase().as_str())
}

/// Whether the words, lower case, speak of mail.
pub(super) fn is_of_mail(flat: &str) -> bool {
    MAIL.are_in(flat)
}

static MAIL: LazyLock<Phrases> = LazyLock::new(|| {
    Phrases::new([
        "mail",
        "message",
        "nachricht",
        "mensa",
        "messag",
        "correo",
        "bericht",
        "courri",
        "письм",
        "сообщен",
        "wiadomo",
        "viesti",
        "meddel",
        "besked",
        "zpráv",
        "üzenet",
        "ileti",
        "メール",
        "送信",
        "메일",
        "邮件",
        "郵件",
    ])
});

/// How automatic answers begin, with a subject behind that may be any; lower case.
static ABSENCES: LazyLock<Phrases> = LazyLock::new(|| {
    Phrases::new([
        "automatic reply",
        "automatic response",
        "auto reply",
        "auto-reply",
        "autoreply",
        "auto response",
        "auto:",
        "out of office",
        "out of the office",
        "out-of-office",
        "vacation",
        "abwesenheit",
        "automatische antwort",
        "automatisch antwoord",
        "afwezig",
        "réponse automatique",
        "absence",
        "respuesta automática",
        "fuera de",
        "resposta automática",
        "risposta automatica",
        "fuori ufficio",
        "autosvar",
        "automatiskt svar",
        "automatisk svar",
        "automaattinen vastaus",
        "automatyczna odpowiedź",
        "automatická odpověď",
        "автоответ",
        "автоматический ответ",
        "自動応答",
        "自動返信",
        "自动回复",
        "自動回覆",
        "자동 회신",
    ])
});
