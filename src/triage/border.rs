//! Which header fields servers of ours have written, and who handed the message to them.
//!
//! RFC 5321 §4.4: each server puts its Received on top of what it got. So the Received fields on top whose `by` is a
//! relay of ours were written by ours, and what stands above them was added after. A client says what it likes behind
//! `from`, and may send Received fields of its own below; what a server notes of the client's address is its own word.

use std::net::IpAddr;

use super::VerdictRule;
use crate::mail::Header;

/// Where a message came into our hands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Handover {
    /// The place of the Received that our outermost server wrote: the fields above it are ours.
    pub at: usize,
    /// Who connected there; none where the server did not note it.
    pub client: Option<IpAddr>,
    /// What the client called itself (HELO).
    pub helo: String,
    /// The sender of the envelope as that server noted it; empty where it did not, `<>` where it was null.
    pub envelope_from: String,
}

/// So many fields on top were written by relays of ours, going by names alone: the walk ends at the first Received of
/// somebody else, whoever is named below it. A sender can push this border down and so have fields of his own believed:
/// enough for what only harms himself.
pub fn written_by_ours(headers: &[Header], rule: &VerdictRule) -> usize {
    let mut lowest = None;
    for (at, field) in received(headers) {
        if !Hop::read(&field.value).is_by_ours(rule) {
            break;
        }
        lowest = Some(at);
    }
    match lowest {
        Some(_) if rule.strips_verdicts => headers.len(),
        Some(at) => at,
        None => 0,
    }
}

/// Where the message came in from outside: the walk goes on below a Received of ours only if the client that this one
/// names is a server of ours, by its address. None: the Received on top is not ours.
pub fn handover(headers: &[Header], rule: &VerdictRule) -> Option<Handover> {
    let mut outermost = None;
    for (at, field) in received(headers) {
        let hop = Hop::read(&field.value);
        if !hop.is_by_ours(rule) {
            break;
        }
        let is_inner = hop.has_client_of_ours(rule);
        let client = if is_inner { None } else { hop.address };
        outermost = Some(Handover { at, client, helo: hop.from, envelope_from: hop.envelope_from });
        if !is_inner {
            break;
        }
    }
    outermost
}

fn received(headers: &[Header]) -> impl Iterator<Item = (usize, &Header)> {
    headers.iter().enumerate().filter(|(_, field)| field.name.eq_ignore_ascii_case("Received"))
}

/// One Received field.
#[derive(Debug, Default, PartialEq, Eq)]
struct Hop {
    /// In lower case; empty where there is none.
    by: String,
    /// As the client called itself; empty where the field has no `from`.
    from: String,
    /// Of the client.
    address: Option<IpAddr>,
    /// The name that the server has found to the address, in lower case.
    reverse: String,
    /// In capitals.
    with: String,
    envelope_from: String,
}

enum Token {
    Word(String),
    Comment(String),
}

impl Hop {
    fn read(value: &str) -> Hop {
        let mut hop = Hop::default();
        let tokens = tokens(value);
        let mut rest = tokens.iter().peekable();
        // `from` and its name come first (RFC 5321 §4.4), and a client may call itself "by".
        if rest.next_if(|t| t.is("from")).is_some() {
            match rest.next() {
                Some(Token::Word(name)) => hop.from = name.clone(),
                _ => return Hop::default(),
            }
            let mut comments = vec![];
            while let Some(Token::Comment(comment)) = rest.next_if(|t| matches!(t, Token::Comment(_))) {
                comments.push(comment.as_str());
            }
            hop.read_client(&comments);
        }
        if rest.next_if(|t| t.is("by")).is_none() {
            return Hop::default();
        }
        let Some(Token::Word(by)) = rest.next() else { return Hop::default() };
        hop.by = by.trim_end_matches([';', '.']).to_ascii_lowercase();
        while let Some(token) = rest.next() {
            match token {
                Token::Word(word) if word.eq_ignore_ascii_case("with") && hop.with.is_empty() => {
                    if let Some(Token::Word(with)) = rest.peek() {
                        hop.with = with.to_ascii_uppercase();
                    }
                }
                Token::Comment(comment) if hop.envelope_from.is_empty() => {
                    // Not RFC 5321, but Exim and Dovecot.
                    let sender = comment.trim().strip_prefix("envelope-from ");
                    hop.envelope_from = sender.map(|s| s.trim().to_owned()).unwrap_or_default();
                }
                _ => {}
            }
        }
        hop
    }

