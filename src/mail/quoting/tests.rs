use super::*;
use proptest::prelude::*;

/// Words and signature of a text.
fn told(text: &str) -> (String, String) {
    let split = split(text, &[]);
    check(text, &split);
    (split.visible, split.signature)
}

/// Nothing is lost, and nothing is there twice.
fn check(text: &str, split: &Split) {
    let mut end = 0;
    for piece in &split.pieces {
        assert!(
            piece.start == end && piece.end >= piece.start && text.is_char_boundary(piece.end),
            "{piece:?} of {text:?}"
        );
        end = piece.end;
    }
    assert_eq!(end, text.len(), "{text:?}");
}

#[test]
fn new_words_stand_alone() {
    for (text, words, signature) in [
        ("Hello\r\nthere\r\n", "Hello\nthere", ""),
        ("Thanks!\n\nOn Mon, 2 Nov 2026, Ann <a@x.test> wrote:\n> old\n>\n> words\n", "Thanks!", ""),
        ("Thanks!\n\nOn Mon, 2 Nov 2026 at 10:00, Ann\n<a@x.test> wrote:\n\n> old\n", "Thanks!", ""),
        ("Danke\n\nAm 2. November 2026 schrieb Ann:\n> alt\n", "Danke", ""),
        ("Thanks\nAnn wrote:\n> old\n", "Thanks", ""),
        ("Thanks\n\n>>> Ann <a@x.test> 11/2/2026 10:00 AM >>>\nold\n", "Thanks", ""),
        ("Thanks\n\n>>> Ann <a@x.test> 02.11.2026 10:00 >>>\n> old\n", "Thanks", ""),
        ("Type:\n>>> x = 2026\n>>> x\nas shown.", "Type:\n>>> x = 2026\n>>> x\nas shown.", ""),
        ("See my answers:\n> one\nyes\n> two\nno", "See my answers:\n> one\nyes\n> two\nno", ""),
        ("The log says:\n> panic", "The log says:", ""),
        ("Yes\n-- \nBob\nExample Ltd\n", "Yes", "Bob\nExample Ltd"),
        ("Yes\n-- \nBob\n\nOn 2 Nov 2026, Ann wrote:\n> old\n> -- \n> Ann", "Yes", "Bob"),
        ("> old\n\nYes, both.\n-- \nBob", "> old\n\nYes, both.", "Bob"),
        ("> only\n> old", "> only\n> old", ""),
        ("-- \nBob", "--\nBob", ""),
        ("", "", ""),
    ] {
        assert_eq!(told(text), (words.to_owned(), signature.to_owned()), "{text:?}");
    }
}

proptest! {
    #[test]
    fn every_text_is_split_without_loss(
        text in "(?s)(> ?|-- ?|On 2 Nov|wrote:|From: a@b.test|Sent: 1.2.2026|____|\n|\n\n|é|写道：|[a-z ]{0,9}){0,60}"
    ) {
        check(&text, &split(&text, &[]));
    }
}
