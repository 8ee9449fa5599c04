//! `doctor` says who is at work, and whose lease has run out.

use serde_json::Value;

use super::*;

/// What doctor says of daemons, each with its level.
fn said(desk: &Desk) -> Vec<String> {
    let findings = desk.run(&["doctor", "--json"]).json();
    let of_daemons = |finding: &Value| {
        let words = (finding["about"] == "daemons").then(|| finding["words"].as_str())??;
        Some(format!("{} {words}", finding["level"].as_str()?))
    };
    findings.as_array().expect("a list").iter().filter_map(of_daemons).collect()
}

#[test]
fn doctor_tells_of_daemons_at_work_and_of_one_whose_lease_ran_out() {
    let Some(many) = Many::new(2, 4) else { return };
    assert_eq!(said(&many.desk), ["ok none is at work: mail waits where it is until `maildesk run`"]);
    let (two, three) = (many.desk.beside(), many.desk.beside());
    let mut first = many.desk.spawn(&["run"]);
    many.wait_for_held(&[(&first, 2)]);
    let mut second = two.spawn(&["run"]);
    many.wait_for_held(&[(&first, 1), (&second, 1)]);
    let told = said(&three);
    assert_eq!(told.len(), 2, "{told:#?}");
    for (daemon, (told, mailbox)) in [&first, &second].into_iter().zip(told.iter().zip(["m0", "m1"])) {
        let is_it = told.starts_with(&format!("ok pid {} on ", daemon.pid()));
        assert!(is_it && told.ends_with(&format!(", and has {mailbox}")), "{told}");
    }
    // It stands still, and is as good as gone.
    second.signal("STOP");
    many.wait_for_held(&[(&first, 2)]);
    let warned = format!("warn `maildesk run`, pid {} on ", second.pid());
    let told = said(&many.desk);
    let is_told = |told: &[String]| told.iter().any(|words| words.starts_with(&warned));
    assert!(told.len() == 2 && is_told(&told) && told[1].contains(": its lease ran out at 20"), "{told:#?}");
    // It is back, under a new life.
    second.signal("CONT");
    many.wait_for_held(&[(&first, 1), (&second, 1)]);
    assert!(!is_told(&said(&many.desk)), "{:#?}", said(&many.desk));
    second.kill();
    many.wait_for_held(&[(&first, 2)]);
    assert!(is_told(&said(&many.desk)), "{:#?}", said(&many.desk));
    let again = two.spawn(&["run"]);
    many.wait_for_held(&[(&first, 1), (&again, 1)]);
    assert!(!is_told(&said(&many.desk)), "{:#?}", said(&many.desk));
    // Who leaves in good order is missed by nobody.
    drop(again);
    first.signal("TERM");
    assert!(first.wait(PATIENCE).success());
}

#[test]
fn doctor_tells_of_a_daemon_that_died_on_sqlite() {
    let Some(desk) = Desk::with_pipe(Store::Sqlite, 1) else { return };
    let mut daemon = desk.spawn(&["run"]);
    wait_until("the daemon to be at work", PATIENCE, || {
        let told = said(&desk);
        told.iter().any(|words| words.starts_with(&format!("ok pid {} on ", daemon.pid()))).then_some(())
    });
    daemon.kill();
    let told = said(&desk);
    let warned = format!("warn `maildesk run`, pid {} on ", daemon.pid());
    assert!(
        told.iter().any(|words| words.starts_with(&warned) && words.contains("its lease ran out, and")),
        "{told:#?}"
    );
}