    /// `(name [address])`, `([address] helo=…)`, `(HELO …) (address)`: who the server saw, beside who the client said it was.
    fn read_client(&mut self, comments: &[&str]) {
        for comment in comments {
            let words: Vec<&str> = comment.split_whitespace().collect();
            for (at, word) in words.iter().enumerate() {
                let is_said = at > 0 && words[at - 1].eq_ignore_ascii_case("helo");
                let Some(address) = address(word).filter(|_| !is_said) else { continue };
                self.address = Some(address);
                let is_name = |name: &&&str| !name.contains(['=', ':', '[', '@']) && **name != "unknown";
                // Sendmail: a name that does not lead back to the address.
                let is_proven = at == 1 && !comment.contains("forged");
                let name = words.first().filter(|_| is_proven).filter(is_name);
                self.reverse = name.map(|n| n.trim_end_matches('.').to_ascii_lowercase()).unwrap_or_default();
                return;
            }
        }
        // Exim, where it has found no name: `from [address] (helo=…)`.
        if self.from.starts_with('[') {
            self.address = address(&self.from);
        }
    }

    fn is_by_ours(&self, rule: &VerdictRule) -> bool {
        !self.by.is_empty() && is_ours(&self.by, rule)
    }

    fn has_client_of_ours(&self, rule: &VerdictRule) -> bool {
        // RFC 2033 §5: LMTP is for a delivery at home.
        let is_at_home = self.with.contains("LMTP") || self.with == "LOCAL";
        match self.address {
            Some(address) if address.is_loopback() => true,
            Some(address) => {
                rule.relays.iter().any(|relay| holds(relay, address)) || is_ours(&self.reverse, rule)
            }
            None if self.from.is_empty() => true,
            None => is_at_home && is_ours(&self.from.to_ascii_lowercase(), rule),
        }
    }
}

impl Token {
    fn is(&self, word: &str) -> bool {
        matches!(self, Token::Word(w) if w.eq_ignore_ascii_case(word))
    }
}

/// Words and comments. What stands in parentheses is a comment, and may hold anything that the client has said.
fn tokens(value: &str) -> Vec<Token> {
    let (mut tokens, mut depth, mut text) = (vec![], 0_u32, String::new());
    let mut end = |text: &mut String, depth: u32| {
        let whole = std::mem::take(text);
        match depth {
            0 => tokens.extend(whole.split_whitespace().map(|word| Token::Word(word.to_owned()))),
            _ => tokens.push(Token::Comment(whole)),
        }
    };
    for c in value.chars() {
        match c {
            '(' => {
                if depth == 0 {
                    end(&mut text, 0);
                } else {
                    text.push(c);
                }
                depth += 1;
            }
            ')' if depth > 0 => {
                depth -= 1;
                if depth == 0 {
                    end(&mut text, 1);
                } else {
                    text.push(c);
                }
            }
            ')' => {}
            _ => text.push(c),
        }
    }
    end(&mut text, depth);
    tokens
}

/// `192.0.2.1`, `[192.0.2.1]`, `[IPv6:2001:db8::1]`, `[192.0.2.1]:25`.
fn address(word: &str) -> Option<IpAddr> {
    let word = word.trim_end_matches([';', ',']);
    let bare = match word.strip_prefix('[') {
        Some(rest) => rest.split(']').next()?,
        None => word,
    };
    let bare = bare.get(..5).filter(|p| p.eq_ignore_ascii_case("ipv6:")).map_or(bare, |_| &bare[5..]);
    bare.parse().ok().map(|address: IpAddr| address.to_canonical())
}

/// Whether a host's name or address is on the list of relays.
fn is_ours(host: &str, rule: &VerdictRule) -> bool {
    let bare = host.trim_matches(['[', ']']);
    rule.relays.iter().any(|relay| match relay.strip_prefix('*') {
        Some(domain) => host.len() > domain.len() && host.ends_with(domain),
        None => bare == relay.trim_matches(['[', ']']) || address(host).is_some_and(|a| holds(relay, a)),
    })
}

/// Whether an entry of the list is this address, or a network (`2001:db8::/32`) that holds it.
fn holds(relay: &str, address: IpAddr) -> bool {
    match network(relay) {
        Some((net, bits)) => match (net, address) {
            (IpAddr::V4(net), IpAddr::V4(a)) => (net.to_bits() ^ a.to_bits()).leading_zeros() >= bits,
            (IpAddr::V6(net), IpAddr::V6(a)) => (net.to_bits() ^ a.to_bits()).leading_zeros() >= bits,
            _ => false,
        },
        None => self::address(relay) == Some(address),
    }
}

