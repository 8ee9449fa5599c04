//! Our own mail that comes back by a detour, and what only looks like it.

use super::{SMALL, count, sections, word};
use crate::support::trial::{Letter, Trial, on_both_stores};

on_both_stores!(
    a_forwarder_that_rewrites_id_and_subject_brings_an_echo,
    an_answer_to_our_mail_is_no_echo,
    a_forwarder_that_strips_all_ends_within_the_cap,
);

/// The mails that have gone out, in order.
async fn sent(trial: &Trial) -> Vec<String> {
    trial.works.outbound().pass(100).await.expect("a pass");
    let mut paths: Vec<_> = std::fs::read_dir(trial.folder.path().join("out"))
        .expect("mails went out")
        .map(|entry| entry.expect("an entry").path())
        .collect();
    paths.sort_by_key(|path| path.file_stem().and_then(|name| name.to_string_lossy().parse::<u64>().ok()));
    paths
        .iter()
        .map(|path| String::from_utf8_lossy(&std::fs::read(path).expect("a mail")).into_owned())
        .collect()
}

/// The mail with another Message-ID and subject, and without the fields whose names begin like this.
fn forwarded(mail: &str, id: &str, without: &[&str]) -> String {
    let (head, body) = mail.split_once("\r\n\r\n").expect("a head and a body");
    let head = head.replace("\r\n ", " ").replace("\r\n\t", " ");
    let kept = |line: &&str| {
        let is_rewritten = ["Message-ID:", "Subject:"].iter().any(|name| line.starts_with(name));
        !is_rewritten && !without.iter().any(|name| line.starts_with(name))
    };
    let head: Vec<&str> = head.lines().filter(kept).collect();
    format!("Message-ID: <{id}@forward.test>\r\nSubject: Fw: {id}\r\n{}\r\n\r\n{body}", head.join("\r\n"))
}

async fn a_forwarder_that_rewrites_id_and_subject_brings_an_echo(url: String) {
    let trial = Trial::with(&url, &sections(SMALL)).await;
    trial.take_in(Letter::new("a")).await;
    trial.answer(1).await;
    let owed = trial.owed().await;
    assert_eq!(owed.len(), 3, "{owed:?}");
    // The notification, the automatic answer, an agent's answer: each comes back.
    for (n, mail) in sent(&trial).await.iter().enumerate() {
        trial.deliver(&format!("{n}.back"), forwarded(mail, &word(n), &[]).as_bytes());
    }
    trial.poll().await;
    assert_eq!(count(&trial, "discard own_echo").await, 3, "{:?}", trial.fates().await);
    // Those that machines write say so without our mark, too; the notification is known by its hand.
    for (n, mail) in sent(&trial).await.iter().enumerate().take(2) {
        let bare = forwarded(mail, &word(10 + n), &["X-", "References:", "In-Reply-To:"]);
        trial.deliver(&format!("{n}.bare"), bare.as_bytes());
    }
    trial.poll().await;
    let fates = trial.fates().await;
    assert_eq!(fates[4..], ["discard own_echo", "invalid auto_reply_unplaced"]);
    assert_eq!(trial.owed().await, owed, "nobody is told of any, and none is answered");
    trial.assert_balanced().await;
}

async fn an_answer_to_our_mail_is_no_echo(url: String) {
    let trial = Trial::with(&url, &sections(SMALL)).await;
    trial.take_in(Letter::new("a")).await;
    let answer = trial.answer(1).await;
    let id = answer.message_id.trim_matches(['<', '>']).to_owned();
    // By In-Reply-To, by References alone, and from a colleague who writes as the type.
    let by_references = Letter::new("c").header("References", &format!("<{id}>"));
    for letter in [Letter::new("b").answering(&id), by_references] {
        assert_eq!(trial.take_in(letter).await, "append reply_by_our_id #1");
    }
    let colleague = Letter::new("d").from("Support <support@example.com>").answering(&id);
    assert_eq!(trial.take_in(colleague).await, "append reply_by_our_id #1");
    // A form on the website writes from our address, under a name of its own.
    let form = Letter::new("e").from("Website <support@example.com>").subject("Contact form");
    assert_eq!(trial.take_in(form).await, "open new_ticket #2");
}

/// Nothing is left by which it could be known: only the limit on one sender ends it.
async fn a_forwarder_that_strips_all_ends_within_the_cap(url: String) {
    let trial = Trial::with(&url, &sections(SMALL)).await;
    trial.take_in(Letter::new("a")).await;
    let mut came_back = 0;
    loop {
        let all = sent(&trial).await;
        let told = all.iter().filter(|mail| mail.contains("To: admin@example.net")).count();
        if told <= came_back {
            break;
        }
        assert!(came_back < 50, "it goes on");
        let letter = Letter::new(&format!("f{came_back}")).from("The Boss <boss@forward.test>");
        trial.take_in(letter.subject(&word(came_back)).body("the notification, and no header of it")).await;
        came_back += 1;
    }
    assert_eq!(came_back, 11, "ten are taken in, and nobody is told of the next");
    assert_eq!(count(&trial, "invalid flood_sender").await, 1);
}
