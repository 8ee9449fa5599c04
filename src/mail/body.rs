//! The leaves of a message: which are its text, and what the others are called.

use mail_parser::parsers::MessageStream;
use mail_parser::{ContentType, HeaderValue};

use super::decode::decode_span;
use super::message::TEXT_LIMIT;
use super::quoting::Hint;
use super::scan::Part;
use super::{
    Attachment, Defect, Encoding, Skeleton, Span, charset, continued, field, flowed, html, raw_header, tnef,
    uuencode, words,
};

/// File systems take names of this many bytes.
const MAX_NAME: usize = 255;

/// What the leaves say.
#[derive(Debug, Default)]
pub(super) struct Body {
    pub text: String,
    pub is_truncated: bool,
    /// What HTML says of pieces of the text.
    pub hints: Vec<Hint>,
    pub attachments: Vec<Attachment>,
    pub defects: Vec<Defect>,
}

pub(super) fn read(skeleton: &Skeleton) -> Body {
    let mut children = vec![Vec::new(); skeleton.parts.len()];
    for (index, part) in skeleton.parts.iter().enumerate() {
        children[part.parent.unwrap_or(index)].push(index);
    }
    let mut reader =
        Reader { skeleton, children, uses: vec![Use::None; skeleton.parts.len()], body: Body::default() };
    let texts = if skeleton.parts.is_empty() { Vec::new() } else { reader.texts_of(0, true) };
    reader.join(texts);
    reader.attach();
    html::clamp(&mut reader.body.hints, reader.body.text.len());
    reader.body
}

/// What a leaf is used for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Use {
    None,
    /// Text, or another form of text that is shown.
    Text,
    /// Text of which only a part is shown.
    CutText,
}

struct Reader<'s> {
    skeleton: &'s Skeleton,
    /// Of each part; the top part counts itself as its first child.
    children: Vec<Vec<usize>>,
    uses: Vec<Use>,
    body: Body,
}

struct Text {
    part: usize,
    words: String,
    hints: Vec<Hint>,
}

