//! From an address to a session that is logged in: greeting, STARTTLS, password or token, capabilities.
//!
//! They go out in the clear only when the settings ask for a connection without TLS.

use super::command::{Command, quoted};
use super::wire::{Greeting, Wire};
use crate::failure::{Failure, Kind, Step};
use crate::net::sasl::{self, CANCEL, Challenge, Mechanism, Refusal};
use crate::net::{Bearer, Proof, Stream};
use crate::sources::{ServerSettings, Tls};

/// RFC 2683 §3.2.1.5: servers should take command lines of 8000 octets. A longer token waits for the server's go.
const LINE_LIMIT: usize = 7000;

/// The session and the server's greeting.
pub(super) async fn log_in(settings: &ServerSettings) -> Result<(Wire, String), Failure> {
    settings.login.try_with(|proof| log_in_with(settings, proof)).await
}

async fn log_in_with(settings: &ServerSettings, proof: Proof) -> Result<(Wire, String), Failure> {
    let mut wire = Wire::new(settings.dial().await?, settings.deadlines);
    wire.secrets = secrets(&proof, settings);
    wire.leave_at = proof.leave_at();
    let greeting = greet(&mut wire, settings.tls).await?;
    if settings.tls == Tls::StartTls {
        wire = start_tls(wire, settings).await?;
    }
    if let Greeting::Ready(_) = greeting {
        if wire.capabilities.0.is_empty() {
            wire.tell(Command::new("CAPABILITY")).await?;
        }
        match &proof {
            Proof::Password { user, password } => {
                by_password(&mut wire, (user, password.expose()), settings.tls).await?;
            }
            Proof::Token(bearer) => by_token(&mut wire, bearer, settings).await?,
        }
    }
    // RFC 3501 §6.2.3: capabilities change with the login; many servers state them in its answer.
    if wire.capabilities.0.is_empty() {
        wire.tell(Command::new("CAPABILITY")).await?;
    }
    let (Greeting::Ready(words) | Greeting::KnowsUs(words) | Greeting::Bye(words)) = greeting else {
        return Err(not_imap());
    };
    Ok((wire, words))
}

async fn greet(wire: &mut Wire, tls: Tls) -> Result<Greeting, Failure> {
    let greeting = wire.greeting().await.map_err(|failure| {
        let hint = match (tls, failure.kind) {
            (Tls::StartTls | Tls::Plain, Kind::Silent) => {
                "no IMAP greeting; a port that wants TLS from the start keeps silent"
            }
            _ => "no IMAP greeting",
        };
        failure.of(hint)
    })?;
    match greeting {
        Greeting::Bye(words) => {
            let failure = Failure::temporary(format!("the server turns us away: {words}"));
            Err(failure.said(Step::Greeting, &words))
        }
        Greeting::NotImap => Err(not_imap()),
        // Whoever strips STARTTLS from the line may also pretend that nothing is left to protect.
        Greeting::KnowsUs(_) if tls == Tls::StartTls => Err(Failure::temporary(
            "the server answers PREAUTH, after which STARTTLS is impossible: use its TLS port",
        )
        .kind(Kind::NoStartTls)),
        greeting => Ok(greeting),
    }
}

fn not_imap() -> Failure {
    Failure::temporary("this is not an IMAP server: check host and port").kind(Kind::Garbage)
}

/// RFC 3501 §6.2.1, RFC 2595.
async fn start_tls(mut wire: Wire, settings: &ServerSettings) -> Result<Wire, Failure> {
    wire.tell(Command::new("CAPABILITY")).await?;
    if !wire.capabilities.has("STARTTLS") {
        return Err(Failure::temporary(
            "the server does not offer STARTTLS: use its TLS port, or ask for a connection in the clear",
        )
        .kind(Kind::NoStartTls));
    }
    wire.tell(Command::new("STARTTLS")).await.map_err(|failure| match failure.kind {
        Kind::Refused | Kind::NotUnderstood => failure.kind(Kind::NoStartTls),
        _ => failure,
    })?;
    let secrets = std::mem::take(&mut wire.secrets);
    let Stream::Plain(tcp) = wire.into_stream() else {
        return Err(Failure::permanent("STARTTLS under TLS"));
    };
    // A new wire: what was said before TLS, capabilities too, anyone may have said.
    let mut wire = Wire::new(settings.wrap(tcp).await?, settings.deadlines);
    wire.secrets = secrets;
    Ok(wire)
}

