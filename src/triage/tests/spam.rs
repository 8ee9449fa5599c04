//! Verdicts of mail servers in front (B12): who may mark a mail, and what the marks say.

use super::*;

const OURS: &str =
    "from out.else.test (out.else.test [192.0.2.9]) by mx.desk.test (Postfix) with ESMTPS; now";
const INNER: &str = "from mx.desk.test by store.desk.test with LMTP; now";
const FOREIGN: &str = "from pc.else.test by out.else.test with ESMTPSA; now";

fn trusting(sample: Sample) -> Sample {
    sample.with(|s| s.rules.verdicts.relays = vec!["mx.desk.test".into(), "store.desk.test".into()])
}

fn stripping(sample: Sample) -> Sample {
    trusting(sample).with(|s| s.rules.verdicts.strips_verdicts = true)
}

/// A mail to Support with these header fields on top, in this order.
fn marked(fields: &[(&str, &str)]) -> Sample {
    fields.iter().fold(mail(STRANGER), |sample, (name, value)| sample.header(name, value))
}

#[test]
fn only_what_stands_above_the_border_is_ours() {
    let received = |value| ("Received", value);
    let spam = ("X-Spam-Flag", "YES");
    for (fields, is_spam) in [
        (vec![spam, received(OURS), received(FOREIGN)], true),
        (vec![received(INNER), spam, received(OURS), received(FOREIGN)], true),
        // Written by the sender, or by a server of his.
        (vec![received(OURS), spam, received(FOREIGN)], false),
        (vec![received(OURS), received(FOREIGN), spam], false),
        // Somebody else stands in front of us, or nobody does: nothing on top is known to be ours.
        (vec![spam, received(FOREIGN), received(OURS)], false),
        (vec![spam], false),
        // A forged Received of ours below the border moves it nowhere.
        (vec![received(OURS), received(FOREIGN), spam, received(OURS)], false),
    ] {
        let expected = if is_spam { Code::SpamVerdict } else { Code::NewTicket };
        let decision = trusting(marked(&fields)).decide();
        assert_eq!(decision.code, expected, "{fields:?}");
        assert!(decision.trace.iter().any(|step| step.rule == "spam_verdict"), "{fields:?}");
        assert_eq!(marked(&fields).decide().code, Code::NewTicket, "no relay is trusted: {fields:?}");
    }
}

#[test]
fn relays_that_strip_verdicts_are_believed_wherever_they_write() {
    let below = [("Received", OURS), ("Received", FOREIGN), ("X-MS-Exchange-Organization-SCL", "6")];
    assert_eq!(trusting(marked(&below)).decide().code, Code::NewTicket);
    assert_code(&stripping(marked(&below)), Act::Invalid, Code::SpamVerdict);
    let past_us = [("X-MS-Exchange-Organization-SCL", "9"), ("Received", FOREIGN)];
    assert_eq!(stripping(marked(&past_us)).decide().code, Code::NewTicket);
}

#[test]
fn each_mark_says_spam_in_its_own_way() {
    for (name, value, is_spam) in [
        ("X-Spam-Flag", "yes", true),
        ("X-Spam-Flag", "NO", false),
        ("X-Spam-Status", "Yes, score=9.1 required=5.0", true),
        ("X-Spam-Status", "No, score=-1.0 required=5.0 tests=YES", false),
        ("X-Spam", "Yes", true),
        ("X-Spamd-Result", "default: True [15.10 / 6.00]; GTUBE(0.00)[]", true),
        ("X-Spamd-Result", "default: False [1.10 / 6.00]; TRUE(0.00)[]", false),
        ("X-Rspamd-Action", "add header", true),
        ("X-Rspamd-Action", "greylist", false),
        ("X-MS-Exchange-Organization-SCL", "5", true),
        ("X-MS-Exchange-Organization-SCL", "1", false),
        ("X-MS-Exchange-Organization-SCL", "-1", false),
        ("X-Rspamd-Server", "yes", false),
    ] {
        let decision = trusting(marked(&[(name, value), ("Received", OURS)])).decide();
        assert_eq!(decision.code == Code::SpamVerdict, is_spam, "{name}: {value}");
    }
}

#[test]
fn what_answers_a_message_of_ours_is_no_spam() {
    let sample = || trusting(marked(&[("X-Spam-Flag", "YES"), ("Received", OURS)]));
    assert_code(&sample().our_id(), Act::Append, Code::ReplyByOurId);
    assert_code(&sample().belongs("contact").tag(TICKET, TagVerdict::Holds), Act::Invalid, Code::SpamVerdict);
    assert_code(
        &sample().bounce(vec![failed(CONTACT, "5.1.1")]).about(our_mail(), true),
        Act::Bounce,
        Code::BounceByVerp,
    );
}
