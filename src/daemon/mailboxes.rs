//! A supervised task for each mailbox that is ours (`mailbox.rs`): they are added, edited, held and taken away while we
//! run, and they come and go between daemons (`spread.rs`).

use std::collections::HashMap;
use std::pin::pin;
use std::time::Duration;

use tokio::task::{AbortHandle, Id, JoinError, JoinSet};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::bounces::Bounces;
use super::mailbox::Reading;
use super::spread::moves;
use super::stop::{LEAVE, unless_told};
use super::works::lease_of;
use super::{Works, pipes};
use crate::clock::Pulse;
use crate::config::Protocol;
use crate::failure::Failure;
use crate::lease::Lease;
use crate::oauth::OwnerKind;
use crate::schedule::{Due, dice};
use crate::store::MailboxRow;
use crate::ticket::{GrantId, MailboxId};

/// How often the list of mailboxes is read anew, at least.
const LOOK: Duration = Duration::from_secs(2);
/// Mailboxes that are due together begin over so long for each of them, so that 500 do not call at one instant.
const APART: Duration = Duration::from_millis(50);
/// A batch that is in hand when its mailbox is to go to another daemon is waited for so long.
const LAST_ROUND: Duration = Duration::from_secs(5 * 60);

/// A mailbox that has its task.
struct Running {
    version: i64,
    is_bounce: bool,
    grant: Option<Grant>,
    stop: Stop,
    task: AbortHandle,
}

/// By which a mailbox signs in, and whether it gives tokens.
type Grant = (GrantId, bool);

/// Somebody has signed in, or what was wrong with the grant is over: whoever waits after a failure need not wait on.
fn brings_hope(before: Option<Grant>, now: Option<Grant>) -> bool {
    now.is_some_and(|(id, works)| before.is_none_or(|(was, worked)| was != id || (works && !worked)))
}

/// How a mailbox's task is told to end.
#[derive(Clone)]
pub(super) struct Stop {
    /// After the batch in hand.
    pub soon: CancellationToken,
    pub now: CancellationToken,
}

/// A mailbox on its way to another daemon: its lease is given back once its task has ended.
struct Leaving {
    mailbox: MailboxId,
    lease: Lease,
    now: CancellationToken,
    since: Instant,
}

/// The mailboxes of this daemon.
struct Ours {
    works: Works,
    shutdown: CancellationToken,
    bounces: Bounces,
    held: HashMap<MailboxId, Lease>,
    running: HashMap<MailboxId, Running>,
    leaving: HashMap<Id, Leaving>,
    tasks: JoinSet<()>,
}

/// Keeps one task running for each mailbox that is to be read, and is ours.
pub(super) async fn run(works: Works, pulse: Pulse, shutdown: CancellationToken) {
    let mut lives = works.leases.lives();
    let look = works.leases.length().map_or(LOOK, |length| LOOK.min(length / 4));
    let mut ours = Ours {
        works,
        shutdown: shutdown.clone(),
        bounces: Bounces::default(),
        held: HashMap::new(),
        running: HashMap::new(),
        leaving: HashMap::new(),
        tasks: JoinSet::new(),
    };
    let looking = async {
        loop {
            pulse.beat();
            ours.drop_lost();
            if let Err(e) = ours.look().await
                && !ours.works.store_watch.has_told(&e)
            {
                tracing::warn!("daemon.mailboxes_unread {e}");
            }
            let mut look = pin!(tokio::time::sleep(look));
            loop {
                tokio::select! {
                    () = &mut look => break,
                    // The sender lives as long as we do.
                    _ = lives.changed() => break,
                    Some(ended) = ours.tasks.join_next_with_id(), if !ours.tasks.is_empty() => {
                        let id = ended.as_ref().map_or_else(JoinError::id, |(id, ())| *id);
                        if let Err(e) = ended
                            && !e.is_cancelled()
                        {
                            tracing::error!("daemon.task_broke_off {e}");
                        }
                        ours.ended(id).await;
                    }
                }
            }
        }
    };
    unless_told::<()>(&shutdown, Duration::ZERO, looking).await;
    pulse.rest(Duration::from_secs(60));
    while ours.tasks.join_next().await.is_some() {}
}

