use super::*;
use crate::mail::scan;

/// A body of parts: `type|fields|content`, nested by hand where a test needs it.
fn multipart(kind: &str, boundary: &str, parts: &[&str]) -> String {
    let parts: String = parts.iter().map(|part| format!("--{boundary}\n{part}\n")).collect();
    format!("Content-Type: multipart/{kind}; boundary={boundary}\n\n{parts}--{boundary}--\n")
}

fn body(raw: &str) -> Body {
    read(&scan(&mut raw.as_bytes()).expect("a slice has no read errors"))
}

const PLAIN: &str = "Content-Type: text/plain\n\nplain";
const HTML: &str = "Content-Type: text/html\n\n<p>html</p>";
const BLANK: &str = "Content-Type: text/plain\n\n \n";
const IMAGE: &str = "Content-Type: image/png\nContent-ID: <i@x>\n\nx";
const FILE: &str = "Content-Type: text/plain\nContent-Disposition: attachment; filename=a.txt\n\nfile";
const NAMED: &str = "Content-Type: text/plain; name=a.txt\n\nfile";
const INLINE: &str = "Content-Type: text/plain\nContent-Disposition: inline\n\nmore";
const EVENT: &str = "Content-Type: text/calendar\n\nevent";

#[test]
fn the_text_for_people_is_chosen_and_the_rest_attached() {
    for (raw, text, attached) in [
        (PLAIN.to_owned(), "plain", ""),
        (HTML.to_owned(), "html", ""),
        (FILE.to_owned(), "", "text/plain"),
        (EVENT.to_owned(), "", "text/calendar"),
        (multipart("alternative", "b", &[PLAIN, HTML]), "plain", ""),
        (multipart("alternative", "b", &[HTML, PLAIN]), "plain", ""),
        (multipart("alternative", "b", &[BLANK, HTML]), "html", ""),
        (multipart("alternative", "b", &[PLAIN, HTML, EVENT]), "plain", "text/calendar"),
        (
            multipart("alternative", "b", &[PLAIN, &multipart("related", "c", &[HTML, IMAGE])]),
            "plain",
            "image/png",
        ),
        (
            multipart("related", "b", &[&multipart("alternative", "c", &[PLAIN, HTML]), IMAGE]),
            "plain",
            "image/png",
        ),
        (multipart("related", "b", &[HTML, PLAIN]), "html", "text/plain"),
        (multipart("mixed", "b", &[PLAIN, IMAGE, INLINE]), "plain\n\nmore", "image/png"),
        (multipart("mixed", "b", &[HTML, INLINE]), "html\n\nmore", ""),
        (multipart("mixed", "b", &[PLAIN, FILE]), "plain", "text/plain"),
        (multipart("mixed", "b", &[PLAIN, NAMED]), "plain", "text/plain"),
        (multipart("mixed", "b", &[NAMED, PLAIN]), "file\n\nplain", ""),
        (multipart("mixed", "b", &[BLANK, PLAIN]), "plain", ""),
        (
            multipart("signed", "b", &[PLAIN, "Content-Type: application/pgp-signature\n\nx"]),
            "plain",
            "application/pgp-signature",
        ),
        (multipart("digest", "b", &["\nSubject: s\n\nwords"]), "", "message/rfc822"),
    ] {
        let body = body(&raw);
        let kinds: Vec<&str> = body.attachments.iter().map(|a| a.content_type.as_str()).collect();
        assert_eq!((body.text.as_str(), kinds.join(" ").as_str()), (text, attached), "{raw}");
    }
}

