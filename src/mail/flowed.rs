//! format=flowed (RFC 3676): lines that end with a space go on in the next one; what was one paragraph becomes one again.

use super::field;

pub(super) struct Flow {
    /// RFC 3676 §4.1: the space at the end of a flowed line is no part of the text.
    deletes_space: bool,
}

impl Flow {
    /// Of a part with this Content-Type; none if its lines stand as they are.
    pub fn of(content_type: &[u8]) -> Option<Flow> {
        let is = |name: &str, value: &[u8]| {
            field::parameter(content_type, name).is_some_and(|said| said.eq_ignore_ascii_case(value))
        };
        is("format", b"flowed").then(|| Flow { deletes_space: is("delsp", b"yes") })
    }

    /// Paragraphs as one line each; quoted ones keep their marks, followed by one space.
    pub fn unwrapped(&self, text: &str) -> String {
        let mut out = String::with_capacity(text.len());
        // The depth of the paragraph that goes on.
        let mut open: Option<usize> = None;
        for line in text.lines() {
            let depth = line.bytes().take_while(|b| *b == b'>').count();
            let content = &line[depth..];
            // RFC 3676 §4.4: space-stuffing.
            let content = content.strip_prefix(' ').unwrap_or(content);
            // §4.3: the line above a signature is never flowed, nor does a line flow into it.
            let is_signature = content == "-- ";
            if open != Some(depth) || is_signature {
                out.push_str(if out.is_empty() && open.is_none() { "" } else { "\n" });
                out.extend(std::iter::repeat_n('>', depth));
                out.push_str(if depth > 0 && !content.is_empty() { " " } else { "" });
            }
            let is_flowed = content.ends_with(' ') && !is_signature;
            out.push_str(if is_flowed && self.deletes_space {
                &content[..content.len() - 1]
            } else {
                content
            });
            open = Some(if is_flowed { depth } else { usize::MAX });
        }
        if text.ends_with('\n') {
            out.push('\n');
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paragraphs_are_whole_again() {
        for (text, expected) in [
            ("One line \nthat goes on.\nNext\n", "One line that goes on.\nNext\n"),
            ("> quoted \n> on\n>> deeper \n> back", "> quoted on\n>> deeper \n> back"),
            (">quoted \n>on", "> quoted on"),
            (" > not quoted\n From me", "> not quoted\nFrom me"),
            ("Bye \n-- \nAnn \nOther", "Bye \n-- \nAnn Other"),
            ("a \n\nb", "a \nb"),
            ("> a \n\n> b", "> a \n\n> b"),
            ("> Bye \n> -- \n> Ann \nmine", "> Bye \n> -- \n> Ann \nmine"),
            (">>a \n>> b\n>>c", ">> a b\n>> c"),
            ("  indented\n>\n", " indented\n>\n"),
            ("long \nlonger \n", "long longer \n"),
            ("\nb", "\nb"),
            ("", ""),
        ] {
            assert_eq!(Flow { deletes_space: false }.unwrapped(text), expected, "{text:?}");
        }
        for (text, expected) in
            [("a \nb", "ab"), ("日 \n本 ", "日本"), ("> a  \n> b", "> a b"), ("x \n-- \ny", "x\n-- \ny")]
        {
            assert_eq!(Flow { deletes_space: true }.unwrapped(text), expected, "{text:?}");
        }
    }

    #[test]
    fn only_what_says_so_is_flowed() {
        assert!(Flow::of(b"text/plain; format=Flowed; delsp=yes").is_some_and(|f| f.deletes_space));
        assert!(Flow::of(b"text/plain; format=fixed").is_none());
    }
}
