//! Message-IDs (RFC 5322 §3.6.4), and the tokens of ours inside them and inside return paths.
//!
//! A token is the outbox id, the id of the key and a keyed MAC: `md.17.1.9f2c…`. Nobody without the key can make one,
//! so an answer to a Message-ID of ours, and a report to a return path of ours, proves that its sender saw our mail.

use std::sync::{Arc, RwLock, RwLockReadGuard};

use hmac::{Hmac, Mac};
use serde::{Deserialize, Serialize};
use sha2::Sha256;

use super::Address;
use crate::ticket::OutboxId;

/// A Message-ID without its angle brackets.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct MessageId(String);

/// RFC 5322 §2.1.1: a line has at most 998 characters; longer ids are cut mail, not ids.
const MAX_LENGTH: usize = 996;

impl MessageId {
    /// Takes what stands between angle brackets, as written. White space and brackets inside are refused.
    pub fn parse(text: &str) -> Option<MessageId> {
        let text = text.trim();
        let text = text.strip_prefix('<').and_then(|t| t.strip_suffix('>')).unwrap_or(text);
        let is_bad = |c: char| c.is_control() || c.is_whitespace() || matches!(c, '<' | '>');
        (!text.is_empty() && text.len() <= MAX_LENGTH && !text.contains(is_bad))
            .then(|| MessageId(text.to_owned()))
    }

    /// All ids of a field value, in order: what stands in angle brackets, or where nothing does, every word with an `@`.
    /// RFC 5322 §4.5.4 allows phrases between ids. White space inside brackets comes from folding and is dropped.
    pub fn all_in(value: &str) -> Vec<MessageId> {
        let bracketed = value.split('<').skip(1).filter_map(|rest| rest.split_once('>'));
        let ids: Vec<MessageId> = bracketed
            .filter_map(|(id, _)| MessageId::parse(&id.split_whitespace().collect::<String>()))
            .collect();
        if !ids.is_empty() || value.contains('<') {
            return ids;
        }
        value.split_whitespace().filter(|word| word.contains('@')).filter_map(MessageId::parse).collect()
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// With its angle brackets, as a header field wants it.
    pub fn bracketed(&self) -> String {
        format!("<{}>", self.0)
    }

    /// The token in its left part, if it is one of ours by its MAC.
    pub fn our_token(&self, keys: &MailKeys) -> Option<OurToken> {
        let left = self.0.split_once('@').map_or(self.0.as_str(), |(left, _)| left);
        keys.verify(Use::MessageId, left.strip_prefix("md.")?)
    }
}

impl std::fmt::Display for MessageId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

/// A verified token: the outbox mail that it names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OurToken {
    pub outbox: OutboxId,
}

/// What a token stands for; a MAC made for one use does not pass for another.
#[derive(Clone, Copy)]
enum Use {
    MessageId,
    ReturnPath,
}

/// The desk's keys for what leaves the house: MAC keys by their id (the newest makes, all verify), and the hash key.
/// Clones are one set: where it is renewed, all who hold it go over to the new one.
#[derive(Clone, Default)]
pub struct MailKeys(Arc<RwLock<Ring>>);

#[derive(Clone, Default)]
struct Ring {
    mac: Vec<(i64, [u8; 32])>,
    hash: [u8; 32],
}

impl std::fmt::Debug for MailKeys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "MailKeys({} MAC keys)", self.ring().mac.len())
    }
}

/// Bytes of the MAC that a token carries: 80 bits, enough against guessing by mail, short enough for a local part.
const MAC_BYTES: usize = 10;

impl MailKeys {
    /// `mac` by ascending key id; `hash` for what outlives erasure.
    pub fn new(mac: Vec<(i64, [u8; 32])>, hash: [u8; 32]) -> MailKeys {
        MailKeys(Arc::new(RwLock::new(Ring { mac, hash })))
    }

    /// From here on these are the keys.
    pub fn replace(&self, other: &MailKeys) {
        let fresh = other.ring().clone();
        *self.0.write().expect(HELD) = fresh;
    }

