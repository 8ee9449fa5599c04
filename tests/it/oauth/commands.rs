//! `maildesk oauth …` alone and beside a daemon.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::Stdio;
use std::time::Duration;

use serde_json::Value;

use super::*;
use crate::support::identity::{Fault, fetch};
use crate::support::program::{Desk, Output, Store};
use crate::support::wait_until;

const PATIENCE: Duration = Duration::from_secs(30);

/// A desk whose daemon writes everything that it can into its log.
fn desk(store: Store, identity: &Identity) -> Option<Desk> {
    let desk = Desk::new(store)?;
    for folder in ["new", "cur", "tmp"] {
        std::fs::create_dir_all(desk.folder.path().join("Maildir").join(folder)).unwrap();
    }
    desk.configure(&sections(identity, "timeout_s = 2\n"));
    desk.run(&["migrate"]).ok();
    Some(desk)
}

/// Signs in with a browser: reads the page that the command shows, and goes there.
fn login(desk: &Desk, identity: &Identity, more: &[&str]) -> Value {
    let mut arguments =
        vec!["-vv", "--json", "oauth", "login", "mailbox:support", "--user", "someone@example.com"];
    arguments.extend(more);
    let mut command = desk.command(&arguments);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("maildesk starts");
    let mut shown = BufReader::new(child.stderr.take().unwrap());
    let mut read = String::new();
    let mut next = |until: &str| loop {
        let mut line = String::new();
        assert!(shown.read_line(&mut line).unwrap() > 0, "no {until} in\n{read}");
        read.push_str(&line);
        if let Some(at) = line.find(until) {
            break line[at..].trim().to_owned();
        }
    };
    let is_by_device = more.contains(&"device");
    if is_by_device {
        let code = next("enter the code");
        identity.enter_code(code.rsplit(' ').next().unwrap(), Ok("someone@example.com"));
    } else {
        let page = next("http://127.0.0.1");
        let back = identity.sign_in(&page);
        if more.contains(&"--paste") {
            writeln!(child.stdin.take().unwrap(), "{back}").unwrap();
        } else {
            // A browser asks for an icon as well.
            let root = back.split('?').next().unwrap();
            assert_eq!(fetch(&format!("{root}/favicon.ico")).status, 404);
            assert_eq!(fetch(&back).status, 200);
        }
    }
    drop(child.stdin.take());
    let mut rest = String::new();
    std::io::Read::read_to_string(&mut shown, &mut rest).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{read}{rest}");
    std::fs::write(desk.folder.path().join(format!("login-{}.log", more.join("-"))), rest).unwrap();
    serde_json::from_slice(&output.stdout).expect("one JSON value")
}

#[test]
fn a_person_signs_in_by_each_flow_alone_and_beside_a_daemon_sqlite() {
    by_each_flow(Store::Sqlite);
}

fn by_each_flow(store: Store) {
    let identity = Identity::start(Style::Microsoft);
    let Some(desk) = desk(store, &identity) else { return };
    let mut said: Vec<Output> = vec![];
    for is_beside in [false, true] {
        let mut daemon = is_beside.then(|| {
            let daemon = desk.spawn(&["-vvv", "run"]);
            wait_until("the daemon to answer", PATIENCE, || {
                (daemon.log().contains("daemon.started")).then_some(())
            });
            daemon
        });
        for flow in [&["--paste"][..], &[], &["--flow", "device"]] {
            let done = login(&desk, &identity, flow);
            assert_eq!(
                (&done["connected"], &done["user"]),
                (&true.into(), &"someone@example.com".into()),
                "{flow:?}"
            );
        }
        let token = identity.grant("someone@example.com", "https://outlook.office.com/IMAP.AccessAsUser.All");
        let import =
            desk.run_with_input(&["-vv", "oauth", "import", "support"], format!("{token}\n").as_bytes());
        said.push(import.ok());
        said.push(desk.run(&["-vv", "oauth", "login", "relay:out", "--flow", "client-credentials"]).ok());
        said.push(desk.run(&["-vv", "oauth", "refresh", "support"]).ok());
        let status = desk.rows(&["oauth", "status", "--json"]);
        assert_eq!(status.len(), 2, "{status:?}");
        assert_eq!((&status[0]["flow"], &status[0]["state"]), (&"import".into(), &"working".into()));
        assert_eq!(status[0]["refresh_days_left"], 89);
        // What a careless provider repeats is not told on.
        identity.desk().faults.push_back(Fault::Refused {
            error: "invalid_grant",
            number: 50_173,
            words: "TOKEN",
        });
        identity.desk().faults.push_back(Fault::Refused {
            error: "invalid_grant",
            number: 50_173,
            words: "TOKEN",
        });
        let refused = desk.run(&["-vv", "oauth", "refresh", "support"]);
        assert_eq!(refused.code, Some(65), "{refused:?}");
        assert!(refused.stderr.contains("the grant was revoked"), "{refused:?}");
        said.push(refused);
        said.push(desk.run(&["oauth", "status"]).ok());
        assert!(said.last().unwrap().stdout.contains("Find out who has done so"), "{said:?}");
        said.push(desk.run(&["alert", "list", "--json"]).ok());
        assert!(said.last().unwrap().stdout.contains(":failing"), "{said:?}");
        said.push(desk.run(&["-vv", "oauth", "refresh", "support"]).ok());
        said.push(desk.run(&["config", "show", "--json"]).ok());
        let unknown = desk.run(&["oauth", "refresh", "nobody"]);
        assert!(
            unknown.code == Some(65) && unknown.stderr.contains("neither a mailbox nor a relay"),
            "{unknown:?}"
        );
        if let Some(daemon) = &mut daemon {
            assert!(daemon.stop().success());
        }
        if is_beside {
            said.push(desk.run(&["oauth", "revoke", "relay:out"]).ok());
        }
    }
    for (n, output) in said.iter().enumerate() {
        let path = desk.folder.path().join(format!("said-{n}.txt"));
        std::fs::write(path, format!("{}{}", output.stdout, output.stderr)).unwrap();
    }
    super::secrets::no_secret_stands_in(&identity, &[desk.folder.path()]);
    assert_eq!(identity.desk().overlaps, 0);
}
