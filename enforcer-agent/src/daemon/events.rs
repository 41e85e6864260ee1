//! Verdicts on their way from the kernel to whoever observes. Names are given to a record only when somebody reads it.
//!
//! Nothing here can hold up the packet path or the engine: who reads too slowly loses, and is told how much.

use super::changes::Changes;
use super::clock::Instants;
use super::cuts::Cuts;
use super::engine::Handle;
use super::names::Names;
use super::record::record;
use super::telemetry::Tallies;
use super::thresholds::Thresholds;
use crate::protocol::{ActionRecord, CountsRecord, FlowRecord, Missed, TamperRecord};
use enforcer_common::event::FlowEvent;
use jiff::Timestamp;
use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use tokio::sync::broadcast::error::{RecvError, TryRecvError};
use tokio::sync::{broadcast, watch};

/// Records that `observe` shows of the past.
const RECENT: usize = 4_096;
/// Records of what was done, beyond those.
const ACTIONS: usize = 256;
/// Records that may wait for a slow observer.
const WAITING: usize = 8_192;

/// One judged packet, not yet named.
#[derive(Debug, Clone, Copy)]
pub struct Judged {
    event: FlowEvent,
    at: Timestamp,
    /// Where it cut a flow: since when that was to be, by the boot-time clock.
    since: Option<u64>,
}

/// What observers see.
#[derive(Debug, Clone)]
pub enum Observed {
    /// A judged packet.
    Judged(Judged),
    /// Others did something to what is enforced.
    Tampered(Arc<TamperRecord>),
    /// Something was done to what is enforced because it was asked for.
    Acted(Arc<ActionRecord>),
    /// What has been counted, for who keeps records.
    Counted(Arc<CountsRecord>),
    /// The daemon ends: nothing comes any more.
    End,
}

/// Where records come together and are handed out.
#[derive(Debug, Clone)]
pub struct Feed {
    recent: Arc<Mutex<VecDeque<Observed>>>,
    /// Of what was done, what is older than those.
    acted: Arc<Mutex<VecDeque<Observed>>>,
    cuts: Arc<Mutex<Cuts>>,
    changes: Changes,
    thresholds: Thresholds,
    /// Who is told of what is too much.
    engine: Arc<OnceLock<Handle>>,
    live: broadcast::Sender<Observed>,
    /// What the kernel left out.
    missed: watch::Sender<Missed>,
    names: Names,
    tallies: Tallies,
    /// Whether somebody keeps records.
    kept: Arc<AtomicBool>,
}

/// What a subscription gives.
#[derive(Debug)]
pub enum Item {
    /// A judged packet, or what others did to what is enforced.
    Record(Observed),
    /// More was missed.
    Missed(Missed),
}

/// One observer's view.
#[derive(Debug)]
pub struct Subscription {
    recent: Vec<Observed>,
    live: broadcast::Receiver<Observed>,
    missed: watch::Receiver<Missed>,
    told: Missed,
    lagged: u64,
    names: Names,
}

impl Default for Feed {
    /// A feed that knows no names.
    fn default() -> Self {
        Self::new(Names::default())
    }
}

impl Feed {
    /// A feed that names records with `names`.
    #[must_use]
    pub fn new(names: Names) -> Self {
        Self {
            recent: Arc::default(),
            acted: Arc::default(),
            cuts: Arc::default(),
            changes: Changes::default(),
            thresholds: Thresholds::default(),
            engine: Arc::default(),
            live: broadcast::channel(WAITING).0,
            missed: watch::channel(Missed::default()).0,
            names,
            tallies: Tallies::default(),
            kept: Arc::default(),
        }
    }

    /// Takes records from the kernel.
    pub fn take(&self, events: &[FlowEvent]) {
        self.thresholds.take(events, self.engine.get());
        self.tallies.read(events.len() as u64);
        let now = Instants::now();
        let mut cuts = self.cuts.lock().unwrap_or_else(PoisonError::into_inner);
        self.add(events.iter().map(|event| {
            let event = cuts.once(*event);
            let cut = event.flags & FlowEvent::CUT != 0;
            if cut {
                self.tallies.cut();
            }
            let since = cut.then(|| self.changes.since(&event)).flatten();
            Observed::Judged(Judged { event, at: now.wall_of(event.time), since })
        }));
    }

    /// Says who is told of what is too much.
    pub(super) fn tell(&self, engine: Handle) {
        // Once: there is one engine.
        let _ = self.engine.set(engine);
    }

