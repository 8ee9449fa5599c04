//! What a server says, made fit for one line of words: short, printable, without the password.

use std::io;

use crate::failure::{Failure, Kind};
use crate::net::blot;

const WORDS_LIMIT: usize = 200;

/// One line of the server's own text. Servers echo what they did not understand, the password too.
pub(super) fn clean(text: &str, secrets: &[String]) -> String {
    let text = blot(text, secrets);
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

/// What a failed read or write means.
pub(super) fn lost(error: io::Error) -> Failure {
    match error.kind() {
        io::ErrorKind::TimedOut => Failure::temporary(format!("the server is {error}")).kind(Kind::Silent),
        io::ErrorKind::UnexpectedEof => {
            Failure::temporary("the server closed the connection within an answer").kind(Kind::Cut)
        }
        _ => Failure::temporary("the connection to the server broke").kind(Kind::Cut).because(error),
    }
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
    fn long_words_are_cut() {
        assert_eq!(clean(&"ä".repeat(1000), &[]).chars().count(), WORDS_LIMIT + 1);
    }
}
