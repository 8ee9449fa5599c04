//! `explain` on files: what stands in them without any configuration and without a question; DNS where that is asked for.

use std::process::Command;

use serde_json::{Value, json};

use super::{changed, handed_over, reply};
use crate::support::dns::{Dns, Mood};
use crate::support::signer::Signer;

#[test]
fn explain_asks_dns_only_where_that_is_said() {
    let (dns, signer) = (Dns::start(), Signer::new());
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, bytes: &[u8]| std::fs::write(folder.path().join(name), bytes).unwrap();
    dns.txt("_dmarc.aligned.test", "v=DMARC1; p=reject");
    signer.publish(&dns, "aligned.test");
    let signed = signer.signed("aligned.test", &reply("aligned.test").bytes());
    write("signed.eml", &handed_over("jo@aligned.test", &signed));
    write("bare.eml", &signed);
    write("changed.eml", &handed_over("jo@aligned.test", &changed(signed.clone())));
    // Without a server of ours that saw who connected, SPF may be what DMARC rests on.
    write("unknown.eml", &changed(signed));
    let trust =
        format!("[trust]\nrelays = [\"mx.example.com\"]\nresolver = \"{}\"\ntimeout_s = 10\n", dns.address);
    write("config.toml", trust.as_bytes());
    let explain = |arguments: &[&str]| -> Vec<Value> {
        let mut command = Command::new(env!("CARGO_BIN_EXE_maildesk"));
        let files = ["signed.eml", "bare.eml", "changed.eml", "unknown.eml"];
        let output =
            command.arg("explain").args(arguments).args(files).arg("--json").current_dir(&folder).output();
        let output = output.expect("maildesk starts");
        assert!(output.status.success(), "{output:?}");
        let text = String::from_utf8(output.stdout).unwrap();
        text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()["trust"].take()).collect()
    };
    let unasked = json!({"grade": "neutral", "spf": null, "dkim": null, "dmarc": null});
    assert_eq!(explain(&[]), vec![unasked.clone(); 4]);
    assert_eq!(explain(&["--config", "config.toml"]), vec![unasked; 4]);
    assert_eq!(dns.asked(), Vec::<String>::new());
    let of = |grade: &str, spf: Value, dkim: &str, dmarc: Value| json!({"grade": grade, "spf": spf, "dkim": dkim, "dmarc": dmarc});
    assert_eq!(
        explain(&["--config", "config.toml", "--online"]),
        [
            of("pass", "none".into(), "pass", "pass".into()),
            of("pass", Value::Null, "pass", "pass".into()),
            of("fail", "none".into(), "fail", "fail".into()),
            of("neutral", Value::Null, "fail", Value::Null),
        ]
    );
    dns.be("_dmarc.aligned.test", Mood::ServFail);
    let said = explain(&["--config", "config.toml", "--online"]);
    // The signature is of this very domain: it holds whatever the record would say.
    assert_eq!(said[0], of("pass", "none".into(), "pass", "temperror".into()));
    assert_eq!(said[2], of("neutral", "none".into(), "fail", "temperror".into()));
}
