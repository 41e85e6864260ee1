//! Several sources as one, in the order of their times.
//!
//! Each source is read by a thread of its own, a little ahead; what comes next is the item with the earliest time among those that are next in
//! their sources. A source's own order stays as it is: what is earlier than what came before it comes at once, and so does what has no time.
//!
//! A source is opened for good when its first time is due, so that files which follow each other are open one at a time.

use crate::error::ReadError;
use crate::item::{Damage, Flow, Gap, Item, Link, Packet, Sink, Time};
use crate::read::{Options, read};
use crate::report::Summary;
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::io::{self, Read};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::{self, Scope};

/// Items and bytes of packets that a reader hands over at once.
const ITEMS: usize = 512;
const BYTES: usize = 128 << 10;

/// An input that is opened when it is due.
pub trait Input: Sync {
    /// Opens it, from its beginning.
    ///
    /// # Errors
    ///
    /// Where it can't be opened.
    fn open(&self) -> io::Result<Box<dyn Read + Send>>;

    /// Opens it to look at its first time only, where it can be opened again after that.
    fn look(&self) -> Option<io::Result<Box<dyn Read + Send>>>;
}

/// Takes what several sources say.
pub trait Sinks {
    /// One thing that the source of this number says.
    fn take(&mut self, source: usize, item: Item<'_>);

    /// The source has been read to its end.
    fn end(&mut self, source: usize, summary: &Summary);
}

/// An item without what it borrows.
enum Owned {
    /// Bytes are the next so many of the batch.
    Packet {
        time: Option<Time>,
        link: Link,
        kept: usize,
        length: u32,
    },
    Flow(Box<Flow>),
    Gap(Box<Gap>),
    Damage(Box<Damage>),
}

impl Owned {
    fn time(&self) -> Option<Time> {
        match self {
            Self::Packet { time, .. } => *time,
            Self::Flow(flow) => flow.start.or(flow.end),
            Self::Gap(_) | Self::Damage(_) => None,
        }
    }
}

#[derive(Default)]
struct Batch {
    items: Vec<Owned>,
    bytes: Vec<u8>,
}

enum Message {
    Batch(Batch),
    End(Result<Summary, ReadError>),
}

/// Collects items and hands them over in batches.
struct Writer<'a> {
    batch: Batch,
    to: SyncSender<Message>,
    stop: &'a AtomicBool,
}

impl Writer<'_> {
    fn flush(&mut self) {
        let batch = std::mem::take(&mut self.batch);
        if !batch.items.is_empty() && self.to.send(Message::Batch(batch)).is_err() {
            self.stop.store(true, Ordering::Relaxed);
        }
    }
}

impl Sink for Writer<'_> {
    fn take(&mut self, item: Item<'_>) {
        let owned = match item {
            Item::Packet(packet) => {
                self.batch.bytes.extend_from_slice(packet.bytes);
                let Packet { time, link, bytes, length } = packet;
                Owned::Packet { time, link, kept: bytes.len(), length }
            }
            Item::Flow(flow) => Owned::Flow(Box::new(flow.clone())),
            Item::Gap(gap) => Owned::Gap(Box::new(gap.clone())),
            Item::Damage(damage) => Owned::Damage(Box::new(damage.clone())),
        };
        self.batch.items.push(owned);
        if self.batch.items.len() >= ITEMS || self.batch.bytes.len() >= BYTES {
            self.flush();
        }
    }
}

/// An input that ends where nobody waits for it any more.
struct Stoppable<'a> {
    input: Box<dyn Read + Send>,
    stop: &'a AtomicBool,
}

impl Read for Stoppable<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.stop.load(Ordering::Relaxed) {
            return Err(io::Error::other("nobody waits for it any more"));
        }
        self.input.read(buffer)
    }
}

/// The first time that an input tells.
struct First<'a> {
    time: Option<Time>,
    stop: &'a AtomicBool,
}

impl Sink for First<'_> {
    fn take(&mut self, item: Item<'_>) {
        let time = match item {
            Item::Packet(packet) => packet.time,
            Item::Flow(flow) => flow.start.or(flow.end),
            Item::Gap(_) | Item::Damage(_) => None,
        };
        if self.time.is_none() && time.is_some() {
            self.time = time;
            self.stop.store(true, Ordering::Relaxed);
        }
    }
}

/// A source that is open.
struct Open {
    from: Receiver<Message>,
    batch: std::vec::IntoIter<Owned>,
    bytes: Vec<u8>,
    /// Bytes of the batch that were taken.
    taken: usize,
    next: Option<Owned>,
}

