use super::*;
use proptest::prelude::*;

/// Words and signature of a text.
fn told(text: &str) -> (String, String) {
    told_as(Relation::Answer, text)
}

fn told_as(relation: Relation, text: &str) -> (String, String) {
    let split = split(text, &[], relation);
    check(text, &split);
    (split.visible, split.signature)
}

fn bare(text: &str) -> Vec<&str> {
    text.lines().filter(|l| !l.is_empty()).collect()
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
        // Yahoo's quotation begins behind the colon.
        ("Yes\n\nOn 2 Nov 2026 at 10:00, Ann<a@x.test> wrote:   Does it?\nAnn", "Yes", ""),
        // Direction marks around what programs for Hebrew and Arabic write.
        (
            "כן\n\n\u{202b}בתאריך יום ב׳, 2 בנוב׳ 2026 ב-10:00 מאת \u{202a}Ann\u{202c}\u{200f} <\u{202a}a@x.test\u{202c}\u{200f}>:\u{202c}\n\n> old",
            "כן",
            "",
        ),
        // Jira's line, and Zendesk's in a tongue that no table knows.
        ("Yes\n\n—-—-—-—\nReply above this line.\n\nAnn commented:\nold", "Yes", ""),
        ("Yes\n\n##- Andika jibu lako juu ya mstari huu -##\n\nold", "Yes", ""),
        ("Yes\n\n‐‐‐‐‐‐‐ Original Message ‐‐‐‐‐‐‐\nOn 2 Nov 2026, Ann <a@x.test> wrote:\n\n> old", "Yes", ""),
        ("Yes\n\n[Please type your reply above this line]\n\nold", "Yes", ""),
        (
            "Yes\n\n---Vorig---\nFrom: \"Ann\"<a@x.test>\nDate: Mon, 2 Nov 2026 10:00\nSubject: x\n\nold",
            "Yes",
            "",
        ),
        (
            "Yes\n\n---- 回复的原邮件 ----\n| 发件人 | Ann<a@x.test> |\n| 日期 | 2026年11月2日 |\nold",
            "Yes",
            "",
        ),
        (
            "Yes\n\nAnn ---11/02/2026 10:00:00 AM---Does it?\n\nFrom: Ann\nTo: Bob\nDate: 11/02/2026 10:00\n\nold",
            "Yes",
            "",
        ),
        // A tongue that no table knows.
        (
            "Sawa.\n\nKutoka: Desk <d@x.test>\nIliyotumwa: 2 Novemba 2026 10:00\nKwa: Ada\nMada: RE: x\n\nold",
            "Sawa.",
            "",
        ),
        (
            "Mine:\n\nPhone: 4711\nAddress: a@x.test\nWhen: 2 Novemba 2026 10:00\nWhat: x",
            "Mine:\n\nPhone: 4711\nAddress: a@x.test\nWhen: 2 Novemba 2026 10:00\nWhat: x",
            "",
        ),
        // Somebody's own words about what was said.
        (
            "Sirs,\n\nyour Ann wrote on 2 March 2026:\n\nWe pay.\n\nWhen?",
            "Sirs,\n\nyour Ann wrote on 2 March 2026:\n\nWe pay.\n\nWhen?",
            "",
        ),
        (
            "Sirs,\n\nHerr Ray schrieb am 2.11.2026:\n\nBald.\n\nWann?",
            "Sirs,\n\nHerr Ray schrieb am 2.11.2026:\n\nBald.\n\nWann?",
            "",
        ),
        (
            "On 2 March 2026 you said:\nit takes two days.",
            "On 2 March 2026 you said:\nit takes two days.",
            "",
        ),
        (
            "Sirs,\n\non 2 March 2026 you wrote:\n\nWe pay.\n\nWhen?",
            "Sirs,\n\non 2 March 2026 you wrote:\n\nWe pay.\n\nWhen?",
            "",
        ),
        ("> only\n> old", "> only\n> old", ""),
        ("-- \nBob", "--\nBob", ""),
        ("", "", ""),
    ] {
        assert_eq!(told(text), (words.to_owned(), signature.to_owned()), "{text:?}");
    }
}

#[test]
fn words_below_a_closing_stay() {
    for below in [
        "PS: cancel order 4712, too",
        "P.S. Bitte auch 4712 stornieren",
        "ps auch 4712",
        "PPS: one more",
        "PD: también 4712",
        "NB: 4712, too",
        "PS : aussi 4712",
        "Example Ltd\n\nIs the refund paid at once?",
        "is this right? (or not?)",
        "Please print it in blue, 100 copies.",
        "but I know no Ann. Was this\nfor somebody else?\n\nBob",
    ] {
        for closing in ["Best regards,", "Viele Grüße", "Mit freundlichen Grüßen / Kind regards"] {
            let text = format!("Please cancel.\n\n{closing}\nAnn\n\n{below}");
            assert_eq!(told(&text), (text.clone(), String::new()));
        }
        let text = format!("> old\n\nYes.\n\n> older\n\nRegards\nAnn\n\n{below}");
        assert_eq!(told(&text), (text.clone(), String::new()));
    }
    let text = "It says:\n\nSincerely,\nThe Company\nLondon\n\nThat is wrong\n\nRegards\nAnn\nLeeds";
    let (words, signature) = text.split_at(text.find("Regards").unwrap());
    assert_eq!(told(text), (words.trim_end().to_owned(), signature.to_owned()));
}

