//! Bytes to words: charsets by their declared name, and what to do where the name is a lie.

use std::borrow::Cow;

use mail_parser::decoders::charsets::map::charset_decoder;

use super::Defect;

/// Decodes by the declared name. Never fails: where there is none, or it cannot be true, the bytes themselves are asked:
/// what is UTF-8 is read as UTF-8, else as the charset that chardetng finds likeliest.
pub(super) fn decode(bytes: &[u8], label: Option<&str>) -> (String, Option<Defect>) {
    match named(label.unwrap_or_default()) {
        Named::Utf8 => lenient(bytes, true),
        Named::Unstated => lenient(bytes, false),
        Named::Unknown => (lenient(bytes, false).0, Some(Defect::UnknownCharset)),
        Named::Other(decoder) => (decoder(bytes), None),
        Named::Shifted(unshift) => match encoding_rs::Encoding::decode(unshift.of, &(unshift.bytes)(bytes)) {
            (text, _, false) => (text.into_owned(), None),
            (text, _, true) => (text.into_owned(), Some(Defect::BadEncoding)),
        },
        // In a charset of single bytes nothing is an error. But UTF-8 by chance is as good as impossible.
        Named::Known(encoding) if encoding.is_single_byte() && is_plainly_utf8(bytes) => {
            (String::from_utf8_lossy(bytes).into_owned(), Some(Defect::BadEncoding))
        }
        Named::Known(encoding) => {
            let encoding =
                if encoding == encoding_rs::UTF_16LE { ends_of_utf16(label, bytes) } else { encoding };
            let (text, _, has_errors) = encoding.decode(bytes);
            if !has_errors {
                return (text.into_owned(), None);
            }
            if encoding == encoding_rs::ISO_2022_JP && bytes.is_ascii() {
                let kept = without_idle_escapes(bytes);
                let (text, _, is_bad) = encoding.decode(&kept);
                return (text.into_owned(), is_bad.then_some(Defect::BadEncoding));
            }
            let likelier = likelier_than(encoding).find_map(|other| {
                other.decode_without_bom_handling_and_without_replacement(bytes).map(Cow::into_owned)
            });
            (likelier.unwrap_or_else(|| text.into_owned()), Some(Defect::BadEncoding))
        }
    }
}

/// Of ISO-2022-JP: an escape that another one follows at once changes nothing, and the Encoding Standard calls it an error.
fn without_idle_escapes(bytes: &[u8]) -> Vec<u8> {
    let is_escape =
        |at: usize| bytes.get(at) == Some(&0x1b) && matches!(bytes.get(at + 1), Some(b'(' | b'$'));
    let mut kept = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        if is_escape(at) && is_escape(at + 3) {
            at += 3;
        } else {
            kept.push(bytes[at]);
            at += 1;
        }
    }
    kept
}

/// Seven bits with the escapes of ISO-2022-JP, which nothing else has, and no error in what stands between them.
fn iso_2022_jp(bytes: &[u8]) -> Option<String> {
    let is_one = bytes.is_ascii() && memchr::memmem::find(bytes, b"\x1b$").is_some();
    let read = |kept: &[u8]| {
        let text = encoding_rs::ISO_2022_JP.decode_without_bom_handling_and_without_replacement(kept)?;
        Some(text.into_owned())
    };
    is_one.then(|| read(&without_idle_escapes(bytes))).flatten()
}

/// RFC 2781 §4.3: what is called UTF-16 and has no mark of its own should have the big end first; much of it has not.
/// A text has blanks and line ends, and they have a zero on their big end.
fn ends_of_utf16(label: Option<&str>, bytes: &[u8]) -> &'static encoding_rs::Encoding {
    if !label.is_some_and(|l| l.trim().trim_matches('"').eq_ignore_ascii_case("utf-16")) {
        return encoding_rs::UTF_16LE;
    }
    let zeros = |at: usize| bytes.iter().skip(at).step_by(2).take(4096).filter(|b| **b == 0).count();
    if zeros(1) > zeros(0) { encoding_rs::UTF_16LE } else { encoding_rs::UTF_16BE }
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

