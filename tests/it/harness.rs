//! The harness itself: the peers are real, private, and say what they got.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use crate::support::program::{Desk, Imap, Store};
use crate::support::scripted_smtp::{Answer, End, Phase, ScriptedSmtp};
use crate::support::server::{self, Peer};
use crate::support::smtp::{SmtpSink, Sunk};
use crate::support::{postgres, wait_until};

/// A client that says lines and reads whole replies.
struct Client(BufReader<TcpStream>);

impl Client {
    fn connect(port: u16) -> Client {
        let stream = TcpStream::connect(("127.0.0.1", port)).expect("the server listens");
        stream.set_read_timeout(Some(Duration::from_secs(30))).expect("a deadline");
        Client(BufReader::new(stream))
    }

    /// The last line of the next reply; empty where the server has gone.
    fn hear(&mut self) -> String {
        loop {
            let mut line = String::new();
            self.0.read_line(&mut line).unwrap_or(0);
            if line.as_bytes().get(3) != Some(&b'-') {
                return line.trim_end().to_owned();
            }
        }
    }

    fn say(&mut self, words: &str) -> String {
        self.0.get_mut().write_all(words.as_bytes()).expect("the server reads");
        self.hear()
    }

    /// As far as the mail itself.
    fn begin(port: u16, recipients: &[&str]) -> Client {
        let mut client = Client::connect(port);
        assert!(client.hear().starts_with("220"));
        assert!(client.say("EHLO desk\r\n").starts_with("250"));
        assert!(client.say("MAIL FROM:<desk@example.com> BODY=8BITMIME\r\n").starts_with("250"));
        for recipient in recipients {
            client.say(&format!("RCPT TO:<{recipient}>\r\n"));
        }
        client
    }
}

const MAIL: &str = "Subject: dots\r\n\r\n.one\r\n..two\r\nlast\r\n";
const STUFFED: &str = "Subject: dots\r\n\r\n..one\r\n...two\r\nlast\r\n.\r\n";

#[test]
fn smtp_sink_tells_what_it_received() {
    let Some(sink) = SmtpSink::start() else { return };
    let mut client = Client::begin(sink.port, &["a@customers.test", "b@customers.test"]);
    client.say("DATA\r\n");
    assert!(client.say(STUFFED).starts_with("250"));
    // Another one that never comes to its dot.
    let mut cut = Client::begin(sink.port, &["c@customers.test"]);
    cut.say("DATA\r\n");
    cut.0.get_mut().write_all(b"Subject: half\r\n").expect("the sink reads");
    let expected = Sunk {
        sender: "desk@example.com".to_owned(),
        recipients: vec!["a@customers.test".to_owned(), "b@customers.test".to_owned()],
        bytes: MAIL.as_bytes().to_vec(),
    };
    let received = wait_until("the mail", Duration::from_secs(30), || {
        Some(sink.received()).filter(|mails| !mails.is_empty())
    });
    assert_eq!(received, std::slice::from_ref(&expected));
    drop(cut);
    assert_eq!(sink.received(), [expected]);
}

#[test]
fn scripted_smtp_answers_each_recipient_as_told() {
    let server = ScriptedSmtp::start();
    server.answer(Phase::Rcpt("gone@customers.test".into()), Answer::reply(550, "5.1.1 no such user"));
    server.answer_once(Phase::Rcpt("busy@customers.test".into()), Answer::reply(451, "4.2.0 later"));
    let all = ["a@customers.test", "gone@customers.test", "busy@customers.test"];
    let mut client = Client::begin(server.port, &all);
    assert!(client.say("DATA\r\n").starts_with("354"));
    assert!(client.say(STUFFED).starts_with("250"));
    let taken = server.accepted();
    assert_eq!(taken.len(), 1);
    assert_eq!(taken[0].sender, "desk@example.com");
    assert_eq!(taken[0].mail_parameters, "BODY=8BITMIME");
    assert_eq!(taken[0].recipients, ["a@customers.test"]);
    assert_eq!(taken[0].refused, [(all[1].to_owned(), 550), (all[2].to_owned(), 451)]);
    assert_eq!(taken[0].bytes, MAIL.as_bytes());
    assert_eq!(taken[0].connection, 0);
    assert!(client.say("QUIT\r\n").starts_with("221"));

    let mut again = Client::begin(server.port, &["busy@customers.test"]);
    assert!(again.say("DATA\r\n").starts_with("354"), "the second time it is taken: the answer was for once");
    assert_eq!(server.commands().last().map(String::as_str), Some("1 DATA"));
}

#[test]
fn scripted_smtp_cuts_and_stalls_where_told() {
    let server = ScriptedSmtp::start();
    server.announce(&["SIZE 1000"]);
    server.answer_once(Phase::Dot, Answer::Cut);
    server.answer_once(Phase::Dot, Answer::reply(451, "4.3.0 later"));
    for _ in 0..2 {
        let mut client = Client::begin(server.port, &["a@customers.test"]);
        client.say("DATA\r\n");
        client.say(STUFFED);
    }
    server.answer(Phase::Data, Answer::CutAfter(20));
    let mut client = Client::begin(server.port, &["a@customers.test"]);
    client.say("DATA\r\n");
    assert_eq!(client.say(STUFFED), "");
    server.answer(Phase::Data, Answer::reply(354, "go on"));
    server.answer(Phase::Dot, Answer::Stall);
    let mut client = Client::begin(server.port, &["a@customers.test"]);
    client.say("DATA\r\n");
    client.0.get_mut().write_all(STUFFED.as_bytes()).expect("the server reads");
    let ended = server.wait_for(4);
    let ends: Vec<End> = ended.iter().map(|t| t.end).collect();
    assert_eq!(ends, [End::CutAfterDot, End::Answered(451), End::WithoutDot, End::StalledAfterDot]);
    assert_eq!(ended[0].bytes, MAIL.as_bytes());
    assert_eq!(ended[2].bytes, &MAIL.as_bytes()[..ended[2].bytes.len()]);
    drop(server);
    assert_eq!(client.hear(), "", "a stall ends with the server");
}

#[test]
fn each_call_gives_a_fresh_postgres_database() {
    let (Some(one), Some(two)) = (postgres::database(), postgres::database()) else { return };
    assert_ne!(one, two);
    assert!(one.starts_with("postgres://"), "{one}");
}

#[test]
fn a_peer_and_its_folder_go_when_it_is_dropped() {
    let folder = server::new_folder("peer", None).expect("a folder");
    let peer = Peer::start(&folder, None, "TERM", &["sleep", "600"]).expect("a shell");
    let pid = wait_until("the peer", Duration::from_secs(30), || peer.pid());
    assert!(!peer.has_ended());
    drop(peer);
    assert!(!folder.exists());
    assert!(!std::path::Path::new(&format!("/proc/{pid}")).exists());
}

#[test]
fn a_desk_runs_the_program_and_tells_how_it_ended() {
    let imap = Imap { port: 1, username: "support".to_owned(), password: "secret".to_owned() };
    let desk = Desk::with_support(Store::Sqlite, &imap, 1).expect("SQLite is always here");
    assert!(desk.config().is_file());
    let begun = Instant::now();
    let mut running = desk.spawn(&["--help"]);
    assert!(running.wait(Duration::from_secs(30)).success(), "{}", running.log());
    assert!(begun.elapsed() < Duration::from_secs(30));
    desk.run(&["--help"]).ok();
}
