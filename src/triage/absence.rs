//! Automatic answers whose header says nothing: by their subject, or by their first words, in the languages of their
//! programs. Data, and careful: a person who writes that he is away has written a mail.

use std::sync::LazyLock;

use self::words::{ANSWERING, AWAY, DATED, RETURNING, SELF, SUBJECTS, TOPICS};
use crate::mail::Message;
use crate::mail::phrases::Phrases;
use crate::mail::quoting::Role;

mod words;

/// In the first bytes of an answer that says no more than that.
const FIRST_WORDS: usize = 400;

/// Hardly any mail has one, and each is asked.
static AWAY_WORDS: LazyLock<Phrases> = LazyLock::new(|| Phrases::new(AWAY.iter().copied()));

static SELF_WORDS: LazyLock<Phrases> = LazyLock::new(|| Phrases::new(SELF.iter().copied()));

/// The evidence that a program answered for somebody.
pub fn evidence(message: &Message) -> Option<String> {
    by_subject(message).or_else(|| by_words(message)).or_else(|| by_itself(message))
}

fn by_subject(message: &Message) -> Option<String> {
    let said = message.subject.trim_start_matches(['[', '(', '"', '*', ' ', '<', '【']).to_lowercase();
    let is_said = |words: &&&str| {
        let at = match said.starts_with(**words) {
            true => 0,
            false if !may_follow_name(words) => return false,
            false => match said.find(**words) {
                Some(at) => at,
                None => return false,
            },
        };
        let behind = said[at + words.len()..].trim_start();
        let is_closed = behind.is_empty()
            || behind.starts_with([':', '：', ']', ')', '"', '-', '】', '>'])
            || ["re:", "aw:", "sv:", "fw:", "fwd:"].iter().any(|prefix| behind.starts_with(prefix));
        is_closed && (at == 0 || (behind.starts_with(':') && !said[..at].contains(':')))
    };
    let topic = || TOPICS.iter().find(is_said).filter(|_| is_borne_out(message));
    let words = topic().or_else(|| SUBJECTS.iter().find(is_said))?;
    Some(format!("the subject begins with {words:?}"))
}

/// Outlook in some languages puts whose answer it is in front: `Anna automātiska atbilde: subject`.
fn may_follow_name(words: &str) -> bool {
    words.ends_with("atbilde")
}

/// It answers a mail, says nothing else, or says so in its first words.
fn is_borne_out(message: &Message) -> bool {
    let says_so = |words: String| AWAY_WORDS.are_in(&words) || RETURNING.iter().any(|r| words.contains(r));
    first_words(message).is_some_and(|words| answers(message) || words.is_empty() || says_so(words))
}

fn by_words(message: &Message) -> Option<String> {
    let first = first_words(message)?;
    let away = AWAY_WORDS.first_in(&first).filter(|away| !DATED.contains(away) || is_dated(&first, away))?;
    let answering = ANSWERING.iter().find(|words| first.contains(**words))?;
    // An answer for somebody has nothing else to ask; and what was quoted nobody says.
    let is_said = !asks(&first) && new_words(message).is_some_and(|new| new.contains(away));
    is_said.then(|| format!("its words: {away:?}, {answering:?}"))
}

/// A day stands right behind these words, or a word behind them.
fn is_dated(first: &str, words: &str) -> bool {
    let behind = first.split_once(words).map_or("", |(_, behind)| behind);
    behind[..behind.floor_char_boundary(12)].contains(|c: char| c.is_ascii_digit())
}

fn by_itself(message: &Message) -> Option<String> {
    if !answers(message) || !SELF_WORDS.are_in(&first_words(message)?) {
        return None;
    }
    let new = new_words(message)?;
    let begins_sentence = |at: usize| {
        let before = new[..at].trim_end_matches([' ', '*', '※', '#', '-', '=', '[', '(']);
        before.is_empty() || before.ends_with(['.', '!', ',', ':', '。', ';'])
    };
    let is_said = |words: &&&str| new.match_indices(**words).any(|(at, _)| begins_sentence(at));
    SELF.iter().find(is_said).map(|words| format!("its words: {words:?}"))
}