/// `address/bits`.
pub fn network(text: &str) -> Option<(IpAddr, u32)> {
    let (net, bits) = text.split_once('/')?;
    let (net, bits): (IpAddr, u32) = (net.parse().ok()?, bits.parse().ok()?);
    let most = if net.is_ipv4() { 32 } else { 128 };
    (1..=most).contains(&bits).then_some((net, bits))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(relays: &[&str]) -> VerdictRule {
        VerdictRule { relays: relays.iter().map(|r| (*r).to_owned()).collect(), strips_verdicts: false }
    }

    #[test]
    fn the_host_that_wrote_a_received_is_read() {
        for (received, host) in [
            (
                "from a.test (a.test [192.0.2.1]) by MX.example.com (Postfix) with ESMTPS id 1; now",
                "mx.example.com",
            ),
            ("by mx.example.com with LMTP id 2; now", "mx.example.com"),
            ("from by (by mx.example.com) by evil.test; now", "evil.test"),
            ("from x (by mx.example.com with SMTP) (unclosed", ""),
            ("from a.test by [10.0.0.5]; now", "[10.0.0.5]"),
            ("from (nameless) by mx.example.com; now", ""),
            ("(qmail 1 invoked by uid 89); now", ""),
            ("", ""),
        ] {
            assert_eq!(Hop::read(received).by, host, "{received}");
        }
    }

    #[test]
    fn a_client_is_who_the_server_saw_and_not_who_he_said_he_was() {
        for (from, address, reverse) in [
            ("from helo.test (mail.a.test [192.0.2.1])", "192.0.2.1", "mail.a.test"),
            ("from helo.test (unknown [192.0.2.1])", "192.0.2.1", ""),
            ("from helo.test (mail.a.test [192.0.2.1] (may be forged))", "192.0.2.1", ""),
            ("from mail.a.test ([192.0.2.1] helo=[198.51.100.9])", "192.0.2.1", ""),
            ("from [192.0.2.1] (helo=[198.51.100.9])", "192.0.2.1", ""),
            ("from [198.51.100.9] (unknown [192.0.2.1])", "192.0.2.1", ""),
            ("from unknown (HELO 198.51.100.9) (192.0.2.1)", "192.0.2.1", ""),
            ("from mail.a.test (192.0.2.1)", "192.0.2.1", ""),
            ("from a.test (a.test [IPv6:2001:db8::1])", "2001:db8::1", "a.test"),
            ("from a.test (2001:db8::1)", "2001:db8::1", ""),
            ("from a.test ([::ffff:192.0.2.1])", "192.0.2.1", ""),
            ("from a.test", "", ""),
        ] {
            let hop = Hop::read(&format!("{from} by mx.example.com with ESMTP; now"));
            assert_eq!(hop.address, address.parse().ok(), "{from}");
            assert_eq!(hop.reverse, reverse, "{from}");
        }
        let exim =
            "from a.test ([192.0.2.1]) by mx.example.com with esmtp (Exim 4) (envelope-from <a@a.test>) id 1";
        assert_eq!(Hop::read(exim).envelope_from, "<a@a.test>");
        let forged = "from (envelope-from <a@a.test>) by mx.example.com";
        assert_eq!(Hop::read(forged).envelope_from, "");
    }

    #[test]
    fn a_relay_is_a_name_an_address_a_network_or_all_below_a_domain() {
        let rule = rule(&["mx.example.com", "*.outlook.com", "10.0.0.5", "2001:db8::/32", "192.0.2.0/24"]);
        for (host, expected) in [
            ("mx.example.com", true),
            ("a.prod.outlook.com", true),
            ("[10.0.0.5]", true),
            ("2001:db8:1::7", true),
            ("[IPv6:2001:db8:1::7]", true),
            ("192.0.2.200", true),
            ("192.0.3.1", false),
            ("2001:db9::1", false),
            ("outlook.com", false),
            ("eviloutlook.com", false),
            ("mx.example.com.evil.test", false),
        ] {
            assert_eq!(is_ours(host, &rule), expected, "{host}");
        }
        assert_eq!(network("192.0.2.0/33"), None);
        assert_eq!(network("192.0.2.0"), None);
    }

    #[test]
    fn a_client_outside_ends_the_walk_whatever_stands_below() {
        let rule = rule(&["mx.desk.test", "store.desk.test", "10.0.0.5"]);
        let border = "from a.test (a.test [192.0.2.9]) by mx.desk.test with ESMTPS; now";
        let forged = "from mx.desk.test (mx.desk.test [192.0.2.9]) by mx.desk.test with ESMTPS; now";
        let lying = "from mx.desk.test (evil.test [192.0.2.9]) by mx.desk.test with ESMTP; now";
        let foreign = "from pc.a.test by a.test; now";
        for (fields, at) in [
            (vec![border, foreign], Some(0)),
            (vec!["from mx.desk.test by store.desk.test with LMTP; now", border, foreign], Some(1)),
            (vec!["from x (unknown [10.0.0.5]) by store.desk.test with ESMTP; now", border], Some(1)),
            (vec!["from x (mx.desk.test [10.9.9.9]) by store.desk.test with ESMTP; now", border], Some(1)),
            (vec!["from localhost (localhost [127.0.0.1]) by mx.desk.test; now", border], Some(1)),
            (vec!["by store.desk.test with LMTP id 1; now", border], Some(1)),
            // Its name alone is what a client says of itself.
            (vec![lying, forged], Some(0)),
            (vec!["from mx.desk.test by store.desk.test with ESMTP; now", border], Some(0)),
            (vec![border, forged, border], Some(0)),
            (vec![foreign, border], None),
            (vec![], None),
        ] {
            let headers: Vec<Header> =
                fields.iter().map(|v| Header { name: "Received".into(), value: (*v).into() }).collect();
            assert_eq!(handover(&headers, &rule).map(|h| h.at), at, "{fields:?}");
        }
    }
}