impl Ours {
    /// What was held under a life that is over ends at once.
    fn drop_lost(&mut self) {
        let lost: Vec<MailboxId> =
            self.held.iter().filter(|(_, lease)| lease.is_over()).map(|(id, _)| *id).collect();
        for id in lost {
            self.held.remove(&id);
            self.bounces.forget(id);
            if let Some(running) = self.running.remove(&id) {
                running.task.abort();
            }
        }
    }

    async fn look(&mut self) -> Result<(), Failure> {
        let mailboxes = self.works.to_read().await?;
        let mut sight = self.works.leases.sight().await?;
        self.works.leases.bury_dead(&sight).await?;
        let Some(life) = self.works.leases.life() else { return Ok(()) };
        // One that could not be given back is taken again, or given back by another way.
        let is_ours = |name: &str| {
            let leaving = self.leaving.values().map(|leaving| &leaving.lease);
            self.held.values().chain(leaving).any(|lease| lease.fence.lease == name)
        };
        for lease in sight.leases.iter_mut().filter(|lease| lease.owner == life.id) {
            lease.is_live = is_ours(&lease.name);
        }
        let ids: Vec<MailboxId> = mailboxes.iter().map(|(mailbox, _)| mailbox.id).collect();
        let moves = moves(&life.id, &sight, &ids);
        let unread: Vec<MailboxId> = self.held.keys().filter(|id| !ids.contains(id)).copied().collect();
        for id in unread {
            self.let_go(id, true).await;
        }
        for id in moves.surplus {
            self.let_go(id, false).await;
        }
        self.take(&moves.free, moves.most).await?;
        self.hurry();
        let grants = self.works.store.read().await?.grants().await?.into_iter();
        let grants = grants.filter(|grant| grant.owner_kind == OwnerKind::Mailbox.as_str());
        let grants = grants.map(|g| (MailboxId(g.owner_id), (g.id, g.state == "working"))).collect();
        self.start(&mailboxes, &grants);
        self.watch_bounces(&mailboxes);
        Ok(())
    }

    /// One that is only wanted elsewhere ends its batch.
    async fn let_go(&mut self, id: MailboxId, at_once: bool) {
        let Some(lease) = self.held.remove(&id) else { return };
        self.bounces.forget(id);
        let Some(Running { stop, task, .. }) = self.running.remove(&id) else {
            return self.give_back(&lease).await;
        };
        stop.soon.cancel();
        if at_once {
            stop.now.cancel();
        }
        let leaving = Leaving { mailbox: id, lease, now: stop.now, since: Instant::now() };
        self.leaving.insert(task.id(), leaving);
    }

    async fn give_back(&self, lease: &Lease) {
        // Not given back, it is free when our life is over, or is taken by us again.
        if let Err(e) = self.works.leases.give_back(lease).await {
            tracing::warn!("lease.kept {e}");
        }
    }

    async fn ended(&mut self, task: Id) {
        // One that broke off is begun anew with the next look.
        self.running.retain(|_, running| running.task.id() != task);
        if let Some(Leaving { lease, .. }) = self.leaving.remove(&task) {
            self.give_back(&lease).await;
        }
    }

    async fn take(&mut self, free: &[MailboxId], most: usize) -> Result<(), Failure> {
        // Those that are just leaving stay ours until they have ended.
        let is_leaving = |id: &MailboxId| self.leaving.values().any(|leaving| leaving.mailbox == *id);
        let wanted: Vec<MailboxId> = free.iter().filter(|id| !is_leaving(id)).copied().collect();
        if wanted.is_empty() || most == 0 {
            return Ok(());
        }
        let names: Vec<String> = wanted.iter().map(|id| lease_of(*id)).collect();
        for lease in self.works.leases.take(&names, most).await? {
            let id = wanted.iter().zip(&names).find(|(_, name)| **name == lease.fence.lease);
            if let Some((id, _)) = id {
                self.held.insert(*id, lease);
            }
        }
        Ok(())
    }

