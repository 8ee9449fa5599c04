//! `maildesk explain FILE…`: what would become of messages, decided without a desk.
//!
//! Files are read and decided on all cores and answered in the order of the arguments, each as soon as it can be: memory
//! holds a few messages, however many there are. Whatever a file holds, it is answered.

use std::fs::File;
use std::io::{self, BufReader, BufWriter, Write};
use std::num::NonZero;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use tokio::runtime::Runtime;

use super::super::output::{CliError, Output};
use super::super::{Global, code};
use super::{Args, shown};
use crate::config::{Config, Dns, Env};
use crate::intake::Verifying;
use crate::mail::{self, Defect, Message};
use crate::triage::trust::Checks;
use crate::triage::{self, Clues, Explanation, Place, Rules};
use crate::verifier::{SIZE_LIMIT, Verifier};

/// Read from a file at a time.
const READ_BUFFER: usize = 256 << 10;
/// For a small file, and for what tells no size.
const LEAST_BUFFER: usize = 8 << 10;
/// Answers are written so many bytes at a time, while more are there.
const WRITE_BUFFER: usize = 64 << 10;
/// Answers that one thread may be ahead of the printing.
const AHEAD: usize = 16;
/// Of a parser's thread; more than any message should need, and only what is used is taken.
const STACK: usize = 64 << 20;

/// What is said of one file: a line of JSON or some lines for people, or why it cannot be read.
type Answer = Result<String, String>;

/// Without a desk. Answers go to `out` as they come; files that cannot be read are told on standard error.
pub fn run_on_files(
    args: &Args,
    global: &Global,
    env: &Env,
    out: &mut (impl Write + Send),
) -> Result<Output, CliError> {
    let (mut rules, dns) = match &global.config {
        Some(path) => {
            let config = Config::load(Some(path), env)?;
            (config.rules(), config.dns)
        }
        None => (Rules::default(), Dns::default()),
    };
    rules.trust.verifies = args.online;
    let online = if args.online { Some(Online::new(&rules, &dns)?) } else { None };
    let job = Job { files: &args.files, rules, online, wants_json: global.json };
    match job.run(out) {
        Ok(exit_code) => Ok(Output { code: exit_code, ..Output::default() }),
        // `maildesk explain … | head` is no error.
        Err(e) if e.kind() == io::ErrorKind::BrokenPipe => Ok(Output::default()),
        Err(e) => Err(CliError::unavailable(format!("standard output: {e}"))),
    }
}

struct Job<'a> {
    files: &'a [std::path::PathBuf],
    rules: Rules,
    online: Option<Online>,
    wants_json: bool,
}

/// DNS, asked from the threads that read.
struct Online {
    /// None only while it is dropped.
    runtime: Option<Runtime>,
    verifying: Verifying,
}

impl Online {
    fn new(rules: &Rules, dns: &Dns) -> Result<Online, CliError> {
        let runtime =
            Runtime::new().map_err(|e| CliError::unavailable(format!("no runtime for DNS: {e}")))?;
        let made = {
            let _inside = runtime.enter();
            Verifier::new(dns)
        };
        match made {
            Ok(verifier) => {
                let (rule, relays) = (rules.trust.clone(), rules.verdicts.clone());
                Ok(Online { runtime: Some(runtime), verifying: Verifying { verifier, rule, relays } })
            }
            Err(failure) => {
                runtime.shutdown_background();
                Err(failure.into())
            }
        }
    }

    fn look(&self, message: &Message, path: &Path) -> io::Result<Option<Checks>> {
        if std::fs::metadata(path)?.len() > SIZE_LIMIT {
            return Ok(Some(Checks::gap("too big to be verified")));
        }
        let raw = std::fs::read(path)?;
        let asked = self.runtime.as_ref().map(|runtime| runtime.block_on(self.verifying.look(message, &raw)));
        Ok(asked.flatten())
    }
}

