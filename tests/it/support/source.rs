//! What tests ask of a source of whatever protocol.

use std::io::{Read as _, Seek as _};

use maildesk::failure::Failure;
use maildesk::intake::source::{Bytes, Fetched, Item, Source};
use maildesk::sources::ServerSettings;

use super::peer::{Peer, SECRET};

pub const HELLO: &[u8] = b"From: a@example.org\r\nSubject: hello\r\n\r\nHello\r\n";

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

/// Why a scripted server's login is refused; the password is in no word of it.
pub async fn login_refusal<T>(
    script: &str,
    connect: impl AsyncFnOnce(ServerSettings) -> Result<T, Failure>,
) -> Failure {
    let peer = Peer::start(script).await;
    let failure = refusal(connect(peer.settings()).await);
    peer.finish().await;
    assert!(!format!("{failure} {failure:?}").contains(SECRET), "{failure}");
    failure
}

/// The folder holds `HELLO` alone.
pub async fn assert_headers_come_alone_and_cut(source: &mut impl Source, folder: &str) {
    let items = source.open(folder).await.expect("the folder opens").items;
    let headers = source.fetch_headers(&items[0], 10_000).await.expect("headers").expect("there");
    assert_eq!(headers, b"From: a@example.org\r\nSubject: hello\r\n\r\n");
    let cut = source.fetch_headers(&items[0], 10).await.expect("headers").expect("there");
    assert_eq!(cut, b"From: a@ex");
}
