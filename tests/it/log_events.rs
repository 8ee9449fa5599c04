//! The log's closed list: every call of `tracing` in the source begins with a name of `telemetry::events`, at its level
//! and with its fields; `docs/log-events.md` says the same.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Duration;

use maildesk::telemetry::events::{self, EVENTS};

use crate::support::program::{Desk, Store};
use crate::support::{sources, wait_until};

/// One call: where, its level, its fields, and what its message begins with.
#[derive(Debug, PartialEq)]
struct Call {
    at: String,
    level: String,
    fields: Vec<String>,
    name: String,
}

#[test]
fn the_log_tells_only_what_is_on_its_list() {
    let mut wrong = Vec::new();
    let mut found: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for call in sources("src").iter().flat_map(calls) {
        let Some(event) = events::find(&call.name) else {
            wrong.push(format!(
                "{}: {:?} is not on the list of src/telemetry/events.rs; it would be\n    event({:?}, Level::{}, &{:?}, \"…\"),",
                call.at, call.name, call.name, call.level, call.fields
            ));
            continue;
        };
        if event.level.as_str() != call.level {
            wrong.push(format!("{}: {} is {}, not {}", call.at, call.name, event.level, call.level));
        }
        found.entry(call.name).or_default().extend(call.fields);
    }
    for event in EVENTS {
        let listed: BTreeSet<String> = event.fields.iter().map(|f| (*f).to_owned()).collect();
        match found.get(event.name) {
            None => wrong.push(format!("{} is on the list, and nothing tells it", event.name)),
            Some(told) if *told != listed => {
                wrong.push(format!("{} has the fields {told:?}, and lists {listed:?}", event.name));
            }
            Some(_) => {}
        }
    }
    assert!(wrong.is_empty(), "\n{}\n", wrong.join("\n"));
}

#[test]
fn the_list_is_in_order_and_says_what_to_do() {
    let names: Vec<&str> = EVENTS.iter().map(|e| e.name).collect();
    assert!(names.is_sorted_by(|a, b| a < b), "{names:?}");
    for event in EVENTS {
        let (room, what) = event.name.split_once('.').expect("room.past_tense");
        let is_room = Path::new(env!("CARGO_MANIFEST_DIR")).join("src").join(room);
        assert!(is_room.is_dir() || is_room.with_extension("rs").is_file(), "{}: no such room", event.name);
        assert!(!what.is_empty() && event.about.ends_with('.'), "{event:?}");
    }
}

const LEVELS: [&str; 5] = ["error", "warn", "info", "debug", "trace"];

/// The calls of one source file, without its tests.
fn calls((file, text): &(String, String)) -> Vec<Call> {
    let text = text.split("\n#[cfg(test)]\nmod tests").next().unwrap_or_default();
    let mut calls = Vec::new();
    for level in LEVELS {
        let open = format!("tracing::{level}!(");
        for (at, _) in text.match_indices(&open) {
            let line = text[..at].matches('\n').count() + 1;
            let (fields, name) = read(&arguments(&text[at + open.len()..]));
            calls.push(Call { at: format!("{file}:{line}"), level: level.to_uppercase(), fields, name });
        }
    }
    // Whoever imports the macros, or opens spans, would not be seen above.
    for hidden in ["tracing::instrument", "tracing::event!", "_span!("] {
        assert!(!text.contains(hidden), "{file}: {hidden}: write tracing::info!(…) in full");
    }
    for level in LEVELS {
        let call = format!("{level}!(");
        let bare = text.match_indices(&call).filter(|(at, _)| {
            let before = &text[..*at];
            !before.ends_with("tracing::") && !before.ends_with(|c: char| c.is_alphanumeric() || c == '_')
        });
        assert_eq!(bare.count(), 0, "{file}: write tracing::{level}!(…) in full");
    }
    calls
}

/// What stands between the parentheses, taken apart at its commas.
fn arguments(rest: &str) -> Vec<String> {
    let (mut list, mut one, mut depth) = (Vec::new(), String::new(), 0);
    let mut chars = rest.chars();
    while let Some(c) = chars.next() {
        match c {
            ')' if depth == 0 => break,
            ',' if depth == 0 => {
                list.push(std::mem::take(&mut one).trim().to_owned());
                continue;
            }
            '(' | '[' | '{' => depth += 1,
            ')' | ']' | '}' => depth -= 1,
            '"' => {
                one.push(c);
                while let Some(c) = chars.next() {
                    one.push(c);
                    match c {
                        '\\' => one.extend(chars.next()),
                        '"' => break,
                        _ => {}
                    }
                }
                continue;
            }
            _ => {}
        }
        one.push(c);
    }
    list.push(one.trim().to_owned());
    list.retain(|one| !one.is_empty());
    list
}

/// The fields, and the first word of the message; what follows the message is put into it.
fn read(arguments: &[String]) -> (Vec<String>, String) {
    let mut fields = Vec::new();
    for argument in arguments {
        if let Some(message) = argument.strip_prefix('"') {
            let name = message.split([' ', '"']).next().unwrap_or_default();
            return (fields, name.to_owned());
        }
        let field = argument.split('=').next().unwrap_or_default().trim();
        fields.push(field.trim_start_matches(['%', '?']).to_owned());
    }
    (fields, String::new())
}

#[test]
fn calls_are_read_as_they_are_written() {
    let text = r#"
        tracing::warn!(%error, relay = name, a.id = f(x, "y,)"), "room.did it {error}: {}", g(1, 2));
        tracing::info!("room.ended");
        tracing::error!(
            words,
            "other"
        );
    "#;
    let call = |at: &str, level: &str, fields: &[&str], name: &str| Call {
        at: at.into(),
        level: level.into(),
        fields: fields.iter().map(|f| (*f).to_owned()).collect(),
        name: name.into(),
    };
    assert_eq!(
        calls(&("x.rs".into(), text.into())),
        [
            call("x.rs:4", "ERROR", &["words"], "other"),
            call("x.rs:2", "WARN", &["error", "relay", "a.id"], "room.did"),
            call("x.rs:3", "INFO", &[], "room.ended"),
        ]
    );
}

#[test]
fn at_the_finest_level_no_event_is_missing() {
    for store in [Store::Sqlite, Store::Postgres] {
        let Some(desk) = Desk::new(store) else { continue };
        desk.configure("");
        let mut daemon = desk.spawn(&["-vv", "run"]);
        wait_until("the start in the log", Duration::from_secs(30), || {
            daemon.log().contains("daemon.started").then_some(())
        });
        assert!(daemon.stop().success());
        let log = daemon.log();
        for event in ["daemon.starting", "daemon.stopping", "daemon.stopped"] {
            assert!(log.contains(event), "{store:?}: {event} is not in {log}");
        }
    }
}
