//! Whatever is in the way: 75 and the reason, so that the MTA keeps the mail.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;

use super::{DEADLINE, TRY_AGAIN, is_known, mail};
use crate::support::program::{Desk, Output, Store, give, pipe_sections};
use crate::support::{find_program, skipped, wait_until};

fn desk() -> Desk {
    Desk::with_pipe(Store::Sqlite, 1).expect("SQLite is always there")
}

#[track_caller]
fn refused(output: Output, words: &str) {
    assert_eq!(output.code, TRY_AGAIN, "{}{}", output.stdout, output.stderr);
    assert!(output.stderr.contains(words), "{words:?} is not in {:?}", output.stderr);
    assert_eq!(output.stdout, "");
}

#[test]
fn only_what_is_typed_wrong_is_not_tried_again() {
    let desk = desk();
    assert_eq!(desk.bring(&["--too=x"], &mail("one")).code, Some(64));
    refused(desk.bring(&[], b""), "there is no message on standard input");
    refused(desk.bring(&["--mailbox=absent"], &mail("one")), "there is no mailbox \"absent\"");
    fs::write(desk.config(), "[[mailbox]]\nhots = 1\n").unwrap();
    refused(desk.bring(&[], &mail("one")), "unknown field `hots`");
    fs::remove_file(desk.config()).unwrap();
    refused(desk.bring(&[], &mail("one")), "No such file");
}

#[test]
fn a_mailbox_that_is_not_read_takes_nothing() {
    let desk = desk();
    let sections = pipe_sections(1);
    let with = |from: &str, to: &str| {
        assert!(sections.contains(from));
        desk.configure(&sections.replace(from, to));
        desk.run(&["mailbox", "list"]).ok();
        desk.bring(&["--mailbox=support"], &mail("one"))
    };
    let pipe = "protocol = \"pipe\"";
    refused(with(pipe, &format!("{pipe}\nactive = false")), "is switched off or held");
    refused(with("mailbox = \"support\"\n", ""), "has no active type");
    refused(with(pipe, "protocol = \"maildir\"\npath = \"M\""), "takes nothing from a pipe");
    refused(desk.bring(&[], &mail("one")), "there is no mailbox of protocol pipe");
    assert_eq!(desk.count("journal"), 0);
}

