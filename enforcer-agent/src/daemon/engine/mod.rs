//! The single owner of what is enforced. Everything else sends it messages; it takes them one by one, in order.
//!
//! Architecture Invariant: nothing in the daemon changes the packet path but the engine, and the engine decides nothing about
//! packets: it carries what the compiler made to the datapath.

mod apply;
mod aside;
mod cgroups;
mod connections;
mod containers;
mod explain;
mod interfaces;
mod live;
mod load;
mod lockout;
mod metrics;
pub(crate) mod posture;
mod quarantine;
mod report;
mod restore;
mod tamper;
#[cfg(test)]
mod tests;
mod thresholds;
mod totals;
mod trial;
mod workloads;

use super::changes::Change;
use super::clock::Instants;
use super::config::Settings;
use super::events::Feed;
use super::heap;
use super::names::Names;
use super::notify;
use super::session::Session;
use super::state::{Applied, StateDir};
use super::telemetry::metrics::Snapshot;
use super::thresholds::Exceeded;
use crate::cgroups::{Change as CgroupChange, Root};
use crate::datapath::{Datapath, Epoch};
use crate::files::Cache;
use crate::protocol::{
    ApplyReply, ApplyRequest, ConfirmReply, ExplainReply, ExplainRequest, Finding, LiveSet, Plan,
    PostureReply, PostureRequest, QuarantineReply, QuarantineRequest, ReleaseRequest, RollbackRequest,
    Status, StopReply,
};
use crate::sources::Report;
use cgroups::Cgroups;
use containers::Containers;
use enforcer_policy::compile::Numbers;
use enforcer_policy::document::ParsedFile;
use interfaces::Interfaces;
use live::Live;
use posture::Postures;
use quarantine::Quarantines;
use std::collections::VecDeque;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SendError, Sender, channel};
use std::time::{Duration, Instant};
use tamper::Tampering;
use tokio::sync::{mpsc, oneshot};
use tracing::{debug, error, info};
use trial::Trial;

pub use interfaces::Link;

/// Tracked flows that are over are forgotten this often.
const SWEEP: Duration = Duration::from_secs(5);
/// Policy files are looked at this often even if nobody says that they changed.
const LOOK: Duration = Duration::from_secs(30);
/// The engine does its round this often when it has nothing else to do.
const ROUND: Duration = Duration::from_secs(1);

/// A set that was put in force as a whole is kept as soon as nothing else is to be done.
const KEPT_AFTER: Duration = Duration::from_millis(50);
/// A set that was changed in place is kept with the changes that follow.
const KEPT_WITHIN: Duration = Duration::from_secs(5);

/// What the engine can be asked.
#[derive(Debug)]
pub enum Message {
    /// Policy files may have changed.
    Files,
    /// Everything is to be read anew, files as well as what was thought unchanged.
    Reload,
    /// A device is there, has another name, or its properties changed.
    LinkUp(Link),
    /// A device has gone.
    LinkGone(u32),
    /// Cgroups came or went.
    Cgroups(Vec<CgroupChange>),
    /// The machine's own addresses, all of them.
    Host(Vec<IpAddr>),
    /// A container engine was heard, or isn't any more.
    Discovered(Report),
    /// Somebody set the wall clock.
    ClockStepped,
    /// What is enforced?
    Status(oneshot::Sender<Status>),
    /// What is to be said in metrics?
    Metrics(oneshot::Sender<Snapshot>),
    /// Why is a flow judged as it is?
    Explain {
        /// Which flow.
        request: ExplainRequest,
        /// The answer.
        reply: oneshot::Sender<Result<ExplainReply, Refused>>,
    },
    /// Which files are in force?
    Policies(oneshot::Sender<Result<LiveSet, Refused>>),
    /// A new applied set.
    Apply {
        /// Its files.
        request: ApplyRequest,
        /// Where it is asked for from.
        sessions: Vec<Session>,
        /// The plan, then what came of it.
        replies: mpsc::UnboundedSender<ApplyLine>,
    },
    /// Back to the applied set before the last one.
    Rollback {
        /// How.
        request: RollbackRequest,
        /// Where it is asked for from.
        sessions: Vec<Session>,
        /// The plan, then what came of it.
        replies: mpsc::UnboundedSender<ApplyLine>,
    },
    /// The applied set that is on trial is the applied set.
    Confirm(oneshot::Sender<Result<ConfirmReply, Refused>>),
    /// A workload is cut off.
    Quarantine {
        /// Which, and for how long.
        request: QuarantineRequest,
        /// What came of it.
        reply: oneshot::Sender<Result<QuarantineReply, Refused>>,
    },
    /// Something is attested of a workload, or isn't any more.
    Posture {
        /// Its name.
        workload: String,
        /// What, and for how long.
        request: PostureRequest,
        /// What came of it.
        reply: oneshot::Sender<Result<PostureReply, Refused>>,
    },
    /// A workload has exceeded what a Segment allows it.
    Exceeded(Exceeded),
    /// A workload is let back.
    Release {
        /// Which.
        request: ReleaseRequest,
        /// What came of it.
        reply: oneshot::Sender<Result<QuarantineReply, Refused>>,
    },
    /// End, and where `detach` is set, take everything away first.
    Stop {
        /// Whether nothing is to be enforced afterwards.
        detach: bool,
        /// What came of it.
        reply: oneshot::Sender<Result<StopReply, Refused>>,
    },
    /// End; what is enforced stays enforced.
    End,
    /// Work that was done aside is done.
    Done,
}

