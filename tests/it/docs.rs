//! The documents that say the same as the code: generated ones are compared with what the code gives, and written ones
//! are held to the names that they use.
//!
//! `MAILDESK_WRITE_DOCS=1 scripts/test docs` writes the generated ones anew.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use maildesk::failure::{Kind, TOKEN_PHRASES, TOKEN_STATUSES};
use maildesk::mail::dsn::readers::{GENERAL, Layout, READERS};
use maildesk::triage::Code;
use maildesk::{alert, config, crash, oauth, telemetry};

use crate::support::setting;

/// Where the groups of `Code::ALL` begin: what becomes of a message with such a code.
const ACTS: &[(Code, &str)] = &[
    (Code::NewTicket, "open"),
    (Code::ReplyByOurId, "append"),
    (Code::AcceptedByAdmin, "by an admin"),
    (Code::BounceByVerp, "bounce"),
    (Code::SpamVerdict, "invalid"),
    (Code::TooBig, "error"),
    (Code::Duplicate, "discard"),
];

#[test]
fn docs_list_every_reason_code() {
    let mut table = String::from("| act | code | in words |\n| --- | --- | --- |\n");
    let mut act = "";
    for code in Code::ALL {
        act = ACTS.iter().find(|(first, _)| first == code).map_or(act, |(_, act)| act);
        table.push_str(&format!("| {act} | `{}` | {} |\n", code.as_str(), code.words()));
    }
    generated_part("docs/reason-codes.md", "codes", &table);
}

#[test]
fn docs_list_every_reader_of_reports() {
    let quoted = |words: &[&str]| words.iter().map(|w| format!("`{w}`")).collect::<Vec<_>>().join(", ");
    let place = |layout: &Layout| match layout {
        Layout::Below(words) => format!("lines below {}", quoted(words)),
        Layout::Behind(words) => format!("behind {}", quoted(words)),
        Layout::Before(words) => format!("in front of {}", quoted(words)),
        Layout::Line => "`<address>: words`".to_owned(),
        Layout::Field(name) => format!("the field `{name}`"),
        Layout::Each(words) => format!("behind each of {}", quoted(words)),
        Layout::Labelled(words) => format!("lines that begin with one of {} and a colon", quoted(words)),
        Layout::Above => "alone on a line above an indented one".to_owned(),
        Layout::Only => "the only address there is".to_owned(),
        Layout::Subject => "the only address in the subject".to_owned(),
        Layout::Returned => "the To of the returned mail".to_owned(),
        Layout::Names(words) => format!("names without a domain below {}", quoted(words)),
    };
    let mut table =
        String::from("| reader | known by one of | the recipients stand |\n| --- | --- | --- |\n");
    for reader in READERS.iter().chain([&GENERAL]) {
        let places: Vec<String> = reader.layouts.iter().map(place).collect();
        table.push_str(&format!(
            "| {} | {} | {} |\n",
            reader.name,
            quoted(reader.words),
            places.join("; else ")
        ));
    }
    generated_part("docs/bounce-readers.md", "readers", &table);
}

#[test]
fn docs_list_every_event_of_the_log() {
    let mut table = String::from("| event | level | fields | meaning |\n| --- | --- | --- | --- |\n");
    for event in telemetry::events::EVENTS {
        let fields: Vec<String> = event.fields.iter().map(|field| format!("`{field}`")).collect();
        let (name, level, fields) = (event.name, event.level.as_str().to_lowercase(), fields.join(" "));
        table.push_str(&format!("| `{name}` | {level} | {fields} | {} |\n", event.about));
    }
    generated_part("docs/log-events.md", "events", &table);
}

#[test]
fn docs_list_every_metric() {
    let mut table = String::from("| metric | kind | labels | meaning |\n| --- | --- | --- | --- |\n");
    for one in telemetry::metrics::ALL {
        let labels: Vec<String> =
            one.labels.iter().map(|(label, values)| format!("`{label}`: {values}")).collect();
        let (name, kind, labels) = (one.name, one.kind, labels.join("; "));
        table.push_str(&format!("| `{name}` | {kind} | {labels} | {}. |\n", one.about));
    }
    generated_part("docs/metrics.md", "metrics", &table);
}

