//! A process's part in the common work: its life, which it renews again and again, and the leases that it holds.
//!
//! A life that could not be renewed in time is over, by our own clock before the database's; everything under it stops,
//! and a new life begins with nothing. A process that died on this machine is seen to be gone, and what it held is free
//! at once. On SQLite one process holds the desk, and a life lasts as long as that.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::clock::{Pulse, uptime};
use crate::crash;
use crate::seal::{random, to_hex};
use crate::store::{DaemonRow, Engine, Error, Fence, LeaseRow, Life, Member, Store, host};

/// Before a renewal that failed is tried again.
const AGAIN: Duration = Duration::from_millis(500);
/// Between two looks of a process whose life lasts as long as it runs.
const REST: Duration = Duration::from_secs(30);

/// Cheap to clone.
#[derive(Clone)]
pub struct Leases(Arc<Inner>);

struct Inner {
    store: Store,
    /// `None`: for as long as the process runs.
    length: Option<Duration>,
    now: Mutex<Now>,
    /// Told when a life ends or begins.
    lives: watch::Sender<u64>,
}

#[derive(Default)]
struct Now {
    command: &'static str,
    life: Option<Arc<Life>>,
    held: BTreeMap<String, Lease>,
}

/// A lease that is ours, as far as we know.
#[derive(Clone, Debug)]
pub struct Lease {
    pub fence: Fence,
    /// Whoever had it before gave it back in good order.
    pub was_given_back: bool,
}

impl Lease {
    pub fn is_over(&self) -> bool {
        self.fence.life.is_over()
    }
}

/// Who works, and on what.
#[derive(Clone, Debug, Default)]
pub struct Sight {
    /// Those that live, the oldest first.
    pub daemons: Vec<DaemonRow>,
    /// Those whose lease ran out within a day, without a word of theirs and without another daemon in their place.
    pub lapsed: Vec<DaemonRow>,
    pub leases: Vec<LeaseRow>,
}

impl Sight {
    /// In words, who has a lease.
    pub fn holder(&self, name: &str) -> Option<String> {
        let lease = self.leases.iter().find(|lease| lease.name == name && lease.is_live)?;
        self.daemons.iter().find(|daemon| daemon.id == lease.owner).map(DaemonRow::to_string)
    }
}

impl Leases {
    /// A process that does not work yet. A life lasts for `length` from each renewal.
    pub fn new(store: &Store, length: Duration) -> Leases {
        let length = (store.engine() == Engine::Postgres).then_some(length);
        Leases(Arc::new(Inner {
            store: store.apart(),
            length,
            now: Mutex::default(),
            lives: watch::Sender::default(),
        }))
    }

    /// Begins to work, as what the command is called.
    pub async fn join(&self, command: &'static str) -> Result<(), Error> {
        if self.0.length.is_none() {
            // Whoever holds the desk is alone with it.
            let mut tx = self.0.store.write().await?;
            tx.forget_daemons().await?;
            tx.commit().await?;
        }
        self.begin_as(command).await
    }

    async fn begin_as(&self, command: &'static str) -> Result<(), Error> {
        self.now().command = command;
        let begun = self.begin().await;
        if begun.is_err() {
            self.now().command = "";
        }
        begun
    }

    /// A part of its own for a command of this process.
    pub async fn beside(&self, command: &'static str) -> Result<Leases, Error> {
        let beside = Leases(Arc::new(Inner {
            store: self.0.store.apart(),
            length: self.0.length,
            now: Mutex::default(),
            lives: watch::Sender::default(),
        }));
        beside.begin_as(command).await?;
        Ok(beside)
    }

    /// Whether it works at all: a process that has not joined needs no leases, and gets none.
    pub fn has_joined(&self) -> bool {
        !self.now().command.is_empty()
    }

    /// The present life.
    pub fn life(&self) -> Option<Arc<Life>> {
        self.now().life.clone()
    }

    /// Whose claims ours are.
    pub fn owner(&self) -> String {
        self.life().map_or_else(|| "desk".to_owned(), |life| life.id.clone())
    }

    /// How long a life lasts; `None`: as long as the process.
    pub fn length(&self) -> Option<Duration> {
        self.0.length
    }

    /// Tells when a life ends or begins.
    pub fn lives(&self) -> watch::Receiver<u64> {
        self.0.lives.subscribe()
    }

