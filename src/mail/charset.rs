//! Bytes to words: charsets by their declared name, and what to do where the name is a lie.

use std::borrow::Cow;

use mail_parser::decoders::charsets::map::charset_decoder;

use super::Defect;

/// Decodes by the declared name. Never fails: where the name is unknown or cannot be true, what is UTF-8 is read as
/// UTF-8 and every other byte as windows-1252.
pub(super) fn decode(bytes: &[u8], label: Option<&str>) -> (String, Option<Defect>) {
    match named(label.unwrap_or_default()) {
        Named::Utf8 => lenient(bytes, true),
        Named::Unstated => lenient(bytes, false),
        Named::Unknown => (lenient(bytes, false).0, Some(Defect::UnknownCharset)),
        Named::Other(decoder) => (decoder(bytes), None),
        Named::Known(encoding) => {
            let (text, _, has_errors) = encoding.decode(bytes);
            if !has_errors {
                return (text.into_owned(), None);
            }
            let likelier = likelier_than(encoding).find_map(|other| {
                other.decode_without_bom_handling_and_without_replacement(bytes).map(Cow::into_owned)
            });
            (likelier.unwrap_or_else(|| text.into_owned()), Some(Defect::BadEncoding))
        }
    }
}

/// What a text may be in that is not in the charset it names: converted on the way without its label, or 8-bit
/// Japanese under the name of the 7-bit form.
fn likelier_than(
    named: &'static encoding_rs::Encoding,
) -> impl Iterator<Item = &'static encoding_rs::Encoding> {
    let is_japanese = named == encoding_rs::ISO_2022_JP;
    let japanese = [encoding_rs::EUC_JP, encoding_rs::SHIFT_JIS].into_iter().filter(move |_| is_japanese);
    std::iter::once(encoding_rs::UTF_8).chain(japanese)
}

/// UTF-8 where it is, windows-1252 where it is not: a message of one kind with a few bytes of the other stays readable.
pub(super) fn utf8_or_western(bytes: &[u8]) -> Cow<'_, str> {
    match std::str::from_utf8(bytes) {
        Ok(text) => Cow::Borrowed(text),
        Err(_) => Cow::Owned(mixed(bytes)),
    }
}

enum Named {
    Utf8,
    /// Nothing said, or nothing that tells what 8-bit bytes mean.
    Unstated,
    Known(&'static encoding_rs::Encoding),
    /// What the Encoding Standard leaves out and the mail parser has: UTF-7, IBM code pages.
    Other(fn(&[u8]) -> String),
    Unknown,
}

fn named(label: &str) -> Named {
    // RFC 2231 §5: a language may stand behind a star. ISO registrations carry a year behind a colon.
    let label = label.split(['*', ':']).next().unwrap_or_default();
    let label = label.trim().trim_matches(['"', '\'']).to_ascii_lowercase();
    let known = match label.as_str() {
        "" | "us-ascii" | "ascii" | "ansi_x3.4-1968" | "unknown-8bit" | "x-unknown" | "unknown"
        | "binary" | "8bit" | "7bit" | "default" | "default_charset" | "none" => return Named::Unstated,
        "utf-8" | "utf8" | "unicode-1-1-utf-8" | "utf8mb4" | "utf_8" => return Named::Utf8,
        // hz-gb-2312 and its like are refused by the Encoding Standard, and the mail parser answers U+FFFD for them.
        "hz-gb-2312" | "iso-2022-kr" | "iso-2022-cn" | "iso-2022-cn-ext" | "replacement" => {
            return Named::Unknown;
        }
        "cp932" | "ms932" | "windows-932" => Some(encoding_rs::SHIFT_JIS),
        "cp936" | "ms936" | "euc-cn" => Some(encoding_rs::GB18030),
        "cp949" | "ms949" | "uhc" => Some(encoding_rs::EUC_KR),
        "cp950" | "ms950" => Some(encoding_rs::BIG5),
        "iso-2022-jp-1" | "iso-2022-jp-2" | "iso-2022-jp-3" | "iso-2022-jp-ms" | "cp50220" | "cp50221" => {
            Some(encoding_rs::ISO_2022_JP)
        }
        other => encoding_rs::Encoding::for_label_no_replacement(other.as_bytes()),
    };
    let old = label.strip_prefix("unicode-1-1-").unwrap_or(&label);
    match known {
        Some(encoding) => Named::Known(encoding),
        None => charset_decoder(old.as_bytes()).map_or(Named::Unknown, Named::Other),
    }
}

fn lenient(bytes: &[u8], is_stated: bool) -> (String, Option<Defect>) {
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    match utf8_or_western(bytes) {
        Cow::Borrowed(text) => (text.to_owned(), None),
        Cow::Owned(text) => (text, is_stated.then_some(Defect::BadEncoding)),
    }
}

fn mixed(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len() + bytes.len() / 8);
    for chunk in bytes.utf8_chunks() {
        text.push_str(chunk.valid());
        text.push_str(&encoding_rs::WINDOWS_1252.decode_without_bom_handling(chunk.invalid()).0);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_decoded_by_its_charset() {
        for (bytes, label, expected) in [
            (&b"caf\xe9"[..], "iso-8859-1", "café"),
            (b"\x93x\x94", "ISO-8859-1", "“x”"),
            (b"caf\xc3\xa9", "utf-8", "café"),
            (b"\xef\xbb\xbfx", "UTF-8", "x"),
            (b"\xf0\xd2\xc9", "koi8-r", "При"),
            (b"\x1b$B$3$s\x1b(B", "iso-2022-jp", "こん"),
            (b"\xc4\xe3", "gb18030", "你"),
            (b"\x82\xb1", "cp932", "こ"),
            (b"+AOk-", "utf-7", "é"),
            (b"+AOk-", "unicode-1-1-utf-7", "é"),
            (b"\x82", "ibm850", "é"),
            (b"caf\xe9", "\"iso-8859-1\"", "café"),
            (b"caf\xe9", "iso-8859-1*fr", "café"),
        ] {
            assert_eq!(decode(bytes, Some(label)), (expected.to_owned(), None), "{label}");
        }
    }

    #[test]
    fn a_wrong_or_unknown_charset_is_a_defect_and_the_text_is_read() {
        for (bytes, label, expected, defect) in [
            (&b"caf\xe9"[..], Some("utf-8"), "café", Some(Defect::BadEncoding)),
            (b"caf\xc3\xa9 \xfc.", Some("utf-8"), "café ü.", Some(Defect::BadEncoding)),
            (b"caf\xc3\xa9", Some("x-made-up-99"), "café", Some(Defect::UnknownCharset)),
            (b"caf\xe9", Some("x-made-up-99"), "café", Some(Defect::UnknownCharset)),
            (b"caf\xe9", None, "café", None),
            (b"caf\xc3\xa9", Some("us-ascii"), "café", None),
            ("日本".as_bytes(), Some("iso-2022-jp"), "日本", Some(Defect::BadEncoding)),
            (b"\xc6\xfc\xcb\xdc", Some("iso-2022-jp"), "日本", Some(Defect::BadEncoding)),
        ] {
            assert_eq!(decode(bytes, label), (expected.to_owned(), defect), "{label:?}");
        }
    }
}