impl Reader<'_> {
    fn part(&self, index: usize) -> &Part {
        &self.skeleton.parts[index]
    }

    fn children_of(&self, index: usize) -> Vec<usize> {
        self.children[index].iter().copied().filter(|child| *child != index).collect()
    }

    /// The text leaves below a part, decoded if they are wanted, in any case known as text.
    /// Recursion is bounded by the depth that the scan follows.
    fn texts_of(&mut self, index: usize, is_wanted: bool) -> Vec<Text> {
        if !self.part(index).is_multipart {
            return self.leaf_text(index, is_wanted).into_iter().collect();
        }
        let children = self.children_of(index);
        match self.part(index).content_type.as_str() {
            "multipart/alternative" => self.best_of(&children, is_wanted),
            // RFC 2387 §3.2: the others belong to the first.
            "multipart/related" => {
                children.first().map_or_else(Vec::new, |root| self.texts_of(*root, is_wanted))
            }
            _ => children.into_iter().flat_map(|child| self.texts_of(child, is_wanted)).collect(),
        }
    }

    /// RFC 2046 §5.1.4 would take the last form; a desk reads plain text, which says the same without a trap in it.
    fn best_of(&mut self, children: &[usize], is_wanted: bool) -> Vec<Text> {
        let plain: Vec<usize> = children.iter().copied().filter(|c| self.holds(*c, "text/plain")).collect();
        let others = children.iter().rev().copied().filter(|c| !plain.contains(c));
        let mut chosen: Vec<Text> = Vec::new();
        for child in plain.iter().copied().chain(others) {
            let is_chosen = chosen.iter().any(|text| !stands_in(&text.words));
            let texts = self.texts_of(child, is_wanted && !is_chosen);
            if !is_chosen && (chosen.is_empty() || texts.iter().any(|text| !text.words.trim().is_empty())) {
                chosen = texts;
            }
        }
        chosen
    }

    fn holds(&self, index: usize, content_type: &str) -> bool {
        let part = self.part(index);
        part.content_type == content_type
            || (part.is_multipart && self.children_of(index).into_iter().any(|c| self.holds(c, content_type)))
    }

    fn leaf_text(&mut self, index: usize, is_wanted: bool) -> Option<Text> {
        let part = self.part(index);
        let is_plain = part.content_type == "text/plain";
        if !(is_plain || part.content_type == "text/html") || self.is_file(index) {
            return None;
        }
        self.uses[index] = if part.is_whole { Use::Text } else { Use::CutText };
        is_wanted.then(|| {
            let html::Read { text, hints } = self.words_of(index, is_plain);
            Text { part: index, words: text, hints }
        })
    }

    /// A text that its sender attached: it says so, or has a name and is not what the message begins with.
    fn is_file(&self, index: usize) -> bool {
        let block = self.block(index);
        let disposition = field::first(block, "content-disposition").unwrap_or_default();
        let kind = field::first(block, "content-type").unwrap_or_default();
        let has = |value: &[u8], name: &str| {
            field::parameter(value, name).or_else(|| field::parameter(value, &format!("{name}*"))).is_some()
        };
        let is_first = self.part(index).parent.is_none_or(|p| self.children_of(p).first() == Some(&index));
        disposition.len() >= 10 && disposition[..10].eq_ignore_ascii_case(b"attachment")
            || has(disposition, "filename")
            || (has(kind, "name") && !is_first)
    }

    fn block(&self, index: usize) -> &[u8] {
        &self.skeleton.bytes[self.part(index).headers.clone()]
    }

    fn words_of(&mut self, index: usize, is_plain: bool) -> html::Read {
        let part = self.part(index);
        let kept = &self.skeleton.bytes[part.body.clone()];
        let (bytes, is_bad) = transfer_decoded(kept, part.span.encoding);
        let label =
            field::first(self.block(index), "content-type").and_then(|t| field::parameter(t, "charset"));
        let label = label.map(|l| String::from_utf8_lossy(&l).into_owned());
        let (mut text, defect) = charset::decode(&bytes, label.as_deref());
        if !part.is_whole {
            cut_at_word(&mut text);
        }
        let defects = defect.into_iter().chain(is_bad.then_some(Defect::BadEncoding));
        self.body.defects.extend(defects);
        let text = normal(text);
        if !is_plain || html::is_page(&text) {
            return html::read(&text);
        }
        let text = match self.without_uuencoded(index) {
            Some(rest) => normal(charset::decode(&rest, label.as_deref()).0),
            None => text,
        };
        let kind = field::first(self.block(index), "content-type").unwrap_or_default();
        let flow = flowed::Flow::of(kind);
        html::Read {
            text: match flow {
                Some(flow) => flow.unwrapped(&text),
                None => text,
            },
            hints: Vec::new(),
        }
    }

    /// Files that stand as lines in the text become attachments: their lines are nobody's words. The rest, if there are any.
    fn without_uuencoded(&mut self, index: usize) -> Option<Vec<u8>> {
        let skeleton = self.skeleton;
        let part = &skeleton.parts[index];
        if !part.is_whole || part.span.encoding != Encoding::Identity {
            // Their place in the raw message cannot be said.
            return None;
        }
        let kept = &skeleton.bytes[part.body.clone()];
        let files = uuencode::files(kept);
        self.body.attachments.extend(files.iter().map(|file| Attachment {
            name: file_name(&charset::utf8_or_western(file.name)),
            content_type: "application/octet-stream".into(),
            size: file.size,
            is_inline: false,
            content_id: String::new(),
            span: Span {
                offset: part.span.offset + file.range.start as u64,
                length: file.range.len() as u64,
                encoding: Encoding::Uuencode,
            },
        }));
        (!files.is_empty()).then(|| uuencode::without(kept, &files))
    }

    /// Outlook's winmail.dat holds the files that a person attached, and sometimes the only text.
    fn open_tnef(&mut self, index: usize) {
        let skeleton = self.skeleton;
        let part = &skeleton.parts[index];
        let (Some(outer), true) = (part.span.encoding.outer(), part.is_whole) else { return };
        let bytes = decode_span(&skeleton.bytes[part.body.clone()], part.span.encoding);
        let Some(found) = tnef::read(&bytes) else { return };
        for file in found.files {
            let encoding =
                Encoding::Within { outer, start: file.range.start as u64, length: file.range.len() as u64 };
            self.body.attachments.push(Attachment {
                name: file_name(&file.name),
                content_type: file.content_type,
                size: file.range.len() as u64,
                is_inline: !file.content_id.is_empty(),
                content_id: file.content_id,
                span: Span { encoding, ..part.span },
            });
        }
        if self.body.text.trim().is_empty()
            && let Some(text) = found.text
        {
            let read = match found.is_html {
                true => html::read(&normal(text)),
                false => html::Read { text: normal(text), hints: Vec::new() },
            };
            (self.body.text, self.body.hints) = (read.text, read.hints);
            self.body.text.truncate(self.body.text.floor_char_boundary(TEXT_LIMIT));
        }
    }

    /// One text after the other, a blank line between them.
    fn join(&mut self, texts: Vec<Text>) {
        for text in texts {
            let gap = if self.body.text.is_empty() { "" } else { "\n\n" };
            let words = if gap.is_empty() { text.words.as_str() } else { text.words.trim_end() };
            if text.words.trim().is_empty() {
                continue;
            }
            self.body.text.truncate(if gap.is_empty() { 0 } else { self.body.text.trim_end().len() });
            self.body.text.push_str(gap);
            let from = self.body.text.len();
            self.body.hints.extend(text.hints.iter().map(|h| Hint {
                start: h.start + from,
                end: h.end + from,
                ..*h
            }));
            let room = TEXT_LIMIT.saturating_sub(from);
            if words.len() > room {
                self.uses[text.part] = Use::CutText;
            }
            self.body.text.push_str(&words[..words.floor_char_boundary(room)]);
            self.body.is_truncated |= self.uses[text.part] == Use::CutText;
        }
        if self.body.is_truncated {
            self.body.defects.push(Defect::TextTruncated);
        }
    }

    fn attach(&mut self) {
        let skeleton = self.skeleton;
        for (index, part) in skeleton.parts.iter().enumerate() {
            if !part.is_multipart && self.uses[index] != Use::Text {
                let block = raw_header::readable(self.block(index), skeleton);
                self.body.attachments.push(attachment(&block, part));
            }
            if part.content_type == "application/ms-tnef" || part.content_type == "application/vnd.ms-tnef" {
                self.open_tnef(index);
            }
        }
    }
}

