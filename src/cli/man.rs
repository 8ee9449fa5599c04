//! `maildesk man`: the manual pages, made of the same definitions as `--help` and `config example`.
//!
//! One page for each command and verb in section 1, and maildesk-config(5).

use std::io;
use std::path::{Path, PathBuf};

use clap::CommandFactory as _;
use clap_mangen::Man;
use clap_mangen::roff::{Inline, Roff, bold, italic, roman};
use serde_json::json;

use super::Cli;
use super::output::{CliError, Output};
use crate::config::env::VARIABLES;
use crate::config::example::{self, Described};

/// The manual pages: maildesk(1) on standard output, or all of them as files
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  maildesk man | man -l -\n  maildesk man --dir /usr/local/share/man")]
pub struct Args {
    /// Write every page there, below man1 and man5
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
}

/// What scripts may rely on, as `cli::code` has it.
const EXIT_STATUS: &[(&str, &str)] = &[
    ("0", "Done."),
    ("64", "Wrong usage: an option or an argument."),
    ("65", "Bad data: what was named is not there, or cannot be what is asked for."),
    ("69", "Unavailable: a server or the store does not answer, or another process has the desk."),
    ("75", "Try again: nothing was done, and the same may work later. It asks an MTA to keep its mail."),
    ("78", "The configuration, the sealing key or the schema of the store has to be changed first."),
];

const FILES: &[(&str, &str)] = &[
    ("maildesk.toml", "The configuration, where it lies in the current folder."),
    ("/etc/maildesk/config.toml", "The configuration otherwise; see maildesk-config(5)."),
    ("/etc/maildesk/maildesk.key", "The sealing key, which systemd hands to the service."),
    ("/var/lib/maildesk", "The desk of the service: database and spool."),
    ("/run/maildesk/maildesk.sock", "The control socket of the service."),
];

/// A page: its file's name, and its text.
pub(super) struct Page {
    pub name: String,
    pub section: &'static str,
    pub text: String,
}

pub fn run(args: &Args) -> Result<Output, CliError> {
    let pages = pages();
    let Some(dir) = &args.dir else {
        let first = pages.iter().find(|page| page.name == "maildesk.1").map(|page| page.text.clone());
        let human = first.unwrap_or_default();
        return Ok(Output { json: json!(human), human, ..Output::default() });
    };
    for page in &pages {
        let failed = |e: io::Error| CliError::unavailable(format!("{}: {e}", dir.display()));
        write(dir, page).map_err(failed)?;
    }
    let human = format!("{} pages below {}", pages.len(), dir.display());
    Ok(Output::said(human, json!({ "pages": pages.len(), "dir": dir })))
}

fn write(dir: &Path, page: &Page) -> io::Result<()> {
    let folder = dir.join(format!("man{}", page.section));
    std::fs::create_dir_all(&folder)?;
    std::fs::write(folder.join(&page.name), &page.text)
}

/// All of them, by name.
pub(super) fn pages() -> Vec<Page> {
    let mut program = Cli::command();
    program.build();
    let mut pages = vec![config_page()];
    add_pages(&program, &mut pages);
    pages.sort_by(|a, b| a.name.cmp(&b.name));
    pages
}

fn add_pages(command: &clap::Command, pages: &mut Vec<Page>) {
    for verb in command.get_subcommands().filter(|verb| !verb.is_hide_set()) {
        add_pages(verb, pages);
    }
    let name = command.get_display_name().unwrap_or_else(|| command.get_name());
    pages.push(Page { name: format!("{name}.1"), section: "1", text: command_page(command, name) });
}

