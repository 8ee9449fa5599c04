//! HTML as plain text: what a person would read, line by line. No layout, no links, nothing is fetched or run. What its
//! elements say of quotations and signatures comes along.

use mail_parser::decoders::html::add_html_token;

use self::structure::Mark;
use super::quoting::{Hint, Role};

mod structure;

pub(super) use self::structure::is_page;

/// Quote marks in front of a line stop here; deeper quoting says nothing more.
const MAX_QUOTES: usize = 10;

/// The words of a page, and what its structure says of pieces of them.
#[derive(Debug, Default)]
pub(super) struct Read {
    pub text: String,
    /// In order, without overlaps.
    pub hints: Vec<Hint>,
}

/// Reads a page. Quotations (`<blockquote type="cite">` and the like) get `> ` in front of their lines, as they would
/// have in plain text.
pub(super) fn read(html: &str) -> Read {
    let (page, has_hidden) = read_with(html, true);
    // A page that hides all of its words hides none from us.
    if has_hidden && page.text.is_empty() { read_with(html, false).0 } else { page }
}

/// Whether something was hidden comes along.
fn read_with(html: &str, hides: bool) -> (Read, bool) {
    let mut page = Page { text: String::with_capacity(html.len() / 2), hides, ..Page::default() };
    let mut rest = html;
    while let Some(at) = memchr::memchr(b'<', rest.as_bytes()) {
        page.words(&rest[..at]);
        rest = page.markup(&rest[at..]);
    }
    page.words(rest);
    page.end_marks();
    page.text.truncate(page.text.trim_end().len());
    clamp(&mut page.hints, page.text.len());
    (Read { text: page.text, hints: page.hints }, page.has_hidden)
}

/// What was said of a text that has become shorter.
pub(super) fn clamp(hints: &mut Vec<Hint>, length: usize) {
    hints.retain_mut(|hint| {
        hint.end = hint.end.min(length);
        hint.start < hint.end
    });
}

#[derive(Default)]
struct Page {
    text: String,
    /// White space was seen since the last word.
    has_space: bool,
    /// Line ends owed before the next word: two make a blank line.
    breaks: usize,
    /// For each open blockquote, whether it is a quotation.
    blockquotes: Vec<bool>,
    quotes: usize,
    is_preformatted: bool,
    /// The marked element that is open; those within it say no more.
    marked: Option<Marked>,
    /// Elements that nobody sees are left out.
    hides: bool,
    hidden: Option<Hidden>,
    has_hidden: bool,
    hints: Vec<Hint>,
    /// Where the quoted rest of the page begins.
    rest: Option<usize>,
}

struct Marked {
    name: String,
    mark: Mark,
    start: usize,
    /// Elements of that name that are open, itself among them.
    depth: usize,
}

/// An element that is open and that nobody sees. Its words go when it ends; one that never ends hides nothing.
struct Hidden {
    name: String,
    start: usize,
    /// Line ends that were owed before it.
    breaks: usize,
    has_space: bool,
    depth: usize,
}

