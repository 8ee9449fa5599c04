//! The loop breaker (B9, M8): each key stops its storm within its cap, and what it has stopped is seen and recovered.

mod answering;
mod caps;
mod echo;
mod forged;
mod recovered;

use std::time::{Duration, SystemTime};

use maildesk::store::listing::QueueLine;

use crate::support::trial::{Letter, SUPPORT, Trial};

/// A type that answers by itself, under small limits.
pub fn sections(loops: &str) -> String {
    format!("{SUPPORT}auto_answer = true\n[loops]\n{loops}")
}

/// Limits for storms of some dozen messages.
pub const SMALL: &str = "messages_from_sender = 10\njournalled_beyond = 15\nanswers_to_address = 3\n\
                         answers_to_domain = 6\nmails_on_subject = 8\nmails_on_ticket = 4\n";

/// A word for a number: subjects that differ by more than their numbers.
pub fn word(n: usize) -> String {
    n.to_string().bytes().map(|digit| char::from(b'a' + digit - b'0')).collect()
}

/// Lays messages into the mailbox, in this order, and takes them in.
pub async fn storm(trial: &Trial, letters: impl IntoIterator<Item = Letter>) {
    for (n, letter) in letters.into_iter().enumerate() {
        trial.deliver(&format!("{n:06}.storm"), &letter.bytes());
    }
    trial.poll().await;
}

/// The same, received so long ago, as the mailbox says.
pub fn deliver_aged(trial: &Trial, name: &str, letter: &Letter, age: Duration) {
    trial.deliver(name, &letter.bytes());
    let path = trial.folder.path().join("Maildir/new").join(name);
    let file = std::fs::File::options().append(true).open(path).expect("our own file");
    let received = maildesk::clock::Clock::system().now().0 as u64 - age.as_micros() as u64;
    file.set_modified(SystemTime::UNIX_EPOCH + Duration::from_micros(received)).expect("our own file");
}

pub async fn count(trial: &Trial, fate: &str) -> usize {
    trial.fates().await.iter().filter(|found| found.starts_with(fate)).count()
}

/// Mails of this purpose that go out, and those that wait because of this key.
pub async fn mails(trial: &Trial, purpose: &str, held_by: &str) -> (usize, usize) {
    let queue: Vec<QueueLine> = trial.queue().await.into_iter().filter(|m| m.purpose == purpose).collect();
    let out = queue.iter().filter(|m| m.state != "held" && m.held_by.is_none()).count();
    let held = queue.iter().filter(|m| m.state == "held" && m.held_by.as_deref() == Some(held_by)).count();
    assert_eq!(out + held, queue.len(), "{queue:?}");
    (out, held)
}