fn answers(message: &Message) -> bool {
    !message.in_reply_to.is_empty() || !message.references.is_empty()
}

/// Somebody wants a thing done: `please`, and then no word of those with which an absent person names another.
fn asks(first: &str) -> bool {
    const OTHERS: &[&str] = &[
        "contact",
        "call",
        "email",
        "e-mail",
        "mail",
        "reach",
        "get in touch",
        "note",
        "refer",
        "direct",
        "write",
        "expect",
        "allow",
        "be advised",
        "resend",
        "forward",
        "do not",
        "speak",
        "phone",
        "ring",
        "text",
        "accept",
        "bear",
        "be aware",
        "use",
        "see",
        "visit",
        "feel free",
        "excuse",
        "try",
        "ask",
    ];
    first.match_indices("please ").any(|(at, said)| {
        let rest = &first[at + said.len()..];
        !OTHERS.iter().any(|other| rest.starts_with(other))
    })
}

/// As `first_words`, of what is new in the mail: what somebody quotes to answer it he does not say.
fn new_words(message: &Message) -> Option<String> {
    let pieces = message.split().pieces;
    let new = pieces.iter().filter(|piece| piece.role == Role::New);
    first_words_of(&new.map(|piece| &message.text[piece.start..piece.end]).collect::<String>())
}

/// In lower case, on one line. None where they ask: whoever asks is no program.
fn first_words(message: &Message) -> Option<String> {
    first_words_of(&message.text)
}

