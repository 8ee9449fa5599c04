//! Codes in the words of a server: the reply of SMTP (RFC 5321 §4.2) and the enhanced status (RFC 3463 §2).

/// RFC 3463 §2: the first one of class 4 or 5 in the words, `5.1.1`; one whose detail is not 0 before others.
pub(super) fn status_in(words: &str) -> Option<String> {
    let precise = statuses(words).find(|status| !status.ends_with(".0"));
    precise.or_else(|| statuses(words).next()).map(str::to_owned)
}

/// Addresses of hosts look alike, and are not taken.
fn statuses(words: &str) -> impl Iterator<Item = &str> {
    let bytes = words.as_bytes();
    let is_number = move |b: Option<&u8>| b.is_some_and(|b| b.is_ascii_digit() || *b == b'.');
    memchr::memchr2_iter(b'4', b'5', bytes).filter_map(move |at| {
        if at > 0
            && (is_number(bytes.get(at - 1)) || bytes[at - 1].is_ascii_alphabetic() || bytes[at - 1] == b'-')
        {
            return None;
        }
        let tail = &bytes[at + 1..];
        let subject = digits_behind_dot(tail)?;
        let detail = digits_behind_dot(&tail[subject..])?;
        let end = at + 1 + subject + detail;
        let is_longer = bytes.get(end) == Some(&b'.') && bytes.get(end + 1).is_some_and(u8::is_ascii_digit);
        let is_name = bytes.get(end).is_some_and(|b| {
            b.is_ascii_alphabetic() || *b == b'-' && bytes.get(end + 1).is_some_and(u8::is_ascii_alphabetic)
        });
        (!is_longer && !is_name).then(|| &words[at..end])
    })
}

/// Length of `.123` at the beginning.
fn digits_behind_dot(bytes: &[u8]) -> Option<usize> {
    let digits = bytes.strip_prefix(b".")?.iter().take_while(|b| b.is_ascii_digit()).count();
    (1..=3).contains(&digits).then_some(digits + 1)
}

/// RFC 5321 §4.2.1: the first reply code of class 4 or 5 that stands where a server's answer begins, else any.
pub(super) fn reply_in(words: &str) -> Option<u16> {
    let bytes = words.as_bytes();
    let codes = memchr::memchr2_iter(b'4', b'5', bytes).filter(|at| is_code(bytes, *at));
    let at = codes.min_by_key(|at| (!is_answer(&words[..*at]), *at))?;
    words[at..at + 3].parse().ok()
}

/// Three digits that stand alone: no part of an address, a number or a status.
fn is_code(bytes: &[u8], at: usize) -> bool {
    let Some([_, second, third]) = bytes.get(at..at + 3) else { return false };
    let (before, after) =
        (at.checked_sub(1).map_or(b' ', |at| bytes[at]), bytes.get(at + 3).copied().unwrap_or(b' '));
    let is_dotted = after == b'.' && bytes.get(at + 4).is_some_and(u8::is_ascii_digit);
    let is_joined = after.is_ascii_alphanumeric() || matches!(after, b'/' | b'@' | b'_') || is_dotted;
    let is_tail = before.is_ascii_alphanumeric() || matches!(before, b'.' | b'-' | b'/' | b'@' | b'=' | b'_');
    (b'0'..b'8').contains(second) && third.is_ascii_digit() && !is_joined && !is_tail
}

/// Whether the words in front lead to an answer.
fn is_answer(before: &str) -> bool {
    let before = before.trim_end();
    let is_led = before.ends_with([':', ';', '>', '"', '\'', '(', '#', '<', ']', '-']);
    before.is_empty() || is_led || before.ends_with("said") || before.ends_with("error")
}
