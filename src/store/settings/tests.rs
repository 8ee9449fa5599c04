//! Settings in a real SQLite file: what is laid down, edited and refused, and the rules that come of it.

use crate::clock::Micros;
use crate::config::{Config, Declared, Env, MailboxSpec, TypeSpec};
use crate::mail::Address;
use crate::seal::{SealingKey, Secret, random};
use crate::store::{Error, PasswordChange, Stamp, Store};
use crate::ticket::MailboxId;

struct Desk {
    _folder: tempfile::TempDir,
    store: Store,
    key: SealingKey,
    path: std::path::PathBuf,
}

impl Desk {
    async fn new() -> Desk {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("desk.db");
        let store = Store::connect(&format!("sqlite:{}", path.display())).await.unwrap();
        store.migrate().await.unwrap();
        Desk { _folder: folder, store, key: SealingKey::new([7; 32]), path }
    }

    fn stamp(&self) -> Stamp<'_> {
        Stamp { key: &self.key, now: Micros(1), random: random::<32> }
    }

    async fn provision(&self, text: &str) -> Result<Vec<String>, Error> {
        self.store.provision(&declared(text), &self.stamp()).await
    }
}

const CONFIG: &str = r#"
[[relay]]
name = "out"
host = "127.0.0.1"
sender = "support@example.com"
password = "relay-hunter2"
[[mailbox]]
name = "support"
host = "127.0.0.1"
username = "support"
password = "hunter2"
[[type]]
name = "Support"
mailbox = "support"
relay = "out"
addresses = ["support@example.com", "help-*@example.com"]
admin = "admin@example.com"
[[type]]
name = "Bounces"
flow = "bounce"
addresses = ["*@b.example.com", "bounce@example.com"]
address = "bounce@example.com"
[[account]]
login = "agent"
addresses = ["agent@example.com"]
"#;

fn declared(text: &str) -> Declared {
    let config = Config::of_text("/etc/maildesk.toml".into(), text.to_owned(), &Env::default());
    config.unwrap_or_else(|e| panic!("{e}")).declared().unwrap()
}

#[tokio::test]
async fn what_is_declared_is_laid_down_once_and_becomes_the_rules() {
    let desk = Desk::new().await;
    assert_eq!(desk.provision(CONFIG).await.unwrap().len(), 5);
    assert_eq!(desk.provision(CONFIG).await.unwrap(), Vec::<String>::new());
    let mut tx = desk.store.read().await.unwrap();
    let rules = tx.load_rules().await.unwrap();
    assert_eq!(rules.types.len(), 2);
    assert_eq!(rules.types[0].patterns, ["support@example.com", "help-*@example.com"]);
    assert_eq!(rules.types[0].mailbox, Some(rules.mailboxes[0].id));
    assert!(rules.types[1].relay.is_some(), "a type without a relay sends through the first one");
    assert_eq!((rules.bounce_local.as_str(), rules.bounce_domain.as_str()), ("bounce", "example.com"));
    assert!(rules.is_team(&Address::parse("agent@example.com").unwrap()));
    assert_eq!(rules.desk.len(), 16);
    let row = tx.find_mailbox("support").await.unwrap();
    let password = tx.open_secret(row.password.unwrap(), &desk.key).await.unwrap();
    assert_eq!(password.expose(), "hunter2");
}

#[tokio::test]
async fn what_leaves_the_file_is_switched_off_and_may_come_back() {
    let desk = Desk::new().await;
    desk.provision(CONFIG).await.unwrap();
    let without = CONFIG.split("[[type]]").next().unwrap();
    let changes = desk.provision(without).await.unwrap();
    assert_eq!(changes.len(), 3, "{changes:?}");
    let mut tx = desk.store.read().await.unwrap();
    assert!(tx.load_rules().await.unwrap().types.is_empty());
    assert!(tx.find_type("Support").await.unwrap().spec.patterns.len() == 2, "nothing is deleted");
    drop(tx);
    desk.provision(CONFIG).await.unwrap();
    let mut tx = desk.store.read().await.unwrap();
    assert_eq!(tx.load_rules().await.unwrap().types.len(), 2);
}

#[tokio::test]
async fn a_changed_password_and_a_changed_host_are_noticed() {
    let desk = Desk::new().await;
    desk.provision(CONFIG).await.unwrap();
    let changes = desk.provision(&CONFIG.replace("\"hunter2\"", "\"hunter3\"")).await.unwrap();
    assert_eq!(changes, ["mailbox \"support\" changed"]);
    let other = CONFIG.replace("username = \"support\"", "username = \"other\"");
    desk.provision(&other).await.unwrap();
    let row = desk.store.read().await.unwrap().find_mailbox("support").await.unwrap();
    assert_eq!((row.epoch, row.version), (2, 3));
}

#[tokio::test]
async fn the_keys_of_a_desk_stay_and_another_key_does_not_open_them() {
    let desk = Desk::new().await;
    desk.provision(CONFIG).await.unwrap();
    let mut tx = desk.store.read().await.unwrap();
    let keys = tx.mail_keys(&desk.key).await.unwrap();
    let again = tx.mail_keys(&desk.key).await.unwrap();
    assert_eq!(keys.hash(&[b"x"]), again.hash(&[b"x"]));
    let other = SealingKey::new([8; 32]);
    assert!(matches!(tx.mail_keys(&other).await, Err(Error::WrongKey)));
    drop(tx);
    let stamp = Stamp { key: &other, ..desk.stamp() };
    let said = desk.store.provision(&declared(CONFIG), &stamp).await;
    assert!(matches!(said, Err(Error::WrongKey)), "{said:?}");
}

