//! `[trust]` and `[predecessor]`: what stands around the desk: mail servers in front of it, and the system before it.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use super::section::{Wrong, section};
use crate::mail::subject::NUMBER;
use crate::triage::{LoopRule, Reach, TrustRule, VerdictRule, network};

section! {
    /// Whose word counts about mail: that of mail servers in front, and what DNS says of its sender.
    TrustSection {
        /// The mail servers of ours that a message passes last, by the name that they give behind `by` in Received; `*.` for
        /// all below a domain; also addresses and networks (10.0.0.0/8) from which they pass it on to each other. What they
        /// have marked as spam goes to the invalid queue.
        relays: Vec<String> = vec![], example "[\"mx.example.com\"]";
        /// They take verdicts of others out of what comes in, as Exchange and Rspamd do: then each field with a verdict is
        /// theirs. Else only those that stand above the Received of the first of them count.
        strips_verdicts: bool = false;
        /// Whether the sender is who the mail says is read from the Authentication-Results that `relays` write under this
        /// name; `none` if they write no name, as Exchange Online does; empty: none of these fields counts.
        authserv_id: String = String::new(), example "\"mx.example.com\"";
        /// Whether SPF, DKIM, DMARC and ARC are verified here, by DNS. SPF needs `relays`: they know who connected.
        verify: bool = false;
        /// Domains whose ARC seals are believed: forwarders and lists that break signatures on the way.
        arc_sealers: Vec<String> = vec![], example "[\"lists.example.net\"]";
        /// What comes of mail whose sender is not proven, once somebody looks (`authserv_id` or `verify`). `notify`: the team
        /// is told, but nothing reopens and no automatic answer goes out, unless it answers a message of ours; `quiet`:
        /// nobody is told either; `invalid`: it goes to the invalid queue; `full`: all that a proven one may.
        neutral: Reach = Reach::Notify;
        /// The same where DMARC fails and the domain asks for quarantine or reject. `full` is not to be had.
        fail: Reach = Reach::Invalid;
        /// A DNS server for `verify` (`192.0.2.53` or `192.0.2.53:5353`); empty: those of this machine.
        resolver: String = String::new(), example "\"127.0.0.1\"";
        /// So many seconds the questions about one message may take. What is not known by then is not proven.
        timeout_s: u64 = 5;
    }
}

section! {
    /// The system whose work this desk goes on with.
    PredecessorSection {
        /// Its tags in subjects, `{number}` for the digits: mails with the same tag come onto one ticket.
        tags: Vec<String> = vec![], example "[\"[Ticket#{number}]\", \"[example.com #{number}]\"]";
        /// The least number of the next ticket; it only ever raises it.
        first_ticket_number: u64 = 1;
    }
}

/// All of it, checked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Surroundings {
    pub verdicts: VerdictRule,
    pub trust: TrustRule,
    pub predecessor_tags: Vec<String>,
    pub first_ticket_number: u64,
    pub loops: LoopRule,
}

/// Whom to ask about senders, and how long.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dns {
    /// None: the servers of this machine.
    pub resolver: Option<SocketAddr>,
    /// For all questions about one message.
    pub timeout: Duration,
}

impl Default for Dns {
    fn default() -> Dns {
        Dns { resolver: None, timeout: Duration::from_secs(5) }
    }
}

/// So many numbers are left for tickets to come.
const MAX_FIRST: u64 = 1_000_000_000_000;

impl TrustSection {
    pub fn resolve(&self) -> Result<(VerdictRule, TrustRule, Dns), Wrong> {
        let is_host = |relay: &&String| {
            let host = relay.strip_prefix("*.").unwrap_or(relay);
            !host.is_empty() && host.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._:[]".contains(&b))
        };
        let is_network = |relay: &&String| relay.contains('/') && network(relay).is_some();
        if let Some(wrong) = self.relays.iter().find(|relay| !is_host(relay) && !is_network(relay)) {
            return Err(Wrong::new(
                "relays",
                format!("{wrong:?} is no name of a host, no address and no network"),
            ));
        }
        let verdicts = VerdictRule { relays: lower(&self.relays), strips_verdicts: self.strips_verdicts };
        Ok((verdicts, self.trust()?, self.dns()?))
    }

    fn trust(&self) -> Result<TrustRule, Wrong> {
        let authserv_id = self.authserv_id.trim().to_ascii_lowercase();
        if !authserv_id.is_empty() && self.relays.is_empty() {
            let words =
                "needs `relays`: without the servers in front nobody is known to have written these fields";
            return Err(Wrong::new("authserv_id", words));
        }
        if let Some(wrong) =
            self.arc_sealers.iter().find(|d| d.is_empty() || d.contains(['@', '*', ' ', '/']))
        {
            return Err(Wrong::new("arc_sealers", format!("{wrong:?} is no domain")));
        }
        if self.fail == Reach::Full {
            let words =
                "must be one of notify, quiet, invalid: the domain itself says that such mail is not its own";
            return Err(Wrong::new("fail", words));
        }
        Ok(TrustRule {
            verifies: self.verify,
            authserv_id,
            arc_sealers: lower(&self.arc_sealers),
            neutral: self.neutral,
            fail: self.fail,
        })
    }

    fn dns(&self) -> Result<Dns, Wrong> {
        if !(1..=60).contains(&self.timeout_s) {
            return Err(Wrong::new("timeout_s", "must be between 1 and 60"));
        }
        let resolver = match self.resolver.trim() {
            "" => None,
            text => Some(server(text).ok_or_else(|| {
                Wrong::new("resolver", format!("{text:?} is no address such as 192.0.2.53 or 192.0.2.53:53"))
            })?),
        };
        Ok(Dns { resolver, timeout: Duration::from_secs(self.timeout_s) })
    }
}

fn server(text: &str) -> Option<SocketAddr> {
    let bare = || text.trim_matches(['[', ']']).parse::<IpAddr>().map(|ip| SocketAddr::new(ip, 53));
    text.parse().or_else(|_| bare()).ok()
}

fn lower(names: &[String]) -> Vec<String> {
    names.iter().map(|name| name.to_ascii_lowercase()).collect()
}

impl PredecessorSection {
    pub fn resolve(&self) -> Result<(Vec<String>, u64), Wrong> {
        for tag in &self.tags {
            let words = tag.replacen(NUMBER, "", 1);
            if words == *tag || words.contains(NUMBER) || words.trim().len() < 2 || !tag.is_ascii() {
                let wrong =
                    format!("{tag:?} must hold {NUMBER} once, and at least two other ASCII characters");
                return Err(Wrong::new("tags", wrong));
            }
        }
        if !(1..=MAX_FIRST).contains(&self.first_ticket_number) {
            let wrong = format!("must be between 1 and {MAX_FIRST}");
            return Err(Wrong::new("first_ticket_number", wrong));
        }
        Ok((self.tags.clone(), self.first_ticket_number))
    }
}