impl Drop for Online {
    /// Commands run in a runtime of their own, in which the end of another one may not be waited for.
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

impl Job<'_> {
    /// Every thread has each n-th file, and the answers are collected in turn. On one core a second thread would only
    /// take turns with the first.
    fn run(&self, out: &mut (impl Write + Send)) -> io::Result<u8> {
        let mut out = BufWriter::with_capacity(WRITE_BUFFER, out);
        let cores = std::thread::available_parallelism().map_or(1, NonZero::get).min(self.files.len());
        let thread = || std::thread::Builder::new().stack_size(STACK);
        std::thread::scope(|scope| {
            if cores == 1 {
                let print = || self.print(&mut out, |_, file, _| Ok(self.explain(file)));
                let work = thread().spawn_scoped(scope, print)?;
                return work.join().unwrap_or_else(|_| Err(io::Error::other("its thread ended")));
            }
            let mut threads = vec![];
            for first in 0..cores {
                let (sender, receiver) = sync_channel(AHEAD);
                thread().spawn_scoped(scope, move || self.answer(first, cores, &sender))?;
                threads.push(receiver);
            }
            self.print(&mut out, |at, _, out| received(&threads[at % cores], out))
        })
    }

    fn answer(&self, first: usize, step: usize, answers: &SyncSender<Answer>) {
        for file in self.files.iter().skip(first).step_by(step) {
            // The printing has ended: nobody reads on.
            if answers.send(self.explain(file)).is_err() {
                return;
            }
        }
    }

    fn print<W: Write>(
        &self,
        out: &mut BufWriter<W>,
        answer: impl Fn(usize, &Path, &mut BufWriter<W>) -> io::Result<Answer>,
    ) -> io::Result<u8> {
        let mut exit_code = code::OK;
        for (at, file) in self.files.iter().enumerate() {
            match answer(at, file, out)? {
                Ok(text) => out.write_all(text.as_bytes())?,
                Err(words) => {
                    eprintln!("maildesk: {}: {words}", file.display());
                    exit_code = code::DATA;
                }
            }
        }
        out.flush()?;
        Ok(exit_code)
    }

    fn explain(&self, path: &Path) -> Answer {
        let file = File::open(path).map_err(|e| e.to_string())?;
        let explained = catch_unwind(AssertUnwindSafe(|| -> io::Result<Explanation> {
            let message = read(file)?;
            let trust = self.online.as_ref().map(|online| online.look(&message, path)).transpose()?.flatten();
            Ok(self.of(path, &message, trust))
        }));
        // A panic is a fault of ours, not of the file: the answer is what intake would make of it.
        let broken = || Message { defects: vec![Defect::ParserPanicked], ..Message::default() };
        let explained = explained.unwrap_or_else(|_| Ok(self.of(path, &broken(), None)));
        let explanation = explained.map_err(|e| e.to_string())?;
        match self.wants_json {
            true => serde_json::to_string(&explanation).map(|line| line + "\n").map_err(|e| e.to_string()),
            false => Ok(shown::text(&path.to_string_lossy(), &explanation)),
        }
    }

    fn of(&self, path: &Path, message: &Message, trust: Option<Checks>) -> Explanation {
        let decision = triage::decide(message, &self.rules, &Clues { trust, ..Clues::none() });
        let of_type = decision.type_id.and_then(|id| self.rules.of_type(id));
        let place = Place {
            file: Some(&path.to_string_lossy()),
            type_name: of_type.map(|rule| rule.name.as_str()),
            ..Place::default()
        };
        Explanation::of(message, &decision, &place)
    }
}

/// The next answer of a thread; whoever reads has all that came before, while it is waited for.
fn received(thread: &Receiver<Answer>, out: &mut impl Write) -> io::Result<Answer> {
    if let Ok(answer) = thread.try_recv() {
        return Ok(answer);
    }
    out.flush()?;
    Ok(thread.recv().unwrap_or_else(|_| Err("its thread ended".into())))
}

fn read(file: File) -> io::Result<Message> {
    // Most files are small, and a buffer for each of them is made and let go.
    let size = file.metadata()?.len().saturating_add(1);
    let capacity = usize::try_from(size).unwrap_or(READ_BUFFER).clamp(LEAST_BUFFER, READ_BUFFER);
    let skeleton = mail::scan(&mut BufReader::with_capacity(capacity, file))?;
    Ok(mail::parse(&skeleton))
}
