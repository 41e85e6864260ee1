//! The daemon: who runs in it, and in which order they start and end.
//!
//! One thread owns what is enforced ([`engine`]); everything else (policy files, links, clock, signals, the control socket)
//! only sends it messages. None of them is in the packet path: if any of them fails, or all, what is
//! enforced stays enforced.

mod changes;
pub mod clock;
pub mod config;
pub mod control;
mod cuts;
mod devices;
pub mod engine;
pub mod events;
pub(crate) mod failsafe;
mod heap;
mod lock;
mod names;
mod notify;
mod record;
pub mod restore;
pub mod session;
mod state;
pub mod telemetry;
mod thresholds;
mod watch;

use crate::cgroups::{Hierarchy, Root};
use crate::datapath::Datapath;
use crate::kernel::{Kernel, KernelConfig};
use crate::sources;
use anyhow::{Context, Result};
use config::Settings;
use devices::Devices;
use engine::{Engine, Handle, Message};
use events::Feed;
use lock::Lock;
use names::Names;
use state::StateDir;
use std::sync::Arc;
use std::thread;
use std::time::Duration;
use telemetry::records::Sinks;
use tokio::runtime::Runtime;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tracing::{info, warn};

/// Runs until it is told to end. What is enforced then stays enforced, unless it was told otherwise.
pub fn run(settings: Settings) -> Result<()> {
    heap::settle();
    let state = StateDir::open(&settings.state)?;
    let _lock = Lock::take(&settings.state)?;
    let kernel = KernelConfig { bpffs: settings.bpffs.clone(), ..KernelConfig::default() };
    let datapath = Kernel::open(&kernel)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let runtime = runtime.context("could not start the daemon's runtime")?;
    serve(settings, state, Box::new(datapath), &runtime)
}

/// Everything but the choice of a packet path.
fn serve(
    mut settings: Settings,
    state: StateDir,
    mut datapath: Box<dyn Datapath>,
    runtime: &Runtime,
) -> Result<()> {
    let _inside = runtime.enter();
    let names = Names::default();
    let feed = Feed::new(names.clone());
    let taker = feed.clone();
    if let Err(error) = datapath.events(Box::new(move |events| taker.take(events))) {
        warn!(%error, "no verdicts can be observed");
    }
    datapath.set_failsafe(&failsafe::rows(&settings.failsafe)?)?;
    let group = control::group(settings.socket_group.as_deref()).unwrap_or_else(|error| {
        warn!(error = format!("{error:#}"), "only root may use the control socket");
        settings.idle.push(format!("{error:#}: only root may use the control socket"));
        None
    });
    let listener = control::bind(&settings.socket, group)?;
    let (socket, metrics, records) = (settings.socket.clone(), settings.metrics, settings.records.clone());
    let watcher = watch::Watcher::new(settings.policies.clone());
    let hierarchy = cgroups(&settings.cgroup_root)?;
    let followed = settings.sources.clone();
    let mut engine = Engine::new(settings, datapath, state, names, feed.clone());
    let handle = engine.handle();
    feed.tell(handle.clone());
    let (devices, found) = runtime.block_on(Devices::open())?;
    if let Some((root, hierarchy)) = &hierarchy {
        engine.know_cgroups(root.clone(), hierarchy.all());
    }
    engine.start(found, devices.host());
    let known: Vec<_> = engine.containers().cloned().collect();
    let sinks = Sinks::start(&records, &feed, runtime.handle())?;
    notify::ready(&engine.summary());
    let engine = thread::Builder::new()
        .name("engine".to_owned())
        .spawn(move || engine.run())
        .context("could not start the engine's thread")?;

    let containers = handle.clone();
    let tell = move |report| containers.send(Message::Discovered(report)).is_ok();
    sources::start(&followed, &known, &(Arc::new(tell) as sources::Sink));
    let files = handle.clone();
    watch("policy files", move || {
        let mut watcher = watcher?;
        loop {
            let noticed = watcher.changed()?;
            files.send_noticed(Message::Files, noticed)?;
        }
    })?;
    if let Some((_, mut hierarchy)) = hierarchy {
        let cgroups = handle.clone();
        watch("cgroups", move || {
            loop {
                cgroups.send(Message::Cgroups(hierarchy.changed()?))?;
            }
        })?;
    }
    let clock = handle.clone();
    watch("the wall clock", move || {
        let steps = clock::Steps::new()?;
        loop {
            steps.next()?;
            clock.send(Message::ClockStepped)?;
        }
    })?;
    let links = handle.clone();
    runtime.spawn(async move {
        if let Err(error) = devices.run(links).await {
            warn!(error = format!("{error:#}"), "no longer watching network devices");
        }
    });
    runtime.spawn(signals(Signals::listen()?, handle.clone()));
    if let Some(address) = metrics {
        let tallies = feed.tallies().clone();
        runtime.spawn(telemetry::metrics::serve(address, handle.clone(), tallies, Default::default()));
    }
    runtime.spawn(control::serve(listener, handle.clone(), feed, group, control::Bounds::default()));

    let ended = engine.join();
    notify::stopping();
    // Whoever is told last hears it before the socket goes, and the last records come from the kernel.
    runtime.block_on(tokio::time::sleep(Duration::from_millis(60)));
    sinks.finish(Duration::from_secs(2));
    drop(std::fs::remove_file(socket));
    ended.map_err(|_| anyhow::anyhow!("the engine failed; what was enforced stays enforced"))
}

/// The cgroups below the root that the settings name. Where they leave it open and there is none, nobody is known by a cgroup, which `status`
/// says where somebody should be.
fn cgroups(wanted: &str) -> Result<Option<(Root, Hierarchy)>> {
    let root = match Root::find(wanted) {
        Ok(root) => root,
        Err(error) if wanted == "auto" => {
            info!(why = format!("{error:#}"), "no cgroups are watched");
            return Ok(None);
        }
        Err(error) => return Err(error.context("`cgroupRoot` can't be used")),
    };
    Ok(Some((root.clone(), Hierarchy::open(root)?)))
}

/// A thread that waits for something and tells the engine. If it fails, the daemon goes on without it, and says so.
fn watch(what: &'static str, watching: impl FnOnce() -> Result<()> + Send + 'static) -> Result<()> {
    let body = move || {
        if let Err(error) = watching() {
            warn!(error = format!("{error:#}"), "no longer watching {what}");
        }
    };
    let spawned = thread::Builder::new().name(what.to_owned()).spawn(body);
    spawned.map(drop).with_context(|| format!("could not start watching {what}"))
}

/// The signals that mean something to the daemon.
struct Signals {
    hangup: Signal,
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn listen() -> Result<Self> {
        let listen = |kind| signal(kind).context("could not listen for signals");
        Ok(Self {
            hangup: listen(SignalKind::hangup())?,
            terminate: listen(SignalKind::terminate())?,
            interrupt: listen(SignalKind::interrupt())?,
        })
    }
}

async fn signals(mut signals: Signals, handle: Handle) {
    loop {
        let message = tokio::select! {
            _ = signals.hangup.recv() => Message::Reload,
            _ = signals.terminate.recv() => Message::End,
            _ = signals.interrupt.recv() => Message::End,
        };
        let ends = matches!(message, Message::End);
        info!(ends, "received a signal");
        if handle.send(message).is_err() || ends {
            return;
        }
    }
}
