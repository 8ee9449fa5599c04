//! Whole rounds by POP3 over a wire that is cut: nothing twice, nothing left behind, on both stores.

use maildesk::failure::Failure;
use maildesk::intake::RoundReport;

use crate::support::cutter::{Cut, Cutter};
use crate::support::dovecot::{Account, PASSWORD, dovecot};
use crate::support::peer::Peer;
use crate::support::trial::{Letter, Trial, on_both_stores, support_at};

on_both_stores!(
    a_quit_that_the_server_never_heard_deletes_without_fetching_again,
    a_quit_whose_answer_was_lost_is_taken_for_done_once_the_list_shows_it,
    a_cut_within_a_message_leaves_it_for_the_next_round,
    many_messages_take_more_than_one_session,
    a_given_up_deletion_costs_one_session_and_no_mail,
    an_id_given_again_is_another_message,
    a_message_that_the_server_did_not_delete_is_deleted_again,
    another_numbering_doubles_nothing,
    a_message_over_the_limit_stays_until_it_is_let_go,
    what_was_removed_between_two_rounds_is_done,
);

/// A user on the real server, read through the scissors.
struct Desk {
    trial: Trial,
    account: Account,
    cutter: Cutter,
}

impl Desk {
    /// `None` where there is no server: the reason has been printed.
    async fn new(url: &str, cuts: &[Cut], letters: usize) -> Option<Desk> {
        let dovecot = dovecot()?;
        let account = dovecot.account();
        for n in 0..letters {
            account.deliver(&Letter::new(&format!("m{n}")).bytes());
        }
        let cutter = Cutter::start(dovecot.pop3, cuts).await;
        let trial = Trial::with(url, &sections(cutter.port, &account.user, "")).await;
        Some(Desk { trial, account, cutter })
    }

    async fn poll(&self) -> Result<RoundReport, Failure> {
        self.trial.works.poll(&self.trial.mailbox("support").await).await
    }

    #[track_caller]
    fn left(&self) -> usize {
        self.account.files("").len()
    }

    async fn all_is_in(&self, letters: usize) {
        assert_eq!(self.left(), 0, "{:?}", self.account.files(""));
        assert_eq!(self.trial.states().await, vec!["acked"; letters]);
        assert_eq!(self.trial.tickets().await.len(), letters);
        assert_eq!(self.trial.owed().await.len(), letters);
        self.trial.assert_balanced().await;
    }
}

fn sections(port: u16, user: &str, more: &str) -> String {
    let password = PASSWORD.replace('\\', "\\\\").replace('"', "\\\"");
    let pop3 = format!(
        "protocol = \"pop3\"\nhost = \"127.0.0.1\"\nport = {port}\ntls = \"plain\"\nusername = \"{user}\"\n\
         password = \"{password}\"\n{more}"
    );
    support_at(&pop3)
}

async fn a_quit_that_the_server_never_heard_deletes_without_fetching_again(url: String) {
    let Some(desk) = Desk::new(&url, &[Cut::Before("QUIT")], 3).await else { return };
    let failure = desk.poll().await.expect_err("cut").to_string();
    assert!(failure.contains("whether the server has deleted what it was told"), "{failure}");
    assert_eq!((desk.trial.states().await, desk.left()), (vec!["ack_pending".to_owned(); 3], 3));
    let report = desk.poll().await.expect("a round");
    assert_eq!((report.listed, report.fetched, report.acknowledged), (3, 0, 3));
    assert_eq!((desk.cutter.count("RETR"), desk.cutter.count("DELE")), (3, 6));
    desk.all_is_in(3).await;
}

async fn a_quit_whose_answer_was_lost_is_taken_for_done_once_the_list_shows_it(url: String) {
    let Some(desk) = Desk::new(&url, &[Cut::AnswerOf("QUIT")], 3).await else { return };
    desk.poll().await.expect_err("cut");
    assert_eq!((desk.trial.states().await, desk.left()), (vec!["ack_pending".to_owned(); 3], 0));
    let report = desk.poll().await.expect("a round");
    assert_eq!((report.listed, report.fetched), (0, 0));
    assert_eq!((desk.cutter.count("RETR"), desk.cutter.count("DELE")), (3, 3));
    desk.all_is_in(3).await;
}

async fn a_cut_within_a_message_leaves_it_for_the_next_round(url: String) {
    let Some(desk) = Desk::new(&url, &[Cut::Within("RETR", 2, 100)], 3).await else { return };
    let failure = desk.poll().await.expect_err("cut").to_string();
    assert!(failure.contains("RETR: the server closed the connection"), "{failure}");
    assert!(desk.trial.states().await.is_empty());
    desk.poll().await.expect("a round");
    desk.all_is_in(3).await;
}

async fn many_messages_take_more_than_one_session(url: String) {
    // The store matters little here, and 502 messages take their time.
    if !url.starts_with("sqlite") {
        return;
    }
    let Some(desk) = Desk::new(&url, &[], 502).await else { return };
    let report = desk.poll().await.expect("a round");
    assert_eq!((report.listed, report.fetched, report.acknowledged, report.is_cut), (502, 502, 502, false));
    assert_eq!(
        (desk.cutter.count("QUIT"), desk.cutter.count("RETR"), desk.cutter.count("DELE")),
        (2, 502, 502)
    );
    desk.all_is_in(502).await;
}

