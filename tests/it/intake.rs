//! Intake on both stores, from a Maildir: the rooms put together as the daemon does, without a process of their own.

use std::path::Path;

use maildesk::clock::Clock;
use maildesk::config::{Config, Env};
use maildesk::daemon::Works;
use maildesk::intake::RoundReport;
use maildesk::seal::SealingKey;
use maildesk::store::{Stamp, Store};

const SECTIONS: &str = r#"
[store]
url = "sqlite:desk.db"
[[relay]]
name = "out"
kind = "folder"
path = "out"
sender = "support@example.com"
[[mailbox]]
name = "support"
protocol = "maildir"
path = "Maildir"
[[type]]
name = "Support"
tag = "Support"
mailbox = "support"
relay = "out"
addresses = ["support@example.com"]
admin = "admin@example.net"
"#;

/// A desk in a temporary folder that reads a Maildir there.
struct Trial {
    folder: tempfile::TempDir,
    works: Works,
}

impl Trial {
    async fn new(url: &str) -> Trial {
        let folder = tempfile::tempdir().expect("a folder");
        for sub in ["new", "cur", "tmp"] {
            std::fs::create_dir_all(folder.path().join("Maildir").join(sub)).expect("a Maildir");
        }
        let text = SECTIONS.replace("sqlite:desk.db", url);
        let config =
            Config::of_text(folder.path().join("config.toml"), text, &Env::default()).expect("a config");
        let store = Store::connect(&config.store_url().unwrap()).await.expect("a store");
        store.migrate().await.expect("a schema");
        let key = SealingKey::new([7; 32]);
        let stamp = Stamp { key: &key, now: Clock::system().now(), random: maildesk::seal::random };
        store.provision(&config.declared().unwrap(), &stamp).await.expect("provisioned");
        let works = Works::open(store, key, &config.run, Clock::system()).await.expect("works");
        Trial { folder, works }
    }

    fn deliver(&self, name: &str, message: &[u8]) {
        let path = self.folder.path().join("Maildir/new").join(name);
        std::fs::write(path, message).expect("delivered");
    }

    async fn poll(&self) -> RoundReport {
        let mailboxes = self.works.mailboxes_to_read().await.expect("mailboxes");
        self.works.poll(&mailboxes[0]).await.expect("a round")
    }

    fn remaining(&self) -> usize {
        let count =
            |sub: &str| std::fs::read_dir(self.folder.path().join("Maildir").join(sub)).unwrap().count();
        count("new") + count("cur")
    }
}

fn mail(id: &str, from: &str, subject: &str, more: &str) -> Vec<u8> {
    format!(
        "From: {from}\r\nTo: support@example.com\r\nSubject: {subject}\r\nMessage-ID: <{id}@x.test>\r\n\
         Date: Mon, 2 Nov 2026 10:00:00 +0000\r\n{more}\r\nHello\r\n"
    )
    .into_bytes()
}

async fn a_reply_and_its_parent_in_one_batch(url: &str) {
    let trial = Trial::new(url).await;
    trial.deliver("1", &mail("a", "jo@x.test", "printer", ""));
    trial.deliver("2", &mail("b", "jo@x.test", "Re: printer", "In-Reply-To: <a@x.test>\r\n"));
    let report = trial.poll().await;
    let fates: Vec<_> = report.fates.0.iter().map(|((act, code), n)| (*act, *code, *n)).collect();
    assert_eq!(fates, [("append", "reply_by_foreign_id", 1), ("open", "new_ticket", 1)]);
    assert_eq!(trial.remaining(), 0);
    assert_eq!(report.balance.difference(), 0, "{:?}", report.balance);
    assert_eq!(report.balance.shown, 2);
    let again = trial.poll().await;
    assert_eq!(again.fates.total(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reply_and_its_parent_in_one_batch_on_sqlite() {
    a_reply_and_its_parent_in_one_batch("sqlite:desk.db").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reply_and_its_parent_in_one_batch_on_postgres() {
    let Some(url) = crate::support::postgres::database() else { return };
    a_reply_and_its_parent_in_one_batch(&url).await;
}

/// Takes in a folder of generated mail, for a look at what becomes of it.
#[tokio::test(flavor = "multi_thread")]
async fn generated_mail_is_taken_in() {
    let Some(folder) = crate::support::setting("MAILDESK_TRY_MAIL") else { return };
    let trial = Trial::new("sqlite:desk.db").await;
    for entry in std::fs::read_dir(Path::new(&folder)).unwrap() {
        let path = entry.unwrap().path();
        trial.deliver(path.file_name().unwrap().to_str().unwrap(), &std::fs::read(&path).unwrap());
    }
    let begun = std::time::Instant::now();
    let report = trial.poll().await;
    println!("{:?} {report:#?}", begun.elapsed());
}
