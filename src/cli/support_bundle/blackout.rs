//! What is private stands as a pseudonym: the same words the same one within a bundle, and another in each bundle.

use std::sync::LazyLock;

use hmac::{Hmac, Mac as _};
use regex::Regex;
use serde_json::Value;
use sha2::Sha256;

use crate::seal::to_hex;

/// Keys whose text is words of people, whole.
const WORDS: &[&str] = &[
    "subject",
    "from",
    "from_name",
    "sender_name",
    "name_of",
    "message_id",
    "original_message_id",
    "identity",
    "username",
    "login",
    "to",
    "description",
];
/// Keys whose text is from a closed list, and never a person's.
const OURS: &[&str] = &[
    "state",
    "act",
    "code",
    "kind",
    "purpose",
    "table",
    "level",
    "protocol",
    "tls",
    "handled",
    "recipient_state",
    "role",
    "version",
    "engine",
    "schema",
];
/// Shorter words would black out half of every sentence.
const SHORTEST: usize = 3;

/// Anything with an @ between what may stand in an address: more rather than less.
static ADDRESS: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"[^\s<>,;:()\[\]\x22']+@[^\s<>,;:()\[\]\x22']+")
        .expect("the pattern is a constant, and tested")
});

pub struct Blackout {
    key: [u8; 32],
    /// Longest first, so that a part of a name is not replaced before the whole.
    words: Vec<String>,
}

impl Blackout {
    /// `words`: known to be private wherever they stand.
    pub fn new(key: [u8; 32], mut words: Vec<String>) -> Blackout {
        words.retain(|word| word.chars().count() >= SHORTEST);
        words.sort_by(|a, b| b.len().cmp(&a.len()).then(a.cmp(b)));
        words.dedup();
        Blackout { key, words }
    }

    /// In place, all texts of a value; keys stay.
    pub fn apply(&self, value: &mut Value) {
        self.under("", value);
    }

    fn under(&self, key: &str, value: &mut Value) {
        match value {
            Value::String(text) if text.is_empty() => {}
            Value::String(text) if WORDS.contains(&key) => *text = self.pseudonym(text),
            Value::String(_) if OURS.contains(&key) => {}
            Value::String(text) => *text = self.text(text),
            Value::Array(list) => list.iter_mut().for_each(|value| self.under(key, value)),
            Value::Object(object) => object.iter_mut().for_each(|(key, value)| self.under(key, value)),
            _ => {}
        }
    }

    /// A sentence without what is private in it.
    fn text(&self, text: &str) -> String {
        let text = ADDRESS.replace_all(text, |found: &regex::Captures<'_>| self.pseudonym(&found[0]));
        let mut text = text.into_owned();
        for word in &self.words {
            if text.contains(word.as_str()) {
                text = text.replace(word.as_str(), &self.pseudonym(word));
            }
        }
        text
    }

    fn pseudonym(&self, words: &str) -> String {
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.key).expect("HMAC takes keys of any length");
        mac.update(words.trim_matches(['<', '>']).to_lowercase().as_bytes());
        format!("~{}", &to_hex(&mac.finalize().into_bytes())[..10])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_same_words_are_the_same_pseudonym_and_nothing_private_is_left() {
        let blackout = Blackout::new([1; 32], vec!["Jo Doe".into(), "Jo".into(), "hunter".into()]);
        let mut value = json!([
            { "subject": "Printer of Jo", "words": "550 <jo@x.test>: no such user, said jo@x.test; ask Jo Doe" },
            { "to": ["jo@x.test", "Kim"], "state": "hunter", "code": 250, "last_error": "login of \"hunter\" refused" },
        ]);
        blackout.apply(&mut value);
        let text = value.to_string();
        for private in ["jo@x", "Printer", "Jo", "Doe", "Kim", "\\\"hunter"] {
            assert!(!text.contains(private), "{private} in {text}");
        }
        assert!(
            text.contains("no such user")
                && text.contains("\"state\":\"hunter\"")
                && text.contains("refused"),
            "{text}"
        );
        let address = value[1]["to"][0].as_str().unwrap();
        assert_eq!(value[0]["words"].as_str().unwrap().matches(address).count(), 2, "{text}");
        let mut other = json!({ "to": "jo@x.test" });
        Blackout::new([2; 32], vec![]).apply(&mut other);
        assert_ne!(other["to"], address);
    }
}
