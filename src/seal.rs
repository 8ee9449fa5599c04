//! Secrets at rest (L2): sealed by XChaCha20-Poly1305 under the key of the service, with their purpose bound in.
//!
//! What is sealed as a password does not open as a MAC key. Key and secrets never print; times and nonces are parameters,
//! and `random` is the one place where chance enters the program.

mod passphrase;

use std::sync::{Arc, RwLock};

use base64::Engine as _;
use chacha20poly1305::aead::{Aead, KeyInit, Payload};
use chacha20poly1305::{XChaCha20Poly1305, XNonce};
use rand::TryRngCore as _;

pub use passphrase::WrappedKey;

/// The first byte of all that is sealed, so that another cipher can follow one day.
const FORMAT: u8 = 1;
pub const NONCE_BYTES: usize = 24;
const KEY_BYTES: usize = 32;

/// Words that nobody may read in a log, a page, an error or `--json`. They leave only by `expose`.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Secret(String);

impl Secret {
    pub fn new(words: impl Into<String>) -> Secret {
        Secret(words.into())
    }

    /// The words themselves, for the wire and for sealing.
    pub fn expose(&self) -> &str {
        &self.0
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("***")
    }
}

impl std::fmt::Display for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("***")
    }
}

impl Drop for Secret {
    fn drop(&mut self) {
        wipe(&mut std::mem::take(&mut self.0).into_bytes());
    }
}

/// Best effort: without `unsafe` the compiler is asked, not forced, to keep the write.
fn wipe(bytes: &mut [u8]) {
    bytes.fill(0);
    std::hint::black_box(bytes);
}

/// The key of the service. It opens every secret of its desk, and nothing else holds it. Clones are one key: where it is
/// rotated, all who hold it go over to the new one.
#[derive(Clone)]
pub struct SealingKey(Arc<RwLock<Ring>>);

/// What is sealed now, and while a rotation is under way what was sealed before.
struct Ring {
    current: [u8; KEY_BYTES],
    previous: Option<[u8; KEY_BYTES]>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SealError {
    #[error("a sealing key is 32 bytes, written as 64 hex digits or as base64")]
    BadKey,
    #[error("the sealing key does not open this secret: it was sealed under another key, or damaged")]
    NotOpened,
}

impl SealingKey {
    pub fn new(bytes: [u8; KEY_BYTES]) -> SealingKey {
        SealingKey(Arc::new(RwLock::new(Ring { current: bytes, previous: None })))
    }

    /// From here on everything is sealed under the new key; what is sealed under the old one opens too, until `forget`.
    pub fn turn_to(&self, new: &SealingKey) {
        let fresh = new.ring().current;
        let mut ring = self.0.write().expect(HELD);
        ring.previous = Some(std::mem::replace(&mut ring.current, fresh));
    }

    /// The rotation failed: the old key is the key again.
    pub fn turn_back(&self) {
        let mut ring = self.0.write().expect(HELD);
        if let Some(previous) = ring.previous.take() {
            ring.current = previous;
        }
    }

    /// The rotation is done: the old key opens nothing any more.
    pub fn forget_old(&self) {
        if let Some(mut old) = self.0.write().expect(HELD).previous.take() {
            wipe(&mut old);
        }
    }

    fn ring(&self) -> std::sync::RwLockReadGuard<'_, Ring> {
        self.0.read().expect(HELD)
    }

    /// From 64 hex digits or base64 text; space around it is ignored.
    pub fn from_text(text: &str) -> Result<SealingKey, SealError> {
        let text = text.trim();
        let mut bytes = match text.len() {
            64 => from_hex(text).ok_or(SealError::BadKey)?,
            _ => base64::engine::general_purpose::STANDARD_NO_PAD
                .decode(text.trim_end_matches('='))
                .map_err(|_| SealError::BadKey)?,
        };
        let key = <[u8; KEY_BYTES]>::try_from(bytes.as_slice()).map_err(|_| SealError::BadKey);
        wipe(&mut bytes);
        key.map(SealingKey::new)
    }

    /// As 64 hex digits, for the key file.
    pub fn to_text(&self) -> Secret {
        Secret(to_hex(&self.ring().current))
    }

    /// Seals words for a purpose. A nonce must never be used twice under one key: `random()` gives one.
    pub fn seal(&self, purpose: &str, plain: &Secret, nonce: [u8; NONCE_BYTES]) -> Vec<u8> {
        let payload = Payload { msg: plain.0.as_bytes(), aad: purpose.as_bytes() };
        let boxed = cipher(&self.ring().current)
            .encrypt(XNonce::from_slice(&nonce), payload)
            .expect("the cipher fails only on messages of more than 256 GB");
        let mut sealed = Vec::with_capacity(1 + NONCE_BYTES + boxed.len());
        sealed.push(FORMAT);
        sealed.extend_from_slice(&nonce);
        sealed.extend_from_slice(&boxed);
        sealed
    }

