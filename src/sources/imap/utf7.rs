//! Mailbox names on the wire: modified UTF-7, RFC 3501 §5.1.3. Encoding only; maildesk never lists names.

use base64::Engine as _;
use base64::alphabet::IMAP_MUTF7;
use base64::engine::{GeneralPurpose, general_purpose::NO_PAD};

const MODIFIED: GeneralPurpose = GeneralPurpose::new(&IMAP_MUTF7, NO_PAD);

/// Printable US-ASCII stands for itself, "&" is "&-", and all else is a shifted run of UTF-16 in base64.
pub(super) fn encode(name: &str) -> String {
    let mut encoded = String::with_capacity(name.len());
    let mut run = Vec::new();
    for c in name.chars() {
        if (' '..='~').contains(&c) {
            shift(&mut encoded, &mut run);
            encoded.push(c);
            if c == '&' {
                encoded.push('-');
            }
        } else {
            run.extend(c.encode_utf16(&mut [0; 2]).iter().flat_map(|unit| unit.to_be_bytes()));
        }
    }
    shift(&mut encoded, &mut run);
    encoded
}

fn shift(encoded: &mut String, run: &mut Vec<u8>) {
    if !run.is_empty() {
        encoded.push('&');
        MODIFIED.encode_string(&run, encoded);
        encoded.push('-');
        run.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_encoded_as_the_rfc_shows() {
        for (name, wire) in [
            ("INBOX", "INBOX"),
            ("~peter/mail/台北/日本語", "~peter/mail/&U,BTFw-/&ZeVnLIqe-"),
            ("Entwürfe", "Entw&APw-rfe"),
            ("Q&A", "Q&-A"),
            ("ü&ü", "&APw-&-&APw-"),
            ("😀", "&2D3eAA-"),
            ("a\r\nb", "a&AA0ACg-b"),
        ] {
            assert_eq!(encode(name), wire);
        }
    }
}
