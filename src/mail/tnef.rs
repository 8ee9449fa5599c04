//! winmail.dat (MS-OXTNEF): what Outlook puts a whole message into when it takes the receiver for Outlook. Only what a
//! person would miss is read: the files, and the text where there is no other. Hostile until proved otherwise: every length
//! is checked, nothing recurs, and what does not fit ends the reading with what there is.

use std::ops::Range;

use super::charset;

const SIGNATURE: u32 = 0x223e_9f78;
const MAX_FILES: usize = 200;
const MAX_PROPERTIES: u32 = 5000;

// MS-OXTNEF §2.1.3.2: attributes by their id.
const ATTACH_RENDER_DATA: u16 = 0x9002;
const MESSAGE_PROPERTIES: u16 = 0x9003;
const ATTACHMENT_PROPERTIES: u16 = 0x9005;
const OEM_CODEPAGE: u16 = 0x9007;
const BODY: u16 = 0x800c;
const ATTACH_DATA: u16 = 0x800f;
const ATTACH_TITLE: u16 = 0x8010;

// MS-OXPROPS: properties by their id.
const TAG_BODY: u16 = 0x1000;
const TAG_HTML: u16 = 0x1013;
const TAG_DATA: u16 = 0x3701;
const TAG_FILE_NAME: u16 = 0x3704;
const TAG_LONG_FILE_NAME: u16 = 0x3707;
const TAG_MIME_TYPE: u16 = 0x370e;
const TAG_CONTENT_ID: u16 = 0x3712;
const TAG_DISPLAY_NAME: u16 = 0x3001;

#[derive(Debug, Default, PartialEq)]
pub(super) struct Tnef {
    pub files: Vec<File>,
    pub text: Option<String>,
    pub is_html: bool,
}

#[derive(Debug, Default, PartialEq)]
pub(super) struct File {
    pub name: String,
    pub content_type: String,
    pub content_id: String,
    /// In the bytes that were read.
    pub range: Range<usize>,
}

/// None where it is no such file at all. A mail that was attached stands in it as such a file of its own: that is one
/// attachment, and what was attached to it is found as well.
pub(super) fn read(bytes: &[u8]) -> Option<Tnef> {
    let mut tnef = read_range(bytes, 0..bytes.len())?;
    let mut at = 0;
    while let Some(file) = tnef.files.get_mut(at) {
        if let Some(mut inside) = read_range(bytes, file.range.clone()) {
            "application/ms-tnef".clone_into(&mut file.content_type);
            inside.files.truncate(MAX_FILES - tnef.files.len());
            tnef.files.append(&mut inside.files);
        }
        at += 1;
    }
    Some(tnef)
}

fn read_range(bytes: &[u8], range: Range<usize>) -> Option<Tnef> {
    let mut reader = Reader { bytes: &bytes[..range.end], at: range.start };
    if reader.u32()? != SIGNATURE {
        return None;
    }
    reader.u16()?;
    let mut found = Found { codepage: "windows-1252".to_owned(), ..Found::default() };
    while let Some((id, data)) = reader.attribute() {
        found.attribute(id, data, bytes);
    }
    found.files.retain(|file| !file.range.is_empty());
    for file in &mut found.files {
        if !file.content_type.contains('/') {
            "application/octet-stream".clone_into(&mut file.content_type);
        }
    }
    let text = found.html.clone().or(found.text);
    Some(Tnef { files: found.files, is_html: found.html.is_some(), text })
}

#[derive(Default)]
struct Found {
    codepage: String,
    files: Vec<File>,
    text: Option<String>,
    html: Option<String>,
}

