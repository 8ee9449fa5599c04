//! Addresses of people and mailboxes (RFC 5322 §3.4), as far as a support desk compares and answers them.

use serde::{Deserialize, Serialize};

/// An address in the form in which addresses are compared: lower case, no comments, no quotes, always with one `@`.
///
/// RFC 5321 §2.4 calls the local part case-sensitive; no provider in use treats it so, and people mistype case.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Address(String);

/// Longest address accepted: RFC 5321 §4.5.3.1 (64 + 1 + 255 octets).
const MAX_LENGTH: usize = 320;

impl Address {
    /// Parses a bare `local@domain`, with or without angle brackets.
    /// Refused: no or empty local part or domain, white space and control characters, and what could break out of
    /// a header field or an SMTP command (RFC 5321 §4.1.2).
    pub fn parse(text: &str) -> Option<Address> {
        let text = text.trim();
        let text = text.strip_prefix('<').and_then(|t| t.strip_suffix('>')).unwrap_or(text);
        let (local, domain) = text.rsplit_once('@')?;
        let is_bad =
            |c: char| c.is_control() || c.is_whitespace() || matches!(c, '<' | '>' | ',' | ';' | '"' | '\\');
        let is_refused = local.is_empty()
            || domain.is_empty()
            || text.len() > MAX_LENGTH
            || local.contains('@')
            || text.contains(is_bad);
        (!is_refused).then(|| Address(text.to_lowercase()))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    pub fn local(&self) -> &str {
        self.split().0
    }

    pub fn domain(&self) -> &str {
        self.split().1
    }

    fn split(&self) -> (&str, &str) {
        self.0.rsplit_once('@').expect("parse() lets no address without @ through")
    }

    /// The part behind `+` (RFC 5233 calls it the detail).
    pub fn detail(&self) -> Option<&str> {
        self.local().split_once('+').map(|(_, detail)| detail)
    }

    /// The same address without its +detail.
    pub fn without_detail(&self) -> Address {
        match self.local().split_once('+') {
            Some((user, _)) if !user.is_empty() => Address(format!("{user}@{}", self.domain())),
            _ => self.clone(),
        }
    }

    /// Whether a pattern names it: `support@example.com`, `*@example.com`, `sales-*@example.com`. `*` is any run of
    /// characters. A pattern without `+` also names the addresses with a +detail.
    pub fn matches(&self, pattern: &str) -> bool {
        let pattern = pattern.to_lowercase();
        is_glob_match(&pattern, &self.0)
            || (!pattern.contains('+') && is_glob_match(&pattern, &self.without_detail().0))
    }
}

/// `*` in the pattern stands for any run of characters, the empty one too.
fn is_glob_match(pattern: &str, text: &str) -> bool {
    let mut pieces = pattern.split('*');
    let Some(mut rest) = text.strip_prefix(pieces.next().unwrap_or_default()) else { return false };
    let mut pieces: Vec<&str> = pieces.collect();
    let Some(last) = pieces.pop() else { return rest.is_empty() };
    for piece in pieces {
        match rest.find(piece) {
            Some(at) => rest = &rest[at + piece.len()..],
            None => return false,
        }
    }
    rest.len() >= last.len() && rest.ends_with(last)
}

impl std::fmt::Display for Address {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl TryFrom<String> for Address {
    type Error = String;
    fn try_from(text: String) -> Result<Address, String> {
        Address::parse(&text).ok_or_else(|| format!("{text:?} is not an address such as name@example.com"))
    }
}

impl std::str::FromStr for Address {
    type Err = String;
    fn from_str(text: &str) -> Result<Address, String> {
        Address::try_from(text.to_owned())
    }
}

impl From<Address> for String {
    fn from(address: Address) -> String {
        address.0
    }
}

/// An address with the name its owner goes by; the name may be empty.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NamedAddress {
    pub name: String,
    pub address: Address,
}

impl From<Address> for NamedAddress {
    fn from(address: Address) -> NamedAddress {
        NamedAddress { name: String::new(), address }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Address {
        Address::parse(text).unwrap()
    }

    #[test]
    fn addresses_compare_without_case_and_brackets() {
        assert_eq!(at(" <Support@Example.COM> "), at("support@example.com"));
        assert_eq!(at("a+b@x.test").detail(), Some("b"));
        assert_eq!(at("a+b@x.test").without_detail(), at("a@x.test"));
        assert_eq!(at("+b@x.test").without_detail(), at("+b@x.test"));
    }

    #[test]
    fn what_could_break_out_of_a_header_is_no_address() {
        let long = format!("{}@x", "a".repeat(400));
        for bad in [
            "",
            "a",
            "@x",
            "a@",
            "a b@x",
            "a@x\r\nRCPT TO:<b@x>",
            "a@b@c",
            "<a@x>,<b@x>",
            "\"a\"@x",
            long.as_str(),
        ] {
            assert_eq!(Address::parse(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn patterns_name_addresses() {
        for (pattern, address, expected) in [
            ("support@example.com", "support@example.com", true),
            ("support@example.com", "support+x@example.com", true),
            ("Support@example.com", "support@example.com", true),
            ("support+x@example.com", "support+y@example.com", false),
            ("*@example.com", "any.one@example.com", true),
            ("*@example.com", "any@example.com.evil.test", false),
            ("sales-*@example.com", "sales-eu@example.com", true),
            ("sales-*@example.com", "sales@example.com", false),
            ("a*b*c@x.test", "a1b2c@x.test", true),
            ("a*b*c@x.test", "acb@x.test", false),
        ] {
            assert_eq!(at(address).matches(pattern), expected, "{pattern} {address}");
        }
    }
}
