//! The sealing key under a passphrase, so that it can travel with a backup (M12): Argon2id (RFC 9106) makes a key of the
//! passphrase, and that key seals the sealing key.

use argon2::{Algorithm, Argon2, Params, Version};
use serde::{Deserialize, Serialize};

use super::{KEY_BYTES, NONCE_BYTES, SealError, SealingKey, Secret, from_hex, to_hex};

/// RFC 9106 §4, the second recommended option: 64 MiB, three passes, four lanes.
const COST: Cost = Cost { memory_kib: 64 << 10, passes: 3, lanes: 4 };
/// A file may say what it likes; more than this is not worked for.
const MOST: Cost = Cost { memory_kib: 1 << 20, passes: 16, lanes: 16 };
const SALT_BYTES: usize = 16;
const PURPOSE: &str = "sealing_key";

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Cost {
    memory_kib: u32,
    passes: u32,
    lanes: u32,
}

/// A sealing key that only its passphrase opens. It may be written anywhere.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WrappedKey {
    #[serde(flatten)]
    cost: Cost,
    /// Hex, like what follows.
    salt: String,
    sealed: String,
}

impl WrappedKey {
    /// Takes a moment and 64 MiB: not for an async thread. `random` must never be used twice.
    pub fn wrap(key: &SealingKey, passphrase: &Secret, random: [u8; 64]) -> Result<WrappedKey, SealError> {
        let (mut nonce, mut salt) = ([0; NONCE_BYTES], [0; SALT_BYTES]);
        nonce.copy_from_slice(&random[..NONCE_BYTES]);
        salt.copy_from_slice(&random[NONCE_BYTES..NONCE_BYTES + SALT_BYTES]);
        let sealed = key_of(passphrase, &salt, COST)?.seal(PURPOSE, &key.to_text(), nonce);
        Ok(WrappedKey { cost: COST, salt: to_hex(&salt), sealed: to_hex(&sealed) })
    }

    /// `NotOpened` with another passphrase, or where it was damaged.
    pub fn open(&self, passphrase: &Secret) -> Result<SealingKey, SealError> {
        let bytes = |hex: &str| from_hex(hex).ok_or(SealError::NotOpened);
        let key = key_of(passphrase, &bytes(&self.salt)?, self.cost)?;
        SealingKey::from_text(key.open(PURPOSE, &bytes(&self.sealed)?)?.expose())
    }
}

fn key_of(passphrase: &Secret, salt: &[u8], cost: Cost) -> Result<SealingKey, SealError> {
    let Cost { memory_kib, passes, lanes } = cost;
    if memory_kib > MOST.memory_kib || passes > MOST.passes || lanes > MOST.lanes {
        return Err(SealError::NotOpened);
    }
    let params = Params::new(memory_kib, passes, lanes, Some(KEY_BYTES)).map_err(|_| SealError::NotOpened)?;
    let mut key = [0; KEY_BYTES];
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
        .hash_password_into(passphrase.expose().as_bytes(), salt, &mut key)
        .map_err(|_| SealError::NotOpened)?;
    Ok(SealingKey::new(key))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_its_passphrase_opens_a_wrapped_key() {
        let key = SealingKey::new([7; 32]);
        let wrapped = WrappedKey::wrap(&key, &Secret::new("correct horse"), [5; 64]).unwrap();
        let text = serde_json::to_string(&wrapped).unwrap();
        assert!(!text.contains(key.to_text().expose()));
        let read: WrappedKey = serde_json::from_str(&text).unwrap();
        assert_eq!(read.open(&Secret::new("correct horse")).unwrap().to_text(), key.to_text());
        assert_eq!(read.open(&Secret::new("correct hors")).unwrap_err(), SealError::NotOpened);
        let greedy = Cost { memory_kib: u32::MAX, ..read.cost };
        let greedy = WrappedKey { cost: greedy, ..read };
        assert_eq!(greedy.open(&Secret::new("correct horse")).unwrap_err(), SealError::NotOpened);
    }
}