    /// The lease of that name, if it is ours.
    pub fn held(&self, name: &str) -> Option<Lease> {
        self.now().held.get(name).filter(|lease| !lease.is_over()).cloned()
    }

    /// Takes what is free of these, in order and at most so many of them.
    pub async fn take(&self, names: &[String], most: usize) -> Result<Vec<Lease>, Error> {
        let Some(life) = self.life() else { return Ok(vec![]) };
        let mut taken = vec![];
        let mut tx = self.0.store.write().await?;
        tx.lock_leases().await?;
        for name in names {
            if taken.len() == most {
                break;
            }
            if let Some(new) = tx.take(name, &life.id).await? {
                let fence = Fence { life: life.clone(), lease: name.clone(), number: new.fence };
                taken.push(Lease { fence, was_given_back: new.was_given_back });
            }
        }
        crash::point("lease.before_take");
        tx.commit().await?;
        crash::point("lease.after_take");
        let mut now = self.now();
        for lease in &taken {
            now.held.insert(lease.fence.lease.clone(), lease.clone());
        }
        Ok(taken)
    }

    /// The one of that name, if it is free.
    pub async fn take_one(&self, name: &str) -> Result<Option<Lease>, Error> {
        Ok(self.take(&[name.to_owned()], 1).await?.pop())
    }

    /// Gives a lease back: whoever wants it has it at once.
    pub async fn give_back(&self, lease: &Lease) -> Result<(), Error> {
        {
            let mut now = self.now();
            let is_it = |held: &Lease| held.fence.number == lease.fence.number;
            if now.held.get(&lease.fence.lease).is_some_and(is_it) {
                now.held.remove(&lease.fence.lease);
            }
        }
        crash::point("lease.before_give_back");
        let mut tx = self.0.store.write().await?;
        tx.give_back(&lease.fence).await?;
        tx.commit().await?;
        crash::point("lease.after_give_back");
        Ok(())
    }

    pub async fn sight(&self) -> Result<Sight, Error> {
        let mut tx = self.0.store.read().await?;
        let daemons = tx.daemons().await?;
        // Rows of a life without an end say nothing after a crash.
        let may_run = |daemon: &DaemonRow| self.0.length.is_some() || runs_here(&daemon.process);
        let (live, mut lapsed): (Vec<DaemonRow>, Vec<DaemonRow>) =
            daemons.into_iter().partition(|daemon| daemon.is_live && may_run(daemon));
        lapsed.retain(|gone| !live.iter().any(|daemon| daemon.follows(gone)));
        Ok(Sight { daemons: live, lapsed, leases: tx.leases().await? })
    }

    /// Looks whether processes of this machine have died without a word.
    pub async fn bury_dead(&self, sight: &Sight) -> Result<(), Error> {
        let gone: Vec<&DaemonRow> = sight.daemons.iter().filter(|daemon| is_gone(&daemon.process)).collect();
        if gone.is_empty() {
            return Ok(());
        }
        let mut tx = self.0.store.write().await?;
        for daemon in gone {
            tx.bury(&daemon.id).await?;
        }
        tx.commit().await
    }

    /// Ends the life in good order.
    pub async fn leave(&self) -> Result<(), Error> {
        let Some(life) = self.end() else { return Ok(()) };
        let mut tx = self.0.store.write().await?;
        tx.leave(&life.id).await?;
        tx.commit().await
    }

    /// Renews the life, until `stop`; where that came too late, begins another.
    pub async fn run(self, pulse: Pulse, stop: CancellationToken) {
        while !stop.is_cancelled() {
            pulse.rest(REST);
            let pause = match self.beat().await {
                Ok(()) => self.0.length.map_or(REST, |length| length / 3),
                Err(error) => {
                    tracing::debug!("lease.unrenewed {error}");
                    AGAIN
                }
            };
            let ends = self.life().map_or(REST, |life| life.left());
            tokio::select! {
                () = stop.cancelled() => {}
                () = tokio::time::sleep(pause) => {}
                // Whatever works under it is told at once.
                () = tokio::time::sleep(ends), if pause > ends => {}
            }
        }
    }