fn first_words_of(text: &str) -> Option<String> {
    let first = &text[..text.floor_char_boundary(FIRST_WORDS)];
    if first.contains('?') {
        return None;
    }
    let first = first.to_lowercase().replace('’', "'");
    Some(first.split_whitespace().collect::<Vec<_>>().join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(subject: &str, text: &str) -> bool {
        evidence(&Message { subject: subject.into(), text: text.into(), ..Message::default() }).is_some()
    }

    #[test]
    fn programs_that_answer_for_somebody_are_known_by_their_words() {
        for subject in [
            "Automatic reply: your order",
            "Out of Office: your order",
            "[Auto-Reply] your order",
            "Abwesenheitsnotiz: Ihre Bestellung",
            "Réponse automatique : votre commande",
            "Автоматический ответ: заказ",
            "自動返信：注文",
            "Rīgas biroja automatiska atbilde: pasūtījums",
            "Autosvar",
        ] {
            assert!(said(subject, ""), "{subject}");
        }
        for text in [
            "Thank you for your email.\n\nI am out of the office until Monday.",
            "Vielen Dank für Ihre Nachricht. Ich bin derzeit nicht im Büro.",
            "Bonjour, merci de votre message. Je suis absent jusqu'au 3 mai.",
            "Je suis actuellement absente. En cas d’urgence, contactez max@x.test.",
            "I'm out of the office with limited access to my email. In my absence please call Max.",
            "Vielen Dank für Ihre E-Mail. Ich bin vom 13. bis 20. im Urlaub.",
            "Dank voor uw bericht. Ik ben tot en met 20 oktober met vakantie.",
            "Hej\n\nTak for din mail. Jeg holder ferie til den 20.",
            "Děkuji za Váš e-mail. Do 20. října čerpám dovolenou.",
            "메일 주셔서 감사합니다. 20일까지 휴가 중입니다.",
            "Thanks for reaching out! I'm currently out of office. If this is urgent, ring Max.",
            "I am currently on maternity leave. Max answers any urgent matter.",
        ] {
            assert!(said("Re: your order", text), "{text}");
        }
    }

    #[test]
    fn a_topic_is_an_answer_where_something_bears_it_out() {
        assert!(said("Out of Office: I like turtles", "I am away on vacation, Monday to Friday."));
        assert!(said("Vacation", ""));
        assert!(said("Away from Office Re: your order", "I am currently away from the office."));
        assert!(said("Fuori sede: R: ordine", "Sono fuori sede."));
        assert!(said("Abwesenheit: Ihre Bestellung", "Guten Tag, ich bin im Urlaub."));
        let answer = Message {
            subject: "OOO: your order".into(),
            text: "Back on Monday.".into(),
            in_reply_to: vec![crate::mail::MessageId::parse("1@desk.test").unwrap()],
            ..Message::default()
        };
        assert!(evidence(&answer).is_some());
        let question = Message { text: "Which days may I take?".into(), ..answer };
        assert!(evidence(&question).is_none());
        assert!(!TOPICS.iter().any(|words| SUBJECTS.contains(words)));
        assert!(DATED.iter().all(|words| AWAY.contains(words)));
    }

    #[test]
    fn an_answer_that_says_what_it_is_is_one() {
        let answer = |text: &str| Message {
            subject: "Re: order".into(),
            text: text.into(),
            in_reply_to: vec![crate::mail::MessageId::parse("1@desk.test").unwrap()],
            ..Message::default()
        };
        for (text, is_one) in [
            ("We have your message. This is an automated response.", true),
            ("※このメールは自動返信です。", true),
            ("Ihre Anfrage ist da.\n\nDiese E-Mail wurde automatisch erstellt.", true),
            ("You wrote \"this is an automated message\". May I talk to a person.", false),
            ("OK, thanks.\n\nOn 2 Nov 2026, Desk <d@x.test> wrote:\n> This is an automated message.", false),
            ("This is an automatic door, and it is stuck.", false),
            ("> I am out of the office.\n> Thank you for your message.\n\nOk, I shall wait.", false),
            ("OK, thanks.\n\n> Thank you for your email.\n> I am out of the office.", false),
        ] {
            assert_eq!(evidence(&answer(text)).is_some(), is_one, "{text}");
        }
    }

    #[test]
    fn a_person_who_is_away_writes_himself() {
        for (subject, text) in [
            ("Out of office printer is broken", "It prints nothing."),
            ("Re: Automatic reply: your order", "Then I shall wait."),
            ("Vacation days left", "How many do I have?"),
            ("Vacation: how do I book it", "I want two weeks in July."),
            ("Vacation", "Please enter mine: 3 to 14 May."),
            ("Out of office", "Please set one up for my mailbox from Monday on."),
            (
                "Out of Office: the assistant shows nothing",
                "I am on vacation from Monday. Can you look at it?",
            ),
            ("OOO - feature request", "It should be possible to set it for a group."),
            ("Abwesenheit: Max, 3. Mai", "Max ist krank und kommt heute nicht."),
            ("Question about the automatic reply: where is it set", "See above."),
            ("Delivery", "I am out of the office until Monday. Please deliver on Tuesday."),
            ("Delivery", "Thank you for your email. I am on holiday next week, can you come later?"),
            ("Thanks", "Thank you for your message. It works now."),
            ("Fuori sede: come si imposta", "Vorrei attivarlo."),
            ("Urgent", "For urgent matters we need a number to call."),
            (
                "Re: order",
                "Danke für Ihre Antwort. Ich bin im Urlaub bis zum 20., danach können Sie liefern.",
            ),
            ("Re: order", "Gracias por su respuesta. Estoy de vacaciones; envíen el pedido el día 20."),
            ("Re: order", "Thanks for your email. I am away until Friday, so please deliver on Saturday."),
            ("Order", "This is an automated message, says your shop, and it is wrong."),
            ("Re: order", "Danke für Ihre Nachricht. Ich bin vom Ergebnis enttäuscht."),
            ("Re: order", "Bedankt voor uw bericht. Ik ben tot de conclusie gekomen dat het werkt."),
        ] {
            assert!(!said(subject, text), "{subject} {text}");
        }
    }
}