impl Page {
    /// Reads one piece of markup and gives back what follows it.
    fn markup<'h>(&mut self, rest: &'h str) -> &'h str {
        if let Some(comment) = rest.strip_prefix("<!--") {
            return comment.find("-->").map_or("", |end| &comment[end + 3..]);
        }
        let is_tag = rest[1..].starts_with(|c: char| c.is_ascii_alphabetic() || matches!(c, '/' | '!' | '?'));
        if !is_tag {
            self.words("<");
            return &rest[1..];
        }
        let end = tag_end(rest);
        let tag = rest[1..end].trim_end_matches('>');
        let name_end = tag[1..].find(|c: char| !c.is_ascii_alphanumeric()).map_or(tag.len(), |at| at + 1);
        let name = tag[..name_end].to_ascii_lowercase();
        self.tag(&name, &tag[name_end..]);
        match name.as_str() {
            "script" | "style" | "title" | "template" => after_element(&rest[end..], &name),
            _ => &rest[end..],
        }
    }

    fn tag(&mut self, name: &str, attributes: &str) {
        self.follow_hidden(name);
        self.flow(name, attributes);
        if self.hides && self.hidden.is_none() && structure::is_hidden(name, attributes) {
            let (start, breaks) = (self.edge(), self.breaks);
            let has_space = self.has_space || start < self.text.len();
            self.hidden = Some(Hidden { name: name.to_owned(), start, breaks, has_space, depth: 1 });
        }
        self.follow_marks(name, attributes);
    }

    fn follow_hidden(&mut self, name: &str) {
        let Some(open) = &mut self.hidden else { return };
        if name.strip_prefix('/') == Some(open.name.as_str()) {
            open.depth -= 1;
        } else if name == open.name {
            // No paragraph stands in another: the next one ends it.
            open.depth = if name == "p" { 0 } else { open.depth + 1 };
        }
        if open.depth == 0 {
            self.end_hidden();
        }
    }

    /// Takes the words away again, and what was said of them.
    fn end_hidden(&mut self) {
        let Some(Hidden { start, breaks, has_space, .. }) = self.hidden.take() else { return };
        self.has_hidden |= self.text.len() > start;
        self.text.truncate(start);
        (self.breaks, self.has_space) = (breaks, self.has_space || has_space);
        // In order, so only the last ones are looked at.
        while self.hints.pop_if(|hint| hint.start >= start).is_some() {}
        if let Some(last) = self.hints.last_mut() {
            last.end = last.end.min(start);
        }
        if let Some(marked) = &mut self.marked {
            marked.start = marked.start.min(start);
        }
        self.rest = self.rest.map(|rest| rest.min(start));
    }

    /// Opens and closes marked elements. Their edges are those of the text by now: line ends that are owed come later.
    fn follow_marks(&mut self, name: &str, attributes: &str) {
        if self.rest.is_some() {
            return;
        }
        match &mut self.marked {
            Some(open) if open.name == name => open.depth += usize::from(!attributes.ends_with('/')),
            Some(open) if name.strip_prefix('/') == Some(open.name.as_str()) => {
                open.depth -= 1;
                if open.depth == 0 {
                    self.end_mark();
                }
            }
            Some(_) => {}
            None if name.starts_with('/') => {}
            None => {
                let start = self.edge();
                match structure::mark(attributes) {
                    Some(Mark::FromHere) => self.rest = Some(start),
                    Some(mark) => self.marked = Some(Marked { name: name.to_owned(), mark, start, depth: 1 }),
                    None => {}
                }
            }
        }
    }

    /// Where an element begins or ends by now. Spaces at the end may go again, with the next line end.
    fn edge(&self) -> usize {
        self.text.trim_end_matches(' ').len()
    }

    fn end_mark(&mut self) {
        let Some(Marked { mark, start, .. }) = self.marked.take() else { return };
        let end = self.edge();
        let inside = self.text[start..end].trim();
        match mark {
            Mark::Headers if structure::are_headers(inside) => self.rest = Some(start),
            // Gmail puts the header lines of what it passes on where an attribution stands.
            Mark::Inside(Role::Attribution) if inside.starts_with('-') => {}
            Mark::Inside(role) if !inside.is_empty() => self.hints.push(Hint { role, start, end }),
            _ => {}
        }
    }

    fn end_marks(&mut self) {
        self.end_mark();
        let end = self.text.len();
        if let Some(start) = self.rest.filter(|start| *start < end) {
            self.hints.push(Hint { role: Role::Quoted, start, end });
        }
    }

    fn flow(&mut self, name: &str, attributes: &str) {
        match name.trim_start_matches('/') {
            "br" if name == "br" => self.line_break(),
            "p" | "h1" | "h2" | "h3" | "h4" | "h5" | "h6" | "ul" | "ol" | "dl" | "table" | "hr" => {
                self.gap(2)
            }
            "div" | "tr" | "dt" | "dd" | "section" | "article" | "header" | "footer" | "center" | "form" => {
                self.gap(1);
            }
            "li" if name == "li" => {
                self.gap(1);
                self.words("- ");
            }
            "li" => self.gap(1),
            "td" | "th" => self.has_space = true,
            "pre" => {
                self.gap(2);
                self.is_preformatted = name == "pre";
            }
            "blockquote" => self.blockquote(name == "blockquote", attributes),
            _ => {}
        }
    }

    /// Not every blockquote quotes: many programs indent with it.
    fn blockquote(&mut self, is_open: bool, attributes: &str) {
        self.gap(2);
        if is_open {
            let is_quote = structure::is_quote(attributes);
            self.quotes += usize::from(is_quote);
            self.blockquotes.push(is_quote);
        } else if self.blockquotes.pop() == Some(true) {
            self.quotes -= 1;
        }
    }

    fn gap(&mut self, breaks: usize) {
        self.has_space = false;
        if !self.text.is_empty() {
            self.breaks = self.breaks.max(breaks);
        }
    }

    fn line_break(&mut self) {
        self.has_space = false;
        if !self.text.is_empty() {
            self.breaks += 1;
        }
    }

    fn words(&mut self, text: &str) {
        if self.is_preformatted {
            for (at, line) in text.split('\n').enumerate() {
                self.breaks += usize::from(at > 0);
                self.word(line.trim_end_matches('\r'));
            }
            return;
        }
        for (at, word) in text.split(|c: char| c.is_ascii_whitespace()).enumerate() {
            self.has_space |= at > 0;
            self.word(word);
        }
    }

    fn word(&mut self, word: &str) {
        if word.is_empty() {
            return;
        }
        if self.breaks > 0 || self.text.is_empty() {
            self.new_line();
        } else if self.has_space {
            self.text.push(' ');
        }
        self.has_space = false;
        unescape(word, &mut self.text);
    }

    fn new_line(&mut self) {
        let mark = "> ".repeat(self.quotes.min(MAX_QUOTES));
        // Three blank lines say no more than one.
        for _ in 0..std::mem::take(&mut self.breaks).min(3) {
            self.text.truncate(self.edge());
            self.text.push('\n');
            self.text.push_str(&mark);
        }
        if self.text.is_empty() {
            self.text.push_str(&mark);
        }
    }
}

