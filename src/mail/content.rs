//! What a mail is besides words, in words for people: an invitation, signed, encrypted, a mail within.

use super::field;
use super::{Message, Skeleton};

/// The kinds of its parts that a person should know of, each once.
pub(super) fn of(skeleton: &Skeleton, message: &Message) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    for part in &skeleton.parts {
        // Nearly all parts end here.
        if matches!(
            part.content_type.as_str(),
            "text/plain" | "text/html" | "multipart/alternative" | "multipart/mixed"
        ) {
            continue;
        }
        let value = field::first(&skeleton.bytes[part.headers.clone()], "content-type").unwrap_or_default();
        let parameter = |name: &str| {
            let said = field::parameter(value, name).unwrap_or_default();
            String::from_utf8_lossy(&said[..said.len().min(60)]).to_ascii_lowercase()
        };
        let says = match part.content_type.as_str() {
            "text/calendar" | "application/ics" => invitation(&parameter("method")),
            "multipart/signed" => signed(&parameter("protocol")).to_owned(),
            "multipart/encrypted" => "encrypted (OpenPGP)".to_owned(),
            "application/pkcs7-mime" | "application/x-pkcs7-mime" => {
                smime(&parameter("smime-type")).to_owned()
            }
            "message/rfc822" | "message/global" => "holds another mail".to_owned(),
            "message/partial" => "a part of a mail that was cut".to_owned(),
            "message/external-body" => "names a file that lies elsewhere".to_owned(),
            "application/ms-tnef" | "application/vnd.ms-tnef" => {
                "Outlook's own format (winmail.dat)".to_owned()
            }
            "text/vcard" | "text/x-vcard" | "text/directory" => "holds a business card".to_owned(),
            _ => continue,
        };
        if !found.contains(&says) {
            found.push(says);
        }
    }
    let near = message.text.trim_start();
    if near.starts_with("-----BEGIN PGP MESSAGE-----") {
        found.push("encrypted (OpenPGP, in the text)".to_owned());
    } else if near.starts_with("-----BEGIN PGP SIGNED MESSAGE-----") {
        found.push("signed (OpenPGP, in the text)".to_owned());
    }
    found
}

/// RFC 5546 §1.4.
fn invitation(method: &str) -> String {
    match method {
        "request" => "calendar invitation".to_owned(),
        "cancel" => "calendar: an event is cancelled".to_owned(),
        "reply" => "calendar: an answer to an invitation".to_owned(),
        "counter" => "calendar: another time is proposed".to_owned(),
        "" => "calendar entry".to_owned(),
        other => format!("calendar entry ({})", other.escape_default()),
    }
}

fn signed(protocol: &str) -> &'static str {
    match protocol {
        p if p.contains("pgp") => "signed (OpenPGP)",
        p if p.contains("pkcs7") => "signed (S/MIME)",
        _ => "signed",
    }
}

/// RFC 8551 §3.2.2.
fn smime(kind: &str) -> &'static str {
    match kind {
        "signed-data" => "signed (S/MIME, its words are inside the signature)",
        "compressed-data" => "compressed (S/MIME)",
        _ => "encrypted (S/MIME)",
    }
}
