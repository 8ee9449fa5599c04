//! HTML of a mail for a screen: only what shows words and pictures of the mail itself. Nothing in it runs, and nothing in
//! it reaches out: pictures from elsewhere, which tell their owner when and where they are looked at, are off.

use std::borrow::Cow;
use std::collections::HashSet;

use super::html;

/// Longer pages, and pages of more tags, are shown as text: a browser's way to read HTML takes them too long.
const MAX_LENGTH: usize = 1 << 20;
const MAX_TAGS: usize = 20_000;
/// Elements within elements.
const MAX_DEPTH: usize = 400;

/// A page that may be put into a page of ours. Pictures of the mail itself keep their `cid:` address.
pub fn safe_html(page: &str) -> String {
    if page.len() > MAX_LENGTH || is_tangled(page) {
        let end = page.floor_char_boundary(MAX_LENGTH);
        return format!("<pre>{}</pre>", ammonia::clean_text(&html::read(&page[..end]).text));
    }
    let mut cleaner = ammonia::Builder::default();
    cleaner
        .url_schemes(HashSet::from(["http", "https", "mailto", "tel", "cid"]))
        // A mail has no place of its own: such a link would lead into ours.
        .url_relative(ammonia::UrlRelative::Deny)
        .link_rel(Some("noopener noreferrer nofollow"))
        .add_generic_attributes(["align", "dir"])
        .add_tags(["font", "center"])
        .attribute_filter(|element, attribute, value| match (element, attribute) {
            ("img", "src") => Some(link(value)).filter(|url| is_in_the_mail(url)),
            // No other attribute loads anything by itself.
            ("img", "srcset") => None,
            (_, "cite") => None,
            (_, "href") => Some(link(value)).filter(|url| !is_in_the_mail(url)),
            _ => Some(Cow::Borrowed(value)),
        });
    cleaner.clean(page).to_string()
}

/// A part of the mail itself (RFC 2392).
fn is_in_the_mail(url: &str) -> bool {
    url.get(..4).is_some_and(|scheme| scheme.eq_ignore_ascii_case("cid:"))
}

/// A URL as browsers read it: line ends within it are nothing to them, nor is what stands in front of its first letter.
fn link(url: &str) -> Cow<'_, str> {
    let url = url.trim_start_matches(|c: char| c.is_whitespace() || c.is_control());
    match url.contains(char::is_control) {
        true => Cow::Owned(url.replace(char::is_control, "")),
        false => Cow::Borrowed(url),
    }
}

/// More tags, or a deeper nesting, than anybody writes.
fn is_tangled(page: &str) -> bool {
    let bytes = page.as_bytes();
    let (mut depth, mut deepest) = (0_usize, 0);
    let mut tags = 0;
    for at in memchr::memchr_iter(b'<', bytes) {
        match bytes.get(at + 1) {
            Some(b'/') => depth = depth.saturating_sub(1),
            Some(b) if b.is_ascii_alphabetic() => {
                let is_void =
                    ["br", "img", "hr", "meta", "input", "link", "p", "col", "wbr"].iter().any(|name| {
                        let end = at + 1 + name.len();
                        bytes[at + 1..].len() > name.len()
                            && bytes[at + 1..end].eq_ignore_ascii_case(name.as_bytes())
                            && !bytes[end].is_ascii_alphanumeric()
                    });
                depth += usize::from(!is_void);
            }
            _ => {}
        }
        tags += 1;
        deepest = deepest.max(depth);
    }
    tags > MAX_TAGS || deepest > MAX_DEPTH
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_harmless_stays() {
        for page in [
            "<p>Hello <b>there</b></p>",
            "<table><tbody><tr><td>1</td></tr></tbody></table>",
            "<blockquote cite=\"mid:1\">old</blockquote>",
            "<img alt=\"our logo\" src=\"cid:logo@x.test\">",
        ] {
            let expected = page.replace(" cite=\"mid:1\"", "");
            assert_eq!(safe_html(page), expected);
        }
    }

    #[test]
    fn what_browsers_do_not_see_of_a_link_goes() {
        let safe = safe_html("<a href=\"\u{1f} \u{1}mailto:ann@x.test\">x</a>");
        assert!(safe.contains("href=\"mailto:ann@x.test\""), "{safe}");
        assert!(!safe_html("<a href=\"\u{1f}CID:a\">x</a>").to_lowercase().contains("cid:"));
        assert_eq!(safe_html("<img src=\"\u{1f}cid:a\">"), "<img src=\"cid:a\">");
        let safe = safe_html("<a href=\"ma\r\nilto:ann\t@x.test\">x</a>");
        assert!(safe.contains("href=\"mailto:ann@x.test\""), "{safe}");
        assert!(!safe_html("<a href=\"c\nid:a\">x</a>").contains("id:a"));
        assert!(!safe_html("<a href=\"java\nscript:alert(1)\">x</a>").contains("script"));
    }

    #[test]
    fn what_runs_or_reaches_out_is_gone() {
        for page in [
            "<script>alert(1)</script>",
            "<img src=x onerror=alert(1)>",
            "<img src=\"https://tracker.test/p.gif?who=ann\" width=1 height=1>",
            "<img srcset=\"https://tracker.test/a 1x\">",
            "<img src=\"data:image/svg+xml,<svg onload=alert(1)>\">",
            "<a href=\"javascript:alert(1)\">x</a>",
            "<div style=\"background:url(https://tracker.test/b)\">x</div>",
            "<style>@import 'https://tracker.test/c'</style>",
            "<link rel=stylesheet href=https://tracker.test/d>",
            "<iframe src=https://tracker.test/e></iframe>",
            "<object data=https://tracker.test/f></object><embed src=https://tracker.test/g>",
            "<video poster=https://tracker.test/h src=https://tracker.test/i></video>",
            "<body background=https://tracker.test/j>x</body>",
            "<table background=https://tracker.test/k><tr><td background=https://tracker.test/l>x</td></tr></table>",
            "<svg><script>alert(1)</script><image href=https://tracker.test/m></svg>",
            "<form action=https://tracker.test/n><input name=password></form>",
            "<base href=https://tracker.test/><meta http-equiv=refresh content='0;url=https://tracker.test/o'>",
            "<math><mtext><style><img src=x onerror=alert(1)></style></mtext></math>",
            "<a href=\"/tracker.test/p\">x</a><a href=\"//tracker.test/q\">x</a><a href=\"?tracker.test\">x</a>",
            "<noscript><p title=\"</noscript><img src=x onerror=alert(1)>\">",
        ] {
            let safe = safe_html(page).to_ascii_lowercase();
            for trace in [
                "tracker.test",
                "alert",
                "onerror",
                "<script",
                "<style",
                "<form",
                "<input",
                "<iframe",
                "<base",
                "<meta",
            ] {
                // What was text, or an attribute's, may stay as words.
                let is_words =
                    trace == "alert" && safe.contains("&lt;") || trace == "onerror" && safe.contains("&lt;");
                assert!(is_words || !safe.contains(trace), "{page} became {safe}");
            }
        }
    }

    #[test]
    fn a_tangle_is_shown_as_text() {
        for tangle in [
            "<div>".repeat(50_000),
            "<b><a><p>".repeat(20_000),
            "<table><tr><td>".repeat(5000),
            "<".repeat(1 << 21),
        ] {
            assert!(safe_html(&format!("{tangle}words")).starts_with("<pre>"));
        }
    }
}
