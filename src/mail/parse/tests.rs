use super::*;
use crate::mail::scan;

fn message(raw: impl AsRef<[u8]>) -> Message {
    parse(&scan(&mut raw.as_ref()).expect("a slice has no read errors"))
}

#[test]
fn the_first_of_two_single_fields_counts() {
    let m = message("Subject: one\nFrom: a@x.test\nSubject: two\nFrom: b@x.test\n\ntext\n");
    assert_eq!((m.subject.as_str(), m.from.unwrap().address.as_str()), ("one", "a@x.test"));
    assert_eq!(m.defects, [Defect::DuplicateHeader]);
}
