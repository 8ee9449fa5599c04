//! No token and no secret stands anywhere: in the log at its finest level, in what commands say, in a support bundle, a
//! backup, the store's files and the database server's log.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use base64::Engine as _;

use super::mail::{Flow, World, message};
use super::*;
use crate::support::cluster::Cluster;
use crate::support::identity::{CLIENT_ID, CLIENT_SECRET, Fault};
use crate::support::program::{Desk, Output, Running, Store};
use crate::support::wait_until;

const PATIENCE: Duration = Duration::from_secs(60);

#[test]
fn mail_by_tokens_leaves_no_secret_anywhere_sqlite() {
    let desk = Desk::new(Store::Sqlite).expect("SQLite is always there");
    let Some(world) = World::on(desk, "xoauth2 oauthbearer") else { return };
    live(&world);
    no_secret_stands_in(&world.identity, &[world.desk.folder.path()]);
}

#[test]
fn mail_by_tokens_leaves_no_secret_anywhere_postgres() {
    // A server of its own, whose tables, WAL and log are all looked through.
    let Some(cluster) = Cluster::primary() else { return };
    cluster.psql("postgres", "ALTER SYSTEM SET log_statement = 'all'");
    cluster.psql("postgres", "SELECT pg_reload_conf()");
    let desk = Desk::new(Store::Sqlite).expect("a folder");
    let desk = Desk { store_url: cluster.url(), ..desk };
    let Some(world) = World::on(desk, "xoauth2 oauthbearer") else { return };
    live(&world);
    cluster.psql("postgres", "CHECKPOINT");
    let dump = Command::new("pg_dump").arg(cluster.url()).output().expect("pg_dump comes with PostgreSQL");
    assert!(dump.status.success(), "{}", String::from_utf8_lossy(&dump.stderr));
    let folder = world.desk.folder.path();
    fs::write(folder.join("dump.sql"), dump.stdout).expect("written");
    fs::write(folder.join("server.log"), cluster.log()).expect("written");
    assert!(cluster.log().contains("INSERT INTO oauth_grant"), "the server logs what it is told");
    no_secret_stands_in(&world.identity, &[folder, cluster.folder()]);
}

/// A daemon and commands that tell all they can; sign-ins of each kind, mail, refusals, and what is copied away.
fn live(world: &World) {
    let (imap, pop3) = (world.dovecot.account(), world.dovecot.account());
    let mailboxes = world.mailbox("imap", &imap, ("out", "interval_s = 1"))
        + &world.mailbox("pop3", &pop3, ("out", "protocol = \"pop3\"\ninterval_s = 1"));
    world.configure(&(world.relay("out", &imap.user) + &mailboxes));
    let mut said = Said { world, count: 0 };
    let mut daemon = world.desk.spawn(&["-vvv", "run"]);
    wait_until("the daemon to answer", PATIENCE, || daemon.log().contains("daemon.started").then_some(()));
    world.sign_in("mailbox:imap", &imap.user, Flow::Code);
    world.sign_in("mailbox:pop3", &pop3.user, Flow::Device);
    world.sign_in("relay:out", &imap.user, Flow::ClientCredentials);
    let folder = world.desk.folder.path();
    let token = world.identity.grant(&pop3.user, "mail offline_access");
    let import = ["-vvv", "oauth", "import", "mailbox:pop3"];
    said.keep(&world.desk.run_with_input(&import, format!("{token}\n").as_bytes()).ok());
    imap.deliver(&message("imap", 1));
    pop3.deliver(&message("pop3", 1));
    let sent = || world.sent_about("imap") + world.sent_about("pop3");
    wait_until("the mail to be in and told", PATIENCE, || {
        (world.tickets() == 2 && sent() == 2).then_some(())
    });
    // Servers refuse what they took, and say so in a challenge; the provider repeats what it was shown.
    world.identity.void_access_tokens();
    imap.deliver(&message("imap", 2));
    wait_until("another to be told", PATIENCE, || (sent() == 3).then_some(()));
    // Its import was the first time.
    wait_until("the other mailbox to have a new token, too", PATIENCE, || {
        (world.identity.refreshed(&pop3.user) >= 2).then_some(())
    });
    let careless = Fault::Refused { error: "invalid_grant", number: 50_173, words: "TOKEN" };
    world.identity.desk().faults.extend([careless.clone(), careless]);
    let refused = said.run(&["-vvv", "oauth", "refresh", "mailbox:imap"]);
    assert!(refused.stderr.contains("the grant was revoked"), "{refused:?}");
    world.identity.desk().faults.push_back(Fault::Html(502));
    said.run(&["-vvv", "oauth", "refresh", "mailbox:pop3"]);
    for arguments in [
        &["-vvv", "oauth", "status"][..],
        &["-vvv", "oauth", "status", "--json"],
        &["-vvv", "alert", "list", "--json"],
        &["-vvv", "mailbox", "show", "imap", "--json"],
        &["-vvv", "mailbox", "test", "imap"],
        &["-vvv", "doctor"],
        &["-vvv", "config", "show", "--json"],
        &["-vvv", "relay", "list", "--json"],
    ] {
        said.run(arguments);
    }
    let passphrase = folder.join("passphrase").display().to_string();
    fs::write(&passphrase, "a long passphrase\n").expect("written");
    for (name, more) in
        [("with.backup", &["--passphrase-file", &passphrase][..]), ("without.backup", &["--without-key"])]
    {
        let path = folder.join(name).display().to_string();
        said.run(&[&["-vvv", "backup", &path], more].concat()).ok();
    }
    let bundle = folder.join("desk.tar.gz");
    said.run(&["-vvv", "support-bundle", bundle.to_str().expect("a name")]).ok();
    let unpacked = folder.join("bundle");
    fs::create_dir(&unpacked).expect("a folder");
    let bundle = flate2::read::GzDecoder::new(fs::File::open(bundle).expect("the bundle"));
    tar::Archive::new(bundle).unpack(&unpacked).expect("it is a tar");
    stop(&mut daemon);
    // The same without a daemon, on the store.
    said.run(&["-vvv", "oauth", "refresh", "mailbox:pop3"]).ok();
    said.run(&["-vvv", "poll"]);
    said.run(&["-vvv", "oauth", "revoke", "mailbox:imap"]).ok();
}

