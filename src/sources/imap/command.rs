//! A command as bytes: words, quoted strings, and literals that wait for the server's go.

/// A command without its tag. Its name alone goes into words; its arguments may hold a password.
pub(super) struct Command {
    pub(super) name: &'static str,
    /// Sent one after the other; after each but the last the server says "+".
    segments: Vec<Vec<u8>>,
}

impl Command {
    pub(super) fn new(name: &'static str) -> Command {
        Command { name, segments: vec![name.as_bytes().to_vec()] }
    }

    /// An argument as it is: an atom, a set, a list.
    pub(super) fn word(mut self, word: &str) -> Command {
        let line = self.line();
        line.push(b' ');
        line.extend_from_slice(word.as_bytes());
        self
    }

    /// An argument as a string, quoted where RFC 3501 §4.3 allows it, else a literal.
    pub(super) fn string(mut self, text: &str) -> Command {
        let line = self.line();
        line.push(b' ');
        if text.len() < 1000 && text.bytes().all(|b| (b' '..=b'~').contains(&b)) {
            line.extend_from_slice(quoted(text).as_bytes());
        } else {
            line.extend_from_slice(format!("{{{}}}", text.len()).as_bytes());
            self.segments.push(text.as_bytes().to_vec());
        }
        self
    }

    /// A line of its own, sent once the server asks for it.
    pub(super) fn then_line(mut self, line: &str) -> Command {
        self.segments.push(line.as_bytes().to_vec());
        self
    }

    /// The lines under a tag, each with its end: one write each.
    pub(super) fn into_lines(self, tag: &str) -> Vec<Vec<u8>> {
        let mut lines = self.segments;
        if let Some(first) = lines.first_mut() {
            first.splice(0..0, format!("{tag} ").into_bytes());
        }
        for line in &mut lines {
            line.extend_from_slice(b"\r\n");
        }
        lines
    }

    fn line(&mut self) -> &mut Vec<u8> {
        if self.segments.is_empty() {
            self.segments.push(Vec::new());
        }
        self.segments.last_mut().expect("a segment was pushed above")
    }
}

/// A quoted string, RFC 3501 §9 `quoted`.
pub(super) fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wire(command: Command) -> String {
        let lines = command.into_lines("a1");
        String::from_utf8(lines.join(&b'|')).expect("the tests write UTF-8")
    }

    #[test]
    fn strings_are_quoted_or_literals() {
        let login = |password| wire(Command::new("LOGIN").string("joe").string(password));
        assert_eq!(login(r#"a"b\c"#), "a1 LOGIN \"joe\" \"a\\\"b\\\\c\"\r\n");
        assert_eq!(login("für"), "a1 LOGIN \"joe\" {4}\r\n|für\r\n");
        assert_eq!(
            wire(Command::new("LOGIN").string("jö").string("pü")),
            "a1 LOGIN {3}\r\n|jö {3}\r\n|pü\r\n"
        );
    }
}
