//! A connection to a relay on which mails can be sent: dialled, greeted, under TLS and signed in (RFC 5321, 3207, 4954).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use tokio::net::TcpStream;

use super::reply::Reply;
use super::wire::{DotStuffing, Wire};
use super::{Deadlines, RelaySettings};
use crate::config::Tls;
use crate::failure::{Failure, Kind, Step};
use crate::net::sasl::{self, CANCEL, Challenge, Mechanism, Refusal};
use crate::net::{self, Bearer, Proof, Stream, blot};

/// RFC 4954 §4: a response that makes the line of AUTH longer than RFC 5321 §4.5.3.1.4 allows waits for the server's go.
const AUTH_LINE_LIMIT: usize = 512;
/// RFC 4954 §4: the longest line of an exchange.
const RESPONSE_LIMIT: usize = 12_288;

pub struct Session {
    pub(super) wire: Wire<Stream>,
    pub(super) deadlines: Deadlines,
    pub(super) offers: Offers,
    /// Mails that were begun on it. A connection in use may have been closed meanwhile, a new one has no such excuse.
    pub(super) mails: u64,
    /// It can carry no further mail.
    pub(super) is_broken: bool,
    /// The mechanism of the login; empty where there was none.
    pub signed_in_by: &'static str,
}

/// What the relay says it can do, as far as we use it.
#[derive(Clone, Debug, Default)]
pub(super) struct Offers {
    pub has_size: bool,
    pub has_smtputf8: bool,
    has_starttls: bool,
    has_plain: bool,
    has_login: bool,
    has_oauthbearer: bool,
    has_xoauth2: bool,
}

impl Session {
    /// Connects and signs in. What fails here is the relay's failure, not a mail's.
    pub async fn open(relay: &RelaySettings, deadlines: Deadlines) -> Result<Session, Failure> {
        match &relay.login {
            None => Session::open_with(relay, deadlines, None).await,
            Some(login) => login.try_with(|proof| Session::open_with(relay, deadlines, Some(proof))).await,
        }
    }

    async fn open_with(
        relay: &RelaySettings,
        deadlines: Deadlines,
        proof: Option<Proof>,
    ) -> Result<Session, Failure> {
        let tcp = net::dial(&relay.host, relay.port, deadlines.connect).await?;
        let hello = hello_name(&tcp);
        let stream = match relay.tls {
            Tls::Tls => secured(tcp, relay, deadlines).await?,
            Tls::Plain => Stream::Plain(tcp),
            Tls::Starttls => {
                let mut wire = Wire::new(tcp);
                greeting(&mut wire, deadlines).await?;
                let offers = ehlo(&mut wire, &hello, deadlines).await?;
                // Without it the password would go in the clear: whoever sits between could take STARTTLS out.
                if !offers.has_starttls {
                    return Err(Failure::temporary(
                        "the server does not offer STARTTLS: use tls, or another port",
                    )
                    .kind(Kind::NoStartTls));
                }
                let reply = wire.command("STARTTLS", "STARTTLS", deadlines.command).await?;
                positive(&reply, "STARTTLS")?;
                secured(wire.into_inner()?, relay, deadlines).await?
            }
        };
        let mut wire = Wire::new(stream);
        if relay.tls != Tls::Starttls {
            greeting(&mut wire, deadlines).await?;
        }
        let offers = ehlo(&mut wire, &hello, deadlines).await?;
        let mut session = Session { wire, deadlines, offers, mails: 0, is_broken: false, signed_in_by: "" };
        match &proof {
            Some(Proof::Password { user, password }) => session.by_password(user, password.expose()).await?,
            Some(Proof::Token(bearer)) => session.by_token(bearer, relay).await?,
            None => {}
        }
        Ok(session)
    }

    /// RFC 4954: PLAIN in one step, else LOGIN in three.
    async fn by_password(&mut self, username: &str, password: &str) -> Result<(), Failure> {
        let token = sasl::plain(username, password);
        let answers = [STANDARD.encode(username), STANDARD.encode(password)];
        let reply = if self.offers.has_plain {
            self.signed_in_by = "PLAIN";
            self.secret_line(&format!("AUTH PLAIN {token}")).await?
        } else if self.offers.has_login {
            self.signed_in_by = "LOGIN";
            self.sign_in_by_login(&answers).await?
        } else {
            return Err(Failure::temporary(
                "the server offers neither AUTH PLAIN nor AUTH LOGIN: leave the username empty, or use TLS",
            )
            .kind(Kind::LoginUnsupported));
        };
        if reply.is_positive() {
            return Ok(());
        }
        let [_, answer] = answers;
        let said = blot(&reply.to_string(), &[token, answer, password.to_owned()]);
        let failure = Failure::temporary(format!("the server refuses the login of {username:?}: {said}"));
        // RFC 4954 §6: 454 is the server's own trouble.
        Err(match reply.code {
            454 | 421 => failure.kind(Kind::Unavailable),
            _ => failure.said(Step::Login, &said),
        })
    }

