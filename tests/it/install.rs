//! `maildesk install` into a folder: every file in its place, once and again, and what it laid down works.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support::{find_program, skipped};

const PROGRAM: &str = env!("CARGO_BIN_EXE_maildesk");

#[track_caller]
fn install(root: &Path, more: &[&str]) -> String {
    let said =
        Command::new(PROGRAM).args(["install", "--root"]).arg(root).args(more).output().expect("it starts");
    assert!(said.status.success(), "{said:?}");
    String::from_utf8(said.stdout).expect("text")
}

/// Every file below a folder, with its mode.
fn modes(root: &Path) -> BTreeMap<String, u32> {
    let (mut found, mut folders) = (BTreeMap::new(), vec![root.to_owned()]);
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            match path.is_dir() {
                true => folders.push(path),
                false => {
                    let mode = fs::metadata(&path).expect("a file").permissions().mode() & 0o777;
                    let name = path.strip_prefix(root).expect("below the root").display().to_string();
                    found.insert(name, mode);
                }
            }
        }
    }
    found
}

fn done(said: &str, path: &Path) -> String {
    let lines: serde_json::Value = serde_json::from_str(said).expect("JSON");
    let line =
        lines.as_array().expect("a list").iter().find(|line| line["path"] == path.display().to_string());
    line.unwrap_or_else(|| panic!("no {} in {said}", path.display()))["done"]
        .as_str()
        .expect("text")
        .to_owned()
}

#[test]
fn everything_is_laid_down_once_and_the_operators_files_are_kept() {
    let folder = tempfile::tempdir().expect("a folder");
    let root = folder.path();
    let said = install(root, &["--dry-run"]);
    assert!(said.contains("usr/local/bin/maildesk: would be written"), "{said}");
    assert!(modes(root).is_empty());

    let said = install(root, &[]);
    assert!(said.contains("systemctl enable --now maildesk") && said.contains("Keep a copy"), "{said}");
    let found = modes(root);
    for (name, mode) in [
        ("usr/local/bin/maildesk", 0o755),
        ("usr/local/lib/systemd/system/maildesk.service", 0o644),
        ("usr/local/lib/sysusers.d/maildesk.conf", 0o644),
        ("usr/local/lib/tmpfiles.d/maildesk.conf", 0o644),
        ("usr/local/share/man/man1/maildesk.1", 0o644),
        ("usr/local/share/man/man1/maildesk-ticket-answer.1", 0o644),
        ("usr/local/share/man/man5/maildesk-config.5", 0o644),
        ("usr/local/share/bash-completion/completions/maildesk", 0o644),
        ("usr/local/share/zsh/site-functions/_maildesk", 0o644),
        ("usr/local/share/fish/vendor_completions.d/maildesk.fish", 0o644),
        ("usr/local/share/doc/maildesk/config.example.toml", 0o644),
        ("etc/maildesk/config.toml", 0o640),
        ("etc/maildesk/maildesk.key", 0o600),
    ] {
        assert_eq!(found.get(name), Some(&mode), "{name}: {found:?}");
    }
    let etc = fs::metadata(root.join("etc/maildesk")).expect("the folder").permissions().mode();
    assert_eq!(etc & 0o777, 0o750);

    let (config, key) = (root.join("etc/maildesk/config.toml"), root.join("etc/maildesk/maildesk.key"));
    let made = fs::read(&key).expect("the key");
    fs::write(&config, "[store]\nurl = \"sqlite:mine.db\"\n").expect("edited");
    let unit = root.join("usr/local/lib/systemd/system/maildesk.service");
    fs::write(&unit, "[Service]\n").expect("an older one");
    let said = install(root, &["--json"]);
    assert_eq!(done(&said, &config), "kept");
    assert_eq!(done(&said, &key), "kept");
    assert_eq!(done(&said, &unit), "written");
    assert_eq!(done(&said, &root.join("usr/local/bin/maildesk")), "unchanged");
    assert_eq!(fs::read(&key).expect("the key"), made);
    assert!(fs::read_to_string(&config).expect("the configuration").contains("mine.db"));
    assert!(
        fs::read_to_string(&unit).expect("the unit").contains("ExecStart=/usr/local/bin/maildesk --config")
    );
}

#[test]
fn what_was_laid_down_is_taken_away_and_the_operators_files_stay() {
    let folder = tempfile::tempdir().expect("a folder");
    let root = folder.path();
    install(root, &[]);
    let desk = root.join("var/lib/maildesk/desk.db");
    let note = root.join("usr/local/share/man/man1/other.1");
    fs::create_dir_all(desk.parent().expect("a folder")).expect("made");
    fs::write(&desk, "the desk").expect("written");
    fs::write(&note, "another program's").expect("written");
    let before = modes(root);
    let said = install(root, &["--uninstall", "--dry-run"]);
    assert!(said.contains("usr/local/bin/maildesk: would be removed"), "{said}");
    assert_eq!(modes(root), before);
    let said = install(root, &["--uninstall", "--json"]);
    assert_eq!(done(&said, &root.join("usr/local/bin/maildesk")), "removed");
    assert_eq!(done(&said, &root.join("etc/maildesk/maildesk.key")), "kept");
    let left: Vec<String> = modes(root).into_keys().collect();
    let expected = [
        "etc/maildesk/config.toml",
        "etc/maildesk/maildesk.key",
        "usr/local/share/man/man1/other.1",
        "var/lib/maildesk/desk.db",
    ];
    assert_eq!(left, expected);
    assert!(!root.join("usr/local/share/doc/maildesk").exists());
    let said = install(root, &["--uninstall"]);
    assert!(said.contains("usr/local/bin/maildesk: not there"), "{said}");
}

