//! The new words of a mail, told from what its program put around them: quoted mails, signatures, disclaimers, forwarded
//! mails. Nothing is lost: every line of the text gets a role, and the whole text stays what it was.
//!
//! By lines: each is looked at once, with a few of its neighbours, so any text takes linear time. What words programs
//! use is data (`languages`). Where the mail was HTML, its structure comes along as hints.

use serde::{Deserialize, Serialize};

use self::line::{Line, lines};

mod attribution;
mod divider;
mod languages;
mod line;
mod signature;
#[cfg(test)]
mod tests;

/// What a piece of a text is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// The sender's words.
    New,
    /// Quoted, but answered in between: shown among the new words.
    Answered,
    /// Of an earlier mail.
    Quoted,
    /// The line that says whose words are quoted, and the like.
    Attribution,
    Signature,
    Disclaimer,
    /// A mail that somebody passes on, with its header lines.
    Forwarded,
    /// What programs put around the words: PGP armour, a line to answer above.
    Mark,
}

/// A piece of the text, in bytes. Pieces follow one another without a gap.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Piece {
    pub role: Role,
    pub start: usize,
    pub end: usize,
}

/// What the structure of an HTML mail says of a piece of its text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hint {
    pub role: Role,
    pub start: usize,
    pub end: usize,
}

/// What a mail is to earlier ones, by its headers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Relation {
    /// It answers one: what it has of it need not be read again.
    Answer,
    /// It passes one on: all of it is what the sender wants to be read.
    Forward,
    /// It answers none: whatever was copied into it is part of what the sender says.
    Own,
}

/// A text, told apart.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Split {
    /// The new words; all of the text where nothing else could be told from them.
    pub visible: String,
    pub signature: String,
    pub pieces: Vec<Piece>,
    /// The rules that found something, in the order in which they did.
    pub rules: Vec<&'static str>,
}

impl Split {
    /// Nothing but new words was found.
    pub fn is_all_new(&self) -> bool {
        self.pieces.iter().all(|piece| piece.role == Role::New)
    }
}

/// A mail passed on with so few words above it is the sender's message itself.
const FEW_WORDS: usize = 3;
/// So many lines that may be marks are looked at closely; more of them are a log or a table, or meant to take time.
const MANY_MARKS: usize = 500;
/// A greeting has so many words at most.
const GREETING: usize = 4;
/// Quoted lines of so many characters may have been wrapped on their way.
const WRAPPED: usize = 50;

/// Splits a text. `hints` come from HTML, in order, and may be empty.
pub fn split(text: &str, hints: &[Hint], relation: Relation) -> Split {
    let mut sheet = Sheet { lines: lines(text), relation, rules: Vec::new() };
    sheet.take(hints);
    sheet.take_armour();
    sheet.walk();
    match relation {
        Relation::Answer => {
            sheet.decide();
            sheet.sign(sheet.lines.len());
        }
        Relation::Forward => sheet.keep_whole("forwarded_whole"),
        Relation::Own => sheet.keep_whole("answers_nothing"),
    }
    sheet.finish(text)
}

struct Sheet<'t> {
    lines: Vec<Line<'t>>,
    relation: Relation,
    rules: Vec<&'static str>,
}

impl<'t> Sheet<'t> {
    fn take(&mut self, hints: &[Hint]) {
        let mut hints = hints.iter().peekable();
        for line in &mut self.lines {
            while hints.peek().is_some_and(|h| h.end <= line.start) {
                hints.next();
            }
            if let Some(hint) = hints.peek().filter(|h| h.start <= line.start && line.start < h.end) {
                line.role = hint.role;
            }
        }
        if self.lines.iter().any(|l| !l.is_free()) {
            self.note("html_structure");
        }
    }

    fn note(&mut self, rule: &'static str) {
        if !self.rules.contains(&rule) {
            self.rules.push(rule);
        }
    }

    fn mark(&mut self, from: usize, to: usize, role: Role) {
        self.lines[from..to].iter_mut().filter(|l| l.is_free()).for_each(|l| l.role = role);
    }

