//! The configuration as its author sees it: a text, and what is said of it.

use std::path::PathBuf;

use super::*;

const GOOD: &str = r#"
[store]
url = "sqlite:desk.db"
[[relay]]
name = "out"
host = "127.0.0.1"
tls = "plain"
sender = "support@example.com"
password = "hunter2"
[[mailbox]]
name = "support"
host = "127.0.0.1"
tls = "plain"
username = "support"
[[type]]
name = "Support"
mailbox = "support"
relay = "out"
addresses = ["Support@example.com", "help-*@example.com"]
admin = "admin@example.com"
[[account]]
login = "agent"
addresses = ["agent@example.com"]
"#;

fn load(text: &str) -> Result<Config, ConfigError> {
    Config::of_text(PathBuf::from("/etc/maildesk/config.toml"), text.to_owned(), &Env::default())
}

/// One change of the good text leads to one line of complaint.
#[track_caller]
fn check(from: &str, to: &str, expected: &str) {
    assert!(GOOD.contains(from), "{from:?} is not in the good text");
    let said = load(&GOOD.replacen(from, to, 1)).expect_err("it was taken").to_string();
    assert_eq!(said, format!("/etc/maildesk/config.toml:{expected}"));
}

#[test]
fn a_good_file_is_resolved() {
    let config = load(GOOD).unwrap();
    assert_eq!(config.store_url().unwrap(), "sqlite:/etc/maildesk/desk.db");
    assert_eq!(config.run.socket, PathBuf::from("/etc/maildesk/maildesk.sock"));
    let declared = config.declared().unwrap();
    assert_eq!(declared.relays[0].1.as_ref().unwrap().expose(), "hunter2");
    assert_eq!((declared.relays[0].0.port, declared.mailboxes[0].0.port), (25, 143));
    assert_eq!(declared.types[0].patterns, ["support@example.com", "help-*@example.com"]);
    assert_eq!(declared.types[0].address.as_str(), "support@example.com");
    assert_eq!(declared.types[0].tag, "Support");
    assert_eq!(declared.accounts[0].name, "agent");
}

#[test]
fn a_schedule_is_checked_with_its_zone() {
    let with = |lines: &str| GOOD.replacen("[[type]]", &format!("{lines}\n[[type]]"), 1);
    let when =
        |lines: &str| load(&with(lines)).unwrap().declared().unwrap().mailboxes[0].0.when().to_string();
    assert_eq!(when(""), "600s");
    assert_eq!(when("interval_s = 20"), "20s");
    assert_eq!(when("interval_s = 20\nschedule = \"1h30m\""), "1h30m");
    assert_eq!(when("schedule = \"0 9 * * 1\"\ntimezone = \"Europe/Berlin\""), "0 9 * * 1");
    for (lines, expected) in [
        (
            "schedule = \"0 0 31 2 *\"",
            "15: mailbox.schedule: \"0 0 31 2 *\" is never due: there is no day 31 in month 2",
        ),
        ("timezone = \"Berlin\"", "15: mailbox.timezone: \"Berlin\" is no time zone of the IANA database"),
    ] {
        let said = load(&with(lines)).expect_err("it was taken").to_string();
        assert!(said.contains(expected), "{said}");
    }
}

#[test]
fn a_mistake_is_told_with_its_line_and_key_and_what_is_allowed() {
    check("url = ", "uri = ", "3: store.uri: unknown field `uri`, expected `url` or `url_file`");
    check(
        "tls = \"plain\"",
        "tls = \"ssl\"",
        "7: relay.tls: unknown variant `ssl`, expected one of `tls`, `starttls`, `plain`",
    );
    check(
        "[[relay]]",
        "[[relais]]",
        "4: relais: unknown field `relais`, expected one of `store`, `keys`, `run`, `backup`, `web`, `trust`, `virus_scanner`, `predecessor`, `loops`, `oauth_provider`, `relay`, `mailbox`, `type`, `account`",
    );
    check(
        "login = \"agent\"",
        "login = 7",
        "22: account.login: invalid type: integer `7`, expected a string",
    );
    check("login = \"agent\"\n", "", "21: account.login: must be given");
    check("url = \"", "url = ", "3: is no TOML: missing opening quote, expected `\"`");
    for handled in ["handled = \"move\"\nmove_to = \"Done\"", "handled = \"seen\""] {
        check(
            "username = \"support\"",
            &format!("username = \"support\"\nprotocol = \"pop3\"\n{handled}"),
            "16: mailbox.handled: POP3 can only delete: it has no folders to move mail to and no flags to mark it with; \
             set it to delete, or read the mailbox by imap",
        );
    }
    check(
        "username = \"support\"",
        "username = \"support\"\nprotocol = \"pop3\"\nfolders = [\"INBOX\", \"Old\"]",
        "16: mailbox.folders: POP3 has no folders, only the inbox: leave it out, or read them by imap",
    );
    check(
        "relay = \"out\"",
        "relay = \"aus\"",
        "18: type.relay: there is no [[relay]] named \"aus\" in this file; there is: out",
    );
    check(
        "help-*@example.com",
        "help",
        "19: type.addresses: \"help\" is no address or pattern such as support@example.com or *@example.com",
    );
    check(
        "[\"agent@example.com\"]",
        "[\"a@x\", \"b\"]",
        "23: account.addresses: \"b\" is not an address such as name@example.com",
    );
}

