//! The fields of a header block as they stand (RFC 5322 §2.2), and what Content-* fields say of a part (RFC 2045).
//!
//! Tolerant and quick: the scanner asks on every part. Names of attachments are read later, by `body`.

use super::Encoding;

/// One field: the name without its colon, the value still folded and encoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Field<'m> {
    pub name: &'m [u8],
    pub value: &'m [u8],
}

/// The fields of a block in order. Lines that are no field and continue none are left out.
pub(super) fn fields(block: &[u8]) -> impl Iterator<Item = Field<'_>> {
    // White space in front of the first line cannot continue anything.
    let mut rest = block.trim_ascii_start();
    std::iter::from_fn(move || {
        while !rest.is_empty() {
            let mut end = line_end(rest);
            let found = name_length(rest);
            while found.is_some() && matches!(rest.get(end), Some(b' ' | b'\t')) {
                end += line_end(&rest[end..]);
            }
            let (field, tail) = rest.split_at(end);
            rest = tail;
            if let Some(length) = found {
                let colon = memchr::memchr(b':', field)?;
                return Some(Field { name: &field[..length], value: trim(&field[colon + 1..]) });
            }
        }
        None
    })
}

/// The first field of that name.
pub(super) fn first<'m>(block: &'m [u8], name: &str) -> Option<&'m [u8]> {
    fields(block).find(|f| f.name.eq_ignore_ascii_case(name.as_bytes())).map(|f| f.value)
}

/// How long the field name is that this line begins with; None where it begins with none.
/// RFC 5322 §4.5 lets white space stand before the colon.
pub(super) fn name_length(line: &[u8]) -> Option<usize> {
    let length = line.iter().position(|b| !matches!(b, 33..=57 | 59..=126)).filter(|l| *l > 0)?;
    let colon = line[length..].iter().position(|b| !matches!(b, b' ' | b'\t'))?;
    (line[length + colon] == b':').then_some(length)
}

fn line_end(bytes: &[u8]) -> usize {
    memchr::memchr(b'\n', bytes).map_or(bytes.len(), |at| at + 1)
}

pub(super) fn trim(bytes: &[u8]) -> &[u8] {
    bytes.trim_ascii()
}

/// What the Content-* fields of a part say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Entity {
    /// `type/subtype`, lower case.
    pub content_type: String,
    pub boundary: Option<Vec<u8>>,
    pub encoding: Encoding,
    /// Content-Disposition says attachment.
    pub is_attachment: bool,
}

impl Entity {
    /// `in_digest`: a part of a multipart/digest is a message where it says nothing else (RFC 2046 §5.1.5).
    pub fn read(block: &[u8], in_digest: bool) -> Entity {
        let default = if in_digest { "message/rfc822" } else { "text/plain" };
        let mut entity = Entity {
            content_type: default.into(),
            boundary: None,
            encoding: Encoding::Identity,
            is_attachment: false,
        };
        let mut has_type = false;
        for field in
            fields(block).filter(|f| f.name.len() > 8 && f.name[..8].eq_ignore_ascii_case(b"content-"))
        {
            match field.name[8..].to_ascii_lowercase().as_slice() {
                b"type" if !has_type => {
                    has_type = true;
                    entity.content_type = content_type(field.value, default);
                    entity.boundary = parameter(field.value, "boundary").filter(|b| !b.is_empty());
                }
                b"transfer-encoding" => entity.encoding = encoding(field.value),
                b"disposition" => entity.is_attachment = starts_with(field.value, b"attachment"),
                _ => {}
            }
        }
        entity
    }

    pub fn is_multipart(&self) -> bool {
        self.content_type.starts_with("multipart/")
    }
}

/// RFC 2045 §5.2: what is no content type counts as the default.
fn content_type(value: &[u8], default: &str) -> String {
    let end = value.iter().position(|b| matches!(b, b';' | b',')).unwrap_or(value.len());
    let word = |b: &[u8]| {
        let b = trim(b);
        let end = b.iter().position(|b| !b.is_ascii_graphic() || *b == b'(').unwrap_or(b.len());
        String::from_utf8_lossy(&b[..end]).to_ascii_lowercase()
    };
    let mut halves = value[..end].splitn(2, |b| *b == b'/');
    let (kind, sub) = (word(halves.next().unwrap_or_default()), word(halves.next().unwrap_or_default()));
    match (kind.as_str(), sub.as_str()) {
        ("multipart", "") => "multipart/mixed".into(),
        ("text", "") => "text/plain".into(),
        (_, "") | ("", _) => default.into(),
        // RFC 6838 §4.2: no half is longer than 127 characters.
        _ if kind.len() > 127 || sub.len() > 127 => "application/octet-stream".into(),
        _ => format!("{kind}/{sub}"),
    }
}