/// UTF-8 throughout, with two characters or more that no charset of single bytes would write so.
fn is_plainly_utf8(bytes: &[u8]) -> bool {
    !bytes.is_ascii()
        && std::str::from_utf8(bytes).is_ok_and(|t| t.chars().filter(|c| !c.is_ascii()).nth(1).is_some())
}

/// Bytes that are mostly no UTF-8: what else they are is a matter of how often which bytes occur.
/// Of a few bytes nothing can be told; most of them are western.
fn likeliest(bytes: &[u8]) -> Option<&'static encoding_rs::Encoding> {
    const ENOUGH: usize = 8;
    const LOOKED_AT: usize = 64 << 10;
    let near = &bytes[..bytes.len().min(LOOKED_AT)];
    let high = near.iter().filter(|b| !b.is_ascii()).count();
    let is_utf8 =
        near.utf8_chunks().map(|c| c.valid().len() - c.valid().chars().filter(char::is_ascii).count());
    if high < ENOUGH || is_utf8.sum::<usize>() * 2 > high {
        return None;
    }
    let mut detector = chardetng::EncodingDetector::new(chardetng::Iso2022JpDetection::Deny);
    detector.feed(near, true);
    let encoding = detector.guess(None, chardetng::Utf8Detection::Deny);
    (encoding != encoding_rs::WINDOWS_1252).then_some(encoding)
}

/// In what the raw 8-bit bytes of a header are, which no standard allows. RFC 6532 lets UTF-8 stand there, and this is
/// asked only where it is not that. What the message says of its text holds for its header too, as far as it can be true;
/// else what the bytes of both look like. None: nothing tells, and most of such bytes are western.
pub(super) fn of_header(
    label: Option<&str>,
    header: &[u8],
    text: &[u8],
) -> Option<&'static encoding_rs::Encoding> {
    let can_be = |encoding: &&'static encoding_rs::Encoding| {
        let decoded = encoding.decode_without_bom_handling_and_without_replacement(header);
        encoding.is_ascii_compatible() && decoded.is_some()
    };
    if let Named::Known(named) = named(label.unwrap_or_default()) {
        // ISO-2022-JP has seven bits: with eight it is another form of Japanese.
        let of_label = std::iter::once(named).chain(likelier_than(named)).find(can_be);
        // Of western bytes those that are UTF-8 all the same are read as such.
        return of_label.filter(|e| ![encoding_rs::UTF_8, encoding_rs::WINDOWS_1252].contains(e));
    }
    likeliest(&[header, b"\n", text].concat()).filter(can_be)
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
    /// Seven bits wide: escapes say which bytes are meant with their eighth bit set.
    Shifted(&'static Shifted),
    /// What the Encoding Standard leaves out and the mail parser has: UTF-7, IBM code pages.
    Other(fn(&[u8]) -> String),
    Unknown,
}

struct Shifted {
    of: &'static encoding_rs::Encoding,
    /// The same text with its eighth bits set, without escapes.
    bytes: fn(&[u8]) -> Vec<u8>,
}

/// RFC 1843: `~{` and `~}` around pairs of GB 2312.
static HZ: Shifted = Shifted {
    of: encoding_rs::GB18030,
    bytes: |bytes| {
        let (mut out, mut is_shifted, mut rest) = (Vec::with_capacity(bytes.len()), false, bytes);
        while let [first, tail @ ..] = rest {
            let taken = match (first, tail.first()) {
                (b'~', Some(b'{')) => {
                    is_shifted = true;
                    2
                }
                (b'~', Some(b'}')) => {
                    is_shifted = false;
                    2
                }
                (b'~', Some(b'\n')) if is_shifted => 2,
                (b'~', Some(b'~')) if !is_shifted => {
                    out.push(b'~');
                    2
                }
                (b'\n', _) => {
                    is_shifted = false;
                    out.push(b'\n');
                    1
                }
                (byte, _) => {
                    out.push(if is_shifted { byte | 0x80 } else { *byte });
                    1
                }
            };
            rest = &rest[taken..];
        }
        out
    },
};