    async fn by_token(&mut self, bearer: &Bearer, relay: &RelaySettings) -> Result<(), Failure> {
        let offers = self.offers.clone();
        let is_offered = |name: &str| match name {
            "OAUTHBEARER" => offers.has_oauthbearer,
            _ => offers.has_xoauth2,
        };
        let mut mechanisms = Mechanism::offered(is_offered).into_iter().peekable();
        while let Some(mechanism) = mechanisms.next() {
            self.signed_in_by = mechanism.name();
            let refusal = match self.exchange(mechanism, bearer, relay).await? {
                None => return Ok(()),
                Some(refusal) => refusal,
            };
            if !refusal.is_of_mechanism() || mechanisms.peek().is_none() {
                return Err(refusal.failure(&bearer.user));
            }
        }
        let passwords = [("PLAIN", offers.has_plain), ("LOGIN", offers.has_login)];
        let offered: Vec<&str> = passwords.iter().filter(|(_, has)| *has).map(|(name, _)| *name).collect();
        Err(sasl::not_offered(&offered.join(" ")))
    }

    /// Says all there is to say; nothing where the server takes it.
    async fn exchange(
        &mut self,
        mechanism: Mechanism,
        bearer: &Bearer,
        relay: &RelaySettings,
    ) -> Result<Option<Refusal>, Failure> {
        let response = mechanism.response(bearer, &relay.host, relay.port);
        if response.len() + 2 > RESPONSE_LIMIT {
            let words = format!("the access token is too long for SMTP: {} bytes in base64", response.len());
            return Err(Failure::permanent(words).kind(Kind::TokenScope));
        }
        let command = format!("AUTH {}", mechanism.name());
        let whole = format!("{command} {response}");
        let mut reply = match whole.len() + 2 <= AUTH_LINE_LIMIT {
            true => self.secret_line(&whole).await?,
            false => match self.secret_line(&command).await? {
                reply if reply.code == 334 => self.secret_line(&response).await?,
                reply => reply,
            },
        };
        let mut challenge = None;
        if reply.code == 334 {
            challenge = Challenge::parse(&reply.words);
            reply = self.secret_line(mechanism.farewell()).await?;
        }
        if reply.code == 334 {
            reply = self.secret_line(CANCEL).await?;
        }
        if reply.is_positive() {
            return Ok(None);
        }
        let words = blot(&reply.to_string(), &sasl::secrets(bearer, &relay.host, relay.port));
        Ok(Some(Refusal { mechanism, challenge, words }))
    }

    async fn sign_in_by_login(&mut self, answers: &[String]) -> Result<Reply, Failure> {
        let mut reply = self.secret_line("AUTH LOGIN").await?;
        for answer in answers {
            if reply.code != 334 {
                break;
            }
            reply = self.secret_line(answer).await?;
        }
        Ok(reply)
    }

    async fn secret_line(&mut self, line: &str) -> Result<Reply, Failure> {
        self.wire.command(line, "AUTH", self.deadlines.command).await
    }

    /// Asks whether a mail would be taken, and takes it back: nothing is sent.
    pub async fn would_take(&mut self, return_path: &str, to: &str) -> Result<String, Failure> {
        let said = self.envelope(return_path, to).await;
        let reset = self.wire.command("RSET", "RSET", self.deadlines.command).await;
        let said = said?;
        positive(&reset?, "RSET")?;
        Ok(said.to_string())
    }

