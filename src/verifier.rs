//! SPF, DKIM, DMARC and ARC of one message, by DNS (RFC 7208, RFC 6376, RFC 9989, RFC 8617): what each of them says. What
//! follows from it is triage's matter.
//!
//! Nothing here fails: an answer that DNS does not give in time is a `temperror`, and a message that cannot be judged says
//! why. Answers are remembered as long as their TTL allows, up to a bound, by the resolver.

use std::borrow::Cow;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::panic::AssertUnwindSafe;
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use mail_auth::common::resolver::ToFqdn;
use mail_auth::dkim::DkimError;
use mail_auth::dmarc::verify::DmarcParameters;
use mail_auth::hickory_resolver::config::{
    ConnectionConfig, NameServerConfig, ResolveHosts, ResolverConfig, ResolverOpts,
};
use mail_auth::hickory_resolver::system_conf::read_system_conf;
use mail_auth::spf::verify::SpfParameters;
use mail_auth::{
    ArcOutput, AuthenticatedMessage, DkimOutput, DkimResult, DmarcOutput, DmarcResult, DnsError, Error,
    MessageAuthenticator, SpfOutput, SpfResult, dmarc,
};
use memchr::memchr;
use tokio::time::{Instant, timeout_at};

use crate::config::Dns;
use crate::failure::{Failure, Kind};
use crate::mail::Address;
use crate::triage::trust::{Checks, Envelope, Found, Outcome, Policy, Results, Sealed};

/// A larger message is not looked at.
pub const SIZE_LIMIT: u64 = 10 << 20;
/// Signatures of one message that are looked at: each costs a question and a verification.
const SIGNATURES: usize = 10;
/// Answers that are remembered.
const ANSWERS: u64 = 8192;
const REMEMBERED: Duration = Duration::from_secs(24 * 60 * 60);
const ABSENCE_REMEMBERED: Duration = Duration::from_secs(60 * 60);

/// Asks DNS. Cheap to clone; clones share what they remember.
#[derive(Clone)]
pub struct Verifier {
    authenticator: MessageAuthenticator,
    /// For all questions about one message.
    pub timeout: Duration,
    servers: String,
}

