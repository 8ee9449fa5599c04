//! The virus scanner (B12): what it finds, what waits for it, and all that a clamd can do wrong.

use std::time::Duration;

use maildesk::config::{ScannerAddress, Unscanned, VirusScanner};
use maildesk::failure::Kind;
use maildesk::intake::Scanning;
use maildesk::intake::replay::Grounds;
use maildesk::scanner::{Bytes, Scanner, Unanswered, Verdict};
use maildesk::store::arrival::Of;
use maildesk::ticket::ArrivalId;
use maildesk::triage::Scan;

use crate::support::clamd::{Clamd, Mood, signature};
use crate::support::program::{Desk, Store};
use crate::support::trial::{Letter, SUPPORT, Trial, on_both_stores};
use crate::support::wait_until;

on_both_stores!(what_is_found_is_invalid_and_replay_asks_nobody, what_waits_for_the_scanner_is_passed_by,);

/// A desk that asks this scanner, and asks it again at once after a failure.
async fn asking(url: &str, address: &str, more: &str) -> Trial {
    let sections = format!("{SUPPORT}[virus_scanner]\naddress = \"{address}\"\n{more}");
    let mut trial = Trial::with(url, &sections).await;
    let scanning = trial.works.intake.scanning.take().expect("a scanner");
    trial.works.intake.scanning = Some(scanning.patient_for(Duration::ZERO));
    trial
}

fn infected(id: &str) -> Letter {
    Letter::new(id).body(&signature())
}

async fn what_is_found_is_invalid_and_replay_asks_nobody(url: String) {
    let folder = tempfile::tempdir().unwrap();
    let clamd = Clamd::on_socket(&folder.path().join("clamd"));
    let trial = asking(&url, &clamd.address, "").await;
    assert_eq!(trial.take_in(Letter::new("clean")).await, "open new_ticket #1");
    assert_eq!(trial.take_in(infected("bad")).await, "invalid virus_found");
    // Not even a reply to a mail of ours, and no copy of what is known.
    let answer = trial.answer(1).await;
    assert_eq!(trial.take_in(infected("reply").answering(&answer.message_id)).await, "invalid virus_found");
    assert_eq!(trial.take_in(infected("clean")).await, "invalid virus_found");
    assert_eq!(trial.remaining(), 0);
    let letters = [Letter::new("clean"), infected("bad")].map(|letter| letter.bytes());
    assert_eq!(clamd.messages()[..2], letters, "the message as it came");
    drop(clamd);
    for (arrival, scan) in [(1, Scan::Clean), (2, Scan::Found("Eicar-Signature".into()))] {
        for grounds in [Grounds::Stored, Grounds::AsOfThen] {
            let again = trial.works.intake.decide_again(ArrivalId(arrival), grounds).await.unwrap();
            assert_eq!(again.decision.code.as_str(), again.row.code, "{grounds:?}");
            assert_eq!(again.clues.scan, Some(scan.clone()), "{grounds:?}");
        }
    }
    assert_eq!(trial.alerts().await, Vec::<String>::new());
    trial.assert_balanced().await;
}

