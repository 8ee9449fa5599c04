//! What tests ask of a source of whatever protocol.

use std::io::{Read as _, Seek as _};

use maildesk::failure::Failure;
use maildesk::intake::source::{Bytes, Fetched, Item};

pub fn ids(items: &[Item]) -> Vec<String> {
    items.iter().map(|item| item.source_id.clone()).collect()
}

/// All of a message.
pub fn whole(fetched: Fetched) -> Vec<u8> {
    match fetched.bytes {
        Bytes::Memory(bytes) => bytes,
        Bytes::Spool(mut file, length) => {
            assert_eq!(file.stream_position().expect("a file"), 0, "the spool file stands at its start");
            let mut bytes = Vec::new();
            file.read_to_end(&mut bytes).expect("a readable file");
            assert_eq!(bytes.len() as u64, length);
            bytes
        }
        Bytes::Gone | Bytes::Refused(_) => panic!("message {} is gone", fetched.source_id),
    }
}

/// Why a login was refused.
pub fn refusal<T>(connected: Result<T, Failure>) -> Failure {
    match connected {
        Ok(_) => panic!("the login should have failed"),
        Err(failure) => failure,
    }
}