/// Why the engine did not do what it was asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// What went wrong.
    pub message: String,
    /// The way out.
    pub help: Option<String>,
}

/// A line of the answer to `apply` and `rollback`.
#[derive(Debug, Clone, serde::Serialize, serde::Deserialize)]
#[serde(untagged)]
pub enum ApplyLine {
    /// What will change.
    Plan(Box<Plan>),
    /// What came of it.
    Reply(Box<ApplyReply>),
}

/// A message on its way to the engine.
#[derive(Debug)]
pub struct Noticed {
    /// What it says.
    pub message: Message,
    /// When what it tells of was noticed, nanoseconds of the boot-time clock.
    pub at: u64,
}

/// How others reach the engine.
#[derive(Debug, Clone)]
pub struct Handle(Sender<Noticed>);

impl Handle {
    /// A way to the engine, and its end of it.
    #[must_use]
    pub fn new() -> (Self, Receiver<Noticed>) {
        let (sender, receiver) = channel();
        (Self(sender), receiver)
    }

    /// Queues a message about something that was noticed just now. Never waits.
    pub fn send(&self, message: Message) -> Result<(), SendError<Noticed>> {
        self.send_noticed(message, Instants::now().boot)
    }

    /// Queues a message about something that was noticed at `at`, by the boot-time clock.
    pub(super) fn send_noticed(&self, message: Message, at: u64) -> Result<(), SendError<Noticed>> {
        self.0.send(Noticed { message, at })
    }
}

/// Why the live set isn't what is in force.
#[derive(Debug, Clone)]
struct Degraded {
    why: String,
    since: jiff::Timestamp,
    findings: Vec<Finding>,
}

/// The single owner of what is enforced.
pub struct Engine {
    messages: Receiver<Noticed>,
    /// The engine's own way to itself.
    handle: Handle,
    /// What came while it couldn't be done.
    waiting: VecDeque<Noticed>,
    /// When what the engine is at work on was noticed, by the boot-time clock.
    noticed: u64,
    settings: Settings,
    datapath: Box<dyn Datapath>,
    state: StateDir,
    cache: Cache,
    /// Policy paths that aren't there.
    missing: Vec<PathBuf>,
    /// Files of the last good set, for as long as nothing is in force.
    kept: Vec<String>,
    applied: Applied,
    /// Its files, parsed.
    applied_files: Vec<Arc<ParsedFile>>,
    /// The applied set can't be read: it may not be taken for empty.
    applied_damage: Option<String>,
    names: Names,
    feed: Feed,
    interfaces: Interfaces,
    cgroups: Cgroups,
    containers: Containers,
    host: Vec<IpAddr>,
    numbers: Numbers,
    live: Option<Live>,
    trial: Option<Trial>,
    /// What became of the last trial, where it wasn't confirmed.
    rolled_back: Option<String>,
    quarantines: Quarantines,
    postures: Postures,
    /// Where a change was asked for from last.
    operator: Vec<Session>,
    /// What the watched files have done to that.
    locked_out: Vec<Finding>,
    degraded: Option<Degraded>,
    generation: u64,
    started: jiff::Timestamp,
    /// When what is in force is to be kept as the last good set, if it isn't yet.
    unkept: Option<Instant>,
    /// Whether memory was used for a while that isn't used any more.
    untidy: bool,
    tampering: Tampering,
    counted: metrics::Counted,
    totals: totals::Totals,
    /// How often the round is done.
    every: Duration,
    rounded: Instant,
    swept: Instant,
    looked: Instant,
}

