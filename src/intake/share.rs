//! The memory that all rounds together may fill with mail on its way in.
//!
//! Rounds log in and list as they like; before mail is fetched its bytes are taken out of one sum, and put back when the
//! mail is decided. So 500 mailboxes full of mail need no more memory than a few. A peer that stops in the middle of a
//! fetch holds its share only so long: ten that hang must not stop the others.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Batches of full size at a time.
const BATCHES: u64 = 8;
/// The sum is counted in pieces of so many bytes; a fetch takes at least one.
const PIECE: u64 = 64 << 10;
/// A fetch that takes longer goes on without a share: little of it is in memory.
const PATIENCE: Duration = Duration::from_secs(20);

#[derive(Clone, Debug)]
pub struct Shares {
    free: Arc<Semaphore>,
    pieces: u32,
    patience: Duration,
}

/// A share of the sum; it goes back when dropped.
#[derive(Debug)]
pub(super) struct Share(#[expect(dead_code, reason = "held for its drop")] Option<OwnedSemaphorePermit>);

impl Shares {
    /// For batches of at most so many bytes.
    pub fn new(batch_bytes: u64) -> Shares {
        let pieces = u32::try_from(batch_bytes.saturating_mul(BATCHES).div_ceil(PIECE)).unwrap_or(u32::MAX);
        let free = Arc::new(Semaphore::new(pieces.max(1) as usize));
        Shares { free, pieces: pieces.max(1), patience: PATIENCE }
    }

    /// Fetches when there is memory for so many bytes.
    pub(super) async fn fetch<T, E>(
        &self,
        bytes: u64,
        fetching: impl Future<Output = Result<T, E>>,
    ) -> Result<(T, Share), E> {
        let pieces = u32::try_from(bytes.div_ceil(PIECE)).unwrap_or(u32::MAX).clamp(1, self.pieces);
        // The semaphore is never closed.
        let mut share = self.free.clone().acquire_many_owned(pieces).await.ok();
        let mut fetching = pin!(fetching);
        let fetched = match tokio::time::timeout(self.patience, &mut fetching).await {
            Ok(fetched) => fetched,
            Err(_) => {
                share = None;
                fetching.await
            }
        };
        Ok((fetched?, Share(share)))
    }
}

#[cfg(test)]
mod tests {
    use futures_util::future::join_all;

    use super::*;

    fn shares(patience: Duration) -> Shares {
        Shares { patience, ..Shares::new(1 << 20) }
    }

    #[tokio::test]
    async fn the_sum_is_never_exceeded_and_all_come_to_their_turn() {
        let shares = shares(PATIENCE);
        let held = std::sync::atomic::AtomicU64::new(0);
        let fetch = |n: u64| {
            let (shares, held) = (&shares, &held);
            async move {
                let bytes = (n % 5) << 20;
                let fetching =
                    async { Ok::<_, ()>(held.fetch_add(bytes, std::sync::atomic::Ordering::SeqCst) + bytes) };
                let (sum, share) = shares.fetch(bytes, fetching).await.unwrap();
                tokio::task::yield_now().await;
                held.fetch_sub(bytes, std::sync::atomic::Ordering::SeqCst);
                drop(share);
                sum
            }
        };
        let sums = join_all((0..200).map(fetch)).await;
        assert!(sums.iter().all(|sum| *sum <= 8 << 20), "{sums:?}");
        assert!(sums.iter().any(|sum| *sum > 4 << 20), "several at a time: {sums:?}");
    }

    #[tokio::test]
    async fn peers_that_hang_in_a_fetch_hold_up_the_others_for_a_while_only() {
        let shares = shares(Duration::from_millis(100));
        let hanging =
            join_all((0..20).map(|_| shares.fetch(1 << 20, std::future::pending::<Result<(), ()>>())));
        let healthy = async { shares.fetch(1 << 20, async { Ok::<_, ()>("fetched") }).await.unwrap().0 };
        let fetched = tokio::time::timeout(Duration::from_secs(10), async {
            tokio::select! {
                biased;
                _ = hanging => "never",
                fetched = healthy => fetched,
            }
        });
        assert_eq!(fetched.await, Ok("fetched"));
    }
}
