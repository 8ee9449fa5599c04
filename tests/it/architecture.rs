//! The house as ARCHITECTURE.md draws it: which room may import which, where SQL and the environment may be touched,
//! and that the two databases have one schema.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// The floors from the ground up. A room imports only rooms of lower floors.
/// On an ordered floor it may also import those named before it; on the others, neighbours never import each other.
const FLOORS: &[(&str, Neighbours, &[&str])] = &[
    ("0 words", Ordered, &["clock", "crash", "failure", "seal", "ticket", "mail"]),
    ("1 rules", Apart, &["triage", "workflow", "letters", "schedule"]),
    ("2 settings and sight", Apart, &["config", "telemetry"]),
    ("3 ground", Apart, &["store", "net"]),
    ("3½", Apart, &["alert", "lease"]),
    ("4 the desk", Apart, &["desk"]),
    ("4½", Apart, &["backup", "oauth", "scanner", "scheduler", "helpdesk", "verifier"]),
    ("5 intake", Apart, &["intake"]),
    ("6 doors", Apart, &["sources", "outbound", "mirror", "escalation", "calendar", "web", "control"]),
    ("7 assembly", Ordered, &["daemon", "cli"]),
    ("the program", Ordered, &["lib", "main"]),
];

#[derive(Clone, Copy, PartialEq, Eq)]
enum Neighbours {
    Apart,
    Ordered,
}
use Neighbours::{Apart, Ordered};

/// Reading the environment is the config room's; a variable elsewhere is a setting that nobody documents.
/// The crash points are a test's hand on the process, which no release build has.
const ENVIRONMENT_READERS: &[&str] = &["config", "crash"];
const ENVIRONMENT: &[&str] = &["env::var", "env::vars", "env::var_os", "env::vars_os", "env::set_var"];

#[test]
fn rooms_import_only_lower_floors() {
    report(sources().iter().flat_map(Source::wrong_arrows).collect());
}

#[test]
fn every_room_has_its_floor() {
    let unknown = |s: &&Source| place(&s.room).is_none();
    report(
        sources().iter().filter(unknown).map(|s| format!("{}: no floor for {}", s.file, s.room)).collect(),
    );
}

#[test]
fn sql_stays_in_the_store() {
    report(sources().iter().flat_map(Source::sql).collect());
}

#[test]
fn only_config_reads_the_environment() {
    report(sources().iter().flat_map(Source::environment).collect());
}

#[test]
fn both_databases_have_the_same_migrations() {
    let (sqlite, postgres) = (migrations("sqlite"), migrations("postgres"));
    let names = |files: &[(String, String)]| files.iter().map(|f| f.0.clone()).collect::<Vec<_>>();
    assert!(!sqlite.is_empty());
    assert_eq!(names(&sqlite), names(&postgres));
    for ((name, sqlite), (_, postgres)) in sqlite.iter().zip(&postgres) {
        // The first line says which of the two it is.
        let pairs = sqlite.lines().zip(postgres.lines()).enumerate().skip(1);
        for (number, (sqlite, postgres)) in pairs {
            assert_eq!(as_postgres(sqlite), one_space(postgres), "migrations, {name}:{}", number + 1);
        }
        assert_eq!(sqlite.lines().count(), postgres.lines().count(), "lines of {name}");
    }
}

fn migrations(engine: &str) -> Vec<(String, String)> {
    let folder = root().join("migrations").join(engine);
    let mut files: Vec<(String, String)> = fs::read_dir(folder)
        .expect("the folder of migrations")
        .map(|entry| {
            let path = entry.expect("an entry").path();
            let name = path.file_name().expect("a name").to_string_lossy().into_owned();
            (name, fs::read_to_string(&path).expect("a migration is text"))
        })
        .collect();
    files.sort();
    files
}

/// A line of SQLite's DDL in PostgreSQL's words: the two types that differ.
fn as_postgres(line: &str) -> String {
    one_space(line).replace("INTEGER PRIMARY KEY", "BIGINT NOT NULL PRIMARY KEY").replace("BLOB", "BYTEA")
}

fn one_space(line: &str) -> String {
    line.split_whitespace().collect::<Vec<_>>().join(" ")
}

