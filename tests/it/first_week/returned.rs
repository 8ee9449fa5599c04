//! `error return`: a message goes back into its mailbox, and is not taken in again.

use maildesk::store::Error;
use maildesk::ticket::ErrorId;

use crate::identity::renumbered::{Imap, renumber};
use crate::support::dovecot::WITHOUT_MOVE_AND_UIDPLUS;
use crate::support::trial::{Letter, Trial, by_hand, on_both_stores, support_with};

on_both_stores!(
    a_message_is_put_back_into_its_folder,
    without_uidplus_it_is_known_by_its_key,
    a_message_is_put_back_into_its_maildir,
    what_is_still_there_stays_as_it_is,
);

const BROKEN: &[u8] = b"X-Broken: yes\r\n\r\n";

async fn put_back(trial: &Trial, id: i64) -> Result<String, Error> {
    trial.works.put_back(ErrorId(id), &by_hand()).await
}

async fn put_back_and_read_again(url: &str, host: &str) -> Option<(Trial, Imap)> {
    let imap = Imap::new("delete")?;
    let trial = Trial::with(url, &imap.sections(host)).await;
    imap.account.deliver(BROKEN);
    trial.poll().await;
    assert_eq!(trial.fates().await, ["error unreadable"]);
    // Without UIDPLUS the first one is there still, flagged.
    let before = imap.account.files("").len();
    let words = put_back(&trial, 1).await.expect("it goes back");
    assert!(words.contains("not taken in again"), "{words}");
    assert_eq!((trial.errors("returned").await.len(), imap.account.files("").len()), (1, before + 1));
    imap.account.deliver(&Letter::new("new").bytes());
    let report = trial.poll().await;
    assert_eq!((report.balance.before_start, trial.tickets().await.len()), (1, 1));
    renumber(&imap.account);
    let report = trial.poll().await;
    assert_eq!((report.fetched, report.balance.before_start), (0, 1));
    let said = put_back(&trial, 1).await.unwrap_err().to_string();
    assert!(said.contains("is returned already"), "{said}");
    trial.assert_balanced().await;
    Some((trial, imap))
}

async fn a_message_is_put_back_into_its_folder(url: String) {
    let Some((_, imap)) = put_back_and_read_again(&url, "localhost").await else { return };
    assert_eq!(imap.account.files("").len(), 1);
    let name = imap.account.files("").remove(0);
    let path = ["new", "cur"].map(|sub| imap.account.maildir.join(sub).join(&name));
    let file = path.iter().find(|path| path.exists()).expect("the file");
    let bytes = std::fs::read(file).expect("readable");
    let line_ends = |bytes: &[u8]| String::from_utf8_lossy(bytes).replace("\r\n", "\n");
    assert_eq!(line_ends(&bytes), line_ends(BROKEN), "as it came");
}

async fn without_uidplus_it_is_known_by_its_key(url: String) {
    put_back_and_read_again(&url, WITHOUT_MOVE_AND_UIDPLUS).await;
}

async fn a_message_is_put_back_into_its_maildir(url: String) {
    let trial = Trial::new(&url).await;
    trial.deliver("1.broken", BROKEN);
    trial.poll().await;
    assert_eq!((trial.fates().await, trial.remaining()), (vec!["error unreadable".to_owned()], 0));
    put_back(&trial, 1).await.expect("it goes back");
    let report = trial.poll().await;
    assert_eq!((report.fetched, report.balance.before_start, trial.remaining()), (0, 1, 1));
    trial.assert_balanced().await;
}

async fn what_is_still_there_stays_as_it_is(url: String) {
    let sections = support_with("handled = \"seen\"\nsize_limit_mb = 1");
    let trial = Trial::with(&url, &sections).await;
    trial.deliver("1.broken", BROKEN);
    trial.deliver("2.big", &Letter::new("big").body(&"x".repeat(1_100_000)).bytes());
    trial.poll().await;
    assert_eq!(trial.errors("open").await.len(), 2);
    assert_eq!(trial.alerts().await.len(), 1);
    for id in [1, 2] {
        let words = put_back(&trial, id).await.expect("it is there");
        assert!(words.contains("still in its mailbox"), "{words}");
    }
    assert_eq!((trial.alerts().await, trial.poll().await.fetched, trial.remaining()), (vec![], 0, 2));
    let said = put_back(&trial, 99).await.unwrap_err().to_string();
    assert!(said.contains("there is no error ticket #99"), "{said}");
    trial.assert_balanced().await;
}