#[test]
fn docs_say_what_an_alert_means_and_what_to_do() {
    let mut table = String::from("| alert | what it means | what to do |\n| --- | --- | --- |\n");
    for entry in alert::CATALOGUE {
        table.push_str(&format!("| `{}` | {} | {} |\n", entry.name, entry.meaning, entry.advice));
    }
    generated_part("docs/operations.md", "alerts", &table);
    let mut table = String::from("| kind | what it means | told | what to do |\n| --- | --- | --- | --- |\n");
    for kind in Kind::ALL {
        let told = if kind.needs_somebody() { "at once" } else { "the second time" };
        table.push_str(&format!("| `{}` | {} | {told} | {} |\n", kind.word(), kind.meaning(), kind.advice()));
    }
    generated_part("docs/operations.md", "kinds", &table);
}

#[test]
fn docs_say_what_a_refused_token_means() {
    let mut table = String::from("| the server says | kind | what it means |\n| --- | --- | --- |\n");
    let phrases = TOKEN_PHRASES.iter().map(|(phrase, kind)| (format!("`{phrase}` in its words"), kind));
    let statuses = TOKEN_STATUSES.iter().map(|(status, kind)| (format!("status `{status}`"), kind));
    for (said, kind) in phrases.chain(statuses) {
        table.push_str(&format!("| {said} | `{}` | {} |\n", kind.word(), kind.meaning()));
    }
    generated_part("docs/quirks.md", "tokens", &table);
}

#[test]
fn docs_say_what_an_identity_provider_refuses_and_what_to_do() {
    let mut table = String::from(
        "| code | the provider says | what it means | what to do |\n| --- | --- | --- | --- |\n",
    );
    for entry in oauth::refusal::TABLE {
        let said: Vec<String> = entry.said.iter().map(|said| format!("`{said}`")).collect();
        table.push_str(&format!(
            "| `{}` | {} | {} | {} |\n",
            entry.code,
            said.join(" "),
            entry.meaning,
            entry.advice
        ));
    }
    generated_part("docs/oauth.md", "refusals", &table);
}

#[test]
fn docs_show_the_configuration_as_it_is_read() {
    generated("config.example.toml", &config::example::example());
}

#[test]
fn docs_begin_with_a_configuration_that_is_read() {
    let readme = read(&root().join("README.md"));
    let text =
        readme.split("```toml\n").nth(1).and_then(|rest| rest.split("```").next()).expect("a TOML example");
    let read = config::Config::of_text("maildesk.toml".into(), text.to_owned(), &config::Env::default());
    if let Err(error) = read {
        panic!("README.md: {error}");
    }
}

#[test]
fn docs_name_the_crash_points_that_there_are() {
    let named: BTreeSet<String> =
        table_heads("docs/operations.md").into_iter().filter(|head| is_crash_point(head)).collect();
    let there: BTreeSet<String> = crash::POINTS.iter().map(|point| (*point).to_owned()).collect();
    same("crash points", "docs/operations.md", &named, "src/crash.rs", &there);
}

fn is_crash_point(name: &str) -> bool {
    name.split_once('.').is_some_and(|(step, point)| {
        ["keep", "decide", "ack", "oauth", "send", "lease"].contains(&step) && !point.is_empty()
    })
}

#[test]
fn docs_list_the_standards_that_the_code_cites() {
    let mut cited = BTreeSet::new();
    for file in files_below("src", "rs") {
        for line in read(&file).lines() {
            if let Some((_, comment)) = line.split_once("//") {
                cited.extend(rfcs(comment));
            }
        }
    }
    let listed = table_heads("docs/standards.md").iter().flat_map(|head| rfcs(head)).collect();
    same("RFCs", "docs/standards.md", &listed, "comments below src", &cited);
}