impl Found {
    fn attribute(&mut self, id: u16, data: Range<usize>, bytes: &[u8]) {
        let value = &bytes[data.clone()];
        match id {
            OEM_CODEPAGE => {
                if let Some(page) = value.get(..4).and_then(|v| v.try_into().ok()).map(u32::from_le_bytes) {
                    self.codepage = codepage(page);
                }
            }
            BODY => self.text = self.text.take().or(Some(self.narrow(value))),
            ATTACH_RENDER_DATA if self.files.len() < MAX_FILES => self.files.push(File::default()),
            ATTACH_TITLE => {
                let name = self.narrow(value);
                if let Some(file) = self.files.last_mut().filter(|f| f.name.is_empty()) {
                    file.name = name;
                }
            }
            ATTACH_DATA => {
                if let Some(file) = self.files.last_mut() {
                    file.range = data;
                }
            }
            MESSAGE_PROPERTIES | ATTACHMENT_PROPERTIES => {
                let mut reader = Reader { bytes: &bytes[..data.end], at: data.start };
                let count = reader.u32().unwrap_or(0).min(MAX_PROPERTIES);
                for _ in 0..count {
                    let Some(property) = reader.property() else { break };
                    self.property(id == MESSAGE_PROPERTIES, &property, bytes);
                }
            }
            _ => {}
        }
    }

    fn property(&mut self, is_of_message: bool, property: &Property, bytes: &[u8]) {
        let value = &bytes[property.value.clone()];
        let words = || match property.kind {
            0x1f => wide(value),
            _ => self.narrow(value),
        };
        if is_of_message {
            match property.id {
                TAG_BODY => self.text = Some(words()),
                TAG_HTML => self.html = Some(words()),
                _ => {}
            }
            return;
        }
        let words = matches!(property.kind, 0x1e | 0x1f).then(words).unwrap_or_default();
        let Some(file) = self.files.last_mut() else { return };
        match property.id {
            TAG_LONG_FILE_NAME if !words.is_empty() => file.name = words,
            TAG_FILE_NAME | TAG_DISPLAY_NAME if file.name.is_empty() => file.name = words,
            TAG_MIME_TYPE => file.content_type = words.to_ascii_lowercase(),
            TAG_CONTENT_ID => file.content_id = words.trim_matches(['<', '>', ' ']).to_owned(),
            // An object begins with the sixteen bytes of its interface.
            TAG_DATA if property.kind == 0x0d && file.range.is_empty() && property.value.len() > 16 => {
                file.range = property.value.start + 16..property.value.end;
            }
            TAG_DATA if file.range.is_empty() => file.range = property.value.clone(),
            _ => {}
        }
    }

    fn narrow(&self, value: &[u8]) -> String {
        let end = memchr::memchr(0, value).unwrap_or(value.len());
        charset::decode(&value[..end], Some(&self.codepage)).0
    }
}

fn codepage(page: u32) -> String {
    match page {
        65001 => "utf-8".into(),
        932 | 936 | 949 | 950 => format!("cp{page}"),
        437 | 850 => "ibm850".into(),
        20127 => "us-ascii".into(),
        28591..=28605 => format!("iso-8859-{}", page - 28590),
        page => format!("windows-{page}"),
    }
}

fn wide(value: &[u8]) -> String {
    let units = value.chunks_exact(2).map(|pair| u16::from_le_bytes([pair[0], pair[1]]));
    char::decode_utf16(units.take_while(|u| *u != 0)).map(|c| c.unwrap_or('\u{fffd}')).collect()
}

struct Property {
    id: u16,
    kind: u16,
    value: Range<usize>,
}

struct Reader<'b> {
    bytes: &'b [u8],
    at: usize,
}