/// More wait than one page of the work list holds.
async fn what_waits_for_the_scanner_is_passed_by(url: String) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("clamd");
    let trial = asking(&url, &format!("unix:{}", path.display()), "").await;
    for n in 0..60 {
        trial.deliver(&format!("{}.bad", 100 + 2 * n), &Letter::new(&format!("bad{n}")).body("knot").bytes());
        trial.deliver(&format!("{}.good", 101 + 2 * n), &Letter::new(&format!("good{n}")).bytes());
    }
    let report = trial.poll().await;
    assert_eq!((report.fetched, report.fates.total(), report.acknowledged), (120, 0, 0));
    assert_eq!(
        (trial.remaining(), trial.tickets().await.len()),
        (120, 0),
        "nothing is lost, nothing decided"
    );
    assert_eq!(trial.alerts().await, ["scanner:failing"]);

    let clamd = Clamd::on_socket(&path);
    clamd.be(Mood::ClosesOn("knot"));
    let report = trial.poll().await;
    assert_eq!((report.fates.total(), trial.remaining()), (60, 60), "the others go on");
    let alerts = trial.alerts().await;
    assert_eq!(alerts.len(), 60, "one for each that waits, none for the scanner: {alerts:?}");
    assert!(alerts.iter().all(|name| name.starts_with("unscanned:")), "{alerts:?}");
    trial.deliver("900.new", &Letter::new("new").bytes());
    assert_eq!(trial.poll().await.fates.total(), 1, "and new mail, too");

    clamd.be(Mood::Kind);
    assert_eq!(trial.poll().await.fates.total(), 60);
    assert_eq!((trial.remaining(), trial.alerts().await), (0, vec![]));
    trial.assert_balanced().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_too_big_for_the_scanner_is_invalid_or_taken() {
    let clamd = Clamd::on_port();
    let big = |id: &str| Letter::new(id).body(&"0123456789abcdef\r\n".repeat(70_000));
    let trial = asking("sqlite:desk.db", &clamd.address, "size_limit_mb = 1\n").await;
    assert_eq!(trial.take_in(big("ours")).await, "invalid not_scanned", "over our limit");
    assert_eq!(clamd.connections(), 0);
    let taking = asking("sqlite:desk.db", &clamd.address, "unscanned = \"take\"\n").await;
    assert_eq!(taking.take_in(big("whole")).await, "open new_ticket #1");
    assert!(clamd.messages() == [big("whole").bytes()], "piece by piece it is the same message");
    assert!(clamd.largest_piece() <= 256 << 10, "{}", clamd.largest_piece());
    clamd.be(Mood::TakesUpTo(600_000));
    let trial = asking("sqlite:desk.db", &clamd.address, "").await;
    assert_eq!(trial.take_in(big("theirs")).await, "invalid not_scanned", "over its limit");
    assert_eq!(taking.take_in(big("taken")).await, "open new_ticket #2");
    assert_eq!(trial.alerts().await, Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn mail_is_taken_unscanned_only_where_that_is_said() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("clamd");
    let trial = asking("sqlite:desk.db", &format!("unix:{}", path.display()), "unscanned = \"take\"\n").await;
    assert_eq!(trial.take_in(infected("a")).await, "open new_ticket #1");
    assert_eq!(trial.alerts().await, ["scanner:failing"]);
    let again = trial.works.intake.decide_again(ArrivalId(1), Grounds::Stored).await.unwrap();
    let why = again.decision.trace.iter().find(|step| step.rule == "virus_scan").expect("a step");
    assert!(why.evidence.contains("cannot connect"), "{why:?}");
    let _clamd = Clamd::on_socket(&path);
    assert_eq!(trial.take_in(infected("b")).await, "invalid virus_found");
    assert_eq!(trial.alerts().await, Vec::<String>::new());
}

/// What waits while the daemon starts anew counts no death against anybody, and a desk whose scanner was taken out of the
/// configuration goes on.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn waiting_for_the_scanner_is_no_try() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("clamd");
    let mut trial = asking("sqlite:desk.db", &format!("unix:{}", path.display()), "").await;
    trial.deliver("1.a", &Letter::new("a").bytes());
    trial.poll().await;
    for _ in 0..5 {
        trial.works.intake.decide_pending(Of::All, true).await.unwrap();
    }
    assert_eq!(trial.states().await, ["kept"]);
    trial.configure(SUPPORT).await;
    trial.works.decide_pending().await.unwrap();
    trial.works.clear_unscanned().await.unwrap();
    assert_eq!((trial.fates().await, trial.alerts().await), (vec!["open new_ticket #1".into()], vec![]));
}

fn scanner(address: ScannerAddress, timeout: Duration) -> Scanner {
    let unscanned = Unscanned::Wait;
    Scanner { settings: VirusScanner { address, size_limit_bytes: 25_000_000, timeout, unscanned } }
}

