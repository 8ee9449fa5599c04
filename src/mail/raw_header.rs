//! Raw 8-bit bytes in header fields, which no standard allows but UTF-8 (RFC 6532): read in the charset that the message
//! states for its text, else in the likeliest.

use std::borrow::Cow;

use super::decode::decode_span;
use super::{Skeleton, charset, field};

/// Of a text that helps to tell the charset, no more is decoded.
const LOOKED_AT: usize = 4096;

/// A header block of the message, or of a part of it, with its lines in UTF-8 as far as their charset can be told.
pub(super) fn readable<'b>(block: &'b [u8], skeleton: &Skeleton) -> Cow<'b, [u8]> {
    let is_odd = |line: &&[u8]| std::str::from_utf8(line).is_err();
    if std::str::from_utf8(block).is_ok() {
        return block.into();
    }
    let odd: Vec<&[u8]> = block.split_inclusive(|b| *b == b'\n').filter(is_odd).collect();
    let (label, text) = text(skeleton);
    let Some(encoding) = charset::of_header(label.as_deref(), &odd.concat(), &text) else {
        return block.into();
    };
    let mut readable = Vec::with_capacity(block.len() * 2);
    for line in block.split_inclusive(|b| *b == b'\n') {
        if is_odd(&line) {
            readable.extend_from_slice(encoding.decode_without_bom_handling(line).0.as_bytes());
        } else {
            readable.extend_from_slice(line);
        }
    }
    readable.into()
}

/// The charset that the message states for its first text, and how that begins.
fn text(skeleton: &Skeleton) -> (Option<String>, Vec<u8>) {
    let is_text = |kind: &str| matches!(kind, "text/plain" | "text/html");
    let Some(part) = skeleton.parts.iter().find(|p| !p.is_multipart && is_text(&p.content_type)) else {
        return (None, Vec::new());
    };
    let kind = field::first(&skeleton.bytes[part.headers.clone()], "content-type").unwrap_or_default();
    let label = field::parameter(kind, "charset").map(|l| String::from_utf8_lossy(&l).into_owned());
    let kept = &skeleton.bytes[part.body.clone()];
    (label, decode_span(&kept[..kept.len().min(LOOKED_AT)], part.span.encoding))
}

#[cfg(test)]
mod tests {
    use crate::mail::{Message, parse, scan};

    fn message(raw: &[u8]) -> Message {
        parse(&scan(&mut &raw[..]).expect("a slice has no read errors"))
    }

    #[test]
    fn raw_headers_are_in_the_charset_of_the_text() {
        for (label, encoding, words) in [
            ("koi8-r", encoding_rs::KOI8_R, "Принтер"),
            ("windows-1251", encoding_rs::WINDOWS_1251, "Привет"),
            ("iso-8859-2", encoding_rs::ISO_8859_2, "Žluťoučký kůň"),
            ("iso-8859-7", encoding_rs::ISO_8859_7, "Εκτυπωτής"),
            ("shift_jis", encoding_rs::SHIFT_JIS, "表示とソース"),
            ("gb2312", encoding_rs::GB18030, "打印机"),
            ("big5", encoding_rs::BIG5, "許功蓋"),
            ("euc-kr", encoding_rs::EUC_KR, "프린터"),
            // Of Japanese with seven bits in the text, and eight in the header.
            ("iso-2022-jp", encoding_rs::EUC_JP, "印刷機"),
            ("iso-8859-1", encoding_rs::WINDOWS_1252, "Frösche"),
        ] {
            let raw = encoding.encode(words).0;
            let head = format!("Content-Type: text/plain; charset={label}\nX: \u{e9}\nFrom: \"");
            let bytes = [
                head.as_bytes(),
                &raw,
                b"\" <a@b.test>\nSubject: ",
                &raw,
                b"\nContent-Disposition: attachment; filename=\"",
                &raw,
                b".txt\"\n\n",
            ]
            .concat();
            let message = message(&bytes);
            assert_eq!(message.subject, words, "{label}");
            assert_eq!(message.from.unwrap().name, words, "{label}");
            assert_eq!(message.attachments[0].name, format!("{words}.txt"), "{label}");
            assert_eq!(message.headers[1].value, "é", "{label}");
        }
    }

    #[test]
    fn what_is_certain_of_a_raw_subject_is_kept_beside_the_guess() {
        for (subject, read, as_sent) in [
            (&b"Fr\xf6sche"[..], "Frösche", Some("Fr\u{fffd}sche")),
            (b"=?iso-8859-1?q?Fr=F6sche?= \xf6", "Frösche ö", Some("Frösche \u{fffd}")),
            // Of an encoded word the charset is stated.
            (b"=?iso-8859-1?q?Fr\xf6sche?=", "Frösche", None),
            ("Frösche".as_bytes(), "Frösche", None),
            (b"Frogs", "Frogs", None),
        ] {
            let bytes = [b"From: \"J\xfcrgen\" <a@b.test>\nSubject: ", subject, b"\n\n"].concat();
            let message = message(&bytes);
            assert_eq!((message.subject.as_str(), message.subject_as_sent.as_deref()), (read, as_sent));
        }
    }

    #[test]
    fn where_no_charset_is_stated_the_bytes_tell_it_or_it_is_western() {
        let text = encoding_rs::WINDOWS_1251.encode("Здравствуйте, мой принтер сломался").0;
        let subject = encoding_rs::WINDOWS_1251.encode("Принтер").0;
        for (head, subject, text, expected) in [
            ("", &subject[..], &text[..], "Принтер"),
            ("Content-Type: text/plain; charset=utf-8\n", &subject, &text, "Принтер"),
            // Not in UTF-8 as the text is; what the bytes themselves look like.
            ("Content-Type: text/plain; charset=utf-8\n", b"caf\xe9", "ü".as_bytes(), "café"),
            ("", b"Fr\xf6sche", b"no more than that", "Frösche"),
            ("", b"caf\xe9 \xc3\xa9", b"", "café é"),
        ] {
            let bytes = [head.as_bytes(), b"Subject: ", subject, b"\n\n", text].concat();
            assert_eq!(message(&bytes).subject, expected, "{}", bytes.escape_ascii());
        }
    }
}