    /// Who is counted.
    pub(super) fn thresholds(&self) -> &Thresholds {
        &self.thresholds
    }

    /// What the daemon counts of its own work.
    #[must_use]
    pub fn tallies(&self) -> &Tallies {
        &self.tallies
    }

    /// Where the engine notes what it changes.
    pub(super) fn changes(&self) -> &Changes {
        &self.changes
    }

    /// Others did something to what is enforced.
    pub fn tampered(&self, record: TamperRecord) {
        self.add(std::iter::once(Observed::Tampered(Arc::new(record))));
    }

    /// Something was done to what is enforced because it was asked for.
    pub fn acted(&self, record: ActionRecord) {
        self.add(std::iter::once(Observed::Acted(Arc::new(record))));
    }

    /// What has been counted so far.
    pub fn totals(&self, record: CountsRecord) {
        self.hand_out(Observed::Counted(Arc::new(record)));
    }

    /// Whether anybody wants [`Feed::totals`].
    #[must_use]
    pub fn keeps_records(&self) -> bool {
        self.kept.load(Ordering::Relaxed)
    }

    /// The daemon ends: who keeps records writes what it has and ends as well.
    pub fn end(&self) {
        self.hand_out(Observed::End);
    }

    /// Tells those who are there now; it is no part of the past.
    fn hand_out(&self, observed: Observed) {
        let _in_order = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
        let _ = self.live.send(observed);
    }

    fn add(&self, all: impl Iterator<Item = Observed>) {
        // Held to the end, so that a subscription sees each record once: in the past or in what is to come.
        let mut recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
        let awaited = self.live.receiver_count() > 0;
        for observed in all {
            if recent.len() == RECENT
                && let Some(Observed::Acted(old)) = recent.pop_front()
            {
                // Verdicts come by the thousand, and what was done stays worth knowing.
                let mut acted = self.acted.lock().unwrap_or_else(PoisonError::into_inner);
                if acted.len() == ACTIONS {
                    acted.pop_front();
                }
                acted.push_back(Observed::Acted(old));
            }
            if awaited {
                let _ = self.live.send(observed.clone());
            }
            recent.push_back(observed);
        }
    }

    /// What the kernel counts as left out, as of now.
    pub fn counted(&self, kernel: Missed) {
        self.missed.send_if_modified(|missed| std::mem::replace(missed, kernel) != kernel);
    }

    /// The past, and everything from now on.
    #[must_use]
    pub fn subscribe(&self) -> Subscription {
        let recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
        let missed = self.missed.subscribe();
        let told = *missed.borrow();
        let acted = self.acted.lock().unwrap_or_else(PoisonError::into_inner);
        let recent = acted.iter().chain(recent.iter()).cloned().collect();
        Subscription {
            recent,
            live: self.live.subscribe(),
            missed,
            told,
            lagged: 0,
            names: self.names.clone(),
        }
    }

    /// Everything from now on, for who keeps it.
    #[must_use]
    pub fn keep(&self) -> Subscription {
        self.kept.store(true, Ordering::Relaxed);
        Subscription { recent: Vec::new(), ..self.subscribe() }
    }
}

impl Subscription {
    /// The document that observers get of a record.
    #[must_use]
    pub fn resolve(&self, judged: &Judged) -> FlowRecord {
        let Judged { event, at, since } = judged;
        record(event, *at, *since, &self.names)
    }

    /// Records of the past, oldest first; once.
    pub fn recent(&mut self) -> Vec<Observed> {
        std::mem::take(&mut self.recent)
    }

    /// Everything missed up to the moment of subscribing.
    #[must_use]
    pub fn missed_before(&self) -> Missed {
        self.told
    }

    /// The next record or loss; `None` when the daemon ends.
    pub async fn next(&mut self) -> Option<Item> {
        tokio::select! {
            biased;
            received = self.live.recv() => match received {
                Ok(observed) => Some(Item::Record(observed)),
                Err(RecvError::Lagged(lost)) => Some(self.lag(lost)),
                Err(RecvError::Closed) => None,
            },
            changed = self.missed.changed() => {
                changed.ok()?;
                Some(Item::Missed(self.left_out()))
            }
        }
    }