/// A plain text that says nothing, or that there is HTML beside it: `Your program does not show HTML`. Where a person
/// writes of HTML in few words, the HTML beside them has the same words.
fn stands_in(words: &str) -> bool {
    const LONGEST: usize = 400;
    let words = words.trim();
    words.chars().filter(|c| c.is_alphanumeric()).nth(1).is_none()
        || (words.len() <= LONGEST && words.to_ascii_lowercase().contains("html"))
}

/// What of a text's transfer encoding can be read, and whether that is not all.
/// A base64 line with foreign characters is somebody's words in between: counted in, it would garble all behind it. Behind
/// the padding it is what a list or a gateway has put below, with all that follows.
fn transfer_decoded(kept: &[u8], encoding: Encoding) -> (std::borrow::Cow<'_, [u8]>, bool) {
    match encoding {
        Encoding::Identity => (kept.into(), false),
        Encoding::Base64 => {
            let lines = || kept.split_inclusive(|b| *b == b'\n');
            // Some programs put a blank into each line.
            let may_have_blanks =
                lines().map(<[u8]>::trim_ascii).find(|l| !l.is_empty()).is_some_and(has_blank);
            let is_foreign =
                |line: &&[u8]| has_foreign(line) || !may_have_blanks && has_blank(line.trim_ascii());
            if !lines().any(|line| is_foreign(&line)) {
                return (decode_span(kept, encoding).into(), false);
            }
            let mut of_base64: Vec<u8> = Vec::with_capacity(kept.len());
            for line in lines() {
                match is_foreign(&line) {
                    true if of_base64.trim_ascii_end().ends_with(b"=") => break,
                    true => {}
                    false => of_base64.extend_from_slice(line),
                }
            }
            (decode_span(&of_base64, encoding).into(), true)
        }
        _ => (decode_span(kept, encoding).into(), false),
    }
}