impl Reader<'_> {
    fn take(&mut self, length: usize) -> Option<Range<usize>> {
        let end = self.at.checked_add(length).filter(|end| *end <= self.bytes.len())?;
        let range = self.at..end;
        self.at = end;
        Some(range)
    }

    fn u16(&mut self) -> Option<u16> {
        let range = self.take(2)?;
        self.bytes[range].try_into().ok().map(u16::from_le_bytes)
    }

    fn u32(&mut self) -> Option<u32> {
        let range = self.take(4)?;
        self.bytes[range].try_into().ok().map(u32::from_le_bytes)
    }

    /// MS-OXTNEF §2.1.3.1: level, id, type, length, data, checksum.
    fn attribute(&mut self) -> Option<(u16, Range<usize>)> {
        self.take(1)?;
        let id = self.u16()?;
        self.u16()?;
        let length = self.u32()? as usize;
        let data = self.take(length)?;
        // The last checksum may be cut off.
        self.take(2).or_else(|| self.take(self.bytes.len() - self.at))?;
        Some((id, data))
    }

    /// MS-OXTNEF §2.1.3.4: of several values the first.
    fn property(&mut self) -> Option<Property> {
        let kind = self.u16()?;
        let id = self.u16()?;
        if id >= 0x8000 {
            self.take(16)?;
            if self.u32()? == 0 {
                self.u32()?;
            } else {
                let length = self.u32()? as usize;
                self.take(padded(length)?)?;
            }
        }
        let base = kind & 0x0fff;
        let is_long = matches!(base, 0x0d | 0x1e | 0x1f | 0x102);
        let count = if kind & 0x1000 != 0 || is_long { self.u32()? } else { 1 };
        let mut value = None;
        for _ in 0..count {
            let found = if is_long {
                let length = self.u32()? as usize;
                let all = self.take(padded(length)?)?;
                all.start..all.start + length
            } else {
                self.take(match base {
                    0x02 | 0x03 | 0x04 | 0x0a | 0x0b => 4,
                    0x05 | 0x06 | 0x07 | 0x14 | 0x40 => 8,
                    0x48 => 16,
                    _ => return None,
                })?
            };
            value.get_or_insert(found);
        }
        Some(Property { id, kind: base, value: value.unwrap_or(self.at..self.at) })
    }
}

fn padded(length: usize) -> Option<usize> {
    length.checked_add(3).map(|n| n & !3)
}

#[cfg(test)]
pub(in crate::mail) mod tests {
    use super::*;
    use proptest::prelude::*;

    fn attribute(id: u16, data: &[u8]) -> Vec<u8> {
        let sum: u16 = data.iter().fold(0, |sum, b| sum.wrapping_add(u16::from(*b)));
        let length = (data.len() as u32).to_le_bytes();
        [&[2][..], &id.to_le_bytes(), &[0, 0], &length, data, &sum.to_le_bytes()].concat()
    }

    fn property(kind: u16, id: u16, value: &[u8]) -> Vec<u8> {
        let mut property = [kind.to_le_bytes(), id.to_le_bytes()].concat();
        if matches!(kind, 0x1e | 0x1f | 0x102) {
            property.extend(1_u32.to_le_bytes());
            property.extend((value.len() as u32).to_le_bytes());
        }
        property.extend(value);
        property.resize(property.len().next_multiple_of(4), 0);
        property
    }

    fn wide_bytes(text: &str) -> Vec<u8> {
        text.encode_utf16().chain([0]).flat_map(u16::to_le_bytes).collect()
    }

    /// A winmail.dat with a text and two files, one named in wide characters.
    pub fn sample() -> Vec<u8> {
        let properties = [
            &2_u32.to_le_bytes()[..],
            &property(0x1f, TAG_LONG_FILE_NAME, &wide_bytes("Übersicht.pdf")),
            &property(0x1e, TAG_MIME_TYPE, b"application/PDF\0"),
        ]
        .concat();
        let message =
            [&1_u32.to_le_bytes()[..], &property(0x1f, TAG_BODY, &wide_bytes("See the files.\r\n"))].concat();
        [
            &SIGNATURE.to_le_bytes()[..],
            &[1, 0],
            &attribute(OEM_CODEPAGE, &[0xe4, 4, 0, 0, 0, 0, 0, 0]),
            &attribute(MESSAGE_PROPERTIES, &message),
            &attribute(ATTACH_RENDER_DATA, &[0; 14]),
            &attribute(ATTACH_TITLE, b"BERSIC~1.PDF\0"),
            &attribute(ATTACH_DATA, b"%PDF"),
            &attribute(ATTACHMENT_PROPERTIES, &properties),
            &attribute(ATTACH_RENDER_DATA, &[0; 14]),
            &attribute(ATTACH_TITLE, b"caf\xe9.txt\0"),
            &attribute(ATTACH_DATA, b"black"),
        ]
        .concat()
    }

