//! The new words of a reply, without the quoted text below them and without the signature.
//!
//! Plain marks only: lines that begin with `>`, the attribution above them, and the `-- ` line (RFC 3676 §4.3).

/// Splits a text into its new words and what was taken for their signature; either may be empty.
/// A text that is nothing but a quotation is kept whole, so that there is something to read.
pub fn split(text: &str) -> (String, String) {
    let lines: Vec<&str> = text.lines().map(str::trim_end).collect();
    let unquoted = without_quotation(&lines);
    let (words, signature) = at_signature(unquoted);
    let words = without_quotation(words);
    match words.iter().all(|line| line.is_empty()) {
        true => (joined(&lines), String::new()),
        false => (joined(words), joined(signature)),
    }
}

/// Cuts the quoted lines at the end, with the attribution that introduces them.
fn without_quotation<'a, 'b>(lines: &'a [&'b str]) -> &'a [&'b str] {
    let lines = without_blank_end(lines);
    let is_quoted = |line: &&str| line.is_empty() || line.starts_with('>');
    let kept = lines.len() - lines.iter().rev().take_while(|line| is_quoted(line)).count();
    if kept == lines.len() {
        return lines;
    }
    without_attribution(without_blank_end(&lines[..kept]))
}

/// Most lines that mail programs wrap an attribution into.
const ATTRIBUTION_LINES: usize = 3;

/// `On Mon, 2 Nov 2026 at 10:00, Ann <ann@example.org> wrote:` in whatever language: it ends in a colon and bears an address or
/// a date; wrapped, it begins at a line with a digit or an address.
fn without_attribution<'a, 'b>(lines: &'a [&'b str]) -> &'a [&'b str] {
    let Some(last) = lines.last().filter(|line| line.ends_with(':')) else { return lines };
    let first_possible = lines.len().saturating_sub(ATTRIBUTION_LINES);
    let paragraph = lines.iter().rposition(|line| line.is_empty()).map_or(0, |blank| blank + 1);
    let is_marked = |line: &str| line.contains('@') || line.bytes().any(|b| b.is_ascii_digit());
    let start = (first_possible.max(paragraph)..lines.len()).find(|at| is_marked(lines[*at]));
    match start {
        Some(start) => without_blank_end(&lines[..start]),
        None if last.ends_with("wrote:") => without_blank_end(&lines[..lines.len() - 1]),
        None => lines,
    }
}

/// Splits at the last `-- ` line.
fn at_signature<'a, 'b>(lines: &'a [&'b str]) -> (&'a [&'b str], &'a [&'b str]) {
    match lines.iter().rposition(|line| *line == "--") {
        Some(at) => (&lines[..at], &lines[at + 1..]),
        None => (lines, &[]),
    }
}

fn without_blank_end<'a, 'b>(lines: &'a [&'b str]) -> &'a [&'b str] {
    let blank = lines.iter().rev().take_while(|line| line.is_empty()).count();
    &lines[..lines.len() - blank]
}

fn joined(lines: &[&str]) -> String {
    lines.join("\n").trim_matches('\n').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn new_words_stand_alone() {
        for (text, words, signature) in [
            ("Hello\r\nthere\r\n", "Hello\nthere", ""),
            ("Thanks!\n\nOn Mon, 2 Nov 2026, Ann <a@x.test> wrote:\n> old\n>\n> words\n", "Thanks!", ""),
            ("Thanks!\n\nOn Mon, 2 Nov 2026 at 10:00, Ann\n<a@x.test> wrote:\n\n> old\n", "Thanks!", ""),
            ("Danke\n\nAm 2. November 2026 schrieb Ann:\n> alt\n", "Danke", ""),
            ("Thanks\nAnn wrote:\n> old\n", "Thanks", ""),
            ("See my answers:\n> one\nyes\n> two\nno", "See my answers:\n> one\nyes\n> two\nno", ""),
            ("The log says:\n> panic", "The log says:", ""),
            ("Yes\n-- \nBob\nExample Ltd\n", "Yes", "Bob\nExample Ltd"),
            ("Yes\n-- \nBob\n\nOn 2 Nov 2026, Ann wrote:\n> old\n> -- \n> Ann", "Yes", "Bob"),
            ("> old\n\nYes, both.\n-- \nBob", "> old\n\nYes, both.", "Bob"),
            ("> only\n> old", "> only\n> old", ""),
            ("-- \nBob", "--\nBob", ""),
            ("", "", ""),
        ] {
            assert_eq!(split(text), (words.to_owned(), signature.to_owned()), "{text:?}");
        }
    }
}