/// What is neither base64 nor white space.
fn has_foreign(line: &[u8]) -> bool {
    let is_foreign = |b: &u8| {
        !(b.is_ascii_alphanumeric() || b.is_ascii_whitespace() || matches!(b, b'+' | b'/' | b'=' | 0))
    };
    line.iter().any(is_foreign)
}

fn has_blank(line: &[u8]) -> bool {
    line.contains(&b' ')
}

/// LF line ends, no NUL: PostgreSQL refuses it in text.
fn normal(text: String) -> String {
    if memchr::memchr2(b'\r', 0, text.as_bytes()).is_none() {
        return text;
    }
    let text = text.replace("\r\n", "\n").replace('\0', "");
    if text.contains('\r') { text.replace('\r', "\n") } else { text }
}

/// The last character of a cut text may be half a character; its last word is half a word anyway.
fn cut_at_word(text: &mut String) {
    let near = text.floor_char_boundary(text.len().saturating_sub(200));
    let end = text[near..].rfind([' ', '\n']).map_or(text.len(), |at| near + at);
    text.truncate(end);
    text.truncate(text.trim_end_matches('\u{fffd}').len());
}

/// What a part that is no text is called.
pub(super) fn attachment(block: &[u8], part: &Part) -> Attachment {
    let kind = structured(field::first(block, "content-type"));
    let disposition = structured(field::first(block, "content-disposition"));
    let in_pieces = |field: &str, name: &str| continued::read(field::first(block, field)?, name);
    let name = in_pieces("content-disposition", "filename")
        .or_else(|| named(disposition.as_ref(), "filename"))
        .or_else(|| in_pieces("content-type", "name"))
        .or_else(|| named(kind.as_ref(), "name"));
    let content_id = words::decode(field::first(block, "content-id").unwrap_or_default());
    let content_id = content_id.trim_matches(['<', '>', ' ']).to_owned();
    let is_inline = match &disposition {
        Some(disposition) => disposition.is_inline(),
        None => !content_id.is_empty(),
    };
    Attachment {
        name: file_name(&name.unwrap_or_default()),
        content_type: part.content_type.clone(),
        size: part.size,
        is_inline,
        content_id,
        span: part.span,
    }
}

/// A structured value with its parameters decoded (RFC 2231; RFC 2047 in quotes, which no standard allows and many do).
fn structured(raw: Option<&[u8]>) -> Option<ContentType<'static>> {
    let mut line = words::normalize(raw?);
    line.push('\n');
    match MessageStream::new(line.as_bytes()).parse_content_type().into_owned() {
        HeaderValue::ContentType(value) => Some(value),
        _ => None,
    }
}

/// Where a name stands twice, the one that needed RFC 2231 is the true one, the other its shadow in ASCII.
fn named(value: Option<&ContentType>, parameter: &str) -> Option<String> {
    let all: Vec<&str> =
        value?.attributes()?.iter().filter(|a| a.name == parameter).map(|a| a.value.as_ref()).collect();
    let found = all.iter().find(|name| !name.is_ascii()).or(all.first())?;
    Some(words::decode(found.as_bytes())).filter(|name| !name.is_empty())
}

/// A name without a path and without control characters, which no file system minds.
fn file_name(name: &str) -> String {
    let name = words::clean(name.rsplit(['/', '\\']).next().unwrap_or_default());
    if name.chars().all(|c| c == '.') {
        return String::new();
    }
    if name.len() <= MAX_NAME {
        return name;
    }
    let (stem, extension) = match name.rsplit_once('.') {
        Some((stem, extension)) if extension.len() <= 16 => (stem, format!(".{extension}")),
        _ => (name.as_str(), String::new()),
    };
    format!("{}{extension}", &stem[..stem.floor_char_boundary(MAX_NAME - extension.len())])
}

#[cfg(test)]
mod tests;
