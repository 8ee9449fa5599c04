//! What the server says, made fit for one line of words: short, printable, without the password.

use std::io;

use crate::failure::{Failure, Kind};

const WORDS_LIMIT: usize = 200;

/// One line of the server's own text. Servers echo what they did not understand, the password too.
pub(super) fn clean(text: &str, secrets: &[String]) -> String {
    let mut text = text.to_owned();
    for secret in secrets.iter().filter(|s| !s.is_empty()) {
        text = text.replace(secret.as_str(), "…");
    }
    let mut line: String = text
        .chars()
        .take(WORDS_LIMIT)
        .map(|c| if c.is_control() || c == '\u{fffd}' { '?' } else { c })
        .collect();
    if text.chars().nth(WORDS_LIMIT).is_some() {
        line.push('…');
    }
    line
}

/// What a failed read or write means. async-imap puts its whole buffer into the text of a parse error, mail and all,
/// so of such a text only the start of the first line is shown.
pub(super) fn lost(error: io::Error, secrets: &[String]) -> Failure {
    match error.kind() {
        io::ErrorKind::TimedOut => Failure::temporary(format!("the server is {error}")).kind(Kind::Silent),
        io::ErrorKind::UnexpectedEof => {
            Failure::temporary("the server closed the connection within an answer").kind(Kind::Cut)
        }
        io::ErrorKind::InvalidData => {
            Failure::temporary(format!("the server's answer {error}")).kind(Kind::Garbage)
        }
        io::ErrorKind::Other => {
            let text = error.to_string();
            let start = text.split_once("during parsing of \"").map_or("", |(_, buffer)| first_line(buffer));
            Failure::temporary(format!(
                "the server's answer cannot be read; it starts with {:?}",
                clean(start, secrets).chars().take(60).collect::<String>()
            ))
            .kind(Kind::Garbage)
        }
        _ => Failure::temporary("the connection to the server broke").kind(Kind::Cut).because(error),
    }
}

/// The buffer stands in the text as a Debug string, its line ends as `\r\n` in letters.
fn first_line(buffer: &str) -> &str {
    buffer.split("\\r\\n").next().unwrap_or_default().trim_end_matches('"')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_echoed_password_is_blotted_out() {
        let secrets = ["hunter2".to_owned()];
        assert_eq!(clean("unknown: LOGIN joe hunter2\x07", &secrets), "unknown: LOGIN joe …?");
    }

    #[test]
    fn a_parse_error_shows_no_mail() {
        let text = "Error during parsing of \"* 1 FETCH (UID 1 BODY[] ~{20}\\r\\nDear doctor, I have\"";
        let words = lost(io::Error::other(text), &[]).to_string();
        assert!(words.contains("* 1 FETCH (UID 1 BODY[] ~{20}") && !words.contains("doctor"), "{words}");
    }

    #[test]
    fn long_words_are_cut() {
        assert_eq!(clean(&"ä".repeat(1000), &[]).chars().count(), WORDS_LIMIT + 1);
    }
}