impl Engine {
    /// An engine that has put nothing in force yet.
    pub fn new(
        settings: Settings,
        datapath: Box<dyn Datapath>,
        state: StateDir,
        names: Names,
        feed: Feed,
    ) -> Self {
        let (handle, messages) = Handle::new();
        let (applied, applied_damage) = match state.applied() {
            Ok(applied) => (applied, None),
            Err(error) => (Applied::default(), Some(format!("{error:#}"))),
        };
        let applied_files = load::parse(&applied.files);
        let quarantines = Quarantines::new(state.quarantines());
        let postures = Postures::new(state.postures());
        let containers = Containers::new(&settings, &state);
        Self {
            messages,
            handle,
            waiting: VecDeque::new(),
            noticed: Instants::now().boot,
            settings,
            datapath,
            state,
            cache: Cache::default(),
            missing: Vec::new(),
            kept: Vec::new(),
            applied,
            applied_files,
            applied_damage,
            names,
            feed,
            interfaces: Interfaces::default(),
            cgroups: Cgroups::default(),
            containers,
            host: Vec::new(),
            numbers: Numbers::default(),
            live: None,
            trial: None,
            rolled_back: None,
            quarantines,
            postures,
            operator: Vec::new(),
            locked_out: Vec::new(),
            degraded: None,
            generation: 0,
            started: jiff::Timestamp::now(),
            unkept: None,
            untidy: false,
            tampering: Tampering::default(),
            counted: metrics::Counted::default(),
            totals: totals::Totals::default(),
            every: notify::watchdog().map_or(ROUND, |watchdog| watchdog.min(ROUND)),
            rounded: Instant::now(),
            swept: Instant::now(),
            looked: Instant::now(),
        }
    }

    /// Says which cgroups there are below `root`. Wants to be told before the start.
    pub(in crate::daemon) fn know_cgroups(&mut self, root: Root, found: Vec<(u64, String)>) {
        self.cgroups = Cgroups::new(Some(root), found);
    }

    /// How others reach it.
    #[must_use]
    pub fn handle(&self) -> Handle {
        self.handle.clone()
    }

    /// Takes messages until it is told to end.
    pub fn run(mut self) {
        loop {
            let next = match self.waiting.pop_front() {
                Some(message) => Ok(message),
                None => self.messages.recv_timeout(self.patience()),
            };
            match next {
                Ok(Noticed { message, at }) => {
                    self.noticed = at;
                    if self.take(message).is_break() {
                        break;
                    }
                    // Messages without pause must not keep the rest from being done.
                    if self.rounded.elapsed() >= self.every {
                        self.round();
                    }
                }
                Err(RecvTimeoutError::Timeout) if self.is_round_due() => self.round(),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break,
            }
            self.inspect_in_time();
        }
        self.tell_missed();
        if self.feed.keeps_records() {
            self.tell_totals();
        }
        self.keep();
    }

    /// How long nothing needs to be done.
    fn patience(&self) -> Duration {
        let expiry = self.next_end();
        let until = expiry.map(|expiry| expiry.duration_since(Instants::now().wall));
        let until = until.map_or(self.every, |until| Duration::try_from(until).unwrap_or_default());
        let keep = self.unkept.map_or(self.every, |at| at.saturating_duration_since(Instant::now()));
        // A little late rather than early: an expiry that isn't past yet would be met again at once.
        let round = self.every.saturating_sub(self.rounded.elapsed());
        (until + Duration::from_millis(1)).min(round).min(keep).min(self.tampering.due_in())
    }

    /// Whether what is done now and then is to be done, not only looked for tampering.
    fn is_round_due(&self) -> bool {
        let now = Instants::now().wall;
        self.rounded.elapsed() >= self.every
            || self.unkept.is_some_and(|at| at <= Instant::now())
            || self.next_end().is_some_and(|end| end <= now)
    }

    fn take(&mut self, message: Message) -> std::ops::ControlFlow<()> {
        match message {
            Message::Files => self.look(false),
            Message::Reload => {
                notify::reloading();
                self.cache = Cache::default();
                self.look(true);
                notify::ready(&self.summary());
            }
            Message::LinkUp(link) => self.link_up(link),
            Message::LinkGone(ifindex) => self.link_gone(ifindex),
            Message::Cgroups(changes) => self.cgroups_changed(changes),
            Message::Host(addresses) => self.host_addresses(addresses),
            Message::Discovered(report) => self.discovered(report),
            Message::ClockStepped => {
                info!("the wall clock was set: expiries are counted anew");
                self.refresh("the wall clock was set");
            }
            // Whoever asked may have gone; that is no matter.
            Message::Status(reply) => drop(reply.send(self.status())),
            Message::Metrics(reply) => drop(reply.send(self.snapshot())),
            Message::Explain { request, reply } => {
                self.end_postures(Instants::now());
                drop(reply.send(self.explain(&request)));
            }
            Message::Policies(reply) => drop(reply.send(self.live_set())),
            Message::Apply { request, sessions, replies } => self.apply(request, sessions, &replies),
            Message::Rollback { request, sessions, replies } => self.rollback(request, sessions, &replies),
            Message::Confirm(reply) => drop(reply.send(self.confirm())),
            Message::Quarantine { request, reply } => drop(reply.send(self.quarantine(&request))),
            Message::Posture { workload, request, reply } => {
                drop(reply.send(self.attest(&workload, &request)));
            }
            Message::Exceeded(exceeded) => self.exceeded(exceeded),
            Message::Release { request, reply } => drop(reply.send(self.release(&request))),
            Message::Stop { detach, reply } => return self.stop(detach, reply),
            Message::End => return std::ops::ControlFlow::Break(()),
            Message::Done => {}
        }
        std::ops::ControlFlow::Continue(())
    }