    /// RFC 4880 §7: the armour of a text that was signed in clear.
    fn take_armour(&mut self) {
        let begins =
            |l: &Line, what: &str| l.text.starts_with("-----BEGIN PGP ") && l.text[15..].starts_with(what);
        let Some(first) = self.lines.iter().take(20).position(|l| begins(l, "SIGNED MESSAGE")) else {
            return;
        };
        let head =
            self.lines[first..].iter().position(Line::is_blank).map_or(first + 1, |blank| first + blank);
        self.mark(first, head.min(first + 6), Role::Mark);
        if let Some(end) = self.lines.iter().position(|l| begins(l, "SIGNATURE")) {
            let length = self.lines[end..].iter().position(|l| l.text.starts_with("-----END PGP SIGNATURE"));
            self.mark(end, length.map_or(self.lines.len(), |n| end + n + 1), Role::Mark);
        }
        self.note("pgp_armour");
    }

    /// From the top: quoted lines with what stands above them, up to the divider from which on all is quoted.
    fn walk(&mut self) {
        let mut at = 0;
        let mut has_words = false;
        let mut looked_at = 0;
        let mut last_mark = None;
        while at < self.lines.len() {
            let line = &self.lines[at];
            if line.is_blank() || !line.is_free() {
                at += 1;
                continue;
            }
            if line.is_quoted() && !attribution::is_framed(line.text) {
                at = self.quoted(at);
                continue;
            }
            looked_at += usize::from(line.looks_marked());
            if !line.looks_marked() || looked_at > MANY_MARKS {
                has_words = true;
                at += 1;
                continue;
            }
            if let Some(found) = divider::at(&self.lines, at) {
                let next = self.divide(at, found, has_words);
                has_words |= self.lines[at].is_free();
                at = next;
                continue;
            }
            if let Some(found) = attribution::at(&self.lines, at) {
                let bears_mark = |l: &Line| l.is_quoted() || !l.is_free();
                let below = self.lines[found.last + 1..].iter().find(|l| !l.is_blank());
                let is_marked = below.is_some_and(bears_mark);
                let last_mark = *last_mark.get_or_insert_with(|| self.lines.iter().rposition(bears_mark));
                if !has_words && found.offset == 0 && last_mark.is_none_or(|last| last <= found.last) {
                    // Nothing tells what is quoted: somebody says what was said.
                    has_words = true;
                    at = found.last + 1;
                    continue;
                }
                if found.offset > 0 {
                    self.cut_line(at, found.offset);
                    (at, has_words) = (at + 1, true);
                    self.mark(at, found.last + 2, Role::Attribution);
                    at = found.last + 2;
                } else {
                    self.mark(at, found.last + 1, Role::Attribution);
                    at = found.last + 1;
                }
                self.note("attribution");
                if !is_marked && has_words {
                    self.mark(at, self.lines.len(), Role::Quoted);
                    return;
                }
                continue;
            }
            has_words = true;
            at += 1;
        }
    }

    /// A run of quoted lines, from `at`; gives back where it ends. Apple's programs quote the attribution, too.
    fn quoted(&mut self, at: usize) -> usize {
        let attribution = || attribution::at(&self.lines, at).filter(|a| a.offset == 0);
        let is_first = !self.rules.contains(&"quoted_lines");
        let said = is_first.then(attribution).flatten().map_or(at, |found| found.last + 1);
        let mut end = at;
        while end < self.lines.len() && (self.lines[end].is_quoted() || self.is_torn(end)) {
            self.lines[end].role = Role::Quoted;
            end += 1;
        }
        if at < said && said < end {
            self.lines[at..said].iter_mut().for_each(|l| l.role = Role::Attribution);
            self.note("attribution");
        }
        self.note("quoted_lines");
        end
    }

    /// The rest of a quoted line that was wrapped on its way: one line between two quoted ones, with a piece of a link.
    fn is_torn(&self, at: usize) -> bool {
        let is_quoted = |at: usize| self.lines.get(at).is_some_and(Line::is_quoted);
        let line = &self.lines[at];
        if at == 0 || line.is_blank() || !is_quoted(at - 1) || !is_quoted(at + 1) || !line.may_be_mark() {
            return false;
        }
        let above = self.lines[at - 1].text;
        let text = line.text.trim_start();
        let is_open = above
            .rfind(['(', '<'])
            .is_some_and(|open| above[open..].contains("http") && !above[open..].contains([')']));
        let is_wrapped = above.chars().count() >= WRAPPED && text.starts_with(char::is_lowercase);
        is_open || is_wrapped || text.trim_start_matches(['(', '<', '[']).starts_with("http")
    }

