//! Phrases that are looked for together, in one pass over a text however many they are.
//!
//! Nearly every mail holds none of a list, and each line of it may be asked: what a list costs is then one search
//! instead of one for each phrase.

use aho_corasick::AhoCorasick;

#[derive(Debug)]
pub struct Phrases {
    list: Vec<&'static str>,
    any: AhoCorasick,
}

impl Phrases {
    /// Compared to the letter: the lists are lower case, and so must be the texts.
    pub fn new(list: impl IntoIterator<Item = &'static str>) -> Phrases {
        let list: Vec<&str> = list.into_iter().collect();
        let any = AhoCorasick::new(&list).expect("lists of phrases are short");
        Phrases { list, any }
    }

    /// Whether one of them stands in the text.
    pub fn are_in(&self, text: &str) -> bool {
        self.any.is_match(text)
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
    }
}
