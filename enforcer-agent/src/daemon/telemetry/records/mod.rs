//! Records beside what observers see: to a file, to syslog, to the journal, to a collector, as `AgentConfig.spec.records` says.
//!
//! Each has a thread of its own, which reads the feed as an observer does: what it can't write in time is lost to it, counted, and told in its own
//! lines once it can write again. So the lines of one place always add up: what was seen and what was lost is what there was.

mod file;
mod journald;
mod line;
mod otlp;
mod syslog;

use super::{SinkCounts, Tallies};
use crate::daemon::events::{Feed, Item, Observed, Subscription};
use crate::protocol::{Missed, ObserveLine};
use anyhow::Context;
use enforcer_policy::model::Records;
use file::RotatingFile;
use journald::Journal;
use line::{Kind, Line};
use otlp::Otlp;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};
use syslog::Syslog;
use tokio::runtime::Handle;
use tracing::warn;

/// Lines that are handed over in one go.
const BATCH: usize = 512;

/// Where lines go. What it has taken is written when [`Sink::take`] returns.
trait Sink: Send {
    /// As metrics and `status` name it.
    fn name(&self) -> &'static str;
    /// Writes lines in order, and says how many of them. Where that isn't all, the rest is lost.
    fn take(&mut self, lines: &[Line]) -> Taken;
}

/// What became of a batch.
#[derive(Debug, Default)]
struct Taken {
    /// The first so many were written.
    written: usize,
    /// Why not all of them.
    error: Option<std::io::Error>,
}

/// The sinks that are open.
#[derive(Debug)]
pub struct Sinks {
    feed: Feed,
    running: usize,
    ended: Receiver<()>,
}

impl Sinks {
    /// Begins to write wherever the settings say.
    pub fn start(records: &Records, feed: &Feed, runtime: &Handle) -> anyhow::Result<Self> {
        let mut sinks: Vec<Box<dyn Sink>> = Vec::new();
        if let Some(file) = &records.file {
            sinks.push(Box::new(RotatingFile::new(file.clone())));
        }
        if let Some(socket) = &records.syslog {
            sinks.push(Box::new(Syslog::new(socket.clone())));
        }
        if let Some(socket) = &records.journald {
            sinks.push(Box::new(Journal::new(socket.clone())));
        }
        if let Some(endpoint) = &records.otlp {
            sinks.push(Box::new(Otlp::new(endpoint, runtime)?));
        }
        let (ending, ended) = channel();
        let running = sinks.len();
        for sink in sinks {
            let name = sink.name();
            let writer = Writer::new(sink, feed);
            let (runtime, ending) = (runtime.clone(), ending.clone());
            let body = move || write(writer, &runtime, &ending);
            let spawned = thread::Builder::new().name(format!("records: {name}")).spawn(body);
            spawned.with_context(|| format!("could not start writing records to `{name}`"))?;
        }
        Ok(Self { feed: feed.clone(), running, ended })
    }

    /// Waits until everything that was told is written, for so long at most.
    pub fn finish(self, patience: Duration) {
        if self.running == 0 {
            return;
        }
        self.feed.end();
        let deadline = Instant::now() + patience;
        for _ in 0..self.running {
            let left = deadline.saturating_duration_since(Instant::now());
            if self.ended.recv_timeout(left) == Err(RecvTimeoutError::Timeout) {
                return warn!("the last records could not be written in time");
            }
        }
    }
}

fn write(mut writer: Writer, runtime: &Handle, ending: &Sender<()>) {
    while let Some(item) = runtime.block_on(writer.subscription.next()) {
        let mut open = writer.add(item);
        while open && writer.lines.len() < BATCH {
            match writer.subscription.at_once() {
                Some(item) => open = writer.add(item),
                None => break,
            }
        }
        writer.flush();
        if !open {
            break;
        }
    }
    // Whoever waited may be gone.
    let _ = ending.send(());
}

/// One sink, and what is on its way to it.
struct Writer {
    sink: Box<dyn Sink>,
    subscription: Subscription,
    tallies: Tallies,
    lines: Vec<Line>,
    /// What has to be told before anything else.
    missed: Missed,
}

impl Writer {
    fn new(sink: Box<dyn Sink>, feed: &Feed) -> Self {
        let (subscription, tallies) = (feed.keep(), feed.tallies().clone());
        tallies.sink(sink.name(), SinkCounts::default());
        Self { sink, subscription, tallies, lines: Vec::new(), missed: Missed::default() }
    }

    /// Whether more is to come.
    fn add(&mut self, item: Item) -> bool {
        let line = match item {
            Item::Record(Observed::End) => {
                self.missed.add(self.subscription.left_out());
                return false;
            }
            Item::Record(Observed::Judged(judged)) => {
                Line::of(Kind::Flow, &self.subscription.resolve(&judged))
            }
            Item::Record(Observed::Tampered(record)) => Line::of(Kind::Tamper, &*record),
            Item::Record(Observed::Acted(record)) => Line::of(Kind::Action, &*record),
            Item::Record(Observed::Counted(record)) => Line::of(Kind::Counts, &*record),
            Item::Missed(more) => {
                self.missed.add(more);
                let lost = self.subscription.take_lagged();
                self.tallies.sink(self.sink.name(), SinkCounts { written: 0, lost });
                return true;
            }
        };
        self.lines.push(line);
        true
    }

    /// Hands over what is there. What isn't taken is lost, and told as soon as something is taken again.
    fn flush(&mut self) {
        if self.missed != Missed::default() {
            self.lines.insert(0, Line::of(Kind::Missed, &ObserveLine::missed(self.missed)));
        }
        if self.lines.is_empty() {
            return;
        }
        let Taken { written, error } = self.sink.take(&self.lines);
        let written = written.min(self.lines.len());
        if written > 0 {
            // The first line told of it.
            self.missed = Missed::default();
        }
        let lost = self.lines.iter().skip(written).filter(|line| line.kind == Kind::Flow).count() as u64;
        self.missed.lost += lost;
        self.tallies.sink(self.sink.name(), SinkCounts { written: written as u64, lost });
        let name = self.sink.name();
        let trouble = error.map(|error| format!("records can't be written to `{name}`: {error}"));
        let said = trouble.clone();
        if self.tallies.trouble(name, trouble)
            && let Some(trouble) = said
        {
            warn!("{trouble}");
        }
        self.lines.clear();
    }
}

#[cfg(test)]
mod tests;