impl Verifier {
    /// With the servers that are set, else those of the machine, as they are now.
    pub fn new(dns: &Dns) -> Result<Verifier, Failure> {
        let local = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 53);
        let (config, mut options) = match dns.resolver {
            Some(server) => (only(server), ResolverOpts::default()),
            // As the C library does without a list.
            None => read_system_conf().unwrap_or_else(|_| (only(local), ResolverOpts::default())),
        };
        // A lost packet is asked for once more, well before the time is over.
        options.timeout = dns.timeout / 4;
        options.attempts = 2;
        options.cache_size = ANSWERS;
        options.positive_max_ttl = Some(REMEMBERED);
        options.negative_max_ttl = Some(ABSENCE_REMEMBERED);
        options.use_hosts_file = ResolveHosts::Never;
        let servers: Vec<String> = config.name_servers().iter().map(|server| server.ip.to_string()).collect();
        let authenticator = MessageAuthenticator::new(config, options)
            .map_err(|e| Failure::temporary("cannot set up the questions to DNS").because(e))?;
        Ok(Verifier { authenticator, timeout: dns.timeout, servers: servers.join(", ") })
    }

    /// All that can be found out about the sender of a message in the time that is set. `envelope`: who handed it over;
    /// none: it is not known, and SPF is not looked at.
    pub fn verify<'a>(
        &'a self,
        raw: &'a [u8],
        from: &'a Address,
        envelope: Option<&'a Envelope>,
    ) -> BoxFuture<'a, Checks> {
        let looked = AssertUnwindSafe(self.look(raw, from, envelope)).catch_unwind();
        let died = |_| Checks::gap("the verifier died of this message");
        Box::pin(async move { looked.await.unwrap_or_else(died) })
    }

    /// Whether DNS answers at all, whatever it says about this domain.
    pub async fn probe(&self, domain: &str) -> Result<String, Failure> {
        let asked = tokio::time::timeout(self.timeout, self.authenticator.txt_raw_lookup(domain.to_fqdn()));
        match asked.await {
            Ok(Err(Error::Dns(DnsError::Resolver(words)))) => {
                Err(Failure::temporary(format!("DNS at {} fails: {words}", self.servers)))
            }
            Ok(_) => Ok(format!("DNS at {} answers", self.servers)),
            Err(_) => {
                let words =
                    format!("no answer from DNS at {} within {} s", self.servers, self.timeout.as_secs());
                Err(Failure::temporary(words).kind(Kind::Silent))
            }
        }
    }

    async fn look(&self, raw: &[u8], from: &Address, envelope: Option<&Envelope>) -> Checks {
        let raw = as_sent(raw);
        let Some(mut message) = AuthenticatedMessage::parse(&raw) else {
            return Checks::gap("it has no header");
        };
        // RFC 9989 §5.3.1: whom DMARC is to judge must be one domain; and it must be the one that is shown.
        let is_shown =
            |named: &String| named.rsplit_once('@').is_some_and(|(_, domain)| domain == from.domain());
        if message.froms().is_empty() || !message.froms().iter().all(is_shown) {
            return Checks::gap("From names several domains, or none that can be read");
        }
        message.dkim_headers.truncate(SIGNATURES);
        let begun = Instant::now();
        // DMARC goes by what the others have found, and has the rest of the time.
        let soon = begun + self.timeout * 3 / 5;
        let (spf, dkim, arc) =
            tokio::join!(self.spf(envelope, soon), self.dkim(&message, soon), self.arc(&message, soon));
        let domain = envelope.map(identity).unwrap_or_default();
        let unknown = SpfOutput::default();
        let parameters = DmarcParameters::new(&message, &dkim, domain, spf.as_ref().unwrap_or(&unknown));
        let judged = timeout_at(begun + self.timeout, self.authenticator.verify_dmarc(parameters)).await;
        let mut checks = Checks {
            spf: spf.as_ref().map(|spf| Found::new(spf_word(spf.result()), domain)),
            dkim: dkim.iter().map(signature).collect(),
            arc: (*arc.result() != DkimResult::None).then(|| Found::new(dkim_word(arc.result()), "")),
            chain: chain(&arc),
            ..Checks::default()
        };
        let output = judged.unwrap_or_else(|_| {
            DmarcOutput::new(from.domain().to_owned()).with_spf_result(DmarcResult::TempError(silence()))
        });
        let result = dmarc_word(&output.result());
        if result == Outcome::Fail && spf.is_none() {
            checks.gap = "who connected is not known, so DMARC cannot be judged".into();
            return checks;
        }
        checks.policy = match output.dmarc_record() {
            None => Policy::Unknown,
            Some(_) => policy(output.policy()),
        };
        checks.dmarc = Some(Found::new(result, from.domain()));
        checks
    }

    async fn spf(&self, envelope: Option<&Envelope>, until: Instant) -> Option<SpfOutput> {
        let envelope = envelope?;
        let Envelope { client, helo, sender } = envelope;
        let parameters = match sender {
            // RFC 7208 §2.4: of the null sender it is HELO that is looked at.
            None => SpfParameters::verify_ehlo(*client, helo, helo),
            Some(sender) => SpfParameters::verify_mail_from(*client, helo, helo, sender.as_str()),
        };
        let asked = timeout_at(until, self.authenticator.verify_spf(parameters)).await;
        Some(asked.unwrap_or_else(|_| {
            SpfOutput::new(identity(envelope).to_owned()).with_result(SpfResult::TempError)
        }))
    }

    async fn dkim<'x>(&self, message: &'x AuthenticatedMessage<'x>, until: Instant) -> Vec<DkimOutput<'x>> {
        let asked = timeout_at(until, self.authenticator.verify_dkim(message)).await;
        asked.unwrap_or_else(|_| {
            let unanswered =
                |header: &'x mail_auth::common::headers::Header<'x, mail_auth::dkim::Signature>| {
                    DkimOutput::temp_err(silence()).with_signature(&header.header)
                };
            message.dkim_headers.iter().map(unanswered).collect()
        })
    }

    async fn arc<'x>(&self, message: &'x AuthenticatedMessage<'x>, until: Instant) -> ArcOutput<'x> {
        let asked = timeout_at(until, self.authenticator.verify_arc(message)).await;
        asked.unwrap_or_else(|_| ArcOutput::default().with_result(DkimResult::TempError(silence())))
    }
}

