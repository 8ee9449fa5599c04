//! From an address to a session that is signed in: greeting, STLS, password or token, capabilities.
//!
//! They go out in the clear only when the settings ask for a connection without TLS, and a password once a session:
//! servers count failed tries.

use super::session::{Command, Session};
use super::wire::{Capabilities, code};
use crate::failure::Failure;
use crate::net::sasl::{self, CANCEL, Challenge, Mechanism, Refusal};
use crate::net::{Bearer, Proof, Stream};
use crate::sources::{ServerSettings, Tls};

/// RFC 2449 §4: the longest command, its end included.
const COMMAND_LIMIT: usize = 255;

/// The session and the server's greeting.
pub(super) async fn log_in(settings: &ServerSettings) -> Result<(Session, String), Failure> {
    settings.login.try_with(|proof| log_in_with(settings, proof)).await
}

async fn log_in_with(settings: &ServerSettings, proof: Proof) -> Result<(Session, String), Failure> {
    let mut session = Session::new(settings.dial().await?, settings.deadlines);
    session.secrets = secrets(&proof, settings);
    let greeting = greet(&mut session, settings.tls).await?;
    ask_capabilities(&mut session).await?;
    if settings.tls == Tls::StartTls {
        session = start_tls(session, settings).await?;
        ask_capabilities(&mut session).await?;
    }
    match &proof {
        Proof::Password { user, password } => {
            by_password(&mut session, (user, password.expose()), settings.tls).await?;
        }
        Proof::Token(bearer) => by_token(&mut session, bearer, settings).await?,
    }
    // RFC 2449 §5: they may differ once it is known who asks.
    if session.capabilities.is_some() {
        ask_capabilities(&mut session).await?;
    }
    Ok((session, greeting))
}

async fn greet(session: &mut Session, tls: Tls) -> Result<String, Failure> {
    let greeting = session.greeting().await.map_err(|failure| {
        failure.of(match tls {
            Tls::Tls => "no POP3 greeting",
            Tls::StartTls | Tls::Plain => {
                "no POP3 greeting; a port that wants TLS from the start keeps silent"
            }
        })
    })?;
    match greeting {
        Ok(reply) if reply.is_ok => Ok(reply.words),
        Ok(reply) => Err(Failure::temporary(format!("the server turns us away: -ERR {}", reply.words))),
        Err(start) => Err(Failure::temporary(format!(
            "this is not a POP3 server, it says {start:?}: check host and port"
        ))),
    }
}

/// CAPA came with RFC 2449; who refuses it is asked for nothing that is optional.
async fn ask_capabilities(session: &mut Session) -> Result<(), Failure> {
    let mut capabilities = Capabilities::default();
    let reply = session
        .ask_lines(Command::new("CAPA"), &mut |line| {
            capabilities.note(line);
            Ok(())
        })
        .await?;
    session.capabilities = reply.is_ok.then_some(capabilities);
    Ok(())
}

/// RFC 2595 §4.
async fn start_tls(mut session: Session, settings: &ServerSettings) -> Result<Session, Failure> {
    if session.capabilities.as_ref().is_some_and(|c| !c.has("STLS")) {
        return Err(Failure::temporary(
            "the server does not offer STLS: use its TLS port, or ask for a connection in the clear",
        ));
    }
    session.tell(Command::new("STLS")).await?;
    let secrets = std::mem::take(&mut session.secrets);
    let Stream::Plain(tcp) = session.into_stream()? else {
        return Err(Failure::permanent("STLS under TLS"));
    };
    // A new session: what was said before TLS, capabilities too, anyone may have said.
    let mut session = Session::new(settings.wrap(tcp).await?, settings.deadlines);
    session.secrets = secrets;
    Ok(session)
}

async fn by_password(session: &mut Session, (user, password): (&str, &str), tls: Tls) -> Result<(), Failure> {
    if user.contains('\0') || password.contains('\0') {
        return Err(Failure::permanent("a user name or password with a NUL byte cannot be sent"));
    }
    let offered = session.capabilities.as_ref();
    let can_user = offered.is_none_or(|c| c.has("USER"));
    let can_plain = offered.is_some_and(|c| c.has_mechanism("PLAIN"));
    let is_simple = |text: &str| text.is_ascii() && !text.contains(['\r', '\n']);
    // PASS knows no charset; RFC 4616 says UTF-8.
    let fits_user = is_simple(user) && is_simple(password);
    match (can_user, can_plain) {
        (true, false) if !user.contains(['\r', '\n']) && !password.contains(['\r', '\n']) => {
            by_user(session, user, password).await
        }
        (true, true) if fits_user => by_user(session, user, password).await,
        (_, true) => {
            session.signed_in_by = "PLAIN";
            let reply = session.ask(sasl("PLAIN", &sasl::plain(user, password))).await?;
            signed_in(user, reply.is_ok, &reply.words)
        }
        (true, false) => Err(Failure::permanent("a user name or password with a line end cannot be sent")),
        (false, false) => Err(Failure::temporary(match tls {
            Tls::Plain => {
                "the server takes no password in the clear (no USER, no SASL PLAIN): use TLS or STLS"
            }
            _ => "the server takes no password (no USER, no SASL PLAIN): it may want OAuth",
        })),
    }
}

