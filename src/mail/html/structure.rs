//! Elements by which mail programs tell what is quoted and what signs, with their names as data. Names are looked for
//! anywhere in a tag's attributes: webmail that passes a mail on puts its own prefix in front (`x_gmail_signature`).

use std::sync::LazyLock;

use regex::Regex;

use super::super::quoting::Role;

/// What an element with such a name is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mark {
    /// All that is in it.
    Inside(Role),
    /// All from here on.
    FromHere,
    /// All from here on, if it holds header lines: a line above them.
    Headers,
}

const NAMES: &[(&str, Mark)] = &[
    // Yahoo, also in the longer names of its newer pages.
    ("yahoo_quoted", Mark::Inside(Role::Quoted)),
    // Proton, Tutanota, Zoho, Freshdesk, Front, Spark, mail.ru, GMX and WEB.DE, Outlook for Mac, BlackBerry, HubSpot.
    ("protonmail_quote", Mark::Inside(Role::Quoted)),
    ("tutanota_quote", Mark::Inside(Role::Quoted)),
    ("zmail_extra", Mark::Inside(Role::Quoted)),
    ("freshdesk_quote", Mark::Inside(Role::Quoted)),
    ("front-blockquote", Mark::Inside(Role::Quoted)),
    ("messagereplysection", Mark::Inside(Role::Quoted)),
    ("mail-quote-collapse", Mark::Inside(Role::Quoted)),
    ("name=\"quote\"", Mark::Inside(Role::Quoted)),
    ("olk_src_body_section", Mark::Inside(Role::Quoted)),
    ("_originalcontent", Mark::Inside(Role::Quoted)),
    ("hs_reply", Mark::Inside(Role::Quoted)),
    ("missive_quote", Mark::Inside(Role::Quoted)),
    ("ms-outlook-mobile-reference-message", Mark::Inside(Role::Quoted)),
    ("mail-editor-reference-message-container", Mark::Inside(Role::Quoted)),
    // Thunderbird, Airmail, Roundcube, Gmail.
    ("moz-cite-prefix", Mark::Inside(Role::Attribution)),
    ("airmail_on", Mark::Inside(Role::Attribution)),
    ("airmail_ext_on", Mark::Inside(Role::Attribution)),
    ("reply-intro", Mark::Inside(Role::Attribution)),
    ("gmail_attr", Mark::Inside(Role::Attribution)),
    // Outlook on the web, Hotmail, Zimbra.
    ("divrplyfwdmsg", Mark::FromHere),
    ("appendonsend", Mark::FromHere),
    ("stopspelling", Mark::FromHere),
    ("zwchr", Mark::FromHere),
    // Outlook, Windows Mail.
    ("border-top:solid", Mark::Headers),
    ("border-top: solid", Mark::Headers),
    ("border-top-style: solid", Mark::Headers),
    ("border-top-style:solid", Mark::Headers),
    ("outlookmessageheader", Mark::Headers),
    ("gmail_signature", Mark::Inside(Role::Signature)),
    ("moz-signature", Mark::Inside(Role::Signature)),
    ("protonmail_signature_block", Mark::Inside(Role::Signature)),
    ("applemailsignature", Mark::Inside(Role::Signature)),
    ("ms-outlook-mobile-signature", Mark::Inside(Role::Signature)),
    ("messagesignaturesection", Mark::Inside(Role::Signature)),
    ("yahoo-signature", Mark::Inside(Role::Signature)),
    ("yahoo_signature", Mark::Inside(Role::Signature)),
    ("zmail_signature", Mark::Inside(Role::Signature)),
    ("tutanota_signature", Mark::Inside(Role::Signature)),
    ("data-signatureblock", Mark::Inside(Role::Signature)),
    ("data-smartmail=\"gmail_signature\"", Mark::Inside(Role::Signature)),
    ("bloop_sign", Mark::Inside(Role::Signature)),
    // Zimbra, HubSpot, Front, K-9 and Thunderbird on telephones, mail.ru.
    ("__sig_pre__", Mark::Inside(Role::Signature)),
    ("__sig_post__", Mark::Inside(Role::Signature)),
    ("hs_signature", Mark::Inside(Role::Signature)),
    ("front-signature", Mark::Inside(Role::Signature)),
    ("missive_signature", Mark::Inside(Role::Signature)),
    ("k9mail-signature", Mark::Inside(Role::Signature)),
    ("data-signature-widget=\"container\"", Mark::Inside(Role::Signature)),
    ("composer_signature", Mark::Inside(Role::Signature)),
    ("id=\"signature\"", Mark::Inside(Role::Signature)),
    ("class=\"signature\"", Mark::Inside(Role::Signature)),
];