/// The numbers behind each `RFC`: one, several (`RFC 5321, 3207, 4954`) or a range (`RFC 2045 to 2049`).
fn rfcs(text: &str) -> Vec<u32> {
    let mut found = Vec::new();
    for (at, mark) in text.match_indices("RFC ") {
        let mut rest = &text[at + mark.len()..];
        while let Some((number, behind)) = number(rest) {
            found.push(number);
            match behind.strip_prefix(" to ").and_then(self::number) {
                Some((last, behind)) => {
                    found.extend(number + 1..=last);
                    rest = behind;
                }
                None => rest = behind,
            }
            let Some(next) = rest.strip_prefix(", ") else { break };
            rest = next;
        }
    }
    found
}

/// RFCs that a mail program meets have three or four digits; other numbers follow them in a sentence.
fn number(text: &str) -> Option<(u32, &str)> {
    let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let number = text[..digits].parse().ok().filter(|_| (3..=4).contains(&digits))?;
    Some((number, &text[digits..]))
}

#[test]
fn docs_find_every_rfc_in_a_comment() {
    for (text, expected) in [
        ("RFC 5322 §3.6.4: in order", &[5322][..]),
        ("(RFC 2045 to 2047, RFC 2231)", &[2045, 2046, 2047, 2231]),
        ("spoken (RFC 5321, 3207, 4954).", &[5321, 3207, 4954]),
        ("RFC 3834 §2 and §3.3, RFC 5321 §4.5.5", &[3834, 5321]),
        ("RFC: 5, 5 and 2 minutes; RFC822.SIZE", &[]),
        ("RFC 822, 64 octets", &[822]),
    ] {
        assert_eq!(rfcs(text), expected, "{text}");
    }
}

#[test]
fn docs_name_commands_that_there_are() {
    let program = <maildesk::cli::Cli as clap::CommandFactory>::command();
    let mut unknown = Vec::new();
    for file in documents() {
        let text = read(&file);
        let quoted = text.split('`').filter_map(|words| words.strip_prefix("maildesk "));
        let blocks = text.split("```").skip(1).step_by(2);
        let typed = blocks.flat_map(str::lines).filter_map(|line| line.strip_prefix("maildesk "));
        unknown.extend(quoted.chain(typed).filter(|words| !is_command(&program, words)).map(|words| {
            format!("{}: maildesk {}", file.display(), words.lines().next().unwrap_or_default())
        }));
    }
    assert!(unknown.is_empty(), "no such command:\n{}", unknown.join("\n"));
}

/// Whether the words begin with a command and, where it has verbs, one of them.
fn is_command(program: &clap::Command, words: &str) -> bool {
    let mut words = words.split_whitespace().skip_while(|word| word.starts_with('-'));
    let Some(command) = words.next().and_then(|word| program.find_subcommand(word)) else { return false };
    match words.next() {
        Some(verb) if command.has_subcommands() => command.find_subcommand(verb).is_some(),
        _ => true,
    }
}

#[test]
fn docs_name_files_that_are_there() {
    let mut missing = Vec::new();
    for file in documents() {
        let text = read(&file);
        let named = quoted_paths(&text).chain(links(&text).map(|link| beside(&file, &link)));
        missing.extend(
            named
                .filter(|path| !root().join(path).exists())
                .map(|path| format!("{}: {path}", file.display())),
        );
    }
    assert!(missing.is_empty(), "named, and not there:\n{}", missing.join("\n"));
}

/// What stands in backticks and begins like a path of the repository.
fn quoted_paths(text: &str) -> impl Iterator<Item = String> + '_ {
    const FOLDERS: [&str; 8] =
        ["src/", "tests/", "scripts/", "docs/", "migrations/", "templates/", "systemd/", ".ci/"];
    let quoted = text.split('`').skip(1).step_by(2);
    quoted
        .filter_map(|words| words.split_whitespace().next())
        .filter(|word| FOLDERS.iter().any(|folder| word.starts_with(folder)))
        .filter(|word| !word.contains(['*', '<', '{']))
        .map(str::to_owned)
}

