//! The sender against a relay that does what a test says, on both engines.

mod desk;
mod oauth;
mod peer;

use std::net::TcpListener;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use desk::{NOON, desks, relay, sql, unstuffed};
use maildesk::clock::Pulse;
use maildesk::config::{RelayKind, Tls};
use maildesk::mail::compose::AttachedSpan;
use maildesk::mail::{Encoding, Span};
use maildesk::net::Login;
use maildesk::outbound::{Deadlines, RelaySettings};
use maildesk::store::Member;
use maildesk::store::delivery::Sender;
use peer::{Do, Peer, Seen, polite};

#[tokio::test]
async fn each_recipient_has_its_own_fate() {
    let peer = Peer::start(|event, seen| match event {
        "RCPT TO:<gone@x.test>" => Do::Say("550-5.1.1 no such\r\n550 5.1.1 user"),
        "RCPT TO:<grey@x.test>" if seen.count("RCPT TO:<grey") == 1 => Do::Say("451 4.7.1 come later"),
        other => polite(other),
    });
    for desk in desks(relay(peer.port)).await {
        *peer.seen() = Seen::default();
        let id = desk.queue(&["ok@x.test", "gone@x.test", "grey@x.test"]).await;
        let report = desk.pass().await;
        assert_eq!((report.sent, report.deferred, report.failed), (1, 1, 1));
        let expected = ["gone@x.test failed 1 550", "grey@x.test deferred 1 451", "ok@x.test sent 1 250"];
        assert_eq!(desk.fates(id).await, expected);
        let mail = desk.mail(id).await;
        assert_eq!(
            (mail.recipients[0].enhanced.as_str(), mail.recipients[0].words.as_str()),
            ("5.1.1", "no such user")
        );
        assert_eq!(desk.events().await, [format!("delivery_failed outbox:{id}")]);
        assert_eq!(mail.state, "queued");

        // Not before its time.
        let report = desk.pass().await;
        assert_eq!((report.sent, report.deferred), (0, 0));
        desk.forward(2);
        assert_eq!(desk.pass().await.sent, 1);
        desk.forward(1000);
        assert_eq!(desk.pass().await.sent, 0);
        assert_eq!(desk.mail(id).await.state, "done");
        {
            let seen = peer.seen();
            assert_eq!((seen.mails, seen.count("RCPT TO:<ok"), seen.count("RCPT TO:<grey")), (2, 1, 2));
            assert!(seen.contents[0] == seen.contents[1]);
            assert!(seen.commands.iter().any(|c| c.starts_with("MAIL FROM:<bounce+1@example.com> SIZE=")));
        }
        let repeated: Vec<bool> = desk.attempts(id).await.iter().map(|a| a.is_possibly_repeated).collect();
        assert_eq!(repeated, [false, false]);
    }
}

#[tokio::test]
async fn a_mail_cut_after_its_final_dot_is_sent_again_and_marked() {
    let peer = Peer::start(|event, seen| match event {
        "dot" if seen.mails == 1 => Do::Cut,
        other => polite(other),
    });
    for desk in desks(relay(peer.port)).await {
        *peer.seen() = Seen::default();
        let id = desk.queue(&["a@x.test"]).await;
        let report = desk.pass().await;
        assert_eq!((report.sent, report.deferred), (0, 1));
        let first = &desk.attempts(id).await[0];
        assert_eq!(
            (first.state.as_str(), first.ended, first.is_possibly_repeated),
            ("dot_sent", None, false)
        );
        desk.forward(2);
        assert_eq!(desk.pass().await.sent, 1);
        let attempts = desk.attempts(id).await;
        assert_eq!((attempts.len(), attempts[1].state.as_str()), (2, "ended"));
        assert!(attempts[1].is_possibly_repeated && attempts[1].code == 250);
        let seen = peer.seen();
        assert!(seen.contents.len() == 2 && seen.contents[0] == seen.contents[1]);
        assert!(
            String::from_utf8_lossy(&seen.contents[0])
                .contains(&format!("Message-ID: <md.{id}@example.com>"))
        );
    }
}

#[tokio::test]
async fn a_crash_before_the_dot_repeats_unmarked_and_after_it_marked() {
    let peer = Peer::start(|event, _| polite(event));
    for desk in desks(relay(peer.port)).await {
        for (is_dot_sent, expected) in [(false, false), (true, true)] {
            let id = desk.queue(&["a@x.test"]).await;
            // The process dies here, with the attempt as it stands.
            let mut tx = desk.store.write().await.unwrap();
            let sender = Sender { owner: "test", now: desk.clock.now() };
            let mail = tx.claim(id, sender).await.unwrap().unwrap();
            let attempt = tx.start_attempt(&mail, "out", sender.now).await.unwrap();
            if is_dot_sent {
                assert!(tx.dot_sent(&mail, attempt).await.unwrap());
            }
            tx.commit().await.unwrap();
            assert_eq!(desk.pass().await.sent, 1);
            assert_eq!(desk.attempts(id).await[1].is_possibly_repeated, expected);
        }
    }
}