    async fn beat(&self) -> Result<(), Error> {
        let Some(length) = self.0.length else { return Ok(()) };
        let Some(life) = self.life() else { return self.begin().await };
        if !life.is_over() {
            let asked = uptime();
            crash::point("lease.before_renew");
            let renewed = tokio::time::timeout(length / 3, self.renew(&life.id)).await;
            crash::point("lease.after_renew");
            match renewed {
                Ok(Ok(true)) if life.renewed(asked) => return Ok(()),
                // The database has forgotten it.
                Ok(Ok(_)) => {}
                _ if life.is_over() => {}
                Ok(Err(error)) => return Err(error),
                Err(_) => return Err(Error::Unreachable("the renewal of the lease takes too long".into())),
            }
        }
        tracing::warn!(daemon.id = life.id, "lease.life_over it begins another; what it held is free");
        self.end();
        self.begin().await
    }

    async fn renew(&self, id: &str) -> Result<bool, Error> {
        let mut tx = self.0.store.write().await?;
        let is_renewed = tx.renew(id, self.0.length).await?;
        tx.commit().await?;
        Ok(is_renewed)
    }

    async fn begin(&self) -> Result<(), Error> {
        let (host, pid, command) = (host(), std::process::id(), self.now().command.to_owned());
        let id = format!("{host}:{pid}:{}", to_hex(&random::<4>()));
        let process = own_process().unwrap_or_default();
        let member = Member { id: id.clone(), command, host, pid, process };
        let asked = uptime();
        let mut tx = self.0.store.write().await?;
        tx.lock_leases().await?;
        for gone in tx.daemons().await?.iter().filter(|daemon| daemon.is_live && is_gone(&daemon.process)) {
            tx.bury(&gone.id).await?;
        }
        tx.join(&member, self.0.length).await?;
        tx.commit().await?;
        self.now().life = Some(Arc::new(Life::new(id, asked, self.0.length)));
        self.0.lives.send_modify(|n| *n += 1);
        Ok(())
    }

    /// Nothing is ours any more.
    fn end(&self) -> Option<Arc<Life>> {
        let mut now = self.now();
        now.held.clear();
        let life = now.life.take();
        drop(now);
        if let Some(life) = &life {
            life.end();
        }
        self.0.lives.send_modify(|n| *n += 1);
        life
    }

    fn now(&self) -> MutexGuard<'_, Now> {
        self.0.now.lock().expect("nobody panics while holding it")
    }
}

/// What tells this process from all others: the start of the machine, the namespace of process numbers, the number, the
/// start of the process. `None` where the system does not say.
fn own_process() -> Option<String> {
    let pid = std::process::id();
    Some(format!("{} {pid} {}", machine()?, started(pid)?))
}

/// Of this machine, and its process runs no more. What cannot be told lives.
fn is_gone(process: &str) -> bool {
    let Some(ours) = machine() else { return false };
    let Some((pid, start)) = process
        .strip_prefix(&ours)
        .and_then(|rest| rest.trim_start().split_once(' '))
        .and_then(|(pid, start)| Some((pid.parse::<u32>().ok()?, start)))
    else {
        return false;
    };
    started(pid).is_none_or(|now| now != start)
}

fn runs_here(process: &str) -> bool {
    machine().is_some_and(|ours| process.starts_with(&ours)) && !is_gone(process)
}

fn machine() -> Option<String> {
    let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    let namespace = std::fs::read_link("/proc/self/ns/pid").ok()?;
    Some(format!("{} {}", boot.trim(), namespace.display()))
}

/// When a process began, in ticks since the start of the machine; `None`: there is none, or only its remains.
fn started(pid: u32) -> Option<String> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // Its name may hold anything, blanks and brackets too. Behind it: state, and 18 fields on the start.
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace();
    let state = fields.next()?;
    if matches!(state, "Z" | "X") {
        return None;
    }
    fields.nth(18).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_that_runs_is_told_from_one_that_has_died() {
        let us = own_process().expect("Linux says it");
        assert!(!is_gone(&us) && runs_here(&us));
        assert!(!is_gone("") && !is_gone("another machine 1 2"), "nobody knows");
        assert!(!runs_here("") && !runs_here("another machine 1 2"));
        let (rest, start) = us.rsplit_once(' ').unwrap();
        assert!(is_gone(&format!("{rest} {start}0")), "its number is another's now");
        let mut child = std::process::Command::new("true").spawn().unwrap();
        let (machine, pid) = (machine().unwrap(), child.id());
        let start = started(pid).unwrap_or_default();
        child.wait().unwrap();
        assert!(is_gone(&format!("{machine} {pid} {start}")));
    }
}