    #[test]
    fn files_and_text_are_found() {
        let bytes = sample();
        let found = read(&bytes).unwrap();
        let files: Vec<(&str, &str, &[u8])> = found
            .files
            .iter()
            .map(|f| (f.name.as_str(), f.content_type.as_str(), &bytes[f.range.clone()]))
            .collect();
        assert_eq!(
            files,
            [
                ("Übersicht.pdf", "application/pdf", &b"%PDF"[..]),
                ("café.txt", "application/octet-stream", b"black")
            ]
        );
        assert_eq!((found.text.as_deref(), found.is_html), (Some("See the files.\r\n"), false));
    }

    #[test]
    fn what_is_cut_gives_what_is_whole() {
        let bytes = sample();
        let cut = read(&bytes[..bytes.len() - 8]).unwrap();
        assert_eq!(cut.files.len(), 1);
        assert_eq!(read(b"no such file"), None);
        assert_eq!(read(&bytes[..6]), Some(Tnef::default()));
    }

    /// A winmail.dat of attributes, those of the message first.
    fn stream(attributes: &[Vec<u8>]) -> Vec<u8> {
        [&SIGNATURE.to_le_bytes()[..], &[1, 0], &attributes.concat()].concat()
    }

    fn properties(all: &[Vec<u8>]) -> Vec<u8> {
        [&(all.len() as u32).to_le_bytes()[..], &all.concat()].concat()
    }

    fn texts(bytes: &[u8]) -> (Option<String>, bool) {
        let found = read(bytes).unwrap();
        (found.text, found.is_html)
    }

    #[test]
    fn the_text_is_found_in_each_of_its_forms() {
        let page = |number: u32| attribute(OEM_CODEPAGE, &[number.to_le_bytes(), [0; 4]].concat());
        let message = |property: Vec<u8>| attribute(MESSAGE_PROPERTIES, &properties(&[property]));
        for (attributes, text, is_html) in [
            (vec![page(1252), attribute(BODY, b"caf\xe9\0")], "café", false),
            (vec![page(1251), attribute(BODY, b"\xcf\xf0\xe8\0")], "При", false),
            (vec![page(932), attribute(BODY, b"\x82\xb1\0")], "こ", false),
            (vec![page(65001), message(property(0x1e, TAG_BODY, "é\0".as_bytes()))], "é", false),
            (vec![message(property(0x1f, TAG_BODY, &wide_bytes("日本")))], "日本", false),
            (vec![page(1252), message(property(0x102, TAG_HTML, b"<p>caf\xe9</p>"))], "<p>café</p>", true),
            (
                vec![message(property(0x1e, TAG_BODY, b"a\0")), message(property(0x102, TAG_HTML, b"<b>"))],
                "<b>",
                true,
            ),
        ] {
            assert_eq!(texts(&stream(&attributes)), (Some(text.to_owned()), is_html));
        }
        assert_eq!(texts(&stream(&[])), (None, false));
    }

    #[test]
    fn properties_of_every_kind_are_passed_over() {
        let named = |name: &[u8]| {
            let kind: &[u8] = if name.is_empty() { &[0; 8] } else { &[1, 0, 0, 0] };
            let length = if name.is_empty() { vec![] } else { (name.len() as u32).to_le_bytes().to_vec() };
            let mut named =
                [&3_u16.to_le_bytes()[..], &0x8001_u16.to_le_bytes(), &[7; 16], kind, &length, name].concat();
            named.resize(named.len().next_multiple_of(4), 0);
            named.extend(9_u32.to_le_bytes());
            named
        };
        let many = |values: u32| {
            let mut many =
                [&0x1003_u16.to_le_bytes()[..], &0x6000_u16.to_le_bytes(), &values.to_le_bytes()].concat();
            many.extend((0..values).flat_map(u32::to_le_bytes));
            many
        };
        let all = [
            named(b""),
            named(&wide_bytes("x")),
            many(3),
            property(0x03, 0x6001, &[1, 0, 0, 0]),
            property(0x40, 0x6002, &[1; 8]),
            property(0x48, 0x6003, &[1; 16]),
            property(0x0b, 0x6004, &[1, 0]),
            property(0x1e, TAG_BODY, b"words\0"),
        ];
        assert_eq!(texts(&stream(&[attribute(MESSAGE_PROPERTIES, &properties(&all))])).0.unwrap(), "words");
    }