fn member(id: &str) -> Member {
    Member { id: id.into(), command: "run".into(), host: "here".into(), pid: 1, process: String::new() }
}

#[tokio::test]
async fn a_mail_belongs_to_the_last_who_claimed_it() {
    for desk in desks(relay(1)).await {
        let id = desk.queue(&["a@x.test"]).await;
        let mut tx = desk.store.write().await.unwrap();
        let now = desk.clock.now();
        let (one, other) = (Sender { owner: "one", now }, Sender { owner: "other", now });
        tx.join(&member("one"), None).await.unwrap();
        let mail = tx.claim(id, one).await.unwrap().unwrap();
        let attempt = tx.start_attempt(&mail, "out", now).await.unwrap();
        assert!(tx.claim(id, other).await.unwrap().is_none());
        assert!(tx.relays_due(other).await.unwrap().is_empty());
        // Time goes by, and nobody else came: the outcome counts.
        assert!(tx.dot_sent(&mail, attempt).await.unwrap());
        let later = now.plus(Duration::from_secs(3600));
        tx.leave("one").await.unwrap();
        let theirs = tx.claim(id, Sender { now: later, ..other }).await.unwrap().unwrap();
        assert!(theirs.fence > mail.fence);
        assert!(!tx.dot_sent(&mail, attempt).await.unwrap());
        assert!(!tx.record(&mail, &[], later).await.unwrap());
        assert!(tx.start_attempt(&theirs, "out", later).await.unwrap().is_possibly_repeated);
        tx.commit().await.unwrap();
    }
}

#[tokio::test]
async fn a_relay_that_stalls_is_left_at_the_deadline() {
    for stall_at in ["connect", "EHLO", "MAIL", "RCPT", "DATA", "dot"] {
        let peer =
            Peer::start(move |event, _| if event.starts_with(stall_at) { Do::Stall } else { polite(event) });
        for mut desk in desks(relay(peer.port)).await {
            let short = Duration::from_millis(300);
            desk.outbound.deadlines =
                Deadlines { connect: short, command: short, envelope: short, block: short, end: short };
            let id = desk.queue(&["a@x.test"]).await;
            let began = std::time::Instant::now();
            assert_eq!(desk.pass().await.sent, 0);
            assert!(began.elapsed() < Duration::from_secs(20), "stalled at {stall_at}");
            assert_eq!(desk.fates(id).await, ["a@x.test deferred 1 0"], "stalled at {stall_at}");
            let words = desk.mail(id).await.recipients[0].words.clone();
            assert!(words.contains("within 300ms"), "{words}");
        }
    }
}

#[tokio::test]
async fn a_relay_that_is_away_defers_all_its_mail_at_once() {
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    for desk in desks(relay(free)).await {
        let (a, b) = (desk.queue(&["a@x.test", "b@x.test"]).await, desk.queue(&["c@x.test"]).await);
        let report = desk.pass().await;
        assert_eq!(report.failing.len(), 1, "{report:?}");
        assert_eq!(desk.fates(a).await, ["a@x.test deferred 1 0", "b@x.test deferred 1 0"]);
        assert_eq!(desk.fates(b).await, ["c@x.test deferred 1 0"]);
        assert!(desk.attempts(a).await.is_empty());
        let mail = desk.mail(b).await;
        assert!(
            mail.recipients[0].words.contains("refuses the connection"),
            "{:?}",
            mail.recipients[0].words
        );
        assert!(mail.next > desk.clock.now());
        // And again until nobody believes in it any more.
        for _ in 0..60 {
            desk.forward(5 * 60);
            desk.pass().await;
        }
        assert_eq!(desk.mail(b).await.state, "done");
        let recipient = &desk.mail(b).await.recipients[0];
        assert_eq!(recipient.state, "failed");
        assert!(recipient.words.starts_with("given up after 2"), "{}", recipient.words);
        assert_eq!(desk.events().await.len(), 3);
    }
}