impl Open {
    fn start<'scope, 'env>(
        scope: &'scope Scope<'scope, 'env>,
        input: Box<dyn Read + Send>,
        options: &'env Options,
        stop: &'env AtomicBool,
    ) -> io::Result<Self> {
        let (to, from) = sync_channel(1);
        thread::Builder::new().name("a recording".to_owned()).spawn_scoped(scope, move || {
            let mut writer = Writer { batch: Batch::default(), to, stop };
            let result = read(Stoppable { input, stop }, options, &mut writer);
            writer.flush();
            // Where nobody waits for it, nobody needs it.
            let _ = writer.to.send(Message::End(result));
        })?;
        let (batch, bytes) = (Vec::new().into_iter(), Vec::new());
        Ok(Self { from, batch, bytes, taken: 0, next: None })
    }

    /// Takes the next item up. What the reader counted, where there is none.
    fn advance(&mut self) -> Result<Option<Summary>, ReadError> {
        loop {
            self.next = self.batch.next();
            if self.next.is_some() {
                return Ok(None);
            }
            match self.from.recv() {
                Ok(Message::Batch(batch)) => {
                    (self.batch, self.bytes, self.taken) = (batch.items.into_iter(), batch.bytes, 0);
                }
                Ok(Message::End(result)) => return result.map(Some),
                Err(_) => return Err(io::Error::other("its reader has gone").into()),
            }
        }
    }

    /// When the next item is due.
    fn due(&self) -> Time {
        self.next.as_ref().and_then(Owned::time).unwrap_or(Time::MIN)
    }

    /// Hands the next item on.
    fn hand(&mut self, source: usize, sinks: &mut dyn Sinks) {
        let Some(owned) = self.next.take() else { return };
        match &owned {
            Owned::Packet { time, link, kept, length } => {
                let bytes = &self.bytes[self.taken..self.taken + kept];
                self.taken += kept;
                let (time, link, length) = (*time, *link, *length);
                sinks.take(source, Item::Packet(Packet { time, link, bytes, length }));
            }
            Owned::Flow(flow) => sinks.take(source, Item::Flow(flow)),
            Owned::Gap(gap) => sinks.take(source, Item::Gap(gap)),
            Owned::Damage(damage) => sinks.take(source, Item::Damage(damage)),
        }
    }
}

/// Reads all inputs to their ends and hands on what they say, merged by time. `options` are each input's.
///
/// # Errors
///
/// The first input that can't be read, by number. What was read until then has been handed on.
pub fn merge(
    inputs: &[&dyn Input],
    options: &[Options],
    sinks: &mut dyn Sinks,
) -> Result<(), (usize, ReadError)> {
    let stop = AtomicBool::new(false);
    let mut due = BinaryHeap::with_capacity(inputs.len());
    for (source, (input, options)) in inputs.iter().zip(options).enumerate() {
        let first = match input.look() {
            None => Time::MIN,
            Some(Err(error)) => return Err((source, error.into())),
            Some(Ok(input)) => first(input, options),
        };
        due.push(Reverse((first, source)));
    }
    let mut open: Vec<Option<Open>> = inputs.iter().map(|_| None).collect();
    thread::scope(|scope| {
        let mut run = || {
            while let Some(Reverse((_, source))) = due.pop() {
                let fail = |error: ReadError| (source, error);
                let one = match &mut open[source] {
                    Some(one) => {
                        one.hand(source, sinks);
                        one
                    }
                    none => {
                        let input = inputs[source].open().map_err(|error| fail(error.into()))?;
                        let started = Open::start(scope, input, &options[source], &stop);
                        none.insert(started.map_err(|error| fail(error.into()))?)
                    }
                };
                // As long as nobody else is due before it, its next.
                loop {
                    if let Some(summary) = one.advance().map_err(fail)? {
                        sinks.end(source, &summary);
                        open[source] = None;
                        break;
                    }
                    let next = (one.due(), source);
                    if due.peek().is_some_and(|Reverse(other)| *other < next) {
                        due.push(Reverse(next));
                        break;
                    }
                    one.hand(source, sinks);
                }
            }
            Ok(())
        };
        let result = run();
        stop.store(true, Ordering::Relaxed);
        // Readers that wait for their batch to be taken are told that nobody will.
        open.clear();
        result
    })
}

/// The first time of an input; what is wrong with it shows when it is read.
fn first(input: Box<dyn Read + Send>, options: &Options) -> Time {
    let stop = AtomicBool::new(false);
    let mut first = First { time: None, stop: &stop };
    let _ = read(Stoppable { input, stop: &stop }, options, &mut first);
    first.time.unwrap_or(Time::MIN)
}