// --- The rules, on one source file -----------------------------------------------------------------------------------

/// A source file, with comments blanked out, and strings lifted out of the code.
struct Source {
    file: String,
    room: String,
    /// The code: the same lines, with comments gone and strings empty.
    code: String,
    /// Each string literal with the line it begins on.
    strings: Vec<(usize, String)>,
}

impl Source {
    fn new(file: &str, text: &str) -> Source {
        let first = file.trim_start_matches("src/").split('/').next().unwrap_or_default();
        let (code, strings) = lift_strings(text);
        Source { file: file.to_owned(), room: first.trim_end_matches(".rs").to_owned(), code, strings }
    }

    fn wrong_arrows(&self) -> Vec<String> {
        let mut wrong = Vec::new();
        for (line, to) in self.imports() {
            if let Some(why) = wrong_arrow(&self.room, &to) {
                wrong.push(format!("{}:{line}: {} → {to}: {why}", self.file, self.room));
            }
        }
        wrong
    }

    /// The rooms named by `crate::…` (in main.rs `maildesk::…`), and by a `super::` that climbs out of the room.
    fn imports(&self) -> BTreeSet<(usize, String)> {
        let mut found = BTreeSet::new();
        let roots: &[&str] = if self.room == "main" { &["crate::", "maildesk::"] } else { &["crate::"] };
        for root in roots {
            for at in words_at(&self.code, root) {
                for name in first_segments(&self.code[at + root.len()..]) {
                    found.insert((line_of(&self.code, at), name));
                }
            }
        }
        for at in words_at(&self.code, "super::") {
            for name in first_segments(&self.code[at + "super::".len()..]) {
                // A room may have a part that is named like a room: cli/ticket.rs.
                if place(&name).is_some() && !self.has_part(&name) {
                    found.insert((line_of(&self.code, at), name));
                }
            }
        }
        found.retain(|(_, name)| *name != self.room && name.chars().next().is_some_and(char::is_lowercase));
        found
    }

    fn has_part(&self, name: &str) -> bool {
        let part = root().join("src").join(&self.room).join(name);
        part.is_dir() || part.with_extension("rs").is_file()
    }

    fn sql(&self) -> Vec<String> {
        if self.room == "store" {
            return Vec::new();
        }
        let mut wrong: Vec<String> = words_at(&self.code, "sqlx::")
            .into_iter()
            .map(|at| format!("{}:{}: sqlx outside the store", self.file, line_of(&self.code, at)))
            .collect();
        let statements = self.strings.iter().filter(|(_, words)| is_sql(words));
        wrong.extend(statements.map(|(line, _)| format!("{}:{line}: SQL outside the store", self.file)));
        wrong
    }

    fn environment(&self) -> Vec<String> {
        if ENVIRONMENT_READERS.contains(&self.room.as_str()) {
            return Vec::new();
        }
        let mut lines = BTreeSet::new();
        for call in ENVIRONMENT {
            lines.extend(words_at(&self.code, call).into_iter().map(|at| line_of(&self.code, at)));
        }
        let words = |line| format!("{}:{line}: reads the environment outside config", self.file);
        lines.into_iter().map(words).collect()
    }
}

/// Floor and position of a room.
fn place(room: &str) -> Option<(usize, usize)> {
    let on = |(floor, rooms): (usize, &[&str])| Some((floor, rooms.iter().position(|r| *r == room)?));
    FLOORS.iter().enumerate().find_map(|(floor, (_, _, rooms))| on((floor, rooms)))
}

/// Why `from` may not import `to`; `None` if it may.
fn wrong_arrow(from: &str, to: &str) -> Option<String> {
    let Some((to_floor, to_position)) = place(to) else {
        return Some("no such room in the table of floors".to_owned());
    };
    // A file without a floor is reported by its own test.
    let (floor, position) = place(from)?;
    let (name, neighbours, _) = FLOORS[floor];
    if to_floor < floor || (to_floor == floor && neighbours == Ordered && to_position < position) {
        return None;
    }
    Some(match to_floor == floor {
        true => format!("neighbours on floor {name}"),
        false => format!("from floor {name} up to {}", FLOORS[to_floor].0),
    })
}