fn command_page(command: &clap::Command, name: &str) -> String {
    let man = Man::new(command.clone()).title(name).source(version()).manual("maildesk");
    let mut text = vec![];
    let render = |render: fn(&Man, &mut dyn io::Write) -> io::Result<()>, text: &mut Vec<u8>| {
        render(&man, text).expect("writing to memory cannot fail");
    };
    render(Man::render_title, &mut text);
    render(Man::render_name_section, &mut text);
    render(Man::render_synopsis_section, &mut text);
    render(Man::render_description_section, &mut text);
    render(Man::render_options_section, &mut text);
    if command.get_subcommands().any(|verb| !verb.is_hide_set()) {
        render(Man::render_subcommands_section, &mut text);
    }
    let mut rest = Roff::new();
    if let Some(help) = command.get_after_help() {
        rest.control("SH", ["NOTES"]);
        as_written(&mut rest, &help.to_string());
    }
    let is_program = command.get_name() == name;
    if is_program {
        rest.control("SH", ["EXIT STATUS"]);
        EXIT_STATUS.iter().for_each(|(code, words)| entry(&mut rest, [bold(*code)], words));
        rest.control("SH", ["ENVIRONMENT"]);
        VARIABLES.iter().for_each(|(name, words)| entry(&mut rest, [bold(*name)], words));
        rest.control("SH", ["FILES"]);
        FILES.iter().for_each(|(path, words)| entry(&mut rest, [italic(*path)], words));
    }
    rest.control("SH", ["SEE ALSO"]);
    let others = if is_program { "maildesk-config(5)" } else { "maildesk(1), maildesk-config(5)" };
    rest.text([roman(others)]);
    rest.to_writer(&mut text).expect("writing to memory cannot fail");
    in_ascii(&String::from_utf8_lossy(&text))
}

/// Anything else in roff's own spelling: which bytes it takes for which letter depends on how it was called.
fn in_ascii(text: &str) -> String {
    let mut page = String::with_capacity(text.len());
    for c in text.chars() {
        match c.is_ascii() {
            true => page.push(c),
            false => page.push_str(&format!("\\[u{:04X}]", u32::from(c))),
        }
    }
    page
}

fn config_page() -> Page {
    let mut page = Roff::new();
    page.control("TH", ["maildesk-config", "5", "", version().as_str(), "maildesk"]);
    page.control("SH", ["NAME"]);
    page.text([roman("maildesk-config - the configuration of maildesk")]);
    page.control("SH", ["DESCRIPTION"]);
    for words in [
        "A TOML file, which --config names; else ./maildesk.toml, else /etc/maildesk/config.toml. Paths in it are relative to \
         its folder. `maildesk config check` reads it and says what is wrong, with the line; `maildesk config example` \
         prints one to start from; `maildesk config show` prints what is in effect.",
        "What is declared here is set up at start and read-only for commands; what leaves this file is switched off, never \
         deleted. A section in double brackets may be there any number of times.",
    ] {
        page.control("PP", []);
        page.text([roman(words)]);
    }
    for section in example::sections() {
        describe(&mut page, &section);
    }
    page.control("SH", ["SEE ALSO"]);
    page.text([roman("maildesk(1)")]);
    Page { name: "maildesk-config.5".into(), section: "5", text: in_ascii(&page.to_roff()) }
}

fn describe(page: &mut Roff, section: &Described) {
    page.control("SH", [section.head]);
    page.text([roman(sentence(section.about))]);
    for key in &section.keys {
        let value = match &key.default {
            Some(default) => format!(" = {default}"),
            None => " (must be given)".to_owned(),
        };
        entry(page, [bold(key.name), roman(value)], &sentence(key.manual));
    }
}

/// Doc comments come line by line, each with a space in front.
fn sentence(lines: &[&str]) -> String {
    lines.iter().map(|line| line.trim()).collect::<Vec<_>>().join(" ")
}

fn entry(page: &mut Roff, head: impl Into<Vec<Inline>>, words: &str) {
    page.control("TP", []);
    page.text(head);
    page.text([roman(words)]);
}

/// Lines and columns as they are: examples and tables.
fn as_written(page: &mut Roff, words: &str) {
    page.control("nf", []);
    for line in words.lines() {
        page.text([roman(line)]);
    }
    page.control("fi", []);
}

fn version() -> String {
    format!("maildesk {}", env!("CARGO_PKG_VERSION"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::code;

    #[test]
    fn every_command_and_every_exit_code_has_its_words() {
        let pages = pages();
        for name in ["maildesk.1", "maildesk-ticket.1", "maildesk-ticket-answer.1", "maildesk-config.5"] {
            assert!(pages.iter().any(|page| page.name == name), "{name}");
        }
        assert!(!pages.iter().any(|page| page.name.contains("crash")), "hidden commands have no page");
        let codes = [code::OK, code::USAGE, code::DATA, code::UNAVAILABLE, code::TRY_AGAIN, code::CONFIG];
        assert!(EXIT_STATUS.iter().map(|(code, _)| code.to_string()).eq(codes.iter().map(u8::to_string)));
    }
}