    /// What is to be done now and then.
    fn round(&mut self) {
        self.rounded = Instant::now();
        notify::alive();
        let now = Instants::now();
        self.end_trial_in_time();
        self.end_quarantines(now);
        self.end_postures(now);
        if let Some(expiry) = self.next_expiry().filter(|expiry| *expiry <= now.wall) {
            self.noticed = now.boot_of(expiry);
            self.refresh("a policy has expired");
        }
        self.noticed = Instants::now().boot;
        self.tell_missed();
        self.tell_totals_in_time();
        if self.swept.elapsed() >= SWEEP {
            self.swept = Instant::now();
            if let Err(error) = self.datapath.sweep_flows() {
                debug!(%error, "could not sweep the flow tables");
            }
        }
        if self.looked.elapsed() >= LOOK {
            self.look(false);
        }
        self.settle_unclaimed();
        self.keep_containers();
        for link in self.interfaces.unsettled() {
            self.link_up(link);
        }
        if self.cgroups.error().is_some() {
            self.settle_cgroups();
        }
        self.retell_cgroups();
        if self.unkept.is_some_and(|at| at <= Instant::now()) {
            self.keep();
        }
        if std::mem::take(&mut self.untidy) {
            heap::tidy();
        }
    }

    /// Says that a change is about to be put in force, after which the next policy expires at `expiry`.
    fn announce(&self, expiry: Option<jiff::Timestamp>) {
        let epoch = self.datapath.current().unwrap_or(0).saturating_add(1);
        self.note(epoch, self.noticed, expiry);
        self.note_fallback(epoch);
    }

    fn note(&self, epoch: Epoch, noticed: u64, expiry: Option<jiff::Timestamp>) {
        let expiry = expiry.map(|expiry| Instants::now().boot_of(expiry));
        self.feed.changes().note(Change { epoch, noticed, expiry });
    }

    /// When the next thing in force ends by itself: a policy, a quarantine, what is attested, a trial.
    fn next_end(&self) -> Option<jiff::Timestamp> {
        let trial = self.trial.as_ref().map(|trial| trial.until().wall);
        let ends = self.quarantines.next_end().into_iter().chain(self.postures.next_end());
        self.next_expiry().into_iter().chain(ends).chain(trial).min()
    }

    /// When the next of the policies in force expires.
    fn next_expiry(&self) -> Option<jiff::Timestamp> {
        self.live.as_ref()?.next_expiry
    }

    fn stop(
        &mut self,
        detach: bool,
        reply: oneshot::Sender<Result<StopReply, Refused>>,
    ) -> std::ops::ControlFlow<()> {
        if detach && let Err(errors) = self.datapath.remove_all() {
            let told: Vec<String> = errors.iter().map(ToString::to_string).collect();
            error!(errors = told.join("; "), "could not take everything away");
            let help = errors.iter().find_map(|error| error.help().map(str::to_owned));
            drop(reply.send(Err(Refused { message: told.join("; "), help })));
            return std::ops::ControlFlow::Continue(());
        }
        info!(detach, "stopping");
        self.keep();
        self.unkept = None;
        drop(reply.send(Ok(StopReply { schema: "enforcer.stop/v1".to_owned(), detached: detach })));
        std::ops::ControlFlow::Break(())
    }

    /// One line on how things stand.
    pub(super) fn summary(&self) -> String {
        let epoch = self.datapath.current().unwrap_or(0);
        match (self.why_degraded(), &self.live) {
            (Some(why), _) => format!("degraded: {why}"),
            (None, Some(live)) => {
                format!(
                    "enforcing {} policies, epoch {epoch}, {} interfaces",
                    live.set.policies.len(),
                    self.interfaces.attached()
                )
            }
            (None, None) => "nothing is in force".to_owned(),
        }
    }
}
