//! Who is told of an alert, and how often.

use maildesk::failure::Kind;
use maildesk::store::Alarm;

use crate::support::trial::{Letter, SUPPORT, Trial, on_both_stores};

on_both_stores!(an_alert_is_told_once_and_once_that_it_is_over);

async fn an_alert_is_told_once_and_once_that_it_is_over(url: String) {
    let trial = Trial::new(&url).await;
    let alerts = &trial.works.desk.alerts;
    let state = async |kind: Option<Kind>| {
        let alarm = kind.map(|kind| Alarm {
            kind: Some(kind),
            words: format!("mailbox \"support\": it fails by {}", kind.word()),
            advice: "Mend it.".into(),
        });
        alerts.keep("mailbox:1:failing", alarm.as_ref()).await.expect("stated");
        trial.works.desk.tell_alerts().await.expect("told")
    };
    assert_eq!(state(Some(Kind::Cut)).await, 1);
    // The same again, another kind that may pass: the words are kept up to date, and nobody is mailed.
    assert_eq!((state(Some(Kind::Cut)).await, state(Some(Kind::Silent)).await), (0, 0));
    // Now somebody has to act.
    assert_eq!((state(Some(Kind::Login)).await, state(Some(Kind::Cut)).await), (1, 0));
    assert_eq!((state(None).await, state(None).await), (1, 0));
    let mails: Vec<String> = trial
        .queue()
        .await
        .into_iter()
        .map(|m| format!("{} {} {}", m.purpose, m.recipients[0].address, m.subject))
        .collect();
    let subject = "alert admin@example.net [maildesk]";
    assert_eq!(
        mails,
        [
            format!("{subject} mailbox \"support\": it fails by cut"),
            format!("{subject} mailbox \"support\": it fails by login"),
            format!("{subject} Works again: mailbox \"support\": it fails by cut"),
        ]
    );
}

mod undelivered {
    use crate::support::scripted_smtp::{Answer, Phase, ScriptedSmtp};
    use crate::support::trial::{Letter, SUPPORT, Trial, on_both_stores};

    on_both_stores!(a_mail_that_is_given_up_is_told_to_the_team_once);

    async fn a_mail_that_is_given_up_is_told_to_the_team_once(url: String) {
        let server = ScriptedSmtp::start();
        server.answer(Phase::Rcpt("jo@x.test".into()), Answer::reply(550, "5.1.1 no such user here"));
        // The notice itself fails too, and nobody is told of that.
        server.answer(Phase::Rcpt("admin@example.net".into()), Answer::reply(550, "5.1.1 nor here"));
        let relay = format!("kind = \"smtp\"\nhost = \"127.0.0.1\"\nport = {}\ntls = \"plain\"", server.port);
        let trial = Trial::with(&url, &SUPPORT.replace("kind = \"folder\"\npath = \"out\"", &relay)).await;
        trial.take_in(Letter::new("a")).await;
        trial.answer(1).await;
        let mut told = vec![];
        for _ in 0..4 {
            trial.works.outbound().pass(100).await.expect("a pass");
            told.push(trial.works.desk.tell_undelivered().await.expect("told"));
        }
        assert_eq!(told, [1, 0, 0, 0], "{:?}", trial.owed().await);
        let notice = trial.queue().await.pop().expect("a notice");
        assert_eq!(
            (notice.purpose.as_str(), notice.recipients[0].address.as_str()),
            ("notice", "admin@example.net")
        );
        assert!(notice.subject.starts_with("[Support #1-"), "{}", notice.subject);
    }
}

mod silent {
    use maildesk::clock::{Clock, Micros};

    use crate::support::trial::{Letter, Trial, on_both_stores};

    const DAY: i64 = 24 * 3600;

    on_both_stores!(a_mailbox_that_falls_silent_is_told_until_the_next_message);