fn stop(daemon: &mut Running) {
    assert!(daemon.stop().success());
    let log = daemon.log();
    for words in ["oauth.refreshed", "oauth.connected", "oauth.refused"] {
        assert!(log.contains(words), "{words} is not in the log");
    }
}

/// Runs commands, and keeps what they say as files.
struct Said<'a> {
    world: &'a World,
    count: usize,
}

impl Said<'_> {
    fn run(&mut self, arguments: &[&str]) -> Output {
        let output = self.world.desk.run(arguments);
        self.keep(&output);
        output
    }

    fn keep(&mut self, output: &Output) {
        self.count += 1;
        let path = self.world.desk.folder.path().join(format!("said-{}.txt", self.count));
        fs::write(path, format!("{}\n{}\n{}", output.command, output.stdout, output.stderr))
            .expect("written");
    }
}

/// In any file of these folders but the configuration, as it is or as mail servers are shown it.
#[track_caller]
pub fn no_secret_stands_in(identity: &Identity, folders: &[&Path]) {
    let secrets = identity.secrets();
    assert!(secrets.len() > 20 && secrets.contains(&CLIENT_SECRET.to_owned()));
    let mut patterns = String::new();
    for secret in secrets {
        let shown = in_base64(&secret);
        patterns.extend(shown.into_iter().chain([secret]).map(|pattern| pattern + "\n"));
    }
    let elsewhere = tempfile::tempdir().expect("a folder");
    let file = elsewhere.path().join("patterns");
    fs::write(&file, patterns).expect("written");
    let found = grep(&["-f", file.to_str().expect("a name")], folders);
    assert!(found.is_empty(), "a secret stands in:\n{}", found.chars().take(2000).collect::<String>());
    // And what may be found, is.
    for folder in folders {
        assert!(!grep(&["-e", CLIENT_ID], &[folder]).is_empty(), "{}", folder.display());
    }
}

/// What is found where.
fn grep(what: &[&str], folders: &[&Path]) -> String {
    let mut grep = Command::new("grep");
    grep.args(["-roaF", "--exclude=config.toml"]).args(what).args(folders);
    String::from_utf8_lossy(&grep.output().expect("grep").stdout).into_owned()
}

/// The middle of it as base64, wherever it begins in what is encoded.
fn in_base64(secret: &str) -> Vec<String> {
    let of = |before: usize| {
        let bytes = [&b"xx"[..before], secret.as_bytes()].concat();
        let encoded = base64::engine::general_purpose::STANDARD.encode(&bytes);
        encoded[(before * 8).div_ceil(6)..bytes.len() * 8 / 6].to_owned()
    };
    (0..3).map(of).collect()
}

#[test]
fn base64_is_found_wherever_it_begins() {
    for before in ["", "u", "us", "use"] {
        let encoded =
            base64::engine::general_purpose::STANDARD.encode(format!("{before}access.0123456789\u{1}\u{1}"));
        assert!(in_base64("access.0123456789").iter().any(|part| encoded.contains(part)), "{before:?}");
    }
}