fn mailbox() -> MailboxSpec {
    declared(CONFIG).mailboxes[0].0.clone()
}

fn support() -> TypeSpec {
    TypeSpec { mailbox: String::new(), relay: String::new(), ..declared(CONFIG).types[0].clone() }
}

async fn add_mailbox(desk: &Desk, spec: &MailboxSpec, password: &str) -> Result<MailboxId, Error> {
    let mut tx = desk.store.write().await?;
    let change = PasswordChange::Set(Secret::new(password));
    let id = tx.create_mailbox(spec, &change, &desk.stamp()).await?;
    tx.commit().await?;
    Ok(id)
}

#[tokio::test]
async fn a_row_is_edited_only_as_its_editor_saw_it() {
    let desk = Desk::new().await;
    let id = add_mailbox(&desk, &mailbox(), "hunter2").await.unwrap();
    let spec = MailboxSpec { host: "127.0.0.2".into(), ..mailbox() };
    let keep = (&PasswordChange::Keep, &desk.stamp());
    let mut tx = desk.store.write().await.unwrap();
    tx.update_mailbox(id, 1, &spec, keep).await.unwrap();
    assert!(matches!(tx.update_mailbox(id, 1, &spec, keep).await, Err(Error::Stale(_))));
    let row = tx.mailbox(id).await.unwrap();
    assert_eq!((row.version, row.epoch), (2, 2));
    assert_eq!(tx.open_secret(row.password.unwrap(), &desk.key).await.unwrap().expose(), "hunter2");
    tx.update_mailbox(id, 2, &spec, (&PasswordChange::Clear, &desk.stamp())).await.unwrap();
    assert!(!tx.has_secrets().await.unwrap());
    tx.delete_mailbox(id, 3).await.unwrap();
    assert!(matches!(tx.mailbox(id).await, Err(Error::Missing(_))));
}

#[tokio::test]
async fn a_name_is_taken_once() {
    let desk = Desk::new().await;
    add_mailbox(&desk, &mailbox(), "x").await.unwrap();
    let said = add_mailbox(&desk, &mailbox(), "x").await.unwrap_err().to_string();
    assert_eq!(said, "the mailbox name \"support\" is taken already");
}

#[tokio::test]
async fn what_others_refer_to_is_not_deleted() {
    let desk = Desk::new().await;
    let id = add_mailbox(&desk, &mailbox(), "x").await.unwrap();
    let mut tx = desk.store.write().await.unwrap();
    let spec = TypeSpec { mailbox: "support".into(), ..support() };
    tx.create_type(&spec, &desk.stamp()).await.unwrap();
    let said = tx.delete_mailbox(id, 1).await.unwrap_err().to_string();
    assert!(said.starts_with("mailbox \"support\" is not deleted: 1 ticket type(s) depend on it"), "{said}");
}

#[tokio::test]
async fn rows_of_the_file_are_read_only() {
    let desk = Desk::new().await;
    desk.provision(CONFIG).await.unwrap();
    let mut tx = desk.store.write().await.unwrap();
    let row = tx.find_mailbox("#2").await.unwrap();
    let keep = (&PasswordChange::Keep, &desk.stamp());
    let said = tx.update_mailbox(row.id, row.version, &row.spec, keep).await.unwrap_err();
    assert!(matches!(said, Error::ReadOnly(_)), "{said}");
    let of_file = tx.find_type("Support").await.unwrap();
    let said = tx.delete_type(of_file.id, 1).await.unwrap_err();
    assert!(matches!(said, Error::ReadOnly(_)), "{said}");
}

#[tokio::test]
async fn mail_that_would_come_back_is_refused_whoever_asks() {
    let desk = Desk::new().await;
    let mut tx = desk.store.write().await.unwrap();
    let spec = TypeSpec { admin: Address::parse("support@example.com"), ..support() };
    let said = tx.create_type(&spec, &desk.stamp()).await.unwrap_err();
    assert!(matches!(said, Error::Refused(_)), "{said}");
    drop(tx);
    let mut tx = desk.store.write().await.unwrap();
    tx.create_type(&support(), &desk.stamp()).await.unwrap();
    let spec = MailboxSpec { username: "admin@example.com".into(), ..mailbox() };
    let said = tx.create_mailbox(&spec, &PasswordChange::Keep, &desk.stamp()).await.unwrap_err();
    assert!(said.to_string().contains("signs in as admin@example.com"), "{said}");
}

#[tokio::test]
async fn no_password_lies_open_in_the_files() {
    let desk = Desk::new().await;
    desk.provision(CONFIG).await.unwrap();
    for suffix in ["", "-wal"] {
        let path = format!("{}{suffix}", desk.path.display());
        let bytes = std::fs::read(path).unwrap_or_default();
        assert!(!bytes.windows(7).any(|w| w == b"hunter2"), "hunter2 lies in desk.db{suffix}");
    }
}