#[tokio::test]
async fn pause_cancel_and_retry_are_obeyed() {
    let peer = Peer::start(|event, seen| match event {
        "RCPT TO:<no@x.test>" if seen.count("RCPT TO:<no") == 1 => Do::Say("550 no"),
        other => polite(other),
    });
    for desk in desks(relay(peer.port)).await {
        *peer.seen() = Seen::default();
        let (a, b) = (desk.queue(&["a@x.test"]).await, desk.queue(&["no@x.test"]).await);
        sql(&desk.url, &["UPDATE relay SET paused = 1"]).await;
        assert_eq!(desk.pass().await.sent, 0);
        assert_eq!(peer.seen().connections, 0);
        let mut tx = desk.store.write().await.unwrap();
        tx.cancel(a, desk.clock.now()).await.unwrap();
        assert!(tx.cancel(a, desk.clock.now()).await.is_err());
        assert!(tx.retry(a, desk.clock.now()).await.is_err());
        tx.commit().await.unwrap();
        sql(&desk.url, &["UPDATE relay SET paused = 0"]).await;
        assert_eq!(desk.pass().await.failed, 1);
        assert_eq!(desk.fates(a).await, ["a@x.test cancelled 0 0"]);
        let mut tx = desk.store.write().await.unwrap();
        tx.retry(b, desk.clock.now()).await.unwrap();
        tx.commit().await.unwrap();
        assert_eq!(desk.pass().await.sent, 1);
        assert_eq!(desk.fates(b).await, ["no@x.test sent 1 250"]);
        assert_eq!(peer.seen().count("RCPT TO:<a@"), 0);
    }
}

#[tokio::test]
async fn a_mail_at_its_final_dot_cannot_be_cancelled_and_one_before_it_holds_the_dot() {
    for desk in desks(relay(1)).await {
        let now = desk.clock.now();
        for (owner, is_dot_sent) in [("one", true), ("other", false)] {
            let id = desk.queue(&["a@x.test"]).await;
            let mut tx = desk.store.write().await.unwrap();
            tx.join(&member(owner), None).await.unwrap();
            let mail = tx.claim(id, Sender { owner, now }).await.unwrap().unwrap();
            let attempt = tx.start_attempt(&mail, "out", now).await.unwrap();
            if is_dot_sent {
                assert!(tx.dot_sent(&mail, attempt).await.unwrap());
            }
            assert_eq!(tx.cancel(id, now).await.is_err(), is_dot_sent);
            assert_eq!(tx.dot_sent(&mail, attempt).await.unwrap(), is_dot_sent);
            tx.commit().await.unwrap();
        }
    }
}

#[tokio::test]
async fn content_goes_out_exactly_with_its_dots_stuffed() {
    let peer = Peer::start(|event, _| polite(event));
    for desk in desks(relay(peer.port)).await {
        *peer.seen() = Seen::default();
        let id = desk.queue(&["a@x.test"]).await;
        desk.pass().await;
        let mut tx = desk.store.write().await.unwrap();
        tx.retry(id, NOON).await.unwrap_err();
        drop(tx);
        let content = peer.seen().contents[0].clone();
        let text = String::from_utf8(content).unwrap();
        assert!(text.ends_with("\r\n\r\nHello,\r\n\r\n..\r\n...two\r\nbye\r\n\r\n"), "{text:?}");
    }
}