    fn ring(&self) -> RwLockReadGuard<'_, Ring> {
        self.0.read().expect(HELD)
    }

    /// The Message-ID of an outbox mail.
    pub fn message_id(&self, outbox: OutboxId, domain: &str) -> MessageId {
        MessageId(format!("md.{}@{domain}", self.token(Use::MessageId, outbox)))
    }

    /// The return path of an outbox mail (VERP): `bounce+17.1.9f2c…@example.com`.
    pub fn return_path(&self, outbox: OutboxId, local: &str, domain: &str) -> Address {
        Address::parse(&format!("{local}+{}@{domain}", self.token(Use::ReturnPath, outbox)))
            .expect("a local part and domain that were parsed as an address, with digits and dots between")
    }

    /// The outbox mail whose return path this address is.
    pub fn of_return_path(&self, address: &Address) -> Option<OurToken> {
        self.verify(Use::ReturnPath, address.detail()?)
    }

    /// A keyed hash under the desk's key: it outlives erasure without giving the words away.
    pub fn hash(&self, parts: &[&[u8]]) -> Vec<u8> {
        let mut mac = keyed(&self.ring().hash);
        for part in parts {
            mac.update(&(part.len() as u64).to_le_bytes());
            mac.update(part);
        }
        mac.finalize().into_bytes()[..16].to_vec()
    }

    fn token(&self, r#use: Use, outbox: OutboxId) -> String {
        let ring = self.ring();
        let (id, key) = ring.mac.last().expect("a desk has a MAC key before it makes a mail");
        let mac = tag_of(key, r#use, outbox, *id);
        format!("{outbox}.{id}.{}", hex(&mac))
    }

    fn verify(&self, r#use: Use, token: &str) -> Option<OurToken> {
        let mut parts = token.splitn(3, '.');
        let outbox = OutboxId(parts.next()?.parse().ok()?);
        let id: i64 = parts.next()?.parse().ok()?;
        let said = parts.next()?;
        let ring = self.ring();
        let (_, key) = ring.mac.iter().find(|(i, _)| *i == id)?;
        let made = hex(&tag_of(key, r#use, outbox, id));
        // Compared in constant time: every character counts, whichever differs first.
        let differs = made.bytes().zip(said.bytes()).fold(0, |d, (a, b)| d | (a ^ b.to_ascii_lowercase()));
        (made.len() == said.len() && differs == 0).then_some(OurToken { outbox })
    }
}

/// Why a lock on the keys is never poisoned.
const HELD: &str = "nobody panics while holding the keys";

fn keyed(key: &[u8; 32]) -> Hmac<Sha256> {
    Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes keys of any length")
}

fn tag_of(key: &[u8; 32], r#use: Use, outbox: OutboxId, id: i64) -> [u8; MAC_BYTES] {
    let mut mac = keyed(key);
    mac.update(match r#use {
        Use::MessageId => b"message-id",
        Use::ReturnPath => b"return-path",
    });
    mac.update(&outbox.0.to_le_bytes());
    mac.update(&id.to_le_bytes());
    let mut tag = [0; MAC_BYTES];
    tag.copy_from_slice(&mac.finalize().into_bytes()[..MAC_BYTES]);
    tag
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, b| {
        write!(text, "{b:02x}").expect("writing to a String cannot fail");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys() -> MailKeys {
        MailKeys::new(vec![(1, [1; 32]), (2, [2; 32])], [9; 32])
    }

    #[test]
    fn our_ids_are_known_by_their_mac_under_old_keys_too() {
        let old = MailKeys::new(vec![(1, [1; 32])], [9; 32]);
        for id in
            [old.message_id(OutboxId(17), "example.com"), keys().message_id(OutboxId(17), "example.com")]
        {
            assert_eq!(id.our_token(&keys()), Some(OurToken { outbox: OutboxId(17) }), "{id}");
        }
    }

    #[test]
    fn a_forged_or_altered_token_is_not_ours() {
        let id = keys().message_id(OutboxId(17), "example.com");
        for forged in [
            id.as_str().replacen("17", "18", 1),
            id.as_str().replacen(".2.", ".1.", 1),
            id.as_str().replace("md.", ""),
            "md.17.2.@example.com".into(),
            "out.1.2@example.com".into(),
        ] {
            assert_eq!(MessageId::parse(&forged).unwrap().our_token(&keys()), None, "{forged}");
        }
        let other = MailKeys::new(vec![(2, [3; 32])], [9; 32]);
        assert_eq!(id.our_token(&other), None);
    }

    #[test]
    fn a_return_path_names_its_mail_and_does_not_pass_for_a_message_id() {
        let path = keys().return_path(OutboxId(5), "bounce", "example.com");
        assert_eq!(keys().of_return_path(&path), Some(OurToken { outbox: OutboxId(5) }));
        let as_id = MessageId::parse(&format!("md.{}@example.com", path.detail().unwrap())).unwrap();
        assert_eq!(as_id.our_token(&keys()), None);
    }

    #[test]
    fn ids_with_space_or_brackets_are_refused() {
        assert_eq!(MessageId::parse("<a@b>").unwrap().as_str(), "a@b");
        for bad in ["", "<>", "a b", "<a@b> <c@d>", "a\r\nb"] {
            assert_eq!(MessageId::parse(bad), None, "{bad:?}");
        }
    }
}