#[test]
fn what_was_installed_works_and_its_owners_come_with_sysusers_and_tmpfiles() {
    let folder = tempfile::tempdir().expect("a folder");
    let root = folder.path();
    install(root, &["--prefix", "/usr"]);
    let program = |words: &[&str]| {
        let said = Command::new(root.join("usr/bin/maildesk")).args(words).output().expect("it starts");
        assert!(said.status.success(), "{said:?}");
        String::from_utf8(said.stdout).expect("text")
    };
    assert_eq!(program(&["--version"]), format!("maildesk {}\n", env!("CARGO_PKG_VERSION")));
    let config = root.join("etc/maildesk/config.toml").display().to_string();
    let said = program(&["--config", &config, "config", "check"]);
    assert!(said.contains("is good (relay: 0, mailbox: 0, type: 0, account: 0)"), "{said}");
    let shown = program(&["--config", &config, "config", "show"]);
    for path in ["sqlite:/var/lib/maildesk/desk.db", "/run/maildesk/maildesk.sock", "/var/lib/maildesk/spool"]
    {
        assert!(shown.contains(path), "{path} is not in {shown}");
    }

    let is_root = fs::metadata("/proc/self").expect("proc").uid() == 0;
    let (Some(sysusers), Some(tmpfiles)) =
        (find_program("systemd-sysusers"), find_program("systemd-tmpfiles"))
    else {
        return skipped("there is no systemd-sysusers or systemd-tmpfiles");
    };
    if !is_root {
        return skipped("only root makes users and changes owners");
    }
    fs::create_dir_all(root.join("etc")).expect("a folder");
    let in_root = |program: PathBuf, words: &[&str]| {
        let said = Command::new(program).arg("--root").arg(root).args(words).output().expect("it starts");
        assert!(said.status.success(), "{said:?}");
    };
    in_root(sysusers, &["maildesk.conf"]);
    in_root(tmpfiles, &["--create", "maildesk.conf"]);
    let passwd = fs::read_to_string(root.join("etc/passwd")).expect("a user was made");
    let id: Vec<u32> = passwd
        .lines()
        .filter(|line| line.starts_with("maildesk:"))
        .flat_map(|line| {
            line.split(':').skip(2).take(2).map(|id| id.parse().expect("a number")).collect::<Vec<_>>()
        })
        .collect();
    let [uid, gid] = id[..] else { panic!("{passwd}") };
    for (name, owner, group, mode) in [
        ("etc/maildesk", 0, gid, 0o750),
        ("etc/maildesk/config.toml", 0, gid, 0o640),
        ("etc/maildesk/maildesk.key", 0, 0, 0o600),
        ("var/lib/maildesk", uid, gid, 0o700),
    ] {
        let metadata = fs::metadata(root.join(name)).unwrap_or_else(|e| panic!("{name}: {e}"));
        assert_eq!((metadata.uid(), metadata.gid(), metadata.mode() & 0o777), (owner, group, mode), "{name}");
    }
}

#[test]
fn a_folder_that_is_not_ours_is_refused_with_what_to_do() {
    let folder = tempfile::tempdir().expect("a folder");
    fs::write(folder.path().join("usr"), "a file").expect("written");
    let said =
        Command::new(PROGRAM).args(["install", "--root"]).arg(folder.path()).output().expect("it starts");
    assert_eq!(said.status.code(), Some(69));
    let words = String::from_utf8_lossy(&said.stderr);
    assert!(words.contains("usr/local/bin/maildesk: "), "{words}");
    let said = Command::new(PROGRAM).args(["install", "--prefix", "opt"]).output().expect("it starts");
    assert_eq!(said.status.code(), Some(64));
}

#[test]
fn root_makes_no_desk_in_the_folder_of_another() {
    if fs::metadata("/proc/self").expect("proc").uid() != 0 {
        return skipped("only root can give a folder to another user");
    }
    let folder = tempfile::tempdir().expect("a folder");
    let desk = folder.path().join("desk");
    fs::create_dir(&desk).expect("a folder");
    std::os::unix::fs::chown(&desk, Some(65534), None).expect("root changes owners");
    let config = folder.path().join("config.toml");
    fs::write(&config, format!("[store]\nurl = \"sqlite:{}/desk.db\"\n", desk.display())).expect("written");
    let migrate = || {
        let mut command = Command::new(PROGRAM);
        command.arg("--config").arg(&config).arg("migrate").env_remove("MAILDESK_KEY");
        command.output().expect("it starts")
    };
    let said = migrate();
    let words = String::from_utf8_lossy(&said.stderr);
    assert_eq!(said.status.code(), Some(78), "{words}");
    assert!(
        words.contains("belongs to the user with the uid 65534") && words.contains("start the service first")
    );
    assert!(fs::read_dir(&desk).expect("a folder").next().is_none());
    // One that is there is opened: a look at a stopped service's desk.
    fs::write(desk.join("desk.db"), "").expect("made by its owner");
    assert!(migrate().status.success());
}
