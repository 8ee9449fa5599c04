//! A command as bytes: words, quoted strings, and literals that wait for the server's go.

/// A command without its tag. Its name alone goes into words; its arguments may hold a password.
pub(super) struct Command {
    pub(super) name: &'static str,
    /// Lines that end where the server has to say "+" before the next.
    ended: Vec<Vec<u8>>,
    line: Vec<u8>,
}

impl Command {
    pub(super) fn new(name: &'static str) -> Command {
        Command { name, ended: Vec::new(), line: name.as_bytes().to_vec() }
    }

    /// An argument as it is: an atom, a set, a list.
    pub(super) fn word(mut self, word: &str) -> Command {
        self.line.push(b' ');
        self.line.extend_from_slice(word.as_bytes());
        self
    }

    /// An argument as a string, quoted where RFC 3501 §4.3 allows it, else a literal.
    pub(super) fn string(self, text: &str) -> Command {
        if text.len() < 1000 && text.bytes().all(|b| (b' '..=b'~').contains(&b)) {
            self.word(&quoted(text))
        } else {
            self.word(&format!("{{{}}}", text.len())).then_line(text)
        }
    }

    /// An argument as it is, whatever bytes it holds (RFC 3501 §4.3).
    pub(super) fn literal(mut self, bytes: Vec<u8>) -> Command {
        self = self.word(&format!("{{{}}}", bytes.len()));
        self.ended.push(std::mem::replace(&mut self.line, bytes));
        self
    }

    /// What follows once the server asks for it.
    pub(super) fn then_line(mut self, line: &str) -> Command {
        self.ended.push(std::mem::replace(&mut self.line, line.as_bytes().to_vec()));
        self
    }

    /// The lines under a tag, each with its end: one write each.
    pub(super) fn into_lines(self, tag: &str) -> impl Iterator<Item = Vec<u8>> + use<> {
        let mut start = format!("{tag} ").into_bytes();
        self.ended.into_iter().chain([self.line]).map(move |line| {
            let mut whole = std::mem::take(&mut start);
            whole.extend_from_slice(&line);
            whole.extend_from_slice(b"\r\n");
            whole
        })
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
        let lines: Vec<Vec<u8>> = command.into_lines("a1").collect();
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
