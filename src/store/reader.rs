//! The columns of a row, read in the order in which the query names them.

use std::str::FromStr;

use sqlx::Row;
use sqlx::any::AnyRow;

use super::Error;
use crate::clock::Micros;
use crate::mail::Address;

pub(super) struct Reader<'r> {
    row: &'r AnyRow,
    next: usize,
}

impl<'r> Reader<'r> {
    pub(super) fn new(row: &'r AnyRow) -> Reader<'r> {
        Reader { row, next: 0 }
    }

    fn at(&mut self) -> usize {
        self.next += 1;
        self.next - 1
    }

    pub(super) fn int(&mut self) -> Result<i64, Error> {
        Ok(self.row.try_get(self.at())?)
    }

    pub(super) fn maybe_int(&mut self) -> Result<Option<i64>, Error> {
        Ok(self.row.try_get(self.at())?)
    }

    /// A count, size or port: what is never negative.
    pub(super) fn whole<T: TryFrom<i64>>(&mut self) -> Result<T, Error> {
        let value = self.int()?;
        T::try_from(value).map_err(|_| Error::Corrupt(format!("{value} is out of its range")))
    }

    pub(super) fn flag(&mut self) -> Result<bool, Error> {
        Ok(self.int()? != 0)
    }

    pub(super) fn text(&mut self) -> Result<String, Error> {
        Ok(self.row.try_get(self.at())?)
    }

    pub(super) fn maybe_text(&mut self) -> Result<Option<String>, Error> {
        Ok(self.row.try_get(self.at())?)
    }

    pub(super) fn bytes(&mut self) -> Result<Vec<u8>, Error> {
        Ok(self.row.try_get(self.at())?)
    }

    pub(super) fn time(&mut self) -> Result<Micros, Error> {
        self.int().map(Micros)
    }

    pub(super) fn maybe_time(&mut self) -> Result<Option<Micros>, Error> {
        Ok(self.maybe_int()?.map(Micros))
    }

    /// One of a closed list of words.
    pub(super) fn word<T: FromStr<Err = String>>(&mut self) -> Result<T, Error> {
        let word = self.text()?;
        word.parse().map_err(|words| Error::Corrupt(format!("{word:?} {words}")))
    }

    pub(super) fn json<T: serde::de::DeserializeOwned>(&mut self) -> Result<T, Error> {
        Ok(serde_json::from_str(&self.text()?)?)
    }

    /// An address, or none where the column is empty.
    pub(super) fn maybe_address(&mut self) -> Result<Option<Address>, Error> {
        match self.text()?.as_str() {
            "" => Ok(None),
            text => text.parse().map(Some).map_err(Error::Corrupt),
        }
    }
}

/// How whole numbers go into a column.
pub(super) fn stored(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}
