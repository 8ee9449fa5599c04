//! Phrases that are looked for together, in one pass over a text however many they are.
//!
//! Nearly every mail holds none of a list, and each line of it may be asked: what a list costs is then one search
//! instead of one for each phrase.

use aho_corasick::{AhoCorasick, AhoCorasickKind, Anchored, Input};

#[derive(Debug)]
pub struct Phrases {
    list: Vec<&'static str>,
    any: AhoCorasick,
}

impl Phrases {
    /// Compared to the letter: the lists are lower case, and so must be the texts.
    pub fn new(list: impl IntoIterator<Item = &'static str>) -> Phrases {
        // Full tables for all lists together would be some megabytes.
        Phrases::of_kind(list, AhoCorasickKind::ContiguousNFA)
    }

    /// The same by a full table, half a megabyte or so, which is twice as fast: for a list that whole texts are asked for.
    pub fn of_texts(list: impl IntoIterator<Item = &'static str>) -> Phrases {
        Phrases::of_kind(list, AhoCorasickKind::DFA)
    }

    fn of_kind(list: impl IntoIterator<Item = &'static str>, kind: AhoCorasickKind) -> Phrases {
        let list: Vec<&str> = list.into_iter().collect();
        let any = AhoCorasick::builder().kind(Some(kind)).build(&list).expect("lists of phrases are short");
        Phrases { list, any }
    }

    /// Whether one of them stands in the text.
    pub fn are_in(&self, text: &str) -> bool {
        self.any.is_match(text)
    }

    /// Whether the text begins with one of them.
    pub fn begin(&self, text: &str) -> bool {
        self.any.is_match(Input::new(text).anchored(Anchored::Yes))
    }

    /// Of those that stand in the text the first of the list, wherever in the text it is.
    pub fn first_in(&self, text: &str) -> Option<&'static str> {
        self.are_in(text).then(|| self.list.iter().find(|phrase| text.contains(**phrase)).copied()).flatten()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_of_the_list_is_found_wherever_it_stands() {
        let phrases = Phrases::new(["b.c", "a", "日本"]);
        for (text, first) in [
            ("a b.c", Some("b.c")),
            ("bxc a", Some("a")),
            ("bxc", None),
            ("", None),
            ("in 日本", Some("日本")),
            ("A", None),
        ] {
            assert_eq!(phrases.first_in(text), first, "{text}");
            assert_eq!(phrases.are_in(text), first.is_some(), "{text}");
        }
        assert!(!Phrases::new([]).are_in("anything"));
        assert!(
            phrases.begin("a b")
                && phrases.begin("日本に")
                && !phrases.begin("in 日本")
                && !phrases.begin("")
        );
        assert!(Phrases::of_texts(["b.c", "a"]).are_in("bxc a"));
    }
}
