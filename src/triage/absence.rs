//! Automatic answers whose header says nothing: by their subject, or by their first words, in the languages of their
//! programs. Data, and careful: a person who writes that he is away has written a mail.

use std::sync::LazyLock;

use crate::mail::Message;
use crate::mail::phrases::Phrases;

/// How programs begin the subject of an automatic answer, lower case; a colon or the like must follow.
const SUBJECTS: &[&str] = &[
    "automatic reply",
    "automatic response",
    "automatic answer",
    "automated reply",
    "automated response",
    "auto reply",
    "auto-reply",
    "autoreply",
    "auto response",
    "auto-response",
    "auto responder",
    "autoresponder",
    "autoresponse",
    "out of office",
    "out of office reply",
    "out of office autoreply",
    "out of office auto-reply",
    "out of office: automatic reply",
    "out of the office",
    "out-of-office",
    "ooo",
    "away from my mail",
    "vacation",
    "vacation reply",
    "automatische antwort",
    "automatische antwoord",
    "automatisch antwoord",
    "automatisches antwortschreiben",
    "abwesenheitsnotiz",
    "abwesenheitsmeldung",
    "abwesenheit",
    "abwesend",
    "afwezigheidsbericht",
    "afwezig",
    "niet aanwezig",
    "réponse automatique",
    "reponse automatique",
    "message d'absence",
    "absence du bureau",
    "absent du bureau",
    "respuesta automática",
    "respuesta automatica",
    "fuera de la oficina",
    "fuera de oficina",
    "resposta automática",
    "resposta automatica",
    "fora do escritório",
    "ausência temporária",
    "risposta automatica",
    "fuori ufficio",
    "fuori sede",
    "assente dall'ufficio",
    "autosvar",
    "automatiskt svar",
    "automatisk svar",
    "frånvaromeddelande",
    "frånvarande",
    "fraværsmelding",
    "ikke til stede",
    "automaattinen vastaus",
    "poissaoloviesti",
    "odpowiedź automatyczna",
    "automatyczna odpowiedź",
    "autoodpowiedź",
    "automatická odpověď",
    "automatická odpoveď",
    "automatikus válasz",
    "házon kívül",
    "răspuns automat",
    "automātiska atbilde",
    "automātiskā atbilde",
    "automatiska atbilde",
    "automatinis atsakymas",
    "automaatvastus",
    "otomatik yanıt",
    "otomatik cevap",
    "автоматический ответ",
    "автоматична відповідь",
    "автоответ",
    "вне офиса",
    "αυτόματη απάντηση",
    "מענה אוטומטי",
    "رد تلقائي",
    "自動返信",
    "自動応答",
    "不在通知",
    "自动答复",
    "自动回复",
    "自動回覆",
    "자동 회신",
    "자동 응답",
    "trả lời tự động",
];

/// Of these, words that people write about too: a program is believed only where something bears it out.
const TOPICS: &[&str] = &[
    "out of office",
    "out of the office",
    "out-of-office",
    "ooo",
    "away from my mail",
    "vacation",
    "abwesenheit",
    "abwesend",
    "afwezig",
    "niet aanwezig",
    "absence du bureau",
    "absent du bureau",
    "fuera de la oficina",
    "fuera de oficina",
    "fora do escritório",
    "ausência temporária",
    "fuori ufficio",
    "fuori sede",
    "assente dall'ufficio",
    "frånvarande",
    "ikke til stede",
    "házon kívül",
    "вне офиса",
];

/// Sentences of somebody who is away, lower case: one of them among the first words …
const AWAY: &[&str] = &[
    "i am out of office",
    "i am out of the office",
    "i'm out of the office",
    "i'm out of office",
    "i am currently out of",
    "i'm currently out of",
    "i will be out of the office",
    "i will be out of office",
    "i am currently away",
    "i am away from",
    "i am away on",
    "i am away until",
    "i am on vacation",
    "i am on annual leave",
    "i am on holiday",
    "i am on leave",
    "i am on maternity leave",
    "ich bin derzeit nicht",
    "ich bin zur zeit nicht",
    "ich bin momentan nicht",
    "ich bin bis zum",
    "ich bin nicht im büro",
    "ich bin im urlaub",
    "je suis absent",
    "je suis actuellement absent",
    "je suis en congé",
    "je suis actuellement en congé",
    "estoy fuera de la oficina",
    "estaré fuera de la oficina",
    "me encuentro fuera",
    "estoy de vacaciones",
    "estou fora do escritório",
    "estou de férias",
    "estarei ausente",
    "sono fuori ufficio",
    "sono fuori sede",
    "sarò fuori ufficio",
    "sono in ferie",
    "sono assente",
    "ik ben niet aanwezig",
    "ik ben afwezig",
    "ik ben momenteel niet",
    "ik ben op vakantie",
    "jag är inte på kontoret",
    "jag är på semester",
    "jag är tjänstledig",
    "jeg er på ferie",
    "jeg er ikke på kontoret",
    "jeg er ute av kontoret",
    "olen lomalla",
    "olen poissa",
    "jestem poza biurem",
    "przebywam na urlopie",
    "jestem na urlopie",
    "nejsem v kanceláři",
    "jsem na dovolené",
    "szabadságon vagyok",
    "sunt în concediu",
    "esmu atvaļinājumā",
    "ofis dışındayım",
    "izindeyim",
    "нахожусь в отпуске",
    "я в отпуске",
    "не в офисе",
    "休暇をいただいて",
    "不在にしており",
    "我正在休假",
    "我目前不在",
];