async fn a_given_up_deletion_costs_one_session_and_no_mail(url: String) {
    let Some(desk) = Desk::new(&url, &[Cut::Before("DELE"), Cut::Before("DELE")], 2).await else { return };
    for _ in 0..2 {
        desk.poll().await.expect_err("cut");
        assert_eq!(desk.left(), 2);
    }
    desk.account.deliver(&Letter::new("m2").bytes());
    desk.poll().await.expect("a round");
    assert_eq!(desk.cutter.count("RETR"), 3);
    desk.all_is_in(3).await;
}

/// A session of a server that has one message under the id `x`, and hears this after its list.
fn session(bytes: &[u8], rest: &str) -> String {
    format!(
        "S: +OK\nC: CAPA\nS: -ERR\nC: USER joe\nS: +OK\nC: PASS *\nS: +OK\nC: STAT\nS: +OK 1 {0}\n\
         C: UIDL\nS: +OK\nS: 1 x\nS: .\nC: LIST\nS: +OK\nS: 1 {0}\nS: .\n{rest}C: QUIT\nS: +OK\n",
        bytes.len()
    )
}

fn retr(bytes: &[u8]) -> String {
    let lines: String = String::from_utf8_lossy(bytes).lines().map(|line| format!("S: {line}\n")).collect();
    format!("C: RETR 1\nS: +OK\n{lines}S: .\n")
}

const DELE: &str = "C: DELE 1\nS: +OK\n";

async fn poll_all(url: &str, sessions: &[String]) -> Trial {
    let peer = Peer::start(&sessions.join("---\n")).await;
    let trial = Trial::with(url, &sections(peer.port, "joe", "")).await;
    for _ in sessions {
        trial.poll().await;
    }
    peer.finish().await;
    trial
}

async fn an_id_given_again_is_another_message(url: String) {
    // Of the same length, so that nothing but the bytes tells them apart.
    let (one, two) = (Letter::new("one").bytes(), Letter::new("two").bytes());
    assert_eq!(one.len(), two.len());
    let trial = poll_all(
        &url,
        &[
            session(&one, &format!("{}{DELE}", retr(&one))),
            session(&two, &format!("{}{}{DELE}", retr(&two), retr(&two))),
        ],
    )
    .await;
    assert_eq!(trial.fates().await, ["open new_ticket #1", "open new_ticket #2"]);
    assert_eq!(trial.states().await, ["acked", "acked"]);
    trial.assert_balanced().await;
}

async fn a_message_that_the_server_did_not_delete_is_deleted_again(url: String) {
    let one = Letter::new("one").bytes();
    let again = session(&one, &format!("{}{DELE}", retr(&one)));
    // It is fetched and told once more; after that it is left alone.
    let trial = poll_all(&url, &[again.clone(), again, session(&one, "")]).await;
    assert_eq!(trial.fates().await, ["open new_ticket #1"]);
    assert_eq!((trial.states().await, trial.owed().await.len()), (vec!["acked".to_owned()], 1));
    trial.assert_balanced().await;
}

async fn another_numbering_doubles_nothing(url: String) {
    let one = Letter::new("one").bytes();
    let first = session(&one, &format!("{}{DELE}", retr(&one)));
    // The deletion did not take place, and the server has forgotten its ids.
    let lost = first.replace("C: QUIT\nS: +OK\n", "C: QUIT\n!close\n");
    let renamed = first.replace("S: 1 x\n", "S: 1 y\n");
    let peer = Peer::start(&[lost, renamed].join("---\n")).await;
    let trial = Trial::with(&url, &sections(peer.port, "joe", "")).await;
    trial.works.poll(&trial.mailbox("support").await).await.expect_err("the answer to QUIT is lost");
    trial.poll().await;
    peer.finish().await;
    assert_eq!(trial.fates().await, ["open new_ticket #1", "discard duplicate #1"]);
    assert_eq!((trial.states().await, trial.owed().await.len()), (vec!["acked".to_owned(); 2], 1));
    trial.assert_balanced().await;
}

async fn a_message_over_the_limit_stays_until_it_is_let_go(url: String) {
    let Some(mut desk) = Desk::new(&url, &[], 1).await else { return };
    let (port, user) = (desk.cutter.port, desk.account.user.clone());
    desk.trial.configure(&sections(port, &user, "size_limit_mb = 1\n")).await;
    let big = Letter::new("big").from("eve@x.test").body(&"0123456789\r\n".repeat(100_000)).bytes();
    desk.account.deliver(&big);
    for left in [1, 0] {
        assert_eq!(desk.poll().await.expect("a round").left, left, "it is told once");
    }
    assert_eq!((desk.left(), desk.cutter.count("TOP"), desk.cutter.count("RETR")), (1, 1, 1));
    let error = desk.trial.errors("open").await.remove(0);
    assert_eq!((error.from.as_str(), error.size), ("eve@x.test", big.len() as i64));
    let by = crate::support::trial::by_hand();
    desk.trial.works.desk.discard_error(error.id, &by).await.expect("let go");
    desk.poll().await.expect("a round");
    assert_eq!((desk.left(), desk.cutter.count("RETR")), (0, 1));
    desk.trial.assert_balanced().await;
}

async fn what_was_removed_between_two_rounds_is_done(url: String) {
    let Some(desk) = Desk::new(&url, &[Cut::Before("QUIT")], 2).await else { return };
    desk.poll().await.expect_err("cut");
    let name = &desk.account.files("")[0];
    let removed = ["new", "cur"].map(|sub| std::fs::remove_file(desk.account.maildir.join(sub).join(name)));
    assert!(removed.iter().any(Result::is_ok), "{removed:?}");
    desk.poll().await.expect("a round");
    assert_eq!(desk.cutter.count("DELE"), 3);
    desk.all_is_in(2).await;
}
