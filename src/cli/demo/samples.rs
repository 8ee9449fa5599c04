//! The sample mail: a dozen messages, each with a point. The first ones come out of the blue; the others answer mail that
//! the desk has sent by then, and bear its real tag lines, Message-IDs and return paths.

use crate::clock::Micros;
use crate::mail::Address;
use crate::store::listing::QueueLine;

pub struct Sample {
    pub name: &'static str,
    text: &'static str,
    /// The sample whose ticket it is about, and what we sent there: `answer` or `auto_answer`.
    pub about: Option<(&'static str, &'static str)>,
}

/// What the desk has sent, as far as a sample needs it.
pub struct Sent {
    pub mail: QueueLine,
    pub tag_line: String,
    pub return_path: Option<Address>,
}

macro_rules! samples {
    ($($name:literal = $file:literal $(, about $sample:literal $purpose:literal)?;)+) => {
        /// In the order of their arrival.
        pub const SAMPLES: &[Sample] = &[$(Sample {
            name: $name,
            text: include_str!(concat!("mail/", $file, ".eml")),
            about: samples!(@about $($sample $purpose)?),
        }),+];
    };
    (@about) => { None };
    (@about $sample:literal $purpose:literal) => { Some(($sample, $purpose)) };
}

samples! {
    "new-enquiry" = "new-enquiry";
    "html-only" = "html-only";
    "odd-charset" = "odd-charset";
    "broken-mime" = "broken-mime";
    "oversize" = "oversize";
    "list-mail" = "list-mail";
    // The very same mail, delivered twice.
    "duplicate" = "new-enquiry";
    "reply-by-references" = "reply-by-references", about "new-enquiry" "answer";
    "reply-by-tag" = "reply-by-tag", about "odd-charset" "auto_answer";
    "reply-by-a-stranger" = "reply-by-a-stranger", about "new-enquiry" "answer";
    "out-of-office" = "out-of-office", about "html-only" "answer";
    "bounce" = "bounce", about "broken-mime" "answer";
}

/// What an agent answers between the two deliveries: the sample and the words.
pub const ANSWERS: &[(&str, &str)] = &[
    ("new-enquiry", "Please hold the button on the controller for five seconds.\n\nAgent\n"),
    ("html-only", "You will get a new invoice today.\n\nAgent\n"),
    ("broken-mime", "We are sorry. A new parcel is on its way.\n\nAgent\n"),
];

/// Over the size limit of the demo's mailbox, in lines of base64.
const PAYLOAD_LINES: usize = 18_000;

impl Sample {
    /// Its place in the dozen, from 1.
    pub fn number(&self) -> usize {
        SAMPLES.iter().position(|s| s.name == self.name).map_or(0, |at| at + 1)
    }

    /// The message, as it comes on a day whose time is `now`. The two copies of one mail are the same to the byte.
    pub fn message(&self, now: Micros, sent: Option<&Sent>) -> String {
        let first = SAMPLES.iter().find(|s| s.text == self.text).map_or(1, Sample::number);
        let minutes_ago = (2 * (SAMPLES.len() + 1 - first)) as i64;
        let mut text =
            self.text.replace("@DATE@", &rfc5322(Micros(now.0 - minutes_ago * 60 * Micros::SECOND)));
        if text.contains("@PAYLOAD@") {
            text =
                text.replace("@PAYLOAD@", &format!("{}\n", "JVBERi0xLjcK".repeat(6)).repeat(PAYLOAD_LINES));
        }
        let Some(sent) = sent else { return text };
        let recipient = sent.mail.recipients.first().map_or("", |r| r.address.as_str());
        let return_path = sent.return_path.as_ref().map_or("", Address::as_str);
        text.replace("@OUR_ID@", sent.mail.message_id.trim_matches(['<', '>']))
            .replace("@SUBJECT@", &sent.mail.subject)
            .replace("@TAG@", &sent.tag_line)
            .replace("@RECIPIENT@", recipient)
            .replace("@RETURN_PATH@", return_path)
    }
}

fn rfc5322(time: Micros) -> String {
    chrono::DateTime::from_timestamp_micros(time.0).map(|t| t.to_rfc2822()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_left_to_fill_in_and_the_copy_is_the_same() {
        let mail = QueueLine {
            id: crate::ticket::OutboxId(1),
            purpose: "answer".into(),
            ticket: None,
            log_entry: None,
            state: String::new(),
            held_by: None,
            relay: None,
            message_id: "md.1@example.com".into(),
            subject: "[Support #1-1] Re: x".into(),
            size: 0,
            created: String::new(),
            attempts: 0,
            possibly_repeated: false,
            recipients: vec![],
        };
        let sent = Sent { mail, tag_line: "[Support #1-1]".into(), return_path: None };
        let message = |s: &Sample| s.message(Micros(0), s.about.map(|_| &sent));
        for sample in SAMPLES {
            assert!(
                !message(sample).contains("@DATE") && !message(sample).contains("_ID@"),
                "{}",
                sample.name
            );
            assert_eq!(sample.name == "oversize", message(sample).len() > 1_000_000);
        }
        assert_eq!(message(&SAMPLES[0]), message(&SAMPLES[6]));
    }
}