#[test]
fn attachments_have_the_names_their_senders_gave_them() {
    let long = format!("{}.pdf", "n".repeat(300));
    let cut = format!("{}.pdf", "n".repeat(251));
    for (fields, expected) in [
        ("Content-Disposition: attachment; filename=a.pdf", "a.pdf"),
        ("Content-Disposition: attachment; filename=\"a b.pdf\"", "a b.pdf"),
        ("Content-Type: application/pdf; name=\"a.pdf\"", "a.pdf"),
        (
            "Content-Type: application/pdf; name=b.pdf\nContent-Disposition: attachment; filename=a.pdf",
            "a.pdf",
        ),
        ("Content-Disposition: attachment; filename*=utf-8''Gr%C3%B6%C3%9Fe.pdf", "Größe.pdf"),
        ("Content-Disposition: attachment; filename*=iso-8859-1'de'Gr%F6.pdf", "Grö.pdf"),
        ("Content-Disposition: attachment;\n filename*0*=utf-8''Gr%C3%B6;\n filename*1=ne.pdf", "Gröne.pdf"),
        ("Content-Disposition: attachment; filename=\"Gro.pdf\"; filename*=utf-8''Gr%C3%B6.pdf", "Grö.pdf"),
        ("Content-Disposition: attachment; filename=\"=?utf-8?Q?Gr=C3=B6=C3=9Fe?=.pdf\"", "Größe.pdf"),
        ("Content-Disposition: attachment; filename=\"=?utf-8?B?R3I=?=\n =?utf-8?B?w7Y=?=\"", "Grö"),
        // RFC 2231 §3 and §4, in order and out of it, and as programs get it wrong.
        ("Content-Disposition: attachment;\n filename*1=\"b.pdf\";\n filename*0=\"a\"", "ab.pdf"),
        ("Content-Disposition: attachment;\n filename*0*=utf-8''%C3;\n filename*1*=%A4.pdf", "ä.pdf"),
        ("Content-Disposition: attachment; filename*=koi8-r''%F0%D2%C9.pdf", "При.pdf"),
        ("Content-Disposition: attachment; filename*=gb2312'zh'%E9F.pdf", "镕.pdf"),
        ("Content-Disposition: attachment; filename*=utf-8''%.pdf", "%.pdf"),
        ("Content-Disposition: attachment; filename*=Gr%C3%B6.pdf", "Grö.pdf"),
        ("Content-Disposition: attachment; filename*=\"utf-8''Gr%C3%B6.pdf\"", "Grö.pdf"),
        ("Content-Disposition: attachment; filename=Gr%C3%B6.pdf", "Gr%C3%B6.pdf"),
        ("Content-Disposition: attachment; filename=a b c.pdf", "a b c.pdf"),
        ("Content-Disposition: attachment; filename=\"open.pdf", "open.pdf"),
        ("Content-Disposition: attachment; filename==?utf-8?B?w7Y=?=", "ö"),
        ("Content-Disposition: attachment; filename=\"=?utf-8?B?w7Yu?= =?utf-8?B?cGRm?=\"", "ö.pdf"),
        ("Content-Disposition: attachment; filename=\"=?utf-8?B?w7YucGRm\"", "=?utf-8?B?w7YucGRm"),
        // Padding that is missing.
        ("Content-Disposition: attachment; filename=\"=?utf-8?B?w7Y?=.pdf\"", "ö.pdf"),
        ("Content-Disposition: attachment; filename=\"../../etc/passwd\"", "passwd"),
        ("Content-Disposition: attachment; filename=\"C:\\\\Users\\\\a.pdf\"", "a.pdf"),
        ("Content-Disposition: attachment; filename=\"..\"", ""),
        ("Content-Disposition: attachment; filename=\"a\u{1}b.pdf\"", "a b.pdf"),
        ("Content-Disposition: attachment", ""),
        (&format!("Content-Disposition: attachment; filename={long}"), &cut),
    ] {
        let body = body(&format!("{fields}\n\nx"));
        let names: Vec<&str> = body.attachments.iter().map(|a| a.name.as_str()).collect();
        assert_eq!(names, [expected], "{fields}");
    }
}

#[test]
fn an_inline_image_keeps_its_content_id() {
    let body = body(&multipart("related", "b", &[HTML, IMAGE]));
    let [image] = body.attachments.as_slice() else { panic!("{:?}", body.attachments) };
    assert_eq!((image.content_id.as_str(), image.is_inline, image.size), ("i@x", true, 1));
}