#[test]
fn a_grant_and_a_password_exclude_each_other() {
    let named = "username = \"support\"";
    let spec = load(&GOOD.replacen(named, &format!("{named}\nauth = \"oauth2\""), 1)).unwrap();
    assert_eq!(spec.declared().unwrap().mailboxes[0].0.auth, Auth::Oauth2);
    for (line, expected) in [
        (
            "password_file = \"p\"",
            "16: mailbox.password_file: leave it out: with auth = \"oauth2\" a grant stands in its place",
        ),
        (
            "password = \"p\"",
            "16: mailbox.password: leave it out: with auth = \"oauth2\" a grant stands in its place",
        ),
        ("protocol = \"pipe\"", "15: mailbox.auth: nobody signs in there: leave it out"),
    ] {
        check(named, &format!("{named}\nauth = \"oauth2\"\n{line}"), expected);
    }
    check("password = \"hunter2\"", "auth = \"oauth2\"", "4: relay.username: must be given");
    check(
        "password = \"hunter2\"",
        "username = \"support\"\nauth = \"oauth2\"\npassword = \"hunter2\"",
        "11: relay.password: leave it out: with auth = \"oauth2\" a grant stands in its place",
    );
}

#[test]
fn pop3_has_ports_of_its_own_and_comes_back_as_it_was_written() {
    let resolve = |section: &MailboxSection| section.resolve("/".as_ref()).expect("a mailbox");
    let named = |text: &str| text.to_owned();
    let written = MailboxSection {
        name: named("a"),
        protocol: Protocol::Pop3,
        host: named("h"),
        username: named("u"),
        ..MailboxSection::default()
    };
    for (tls, port) in [(Tls::Tls, 995), (Tls::Starttls, 110), (Tls::Plain, 110)] {
        let spec = resolve(&MailboxSection { tls, ..written.clone() });
        assert_eq!((spec.port, spec.folders.as_slice()), (port, &[String::new()][..]));
        let again = MailboxSection::from(&spec);
        assert_eq!((again.port, resolve(&again)), (0, spec));
    }
}

#[test]
fn a_password_is_never_part_of_what_is_said() {
    for bad in
        ["password = 4711", "password = hunter2", "password = \"hunter2\"\nx = 1", "pasword = \"hunter2\""]
    {
        let said = load(&GOOD.replacen("password = \"hunter2\"", bad, 1)).unwrap_err();
        assert!(!format!("{said} {said:?}").contains("hunter2"), "{said}");
        assert!(!format!("{said} {said:?}").contains("4711"), "{said}");
    }
    let config = load(GOOD).unwrap();
    assert!(example::show(&config.written).contains("password = \"***\""));
    assert!(!format!("{:?}", config.written).contains("hunter2"));
}

#[test]
fn an_address_that_is_itself_read_is_refused() {
    for (admin, reader) in [
        ("support+x@example.com", "type \"Support\" answers to it"),
        ("help-me@example.com", "type \"Support\" answers to it"),
    ] {
        let words = format!(
            "20: type.admin: {admin} is itself read by maildesk ({reader}): its mail would come back"
        );
        check("admin@example.com", admin, &words);
    }
    let text = GOOD.replace("username = \"support\"", "username = \"Admin@example.com\"");
    let said = load(&text).unwrap_err().to_string();
    assert!(said.contains("type.admin") && said.contains("signs in as Admin@example.com"), "{said}");
}

#[test]
fn doubles_and_a_second_bounce_type_are_refused() {
    let bounce = "[[type]]\nname = \"B1\"\nflow = \"bounce\"\naddresses = [\"b1@example.com\"]\n";
    let text = format!("{GOOD}{bounce}{}", bounce.replace("B1", "B2").replace("b1@", "b2@"));
    let said = load(&text).unwrap_err().to_string();
    assert!(
        said.ends_with("30: type.flow: only one active type may take bounces, and \"B1\" does"),
        "{said}"
    );
    assert!(load(&text.replacen("flow = \"bounce\"", "flow = \"bounce\"\nactive = false", 1)).is_ok());
    let said = load(&format!("{GOOD}{bounce}{bounce}")).unwrap_err().to_string();
    assert!(said.contains("29: type.name: \"B1\" is there twice"), "{said}");
}

#[test]
fn the_example_is_a_good_configuration() {
    let text = example::example();
    if let Err(error) = load(&text) {
        panic!("{error}\n{text}");
    }
    // What is commented out is understood, too, once it is let in.
    let all: String = text
        .lines()
        .map(|line| {
            line.strip_prefix("# ")
                .filter(|l| l.split_once(" = ").is_some_and(|(k, _)| !k.contains(' ')))
                .unwrap_or(line)
        })
        .map(|line| format!("{line}\n"))
        .collect();
    toml::from_str::<File>(&all).unwrap();
}

#[test]
fn the_password_of_a_url_is_masked() {
    use example::without_password;
    assert_eq!(without_password("postgres://u:p@ss@h/d"), "postgres://u:***@h/d");
    assert_eq!(without_password("postgres://u@h/d?password=x&a=b"), "postgres://u@h/d?password=***&a=b");
    assert_eq!(without_password("sqlite:desk.db"), "sqlite:desk.db");
}