/// Where a tag ends, its `>` included; a `>` in a quoted attribute does not end it. An open quote is a typing error.
fn tag_end(rest: &str) -> usize {
    let bytes = rest.as_bytes();
    let mut at = 1;
    while let Some(next) = memchr::memchr3(b'>', b'"', b'\'', &bytes[at..]).map(|n| n + at) {
        let quote = bytes[next];
        let is_attribute = quote != b'>' && bytes[..next].trim_ascii_end().ends_with(b"=");
        match memchr::memchr(quote, &bytes[next + 1..]).filter(|_| is_attribute) {
            Some(length) => at = next + length + 2,
            None if quote == b'>' => return next + 1,
            None => at = next + 1,
        }
    }
    rest.len()
}

/// What follows the end tag of an element whose content is not for reading.
fn after_element<'h>(rest: &'h str, name: &str) -> &'h str {
    let is_end = |at: usize| {
        rest.as_bytes()
            .get(at + 2..at + 2 + name.len())
            .is_some_and(|n| n.eq_ignore_ascii_case(name.as_bytes()))
    };
    let end = memchr::memmem::find_iter(rest.as_bytes(), b"</").find(|at| is_end(*at));
    end.map_or("", |at| &rest[at..])
}

/// Longest entity name of HTML with its `&` and `;`.
const MAX_ENTITY: usize = 34;