#[tokio::test]
async fn big_attachments_are_streamed_from_the_store() {
    use base64::Engine as _;
    let peer = Peer::start(|event, _| polite(event));
    let bytes: Vec<u8> = (0..3_000_000_u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    let encoded = base64::engine::general_purpose::STANDARD.encode(&bytes);
    // Lines as some mail programs break them: too long, and by LF alone.
    let lines: String =
        encoded.as_bytes().chunks(120).map(|l| format!("{}\n", String::from_utf8_lossy(l))).collect();
    let raw = [b"head\r\n".as_slice(), lines.as_bytes(), b"--\r\n", &bytes].concat();
    let spans = [
        Span { offset: 6, length: lines.len() as u64, encoding: Encoding::Base64 },
        Span { offset: 6 + lines.len() as u64 + 4, length: bytes.len() as u64, encoding: Encoding::Identity },
    ];
    for desk in desks(relay(peer.port)).await {
        *peer.seen() = Seen::default();
        let arrival = desk.keep_raw(&raw).await;
        let attached = |span: Span| AttachedSpan {
            name: "big.bin".into(),
            content_type: "application/octet-stream".into(),
            is_inline: false,
            arrival,
            span,
            size: bytes.len() as u64,
        };
        desk.queue_with(&["a@x.test"], "see below", spans.into_iter().map(attached).collect()).await;
        assert_eq!(desk.pass().await.sent, 1);
        let content = unstuffed(&peer.seen().contents[0]);
        assert!(content.split(|b| *b == b'\n').all(|line| line.len() <= 200));
        let mail = mail_parser::MessageParser::default().parse(&content).unwrap();
        assert_eq!(mail.attachment_count(), 2);
        assert!(mail.attachments().all(|a| a.contents() == bytes));
        // The bytes are gone: no later try brings them back.
        let id =
            desk.queue_with(&["a@x.test"], "x", vec![attached(Span { offset: 1 << 40, ..spans[0] })]).await;
        assert_eq!(desk.pass().await.failed, 1);
        assert!(desk.mail(id).await.recipients[0].words.contains("raw mail of arrival"));
        let begun = || (peer.seen().contents.len() == 2).then_some(());
        crate::support::wait_until("the relay to see the mail begin", Duration::from_secs(30), begun);
        assert_eq!(peer.seen().mails, 1, "no final dot for half a mail");
    }
}

#[tokio::test]
async fn many_mails_share_a_connection() {
    let peer = Peer::start(|event, _| polite(event));
    for desk in desks(relay(peer.port)).await {
        *peer.seen() = Seen::default();
        for _ in 0..120 {
            desk.queue(&["a@x.test"]).await;
        }
        assert_eq!(desk.outbound.pass(10).await.unwrap().sent, 10);
        assert_eq!(desk.pass().await.sent, 100);
        assert_eq!(desk.pass().await.sent, 10);
        let seen = peer.seen();
        assert_eq!((seen.mails, seen.connections, seen.count("QUIT")), (120, 3, 3));
    }
}

#[tokio::test]
async fn a_connection_that_died_between_mails_is_replaced_unnoticed() {
    for farewell in ["cut", "421"] {
        let peer = Peer::start(move |event, seen| match event {
            // The second mail of a connection is refused by closing it.
            e if e.starts_with("MAIL") && seen.mails % 2 == 1 && seen.count("MAIL") == 2 * seen.mails => {
                match farewell {
                    "cut" => Do::Cut,
                    _ => Do::Say("421 4.7.0 one mail is enough"),
                }
            }
            other => polite(other),
        });
        for desk in desks(relay(peer.port)).await {
            *peer.seen() = Seen::default();
            let ids = [desk.queue(&["a@x.test"]).await, desk.queue(&["b@x.test"]).await];
            assert_eq!(desk.pass().await.sent, 2, "{farewell}");
            assert_eq!(peer.seen().connections, 2);
            for id in ids {
                assert_eq!(desk.attempts(id).await.len(), 1);
            }
        }
    }
}

#[tokio::test]
async fn a_refused_login_defers_and_tells_no_password() {
    for offered in ["250 AUTH PLAIN", "250-AUTH LOGIN\r\n250 ok", "250 nothing"] {
        let peer = Peer::start(move |event, _| match event {
            e if e.starts_with("EHLO") => Do::Say(offered),
            "AUTH LOGIN" => Do::Say("334 VXNlcm5hbWU6"),
            // "hunter2", and "\0me\0hunter2", in base64.
            "bWU=" => Do::Say("334 UGFzc3dvcmQ6"),
            "aHVudGVyMg==" | "AUTH PLAIN AG1lAGh1bnRlcjI=" => {
                Do::Say("535 5.7.8 bad login AG1lAGh1bnRlcjI= aHVudGVyMg== hunter2")
            }
            other => polite(other),
        });
        let settings = RelaySettings { login: Some(Login::password("me", "hunter2")), ..relay(peer.port) };
        assert!(!format!("{settings:?}").contains("hunter2"));
        for desk in desks(settings).await {
            let id = desk.queue(&["a@x.test"]).await;
            let report = desk.pass().await;
            assert_eq!(desk.fates(id).await, ["a@x.test deferred 1 0"]);
            let words = desk.mail(id).await.recipients[0].words.clone();
            let expected =
                if offered.contains("AUTH") { "refuses the login of \"me\"" } else { "offers neither" };
            assert!(words.contains(expected), "{words}");
            for secret in ["hunter2", "aHVudGVyMg", "AG1lAGh1bnRlcjI"] {
                assert!(!words.contains(secret) && !format!("{report:?}").contains(secret), "{words}");
            }
        }
    }
}

#[tokio::test]
async fn mail_goes_under_tls_to_whom_the_certificate_names() {
    let dir = tempfile::tempdir().unwrap();
    for (tls, is_starttls) in [(Tls::Tls, false), (Tls::Starttls, true)] {
        let (peer, ca_file) = Peer::start_tls(is_starttls, dir.path());
        let settings = RelaySettings {
            tls,
            host: "localhost".into(),
            login: Some(Login::password("me", "hunter2")),
            ca_file: Some(ca_file),
            ..relay(peer.port)
        };
        for desk in desks(settings.clone()).await {
            let id = desk.queue(&["a@x.test"]).await;
            desk.pass().await;
            assert_eq!(
                desk.fates(id).await,
                ["a@x.test sent 1 250"],
                "{}",
                desk.mail(id).await.recipients[0].words
            );
        }
        for desk in desks(RelaySettings { ca_file: None, ..settings }).await {
            let id = desk.queue(&["a@x.test"]).await;
            desk.pass().await;
            assert_eq!(desk.fates(id).await, ["a@x.test deferred 1 0"]);
            assert!(desk.mail(id).await.recipients[0].words.contains("unknown CA"));
        }
    }
    // No STARTTLS, no mail and no password.
    let peer = Peer::start(|event, _| polite(event));
    for desk in desks(RelaySettings { tls: Tls::Starttls, ..relay(peer.port) }).await {
        let id = desk.queue(&["a@x.test"]).await;
        desk.pass().await;
        assert!(desk.mail(id).await.recipients[0].words.contains("does not offer STARTTLS"));
    }
}

#[tokio::test]
async fn odd_replies_are_taken_for_what_they_say() {
    for (at, reply, fate) in [
        ("dot", &b"250 Gr\xfc\xdfe\r\n"[..], "sent 1 250"),
        ("dot", b"250-a\r\n250 b\r\n", "sent 1 250"),
        ("dot", b"554 5.7.1 spam\r\n", "failed 1 554"),
        ("dot", b"452 4.3.1 full\r\n", "deferred 1 452"),
        ("DATA", b"554 no\r\n", "failed 1 554"),
        ("MAIL", b"552 5.3.4 too big\r\n", "failed 1 552"),
        ("MAIL", b"530 5.7.0 login first\r\n", "deferred 1 0"),
        ("RCPT", b"421 closing\r\n", "deferred 1 421"),
        ("RCPT", b"hello there\r\n", "deferred 1 0"),
        ("connect", b"554 no service\r\n", "deferred 1 0"),
        ("connect", b"220", "deferred 1 0"),
    ] {
        let peer = Peer::start(move |event, seen| match event.starts_with(at) {
            true if reply == b"220" && seen.commands.is_empty() => Do::Cut,
            true => Do::SayBytes(reply),
            false => polite(event),
        });
        for desk in desks(relay(peer.port)).await {
            *peer.seen() = Seen::default();
            let id = desk.queue(&["a@x.test"]).await;
            desk.pass().await;
            assert_eq!(desk.fates(id).await, [format!("a@x.test {fate}")], "{at} {}", reply.escape_ascii());
        }
    }
}

#[tokio::test]
async fn a_folder_takes_mail_as_files() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("sent");
    let settings = RelaySettings { kind: RelayKind::Folder, host: path.display().to_string(), ..relay(0) };
    for desk in desks(settings).await {
        let id = desk.queue(&["a@x.test", "b@x.test"]).await;
        assert_eq!(desk.pass().await.sent, 2);
        let files: Vec<_> = std::fs::read_dir(&path).unwrap().flatten().map(|f| f.file_name()).collect();
        assert_eq!(files, [format!("{id}.eml").as_str()]);
        let bytes = std::fs::read(path.join(format!("{id}.eml"))).unwrap();
        assert!(String::from_utf8(bytes).unwrap().contains("\r\n\r\nHello,\r\n\r\n.\r\n..two\r\n"));
        assert_eq!(desk.attempts(id).await[0].state, "ended");
    }
}

#[tokio::test]
async fn the_running_sender_wakes_sends_and_stops() {
    let peer = Peer::start(|event, _| polite(event));
    for desk in desks(relay(peer.port)).await {
        *peer.seen() = Seen::default();
        let stop = tokio_util::sync::CancellationToken::new();
        let wake = Arc::new(tokio::sync::Notify::new());
        let told = Mutex::new(0);
        let running = desk.outbound.clone().run(stop.clone(), wake.clone(), Pulse::default(), |report| {
            *told.lock().unwrap() += report.sent;
        });
        let watching = async {
            for n in 1..=3 {
                desk.queue(&["a@x.test"]).await;
                wake.notify_one();
                while peer.seen().mails < n {
                    tokio::time::sleep(Duration::from_millis(10)).await;
                }
            }
            stop.cancel();
        };
        let both = async { tokio::join!(running, watching) };
        tokio::time::timeout(Duration::from_secs(20), both).await.expect("three mails in twenty seconds");
        assert_eq!(*told.lock().unwrap(), 3);
        assert!(desk.dir.path().exists());
    }
}