async fn by_password(wire: &mut Wire, (user, password): (&str, &str), tls: Tls) -> Result<(), Failure> {
    if user.contains('\0') || password.contains('\0') {
        let words = "a user name or password with a NUL byte cannot be sent";
        return Err(Failure::permanent(words).kind(Kind::Settings));
    }
    let is_ascii = user.is_ascii() && password.is_ascii();
    let can_login = !wire.capabilities.has("LOGINDISABLED");
    let can_plain = wire.capabilities.has("AUTH=PLAIN");
    // LOGIN knows no charset; RFC 4616 says UTF-8.
    let (command, way) = match (can_login, can_plain) {
        (true, false) => (login(user, password), "LOGIN"),
        (true, true) if is_ascii => (login(user, password), "LOGIN"),
        (_, true) => (Command::new("AUTHENTICATE PLAIN").then_line(&sasl::plain(user, password)), "PLAIN"),
        (false, false) => {
            return Err(Failure::temporary(match tls {
                Tls::Plain => {
                    "the server takes no password in the clear (LOGINDISABLED): use TLS or STARTTLS"
                }
                _ => "the server takes no password (LOGINDISABLED, no AUTH=PLAIN): it may want OAuth",
            })
            .kind(Kind::LoginUnsupported));
        }
    };
    wire.capabilities.0.clear();
    wire.signed_in_by = way;
    let reply = wire.ask(command, &mut |_, _| Ok(())).await?;
    if reply.is_ok {
        return Ok(());
    }
    let words = format!("the server refuses the login of {user:?}: {}", reply.words);
    // RFC 5530: only these say that the password is at fault and not the server.
    let is_lasting = ["[AUTHENTICATIONFAILED]", "[AUTHORIZATIONFAILED]", "[EXPIRED]"]
        .iter()
        .any(|code| reply.words.contains(code));
    let failure = if is_lasting {
        Failure::permanent(format!("{words} (check user name and password)"))
    } else {
        Failure::temporary(words)
    };
    Err(failure.said(Step::Login, &reply.words))
}

async fn by_token(wire: &mut Wire, bearer: &Bearer, settings: &ServerSettings) -> Result<(), Failure> {
    let offered = std::mem::take(&mut wire.capabilities);
    let mut mechanisms =
        Mechanism::offered(|name| offered.has(&format!("AUTH={name}"))).into_iter().peekable();
    while let Some(mechanism) = mechanisms.next() {
        let response = mechanism.response(bearer, &settings.host, settings.port);
        let command = Command::new(match mechanism {
            Mechanism::Oauthbearer => "AUTHENTICATE OAUTHBEARER",
            Mechanism::Xoauth2 => "AUTHENTICATE XOAUTH2",
        });
        // RFC 4959 §3.
        let fits = offered.has("SASL-IR") && response.len() + 40 <= LINE_LIMIT;
        let command = if fits { command.word(&response) } else { command.then_line(&response) };
        let command = command.then_line(mechanism.farewell()).then_line(CANCEL);
        wire.signed_in_by = mechanism.name();
        let reply = wire.ask(command, &mut |_, _| Ok(())).await?;
        if reply.is_ok {
            return Ok(());
        }
        let refusal =
            Refusal { mechanism, challenge: Challenge::parse(&reply.challenge), words: reply.words };
        if !refusal.is_of_mechanism() || mechanisms.peek().is_none() {
            return Err(refusal.failure(&bearer.user));
        }
    }
    let offered: Vec<&str> =
        offered.0.iter().filter(|c| c.starts_with("AUTH=")).map(String::as_str).collect();
    Err(sasl::not_offered(&offered.join(" ")))
}

fn login(user: &str, password: &str) -> Command {
    Command::new("LOGIN").string(user).string(password)
}

/// Password or token as it may be written on the wire, and so echoed by it.
fn secrets(proof: &Proof, settings: &ServerSettings) -> Vec<String> {
    match proof {
        Proof::Password { user, password } => {
            let password = password.expose();
            vec![sasl::plain(user, password), quoted(password), password.to_owned()]
        }
        Proof::Token(bearer) => sasl::secrets(bearer, &settings.host, settings.port),
    }
}