    fn hurry(&self) {
        for leaving in self.leaving.values().filter(|leaving| leaving.since.elapsed() > LAST_ROUND) {
            leaving.now.cancel();
        }
    }

    fn start(&mut self, mailboxes: &[(MailboxRow, bool)], grants: &HashMap<MailboxId, Grant>) {
        self.running.retain(|id, task| {
            let is_as_it_was = |(m, is_bounce): &(MailboxRow, bool)| {
                m.id == *id && m.version == task.version && *is_bounce == task.is_bounce
            };
            let grant = grants.get(id).copied();
            let stays = mailboxes.iter().any(is_as_it_was) && !brings_hope(task.grant, grant);
            task.grant = grant;
            if !stays {
                task.stop.soon.cancel();
                task.stop.now.cancel();
                self.bounces.forget(*id);
            }
            stays
        });
        let window = APART.saturating_mul(u32::try_from(self.held.len()).unwrap_or(u32::MAX));
        for (mailbox, is_bounce) in mailboxes {
            let (id, is_bounce) = (mailbox.id, *is_bounce);
            let Some(lease) = self.held.get(&id).filter(|_| !self.running.contains_key(&id)) else {
                continue;
            };
            let stop = Stop { soon: self.shutdown.child_token(), now: self.shutdown.child_token() };
            if is_bounce {
                self.bounces.set_due(id, self.works.clock.now());
            }
            let spread = if is_bounce { Duration::ZERO } else { window.mul_f64(dice(id.0, 0)) };
            let bounces = (self.bounces.clone(), is_bounce);
            let work =
                keep(self.works.clone(), mailbox.clone(), (spread, bounces), (lease.clone(), stop.clone()));
            let task = self.tasks.spawn(work);
            let grant = grants.get(&id).copied();
            let version = mailbox.version;
            self.running.insert(id, Running { version, is_bounce, grant, stop, task });
        }
    }

    /// Bounce mailboxes of other daemons come first, too: when they were read last says when they are due.
    fn watch_bounces(&self, mailboxes: &[(MailboxRow, bool)]) {
        for (mailbox, _) in
            mailboxes.iter().filter(|(m, is_bounce)| *is_bounce && !self.held.contains_key(&m.id))
        {
            let mut due = Due::new(mailbox.spec.when(), mailbox.last_round.unwrap_or(mailbox.created));
            self.bounces.set_due(mailbox.id, due.at(self.works.clock.now()));
        }
    }
}

/// The rounds over one mailbox, looked after.
async fn keep(
    works: Works,
    mailbox: MailboxRow,
    (spread, bounces): (Duration, (Bounces, bool)),
    (lease, stop): (Lease, Stop),
) {
    let name = format!("mailbox-{}", mailbox.id);
    let make = |pulse: Pulse, now| {
        let (mut works, mailbox, bounces) =
            (works.with_pulse(pulse.clone()), mailbox.clone(), bounces.clone());
        works.intake.leaving = stop.soon.clone();
        let (stop, lease) = (Stop { now, ..stop.clone() }, lease.clone());
        async move {
            pulse.rest(super::mailbox::LONGEST_BATCH);
            // Its last daemon died, perhaps of a message of this mailbox (M10).
            if !lease.was_given_back
                && let Some(Err(failure)) =
                    unless_told(&stop.now, LEAVE, works.decide_left_over(&mailbox)).await
            {
                tracing::warn!(mailbox.name = mailbox.spec.name, "intake.round_failed {failure}");
            }
            match mailbox.spec.protocol {
                Protocol::Pipe => pipes::rounds(works, mailbox, pulse, stop.soon.clone()).await,
                _ => Reading::new(works, mailbox, (spread, bounces), (pulse, stop.clone())).run().await,
            }
            // It ended because it was told to, or in one of the ways that its keeper knows.
            if stop.soon.is_cancelled() {
                stop.now.cancel();
            }
        }
    };
    works.tasks.keep(&name, stop.now.clone(), make).await;
}