fn only(server: SocketAddr) -> ResolverConfig {
    let connections = [ConnectionConfig::udp(), ConnectionConfig::tcp()].map(|mut connection| {
        connection.port = server.port();
        connection
    });
    ResolverConfig::from_parts(
        None,
        vec![],
        vec![NameServerConfig::new(server.ip(), true, connections.into())],
    )
}

/// As it went over the wire: lines that end in CRLF, and no line of an mbox in front. Signatures are made over that form,
/// and Maildirs and pipes hold another one.
fn as_sent(raw: &[u8]) -> Cow<'_, [u8]> {
    let rest = match raw.starts_with(b"From ") {
        true => memchr(b'\n', raw).map_or(raw, |end| &raw[end + 1..]),
        false => raw,
    };
    if memchr(b'\r', rest).is_some() {
        return Cow::Borrowed(rest);
    }
    let mut lines = Vec::with_capacity(rest.len() + rest.len() / 32);
    for line in rest.split_inclusive(|byte| *byte == b'\n') {
        let words = line.strip_suffix(b"\n");
        lines.extend_from_slice(words.unwrap_or(line));
        lines.extend_from_slice(if words.is_some() { b"\r\n" } else { b"" });
    }
    Cow::Owned(lines)
}

/// The domain that SPF is about.
fn identity(envelope: &Envelope) -> &str {
    envelope.sender.as_ref().map_or(envelope.helo.as_str(), Address::domain)
}

fn silence() -> Error {
    Error::Dns(DnsError::Resolver("no answer in time".into()))
}

fn signature(output: &DkimOutput) -> Found {
    let domain = output.signature().map(|signature| signature.d.as_str()).unwrap_or_default();
    Found::new(dkim_word(output.result()), domain)
}

/// Newest first.
fn chain(arc: &ArcOutput) -> Vec<Sealed> {
    if *arc.result() != DkimResult::Pass {
        return vec![];
    }
    let sets = arc.sets().iter().rev();
    sets.map(|set| Sealed {
        domain: set.seal.header.d.to_ascii_lowercase(),
        checks: Results::parse_sealed(&String::from_utf8_lossy(set.results.value)).checks,
    })
    .collect()
}

fn spf_word(result: SpfResult) -> Outcome {
    match result {
        SpfResult::Pass => Outcome::Pass,
        SpfResult::Fail => Outcome::Fail,
        SpfResult::SoftFail => Outcome::SoftFail,
        SpfResult::Neutral => Outcome::Neutral,
        SpfResult::None => Outcome::None,
        SpfResult::TempError => Outcome::TempError,
        SpfResult::PermError => Outcome::PermError,
    }
}

/// RFC 8601 §2.7.1. A body that was changed and a signature that has expired are failures, which the library calls neutral.
fn dkim_word(result: &DkimResult) -> Outcome {
    match result {
        DkimResult::Pass => Outcome::Pass,
        DkimResult::Neutral(Error::Dkim(DkimError::FailedBodyHashMatch | DkimError::SignatureExpired))
        | DkimResult::Neutral(Error::Arc(_))
        | DkimResult::Fail(_) => Outcome::Fail,
        DkimResult::Neutral(_) => Outcome::Neutral,
        DkimResult::None => Outcome::None,
        DkimResult::TempError(_) => Outcome::TempError,
        DkimResult::PermError(_) => Outcome::PermError,
    }
}

fn dmarc_word(result: &DmarcResult) -> Outcome {
    match result {
        DmarcResult::Pass => Outcome::Pass,
        DmarcResult::Fail(_) => Outcome::Fail,
        DmarcResult::None => Outcome::None,
        DmarcResult::TempError(_) => Outcome::TempError,
        DmarcResult::PermError(_) => Outcome::PermError,
    }
}

fn policy(policy: dmarc::Policy) -> Policy {
    match policy {
        dmarc::Policy::Reject => Policy::Reject,
        dmarc::Policy::Quarantine => Policy::Quarantine,
        dmarc::Policy::None | dmarc::Policy::Unspecified => Policy::None,
    }
}
