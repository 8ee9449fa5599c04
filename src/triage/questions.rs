//! What must be looked up before a message can be decided.

use super::Rules;
use crate::mail::subject::{TagLine, find_tags, numbered_tags};
use crate::mail::{Address, MailKeys, Message, MessageId, OurToken};

/// Most ids asked for: the References of an honest thread are fewer, and each costs a look-up.
const IDS_LIMIT: usize = 50;

#[derive(Clone, Debug, Default)]
pub struct Questions {
    pub from: Option<Address>,
    /// The message's own Message-ID is a token of ours.
    pub echo: Option<OurToken>,
    /// In-Reply-To, then References from the newest back; verified tokens of ours, no doubles.
    pub ours: Vec<OurToken>,
    /// The rest of In-Reply-To and References, nearest first, no doubles.
    pub foreign: Vec<MessageId>,
    /// The token in the return path it was sent to: reports go there, and automatic answers (RFC 3834 §4).
    pub verp: Option<OurToken>,
    /// Of a report: the token of its original Message-ID.
    pub original: Option<OurToken>,
    /// The tag line of the subject, of a report of the returned subject: word, ticket, log entry.
    pub tag: Option<TagLine>,
    /// Tags of the system before this one in the subject.
    pub predecessor: Vec<String>,
}

/// What the store is to be asked about this message.
pub fn questions(message: &Message, rules: &Rules, keys: &MailKeys) -> Questions {
    let token = |id: &MessageId| id.our_token(keys);
    let (ours, foreign) = answered(message, keys);
    Questions {
        from: message.from.as_ref().map(|f| f.address.clone()),
        echo: message.message_id.as_ref().and_then(token),
        ours,
        foreign,
        verp: verp(message, keys),
        original: message.report.as_ref().and_then(|r| r.original_message_id.as_ref()).and_then(token),
        tag: tag(message, rules),
        predecessor: numbered_tags(&message.subject, &rules.predecessor_tags),
    }
}

/// The Message-IDs it answers, nearest first: In-Reply-To, then References from the newest back (RFC 5322 §3.6.4);
/// those of ours by their MAC, and the others.
fn answered(message: &Message, keys: &MailKeys) -> (Vec<OurToken>, Vec<MessageId>) {
    let (mut ours, mut foreign) = (vec![], vec![]);
    for id in message.in_reply_to.iter().chain(message.references.iter().rev()) {
        match id.our_token(keys) {
            Some(token) => push_new(&mut ours, token),
            // A mail that names itself answers nothing.
            None if message.message_id.as_ref() == Some(id) => {}
            None => push_new(&mut foreign, id.clone()),
        }
    }
    (ours, foreign)
}

fn push_new<T: PartialEq>(list: &mut Vec<T>, item: T) {
    if list.len() < IDS_LIMIT && !list.contains(&item) {
        list.push(item);
    }
}

/// The envelope first: it is where the mail was really sent.
fn verp(message: &Message, keys: &MailKeys) -> Option<OurToken> {
    let named = message.to.iter().chain(&message.cc).map(|n| &n.address);
    message.envelope_to.iter().chain(named).find_map(|address| keys.of_return_path(address))
}

/// Of several tag lines the last one in the subject, but first one whose word is the tag of an active type: a word that
/// no type has any more may be an old tag of the ticket, or a foreign helpdesk's.
fn tag(message: &Message, rules: &Rules) -> Option<TagLine> {
    let returned = message.report.as_ref().map(|r| find_tags(&r.original_subject)).unwrap_or_default();
    let tags = if returned.is_empty() { find_tags(&message.subject) } else { returned };
    let current = tags.iter().find(|tag| rules.is_current_tag(&tag.word));
    current.or(tags.first()).cloned()
}