    /// The next record or loss that is there already.
    pub fn at_once(&mut self) -> Option<Item> {
        match self.live.try_recv() {
            Ok(observed) => Some(Item::Record(observed)),
            Err(TryRecvError::Lagged(lost)) => Some(self.lag(lost)),
            Err(TryRecvError::Empty | TryRecvError::Closed) => {
                self.missed.has_changed().unwrap_or(false).then(|| Item::Missed(self.left_out()))
            }
        }
    }

    /// What the kernel left out since that was asked last.
    pub fn left_out(&mut self) -> Missed {
        let now = *self.missed.borrow_and_update();
        let more = Missed {
            lost: now.lost.saturating_sub(self.told.lost),
            suppressed: now.suppressed.saturating_sub(self.told.suppressed),
        };
        self.told = now;
        more
    }

    fn lag(&mut self, lost: u64) -> Item {
        self.lagged += lost;
        Item::Missed(Missed { lost, suppressed: 0 })
    }

    /// Of what was missed, what wasn't read in time here. Told once.
    pub fn take_lagged(&mut self) -> u64 {
        std::mem::take(&mut self.lagged)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::daemon::changes::Change;

    fn event(epoch: u32) -> FlowEvent {
        FlowEvent { time: Instants::now().boot, epoch, flags: FlowEvent::NEW, ..FlowEvent::default() }
    }

    fn epoch_of(observer: &Subscription, observed: &Observed) -> u32 {
        let Observed::Judged(judged) = observed else { panic!("a verdict was sent: {observed:?}") };
        observer.resolve(judged).epoch
    }

    #[tokio::test]
    async fn an_observer_that_does_not_read_loses_and_is_told_exactly_how_much() {
        let feed = Feed::new(Names::default());
        let mut slow = feed.subscribe();
        let count = WAITING as u32 + 100;
        for epoch in 0..count {
            feed.take(&[event(epoch)]);
        }
        let (mut seen, mut lost) = (0, 0);
        while seen + lost < u64::from(count) {
            match slow.next().await.unwrap() {
                Item::Record(_) => seen += 1,
                Item::Missed(missed) => lost += missed.lost,
            }
        }
        assert_eq!((seen, lost), (WAITING as u64, 100));
    }

    #[tokio::test]
    async fn the_record_of_a_cut_tells_its_delay_and_a_second_one_is_an_ordinary_denial() {
        let feed = Feed::default();
        let now = Instants::now().boot;
        feed.changes().note(Change { epoch: 8, noticed: now - 3_000_000, expiry: None });
        let flags = FlowEvent::CHANGED | FlowEvent::CUT;
        let cut = FlowEvent { time: now, epoch: 8, before: 7, flags, ..FlowEvent::default() };
        feed.take(&[cut, cut]);
        let mut observer = feed.subscribe();
        let recent = observer.recent();
        let records: Vec<_> = recent
            .iter()
            .map(|observed| {
                let Observed::Judged(judged) = observed else { panic!("a verdict was sent: {observed:?}") };
                observer.resolve(judged)
            })
            .collect();
        let told = records[0].cut.as_ref().unwrap();
        assert_eq!((told.delay_us, told.epochs, records[0].changed), (Some(3_000), 1, true));
        assert_eq!((&records[1].cut, records[1].changed), (&None, false));
    }

    #[tokio::test]
    async fn the_past_is_bounded_and_flows_into_the_present() {
        let feed = Feed::new(Names::default());
        for epoch in 0..RECENT as u32 + 10 {
            feed.take(&[event(epoch)]);
        }
        let mut observer = feed.subscribe();
        let recent = observer.recent();
        assert_eq!((recent.len(), epoch_of(&observer, &recent[0])), (RECENT, 10));
        feed.take(&[event(99_999)]);
        let Some(Item::Record(next)) = observer.next().await else { panic!("a record was sent") };
        assert_eq!(epoch_of(&observer, &next), 99_999);
    }

    #[tokio::test]
    async fn what_the_kernel_left_out_is_told_once() {
        let feed = Feed::new(Names::default());
        feed.counted(Missed { lost: 1, suppressed: 5 });
        let mut observer = feed.subscribe();
        assert_eq!(observer.missed_before(), Missed { lost: 1, suppressed: 5 });
        feed.counted(Missed { lost: 1, suppressed: 5 });
        feed.counted(Missed { lost: 2, suppressed: 9 });
        let Some(Item::Missed(more)) = observer.next().await else { panic!("more was missed") };
        assert_eq!(more, Missed { lost: 1, suppressed: 4 });
    }
}