/// One search for all names: made once, and without the cost of trying each.
static ANY: LazyLock<Option<Regex>> = LazyLock::new(|| {
    let names: Vec<String> = NAMES.iter().map(|(name, _)| regex::escape(name)).collect();
    Regex::new(&format!("(?i-u:{})", names.join("|"))).ok()
});

/// What a tag with these attributes marks. An attribute as long as a page is no mark.
pub(super) fn mark(attributes: &str) -> Option<Mark> {
    if !(5..=4096).contains(&attributes.len()) {
        return None;
    }
    let found = ANY.as_ref()?.find(attributes)?.as_str();
    NAMES.iter().find(|(name, _)| name.eq_ignore_ascii_case(found)).map(|(_, mark)| *mark)
}

/// Whether a blockquote quotes: many programs only indent with it.
pub(super) fn is_quote(attributes: &str) -> bool {
    let near = attributes[..attributes.floor_char_boundary(2048)].to_ascii_lowercase();
    near.contains("cite") || near.contains("quote") || near.contains("border-left")
}

static HIDDEN: LazyLock<Option<Regex>> = LazyLock::new(|| Regex::new(r"(?i-u:display\s*:\s*none)").ok());

/// Whether nobody sees what is in an element with these attributes: the first lines of newsletters, made for the list of
/// mails only, and what is meant for filters.
pub(super) fn is_hidden(name: &str, attributes: &str) -> bool {
    const EMPTY: &[&str] = &["img", "br", "hr", "input", "meta", "link", "col", "area", "wbr", "source"];
    (12..=4096).contains(&attributes.len())
        && !attributes.ends_with('/')
        && HIDDEN.as_ref().is_some_and(|hidden| hidden.is_match(attributes))
        && !EMPTY.contains(&name)
}

/// Header lines of a quoted mail, in whatever language: two or more that begin with a short name and a colon.
pub(super) fn are_headers(text: &str) -> bool {
    let is_header = |line: &&str| {
        let near = &line[..line.floor_char_boundary(40)];
        near.find([':', '：']).is_some_and(|at| at > 0 && line[..at].split_whitespace().count() <= 3)
    };
    let lines = text.lines().filter(|l| !l.trim().is_empty()).take(12);
    lines.clone().count() < 12
        && lines.clone().filter(is_header).count() >= 2
        && lines.take(1).any(|l| is_header(&l))
}

/// Whether a text that is called plain is a page: some programs mislabel it.
pub(in crate::mail) fn is_page(text: &str) -> bool {
    let text = text.trim_start_matches(['\u{feff}', ' ', '\t', '\r', '\n']);
    if !text.starts_with('<') {
        return false;
    }
    let head = text[..text.floor_char_boundary(512)].to_ascii_lowercase();
    let name_end =
        head[1..].find(|c: char| !c.is_ascii_alphanumeric() && c != '!').map_or(head.len(), |at| at + 1);
    match &head[1..name_end] {
        "!doctype" => head.contains("html"),
        "html" | "head" | "body" | "meta" => true,
        name @ ("div" | "p" | "table" | "span" | "font" | "center" | "style") => {
            let tail = &text[text.ceil_char_boundary(text.len().saturating_sub(512))..];
            let tail = tail.trim_end().to_ascii_lowercase();
            tail.ends_with('>')
                && (text.contains(&format!("</{name}>")) || text.contains("<br"))
                && tail.contains("</")
        }
        _ => false,
    }
}
