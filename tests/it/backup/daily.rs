//! The daily backup: seven are kept, one that fails raises an alert, the next good one clears it.

use maildesk::backup::{Daily, Source};
use maildesk::clock::Clock;
use maildesk::config::{Config, Env};

use crate::support::trial::{Letter, Trial, on_both_stores};

on_both_stores!(seven_are_kept, a_failing_one_raises_an_alert);

fn daily(trial: &Trial, clock: &Clock) -> Daily {
    let text = "[backup]\nfolder = \"kept\"\n".to_owned();
    let config = Config::of_text(trial.folder.path().join("x.toml"), text, &Env::default()).unwrap();
    Daily {
        source: Source {
            store: trial.works.store.clone(),
            key: (*trial.works.key).clone(),
            clock: clock.clone(),
        },
        alerts: trial.works.desk.alerts.clone(),
        settings: config.backup,
    }
}

async fn seven_are_kept(url: String) {
    let trial = Trial::new(&url).await;
    trial.take_in(Letter::new("one")).await;
    let clock = Clock::fixed("2026-11-01T10:00:00Z".parse().unwrap());
    let daily = daily(&trial, &clock);
    let mut taken = vec![];
    for day in 2..=10 {
        clock.set(format!("2026-11-{day:02}T04:15:00Z").parse().unwrap());
        let cut_off = trial.folder.path().join("kept/maildesk-20261101T031500Z.backup.part-wal");
        if cut_off.parent().unwrap().exists() {
            std::fs::write(cut_off, "half").unwrap();
        }
        taken.push(daily.run().await.unwrap());
    }
    let mut names: Vec<String> = std::fs::read_dir(trial.folder.path().join("kept"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    assert_eq!(names.len(), 7, "{names:?}");
    assert_eq!(names[0], "maildesk-20261104T041500Z.backup");
    assert!(taken.iter().all(|t| !t.has_key && t.rows >= taken[0].rows), "{taken:?}");
}

async fn a_failing_one_raises_an_alert(url: String) {
    let trial = Trial::new(&url).await;
    let clock = Clock::fixed("2026-11-01T10:00:00Z".parse().unwrap());
    let daily = daily(&trial, &clock);
    std::fs::write(trial.folder.path().join("kept"), "a file in the way").unwrap();
    let failure = daily.run().await.unwrap_err();
    assert!(failure.to_string().contains("kept"), "{failure}");
    assert_eq!(trial.alerts().await, ["backup:failing"]);
    std::fs::remove_file(trial.folder.path().join("kept")).unwrap();
    daily.run().await.unwrap();
    assert!(trial.alerts().await.is_empty());
}