async fn by_token(session: &mut Session, bearer: &Bearer, settings: &ServerSettings) -> Result<(), Failure> {
    let offered = session.capabilities.clone();
    let mechanisms = match &offered {
        Some(offered) => Mechanism::offered(|name| offered.has_mechanism(name)),
        // A server without CAPA: the one that is in wide use.
        None => vec![Mechanism::Xoauth2],
    };
    let mut mechanisms = mechanisms.into_iter().peekable();
    while let Some(mechanism) = mechanisms.next() {
        // Two lines, always: Exchange Online closes the connection where the response stands in the command, and of a
        // real token it would be longer than RFC 2449 §4 allows.
        let command = Command::new("AUTH")
            .word(mechanism.name())
            .then_line(&mechanism.response(bearer, &settings.host, settings.port))
            .then_line(mechanism.farewell())
            .then_line(CANCEL);
        session.signed_in_by = mechanism.name();
        let reply = session.ask(command).await?;
        if reply.is_ok {
            return Ok(());
        }
        let challenge = Challenge::parse(&reply.challenge);
        let refusal = Refusal { mechanism, challenge, words: format!("-ERR {}", reply.words) };
        if !refusal.is_of_mechanism() || mechanisms.peek().is_none() {
            return Err(refusal.failure(&bearer.user));
        }
    }
    Err(sasl::not_offered(offered.as_ref().map_or("", |offered| offered.mechanisms())))
}

async fn by_user(session: &mut Session, user: &str, password: &str) -> Result<(), Failure> {
    session.signed_in_by = "USER";
    let named = session.ask(Command::new("USER").word(user)).await?;
    if !named.is_ok {
        return signed_in(user, false, &named.words);
    }
    let reply = session.ask(Command::new("PASS").word(password)).await?;
    signed_in(user, reply.is_ok, &reply.words)
}

/// AUTH with all that the client has to say, RFC 5034 §4: in the command where it is short enough, else once the server
/// asks for it. A further challenge is a refusal with its reason, which an empty line brings to its end (XOAUTH2).
fn sasl(mechanism: &str, response: &str) -> Command {
    let short = Command::new("AUTH").word(mechanism).word(response);
    let fits = "AUTH".len() + mechanism.len() + response.len() + 4 <= COMMAND_LIMIT;
    let command = if fits { short } else { Command::new("AUTH").word(mechanism).then_line(response) };
    command.then_line("")
}

fn signed_in(user: &str, is_ok: bool, words: &str) -> Result<(), Failure> {
    if is_ok {
        return Ok(());
    }
    let said = format!("-ERR {words}");
    // RFC 3206, RFC 2449 §8.1: only AUTH says that the password is at fault and not the server.
    Err(match code(words) {
        "AUTH" => Failure::permanent(format!(
            "the server refuses the login of {user:?}: {said} (check user name and password)"
        )),
        "IN-USE" => Failure::temporary(format!("another client has the mailbox of {user:?} open: {said}")),
        "LOGIN-DELAY" => Failure::temporary(format!(
            "the server wants more time between two logins of {user:?}: {said} (raise interval_s)"
        )),
        _ => Failure::temporary(format!("the server refuses the login of {user:?}: {said}")),
    })
}

/// Password or token as it may be written on the wire, and so echoed by it.
fn secrets(proof: &Proof, settings: &ServerSettings) -> Vec<String> {
    match proof {
        Proof::Password { user, password } => {
            vec![sasl::plain(user, password.expose()), password.expose().to_owned()]
        }
        Proof::Token(bearer) => sasl::secrets(bearer, &settings.host, settings.port),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_response_waits_to_be_asked_for() {
        let short = "x".repeat(COMMAND_LIMIT - "AUTH PLAIN \r\n".len());
        assert_eq!(sasl("PLAIN", &short).lines(), [format!("AUTH PLAIN {short}"), String::new()]);
        let long = format!("{short}x");
        assert_eq!(sasl("PLAIN", &long).lines(), ["AUTH PLAIN", &long, ""]);
    }
}
