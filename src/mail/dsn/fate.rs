//! What became of a mail by the words of a report: it has failed, unless they say that it is on its way or has arrived.

/// How a report says that it is still trying; lower case.
const DELAYS: &[&str] = &[
    "will be retried",
    "will retry",
    "will continue to",
    "will keep trying",
    "keep trying",
    "delivery attempts will continue",
    "you do not need to resend",
    "do not resend",
    "no need to resend",
    "warning message only",
    "this is a warning only",
    "not yet been delivered",
    "not been delivered yet",
    "has been delayed",
    "is delayed",
    "was delayed",
    "still trying",
    "will try again",
    "delivery will be attempted",
    "continuing to try",
    "further attempts",
    "only a temporary failure report",
    "wird weiter versucht",
    "weiterhin versucht",
    "erneut versucht",
    "weitere zustellversuche",
    "noch nicht zugestellt",
    "verzögert",
    "a été retardé",
    "est retardé",
    "de nouvelles tentatives",
    "pas encore été",
    "se reintentará",
    "seguirá intentando",
    "se ha retrasado",
    "aún no se ha",
    "nova tentativa",
    "continuará tentando",
    "ainda não foi",
    "è in ritardo",
    "nuovo tentativo",
    "non è stato ancora",
    "vertraagd",
    "opnieuw geprobeerd",
    "försenat",
    "forsinket",
    "opóźnion",
    "zpožd",
    "задерж",
    "пока не доставлен",
    "попытки доставки будут",
    "будет повторен",
    "遅延",
    "再送を試み",
    "再試行",
    "延迟",
    "延遲",
    "继续尝试",
    "지연",
    "다시 시도하고",
];

/// What ends all trying, whatever else is said.
const ENDS: &[&str] = &[
    "giving up",
    "given up",
    "i give up",
    "permanent",
    "has failed",
    "no further attempts",
    "will no longer",
    "will not be",
    "won't be",
    "not try again",
    "has expired",
    "removed from the",
    "deleted from",
    "endgültig",
    "définitive",
];

const DELAYED_TITLES: &[&str] = &[
    "delay",
    "still trying",
    "warning: could not send",
    "warning: message",
    "still being retried",
    "verzögert",
    "retardé",
    "retrasado",
    "in ritardo",
    "vertraagd",
    "försenat",
    "forsinket",
    "opóźnion",
    "задерж",
    "遅延",
    "延迟",
    "延遲",
    "지연",
];

const ARRIVALS: &[(&str, &str)] = &[
    ("successfully relayed", "relayed"),
    ("relayed successfully", "relayed"),
    ("successfully delivered", "delivered"),
    ("delivered successfully", "delivered"),
    ("successful delivery notifications", "delivered"),
    ("delivery was successful", "delivered"),
];

const FAILURES: &[&str] = &[
    "could not",
    "couldn't",
    "cannot",
    "n't be delivered",
    "failed",
    "undeliver",
    "unable to",
    "not delivered",
];

/// An action of RFC 3464 §2.3.3. `flat`: the words, lower case; `subject`: of the report.
pub(super) fn fate(flat: &str, subject: &str) -> &'static str {
    if is_delayed(flat, &subject.to_lowercase()) {
        return "delayed";
    }
    let arrived = ARRIVALS.iter().find(|(words, _)| flat.contains(words));
    match arrived {
        Some((_, action)) if !FAILURES.iter().any(|words| flat.contains(words)) => action,
        _ => "failed",
    }
}

fn is_delayed(flat: &str, subject: &str) -> bool {
    let says = |list: &[&str]| list.iter().any(|words| flat.contains(words));
    DELAYED_TITLES.iter().any(|words| subject.contains(words)) || (says(DELAYS) && !says(ENDS))
}
