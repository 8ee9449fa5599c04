//! A message on its way in: in memory while it is as small as announced, else in a file without a name.
//!
//! Writes happen in place, about a MiB at a time: they go to the page cache.

use std::fs::File;
use std::io::{Seek as _, Write as _};
use std::path::Path;

use crate::failure::{Failure, Kind};
use crate::intake::source::Bytes;

#[derive(Debug)]
pub(super) struct Spool<'a> {
    dir: &'a Path,
    /// From here on it is a file.
    memory_limit: u64,
    memory: Vec<u8>,
    file: Option<File>,
    pub(super) length: u64,
}

impl<'a> Spool<'a> {
    pub(super) fn new(dir: &'a Path, memory_limit: u64) -> Spool<'a> {
        Spool { dir, memory_limit, memory: Vec::new(), file: None, length: 0 }
    }

    pub(super) fn add(&mut self, bytes: Vec<u8>) -> Result<(), Failure> {
        self.length += bytes.len() as u64;
        if let Some(file) = &mut self.file {
            return file.write_all(&bytes).map_err(failed);
        }
        if self.memory.is_empty() {
            self.memory = bytes;
        } else {
            self.memory.extend_from_slice(&bytes);
        }
        if self.length > self.memory_limit { self.spill() } else { Ok(()) }
    }

    fn spill(&mut self) -> Result<(), Failure> {
        let mut file = tempfile::tempfile_in(self.dir).map_err(|error| {
            let words = format!("cannot make a spool file in {}", self.dir.display());
            Failure::temporary(words).kind(Kind::Spool).because(error)
        })?;
        file.write_all(&std::mem::take(&mut self.memory)).map_err(failed)?;
        self.file = Some(file);
        Ok(())
    }

    /// The whole; a file stands at its start.
    pub(super) fn finish(self) -> Result<Bytes, Failure> {
        match self.file {
            None => Ok(Bytes::Memory(self.memory)),
            Some(mut file) => {
                file.rewind().map_err(failed)?;
                Ok(Bytes::Spool(file, self.length))
            }
        }
    }
}

fn failed(error: std::io::Error) -> Failure {
    Failure::temporary("cannot write the spool file: check the free space").kind(Kind::Spool).because(error)
}
