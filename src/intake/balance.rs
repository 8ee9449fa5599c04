//! The mail balance of a mailbox (M2): what its server showed, and what became of it, must be the same number.

use super::Intake;
use crate::failure::Failure;
use crate::store::MailboxRow;

pub use crate::store::balance::Balance;

impl Intake {
    /// Counts what is new since the last even count (all of it once a day, and wherever it would be off), and raises or
    /// clears the alert of this mailbox.
    pub async fn check_balance(&self, mailbox: &MailboxRow) -> Result<Balance, Failure> {
        let counted = self.desk.store.read().await?.round_balance(mailbox.id, self.clock.now()).await?;
        if let Some(mark) = &counted.mark {
            let mut tx = self.desk.store.write().await?;
            tx.mark_balance(mailbox.id, mark).await?;
            tx.commit().await?;
        }
        let balance = counted.balance;
        let name = format!("balance:{}", mailbox.id);
        let words = (balance.difference() != 0).then(|| {
            format!(
                "mailbox {:?}: its server has shown {} messages, but {} are accounted for; run `maildesk mailbox \
                 balance --mailbox {}` and look for the arrivals without a journal row",
                mailbox.spec.name,
                balance.shown,
                balance.accounted(),
                mailbox.spec.name
            )
        });
        self.desk.alerts.state(&name, words.as_deref()).await?;
        Ok(balance)
    }
}