/// RFC 1557: SO and SI around pairs of KS X 1001.
static ISO_2022_KR: Shifted = Shifted {
    of: encoding_rs::EUC_KR,
    bytes: |bytes| {
        let mut is_shifted = false;
        let mut out = Vec::with_capacity(bytes.len());
        for piece in bytes.strip_prefix(b"\x1b$)C").unwrap_or(bytes) {
            match piece {
                0x0e => is_shifted = true,
                0x0f => is_shifted = false,
                b'\n' => {
                    is_shifted = false;
                    out.push(b'\n');
                }
                byte => out.push(if is_shifted && *byte > b' ' { byte | 0x80 } else { *byte }),
            }
        }
        out
    },
};

fn named(label: &str) -> Named {
    // RFC 2231 §5: a language may stand behind a star. ISO registrations carry a year behind a colon.
    let label = label.split(['*', ':']).next().unwrap_or_default();
    let label = label.trim().trim_matches(['"', '\'']).to_ascii_lowercase();
    let known = match label.as_str() {
        "" | "us-ascii" | "ascii" | "ansi_x3.4-1968" | "unknown-8bit" | "x-unknown" | "unknown"
        | "binary" | "8bit" | "7bit" | "default" | "default_charset" | "none" => return Named::Unstated,
        "utf-8" | "utf8" | "unicode-1-1-utf-8" | "utf8mb4" | "utf_8" => return Named::Utf8,
        // Refused by the Encoding Standard, because they can hide markup; here what they say is read as text first.
        "hz-gb-2312" | "hz" => return Named::Shifted(&HZ),
        "iso-2022-kr" | "csiso2022kr" => return Named::Shifted(&ISO_2022_KR),
        "iso-2022-cn" | "iso-2022-cn-ext" | "replacement" => return Named::Unknown,
        // What says GB 2312 or GBK has characters of GB 18030 in it, which holds them all.
        "gb2312" | "gb_2312-80" | "gbk" | "x-gbk" | "gb-2312" | "gb2312-80" | "chinese" | "csgb2312" => {
            Some(encoding_rs::GB18030)
        }
        "big5-hkscs" | "x-x-big5" | "big-5" => Some(encoding_rs::BIG5),
        "ks_c_5601-1987" | "ks_c_5601" | "euc_kr" | "ksc5601" => Some(encoding_rs::EUC_KR),
        "latin1"
        | "latin-1"
        | "iso8859-1"
        | "iso_8859-1"
        | "ansi"
        | "western"
        | "iso-8859-1-windows-3.1-latin-1" => Some(encoding_rs::WINDOWS_1252),
        "shift-jis" | "shiftjis" | "x-sjis" | "ms_kanji" => Some(encoding_rs::SHIFT_JIS),
        "cp932" | "ms932" | "windows-932" => Some(encoding_rs::SHIFT_JIS),
        "cp936" | "ms936" | "euc-cn" => Some(encoding_rs::GB18030),
        "cp949" | "ms949" | "uhc" => Some(encoding_rs::EUC_KR),
        "cp950" | "ms950" => Some(encoding_rs::BIG5),
        "iso-2022-jp-1" | "iso-2022-jp-2" | "iso-2022-jp-3" | "iso-2022-jp-ms" | "cp50220" | "cp50221" => {
            Some(encoding_rs::ISO_2022_JP)
        }
        other => encoding_rs::Encoding::for_label_no_replacement(other.as_bytes()),
    };
    let old = match label.strip_prefix("unicode-1-1-").unwrap_or(&label) {
        // The first of IBM's code pages has its letters where the second has them.
        "ibm437" | "cp437" | "437" => "ibm850",
        old => old,
    };
    match known {
        Some(encoding) => Named::Known(encoding),
        None => charset_decoder(old.as_bytes()).map_or(Named::Unknown, Named::Other),
    }
}

fn lenient(bytes: &[u8], is_stated: bool) -> (String, Option<Defect>) {
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    let defect = is_stated.then_some(Defect::BadEncoding);
    if !is_stated && let Some(text) = iso_2022_jp(bytes) {
        return (text, None);
    }
    match std::str::from_utf8(bytes) {
        Ok(text) => (text.to_owned(), None),
        Err(_) => match likeliest(bytes) {
            Some(encoding) => (encoding.decode_without_bom_handling(bytes).0.into_owned(), defect),
            None => (mixed(bytes), defect),
        },
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
mod tests;
