//! Reads markup that was made safe, tag by tag, and minds what must not be in it. It reads as strictly as it was written:
//! what it does not understand is a finding.

const REFUSED: [&str; 25] = [
    "script",
    "style",
    "iframe",
    "object",
    "embed",
    "form",
    "input",
    "button",
    "select",
    "svg",
    "math",
    "base",
    "meta",
    "link",
    "video",
    "audio",
    "source",
    "template",
    "noscript",
    "title",
    "textarea",
    "plaintext",
    "xmp",
    "frame",
    "frameset",
];

/// Nothing runs, nothing is fetched, nothing leads to a place of our own.
pub(super) fn is_safe(markup: &str) {
    let mut rest = markup;
    while let Some(at) = rest.find('<') {
        rest = tag(&rest[at + 1..], markup);
    }
}

fn tag<'m>(inside: &'m str, all: &str) -> &'m str {
    let is_end = inside.starts_with('/');
    let inside = inside.strip_prefix('/').unwrap_or(inside);
    let length = inside.find(|c: char| !c.is_ascii_alphanumeric()).unwrap_or(inside.len());
    let (name, mut rest) = inside.split_at(length);
    assert!(!name.is_empty() && !REFUSED.contains(&name), "<{name}> in {all:?}");
    while let Some(attribute) = rest.strip_prefix(' ') {
        assert!(!is_end, "an end with attributes in {all:?}");
        let (key, value) = attribute.split_once("=\"").unwrap_or_else(|| panic!("no value in {all:?}"));
        let (value, tail) = value.split_once('"').unwrap_or_else(|| panic!("an open value in {all:?}"));
        attribute_is_safe(name, key, value, all);
        rest = tail;
    }
    rest.strip_prefix('>').unwrap_or_else(|| panic!("an open <{name} in {all:?}"))
}

fn attribute_is_safe(name: &str, key: &str, value: &str, all: &str) {
    let is_word = key.bytes().all(|b| b.is_ascii_lowercase() || b == b'-');
    assert!(is_word && !key.starts_with("on"), "{key:?} in {all:?}");
    let loads = ["style", "srcset", "background", "poster", "action", "formaction", "data", "cite", "ping"];
    assert!(!loads.contains(&key), "{key} in {all:?}");
    let value = value.trim_start().to_ascii_lowercase();
    match key {
        "src" => assert!(name == "img" && value.starts_with("cid:"), "src={value:?} in {all:?}"),
        "href" => {
            let leads = ["http://", "https://", "http:", "https:", "mailto:", "tel:"];
            assert!(leads.iter().any(|l| value.starts_with(l)), "href={value:?} in {all:?}");
        }
        _ => {}
    }
}