    #[test]
    fn a_mail_that_was_attached_is_a_file_and_so_is_what_is_attached_to_it() {
        let inner = [&[7; 16][..], &sample()].concat();
        let object = |value: &[u8]| {
            let head = [0x0d_u16.to_le_bytes(), TAG_DATA.to_le_bytes()].concat();
            let mut object =
                [&head[..], &1_u32.to_le_bytes(), &(value.len() as u32).to_le_bytes(), value].concat();
            object.resize(object.len().next_multiple_of(4), 0);
            object
        };
        let file =
            properties(&[property(0x1f, TAG_DISPLAY_NAME, &wide_bytes("An older mail")), object(&inner)]);
        let bytes =
            stream(&[attribute(ATTACH_RENDER_DATA, &[0; 14]), attribute(ATTACHMENT_PROPERTIES, &file)]);
        let found = read(&bytes).unwrap();
        let files: Vec<(&str, &str)> =
            found.files.iter().map(|f| (f.name.as_str(), f.content_type.as_str())).collect();
        assert_eq!(
            files,
            [
                ("An older mail", "application/ms-tnef"),
                ("Übersicht.pdf", "application/pdf"),
                ("café.txt", "application/octet-stream"),
            ]
        );
        assert_eq!(&bytes[found.files[1].range.clone()], b"%PDF");
        assert_eq!(found.text, None);
    }

    #[test]
    fn lengths_that_lie_end_the_reading() {
        let file = [attribute(ATTACH_RENDER_DATA, &[0; 14]), attribute(ATTACH_DATA, b"whole")].concat();
        let names = |bytes: &[u8]| read(bytes).unwrap().files.len();
        for length in [6_u32, 0x7fff_ffff, u32::MAX] {
            let lie =
                [&[2][..], &ATTACH_DATA.to_le_bytes(), &[0, 0], &length.to_le_bytes(), b"part"].concat();
            assert_eq!(names(&stream(&[file.clone(), attribute(ATTACH_RENDER_DATA, &[0; 14]), lie])), 1);
        }
        for count in [2_u32, 0x7fff_ffff, u32::MAX] {
            // More properties, more values, and longer values than there are.
            let short = [&count.to_le_bytes()[..], &property(0x1e, TAG_BODY, b"a\0")].concat();
            assert_eq!(texts(&stream(&[attribute(MESSAGE_PROPERTIES, &short)])).0.as_deref(), Some("a"));
            let head = [0x101e_u16.to_le_bytes(), TAG_BODY.to_le_bytes()].concat();
            let values =
                [&[1, 0, 0, 0][..], &head, &count.to_le_bytes(), &2_u32.to_le_bytes(), b"a\0\0\0"].concat();
            assert_eq!(texts(&stream(&[attribute(MESSAGE_PROPERTIES, &values)])).0, None);
            let value =
                [&[1, 0, 0, 0][..], &0x1e_u32.to_le_bytes(), &1_u32.to_le_bytes(), &count.to_le_bytes()]
                    .concat();
            assert_eq!(texts(&stream(&[attribute(MESSAGE_PROPERTIES, &value)])).0, None);
        }
        let many = stream(&vec![file; MAX_FILES + 50]);
        assert_eq!(names(&many), MAX_FILES);
    }

    proptest! {
        #[test]
        fn nothing_makes_it_panic(at in 6_usize..400, byte: u8, length in 0_usize..500) {
            let mut bytes = sample();
            let index = at.min(bytes.len() - 1);
            bytes[index] = byte;
            bytes.truncate(length.max(6));
            read(&bytes);
        }
    }
}