/// … and one of these, with which a program answers for him.
const ANSWERING: &[&str] = &[
    "thank you for your e-mail",
    "thank you for your email",
    "thank you for your mail",
    "thank you for your message",
    "thanks for your email",
    "thanks for your e-mail",
    "thanks for your message",
    "thank you for contacting",
    "this is an automatic",
    "this is an automated",
    "this is an auto",
    "automatically generated",
    "your email will not be forwarded",
    "your message will not be forwarded",
    "for urgent matters",
    "in urgent cases",
    "limited access to e",
    "no access to e",
    "vielen dank für ihre",
    "danke für ihre",
    "in dringenden fällen",
    "automatisch erstellt",
    "automatisch generiert",
    "nicht weitergeleitet",
    "merci de votre",
    "merci pour votre",
    "en cas d'urgence",
    "message automatique",
    "gracias por su",
    "gracias por tu",
    "mensaje automático",
    "obrigado pelo seu",
    "obrigada pelo seu",
    "mensagem automática",
    "grazie per la",
    "per urgenze",
    "in caso di urgenza",
    "messaggio automatico",
    "bedankt voor uw",
    "dank voor uw",
    "automatisch bericht",
    "tack för ditt",
    "takk for",
    "tak for din",
    "kiitos viesti",
    "dziękuję za",
    "děkuji za",
    "köszönöm",
    "mulțumesc pentru",
    "спасибо за ваше",
    "это автоматическ",
    "自動返信",
    "自动回复",
];

/// What bears a topic out beside `AWAY`, in lower case.
const RETURNING: &[&str] = &[
    "back in the office",
    "return to the office",
    "returning to the office",
    "nicht im büro",
    "nicht im haus",
    "wieder im büro",
    "wieder im haus",
    "wieder erreichbar",
    "de retour",
    "de vuelta",
    "de regreso",
    "terug op kantoor",
    "tornerò",
    "rientrerò",
    "tillbaka",
    "tilbake",
    "tilbage",
];

/// In the first bytes of an answer that says no more than that.
const FIRST_WORDS: usize = 400;

/// Hardly any mail has one, and each is asked.
static AWAY_WORDS: LazyLock<Phrases> = LazyLock::new(|| Phrases::of_texts(AWAY.iter().copied()));

/// The evidence that a program answered for somebody.
pub fn evidence(message: &Message) -> Option<String> {
    by_subject(message).or_else(|| by_words(message))
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
        let is_closed = behind.is_empty() || behind.starts_with([':', '：', ']', ')', '"', '-', '】', '>']);
        is_closed && (at == 0 || (behind.starts_with(':') && !said[..at].contains(':')))
    };
    let is_believed = |words: &&&str| !TOPICS.contains(words) || is_borne_out(message);
    let words = SUBJECTS.iter().find(|words| is_said(words) && is_believed(words))?;
    Some(format!("the subject begins with {words:?}"))
}

/// Outlook in some languages puts whose answer it is in front: `Anna automātiska atbilde: subject`.
fn may_follow_name(words: &str) -> bool {
    words.ends_with("atbilde")
}

/// It answers a mail, says nothing else, or says so in its first words.
fn is_borne_out(message: &Message) -> bool {
    let answers = !message.in_reply_to.is_empty() || !message.references.is_empty();
    let says_so = |words: String| AWAY_WORDS.are_in(&words) || RETURNING.iter().any(|r| words.contains(r));
    answers || message.text.trim().is_empty() || first_words(message).is_some_and(says_so)
}

fn by_words(message: &Message) -> Option<String> {
    let first = first_words(message)?;
    let away = AWAY_WORDS.first_in(&first)?;
    let answering = ANSWERING.iter().find(|words| first.contains(**words))?;
    Some(format!("its words: {away:?}, {answering:?}"))
}

/// In lower case, on one line. None where they ask: whoever asks is no program.
fn first_words(message: &Message) -> Option<String> {
    let mut end = message.text.len().min(FIRST_WORDS);
    while !message.text.is_char_boundary(end) {
        end -= 1;
    }
    if message.text[..end].contains('?') {
        return None;
    }
    let first = message.text[..end].to_lowercase().replace('’', "'");
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
        ] {
            assert!(said("Re: your order", text), "{text}");
        }
    }

    #[test]
    fn a_topic_is_an_answer_where_something_bears_it_out() {
        assert!(said("Out of Office: I like turtles", "I am away on vacation, Monday to Friday."));
        assert!(said("Vacation", ""));
        assert!(said("Fuori sede: R: ordine", "Sono fuori sede."));
        assert!(said("Abwesenheit: Ihre Bestellung", "Guten Tag, ich bin im Urlaub."));
        let answer = Message {
            subject: "OOO: your order".into(),
            text: "Back on Monday.".into(),
            in_reply_to: vec![crate::mail::MessageId::parse("1@desk.test").unwrap()],
            ..Message::default()
        };
        assert!(evidence(&answer).is_some());
        assert!(TOPICS.iter().all(|words| SUBJECTS.contains(words)));
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
        ] {
            assert!(!said(subject, text), "{subject} {text}");
        }
    }
}
