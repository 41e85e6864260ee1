//! Follows one engine: everything at first, then what changes, and from the start again whenever it is lost.
//!
//! An engine's events are hints to look at a container. Each is looked at by itself, beside the others, and never twice at a time:
//! a look that a hint came during is done again. So nothing depends on the order in which events come.

use super::container::{Container, Found, Key, Kind, Network};
use super::place::{Place, place};
use super::{Report, Sink, goes_on};
use futures_util::StreamExt;
use futures_util::future::BoxFuture;
use futures_util::stream::{BoxStream, FuturesUnordered};
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::time::{Instant, interval_at, sleep, timeout};
use tracing::{debug, info, warn};

/// Between attempts, where an engine isn't there: the first pause, and the longest.
const AGAIN: Duration = Duration::from_millis(50);
const AT_MOST: Duration = Duration::from_secs(2);
/// An engine that doesn't answer for this long is as good as gone.
const ANSWER: Duration = Duration::from_secs(5);
/// How often it has to show that it is there.
const SIGN: Duration = Duration::from_secs(3);
/// How often everything is looked at again, for hints that never came.
const ANEW: Duration = Duration::from_secs(60);
/// A container that is about to run is looked for this often, and no longer than this.
const EARLY: Duration = Duration::from_millis(4);
const EARLY_FOR: Duration = Duration::from_secs(60);
const EARLY_AT_ONCE: usize = 256;
/// A container whose labels or name change without end is looked at no more often than this.
const REST: Duration = Duration::from_millis(200);

/// A reason to look at a container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Hint {
    /// It started, ended, or got another network.
    Changed { id: String, began: Option<i64> },
    /// What is said about it changed.
    Described(String),
    /// It is about to start.
    Starting(String),
}

/// Why nothing is heard from an engine.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(super) struct Lost(pub(super) String);

/// An engine, as far as it is followed. All of it may be asked at once.
pub(super) trait Engine: Send + Sync + 'static {
    /// Hints from now on.
    fn hints(&self) -> BoxFuture<'_, Result<BoxStream<'static, Result<Hint, Lost>>, Lost>>;
    /// The ids of everything that runs.
    fn running(&self) -> BoxFuture<'_, Result<Vec<String>, Lost>>;
    /// A container, if it runs.
    fn look<'a>(&'a self, id: &'a str) -> BoxFuture<'a, Result<Option<Found>, Lost>>;
    /// A container that is about to run, once it has a process. Doesn't wait for whatever starts it.
    fn early<'a>(&'a self, id: &'a str) -> BoxFuture<'a, Result<Option<Found>, Lost>>;
    /// Whether it is still there.
    fn sign(&self) -> BoxFuture<'_, Result<(), Lost>>;
    /// Learns where a container is, to find others early.
    fn learn(&self, _container: &Container) {}
}

/// Follows an engine until nobody wants its reports.
pub(super) async fn follow<E: Engine>(kind: Kind, engine: E, known: Vec<Container>, sink: Sink) {
    let known = known.into_iter().map(|one| (one.key.id.clone(), one)).collect();
    let (looks, early) = (HashMap::new(), HashMap::new());
    let mut following = Following { kind, engine: Arc::new(engine), known, sink, serial: 0, looks, early };
    let (mut silent, mut pause) = (false, AGAIN);
    loop {
        let connected = Instant::now();
        let Err(lost) = following.once(&mut silent).await else { return };
        if !silent {
            silent = true;
            warn!(engine = kind.word(), why = %lost, "nothing is heard from a container engine");
            if !(following.sink)(Report::Silent(kind, lost.to_string())) {
                return;
            }
        } else {
            debug!(engine = kind.word(), why = %lost, "still nothing is heard from a container engine");
        }
        if connected.elapsed() > AT_MOST {
            pause = AGAIN;
        }
        sleep(pause).await;
        pause = (pause * 2).min(AT_MOST);
    }
}

/// A look at one container.
#[derive(Debug, Default)]
struct Look {
    under_way: bool,
    /// A hint came meanwhile.
    again: bool,
    /// When it began, if a hint said so.
    began: Option<i64>,
    /// Not before.
    rests_until: Option<Instant>,
    /// Hints that brought nothing.
    skipped: u64,
}

struct Following<E> {
    kind: Kind,
    engine: Arc<E>,
    /// What was reported last.
    known: HashMap<String, Container>,
    sink: Sink,
    serial: u64,
    looks: HashMap<String, Look>,
    /// Looked for early, until this is set.
    early: HashMap<String, Arc<AtomicBool>>,
}

/// What came of work on a container.
enum Outcome {
    Looked { id: String, found: Result<Option<(Found, Place)>, Lost> },
    Early { id: String, found: Option<(Found, Place)> },
    Rested { id: String },
}

type Work = FuturesUnordered<BoxFuture<'static, Outcome>>;

/// Nobody wants reports any more.
struct Unwanted;