#[test]
fn a_character_cut_in_two_is_left_out() {
    let mut text = "Größe \u{fffd}".to_owned();
    cut_at_word(&mut text);
    assert_eq!(text, "Größe");
}

#[test]
fn a_uuencoded_file_has_a_name_that_can_be_shown() {
    let body = body("Subject: s\n\nHere\n\nbegin 644 \u{10}../a\u{1b}[1m.txt\n#8V%T\n`\nend\nbye\n");
    let [file] = body.attachments.as_slice() else { panic!("{:?}", body.attachments) };
    assert_eq!((file.name.as_str(), file.size, body.text.as_str()), ("a [1m.txt", 3, "Here\n\nbye"));
}

#[test]
fn only_a_file_that_is_attached_leaves_the_words() {
    let body = body("Subject: s\n\nHere\nbe\0gin 644 a\n#8V%T\n`\nend\nbye\n");
    assert_eq!((body.attachments.len(), body.text.as_str()), (0, "Here\nbegin 644 a\n#8V%T\n`\nend\nbye"));
}

#[test]
fn a_part_may_be_uuencoded_as_a_whole() {
    let part = |said: &str, lines: &str| {
        let head = "Content-Type: image/png; name=\"cat.png\"\nContent-Transfer-Encoding: ";
        body(&multipart("mixed", "b", &["\nwords\n", &format!("{head}{said}\n\n{lines}")]))
            .attachments
            .remove(0)
    };
    for said in ["x-uuencode", "X-UUENCODE", "uuencode", "x-uue"] {
        for lines in [
            "begin 644 cat.png\n#8V%T\n`\nend\n",
            "\nbegin 600 cat.png\n#8V%T\n",
            "begin 644 c\r\n#8V%T\r\nend",
        ] {
            let file = part(said, lines);
            assert_eq!((file.size, file.span.encoding), (3, Encoding::Uuencode), "{said}: {lines}");
        }
    }
    // Said, and not so: nothing is lost.
    for lines in ["plain words\n", "begin with it\n#8V%T\nend\n", "words first\nbegin 644 c\n#8V%T\nend\n"] {
        let file = part("x-uuencode", lines);
        assert_eq!((file.size, file.span.encoding), (lines.len() as u64, Encoding::Identity), "{lines}");
    }
    let text = "Content-Type: text/plain\nContent-Transfer-Encoding: x-uuencode\n\n";
    assert_eq!(body(&format!("{text}begin 644 a.txt\n%2&5L;&\\\nend\n")).text, "Hello");
    assert_eq!(body(&format!("{text}Hello\n")).text, "Hello");
}

#[test]
fn a_plain_text_that_only_points_at_the_html_gives_way_to_it() {
    let html = "Content-Type: text/html\n\n<p>The serial number is 4711.</p>";
    let alternative = |plain: &str, html: &str| {
        body(&multipart("alternative", "b", &[&format!("Content-Type: text/plain\n\n{plain}"), html])).text
    };
    for plain in
        ["", ".", "Your email client does not support HTML messages.", "To view it, use an HTML reader"]
    {
        assert_eq!(alternative(plain, html).trim(), "The serial number is 4711.", "{plain}");
    }
    for plain in ["No.", "ok", "The printer shows 4711"] {
        assert_eq!(alternative(plain, html).trim(), plain);
    }
    let empty = "Content-Type: text/html\n\n<p></p>";
    assert_eq!(alternative("Is there HTML?", empty).trim(), "Is there HTML?");
}

#[test]
fn a_footer_below_base64_is_no_part_of_it() {
    let head = "Content-Type: text/plain\nContent-Transfer-Encoding: base64\n\n";
    for footer in ["_____\nlist mailing list\nhttps://x.test/\nbye\n", "-- \nscanned by nobody\n"] {
        assert_eq!(body(&format!("{head}SGVsbG8gQW5u\nLCBob3c/IQ==\n{footer}")).text, "Hello Ann, how?!");
    }
    assert_eq!(
        body(&format!("{head}SGVsbG8gQW5u\nwords in between\nLCBob3c/IQ==\n")).text,
        "Hello Ann, how?!"
    );
}
