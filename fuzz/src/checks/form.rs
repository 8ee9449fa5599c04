//! Bytes in the forms in which they stand in a mail.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use maildesk::mail;

use super::{characters, message_holds, scan, within_time};

const HEAD: &str = "From: Ada <ada@black.test>\nTo: desk@desk.test\nSubject: s\n";

/// Names of charsets as mails state them, and some that mean nothing.
const LABELS: [&str; 32] = [
    "utf-8",
    "us-ascii",
    "iso-8859-1",
    "iso-8859-9",
    "iso-8859-8-i",
    "windows-1252",
    "windows-1251",
    "koi8-r",
    "gb2312",
    "gb18030",
    "hz-gb-2312",
    "big5-hkscs",
    "iso-2022-jp",
    "iso-2022-kr",
    "shift_jis",
    "cp932",
    "euc-jp",
    "euc-kr",
    "ks_c_5601-1987",
    "tis-620",
    "macintosh",
    "ibm850",
    "utf-7",
    "utf-16",
    "utf-16le",
    "utf-16be",
    "utf-32",
    "unknown-8bit",
    "x-unknown",
    "x-user-defined",
    "replacement",
    "",
];

/// The first byte: as it is, as the machine-readable part, as words of a mail system, as a complaint.
pub(super) fn report(bytes: &[u8]) -> Vec<u8> {
    let Some((&form, rest)) = bytes.split_first() else { return Vec::new() };
    let (head, tail) = match form % 4 {
        0 => ("", ""),
        1 => (
            "From: MAILER-DAEMON@mx.test\nContent-Type: multipart/report; report-type=delivery-status; boundary=b\n\n\
             --b\n\nIt failed.\n--b\nContent-Type: message/delivery-status\n\n",
            "\n--b\nContent-Type: text/rfc822-headers\n\nMessage-ID: <1@desk.test>\n\n--b--\n",
        ),
        2 => ("From: MAILER-DAEMON@mx.test\nReturn-Path: <>\nSubject: failure notice\n\n", "\n"),
        _ => (
            "From: abuse@isp.test\nContent-Type: multipart/report; report-type=feedback-report; boundary=b\n\n\
             --b\n\nA complaint.\n--b\nContent-Type: message/feedback-report\n\n",
            "\n--b\nContent-Type: message/rfc822\n\nTo: ada@black.test\n\nwords\n--b--\n",
        ),
    };
    [head.as_bytes(), rest, tail.as_bytes()].concat()
}

/// A text as 8-bit lines, flowed, flowed without its spaces, in quoted-printable, in base64, or called HTML.
pub(super) fn text(form: u8, bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let (kind, encoding, body) = match form {
        0 => ("text/plain", "8bit", text.to_string()),
        1 => ("text/plain; format=flowed", "8bit", text.to_string()),
        2 => ("text/plain; format=flowed; delsp=yes", "8bit", text.to_string()),
        3 => ("text/plain", "quoted-printable", quoted(&text)),
        4 => ("text/plain", "base64", STANDARD.encode(text.as_bytes())),
        _ => ("text/html", "8bit", text.to_string()),
    };
    let raw =
        format!("{HEAD}Content-Type: {kind}; charset=utf-8\nContent-Transfer-Encoding: {encoding}\n\n{body}");
    let message = within_time(|| mail::parse(&scan(raw.as_bytes())));
    message_holds(&message, raw.as_bytes());
    // A page is no plain text, and lines that are a file are no words.
    let is_plain = form < 5 && !text.contains('<') && !text.contains("begin ");
    if is_plain {
        assert_eq!(characters(&message.text), characters(&text), "{kind} in {encoding} lost words");
    }
}

fn quoted(text: &str) -> String {
    text.bytes()
        .enumerate()
        .map(|(at, b)| format!("={b:02X}{}", if at % 20 == 19 { "=\n" } else { "" }))
        .collect()
}

/// Bytes under the name of a charset, in the text and in a header. The first byte says which.
pub(super) fn labelled(bytes: &[u8]) {
    let Some((&label, rest)) = bytes.split_first() else { return };
    let label = LABELS[usize::from(label) % LABELS.len()];
    let word: String = rest.iter().take(200).map(|b| format!("={b:02X}")).collect();
    let head = format!("X-Word: =?{label}?Q?{word}?=\nContent-Type: text/plain; charset=\"{label}\"\n\n");
    let raw = [HEAD.as_bytes(), head.as_bytes(), rest].concat();
    let message = within_time(|| mail::parse(&scan(&raw)));
    message_holds(&message, &raw);
    // ASCII is itself in all of them but two kinds; what begins an escape may be one.
    let is_wide = label.starts_with("utf-16") || label.starts_with("utf-32");
    let is_plain = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b' ' | b'.' | b'\n');
    if !is_wide && rest.iter().all(is_plain) && !rest.windows(6).any(|w| w == b"begin ") {
        let said = String::from_utf8_lossy(rest);
        assert_eq!(characters(&message.text), characters(&said), "{label} lost words");
    }
}

/// MS-OXTNEF §2.1.1: signature and key.
pub(super) fn tnef(bytes: &[u8]) -> Vec<u8> {
    let head = format!("{HEAD}Content-Type: application/ms-tnef; name=winmail.dat\n\n");
    [head.as_bytes(), b"\x78\x9f\x3e\x22\x01\x00", bytes].concat()
}

pub(super) fn page(html: &str) -> Vec<u8> {
    format!("{HEAD}Content-Type: text/html; charset=utf-8\n\n{html}").into_bytes()
}