    async fn a_mailbox_that_falls_silent_is_told_until_the_next_message(url: String) {
        let trial = Trial::new(&url).await;
        let begin = 1_800_000_000;
        let clock = Clock::fixed(Micros::from_seconds(begin));
        let works = trial.works_on(trial.works.store.clone(), clock.clone()).await;
        let round = async |day: i64, has_mail: bool| {
            clock.set(Micros::from_seconds(begin + day * DAY));
            if has_mail {
                trial.deliver(&format!("{day}.x"), &Letter::new(&format!("day{day}")).bytes());
            }
            works.poll(&trial.mailbox("support").await).await.expect("a round");
            works.state_silence().await.expect("looked at");
            trial.alerts().await
        };
        for day in 0..32 {
            assert!(round(day, true).await.is_empty(), "day {day}");
        }
        // One a day: up to three days are usual.
        assert!(round(34, false).await.is_empty());
        let told = round(35, false).await;
        assert_eq!(told.len(), 1, "{told:?}");
        assert!(told[0].starts_with("mailbox:") && told[0].ends_with(":silent"), "{told:?}");
        assert_eq!(round(36, false).await.len(), 1, "raised once");
        assert!(round(37, true).await.is_empty(), "the next message clears it");
        // A mailbox that is switched off is expected to be silent.
        assert_eq!(round(45, false).await.len(), 1);
        let without = crate::support::trial::support_with("active = false");
        let mut trial = trial;
        trial.configure(&without).await;
        trial.works.clear_left_over().await.expect("looked at");
        assert!(trial.alerts().await.is_empty());
    }
}

mod shown {
    use serde_json::Value;

    use crate::support::program::{Desk, Imap, Store};
    use crate::support::server::free_port;

    #[test]
    fn a_failing_mailbox_and_its_alert_are_shown_with_what_to_do() {
        let imap = Imap { port: free_port(), username: "joe".into(), password: "hunter2".into() };
        let desk = Desk::with_support(Store::usual(), &imap, free_port()).expect("a store");
        for tries in 1..=2 {
            assert_ne!(desk.run(&["poll"]).code, Some(0));
            let listed = desk.rows(&["mailbox", "list", "--json"]);
            assert_eq!((&listed[0]["state"], &listed[0]["failures"]), (&"failing".into(), &tries.into()));
            assert_eq!(
                desk.rows(&["alert", "list", "--json"]).len(),
                tries - 1,
                "the second failure is told"
            );
        }
        // Whole, which is more than a cell of a table holds, and with what to do.
        let polled = desk.run(&["poll"]).stdout;
        for words in
            ["failed  connection_refused", "(os error 111)\n  Check host and port", "wait for the server"]
        {
            assert!(polled.contains(words), "{words:?} is not in {polled}");
        }
        let shown = desk.json(&["mailbox", "show", "support", "--json"]);
        assert!(shown["failing_since"].is_string() && shown["advice"].is_string(), "{shown}");
        assert_eq!(shown["failure"], "connection_refused");
        let listed = desk.rows(&["alert", "list", "--json"]);
        let name = listed[0]["name"].as_str().expect("a name");
        for named in [name, "1", "#1"] {
            let alert = desk.json(&["alert", "show", named, "--json"]);
            assert_eq!((&alert["kind"], &alert["cleared"]), (&"connection_refused".into(), &Value::Null));
            assert!(alert["words"].as_str().is_some_and(|w| w.contains("refuses the connection")), "{alert}");
            assert!(
                alert["advice"].as_str().is_some_and(|a| a.starts_with("Check host and port")),
                "{alert}"
            );
        }
        assert_eq!(desk.run(&["alert", "show", "mailbox:99:failing"]).code, Some(65));
    }
}

/// A template of the operator's that is mended: its alert is over with the next start.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mended_template_clears_its_alert() {
    let mut trial = Trial::new("sqlite:desk.db").await;
    let sections = format!("[run]\nmin_free_mb = 0\ntemplates = \"templates\"\n{SUPPORT}");
    let folder = trial.folder.path().join("templates/new_ticket");
    std::fs::create_dir_all(&folder).expect("a folder");
    let file = folder.join("body.txt.j2");
    std::fs::write(&file, "{{ no_such_field.at_all }}").expect("written");
    trial.configure(&sections).await;
    assert_eq!(trial.take_in(Letter::new("a")).await, "open new_ticket #1");
    assert_eq!(trial.alerts().await, ["template:new_ticket"]);
    trial.configure(&sections).await;
    trial.works.clear_mended_templates().await.expect("looked at");
    assert_eq!(trial.alerts().await, ["template:new_ticket"], "it is as it was");
    std::fs::write(&file, "a ticket").expect("mended");
    trial.configure(&sections).await;
    trial.works.clear_mended_templates().await.expect("looked at");
    assert_eq!(trial.alerts().await, Vec::<String>::new());
}