    pub fn open(&self, purpose: &str, sealed: &[u8]) -> Result<Secret, SealError> {
        let boxed = sealed.strip_prefix(&[FORMAT]).ok_or(SealError::NotOpened)?;
        let (nonce, boxed) = boxed.split_at_checked(NONCE_BYTES).ok_or(SealError::NotOpened)?;
        let ring = self.ring();
        let keys = std::iter::once(&ring.current).chain(&ring.previous);
        for key in keys {
            let payload = Payload { msg: boxed, aad: purpose.as_bytes() };
            if let Ok(plain) = cipher(key).decrypt(XNonce::from_slice(nonce), payload) {
                return String::from_utf8(plain).map(Secret).map_err(|_| SealError::NotOpened);
            }
        }
        Err(SealError::NotOpened)
    }
}

fn cipher(key: &[u8; KEY_BYTES]) -> XChaCha20Poly1305 {
    XChaCha20Poly1305::new(key.into())
}

/// Why a lock on the keys is never poisoned.
const HELD: &str = "nobody panics while holding the keys";

impl std::fmt::Debug for SealingKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SealingKey(***)")
    }
}

impl Drop for Ring {
    fn drop(&mut self) {
        wipe(&mut self.current);
        if let Some(previous) = &mut self.previous {
            wipe(previous);
        }
    }
}

/// Random bytes from the system.
pub fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    rand::rngs::OsRng
        .try_fill_bytes(&mut bytes)
        .expect("getrandom(2) answers on every system that runs us, and nothing safe can go on without it");
    bytes
}

pub fn to_hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, b| {
        write!(text, "{b:02x}").expect("writing to a String cannot fail");
        text
    })
}

pub fn from_hex(text: &str) -> Option<Vec<u8>> {
    let digits: Vec<u8> =
        text.chars().map(|c| c.to_digit(16).and_then(|d| u8::try_from(d).ok())).collect::<Option<_>>()?;
    digits.len().is_multiple_of(2).then(|| digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key() -> SealingKey {
        SealingKey::new([7; 32])
    }

    #[test]
    fn what_is_sealed_opens_for_its_purpose_and_key_alone() {
        let sealed = key().seal("password", &Secret::new("hunter2"), [3; 24]);
        assert_eq!(key().open("password", &sealed), Ok(Secret::new("hunter2")));
        assert_eq!(key().open("mac_key", &sealed), Err(SealError::NotOpened));
        assert_eq!(SealingKey::new([8; 32]).open("password", &sealed), Err(SealError::NotOpened));
        assert!(!sealed.windows(7).any(|w| w == b"hunter2"));
    }

    #[test]
    fn damaged_or_cut_bytes_do_not_open() {
        let sealed = key().seal("password", &Secret::new("hunter2"), [3; 24]);
        for at in 0..sealed.len() {
            let mut damaged = sealed.clone();
            damaged[at] ^= 1;
            assert_eq!(key().open("password", &damaged), Err(SealError::NotOpened), "byte {at}");
            assert_eq!(key().open("password", &sealed[..at]), Err(SealError::NotOpened), "cut at {at}");
        }
    }

    #[test]
    fn keys_are_read_as_hex_or_base64() {
        let hex = key().to_text();
        let base64 = base64::engine::general_purpose::STANDARD.encode([7u8; 32]);
        for text in [format!(" {}\n", hex.expose()), hex.expose().to_uppercase(), base64] {
            assert_eq!(SealingKey::from_text(&text).unwrap().ring().current, [7; 32], "{text}");
        }
        for bad in ["", "abc", &"g".repeat(64), &"7".repeat(63), &"A".repeat(60)] {
            assert_eq!(SealingKey::from_text(bad).unwrap_err(), SealError::BadKey, "{bad}");
        }
    }

    #[test]
    fn while_a_key_is_rotated_both_open_and_afterwards_the_new_one_alone() {
        let (held, new) = (key(), SealingKey::new([8; 32]));
        let elsewhere = held.clone();
        let old_words = held.seal("password", &Secret::new("hunter2"), [3; 24]);
        held.turn_to(&new);
        let new_words = elsewhere.seal("password", &Secret::new("hunter3"), [4; 24]);
        assert!(new.open("password", &new_words).is_ok() && elsewhere.open("password", &old_words).is_ok());
        held.forget_old();
        assert_eq!(elsewhere.open("password", &old_words), Err(SealError::NotOpened));
        held.turn_to(&key());
        held.turn_back();
        assert!(elsewhere.open("password", &new_words).is_ok());
    }

    #[test]
    fn neither_key_nor_secret_prints() {
        let secret = Secret::new("hunter2");
        assert_eq!(format!("{secret} {secret:?} {:?}", key()), "*** *** SealingKey(***)");
    }

    #[test]
    fn random_bytes_differ() {
        assert_ne!(random::<32>(), random::<32>());
    }
}
