//! What is wrong with a backup, or with what it is given, is said before anything is touched.

use std::path::{Path, PathBuf};

use crate::support::program::{Desk, Store};

/// How many rows a statement gives.
pub fn select(file: &Path, sql: &str) -> usize {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        use sqlx::Connection as _;
        sqlx::any::install_default_drivers();
        let mut connection =
            sqlx::AnyConnection::connect(&format!("sqlite:{}", file.display())).await.unwrap();
        sqlx::query(sqlx::AssertSqlSafe(sql.to_owned())).fetch_all(&mut connection).await.unwrap().len()
    })
}

fn change(file: &Path, sql: &str) {
    select(file, sql);
}

/// A desk with a secret in it, and its backup.
struct Case {
    desk: Desk,
    backup: PathBuf,
}

impl Case {
    fn new(arguments: &[&str]) -> Case {
        let desk = Desk::new(Store::Sqlite).expect("SQLite is always there");
        desk.configure(
            "[[relay]]\nname = \"out\"\nkind = \"folder\"\npath = \"out\"\nsender = \"a@b.test\"\n",
        );
        std::fs::write(desk.folder.path().join("pass"), "correct horse\n").unwrap();
        std::fs::write(desk.folder.path().join("wrong"), "correct hors\n").unwrap();
        let backup = desk.folder.path().join("desk.backup");
        let pass = desk.folder.path().join("pass").display().to_string();
        let arguments = arguments.iter().map(|a| if *a == "PASS" { pass.as_str() } else { a });
        let arguments: Vec<&str> =
            ["backup", backup.to_str().unwrap()].into_iter().chain(arguments).collect();
        let said = desk.run(&arguments).ok().stdout;
        assert_eq!(said.contains("without its key"), !arguments.contains(&"--passphrase-file"), "{said}");
        Case { desk, backup }
    }

    fn path(&self, name: &str) -> String {
        self.desk.folder.path().join(name).display().to_string()
    }

    #[track_caller]
    fn refused(&self, on: &Desk, arguments: &[&str], words: &str) {
        let arguments: Vec<&str> =
            ["restore", self.backup.to_str().unwrap()].iter().chain(arguments).copied().collect();
        let said = on.run(&arguments);
        assert!(
            said.code != Some(0) && said.stderr.contains(words),
            "{words:?}: {:?} {}",
            said.code,
            said.stderr
        );
        assert!(!on.folder.path().join("maildesk.key").exists(), "a key was left behind");
    }
}

#[test]
fn a_backup_is_for_its_owner_alone_and_is_not_written_over() {
    use std::os::unix::fs::PermissionsExt as _;
    let case = Case::new(&["--passphrase-file", "PASS"]);
    assert_eq!(std::fs::metadata(&case.backup).unwrap().permissions().mode() & 0o777, 0o600);
    let again = case.desk.run(&["backup", case.backup.to_str().unwrap()]);
    assert!(again.code == Some(65) && again.stderr.contains("is there already"), "{}", again.stderr);
    let names: Vec<String> = std::fs::read_dir(case.desk.folder.path())
        .unwrap()
        .map(|e| e.unwrap().file_name().to_string_lossy().into_owned())
        .filter(|name| name.starts_with("desk.backup"))
        .collect();
    assert_eq!(names, ["desk.backup"]);
    let key = std::fs::read_to_string(case.path("maildesk.key")).unwrap();
    let bytes = std::fs::read(&case.backup).unwrap();
    assert!(!bytes.windows(64).any(|w| w == key.trim().as_bytes()), "the key lies open in the backup");
}

#[test]
fn the_passphrase_has_to_be_the_right_one() {
    let case = Case::new(&["--passphrase-file", "PASS"]);
    let other = Desk::new(Store::Sqlite).unwrap();
    case.refused(&other, &[], "has its key under a passphrase");
    case.refused(&other, &["--passphrase-file", &case.path("wrong")], "the passphrase does not open the key");
    let opened = ["restore", case.backup.to_str().unwrap(), "--passphrase-file", &case.path("pass")];
    let said = other.run(&opened).ok();
    assert!(said.stdout.contains("The sealing key was written to"), "{}", said.stdout);
    assert_eq!(
        std::fs::read(case.path("maildesk.key")).unwrap(),
        std::fs::read(other.folder.path().join("maildesk.key")).unwrap()
    );
    // It works, and it is not restored over.
    assert_eq!(other.rows(&["relay", "list", "--json"]).len(), 1);
    let again = other.run(&opened);
    assert!(again.code == Some(65) && again.stderr.contains("has a desk in it already"), "{}", again.stderr);
    let replaced = other.run(&[&opened[..], &["--replace"]].concat()).ok();
    assert!(replaced.stdout.contains("The desk is held"), "{}", replaced.stdout);
    let mut daemon = other.spawn(&["run"]);
    let socket = other.folder.path().join("maildesk.sock");
    crate::support::wait_until("the daemon", std::time::Duration::from_secs(30), || {
        socket.exists().then_some(())
    });
    let beside = other.run(&[&opened[..], &["--replace"]].concat());
    assert!(
        beside.code == Some(69) && beside.stderr.contains("is held by `maildesk run`"),
        "{}",
        beside.stderr
    );
    assert!(daemon.stop().success());
}

#[test]
fn a_backup_without_its_key_says_so_and_wants_it() {
    let case = Case::new(&[]);
    let other = Desk::new(Store::Sqlite).unwrap();
    case.refused(&other, &[], "was taken without its key");
    case.refused(&other, &["--passphrase-file", &case.path("pass")], "was taken without its key");
    std::fs::write(case.path("other.key"), "ab".repeat(32)).unwrap();
    case.refused(&other, &["--key-file", &case.path("other.key")], "this is not the sealing key");
    let key = case.path("maildesk.key");
    let checked = ["restore", case.backup.to_str().unwrap(), "--key-file", &key, "--check"];
    assert!(other.run(&checked).ok().stdout.contains("is whole"));
    assert!(!other.folder.path().join("desk.db").exists(), "a check touches no store");
    let said = other.run(&checked[..4]).ok();
    assert!(said.stdout.contains("The sealing key was written to"), "{}", said.stdout);
}

#[test]
fn a_damaged_or_altered_backup_is_refused() {
    let other = Desk::new(Store::Sqlite).unwrap();
    let with = |alter: &dyn Fn(&Case), words: &str| {
        let case = Case::new(&["--passphrase-file", "PASS"]);
        alter(&case);
        case.refused(&other, &["--passphrase-file", &case.path("pass")], words);
    };
    let cut = |case: &Case, to: u64| {
        std::fs::File::options().write(true).open(&case.backup).unwrap().set_len(to).unwrap();
    };
    with(&|case| cut(case, 0), "is no backup of maildesk");
    with(&|case| cut(case, 20_000), "is damaged or cut short");
    with(&|case| std::fs::write(&case.backup, "From: me\r\n").unwrap(), "is no backup of maildesk");
    with(
        &|case| change(&case.backup, "UPDATE relay SET sender = 'thief@evil.test'"),
        "table relay is not as it was",
    );
    with(
        &|case| change(&case.backup, "DELETE FROM counter WHERE name = 'alert'"),
        "table counter is not as it was",
    );
    with(
        &|case| change(&case.backup, "UPDATE backup SET value = replace(value, '\"rows\":1', '\"rows\":2')"),
        "its header",
    );
    with(
        &|case| change(&case.backup, "UPDATE secret SET sealed = x'01' WHERE id = 1"),
        "its header or a secret",
    );
    with(&|case| change(&case.backup, "DROP TABLE backup"), "is no backup of maildesk");
}
