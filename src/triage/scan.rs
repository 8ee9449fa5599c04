//! What the virus scanner said (B12). Its word is a clue: nobody is asked here, and a decision is made again without it.

use super::case::{Case, Outcome};
use super::trace::Trace;
use super::{Act, Code, Scan};

pub(super) fn virus(case: &Case, trace: &mut Trace) -> Option<Outcome> {
    let (code, seen, name) = match case.clues.scan.as_ref()? {
        Scan::Clean => {
            trace.note("virus_scan", "nothing was found", "goes on");
            return None;
        }
        Scan::Skipped(why) => {
            trace.note("virus_scan", why, "not scanned, goes on");
            return None;
        }
        Scan::Found(name) => (Code::VirusFound, name.as_str(), name.as_str()),
        Scan::TooBig => (Code::NotScanned, "over the size that is sent to the scanner", ""),
    };
    trace.note("virus_scan", seen, code.as_str());
    Some(Outcome::new(Act::Invalid, code, name))
}