/// A message that is larger than what sockets hold, so that it is still under way when clamd has had enough.
async fn asked(clamd: &Clamd, timeout: Duration) -> Result<Verdict, Unanswered> {
    let (host, port) = clamd.address.rsplit_once(':').unwrap();
    let address = ScannerAddress::Tcp { host: host.to_owned(), port: port.parse().unwrap() };
    let message = vec![b'x'; 8 << 20];
    scanner(address, timeout).scan(&Bytes::Memory(&message)).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_unkind_scanner_calls_mail_clean() {
    let clamd = Clamd::on_port();
    let kind = |answered: Result<Verdict, Unanswered>| match answered {
        Err(Unanswered::Scanner(failure)) => {
            assert!(failure.words.starts_with("virus scanner 127.0.0.1:"), "{failure}");
            Ok(failure.kind)
        }
        other => Err(format!("{other:?}")),
    };
    let patient = Duration::from_secs(20);
    for (mood, expected) in [
        (Mood::Closes, Kind::Cut),
        (Mood::Says(b""), Kind::Cut),
        (Mood::Says(b"stream: OK"), Kind::NotUnderstood),
        (Mood::Says(b"stream: O\0K\0"), Kind::NotUnderstood),
        (Mood::Says(b"\0"), Kind::NotUnderstood),
        (Mood::Says(b"220 mx.example.com ESMTP\r\n"), Kind::NotUnderstood),
        (Mood::Says(&[b'x'; 20_000]), Kind::NotUnderstood),
        (Mood::Says(b"stream: Can't allocate memory ERROR\0"), Kind::Refused),
        (Mood::SaysAtOnce(b"stream: OK\0"), Kind::NotUnderstood),
        (Mood::SaysAtOnce(b"COMMAND READ TIMED OUT\0"), Kind::NotUnderstood),
    ] {
        clamd.be(mood.clone());
        assert_eq!(kind(asked(&clamd, patient).await), Ok(expected), "{mood:?}");
    }
    clamd.be(Mood::Stalls);
    assert_eq!(kind(asked(&clamd, Duration::from_millis(300)).await), Ok(Kind::Silent));
    clamd.be(Mood::TakesUpTo(1000));
    assert_eq!(asked(&clamd, patient).await.unwrap(), Verdict::TooBig);
    clamd.be(Mood::Kind);
    assert_eq!(asked(&clamd, patient).await.unwrap(), Verdict::Clean);
}

/// One message that it hangs on does not take the time of the others: it is asked about that one seldom.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_that_it_hangs_on_is_put_off() {
    let clamd = Clamd::on_port();
    clamd.be(Mood::StallsOn("knot"));
    let mut trial = asking("sqlite:desk.db", &clamd.address, "timeout_s = 2\n").await;
    let settings = trial.works.intake.scanning.take().expect("a scanner").scanner;
    trial.works.intake.scanning = Some(Scanning::new(settings));
    assert_eq!(trial.take_in(Letter::new("a").body("knot")).await, "kept");
    assert_eq!(trial.alerts().await, ["unscanned:1"]);
    let asked = clamd.connections();
    for n in 0..3 {
        assert_eq!(trial.take_in(Letter::new(&format!("b{n}"))).await, format!("open new_ticket #{}", n + 1));
    }
    assert_eq!(clamd.connections(), asked + 3, "the one that waits is not asked about in each round");
}

/// A daemon whose scanner comes later: what an MTA has brought waits without being asked for over and over, and is decided by
/// itself; doctor says how the scanner fares.
#[test]
fn the_daemon_waits_for_its_scanner() {
    let Some(desk) = Desk::new(Store::Sqlite) else { return };
    let path = desk.folder.path().join("clamd");
    desk.configure(
        "[virus_scanner]\naddress = \"unix:clamd\"\n[[relay]]\nname = \"out\"\nkind = \"folder\"\npath = \"out\"\n\
         sender = \"support@example.com\"\n[[mailbox]]\nname = \"pipe\"\nprotocol = \"pipe\"\n[[type]]\n\
         name = \"Support\"\ntag = \"Support\"\nmailbox = \"pipe\"\nrelay = \"out\"\n\
         addresses = [\"support@example.com\"]\nadmin = \"admin@example.net\"\n"
    );
    let clamd = Clamd::on_socket(&path);
    clamd.be(Mood::Closes);
    let mut daemon = desk.spawn(&["run"]);
    wait_until("the daemon", Duration::from_secs(30), || {
        desk.folder.path().join("maildesk.sock").exists().then_some(())
    });
    desk.run_with_input(&["deliver"], &infected("a").bytes()).ok();
    desk.run_with_input(&["deliver"], &Letter::new("b").bytes()).ok();
    wait_until("the alert", Duration::from_secs(30), || {
        desk.json(&["alert", "list", "--json"]).to_string().contains("scanner:failing").then_some(())
    });
    let said = desk.run(&["doctor"]);
    assert!(said.stdout.contains("FAIL  virus scanner: virus scanner "), "{}", said.stdout);
    assert!(clamd.connections() < 12, "asked {} times", clamd.connections());
    clamd.be(Mood::Kind);
    let fates = wait_until("the decisions", Duration::from_secs(60), || {
        let journal = desk.json(&["journal", "list", "--json"]);
        let codes: Vec<String> =
            journal.as_array()?.iter().filter_map(|line| Some(line["code"].as_str()?.to_owned())).collect();
        (codes.len() == 2).then_some(codes)
    });
    assert_eq!(fates, ["virus_found", "new_ticket"]);
    let said = desk.run(&["doctor"]).stdout;
    assert!(said.contains("ok    virus scanner: ") && said.contains("ClamAV 1.4.3"), "{said}");
    daemon.stop();
}