fn is_sql(words: &str) -> bool {
    let words = one_space(words);
    let begins = |start: &str| words.starts_with(start);
    (begins("SELECT ") && words.contains(" FROM "))
        || (begins("UPDATE ") && words.contains(" SET "))
        || ["INSERT INTO ", "DELETE FROM ", "CREATE TABLE ", "CREATE INDEX "].into_iter().any(begins)
}

/// Where `path` begins in `code` as a whole word.
fn words_at(code: &str, path: &str) -> Vec<usize> {
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    code.match_indices(path)
        .map(|(at, _)| at)
        .filter(|at| !code[..*at].ends_with(is_word))
        .filter(|at| path.ends_with(':') || !code[at + path.len()..].starts_with(is_word))
        .collect()
}

fn line_of(code: &str, at: usize) -> usize {
    code[..at].matches('\n').count() + 1
}

/// The first names after `crate::`: one, or those of a `{…}` list.
fn first_segments(rest: &str) -> Vec<String> {
    let name = |s: &str| {
        let s = s.trim_start();
        s[..s.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(s.len())].to_owned()
    };
    let Some(list) = rest.trim_start().strip_prefix('{') else { return vec![name(rest)] };
    let (mut names, mut depth, mut begun) = (Vec::new(), 0, 0);
    for (at, c) in list.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth > 0 => depth -= 1,
            ',' | '}' if depth == 0 => {
                names.push(name(&list[begun..at]));
                begun = at + 1;
                if c == '}' {
                    break;
                }
            }
            _ => {}
        }
    }
    names.retain(|n| !n.is_empty());
    names
}

/// The code with comments blanked and strings emptied, and the strings with their lines. Line numbers stay.
fn lift_strings(text: &str) -> (String, Vec<(usize, String)>) {
    let mut code = String::with_capacity(text.len());
    let mut strings = Vec::new();
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let (length, string) = token(rest, code.chars().next_back());
        let (taken, after) = rest.split_at(length);
        match string {
            Some(inner) => {
                strings.push((line_of(text, text.len() - rest.len()), inner.to_owned()));
                code.push_str("\"\"");
            }
            None if length == c.len_utf8() => code.push(c),
            None => code.push(' '),
        }
        if length > c.len_utf8() {
            code.extend(taken.chars().filter(|c| *c == '\n'));
        }
        rest = after;
    }
    (code, strings)
}

/// The length of what begins here, a comment, a string, a character, or one plain char, and a string's inside.
fn token(rest: &str, before: Option<char>) -> (usize, Option<&str>) {
    if rest.starts_with("//") {
        return (rest.find('\n').unwrap_or(rest.len()), None);
    }
    if rest.starts_with("/*") {
        return (block_comment(rest), None);
    }
    if rest.starts_with('"') {
        let length = quoted(rest, '"');
        return (length, Some(&rest[1..length.max(2) - 1]));
    }
    let in_word = before.is_some_and(|c| c.is_alphanumeric() || c == '_');
    if rest.starts_with('r') && (!in_word || before == Some('b')) {
        let hashes = rest[1..].len() - rest[1..].trim_start_matches('#').len();
        let open = 1 + hashes;
        if rest[open..].starts_with('"') {
            let close = format!("\"{}", "#".repeat(hashes));
            let inner = rest[open + 1..].find(&close).unwrap_or(rest.len() - open - 1);
            return (
                (open + 1 + inner + close.len()).min(rest.len()),
                Some(&rest[open + 1..open + 1 + inner]),
            );
        }
    }
    // A character, not a lifetime: '"' and '\'' would else begin strings.
    if let Some(after) = rest.strip_prefix('\'') {
        let mut chars = after.chars();
        let first = chars.next();
        if first == Some('\\') || (first.is_some() && chars.next() == Some('\'')) {
            return (quoted(rest, '\''), None);
        }
    }
    (rest.chars().next().map_or(0, char::len_utf8), None)
}

/// The length of a literal up to its closing mark, backslashes minded.
fn quoted(rest: &str, mark: char) -> usize {
    let mut escaped = false;
    for (at, c) in rest.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            c if c == mark => return at + 1,
            _ => {}
        }
    }
    rest.len()
}

