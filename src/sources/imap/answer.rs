//! What a FETCH answer holds, taken out of imap-proto's attributes.

use async_imap::imap_proto::{AttributeValue, MessageSection, Response, SectionPath};

use crate::clock::Micros;

/// A body section of a FETCH answer.
pub(super) struct Part<'a> {
    pub(super) uid: u32,
    pub(super) received: Option<Micros>,
    /// None: this is the whole, the server knows no pieces.
    pub(super) offset: Option<u32>,
    pub(super) data: Option<&'a [u8]>,
}

#[derive(Clone, Copy, PartialEq)]
pub(super) enum Section {
    Whole,
    Header,
}

/// The section of a FETCH answer that also has its UID. An answer without (a flag that somebody changed, a UID beyond
/// 32 bits) is none of ours.
pub(super) fn part<'a>(response: &'a Response<'_>, wanted: Section) -> Option<Part<'a>> {
    let Response::Fetch(_, attributes) = response else { return None };
    let (mut uid, mut received, mut body) = (None, None, None);
    for attribute in attributes {
        match attribute {
            AttributeValue::Uid(n) => uid = Some(*n),
            AttributeValue::InternalDate(date) => received = internal_date(date),
            AttributeValue::BodySection { section, index, data } => {
                let is_wanted = match section {
                    None => wanted == Section::Whole,
                    Some(SectionPath::Full(MessageSection::Header)) => wanted == Section::Header,
                    Some(_) => false,
                };
                if is_wanted {
                    body = Some((*index, data.as_deref()));
                }
            }
            _ => {}
        }
    }
    let (offset, data) = body?;
    Some(Part { uid: uid?, received, offset, data })
}

/// RFC 3501 §9 `date-time`: the day may have a space for its first digit.
fn internal_date(date: &str) -> Option<Micros> {
    let parsed = chrono::DateTime::parse_from_str(date.trim(), "%d-%b-%Y %H:%M:%S %z").ok()?;
    Some(Micros(parsed.timestamp_micros()))
}

/// The bytes as the server means them: imap-proto leaves the backslashes of a quoted string in place, and only the byte
/// in front of the data tells it from a literal.
pub(super) fn unquoted(data: &[u8], raw: &[u8]) -> Vec<u8> {
    let at = (data.as_ptr() as usize).wrapping_sub(raw.as_ptr() as usize);
    let is_quoted = at.checked_sub(1).and_then(|before| raw.get(before)) == Some(&b'"');
    if !is_quoted || !data.contains(&b'\\') {
        return data.to_vec();
    }
    let mut bytes = Vec::with_capacity(data.len());
    let mut rest = data.iter();
    while let Some(byte) = rest.next() {
        let byte = if *byte == b'\\' { rest.next().unwrap_or(byte) } else { byte };
        bytes.push(*byte);
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn internal_dates_are_read_with_their_zone() {
        assert_eq!(internal_date("17-Jul-1996 02:44:25 -0700"), Some(Micros::from_seconds(837_596_665)));
        assert_eq!(internal_date(" 1-Jan-1970 00:00:01 +0000"), Some(Micros::from_seconds(1)));
        assert_eq!(internal_date("yesterday"), None);
    }

    #[test]
    fn a_quoted_body_loses_its_backslashes_and_a_literal_keeps_them() {
        for (raw, body) in [
            (&b"* 1 FETCH (UID 7 BODY[]<0> \"a\\\"b\\\\c\")\r\n"[..], &b"a\"b\\c"[..]),
            (b"* 1 FETCH (UID 7 BODY[]<0> {4}\r\na\\\\b)\r\n", b"a\\\\b"),
            (b"* 1 FETCH (UID 7 BODY[]<0> \"\")\r\n", b""),
        ] {
            let (_, response) = Response::parse(raw).expect("well formed");
            let part = part(&response, Section::Whole).expect("a body");
            assert_eq!(unquoted(part.data.expect("data"), raw), body);
        }
    }
}
