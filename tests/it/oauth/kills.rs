//! Several who refresh one grant at once, and processes that die at every named step.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use maildesk::crash;
use maildesk::seal::Secret;

use super::*;
use crate::support::identity::{Fault, Rotation};
use crate::support::program::{Desk, Store};
use crate::support::{long_tier, setting, skipped, wait_until};

/// A claim of a dead process ends after 7 s; a machine may stall.
const PATIENCE: Duration = Duration::from_secs(60);

/// How many a test of many waits for.
pub fn refreshes() -> usize {
    let size = setting("MAILDESK_OAUTH_REFRESHES").and_then(|n| n.parse().ok());
    size.unwrap_or(if long_tier() { 500 } else { 40 })
}

/// Whose grant mailbox `m{n}` has.
pub fn user(n: usize) -> String {
    format!("user{n}@example.com")
}

/// A desk with mailboxes that nobody polls, each with a grant.
pub fn desk(store: Store, identity: &Identity, mailboxes: usize) -> Option<Desk> {
    let desk = Desk::new(store)?;
    let mut sections = identity.section("ours", "timeout_s = 2\n");
    for n in 0..mailboxes {
        sections.push_str(&format!(
            "[[mailbox]]\nname = \"m{n}\"\nprotocol = \"maildir\"\npath = \"Maildir{n}\"\n\n"
        ));
    }
    desk.configure(&sections);
    desk.run(&["migrate"]).ok();
    for n in 0..mailboxes {
        let token = identity.grant(&user(n), "mail offline_access");
        desk.run_with_input(&["oauth", "import", &format!("m{n}")], format!("{token}\n").as_bytes()).ok();
    }
    Some(desk)
}

#[test]
fn a_grant_outlives_a_kill_at_every_step_sqlite() {
    kill_at_every_step(Store::Sqlite);
}

#[test]
fn a_grant_outlives_a_kill_at_every_step_postgres() {
    kill_at_every_step(Store::Postgres);
}

/// Each step on a grant of its own, all at once: the claims of the dead run out at the same time.
fn kill_at_every_step(store: Store) {
    if !cfg!(feature = "crash-points") {
        skipped("built without the feature crash-points, which scripts/test gives");
        return;
    }
    let identity = Identity::start(Style::Microsoft);
    let points: Vec<&str> = crash::POINTS
        .iter()
        .copied()
        .filter(|p| p.starts_with("oauth.") && *p != "oauth.signed_in")
        .collect();
    let Some(desk) = desk(store, &identity, points.len() + 1) else { return };
    for (n, point) in points.iter().enumerate() {
        let mut child =
            desk.spawn_with(&["oauth", "refresh", &format!("m{n}")], &[("MAILDESK_CRASH_AT", point)]);
        assert!(!child.wait(PATIENCE).success(), "{point} was never met");
    }
    // And one that is killed while the provider has done its work and not answered yet.
    identity.desk().faults.push_back(Fault::HeldAnswer);
    let asked = identity.asked();
    let mut child = desk.spawn(&["oauth", "refresh", &format!("m{}", points.len())]);
    wait_until("the provider to be asked", PATIENCE, || (identity.asked() > asked).then_some(()));
    child.kill();
    // A sign-in that dies leaves the grant as it was.
    let token = identity.grant("someone@example.com", "mail offline_access");
    std::fs::write(desk.folder.path().join("token"), token).unwrap();
    let file = desk.folder.path().join("token").display().to_string();
    let import = ["oauth", "import", "m0", "--file", &file];
    assert!(!desk.spawn_with(&import, &[("MAILDESK_CRASH_AT", "oauth.signed_in")]).wait(PATIENCE).success());
    for round in 0..2 {
        for n in 0..=points.len() {
            let name = format!("m{n}");
            let refreshed = desk.run(&["oauth", "refresh", &name]);
            assert_eq!(
                refreshed.code,
                Some(0),
                "{store:?}, round {round}, {:?}: {refreshed:?}",
                points.get(n)
            );
        }
    }
    assert!(desk.rows(&["oauth", "status", "--json"]).iter().all(|line| line["state"] == "working"));
    assert!(desk.rows(&["alert", "list", "--json"]).is_empty());
    assert_eq!(identity.desk().overlaps, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn three_who_refresh_one_grant_never_do_so_at_once_sqlite() {
    three_at_once("sqlite:desk.db".into()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn three_who_refresh_one_grant_never_do_so_at_once_postgres() {
    let Some(url) = crate::support::postgres::database() else { return };
    three_at_once(url).await;
}

/// Three rooms with connections of their own to one store, as three daemons have them; tokens that live 2 s.
async fn three_at_once(url: String) {
    let identity = Identity::start(Style::Microsoft);
    {
        let mut desk = identity.desk();
        desk.access_lasts = 2;
        desk.rotation = Rotation::UntilNewIsUsed;
        desk.delay = Duration::from_millis(20);
    }
    let trial = Trial::with(&url, &sections(&identity, "timeout_s = 5\n")).await;
    let owner: Owner = trial.mailbox("support").await.id.into();
    let first =
        Grants::new(trial.works.store.clone(), SealingKey::new([7; 32]), Clock::system(), Http::default());
    let wish = Wish {
        owner,
        provider: String::new(),
        user: String::new(),
        scopes: vec![],
        client_secret: None,
        secret_until: None,
    };
    let token = identity.grant("someone@example.com", "mail offline_access");
    first.import(&wish, &Secret::new(token)).await.expect("imported");
    let begun = Instant::now();
    let done = Arc::new(AtomicUsize::new(0));
    let mut rooms = tokio::task::JoinSet::new();
    for n in 0..3 {
        let store = maildesk::store::Store::connect(&trial.store_url()).await.expect("a store");
        let grants = Grants::new(store, SealingKey::new([7; 32]), Clock::system(), Http::default());
        let (done, wanted) = (done.clone(), refreshes());
        rooms.spawn(async move {
            while done.load(Ordering::SeqCst) < wanted {
                match (n + done.load(Ordering::SeqCst)) % 3 {
                    0 => drop(grants.access_token(&owner).await.expect("a token")),
                    1 => grants.refresh_now(&owner).await.expect("refreshed"),
                    _ => drop(grants.keep_alive().await.expect("kept alive")),
                }
                done.fetch_add(1, Ordering::SeqCst);
            }
        });
    }
    while let Some(ended) = rooms.join_next().await {
        ended.expect("a room");
    }
    let asked = identity.asked();
    crate::support::say(&format!(
        "oauth: {} turns of three, {asked} refreshes in {:.1} s\n",
        refreshes(),
        begun.elapsed().as_secs_f64()
    ));
    assert!(asked >= refreshes() / 3, "{asked}");
    assert_eq!(identity.desk().overlaps, 0);
    let token = first.access_token(&owner).await.expect("a token at the end");
    assert!(identity.takes(token.secret.expose()));
    assert!(trial.alerts().await.is_empty());
}