/// Targets of links to other files.
fn links(text: &str) -> impl Iterator<Item = String> + '_ {
    text.split("](")
        .skip(1)
        .filter_map(|rest| rest.split_once(')'))
        .map(|(target, _)| target.split('#').next().unwrap_or_default().to_owned())
        .filter(|target| !target.is_empty() && !target.contains("://"))
}

/// A link's target as a path from the root.
fn beside(file: &Path, target: &str) -> String {
    let folder = file.parent().unwrap_or(Path::new("")).strip_prefix(root()).unwrap_or(Path::new(""));
    folder.join(target).to_string_lossy().into_owned()
}

// --- Comparing and writing -------------------------------------------------------------------------------------------

/// A file that the code writes whole.
#[track_caller]
fn generated(path: &str, expected: &str) {
    let file = root().join(path);
    if setting("MAILDESK_WRITE_DOCS").is_some() {
        fs::write(&file, expected).expect("the document is written");
    }
    let found = fs::read_to_string(&file).unwrap_or_default();
    if let Some((line, (found, expected))) = first_difference(&found, expected) {
        panic!(
            "{path}:{line} is not what the code says\n  file: {found}\n  code: {expected}\n\
             `MAILDESK_WRITE_DOCS=1 scripts/test docs` writes it anew"
        );
    }
}

/// A part that the code writes, between two comments, of a file that people write.
#[track_caller]
fn generated_part(path: &str, name: &str, part: &str) {
    let text = read(&root().join(path));
    let (begin, end) = (format!("<!-- {name}: begin -->\n"), format!("<!-- {name}: end -->\n"));
    let (before, rest) = text.split_once(&begin).unwrap_or_else(|| panic!("{path} has no {begin}"));
    let (_, after) = rest.split_once(&end).unwrap_or_else(|| panic!("{path} has no {end}"));
    generated(path, &format!("{before}{begin}{part}{end}{after}"));
}

fn first_difference<'t>(found: &'t str, expected: &'t str) -> Option<(usize, (&'t str, &'t str))> {
    let lines = found.lines().count().max(expected.lines().count());
    let line = |text: &'t str, at| text.lines().nth(at).unwrap_or("(nothing)");
    (0..lines).map(|at| (at + 1, (line(found, at), line(expected, at)))).find(|(_, (a, b))| a != b)
}

#[track_caller]
fn same<T: Ord + std::fmt::Debug>(what: &str, one: &str, a: &BTreeSet<T>, two: &str, b: &BTreeSet<T>) {
    let (only_a, only_b): (Vec<_>, Vec<_>) = (a.difference(b).collect(), b.difference(a).collect());
    assert!(
        only_a.is_empty() && only_b.is_empty(),
        "{what}: only in {one}: {only_a:?}; only in {two}: {only_b:?}"
    );
}

/// The first cell of each row of the tables in a document, without backticks.
fn table_heads(path: &str) -> BTreeSet<String> {
    let text = read(&root().join(path));
    let cells = text.lines().filter_map(|line| line.strip_prefix('|')?.split('|').next());
    cells.map(|cell| cell.trim().trim_matches('`').to_owned()).collect()
}

fn documents() -> Vec<PathBuf> {
    let mut found = files_below("docs", "md");
    found.extend(["README.md", "ARCHITECTURE.md", "CHANGELOG.md", "CONTRIBUTING.md"].map(|f| root().join(f)));
    found
}

fn files_below(folder: &str, extension: &str) -> Vec<PathBuf> {
    let (mut found, mut folders) = (Vec::new(), vec![root().join(folder)]);
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("a folder of the repository") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|e| e == extension) {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

#[track_caller]
fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}
