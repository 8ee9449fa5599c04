//! `maildesk explain` on files: no configuration, no store, an answer for whatever a file holds.

mod every_code;

use std::ffi::OsStr;
use std::fmt::Write as _;
use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::process::{Command, Output};
use std::sync::Arc;

use maildesk::config::{Config, Env};
use maildesk::store::{Stamp, Store};
use maildesk::triage::Rules;
use serde_json::Value;
use tempfile::TempDir;

use crate::support::trial::{SUPPORT, with_help};

const MAIL: &str = "From: Customer One <one@example.org>\r\nTo: support@example.com\r\nSubject: The gate\r\n\
                    Message-ID: <1@example.org>\r\n\r\nIt does not open.\r\n";

const MORE: &str = r#"
[[type]]
name = "Bounces"
flow = "bounce"
addresses = ["bounces@example.com"]
[[account]]
login = "agent"
addresses = ["agent@example.net"]
[[account]]
login = "reader"
role = "read_only"
addresses = ["reader@example.net"]
"#;

/// A type that is off stands first.
fn types() -> String {
    let off = "[[type]]\nname = \"Sales\"\naddresses = [\"sales@example.com\"]\nactive = false\n";
    format!("{off}{}{MORE}", with_help(SUPPORT))
}

fn explain(folder: &TempDir, words: &[&OsStr]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_maildesk"));
    command.arg("explain").args(words).current_dir(folder.path()).output().expect("maildesk starts")
}

fn lines(output: &Output) -> Vec<Value> {
    let text = String::from_utf8_lossy(&output.stdout);
    text.lines().map(|line| serde_json::from_str(line).expect("a JSON object a line")).collect()
}

#[test]
fn files_are_answered_in_their_order_without_a_configuration() {
    let folder = TempDir::new().expect("a folder");
    let names: Vec<String> = (0..50).map(|n| format!("{n}.eml")).collect();
    for name in &names {
        fs::write(folder.path().join(name), MAIL.replace("The gate", name)).expect("our own folder");
    }
    let words = [vec![OsStr::new("--json")], names.iter().map(OsStr::new).collect()].concat();
    let output = explain(&folder, &words);
    assert!(output.status.success());
    let lines = lines(&output);
    for (line, name) in lines.iter().zip(&names) {
        assert_eq!((&line["file"], &line["subject"]), (&Value::from(name.as_str()), &name.as_str().into()));
        assert_eq!(
            (&line["kind"], &line["act"], &line["code"]),
            (&"person".into(), &"invalid".into(), &"no_type".into())
        );
        assert_eq!(line["trust"]["grade"], "neutral");
    }
    assert_eq!(lines.len(), names.len());
    assert_eq!(fs::read_dir(folder.path()).expect("our own folder").count(), names.len(), "it wrote files");
}

#[test]
fn what_cannot_be_read_is_told_and_the_rest_is_answered() {
    let folder = TempDir::new().expect("a folder");
    let odd = OsStr::from_bytes(b"caf\xe9 \n.eml");
    fs::write(folder.path().join(odd), MAIL).expect("our own folder");
    fs::write(folder.path().join("empty.eml"), "").expect("our own folder");
    let words = ["--json", "absent.eml", "."].map(OsStr::new);
    let output = explain(&folder, &[&words[..], &[odd, OsStr::new("empty.eml")]].concat());
    assert_eq!(output.status.code(), Some(65));
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(
        told.contains("maildesk: absent.eml: No such file") && told.contains("maildesk: .: Is a"),
        "{told}"
    );
    let lines = lines(&output);
    assert_eq!(lines.len(), 2);
    assert_eq!((&lines[0]["kind"], &lines[1]["kind"]), (&"person".into(), &"unreadable".into()));
}

#[test]
fn fifty_thousand_nested_parts_end_no_process() {
    let folder = TempDir::new().expect("a folder");
    let head = "From: one@example.org\r\nTo: support@example.com\r\nSubject: deep\r\n";
    let mut nested = head.to_owned();
    for n in 0..50_000 {
        write!(nested, "Content-Type: multipart/mixed; boundary=b{n}\r\n\r\n--b{n}\r\n")
            .expect("a String grows");
    }
    let messages = head.to_owned() + &"Content-Type: message/rfc822\r\n\r\nSubject: x\r\n".repeat(50_000);
    let html = format!("{head}Content-Type: text/html\r\n\r\n{}words", "<div><b>".repeat(50_000));
    let comment = head.replace("To: ", &format!("To: {}", "(".repeat(50_000))) + "\r\nwords\r\n";
    let names = ["parts", "messages", "html", "comment"];
    for (name, text) in names.iter().zip([&nested, &messages, &html, &comment]) {
        fs::write(folder.path().join(name), text).expect("our own folder");
    }
    let output = explain(&folder, &["--json", "parts", "messages", "html", "comment"].map(OsStr::new));
    assert!(output.status.success(), "{:?}", output.status);
    let subjects: Vec<Value> = lines(&output).iter().map(|line| line["subject"].clone()).collect();
    assert_eq!(subjects, ["deep"; 4]);
}

#[test]
fn a_configuration_gives_its_types() {
    let folder = TempDir::new().expect("a folder");
    fs::write(folder.path().join("desk.toml"), types()).expect("our own folder");
    fs::write(folder.path().join("a.eml"), MAIL).expect("our own folder");
    let output = explain(&folder, &["--config", "desk.toml", "--json", "a.eml"].map(OsStr::new));
    let line = lines(&output).remove(0);
    assert_eq!((&line["act"], &line["code"]), (&"open".into(), &"new_ticket".into()));
    assert_eq!((&line["type"], &line["ticket"]), (&"Support".into(), &Value::Null));
    let output = explain(&folder, &["--config", "desk.toml", "a.eml"].map(OsStr::new));
    insta::assert_snapshot!(String::from_utf8_lossy(&output.stdout), @r"
    a.eml
      from       Customer One <one@example.org>
      to         support@example.com
      subject    The gate
      message id 1@example.org
      it is      a person's mail
      becomes    a new ticket of type Support
      because    addressed to an active type and answers nothing we know: Support
      act, code  open, new_ticket
      words      It does not open.
      trace      kind: no mark of a machine, a list or a report -> person
                 address: To: support@example.com -> Support: chosen
                 decision: addressed to an active type and answers nothing we know: Support -> new_ticket
    ");
    assert!(!folder.path().join("desk.db").exists(), "it opened a store");
}

/// `explain --config` decides by the same rules as a desk that was set up from the file.
#[tokio::test]
async fn the_rules_of_a_file_are_those_of_its_desk() {
    let folder = TempDir::new().expect("a folder");
    let path = folder.path().join("desk.toml");
    let config = Arc::new(Config::of_text(path, types(), &Env::default()).expect("good TOML"));
    let store = Store::connect(&config.store_url().expect("a url")).await.expect("a store");
    store.migrate().await.expect("a schema");
    let key = maildesk::seal::SealingKey::new([7; 32]);
    let stamp = Stamp { key: &key, now: maildesk::clock::Micros(0), random: || [7; 32] };
    store.provision(&config.declared().expect("no secrets"), &stamp).await.expect("laid down");
    let mut of_desk = store.read().await.expect("a store").load_rules().await.expect("rules");
    // The mark is the desk's own.
    of_desk.desk.clear();
    // So are its ids.
    let ids = regex::Regex::new(r"Id\(\d+\)").expect("a pattern");
    let shown = |rules: &Rules| ids.replace_all(&format!("{rules:?}"), "Id").into_owned();
    assert_eq!(shown(&config.rules()), shown(&of_desk));
}
