//! Jobs: known by name, each with its last run and its next.

use maildesk::store::{JobRow, Store};

use super::world::at;

on_both!(a_job_is_known_and_its_runs_are_recorded);

async fn a_job_is_known_and_its_runs_are_recorded(store: &Store) {
    let mut tx = store.write().await.unwrap();
    assert_eq!(tx.know_job("backup.daily", at(1)).await.unwrap(), at(1));
    assert_eq!(tx.know_job("backup.daily", at(5)).await.unwrap(), at(1), "counted from the first sight");
    tx.set_job_next("backup.daily", "15 3 * * *", at(9)).await.unwrap();
    tx.commit().await.unwrap();
    let new = JobRow {
        schedule: "15 3 * * *".into(),
        name: "backup.daily".into(),
        began: None,
        ended: None,
        next: at(9),
        failures: 0,
        words: String::new(),
    };
    assert_eq!(store.read().await.unwrap().jobs().await.unwrap(), [new]);
    let mut tx = store.write().await.unwrap();
    for (is_well, failures) in [(false, 1), (false, 2), (true, 0), (false, 1)] {
        tx.record_job("backup.daily", (at(10), at(12), at(20)), (is_well, "so\u{0}")).await.unwrap();
        let row = tx.jobs().await.unwrap().remove(0);
        assert_eq!((row.began, row.ended, row.next), (Some(at(10)), Some(at(12)), at(20)));
        assert_eq!((row.failures, row.words.as_str()), (failures, "so"));
    }
    assert_eq!(tx.know_job("backup.daily", at(30)).await.unwrap(), at(10), "counted from the last run");
    tx.commit().await.unwrap();
}