/// The length of a block comment; they nest.
fn block_comment(rest: &str) -> usize {
    let (mut depth, mut at) = (0, 0);
    while at < rest.len() {
        if rest[at..].starts_with("/*") {
            depth += 1;
            at += 2;
        } else if rest[at..].starts_with("*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                return at;
            }
        } else {
            at += rest[at..].chars().next().map_or(1, char::len_utf8);
        }
    }
    rest.len()
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn sources() -> Vec<Source> {
    let mut files = Vec::new();
    collect(&root().join("src"), &mut files);
    files.sort();
    let read = |path: &PathBuf| {
        let name = path.strip_prefix(root()).expect("below the root").display().to_string();
        Source::new(&name, &fs::read_to_string(path).expect("a source file is text"))
    };
    files.iter().map(read).collect()
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("a folder of sources") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            collect(&path, files);
        } else if path.extension().is_some_and(|e| e == "rs") {
            files.push(path);
        }
    }
}

#[track_caller]
fn report(wrong: Vec<String>) {
    assert!(wrong.is_empty(), "\n{}\n", wrong.join("\n"));
}

// --- The rules themselves, held against small examples ---------------------------------------------------------------

#[track_caller]
fn check(file: &str, text: &str, expected: &[&str]) {
    let source = Source::new(file, text);
    let mut found = source.wrong_arrows();
    found.extend(source.sql());
    found.extend(source.environment());
    assert_eq!(found, expected);
}

#[test]
fn the_rules_pass_what_is_right() {
    check("src/desk/apply.rs", "use crate::store::Tx;\nuse crate::{clock, mail::{Address, Message}};", &[]);
    check("src/triage/mod.rs", "/// Like [`crate::store::Store`].\nuse crate::triage::decide;", &[]);
    check("src/store/tx.rs", "use sqlx::Any;\nconst Q: &str = \"SELECT 1 FROM ticket\";", &[]);
    check(
        "src/sources/imap.rs",
        "const C: &str = \"SELECT INBOX\"; const Q: char = '\"'; fn f<'a>() {}",
        &[],
    );
    check("src/cli/run.rs", "use crate::daemon;\nuse crate::desk::Desk;", &[]);
    check("src/mail/subject.rs", "use crate::ticket::TicketId;", &[]);
    check("src/config/secret.rs", "fn f() { std::env::var(\"X\"); }", &[]);
    check("src/main.rs", "fn main() { maildesk::cli::main() }", &[]);
}

#[test]
fn the_rules_name_the_wrong_arrow() {
    check(
        "src/triage/decide.rs",
        "use crate::{\n    mail::Message,\n    store::{Store, Tx},\n};\n",
        &["src/triage/decide.rs:1: triage → store: from floor 1 rules up to 3 ground"],
    );
    check(
        "src/outbound/queue.rs",
        "fn a() {}\n#[cfg(test)]\nmod tests { fn f() { crate::sources::imap(); } }",
        &["src/outbound/queue.rs:3: outbound → sources: neighbours on floor 6 doors"],
    );
    check(
        "src/ticket/ids.rs",
        "use crate::mail::Address; // words may import words before them only",
        &["src/ticket/ids.rs:1: ticket → mail: neighbours on floor 0 words"],
    );
    check(
        "src/triage/mod.rs",
        "use super::letters::render;",
        &["src/triage/mod.rs:1: triage → letters: neighbours on floor 1 rules"],
    );
    check(
        "src/desk/mod.rs",
        "use crate::helpers::x;",
        &["src/desk/mod.rs:1: desk → helpers: no such room in the table of floors"],
    );
}

#[test]
fn the_rules_find_sql_and_the_environment() {
    check(
        "src/desk/close.rs",
        "/* \" */ fn f(p: sqlx::AnyPool) {\n  g(r#\"UPDATE ticket\n  SET status = $1\"#);\n  std::env::var_os(\"HOME\");\n}",
        &[
            "src/desk/close.rs:1: sqlx outside the store",
            "src/desk/close.rs:2: SQL outside the store",
            "src/desk/close.rs:4: reads the environment outside config",
        ],
    );
}
