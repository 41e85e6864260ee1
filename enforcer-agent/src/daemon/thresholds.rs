//! Workloads that do too much of what hardly any workload does: open flows that are denied, or flows to many addresses. Counted from the records
//! of verdicts, so what the kernel leaves out of these (see `suppressed`) isn't counted here either; and never in the packet path.

use super::engine::{Handle, Message};
use enforcer_common::Word;
use enforcer_common::event::FlowEvent;
use enforcer_common::maps::Direction;
use enforcer_policy::model::Threshold;
use std::collections::hash_map::Entry;
use std::collections::{HashMap, VecDeque};
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// A workload that is counted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Watched {
    /// `metadata.name`.
    pub(super) workload: String,
    /// The Segment whose threshold it is.
    pub(super) segment: String,
    pub(super) threshold: Threshold,
}

/// What was exceeded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exceeded {
    /// `metadata.name`.
    pub workload: String,
    /// The Segment whose threshold it is.
    pub segment: String,
    /// In words.
    pub why: String,
}

/// Distinct things of late; those that are too old don't count.
#[derive(Debug)]
struct Recent<K> {
    seen: HashMap<K, u64>,
    order: VecDeque<(u64, K)>,
}

impl<K> Default for Recent<K> {
    fn default() -> Self {
        Self { seen: HashMap::new(), order: VecDeque::new() }
    }
}

impl<K: Copy + Eq + Hash> Recent<K> {
    /// How many there are with this one, of those not older than `within` nanoseconds. Never more than `most` and one are kept.
    fn add(&mut self, key: K, now: u64, within: u64, most: u32) -> usize {
        while let Some((at, old)) = self.order.front().copied() {
            if now.saturating_sub(at) < within && self.order.len() <= most as usize {
                break;
            }
            self.order.pop_front();
            if self.seen.get(&old) == Some(&at) {
                self.seen.remove(&old);
            }
        }
        if let Entry::Vacant(new) = self.seen.entry(key) {
            new.insert(now);
            self.order.push_back((now, key));
        }
        self.seen.len()
    }
}

/// Who opened a flow from which port, to whom, how.
type Flow = ([u32; 4], u16, u16, u8);

#[derive(Debug)]
struct Counted {
    watched: Watched,
    denied: Recent<Flow>,
    destinations: Recent<[u32; 4]>,
    /// What was told is told again only after as long as is counted.
    quiet_until: u64,
}

impl Counted {
    fn new(watched: Watched) -> Self {
        Self { watched, denied: Recent::default(), destinations: Recent::default(), quiet_until: 0 }
    }

    /// Why the threshold is exceeded, if it is with this record.
    fn count(&mut self, event: &FlowEvent) -> Option<String> {
        let Threshold { denied, new_destinations, within, .. } = self.watched.threshold;
        let span = within.saturating_mul(1_000_000_000);
        let refused = event.word == Word::Denied as u8;
        let opens = event.flags & FlowEvent::NEW != 0;
        let mut why = None;
        if let Some(most) = denied.filter(|_| refused) {
            let flow = (event.destination, event.source_port, event.destination_port, event.protocol);
            if self.denied.add(flow, event.time, span, most) > most as usize {
                why = Some(format!("more than {most} denied flows within {within} s"));
            }
        }
        if let Some(most) = new_destinations.filter(|_| refused || opens)
            && self.destinations.add(event.destination, event.time, span, most) > most as usize
        {
            why = Some(format!("flows to more than {most} addresses within {within} s"));
        }
        if event.time < self.quiet_until {
            return None;
        }
        if why.is_some() {
            self.quiet_until = event.time.saturating_add(span);
        }
        why
    }
}

/// Everything that is counted, by identity number; shared by the engine, which says who is, and the records.
#[derive(Debug, Default, Clone)]
pub(super) struct Thresholds(Arc<Mutex<HashMap<u32, Vec<Counted>>>>);

impl Thresholds {
    /// Counts these from now on. What is counted already goes on being counted.
    pub(super) fn watch(&self, all: Vec<(u32, Watched)>) {
        let mut known = self.lock();
        let mut before = std::mem::take(&mut *known);
        for (identity, watched) in all {
            let place = before.get_mut(&identity);
            let same = place.and_then(|counted| {
                let at = counted.iter().position(|one| one.watched == watched)?;
                Some(counted.swap_remove(at))
            });
            known.entry(identity).or_default().push(same.unwrap_or_else(|| Counted::new(watched)));
        }
    }

    /// Counts records, and tells the engine of what is too much.
    pub(super) fn take(&self, events: &[FlowEvent], engine: Option<&Handle>) {
        let mut known = self.lock();
        if known.is_empty() {
            return;
        }
        for event in events.iter().filter(|event| event.direction == Direction::Egress as u8) {
            for counted in known.get_mut(&event.identity).into_iter().flatten() {
                let Some(why) = counted.count(event) else { continue };
                let Watched { workload, segment, .. } = counted.watched.clone();
                // An engine that has ended does nothing about it.
                let _ =
                    engine.map(|engine| engine.send(Message::Exceeded(Exceeded { workload, segment, why })));
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<u32, Vec<Counted>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use enforcer_policy::model::ThresholdAction;

    const SECOND: u64 = 1_000_000_000;

    fn counted(denied: Option<u32>, new_destinations: Option<u32>) -> Counted {
        let action = ThresholdAction::Report;
        Counted::new(Watched {
            workload: "web".to_owned(),
            segment: "all".to_owned(),
            threshold: Threshold { denied, new_destinations, within: 10, action, term: None },
        })
    }

    fn event(second: u64, to: u32, port: u16, word: Word) -> FlowEvent {
        let flags = if word == Word::Allowed { FlowEvent::NEW } else { 0 };
        let destination = [to, 0, 0, 0];
        FlowEvent {
            time: second * SECOND,
            destination,
            source_port: port,
            word: word as u8,
            flags,
            ..FlowEvent::default()
        }
    }

    #[test]
    fn denied_flows_count_once_each_and_for_as_long_as_is_said() {
        let mut web = counted(Some(3), None);
        for _ in 0..10 {
            assert_eq!(web.count(&event(1, 1, 1, Word::Denied)), None, "the same flow again");
        }
        assert_eq!(web.count(&event(2, 1, 2, Word::Denied)), None);
        assert_eq!(web.count(&event(3, 1, 3, Word::Denied)), None);
        assert_eq!(web.count(&event(11, 1, 4, Word::Denied)), None, "the first is too long ago");
        let why = web.count(&event(11, 1, 5, Word::Denied)).unwrap();
        assert_eq!(why, "more than 3 denied flows within 10 s");
        assert_eq!(web.count(&event(12, 1, 6, Word::Denied)), None, "told a moment ago");
    }

    #[test]
    fn destinations_count_once_each_whatever_becomes_of_the_flow() {
        let mut web = counted(None, Some(2));
        for port in 0..50 {
            assert_eq!(web.count(&event(1, 1, port, Word::Allowed)), None);
        }
        assert_eq!(web.count(&event(1, 2, 1, Word::Denied)), None);
        assert_eq!(
            web.count(&event(2, 3, 1, Word::Allowed)).unwrap(),
            "flows to more than 2 addresses within 10 s"
        );
    }

    #[test]
    fn what_is_kept_is_bounded() {
        let mut recent = Recent::default();
        for key in 0..100_000_u32 {
            assert!(recent.add(key, 1, 10, 100) <= 102);
        }
        assert!(recent.order.len() <= 102);
    }
}