    /// Cuts a line in two: words, then a mark.
    fn cut_line(&mut self, at: usize, offset: usize) {
        let line = self.lines[at].clone();
        let (words, mark) = line.text.split_at(offset);
        let middle = line.start + offset;
        self.lines[at] = Line { text: words.trim_end(), ..line.clone() };
        self.lines.insert(at + 1, Line { start: middle, text: mark, ..line });
    }

    /// Gives back the line to go on from.
    fn divide(&mut self, at: usize, found: divider::Divider, has_words: bool) -> usize {
        use divider::Divider::{Forwarded, Headers, Original, ReplyAbove};
        let start = divider::start(&self.lines, at);
        let rule = match found {
            Headers => "header_lines",
            Original => "original_message",
            Forwarded => "forwarded_message",
            ReplyAbove => "reply_above",
        };
        let end = self.lines.len();
        if self.relation != Relation::Answer {
            self.mark(start, end, Role::Forwarded);
            self.note(rule);
            return end;
        }
        if found == ReplyAbove && !has_words {
            // An answer below it.
            self.mark(at, at + 1, Role::Mark);
            self.note(rule);
            return at + 1;
        }
        if matches!(found, Headers | Original) {
            let below = divider::end(&self.lines, at);
            let first = self.lines[below..].iter().find(|l| !l.is_blank());
            let is_mail = || self.lines[at..below].iter().any(|l| line::has_address(l.text));
            let is_sure = found == Original || has_words || is_mail();
            if is_sure && first.is_some_and(|l| l.is_quoted() && !l.text.starts_with('|')) {
                // What is quoted bears marks: lines without them are answers.
                self.mark(start, below, Role::Attribution);
                self.note(rule);
                return below;
            }
            if !has_words {
                // Nothing above it: a mail passed on as it is, or an answer below.
                return below;
            }
        }
        if !has_words {
            return at + 1;
        }
        self.note(rule);
        if found == Forwarded {
            let words: usize = self.lines[..start]
                .iter()
                .filter(|l| l.is_free())
                .map(|l| l.text.split_whitespace().take(FEW_WORDS + 1).count())
                .sum();
            if words <= FEW_WORDS {
                return end;
            }
            self.mark(start, end, Role::Forwarded);
        } else {
            self.mark(start, end, Role::Quoted);
        }
        end
    }

    /// Quotations between new words: are they answered there, or is the answer above or below them?
    fn decide(&mut self) {
        let runs = self.runs();
        let texts: Vec<usize> = (0..runs.len()).filter(|r| runs[*r].is_new).collect();
        let (Some(first), Some(last)) = (texts.first().copied(), texts.last().copied()) else { return };
        let below: Vec<&Line> = self.lines[runs[last].from..runs[last].to].iter().collect();
        let is_signature = texts.len() > 1 && signature::is_nothing_else(&below);
        if is_signature {
            self.mark(runs[last].from, runs[last].to, Role::Signature);
            self.note("signature_below");
        }
        let end = if is_signature { texts[texts.len() - 2] } else { last };
        let quotations: Vec<&Run> = runs[..end].iter().filter(|r| !r.is_new).collect();
        let is_inline = match quotations[..] {
            [] => false,
            // A whole mail above the answer, which nobody needs to read again.
            [only] => !(only.is_introduced && (end < first + 2 || self.is_greeting(&runs[first]))),
            _ => true,
        };
        if is_inline {
            for run in runs[..end].iter().filter(|r| !r.is_new) {
                self.lines[run.from..run.to]
                    .iter_mut()
                    .filter(|l| l.role == Role::Quoted || (l.role == Role::Attribution && l.is_quoted()))
                    .for_each(|l| l.role = Role::Answered);
            }
            self.note("inline_answers");
        }
    }

    fn is_greeting(&self, run: &Run) -> bool {
        let mut words = self.lines[run.from..run.to].iter().flat_map(|l| l.text.split_whitespace());
        words.nth(GREETING).is_none()
    }