#[test]
fn closings_begin_signatures() {
    for signature in [
        "Best regards,\nAnn Other\nExample Ltd",
        "Mit besten Grüßen / Best regards\n\ni.A. Ann Other\nEinkauf / Purchasing\n\nExample GmbH",
        "Mit freundlichen Grüßen | Kind regards\n\nAnn\nExample GmbH",
        "Mit freundlichen Grüßen\nKind regards\n\nAnn\nExample GmbH",
        "Viele Grüße\nPD Dr. Ann Other\nKlinik",
        "Regards,\nAnn Other\n+1 555 0100\n\nThis e-mail is confidential and for you alone.",
    ] {
        let text = format!("It is 4711.\n\n{signature}");
        assert_eq!(told(&text), ("It is 4711.".to_owned(), signature.to_owned()));
    }
}

#[test]
fn a_line_between_words_is_no_signature_s() {
    for text in [
        "First question: where is it?\n--\nSecond: can I get an invoice,\nplease?\n--\nThird: opening hours?",
        "Missing:\n\n--\nitem one\nitem two\n--\n\nPlease send them soon",
        "first part\n_____________________________\nsecond part, behind a line\n\nRegards\nAnn",
        "Yes.\n--\nAnn\n\nP.S. 4712, too",
        "> old\n\nYes.\n\n> older\n\n--\nAnd when?",
        "Please sign:\n\n________________\nI confirm that order 4711 is cancelled.",
        "Our order:\n\n________________\n12 bolts\n3 nuts",
        "Two problems\n—\nThe hose leaks and the pump is loud.",
        "Part one is done.\n\n----------\n\nPart two takes until Friday, for the paint has to dry.",
    ] {
        assert_eq!(told(text), (text.to_owned(), String::new()));
    }
    for (text, words, signature) in [
        ("Yes\n--\nRegards\nAnn\nLeeds", "Yes", "Regards\nAnn\nLeeds"),
        (
            "Yes\n-- \nAnn\n\n-- \nYou get this as a member of x@lists.test.",
            "Yes",
            "Ann\n\n--\nYou get this as a member of x@lists.test.",
        ),
        (
            "Yes\n_______________\nlist\nhttps://lists.test/x",
            "Yes",
            "_______________\nlist\nhttps://lists.test/x",
        ),
        ("Yes\n__________\nAnn Other\nHead of Sales", "Yes", "__________\nAnn Other\nHead of Sales"),
        (
            "Yes\n__________\nYou get this as a member of the list.\nx@lists.test",
            "Yes",
            "__________\nYou get this as a member of the list.\nx@lists.test",
        ),
        (
            "Yes\n\nSent with [Proton Mail](https://proton.me/mail/home) secure email.",
            "Yes",
            "Sent with [Proton Mail](https://proton.me/mail/home) secure email.",
        ),
    ] {
        assert_eq!(told(text), (words.to_owned(), signature.to_owned()));
    }
}

#[test]
fn answers_below_header_lines_are_new_words() {
    let headers = "From: Desk <d@x.test>\nSent: Monday, March 2, 2026 10:00 AM\nTo: Ann <a@x.test>,\nBob <b@x.test>\n\
                   Subject: Re: order";
    let title = "-----Original Message-----";
    let inline = "> Which number?\n\nIt is 4711.\n\n> And the date?\n\n1 February";
    for (above, below, words) in [
        ("", inline, inline.to_owned()),
        ("See below.", inline, format!("See below.\n\n\n{inline}")),
        ("", "> Which number?\n\nIt is 4711.", "It is 4711.".to_owned()),
        ("See below.", "> Which number?\n> And the date?", "See below.".to_owned()),
        ("See below.", "Which number?\n\n> old\n\nolder", "See below.".to_owned()),
    ] {
        for block in [headers, &format!("{title}\n{headers}"), &format!("{title}\n\n{headers}")] {
            let text = format!("{above}\n\n{block}\n\n{below}");
            assert_eq!(bare(&told(&text).0), bare(&words), "{text}");
        }
    }
    // Nothing but a mail, or a form.
    for text in [
        &format!("{headers}\n\nWhich number?"),
        &format!("{title}\n{headers}\n\nWhich number?"),
        "From: Berlin\nTo: Hamburg\nDate: 3 March\nWhat does it cost?",
    ] {
        assert_eq!(told(text).0, *text);
    }
    let form = "From: Berlin\nTo: Hamburg\nDate: 3 March\n\n> the old mail\n\nWhat does it cost?";
    assert!(told(form).0.starts_with("From: Berlin\nTo: Hamburg"));
}

