//! Intake from a Maildir, on both stores.

use std::path::Path;

use crate::support::trial::{Letter, Trial, on_both_stores, usual_url};

on_both_stores!(a_reply_and_its_parent_in_one_batch);

async fn a_reply_and_its_parent_in_one_batch(url: String) {
    let trial = Trial::new(&url).await;
    trial.deliver("1", &Letter::new("a").bytes());
    trial.deliver("2", &Letter::new("b").answering("a@x.test").bytes());
    trial.deliver("3", &Letter::new("c").answering("b@x.test").bytes());
    let report = trial.poll().await;
    let appended = "append reply_by_foreign_id #1";
    assert_eq!(trial.fates().await, ["open new_ticket #1", appended, appended]);
    assert_eq!(trial.remaining(), 0);
    assert_eq!((report.balance.shown, report.balance.difference()), (3, 0));
    assert_eq!(trial.poll().await.fates.total(), 0);
}

/// Takes in a folder of generated mail, for a look at what becomes of it.
#[tokio::test(flavor = "multi_thread")]
async fn generated_mail_is_taken_in() {
    let Some(folder) = crate::support::setting("MAILDESK_TRY_MAIL") else { return };
    let trial = Trial::new(&usual_url()).await;
    for entry in std::fs::read_dir(Path::new(&folder)).unwrap() {
        let path = entry.unwrap().path();
        trial.deliver(path.file_name().unwrap().to_str().unwrap(), &std::fs::read(&path).unwrap());
    }
    let begun = std::time::Instant::now();
    let report = trial.poll().await;
    println!("{:?} {report:#?}", begun.elapsed());
}