fn encoding(value: &[u8]) -> Encoding {
    if starts_with(value, b"base64") {
        Encoding::Base64
    } else if starts_with(value, b"quoted-printable") {
        Encoding::QuotedPrintable
    } else if [b"x-uuencode".as_slice(), b"uuencode", b"x-uue"].iter().any(|name| starts_with(value, name)) {
        // Never a standard, and still met.
        Encoding::Uuencode
    } else {
        Encoding::Identity
    }
}

fn starts_with(value: &[u8], word: &[u8]) -> bool {
    value.trim_ascii_start().get(..word.len()).is_some_and(|v| v.eq_ignore_ascii_case(word))
}

/// A parameter of a structured value: `…; name="value"`. Without RFC 2231, which no boundary or charset needs.
pub(super) fn parameter(value: &[u8], name: &str) -> Option<Vec<u8>> {
    let (_, said) = parameters(value).find(|(key, _)| key.eq_ignore_ascii_case(name.as_bytes()))?;
    let mut said = unquoted(said);
    // RFC 2046 §5.1.1: a boundary never ends with white space.
    said.truncate(said.trim_ascii_end().len());
    Some(said)
}

/// The parameters in order: the name, and all that follows its `=`, which `unquoted` reads.
pub(super) fn parameters(value: &[u8]) -> impl Iterator<Item = (&[u8], &[u8])> {
    let mut rest = value;
    std::iter::from_fn(move || {
        loop {
            rest = after_semicolon(rest)?;
            let equals = rest.iter().position(|b| matches!(b, b'=' | b';'))?;
            let (name, tail) = (trim(&rest[..equals]), &rest[equals..]);
            rest = tail;
            if let Some(said) = tail.strip_prefix(b"=") {
                return Some((name, said));
            }
        }
    })
}

/// What stands behind the next semicolon that no quotes hold.
fn after_semicolon(value: &[u8]) -> Option<&[u8]> {
    let mut in_quotes = false;
    let mut is_escaped = false;
    let at = value.iter().position(|&b| {
        let is_it = b == b';' && !in_quotes;
        in_quotes ^= b == b'"' && !is_escaped;
        is_escaped = b == b'\\' && in_quotes && !is_escaped;
        is_it
    })?;
    Some(&value[at + 1..])
}

/// The value that text begins with: a quoted one, or a word.
pub(super) fn unquoted(value: &[u8]) -> Vec<u8> {
    let value = value.trim_ascii_start();
    let Some(quoted) = value.strip_prefix(b"\"") else {
        let end = value
            .iter()
            .position(|b| matches!(b, b';' | b' ' | b'\t' | b'\r' | b'\n'))
            .unwrap_or(value.len());
        return value[..end].to_vec();
    };
    let mut out = Vec::new();
    let mut bytes = quoted.iter();
    while let Some(&b) = bytes.next() {
        match b {
            b'"' => break,
            b'\\' => out.extend(bytes.next()),
            b'\r' | b'\n' => {}
            _ => out.push(b),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_found_with_their_folded_values() {
        let block = b"Subject : a\r\n b\r\njunk line\r\nX-Empty:\r\nTo: c\n\td\n";
        let found: Vec<(&[u8], &[u8])> = fields(block).map(|f| (f.name, f.value)).collect();
        assert_eq!(
            found,
            [(&b"Subject"[..], &b"a\r\n b"[..]), (&b"X-Empty"[..], &b""[..]), (&b"To"[..], &b"c\n\td"[..])]
        );
        assert_eq!(first(block, "TO"), Some(&b"c\n\td"[..]));
    }

    #[test]
    fn content_types_are_read_or_taken_for_the_default() {
        for (value, kind, boundary) in [
            ("text/HTML; charset=utf-8", "text/html", None),
            ("multipart/mixed; boundary=\"a b;\\\"c\"", "multipart/mixed", Some("a b;\"c")),
            ("multipart/mixed;\r\n\tBoundary = x ; y=z", "multipart/mixed", Some("x")),
            ("multipart/report; a=\"boundary=no\"; boundary=yes", "multipart/report", Some("yes")),
            ("Text", "text/plain", None),
            ("nonsense", "text/plain", None),
            ("text/plain (a comment)", "text/plain", None),
            ("multipart", "multipart/mixed", None),
            ("", "text/plain", None),
        ] {
            let block = format!("Content-Type: {value}\r\n");
            let entity = Entity::read(block.as_bytes(), false);
            assert_eq!(entity.content_type, kind, "{value}");
            assert_eq!(entity.boundary.as_deref(), boundary.map(str::as_bytes), "{value}");
        }
    }

    #[test]
    fn a_part_of_a_digest_is_a_message() {
        assert_eq!(Entity::read(b"", true).content_type, "message/rfc822");
        assert_eq!(Entity::read(b"Content-Type: text/plain\n", true).content_type, "text/plain");
    }
}