    /// Sends one small mail outside the queue, for `doctor`; gives the relay's words.
    pub async fn send_now(&mut self, return_path: &str, to: &str, mail: &[u8]) -> Result<String, Failure> {
        self.envelope(return_path, to).await?;
        let reply = self.wire.command("DATA", "DATA", self.deadlines.envelope).await?;
        if reply.code != 354 {
            return Err(Failure::temporary(format!("the server answers DATA with {reply}")));
        }
        let (mut stuffing, mut bytes) = (DotStuffing::new(), vec![]);
        stuffing.push(mail, &mut bytes);
        stuffing.finish(&mut bytes);
        bytes.extend_from_slice(b".\r\n");
        self.wire.write(&bytes, "the mail", self.deadlines.block).await?;
        let reply = self.wire.reply("the mail", self.deadlines.block).await?;
        positive(&reply, "the mail").map(|()| reply.to_string())
    }

    async fn envelope(&mut self, return_path: &str, to: &str) -> Result<Reply, Failure> {
        let limit = self.deadlines.envelope;
        let reply = self.wire.command(&format!("MAIL FROM:<{return_path}>"), "MAIL FROM", limit).await?;
        positive(&reply, &format!("MAIL FROM:<{return_path}>"))?;
        let reply = self.wire.command(&format!("RCPT TO:<{to}>"), "RCPT TO", limit).await?;
        positive(&reply, &format!("RCPT TO:<{to}>"))?;
        Ok(reply)
    }

    /// Says goodbye. The mails are settled: whatever the relay answers changes nothing.
    pub async fn quit(mut self) {
        if self.is_broken {
            return;
        }
        if let Err(failure) = self.wire.command("QUIT", "QUIT", self.deadlines.command).await {
            tracing::debug!(%failure, "outbound.goodbye_missed");
        }
    }
}

/// RFC 5321 §4.1.4: a client without a name of its own gives its address.
fn hello_name(tcp: &TcpStream) -> String {
    match tcp.local_addr().map(|address| address.ip()) {
        Ok(std::net::IpAddr::V4(ip)) => format!("[{ip}]"),
        Ok(std::net::IpAddr::V6(ip)) => format!("[IPv6:{ip}]"),
        Err(_) => "[127.0.0.1]".to_owned(),
    }
}

async fn secured(tcp: TcpStream, relay: &RelaySettings, deadlines: Deadlines) -> Result<Stream, Failure> {
    net::tls::wrap(tcp, &relay.host, relay.ca_file.as_deref(), deadlines.connect).await
}

async fn greeting<S>(wire: &mut Wire<S>, deadlines: Deadlines) -> Result<(), Failure>
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin,
{
    let reply = wire.reply("the connection", deadlines.command).await?;
    positive(&reply, "the connection")
}

async fn ehlo<S>(wire: &mut Wire<S>, hello: &str, deadlines: Deadlines) -> Result<Offers, Failure>
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin,
{
    let reply = wire.command(&format!("EHLO {hello}"), "EHLO", deadlines.command).await?;
    if matches!(reply.code, 500 | 502 | 504 | 550) {
        // RFC 5321 §3.2: a server that knows no EHLO knows HELO, and offers nothing.
        let reply = wire.command(&format!("HELO {hello}"), "HELO", deadlines.command).await?;
        return positive(&reply, "HELO").map(|()| Offers::default());
    }
    positive(&reply, "EHLO")?;
    Ok(offers(&reply.words.to_ascii_uppercase()))
}

/// The reply's lines come as one line of words; keywords stand out in it, and `AUTH` is followed by its mechanisms.
fn offers(words: &str) -> Offers {
    let has = |keyword: &str| words.split_whitespace().any(|word| word == keyword);
    // Not RFC 4954, but old Exchange: `AUTH=LOGIN PLAIN`.
    let has_auth = has("AUTH") || words.contains("AUTH=");
    Offers {
        has_size: has("SIZE"),
        has_smtputf8: has("SMTPUTF8"),
        has_starttls: has("STARTTLS"),
        has_plain: has_auth && (has("PLAIN") || has("AUTH=PLAIN")),
        has_login: has_auth && (has("LOGIN") || has("AUTH=LOGIN")),
        has_oauthbearer: has_auth && (has("OAUTHBEARER") || has("AUTH=OAUTHBEARER")),
        has_xoauth2: has_auth && (has("XOAUTH2") || has("AUTH=XOAUTH2")),
    }
}

fn positive(reply: &Reply, what: &str) -> Result<(), Failure> {
    match reply.is_positive() {
        true => Ok(()),
        false => {
            let failure = Failure::temporary(format!("the server answers {what} with {reply}"));
            Err(failure.said(Step::Other, &reply.to_string()))
        }
    }
}