#[test]
fn an_attribution_may_be_quoted_itself() {
    for (text, words) in [
        (
            "> On 2. Mar 2026, at 10:00, Desk <d@x.test> wrote:\n>\n> Which number?\n\nIt is 4711.",
            "It is 4711.",
        ),
        ("> Am 02.03.2026 um 10:00 schrieb Desk\n> <d@x.test>:\n> Nummer?\n\nEs ist 4711.", "Es ist 4711."),
        (
            "Hi!\n\n> On 2. Mar 2026, Desk <d@x.test> wrote:\n> Which number?\n\nIt is 4711.",
            "Hi!\n\nIt is 4711.",
        ),
        (
            "> On 2. Mar 2026, Desk wrote:\n> One?\nyes\n> Two?\nno",
            "> On 2. Mar 2026, Desk wrote:\n> One?\nyes\n> Two?\nno",
        ),
        ("> On 2. Mar 2026, Desk wrote:\n> One?", "> On 2. Mar 2026, Desk wrote:\n> One?"),
        ("> The date is 2. Mar 2026.\n> Right?\n\nYes.", "> The date is 2. Mar 2026.\n> Right?\n\nYes."),
    ] {
        assert_eq!(bare(&told(text).0), bare(words));
    }
}

#[test]
fn a_mail_that_answers_nothing_is_shown_whole() {
    let headers = "From: Paul <p@x.test>\nSent: Thursday, February 26, 2026 2:02 PM\nSubject: Invoice";
    let signed = "please pay.\n\nBest regards,\nPaul\nExample Ltd";
    for copied in [
        &format!("{headers}\n\n{signed}"),
        &format!("-----Original Message-----\n{headers}\n\n{signed}"),
        &format!("________________________________\n{headers}\n\n{signed}\n-- \nPaul").replace("-- ", "--"),
        &format!("---------- Forwarded message ---------\n{headers}\n\n{signed}"),
        "> Begin forwarded message:\n>\n> From: Paul\n> Subject: Invoice\n>\n> please pay.",
        "On Mon, 2 Nov 2026, Paul <p@x.test> wrote:\n> please pay.\n\nWhat shall I do?\n\nAnn",
        "##- Please type your reply above this line -##\nplease pay.",
    ] {
        for relation in [Relation::Forward, Relation::Own] {
            for words in ["", "FYI\n\n", "Please check this one for me.\n\n"] {
                let whole = format!("{words}{copied}");
                assert_eq!(told_as(relation, &whole), (whole.clone(), String::new()), "{relation:?}");
            }
            let whole = format!("Please check.\n-- \nBob\n\n{copied}");
            let (words, signature) = told_as(relation, &whole);
            assert_eq!(bare(&words), bare(&format!("Please check.\n{copied}")));
            assert_eq!(signature, "Bob");
        }
        let answer = format!("Please check this one for me.\n\n{copied}");
        assert_ne!(told(&answer).0, answer);
    }
    let split = split("See:\n> log\n", &[], Relation::Own);
    assert!(split.is_all_new());
    assert_eq!(split.rules, ["quoted_lines", "answers_nothing"]);
}

#[test]
fn programs_on_telephones_sign_in_many_tongues() {
    for line in [
        "Sent from my iPhone",
        "Odesláno z iPhonu",
        "Odesláno z mobilu",
        "Stáhněte si Outlook pro iOS",
        "Pobierz aplikację Outlook dla systemu iOS",
        "Az iOS-es Outlook letöltése",
        "Poslano iz mojega iPhona",
        "Отправлено из мобильной Яндекс Почты",
        "发自我的iPhone",
        "发自网易邮箱大师",
        "私のiPhoneから送信",
        "ส่งจาก iPhone ของฉัน",
        "أُرسلت من الـ iPhone",
        "Enviat des del meu iPhone",
        "Saadetud minu iPhone'ist",
        "Išsiųsta iš mano iPhone",
        "Nosūtīts no mana iPhone",
    ] {
        assert_eq!(told(&format!("4711\n\n{line}")), ("4711".to_owned(), line.to_owned()));
    }
}

proptest! {
    #[test]
    fn every_text_is_split_without_loss(
        text in "(?s)(> ?|-- ?|On 2 Nov|a@b.test |wrote:|:  |##-|-##|\u{202b}|\u{200f}|From: a@b.test|Sent: 1.2.2026|____|\n|\n\n|é|写道：|[a-z ]{0,9}){0,60}"
    ) {
        for relation in [Relation::Answer, Relation::Forward, Relation::Own] {
            check(&text, &split(&text, &[], relation));
        }
    }
}

#[test]
fn an_attribution_behind_blanks_and_words_is_found_where_it_is() {
    let blanks = "\t".repeat(18);
    let text = format!("{blanks}Thank you. On Wed, 4 Apr 2026 at 15:59, bob@x.test wrote:\n> Hello\n");
    assert_eq!(told(&text).0.trim(), "Thank you.");
    // Nothing in it stands where it stood in the line: characters of several bytes must not be cut.
    let hostile = format!(
        "){blanks}'From:  On \u{fffd}\u{fffd}\u{fffd}25\u{fffd}\u{fffd}\u{fffd}1e:6 at 10 :\u{fffd}e:\n\u{fffd}c d "
    );
    told(&hostile);
}