fn unescape(word: &str, out: &mut String) {
    let mut rest = word;
    while let Some(at) = memchr::memchr(b'&', rest.as_bytes()) {
        out.push_str(&rest[..at]);
        rest = &rest[at..];
        let semicolon = memchr::memchr(b';', &rest.as_bytes()[..rest.len().min(MAX_ENTITY)]);
        let length = semicolon.map_or(1, |s| s + 1);
        match &rest[..length] {
            "&nbsp;" | "&#160;" | "&#xa0;" | "&#xA0;" => out.push(' '),
            entity => {
                let from = out.len();
                add_html_token(out, entity.as_bytes(), false);
                // What HTML itself makes of the one, and a line end of which our text has only one kind.
                let other = match &out[from..] {
                    "\0" => "\u{fffd}",
                    "\r" => "\n",
                    _ => "",
                };
                if !other.is_empty() {
                    out.replace_range(from.., other);
                }
            }
        }
        rest = &rest[length..];
    }
    for (index, piece) in rest.split('\u{a0}').enumerate() {
        out.push_str(if index > 0 { " " } else { "" });
        out.push_str(piece);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn pages_become_lines_of_text() {
        for (html, expected) in [
            ("<p>One</p><p>Two</p>", "One\n\nTwo"),
            ("One<br>Two<br/>Three", "One\nTwo\nThree"),
            ("<div>One</div><div>Two  and\n three</div>", "One\nTwo and three"),
            ("a<b>b</b>c <i>d</i>", "abc d"),
            ("<head><title>T</title><style>p{}</style></head><body>x</body>", "x"),
            ("x<!-- no > this -->y", "xy"),
            ("<script>if (a < b) {}</script>x", "x"),
            ("<a href=\"http://x/?a>b\">link</a>", "link"),
            ("<ul><li>a</li><li>b</li></ul>c", "- a\n- b\n\nc"),
            ("<tr><td>a</td><td>b</td></tr><tr><td>c</td></tr>", "a b\nc"),
            ("&lt;x&gt; &amp; &eacute; &#233; &#xe9; &nope; a&b", "<x> & é é é &nope; a&b"),
            ("a&nbsp;b\u{a0}c", "a b c"),
            ("a&#0;b&#x00;c&#13;d", "a\u{fffd}b\u{fffd}c\nd"),
            ("<pre>a\n  b</pre>", "a\n  b"),
            ("1 < 2 and <3", "1 < 2 and <3"),
            ("new<blockquote type=\"cite\">old<br>older</blockquote>end", "new\n\n> old\n> older\n\nend"),
            ("<blockquote style='margin:0'>indented</blockquote>", "indented"),
            ("<p class=\"a>open", "open"),
            ("", ""),
            ("<", "<"),
            ("<div style=\"display:none;max-height:0\">peek<div>in</div></div><p>News</p>", "News"),
            ("a<span style='x:y; DISPLAY : NONE !important'>b</span>c <i>d</i>", "ac d"),
            ("a <b style='display:none'>b</b>c&nbsp;<b style='display:none'>b</b>d", "a c d"),
            ("<p>a<p style=\"display:none\">b<p>c", "a\n\nc"),
            ("<p>a</p><div style=\"display: none\"><p>b</p></div><div>c</div>", "a\n\nc"),
            // What never ends hides nothing, nor does a page that would hide all.
            ("<div style=\"display:none\">a<p>b</p>", "a\n\nb"),
            ("<div style=\"display:none\">a</div>", "a"),
            ("<img style=\"display:none\">a<br style=\"display:none\"/>b", "a\nb"),
            ("<div style=\"display:block\">a</div>", "a"),
        ] {
            let text: Vec<String> = read(html).text.lines().map(|l| l.trim_end().to_owned()).collect();
            // The mark of an empty quoted line is all the same to a reader.
            assert_eq!(text.join("\n").replace("\n>\n>", "\n\n>"), expected, "{html}");
        }
    }

    #[test]
    fn what_is_said_of_a_page_begins_with_words() {
        let page = "<p>new &nbsp;<div style='border:none;border-top:solid #E0E1E1 1.0pt'><p>";
        assert!(read(page).hints.is_empty());
        assert!(read("new&#8195;<div class=\"gmail_signature\">").hints.is_empty());
        let Read { text, hints } = read("<p>new &nbsp;<div class=\"gmail_signature\"><p>old</div>");
        assert_eq!(hints.iter().map(|h| text[h.start..h.end].trim()).collect::<Vec<_>>(), ["old"]);
    }

    #[test]
    fn what_is_said_of_a_page_ends_with_its_text() {
        let page = "new<div class=\"yahoo_quoted\"><p>old</p><p>&nbsp;</p></div>";
        let Read { text, hints } = read(page);
        assert_eq!((text.as_str(), hints.len()), ("new\n\nold", 1));
        assert_eq!(hints[0].end, text.len());
    }

    proptest! {
        #[test]
        fn no_page_panics(
            html in "([<>&;/!'\"= a-z\u{a0}é#-]|<p|<p style=display:none>|</?div>|<div class=yahoo_quoted>|<div style=display:none>|<hr id=zwchr>|<!--|</style>|<style>|&#x?){0,40}"
        ) {
            read(&html);
        }
    }
}