impl<E: Engine> Following<E> {
    /// One connection, to its end.
    async fn once(&mut self, silent: &mut bool) -> Result<(), Lost> {
        let hints = timeout(ANSWER, self.engine.hints()).await.map_err(|_| late())?;
        // Listening before asking: what happens in between is hinted at.
        let mut hints = hints?;
        self.looks.clear();
        self.early.clear();
        if self.everything().await?.is_err() {
            return Ok(());
        }
        if std::mem::take(silent) {
            info!(engine = self.kind.word(), "a container engine is heard again");
        }
        let mut work = Work::new();
        let mut signs = interval_at(Instant::now() + SIGN, SIGN);
        let mut anew = interval_at(Instant::now() + ANEW, ANEW);
        loop {
            let wanted = tokio::select! {
                hint = hints.next() => match hint {
                    Some(hint) => self.hint(hint?, &mut work),
                    None => return Err(Lost("it ended the stream of events".to_owned())),
                },
                Some(outcome) = work.next() => self.outcome(outcome, &mut work)?,
                _ = signs.tick() => {
                    timeout(ANSWER, self.engine.sign()).await.map_err(|_| late())??;
                    Ok(())
                }
                _ = anew.tick() => self.anew(&mut work).await?,
            };
            if wanted.is_err() {
                return Ok(());
            }
        }
    }

    fn send(&self, report: Report) -> Result<(), Unwanted> {
        if (self.sink)(report) { Ok(()) } else { Err(Unwanted) }
    }

    fn key(&self, id: &str) -> Key {
        Key { kind: self.kind, id: id.to_owned() }
    }

    /// Looks at everything that runs, and reports it as one.
    async fn everything(&mut self) -> Result<Result<(), Unwanted>, Lost> {
        let ids = timeout(ANSWER, self.engine.running()).await.map_err(|_| late())??;
        let looks = ids.into_iter().map(|id| look(Arc::clone(&self.engine), id));
        let looked: Vec<_> = futures_util::stream::iter(looks).buffer_unordered(16).collect().await;
        let mut known = HashMap::new();
        for outcome in looked {
            let Outcome::Looked { id, found } = outcome else { continue };
            if let Some((found, place)) = found? {
                known.insert(id.clone(), self.container(found, place));
            }
        }
        self.known = known;
        let all = self.known.values().cloned().collect();
        Ok(self.send(Report::Everything(self.kind, all)))
    }

    /// Looks at everything that runs or was known to, each by itself.
    async fn anew(&mut self, work: &mut Work) -> Result<Result<(), Unwanted>, Lost> {
        let mut ids = timeout(ANSWER, self.engine.running()).await.map_err(|_| late())??;
        ids.extend(self.known.keys().cloned());
        ids.sort_unstable();
        ids.dedup();
        for id in ids {
            if let Err(unwanted) = self.hint(Hint::Changed { id, began: None }, work) {
                return Ok(Err(unwanted));
            }
        }
        Ok(Ok(()))
    }

    fn hint(&mut self, hint: Hint, work: &mut Work) -> Result<(), Unwanted> {
        let (id, began, at_once) = match hint {
            Hint::Changed { id, began } => (id, began, true),
            Hint::Described(id) => (id, None, false),
            Hint::Starting(id) => {
                if self.early.len() < EARLY_AT_ONCE && !self.early.contains_key(&id) {
                    self.send(Report::Starting(self.key(&id)))?;
                    let over = Arc::new(AtomicBool::new(false));
                    self.early.insert(id.clone(), Arc::clone(&over));
                    work.push(Box::pin(early(Arc::clone(&self.engine), id, over)));
                }
                return Ok(());
            }
        };
        let look_at = self.looks.entry(id.clone()).or_default();
        look_at.began = began.or(look_at.began);
        if look_at.under_way {
            look_at.again = true;
            look_at.skipped += u64::from(!at_once);
            return Ok(());
        }
        look_at.under_way = true;
        match look_at.rests_until.filter(|until| !at_once && *until > Instant::now()) {
            Some(until) => work.push(Box::pin(async move {
                tokio::time::sleep_until(until).await;
                Outcome::Rested { id }
            })),
            None => work.push(Box::pin(look(Arc::clone(&self.engine), id))),
        }
        Ok(())
    }

    fn outcome(&mut self, outcome: Outcome, work: &mut Work) -> Result<Result<(), Unwanted>, Lost> {
        match outcome {
            Outcome::Rested { id } => {
                work.push(Box::pin(look(Arc::clone(&self.engine), id)));
                Ok(Ok(()))
            }
            Outcome::Early { id, found } => Ok(self.early(&id, found)),
            Outcome::Looked { id, found } => {
                let found = found?;
                let look_at = self.looks.entry(id.clone()).or_default();
                let (again, began) = (std::mem::take(&mut look_at.again), look_at.began.take());
                let skipped = std::mem::take(&mut look_at.skipped);
                look_at.rests_until = Some(Instant::now() + REST);
                look_at.under_way = again;
                if again {
                    // What began belongs to whatever is found in the end.
                    look_at.began = began;
                    work.push(Box::pin(look(Arc::clone(&self.engine), id.clone())));
                } else if self.looks.len() > 4096 {
                    self.looks.retain(|_, look| look.under_way);
                }
                if skipped > 0 && self.send(Report::Skipped(self.kind, skipped)).is_err() {
                    return Ok(Err(Unwanted));
                }
                Ok(self.looked(&id, found, began.filter(|_| !again)))
            }
        }
    }

