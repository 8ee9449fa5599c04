//! Where the steps of a command go in the process that was typed to: progress on the terminal, bytes to standard output
//! or into the file that was asked for.

use std::fs::File;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use indicatif::{ProgressBar, ProgressStyle};

use super::output::{CliError, Output};
use super::start::{exit_code, is_terminal, print};
use super::table;
use crate::control::{Progress, Response, Step};

pub struct Sink {
    /// None: standard output.
    path: Option<PathBuf>,
    /// Made with the first bytes, with the rights of whoever typed.
    file: Option<File>,
    bytes: u64,
    /// The first failure; what comes after it is let go.
    failed: Option<io::Error>,
    shown: Shown,
}

impl Sink {
    pub fn to(path: Option<PathBuf>) -> Sink {
        Sink { path, file: None, bytes: 0, failed: None, shown: Shown::default() }
    }

    pub fn take(&mut self, step: Step) {
        match step {
            Step::Progress(progress) => self.shown.show(&progress),
            Step::Raw(piece) if self.failed.is_none() => self.failed = self.write(&piece).err(),
            Step::Raw(_) => {}
        }
    }

    fn write(&mut self, piece: &[u8]) -> io::Result<()> {
        self.bytes += piece.len() as u64;
        match self.path.clone() {
            Some(path) => self.file_at(&path)?.write_all(piece),
            None => io::stdout().lock().write_all(piece),
        }
    }

    /// A new file; one that is there is not written over.
    fn file_at(&mut self, path: &Path) -> io::Result<&mut File> {
        match &mut self.file {
            Some(_) => {}
            none => *none = Some(File::options().write(true).create_new(true).open(path)?),
        }
        Ok(self.file.as_mut().expect("it was just made"))
    }

    /// Prints what is left to say.
    pub fn end(mut self, response: Response, wants_json: bool) -> ExitCode {
        match (self.path.clone(), self.failed.take()) {
            (Some(path), failed) => print(&self.end_file(&path, failed, response), wants_json),
            (None, Some(failed)) => exit_code(Err(failed), &response),
            (None, None) => print(&response, wants_json),
        }
    }

    /// The file is whole, or it is not there.
    fn end_file(mut self, path: &Path, failed: Option<io::Error>, response: Response) -> Response {
        let name = path.display().to_string();
        let response = match (response.error.is_empty(), failed) {
            (false, _) => response,
            (true, Some(error)) => refusal(&name, &error),
            // Made here where there were no bytes at all.
            (true, None) => match self.file_at(path).and_then(|file| file.sync_all()) {
                Ok(()) => {
                    let words = format!("{name}: {} bytes", self.bytes);
                    Ok(Output::said(words, serde_json::json!({ "file": name, "bytes": self.bytes }))).into()
                }
                Err(error) => refusal(&name, &error),
            },
        };
        if self.file.is_some() && !response.error.is_empty() {
            // Nothing more can be done where it does not go; what is wrong is said anyway.
            drop(std::fs::remove_file(path));
        }
        response
    }
}

fn refusal(name: &str, error: &io::Error) -> Response {
    Err(CliError::data(format!("{name}: {error}"))).into()
}

/// How far a command has come: a bar where somebody watches, else a line now and then where it takes long.
#[derive(Default)]
pub(super) struct Shown {
    bar: Option<ProgressBar>,
    told: u64,
}

/// Without a terminal nothing is told of less than this.
const LONG: u64 = 500;
/// So many lines are told in all.
const LINES: u64 = 10;

impl Shown {
    pub(super) fn show(&mut self, step: &Progress) {
        if is_terminal() {
            self.draw(step);
        } else if step.total >= LONG && (step.done - self.told.min(step.done)) * LINES >= step.total {
            self.told = step.done;
            eprintln!("maildesk: {}/{} {}", step.done, step.total, table::clean(&step.words));
        }
    }

    fn draw(&mut self, step: &Progress) {
        let bar = self.bar.get_or_insert_with(|| {
            let style = ProgressStyle::with_template("{bar:30} {pos}/{len} {msg}");
            ProgressBar::new(0).with_style(style.expect("the template is well formed"))
        });
        bar.set_length(step.total);
        bar.set_position(step.done);
        bar.set_message(table::clean(&step.words));
        if step.total > 0 && step.done >= step.total {
            bar.abandon();
        }
    }
}
