//! Relays that hang hold up nobody but themselves.

use std::net::TcpListener;
use std::time::{Duration, Instant};

use maildesk::clock::Pulse;
use tokio_util::sync::CancellationToken;

use crate::support::trial::{Letter, SUPPORT, Trial, on_both_stores};

/// More than the store has connections to read with.
const SLOW: u8 = 12;

on_both_stores!(relays_that_hang_hold_up_no_other);

async fn relays_that_hang_hold_up_no_other(url: String) {
    // Each on a host of its own: connections are taken, and nothing is ever said.
    let listeners: Vec<TcpListener> =
        (1..=SLOW).map(|n| TcpListener::bind((format!("127.0.1.{n}"), 0)).expect("the loopback")).collect();
    let mut slow = String::new();
    for (n, listener) in listeners.iter().enumerate() {
        let address = listener.local_addr().expect("bound");
        slow.push_str(&format!(
            "[[relay]]\nname = \"slow{n}\"\nhost = \"{}\"\nport = {}\ntls = \"plain\"\nsender = \"a{n}@example.com\"\n\
             [[type]]\nname = \"Slow{n}\"\ntag = \"Slow{n}\"\nmailbox = \"support\"\nrelay = \"slow{n}\"\n\
             addresses = [\"slow{n}@example.com\"]\nadmin = \"admin@example.net\"\n",
            address.ip(),
            address.port()
        ));
    }
    // The slow ones stand in front.
    let trial = Trial::with(&url, &format!("{slow}{SUPPORT}")).await;
    for n in 0..usize::from(SLOW) {
        trial.deliver(
            &format!("{n}.s"),
            &Letter::new(&format!("s{n}")).to(&format!("slow{n}@example.com")).bytes(),
        );
    }
    trial.deliver("99.q", &Letter::new("q").bytes());
    trial.poll().await;
    let stop = CancellationToken::new();
    let running =
        trial.works.outbound().run(stop.clone(), trial.works.wake.clone(), Pulse::default(), |_| ());
    let look = async {
        let begun = Instant::now();
        let is_sent = async || {
            trial
                .queue()
                .await
                .iter()
                .any(|m| m.subject.contains("Support") && m.recipients[0].state == "sent")
        };
        while !is_sent().await {
            assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", trial.queue().await);
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    // The visits end with the sender: a crash would be no worse.
    tokio::select! {
        () = running => {}
        () = look => {}
    }
    let waiting = trial.queue().await.iter().filter(|m| m.recipients[0].state == "queued").count();
    assert_eq!(waiting, usize::from(SLOW), "they are being tried still");
}
