//! Address lists (RFC 5322 §3.4) as people write them: groups, comments and quotes tolerated.

use mail_parser::parsers::MessageStream;
use mail_parser::{Addr, HeaderValue};

use super::{Address, NamedAddress, words};

/// More recipients than this are a mass mailing; nobody reads or answers them one by one.
const MAX_ADDRESSES: usize = 1000;

/// Every address of the value that parses, in order, without doubles. What does not parse is left out.
pub(super) fn addresses(raw: &[u8]) -> Vec<NamedAddress> {
    let mut line = words::normalize(raw);
    line.push('\n');
    let value = MessageStream::new(line.as_bytes()).parse_address();
    let HeaderValue::Address(list) = value else { return Vec::new() };
    let mut found: Vec<NamedAddress> = list.iter().filter_map(named).collect();
    if found.is_empty() {
        found = unseparated(&line);
    }
    let mut seen = std::collections::HashSet::new();
    found.retain(|a| seen.insert(a.address.clone()));
    found.truncate(MAX_ADDRESSES);
    found
}

/// Addresses with nothing but space between them: the last resort, for values in which nothing could be a name that
/// looks like an address.
fn unseparated(line: &str) -> Vec<NamedAddress> {
    if line.contains(['"', '(']) || line.contains("=?") {
        return Vec::new();
    }
    let words = line.split(|c: char| c.is_whitespace() || matches!(c, '<' | '>' | ',' | ';'));
    words.filter_map(Address::parse).map(NamedAddress::from).collect()
}

fn named(addr: &Addr) -> Option<NamedAddress> {
    let name = words::clean(addr.name().unwrap_or_default());
    if let Some(address) = addr.address() {
        if let Some(address) = Address::parse(address) {
            return Some(NamedAddress { name, address });
        }
        return unbracketed(address, name);
    }
    unbracketed(&name, String::new())
}

/// `Jo Doe jo@example.com`: the last word is the address if it is the only one that could be.
fn unbracketed(text: &str, name: String) -> Option<NamedAddress> {
    let (before, last) = text.trim().rsplit_once(char::is_whitespace).unwrap_or(("", text));
    let address = Address::parse(last).filter(|_| !before.contains('@'))?;
    let name = if name.is_empty() { before.trim().to_owned() } else { name };
    Some(NamedAddress { name, address })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_found_however_they_are_written() {
        for (raw, expected) in [
            ("a@x.test", "<a@x.test>"),
            ("Jo Doe <a@x.test>", "Jo Doe<a@x.test>"),
            ("\"Doe, Jo\" <A@X.test>", "Doe, Jo<a@x.test>"),
            ("a@x.test (Jo Doe)", "Jo Doe<a@x.test>"),
            ("Jo Doe a@x.test", "Jo Doe<a@x.test>"),
            ("a@x.test, b@x.test,, a@x.test", "<a@x.test> <b@x.test>"),
            ("Team: a@x.test, Jo <b@x.test>; c@x.test", "<a@x.test> Jo<b@x.test> <c@x.test>"),
            ("undisclosed-recipients:;", ""),
            ("=?utf-8?Q?M=C3=BCller?= <a@x.test>", "Müller<a@x.test>"),
            ("=?utf-8?Q?Doe=2C_Jo_<evil@x.test>?= <a@x.test>", "Doe, Jo <evil@x.test><a@x.test>"),
            ("\"=?utf-8?B?w6k=?=\" <a@x.test>", "é<a@x.test>"),
            ("Jo\r\n\t<a@x.test>", "Jo<a@x.test>"),
            ("a@x.test b@x.test", "<a@x.test> <b@x.test>"),
            ("Jo <a@x.test> Mo <b@x.test>", "<a@x.test> <b@x.test>"),
            ("\"a@x.test b@x.test\"", ""),
            ("no address here", ""),
            ("<>", ""),
            ("", ""),
        ] {
            let found: Vec<String> =
                addresses(raw.as_bytes()).iter().map(|a| format!("{}<{}>", a.name, a.address)).collect();
            assert_eq!(found.join(" "), expected, "{raw}");
        }
    }

    #[test]
    fn a_long_list_is_cut() {
        let raw: String = (0..2000).map(|i| format!("a{i}@x.test, ")).collect();
        assert_eq!(addresses(raw.as_bytes()).len(), MAX_ADDRESSES);
    }
}