    /// Runs of new words and of quotations; blank lines belong to what is above them.
    fn runs(&self) -> Vec<Run> {
        let mut runs: Vec<Run> = Vec::new();
        for (at, line) in self.lines.iter().enumerate() {
            if line.is_blank() || matches!(line.role, Role::Mark) {
                continue;
            }
            let is_new = line.role == Role::New;
            let is_introduced = line.role == Role::Attribution;
            match runs.last_mut() {
                Some(run) if run.is_new == is_new => {
                    run.to = at + 1;
                    run.is_introduced |= is_introduced;
                }
                _ => runs.push(Run { from: at, to: at + 1, is_new, is_introduced }),
            }
        }
        runs
    }

    /// From the first quotation on all is new words; above it the sender may have signed.
    fn keep_whole(&mut self, rule: &'static str) {
        let is_copied = |l: &Line| matches!(l.role, Role::Quoted | Role::Attribution | Role::Forwarded);
        let first = self.lines.iter().position(is_copied).unwrap_or(self.lines.len());
        self.sign(first);
        if first < self.lines.len() {
            self.lines[first..].iter_mut().filter(|l| l.role != Role::Mark).for_each(|l| l.role = Role::New);
            self.note(rule);
        }
    }

    /// Signatures and disclaimers at the end of new words that begin above the line `before`.
    fn sign(&mut self, before: usize) {
        let is_looked_at = |run: &Run| run.is_new && run.from < before;
        let runs: Vec<Run> = self.runs().into_iter().filter(is_looked_at).collect();
        let is_last = |at: usize| at + 1 == runs.len();
        for (number, run) in runs.iter().enumerate() {
            if !is_last(number) && self.rules.contains(&"inline_answers") {
                continue;
            }
            let part: Vec<&Line> = self.lines[run.from..run.to].iter().collect();
            let disclaimer = signature::disclaimer(&part).map(|at| run.from + at);
            let end = disclaimer.unwrap_or(run.to);
            let signature = signature::find(&part[..end - run.from]);
            if let Some((at, rule)) = signature {
                self.mark(run.from + at, end, Role::Signature);
                self.note(rule);
            }
            if let Some(at) = disclaimer {
                self.mark(at, run.to, Role::Disclaimer);
                self.note("disclaimer");
            }
        }
    }

    fn finish(mut self, text: &str) -> Split {
        let is_shown = |l: &Line| matches!(l.role, Role::New | Role::Answered);
        if !self.lines.iter().any(|l| l.role == Role::New && !l.is_blank()) {
            // Nothing but a quotation or a signature: there must be something to read.
            self.lines.iter_mut().for_each(|l| l.role = Role::New);
            self.rules.clear();
        }
        let visible = joined(self.lines.iter().filter(|l| is_shown(l)));
        let mut signed =
            self.lines.iter().filter(|l| matches!(l.role, Role::Signature | Role::Disclaimer)).peekable();
        while signed.next_if(|l| l.is_blank() || signature::is_delimiter(l.text.trim())).is_some() {}
        let signature = joined(signed);
        Split { visible, signature, pieces: pieces(&self.lines, text.len()), rules: self.rules }
    }
}

struct Run {
    from: usize,
    to: usize,
    is_new: bool,
    /// An attribution stands above it.
    is_introduced: bool,
}

fn joined<'l>(lines: impl Iterator<Item = &'l Line<'l>>) -> String {
    let mut text = String::new();
    for (at, line) in lines.enumerate() {
        text.push_str(if at > 0 { "\n" } else { "" });
        text.push_str(line.text);
    }
    text.trim_matches('\n').to_owned()
}

/// Neighbouring lines of one role are one piece; blank lines belong to what is above them.
fn pieces(lines: &[Line], length: usize) -> Vec<Piece> {
    let mut pieces: Vec<Piece> = Vec::new();
    for line in lines {
        match pieces.last_mut() {
            Some(last) if last.role == line.role || line.is_blank() => {}
            Some(last) => {
                last.end = line.start;
                pieces.push(Piece { role: line.role, start: line.start, end: length });
            }
            None => pieces.push(Piece { role: line.role, start: 0, end: length }),
        }
    }
    pieces
}
