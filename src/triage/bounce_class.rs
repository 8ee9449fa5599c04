//! Why mail came back, in one word: the class of a bounce.
//!
//! A table in order, the first row that fits: words that can mean but one thing; the enhanced status (RFC 3463, and the
//! codes registered since: RFC 4954, 5248, 7293, 7372, 7505, 8617); words that are less sure; the reply code.
//! The diagnostic is asked first, and what else the report says only where the diagnostic tells nothing.

/// What a report says of a recipient.
#[derive(Clone, Copy, Debug)]
pub struct Said<'a> {
    pub status: Status,
    pub reply_code: Option<u16>,
    pub diagnostic: &'a str,
    /// The report's other words about him.
    pub words: &'a str,
}

/// A class with the row that gave it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Class {
    pub name: &'static str,
    pub evidence: String,
}

impl Class {
    fn by(name: &'static str, row: &str, evidence: impl std::fmt::Display) -> Class {
        Class { name, evidence: format!("{row} {evidence}") }
    }
}

type Words = (&'static str, &'static [&'static str]);

/// Words that mean one thing, whatever the code beside them says; lower case.
const SURE: &[Words] = &[
    // Whole phrases in which a word of a later row means something else.
    ("host_unknown", &["the account or domain may not exist", "null mx", "nullmx"]),
    (
        "rejected",
        &[
            "group you tried to contact",
            "groups.google.com/support",
            "/group/",
            "valid from:",
            "sender address rejected: domain not found",
        ],
    ),
    (
        "content",
        &[
            "duplicate header",
            "messages with multiple",
            "header are not accepted",
            "not rfc 5322 compliant",
            "not rfc 2822 compliant",
            "rfc 5322 specifications",
            "not compliant with rfc",
        ],
    ),
    ("system", &["unknown mailer error", "queue file write error"]),
    ("network", &["dns query failed", "dns error:"]),
    ("user_unknown", &["recipient address rejected: access denied ["]),
    (
        "spam",
        &[
            "due to spam",
            "spam classification",
            "detected as spam",
            "classified as spam",
            "identified as spam",
            "considered spam",
            "due to ip reputation",
        ],
    ),
    (
        "virus",
        &[
            "virus",
            "malware",
            "trojan",
            "infected",
            "worm detected",
            "prohibited attachment",
            "dangerous attachment",
            "executable attachment",
        ],
    ),
    (
        "auth",
        &[
            "dmarc",
            "spf fail",
            "spf check",
            "fail spf",
            "spf validation",
            "spf record",
            "spf: ",
            "spf hard",
            "spf/",
            "sender policy framework",
            "openspf",
            "dkim",
            "authentication-results",
            "sender id (pra)",
            "unauthenticated email",
            "unauthenticated sender",
            "this mail is unauthenticated",
            "is unauthenticated",
            "authentication required",
            "authentication is required",
            "authentication failed",
            "authentication failure",
            "authenticate with",
            "smtp auth",
            "must authenticate",
            "sender not authenticated",
            "not authenticated",
        ],
    ),
    (
        "policy",
        &[
            "reverse dns",
            "ptr record",
            "ptr dns",
            "no ptr",
            "rdns",
            "cannot find your hostname",
            "cannot find your reverse hostname",
            "cannot resolve your address",
            "client host rejected: cannot",
            "unverifyable",
            "unverifiable",
            "mismatches client ip",
            "banned sending ip",
            "refused to talk to me",
            "invalid ip",
            "user complaints",
            "ip name lookup failed",
            "without reverse",
            "reverse hostname",
            "fix reverse",
            "does not resolve to",
            "relaying denied",
            "relay denied",
            "relay access denied",
            "relay not permitted",
            "relaying not allowed",
            "relay operation rejected",
            "relaying prohibited",
            "not relay",
            "unable to relay",
            "relay is prohibited",
            "that domain isn't in my list of allowed rcpthosts",
            "open relay",
            "you are not allowed to relay",
        ],
    ),
    (
        "spam",
        &[
            "spam",
            "junk mail",
            "unsolicited",
            "bulk mail",
            "bulk email",
            "dnsbl",
            "rbl",
            "spamhaus",
            "spamcop",
            "barracudacentral",
            "barracuda reputation",
            "sorbs",
            "surbl",
            "uribl",
            "blacklist",
            "black list",
            "blocklist",
            "block list",
            "blocked using",
            "blocked by ",
            "poor reputation",
            "bad reputation",
            "low reputation",
            "reputation of the sending",
            "sender reputation",
            "senderscore",
            "ubl ",
            "content filter rejected",
            "message content rejected",
            "denied by policy due to content",
            "message filtered",
            "looks like",
            "gtube",
            // Orange: its codes for spam.
            "ofr_506",
            "ofr506",
        ],
    ),
    (
        "mailbox_full",
        &[
            "mailbox full",
            "mailbox is full",
            "mail box full",
            "mail box is full",
            "mbox full",
            "mailfolder is full",
            "mailbox exceeds",
            "mailbox size limit",
            "mailbox for user is full",
            "mailbox has exceeded",
            "mailbox over",
            "mailbox would exceed",
            "inbox is full",
            "inbox full",
            "account is full",
            "account is over",
            "over quota",
            "overquota",
            "over the quota",
            "over disk quota",
            "over his quota",
            "over their quota",
            "over its quota",
            "over the maximum allowed",
            "over the storage limit",
            "out of storage",
            "quota exceed",
            "quota usage exceeded",
            "quota violation",
            "quota is over",
            "quota full",
            "quota reached",
            "quota is exceeded",
            "exceeded quota",
            "exceeded storage",
            "exceeds quota",
            "exceeded its quota",
            "exceeded their quota",
            "exceeded his quota",
            "exceed quota",
            "exceeds the quota",
            "exceeded the quota",
            "beyond the quota",
            "disk quota",
            "user quota",
            "quota limit",
            "storage quota",
            "storage limit",
            "insufficient quota",
            "storequotaexceeded",
            "exceeded storage allocation",
            "allowed size",
            "no space left on disk",
            "not enough storage space",
            "not enough space",
            "insufficient disk space",
            "too much mail",
            "is too large for",
            "recipient reached disk quota",
            "message would exceed",
            "would exceed mailbox",
            "does not have enough space",
            "mailbox quota",
            "boîte pleine",
            "buzón lleno",
            "casilla de mail agotado",
            "postfach voll",
            "postfach ist voll",
            "casella piena",
            "ящик переполнен",
            "переполнен",
            "容量",
        ],
    ),
    (
        "rate_limited",
        &[
            "rate limit",
            "ratelimit",
            "rate-limit",
            "too many messages",
            "too many connections",
            "too many concurrent",
            "too many recipients",
            "too many emails",
            "too many errors from",
            "too many smtp sessions",
            "too many unknown",
            "too much load",
            "connection limit",
            "maximum number of connections",
            "connections exceeded",
            "concurrent connection",
            "exceeded the maximum number of",
            "exceeded its max emails",
            "has exceeded its",
            "max emails per hour",
            "max defers and failures",
            "message rate",
            "sending rate",
            "slow down",
            "throttl",
            "try again slower",
            "greylist",
            "graylist",
            "grey-list",
            "greylisted",
            "unusual rate",
            "receiving mail at a rate",
            "receiving mail too quickly",
            "please try again slower",
        ],
    ),
    (
        "message_too_big",
        &[
            "message too large",
            "message is too large",
            "message too big",
            "message is too big",
            "message size exceeds",
            "message size too big",
            "message length exceeds",
            "message header size",
            "exceeds maximum size",
            "exceeds the maximum size",
            "exceeds size limit",
            "exceeded size limit",
            "exceeds fixed maximum message size",
            "maximum message size",
            "max message size",
            "message file too big",
            "message exceeded max",
            "size limit exceeded",
            "too large message",
            "message length limit",
            "message exceeds",
        ],
    ),
    (
        "mailbox_disabled",
        &[
            "account disabled",
            "account is disabled",
            "account has been disabled",
            "account inactive",
            "account is inactive",
            "account is not active",
            "account is locked",
            "account locked",
            "account has been suspended",
            "account suspended",
            "account is suspended",
            "account expired",
            "account that you tried to reach is disabled",
            "account deactivated",
            "account is temporarily unavailable",
            "account closed",
            "account has been closed",
            "account blocked",
            "account is blocked",
            "account terminated",
            "disabled or discontinued",
            "disabled recipient",
            "recipient disabled",
            "recipient suspend",
            "recipient is inactive",
            "recipient is suspended",
            "recipient is disabled",
            "mailbox disabled",
            "mailbox is disabled",
            "mailbox currently suspended",
            "mailbox is inactive",
            "mailbox inactive",
            "mailbox is frozen",
            "mailbox frozen",
            "mailbox locked",
            "mailbox unavailable or access denied",
            "mailbox has been suspended",
            "mailbox has been blocked",
            "inactive on this domain",
            "user is inactive",
            "inactive user",
            "user inactive",
            "user suspended",
            "user has been suspended",
            "user disabled",
            "user is disabled",
            "domain is disabled",
            "domain is inactive",
            "domain has been suspended",
            "domain currently disabled",
            "invalid/inactive",
            "not currently accepting mail",
            "no longer active",
            "this account has been",
            "email account that you tried to reach is inactive",
            "delivery to this user has been disabled",
            "temporarily locked",
            "discontinued",
            "vdelivermail: account is locked",
        ],
    ),
    (
        "moved",
        &[
            "user has moved",
            "has moved to",
            "mailbox has moved",
            "recipient has moved",
            "address has been replaced by",
            "address changed to",
            "new address",
            "has been replaced by",
            "please try <",
            "has a new email address",
            "has left this",
            "no longer at this address",
        ],
    ),
    (
        "user_unknown",
        &[
            "user unknown",
            "user is unknown",
            "unknown user",
            "unknown local",
            "unknown recipient",
            "unknown address",
            "unknown mailbox",
            "unknown or illegal alias",
            "unknown or invalid",
            "recipient unknown",
            "address unknown",
            "mailbox unknown",
            "addressee unknown",
            "no such user",
            "no such recipient",
            "no such mailbox",
            "no such address",
            "no such person",
            "no such account",
            "no such local",
            "no such id",
            "no mailbox here",
            "no mailbox by that name",
            "no mailbox found",
            "no mailbox with",
            "no mail box available for this user",
            "no mail box available",
            "no account by that name",
            "no account exists",
            "no user here",
            "no user found",
            "no user with that",
            "no user exist",
            "no valid recipient",
            "no known mailbox",
            "no one by that name",
            "no local mailbox",
            "no matches to nameserver",
            "no person matches",
            "not a known user",
            "not a valid mailbox",
            "not a valid user",
            "not a valid recipient",
            "not a valid address",
            "not a local address",
            "not a member",
            "isn't a valid",
            "not our customer",
            "not known at this site",
            "not known here",
            "not listed in",
            "not found in name",
            "not in address book",
            "not recognized",
            "not have an account",
            "doesn't have a yahoo",
            "doesn't have an account",
            "doesn't have a ",
            "does not have a ",
            "user not found",
            "user not known",
            "user not exist",
            "user not exits",
            "user doesn't exist",
            "user does not exist",
            "user (not found",
            "account not exist",
            "account not found",
            "account does not exist",
            "account doesn't exist",
            "account that you tried to reach does not exist",
            "account that you tried to reach doesn't exist",
            "address does not exist",
            "address doesn't exist",
            "address not present",
            "address not found",
            "address wasn't found",
            "address couldn't be found",
            "address could not be found",
            "address was not found",
            "mailbox does not exist",
            "mailbox doesn't exist",
            "mailbox not found",
            "mailbox not available",
            "mailbox not present",
            "mailbox is not here",
            "mailbox you specified does not exist",
            "mailbox is absent",
            "recipient not found",
            "recipient not exist",
            "recipient not listed",
            "recipient does not exist",
            "recipient doesn't exist",
            "recipient not ok",
            "recipient no found",
            "recipient does not have",
            "recipient's email address is not found",
            "recipnotfound",
            "invalid recipient",
            "invalid mailbox",
            "invalid user",
            "invalid address",
            "invalid alias",
            "addressee not found",
            "bad destination mailbox",
            "bad destination email",
            "bad recipient",
            "bad address",
            "delivery failed, no such",
            "does not exist here",
            "destination addresses were unknown",
            "destination server rejected recipients",
            "this user doesn't have",
            "name is not recognized",
            "undefined user",
            "undefined mail alias",
            "unknown account",
            "email address was not found",
            "who are you sending to",
            "wasn't found at",
            "unable to find recipient",
            "utilisateur inconnu",
            "destinataire inconnu",
            "adresse inconnue",
            "adresse d au moins un destinataire invalide",
            "usuario desconocido",
            "no existe",
            "não existe",
            "unbekannt",
            "empfänger nicht gefunden",
            "utente sconosciuto",
            "не существует",
            "нет такого",
            "requested action not taken: mailbox unavailable",
            "mailbox unavailable",
            "550 unrouteable",
            "550 unroutable",
            "550-unrouteable",
            "宛先が見つかり",
            "存在しません",
            "存在しない",
        ],
    ),
    (
        "host_unknown",
        &[
            "host unknown",
            "unknown host",
            "unknown domain",
            "domain unknown",
            "host not found",
            "name service error for",
            "name or service not known",
            "name server: ",
            "hostname lookup failed",
            "host or domain name not found",
            "no such domain",
            "no such host",
            "domain not found",
            "domain name not found",
            "domain does not exist",
            "domain doesn't exist",
            "domain is not reachable",
            "domain must exist",
            "domain couldn't be found",
            "does not accept mail",
            "doesn't accept mail",
            "dns lookup failure",
            "dns server returned answer with no data",
            "dns domain",
            "invalid domain",
            "bad destination host",
            "bad destination system",
            "all host address lookups failed permanently",
            "all relevant mx records point to non-existent hosts",
            "no mx or srv record",
            "no dns information",
            "no mail exchanger",
            "couldn't find any host",
            "couldn't find a mail exchanger",
            "cannot find a route",
            "can't find a valid mx",
            "unrouteable address",
            "unroutable address",
            "unrouteable mail domain",
            "unroutable domain",
            "recipient domain must exist",
            "retry time not reached for any host after a long failure period and no mx",
        ],
    ),
    (
        "expired",
        &[
            "retry timeout exceeded",
            "retry time not reached",
            "delivery time expired",
            "delivery expired",
            "message expired",
            "expired",
            "in the queue too long",
            "been in queue",
            "too long in queue",
            "could not be delivered for more than",
            "could not be delivered for ",
            "for the last ",
            "unable to deliver for",
            "within 0 days",
            "was not delivered within",
            "cannot send message for",
            "could not send message for",
            "giving up on",
            "delivery attempts failed",
            "delivery failed 20 attempts",
            "after multiple retries",
            "failed for the last",
            "message timed out",
            "maximum retries",
            "max retries",
            "delayed",
            "has been on the queue",
            "still undelivered",
            "not yet been delivered",
            "for more than ",
        ],
    ),
    (
        "network",
        &[
            "connection refused",
            "connection timed out",
            "connection timeout",
            "connection reset",
            "connection lost",
            "connection dropped",
            "connection was dropped",
            "connection failure",
            "connection closed",
            "connection died",
            "conversation with",
            "lost connection",
            "no route to host",
            "network is unreachable",
            "network unreachable",
            "network error",
            "host is unreachable",
            "host unreachable",
            "host did not respond",
            "host not reachable",
            "not responding",
            "timed out",
            "timeout",
            "requests to connect",
            "could not find a gateway",
            "couldn't connect",
            "could not connect",
            "could not contact",
            "cannot connect",
            "can't connect",
            "unable to connect",
            "unable to establish an smtp connection",
            "wasn't able to establish an smtp connection",
            "unable to resolve route",
            "connected to me instead",
            "loops back to myself",
            "mail loop",
            "mail forwarding loop",
            "loop detected",
            "loop was found",
            "loop count exceeded",
            "routing loop",
            "too many hops",
            "hop count exceeded",
            "maximum hop",
            "delivered-to header",
            "mail server temporarily rejected",
            "tls is required",
            "starttls",
            "tls handshake",
        ],
    ),
    (
        "system",
        &[
            "service currently unavailable",
            "service unavailable",
            "service not available",
            "service temporarily unavailable",
            "system resources",
            "mail system configuration",
        ],
    ),
];

/// Words that a general status lets speak; lower case.
const LIKELY: &[Words] = &[
    (
        "policy",
        &[
            "policy",
            "access denied",
            "denied by",
            "permission denied",
            "not authorized",
            "not authorised",
            "unauthorized",
            "not permitted",
            "not allowed",
            "prohibited",
            "restricted",
            "administratively denied",
            "administrative prohibition",
            "security",
            "blocked",
            "banned",
            "refused to talk",
            "service refused",
            "your host",
            "your ip",
            "your network",
            "client host",
            "client was not authenticated",
            "ip address",
            "helo",
            "ehlo",
            "reputation",
            "please use the smtp server of your isp",
            "not in compliance",
            "violat",
        ],
    ),
    (
        "rejected",
        &[
            "rejected",
            "refused",
            "sender address",
            "sender verify",
            "sender denied",
            "sender rejected",
            "sender is not",
            "sender not",
            "invalid sender",
            "bad sender",
            "return path",
            "mail from",
            "from address",
            "backscatter",
            "not accept",
            "not accepting",
            "cannot accept",
            "denied",
        ],
    ),
    (
        "content",
        &[
            "content",
            "attachment",
            "malformed",
            "rfc 5322",
            "rfc5322",
            "rfc 2822",
            "rfc2822",
            "rfc 822",
            "header",
            "conversion",
            "8bit",
            "8-bit",
            "mime",
            "bare lf",
            "bare line",
            "message format",
        ],
    ),
    (
        "user_unknown",
        &[
            "does not exist",
            "doesn't exist",
            "unknown",
            "not exist",
            "not found",
            "invalid",
            "mailbox unavailable",
            "no longer",
            "unavailable",
            "not our",
        ],
    ),
    (
        "system",
        &[
            "system error",
            "local error",
            "internal error",
            "internal server error",
            "configuration error",
            "config error",
            "local configuration",
            "local problem",
            "temporary failure",
            "temporary local problem",
            "temporary error",
            "out of memory",
            "disk full",
            "insufficient system",
            "insufficient resources",
            "unable to load",
            "can't create",
            "cannot create",
            "can't open",
            "i/o error",
            "exit status",
            "exited with",
            "command died",
            "command failed",
            "pipe to",
            "local delivery failed",
            "service unavailable",
            "service not available",
            "procmail",
            "x-unix",
            "unknown mailer error",
            "mailer error",
            "command unrecognized",
            "syntax error",
            "command not",
            "bad sequence",
            "parse error",
            "transport unavailable",
            "requested action aborted",
            "unexpected",
            "try again later",
        ],
    ),
];

/// Subject and detail of a status, the first row that fits; a detail of `ANY` fits all.
const ANY: u16 = u16::MAX;
const STATUSES: &[(u16, u16, &str)] = &[
    (1, 1, "user_unknown"),
    (1, 2, "host_unknown"),
    (1, 3, "user_unknown"),
    (1, 4, "user_unknown"),
    (1, 6, "moved"),
    // The sender's address is what they mind.
    (1, 7, "rejected"),
    (1, 8, "rejected"),
    // RFC 7505: the domain says that it takes no mail.
    (1, 10, "host_unknown"),
    (2, 1, "mailbox_disabled"),
    (2, 2, "mailbox_full"),
    (2, 3, "message_too_big"),
    (2, 4, "system"),
    (3, 4, "message_too_big"),
    (4, 5, "rate_limited"),
    (4, 7, "expired"),
    (4, 4, "host_unknown"),
    (4, 6, "network"),
    (4, ANY, "network"),
    (5, 3, "rate_limited"),
    (5, 6, "auth"),
    (6, ANY, "content"),
    // RFC 4954 and RFC 5248: our login at the relay.
    (7, 8, "auth"),
    (7, 11, "auth"),
    (7, 12, "auth"),
    (7, 13, "mailbox_disabled"),
    (7, 16, "message_too_big"),
    // RFC 7293: the address has a new owner.
    (7, 17, "user_unknown"),
    (7, 18, "host_unknown"),
    // RFC 7372 and RFC 8617: DKIM, SPF, ARC.
    (7, 20, "auth"),
    (7, 21, "auth"),
    (7, 22, "auth"),
    (7, 23, "auth"),
    (7, 24, "auth"),
    // RFC 7372 §3.3: no reverse name.
    (7, 25, "policy"),
    (7, 26, "auth"),
    (7, 27, "policy"),
    (7, 28, "rate_limited"),
    (7, 29, "auth"),
    // Not registered, but Microsoft: DMARC.
    (7, 509, "auth"),
];

/// Statuses too general to settle it; they speak after the less sure words.
const GENERAL_STATUSES: &[(u16, u16, &str)] = &[
    (2, ANY, "rejected"),
    (3, ANY, "system"),
    (5, ANY, "system"),
    (7, ANY, "policy"),
    (1, ANY, "user_unknown"),
];

/// RFC 5321 §4.2.3: what a reply code alone says.
const REPLIES: &[(u16, &str)] = &[
    (421, "network"),
    (422, "mailbox_full"),
    (431, "system"),
    (432, "system"),
    (441, "network"),
    (442, "network"),
    (446, "network"),
    (447, "expired"),
    (450, "rejected"),
    (451, "system"),
    (452, "mailbox_full"),
    (454, "auth"),
    (500, "system"),
    (501, "system"),
    (502, "system"),
    (503, "system"),
    (504, "system"),
    (510, "user_unknown"),
    (511, "user_unknown"),
    (512, "host_unknown"),
    (521, "host_unknown"),
    (523, "message_too_big"),
    (530, "auth"),
    (535, "auth"),
    (541, "spam"),
    (550, "rejected"),
    (551, "moved"),
    (552, "mailbox_full"),
    (553, "user_unknown"),
    (554, "rejected"),
    (555, "rejected"),
    (556, "host_unknown"),
    (570, "policy"),
    (571, "policy"),
];

/// Never without an answer: `undefined` where nothing fits.
pub fn class_of(said: Said) -> Class {
    let diagnostic = without_prefaces(said.diagnostic.to_lowercase());
    let class = by_tables(said, &diagnostic);
    match class.name {
        // RFC 3463 §3.2: x.1.7 and x.1.8 are about the sender's address, and so is an answer to MAIL FROM.
        "user_unknown" | "host_unknown" if is_about_sender(said.status, &diagnostic) => {
            Class { name: "rejected", evidence: format!("{}, of the sender", class.evidence) }
        }
        // A host that is not found for now.
        "host_unknown" if is_for_now(said.status, &diagnostic) => {
            Class { name: "network", evidence: format!("{}, for now", class.evidence) }
        }
        // RFC 3463 §3.2: x.1 is about an address, and the sender's is ruled out above.
        "rejected" if said.status.subject == 1 && !is_about_sender(said.status, &diagnostic) => {
            Class::by("user_unknown", "status", said.status)
        }
        // RFC 3463 §3.8: x.7 is security or policy, whatever verb stands beside it.
        "rejected" if said.status.subject == 7 => Class::by("policy", "status", said.status),
        _ => class,
    }
}

/// Words that some servers put in front of any answer; lower case.
const PREFACES: &[&str] = &[
    // Cisco IronPort
    "unknown address error",
    // qmail
    "does not like recipient",
];

fn without_prefaces(mut diagnostic: String) -> String {
    for words in PREFACES {
        if let Some(at) = diagnostic.find(words) {
            diagnostic.replace_range(at..at + words.len(), "");
        }
    }
    diagnostic
}

fn is_for_now(status: Status, diagnostic: &str) -> bool {
    // RFC 7505: no mail now, and none later.
    let is_null = diagnostic.contains("null mx") || diagnostic.contains("nullmx");
    !is_null && (status.class == 4 || diagnostic.contains("try again"))
}

fn is_about_sender(status: Status, diagnostic: &str) -> bool {
    let is_said = ["after mail from", "reply to mail from", "response to mail from"]
        .iter()
        .any(|w| diagnostic.contains(w));
    is_said || (status.subject == 1 && matches!(status.detail, 7 | 8))
}

fn by_tables(said: Said, diagnostic: &str) -> Class {
    let words = said.words.to_lowercase();
    by_words(SURE, diagnostic, "diagnostic:")
        .or_else(|| by_status(STATUSES, said.status))
        .or_else(|| by_words(LIKELY, diagnostic, "diagnostic:"))
        .or_else(|| by_words(SURE, &words, "words:"))
        .or_else(|| by_status(GENERAL_STATUSES, said.status))
        .or_else(|| by_reply(said.reply_code))
        .or_else(|| by_words(LIKELY, &words, "words:"))
        .unwrap_or_else(|| Class::by("undefined", "no row fits", said.status))
}

fn by_words(table: &[Words], said: &str, whose: &str) -> Option<Class> {
    if said.is_empty() {
        return None;
    }
    table.iter().find_map(|(class, rows)| {
        let row = rows.iter().find(|row| said.contains(**row))?;
        Some(Class::by(class, whose, format_args!("{row:?}")))
    })
}

fn by_status(table: &[(u16, u16, &'static str)], status: Status) -> Option<Class> {
    let fits = |row: &&(u16, u16, &str)| row.0 == status.subject && (row.1 == status.detail || row.1 == ANY);
    table.iter().find(fits).map(|(_, _, class)| Class::by(class, "status", status))
}

fn by_reply(code: Option<u16>) -> Option<Class> {
    let code = code?;
    REPLIES.iter().find(|(reply, _)| *reply == code).map(|(_, class)| Class::by(class, "reply", code))
}

/// RFC 3463 §2: class "." subject "." detail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Status {
    pub class: u8,
    pub subject: u16,
    pub detail: u16,
}

impl Status {
    pub const fn general(class: u8) -> Status {
        Status { class, subject: 0, detail: 0 }
    }

    /// Words after the code are let pass: `5.1.1 (bad destination mailbox address)`.
    pub fn parse(text: &str) -> Option<Status> {
        let code = text.split_whitespace().next()?;
        let mut numbers = code.splitn(3, '.');
        let mut number = |longest: usize| -> Option<u16> {
            let digits = numbers.next()?;
            let is_number =
                (1..=longest).contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_digit());
            is_number.then(|| digits.parse().ok()).flatten()
        };
        let (class, subject, detail) = (number(1)?, number(3)?, number(3)?);
        let class = u8::try_from(class).ok().filter(|c| matches!(c, 2 | 4 | 5))?;
        Some(Status { class, subject, detail })
    }
}

impl std::fmt::Display for Status {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}.{}", self.class, self.subject, self.detail)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statuses_have_their_class() {
        for (status, diagnostic, expected) in [
            ("5.1.1", "", "user_unknown"),
            ("5.1.2", "", "host_unknown"),
            ("5.1.6", "", "moved"),
            ("5.1.10", "", "host_unknown"),
            ("5.2.1", "", "mailbox_disabled"),
            ("4.2.2", "", "mailbox_full"),
            ("5.2.3", "", "message_too_big"),
            ("5.3.4", "", "message_too_big"),
            ("5.3.0", "", "system"),
            ("4.4.1", "", "network"),
            ("4.4.7", "", "expired"),
            ("5.6.3", "", "content"),
            ("5.7.1", "550 5.7.1 rejected as SPAM", "spam"),
            ("5.7.1", "550 5.7.1 relaying denied", "policy"),
            ("5.7.8", "", "auth"),
            ("4.7.28", "", "rate_limited"),
            ("5.0.0", "550 no such user here", "user_unknown"),
            ("5.0.0", "", "undefined"),
            ("5.999.999", "", "undefined"),
            ("5.1.0", "550 5.1.0 unknown address error 550-'denied by policy'", "policy"),
            ("5.1.8", "550 5.1.8 no such domain", "rejected"),
            ("4.0.0", "host not found", "network"),
            ("5.0.0", "null mx", "host_unknown"),
            ("5.7.1", "550 rejected", "policy"),
        ] {
            let parsed = Status::parse(status).unwrap();
            let said = Said { status: parsed, reply_code: None, diagnostic, words: "" };
            assert_eq!(class_of(said).name, expected, "{status} {diagnostic}");
        }
    }

    #[test]
    fn only_codes_of_rfc_3463_are_statuses() {
        assert_eq!(Status::parse("5.1.1 (no mailbox)").unwrap().to_string(), "5.1.1");
        for bad in ["", "5", "5.1", "550", "3.1.1", "5.1.x", "5.1.1234", "5.1.1.1", "-5.1.1", "5..1"] {
            assert_eq!(Status::parse(bad), None, "{bad:?}");
        }
    }
}
