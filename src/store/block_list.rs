//! The block list: addresses and domains whose mail goes to the invalid queue.

use super::reader::Reader;
use super::{Counter, Error, Tx};
use crate::clock::Micros;

#[derive(Clone, Debug, serde::Serialize)]
pub struct BlockRow {
    /// An address, or a domain as `@example.com`.
    pub pattern: String,
    /// block, allow.
    pub verdict: String,
    pub created: String,
}

impl Tx {
    pub async fn block_list(&mut self) -> Result<Vec<BlockRow>, Error> {
        let query = sqlx::query("SELECT pattern, verdict, created_us FROM block_list ORDER BY pattern");
        let rows = self.rows(query).await?;
        rows.iter()
            .map(|row| {
                let mut row = Reader::new(row);
                Ok(BlockRow { pattern: row.text()?, verdict: row.text()?, created: row.time()?.rfc3339() })
            })
            .collect()
    }

    /// Under the desk lock. Blocks an address or `@domain`; false if it was blocked already.
    pub async fn block(&mut self, pattern: &str, now: Micros) -> Result<bool, Error> {
        let number = self.draw(Counter::Event).await?;
        let query = sqlx::query(
            "INSERT INTO block_list (pattern, verdict, number, created_us) VALUES ($1, 'block', $2, $3) \
             ON CONFLICT (pattern) DO UPDATE SET verdict = 'block' WHERE block_list.verdict <> 'block'",
        );
        Ok(self.execute(query.bind(pattern.to_lowercase()).bind(number).bind(now.0)).await? > 0)
    }

    /// False if it did not stand there.
    pub async fn unblock(&mut self, pattern: &str) -> Result<bool, Error> {
        let query = sqlx::query("DELETE FROM block_list WHERE pattern = $1");
        Ok(self.execute(query.bind(pattern.to_lowercase())).await? > 0)
    }
}