#[test]
fn a_desk_that_is_not_there_is_not_made() {
    let desk = Desk::new(Store::Sqlite).expect("SQLite is always there");
    desk.configure(&pipe_sections(1));
    refused(desk.bring(&[], &mail("one")), "sets the desk up");
    let left: Vec<_> = fs::read_dir(desk.folder.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert_eq!(left, ["config.toml"]);
    fs::write(desk.folder.path().join("desk.db"), "").unwrap();
    refused(desk.bring(&[], &mail("one")), "run `maildesk migrate`");
    fs::write(desk.folder.path().join("desk.db"), "no database".repeat(1000)).unwrap();
    refused(desk.bring(&[], &mail("one")), "is not a SQLite database");
    let url = "[store]\nurl = \"postgres://u@127.0.0.1:1/d\"\n";
    fs::write(desk.config(), url.to_owned() + &pipe_sections(1)).unwrap();
    refused(desk.bring(&[], &mail("one")), "PostgreSQL at 127.0.0.1:1 refuses");
}

#[test]
fn the_sockets_group_may_deliver_and_others_are_asked_to_try_again() {
    let desk = desk();
    let owner = std::os::unix::fs::MetadataExt::uid(&fs::metadata(desk.folder.path()).unwrap());
    let Some(setpriv) = find_program("setpriv").filter(|_| owner == 0) else {
        return skipped("needs root and setpriv, to become others");
    };
    let daemon = desk.daemon();
    let socket = desk.folder.path().join("maildesk.sock");
    assert_eq!(fs::metadata(&socket).unwrap().permissions().mode() & 0o777, 0o660);
    std::os::unix::fs::chown(&socket, None, Some(64_000)).unwrap();
    fs::set_permissions(desk.folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let program = desk.folder.path().join("maildesk");
    // The build folder may be nobody else's to look into.
    fs::copy(env!("CARGO_BIN_EXE_maildesk"), &program).unwrap();
    let of_group = |group: &str| {
        let mut command = Command::new(&setpriv);
        command.args(["--reuid", "64000", "--regid", group, "--clear-groups"]).arg(&program);
        command.arg("--config").arg(desk.config()).args(["deliver", "--json"]);
        give(command, &["deliver"], &mail("one"))
    };
    refused(of_group("64001"), "Permission denied");
    assert!(!is_known(of_group("64000")));
    drop(daemon);
    // Without a daemon it may not touch the store.
    refused(of_group("64000"), "desk.db");
    desk.run(&["poll"]).ok();
    assert_eq!(desk.fates(1), ["open new_ticket"]);
}

impl Desk {
    /// PostgreSQL notices the end of a killed process a moment later.
    fn run_when_free(&self, arguments: &[&str]) {
        wait_until("the desk to be free", DEADLINE, || {
            let ran = self.run(arguments);
            assert!([Some(0), Some(69)].contains(&ran.code), "{ran:?}");
            (ran.code == Some(0)).then_some(())
        });
    }
}

#[test]
fn a_crash_at_any_moment_keeps_it_once_sqlite() {
    crash_anywhere(Store::Sqlite);
}

#[test]
fn a_crash_at_any_moment_keeps_it_once_postgres() {
    crash_anywhere(Store::Postgres);
}

/// The daemon, or without one the very process that the MTA has started, dies while it keeps or decides.
fn crash_anywhere(store: Store) {
    if !cfg!(feature = "crash-points") {
        return skipped("built without the feature crash-points, which scripts/test gives");
    }
    let Some(desk) = Desk::with_pipe(store, 1) else { return };
    let mut ids = vec![];
    let points = ["keep.before_commit", "keep.after_commit", "decide.before_commit", "decide.after_commit"];
    for point in points {
        let id = format!("daemon.{point}");
        let mut daemon = desk.daemon_with(&[("MAILDESK_CRASH_AT", point)]);
        let first = desk.bring(&[], &mail(&id));
        // The answer may or may not be out when the daemon dies of deciding.
        let may_be_taken = point.starts_with("decide") && first.code == Some(0);
        assert!(may_be_taken || first.code == TRY_AGAIN, "{point}: {first:?}");
        daemon.wait(DEADLINE);
        // The MTA tries again: nobody is there, so the store itself is opened.
        assert_eq!(is_known(desk.bring(&[], &mail(&id))), point != points[0], "{point}");
        desk.run_when_free(&["poll"]);
        ids.push(id);
    }
    for point in &points[..2] {
        let id = format!("alone.{point}");
        let mut command = desk.command(&["deliver"]);
        let first = give_crashing(&mut command, point, &mail(&id));
        assert_eq!((first.code, first.signal), (None, Some(6)), "{point}: {first:?}");
        // A killed process of PostgreSQL's holds the desk until the server has noticed; deliver waits for that.
        assert_eq!(is_known(desk.bring(&[], &mail(&id))), *point != points[0], "{point}");
        ids.push(id);
    }
    let daemon = desk.daemon();
    assert_eq!(desk.fates(ids.len()), vec!["open new_ticket"; ids.len()]);
    assert_eq!(desk.tickets().len(), ids.len());
    drop(daemon);
}

fn give_crashing(command: &mut Command, point: &str, message: &[u8]) -> Output {
    let mut own = Command::new(command.get_program());
    own.args(command.get_args()).env("MAILDESK_CRASH_AT", point);
    give(own, &["deliver"], message)
}

#[test]
fn a_stopping_daemon_and_a_starting_one_lose_nothing() {
    let desk = desk();
    let mut daemon = desk.daemon();
    desk.bring(&[], &mail("one")).ok();
    std::thread::scope(|scope| {
        let bring = |n: usize| {
            let message = mail(&format!("n{n}"));
            wait_until("the message to be taken", DEADLINE, || {
                let brought = desk.bring(&[], &message);
                assert!(brought.code == Some(0) || brought.code == TRY_AGAIN, "{brought:?}");
                (brought.code == Some(0)).then_some(())
            });
        };
        let all: Vec<_> =
            (0..4).map(|thread| scope.spawn(move || (0..5).for_each(|n| bring(5 * thread + n)))).collect();
        for _ in 0..3 {
            assert!(daemon.stop().success());
            // Not refused because a deliver holds the desk for a moment.
            daemon = desk.daemon();
        }
        all.into_iter().for_each(|thread| thread.join().expect("all are taken"));
    });
    assert_eq!(desk.fates(21), ["open new_ticket"; 21]);
}

#[test]
fn a_full_server_is_tried_again() {
    let Some(desk) = Desk::with_pipe(Store::Postgres, 1) else { return };
    let mut daemon = desk.daemon();
    // As the server says it (SQLSTATE 53100, disk_full), while rows of a mail are written.
    desk.psql(
        "CREATE FUNCTION no_space() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'could not extend file' \
         USING ERRCODE = '53100'; END $$; CREATE TRIGGER no_space BEFORE INSERT ON raw_mail EXECUTE FUNCTION no_space()",
    );
    refused(desk.bring(&[], &mail("one")), "the disk of the PostgreSQL server is full");
    assert_eq!(desk.count("journal"), 0);
    desk.psql("DROP TRIGGER no_space ON raw_mail");
    assert!(!is_known(desk.bring(&[], &mail("one"))));
    assert_eq!(desk.fates(1), ["open new_ticket"]);
    assert!(daemon.stop().success());
}
