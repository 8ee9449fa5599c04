//! What a failed answer means, in words that show no mail.

use std::io;

use crate::failure::{Failure, Kind};
pub(super) use crate::sources::words::clean;
use crate::sources::words::lost as lost_connection;

/// What a failed read or write means. async-imap puts its whole buffer into the text of a parse error, mail and all,
/// so of such a text only the start of the first line is shown.
pub(super) fn lost(error: io::Error, secrets: &[String]) -> Failure {
    match error.kind() {
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
        _ => lost_connection(error),
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
    fn a_parse_error_shows_no_mail() {
        let text = "Error during parsing of \"* 1 FETCH (UID 1 BODY[] ~{20}\\r\\nDear doctor, I have\"";
        let words = lost(io::Error::other(text), &[]).to_string();
        assert!(words.contains("* 1 FETCH (UID 1 BODY[] ~{20}") && !words.contains("doctor"), "{words}");
    }
}