    fn looked(
        &mut self,
        id: &str,
        found: Option<(Found, Place)>,
        began: Option<i64>,
    ) -> Result<(), Unwanted> {
        if let Some(over) = self.early.get(id).filter(|_| found.is_some()) {
            over.store(true, Ordering::Relaxed);
        }
        match found {
            Some((mut found, place)) => {
                found.began = began.and(found.began.or(began));
                let container = self.container(found, place);
                self.report(container)?;
                self.send(Report::Started(self.key(id)))
            }
            // An answer from before it began; that it ended is heard of once it has.
            None if self.known.get(id).is_some_and(goes_on) => Ok(()),
            None => match self.known.remove(id) {
                Some(gone) => self.send(Report::Gone(gone.key, gone.generation)),
                None => Ok(()),
            },
        }
    }

    fn early(&mut self, id: &str, found: Option<(Found, Place)>) -> Result<(), Unwanted> {
        self.early.remove(id);
        let Some((found, place)) = found else { return self.send(Report::Started(self.key(id))) };
        let container = self.container(found, place);
        // What was found since then knows more.
        if self.known.get(id).is_some_and(|known| known.generation == container.generation) {
            return Ok(());
        }
        self.report(container)
    }

    fn report(&mut self, container: Container) -> Result<(), Unwanted> {
        self.engine.learn(&container);
        let before = self.known.insert(container.key.id.clone(), container.clone());
        let same = before.is_some_and(|before| Container { began: container.began, ..before } == container);
        if same && container.began.is_none() {
            return Ok(());
        }
        self.send(Report::Runs(Box::new(container)))
    }

    /// What was found, as a container. A run that is known keeps its generation, and what was read of its namespace at first: later that is
    /// for whoever runs in it to change.
    fn container(&mut self, found: Found, place: Place) -> Container {
        let own_addresses = found.addresses.is_some() && !found.early;
        self.serial += 1;
        let mut container = place.container(self.kind, self.serial, found);
        if let Some(known) = self.known.get(&container.key.id)
            && known.pid == container.pid
            && known.generation.ticks == container.generation.ticks
        {
            container.generation = known.generation;
            let is_own = matches!(container.network, Network::Own(_));
            if !own_addresses && is_own && !known.addresses.is_empty() && known.devices == container.devices {
                container.addresses.clone_from(&known.addresses);
            }
        }
        container
    }
}

/// Looks at a container, then at where it is.
async fn look<E: Engine>(engine: Arc<E>, id: String) -> Outcome {
    let found = match timeout(EARLY_FOR, engine.look(&id)).await {
        Ok(Ok(Some(found))) => placed(found).await,
        Ok(Ok(None)) => Ok(None),
        Ok(Err(lost)) => Err(lost),
        Err(_) => Err(late()),
    };
    Outcome::Looked { id, found }
}

/// Looks for a container that is about to run, until it is where its packets will be met.
async fn early<E: Engine>(engine: Arc<E>, id: String, over: Arc<AtomicBool>) -> Outcome {
    let began = Instant::now();
    while began.elapsed() < EARLY_FOR && !over.load(Ordering::Relaxed) {
        match engine.early(&id).await {
            Ok(Some(found)) => match placed(found).await {
                Ok(Some((found, place))) if place.is_whole(&found) => {
                    return Outcome::Early { id, found: Some((found, place)) };
                }
                Ok(_) | Err(_) => {}
            },
            Ok(None) => {}
            // Whatever it is, the other looks meet it too.
            Err(_) => break,
        }
        sleep(EARLY).await;
    }
    Outcome::Early { id, found: None }
}

async fn placed(found: Found) -> Result<Option<(Found, Place)>, Lost> {
    let looking =
        tokio::task::spawn_blocking(move || place(&found).map(|place| place.map(|place| (found, place))));
    match looking.await {
        Ok(Ok(placed)) => Ok(placed),
        // Of a process that ends while it is looked at.
        Ok(Err(error)) if matches!(error.raw_os_error(), Some(libc::ENOENT | libc::ESRCH)) => Ok(None),
        Ok(Err(error)) => Err(Lost(format!("could not look into a container: {error}"))),
        Err(_) => Err(Lost("looking into a container failed".to_owned())),
    }
}

fn late() -> Lost {
    Lost(format!("it hasn't answered for {ANSWER:?}"))
}

#[cfg(test)]
mod tests;
