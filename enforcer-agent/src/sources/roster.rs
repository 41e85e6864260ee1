//! The containers that run, as far as they were told of.
//!
//! Reports may come late and in any order. What an older run of a container is said to have done never changes what is known of a newer
//! one ([`Generation`](super::Generation)), and of two containers with one address the newer run has it.

use super::Report;
use super::container::{Container, Key, Kind};
use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::net::IpAddr;
use std::time::{Duration, Instant};

/// A container that is said to start and never does isn't waited for any longer.
const STARTING: Duration = Duration::from_secs(60);
/// More containers than a host runs.
const AT_MOST: usize = 16_384;

/// Since when, and why, nothing is heard from an engine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Silence {
    /// RFC 3339.
    pub since: jiff::Timestamp,
    /// What happened.
    pub why: String,
}

/// What is known of an engine.
#[derive(Debug, Clone, Default)]
pub struct Engine {
    /// Whether it was ever heard by this daemon.
    pub heard: bool,
    /// Why it isn't.
    pub silence: Option<Silence>,
    /// Reports so far.
    pub reports: u64,
    /// Changes that came too fast to be looked at each.
    pub skipped: u64,
}

/// Every container that runs.
#[derive(Debug, Clone, Default)]
pub struct Roster {
    containers: BTreeMap<Key, Container>,
    starting: HashMap<Key, Instant>,
    engines: BTreeMap<Kind, Engine>,
}

impl Roster {
    /// With what was known before; nothing was heard yet.
    #[must_use]
    pub fn of(containers: Vec<Container>) -> Self {
        let mut roster = Self::default();
        for container in containers {
            roster.runs(container);
        }
        roster
    }

    /// Takes a report in; whether that changes who is where.
    pub fn take(&mut self, report: Report) -> bool {
        let kind = report.kind();
        let engine = self.engines.entry(kind).or_default();
        engine.reports += 1;
        match report {
            Report::Silent(_, why) => {
                engine.silence = Some(Silence { since: jiff::Timestamp::now(), why });
                true
            }
            Report::Skipped(_, count) => {
                engine.skipped += count;
                false
            }
            Report::Everything(_, containers) => {
                engine.heard = true;
                engine.silence = None;
                self.starting.retain(|key, _| key.kind != kind);
                // Whoever was told of runs; a newer run is never taken for an older one.
                let mut known = std::mem::take(&mut self.containers);
                self.containers = known.extract_if(.., |key, _| key.kind != kind).collect();
                for container in containers {
                    let newer =
                        known.remove(&container.key).filter(|known| known.generation > container.generation);
                    self.runs(newer.unwrap_or(container));
                }
                true
            }
            Report::Runs(container) => {
                self.starting.remove(&container.key);
                self.runs(*container)
            }
            Report::Gone(key, generation) => {
                self.starting.remove(&key);
                let gone = self.containers.get(&key).is_some_and(|known| known.generation <= generation);
                gone && self.containers.remove(&key).is_some()
            }
            Report::Starting(key) => {
                self.starting.insert(key, Instant::now());
                false
            }
            Report::Started(key) => {
                self.starting.remove(&key);
                false
            }
        }
    }

    fn runs(&mut self, container: Container) -> bool {
        match self.containers.get(&container.key) {
            Some(known) if known.generation > container.generation || *known == container => return false,
            None if self.containers.len() >= AT_MOST => return false,
            Some(_) | None => {}
        }
        self.containers.insert(container.key.clone(), container);
        true
    }

    /// Everything that runs.
    pub fn containers(&self) -> impl Iterator<Item = &Container> {
        self.containers.values()
    }

    /// A container that runs.
    #[must_use]
    pub fn get(&self, key: &Key) -> Option<&Container> {
        self.containers.get(key)
    }

    /// The newest run first.
    #[must_use]
    pub fn newest_first(&self) -> Vec<&Container> {
        let mut all: Vec<&Container> = self.containers.values().collect();
        all.sort_unstable_by_key(|container| std::cmp::Reverse(container.generation));
        all
    }

    /// What is known of an engine.
    #[must_use]
    pub fn engine(&self, kind: Kind) -> Engine {
        self.engines.get(&kind).cloned().unwrap_or_default()
    }

    /// Whether nothing is heard from an engine.
    #[must_use]
    pub fn is_silent(&self, kind: Kind) -> bool {
        self.engines.get(&kind).is_some_and(|engine| engine.silence.is_some())
    }

    /// Whether nothing is heard from any of them.
    #[must_use]
    pub fn is_any_silent(&self) -> bool {
        self.engines.values().any(|engine| engine.silence.is_some())
    }

    /// Whether a container is about to run.
    #[must_use]
    pub fn is_any_starting(&self) -> bool {
        self.starting.values().any(|since| since.elapsed() < STARTING)
    }
}

/// Who has which address: the newest run of those that claim it.
pub(super) fn holders<'a>(newest_first: impl Iterator<Item = &'a Container>) -> HashMap<IpAddr, &'a Key> {
    let mut holders = HashMap::new();
    for container in newest_first {
        for address in &container.addresses {
            holders.entry(*address).or_insert(&container.key);
        }
    }
    holders
}

impl Report {
    /// Whose it is.
    #[must_use]
    pub fn kind(&self) -> Kind {
        match self {
            Self::Everything(kind, _) | Self::Silent(kind, _) | Self::Skipped(kind, _) => *kind,
            Self::Runs(container) => container.key.kind,
            Self::Gone(key, _) | Self::Starting(key) | Self::Started(key) => key.kind,
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Everything(kind, all) => write!(f, "{}: everything, {}", kind.word(), all.len()),
            Self::Runs(one) => write!(
                f,
                "{} runs as {}: {:?}, {:?}, {:?}, {:?}, began {:?}",
                one.key, one.pid, one.network, one.addresses, one.devices, one.cgroup, one.began
            ),
            Self::Gone(key, _) => write!(f, "{key} has gone"),
            Self::Starting(key) => write!(f, "{key} is about to run"),
            Self::Started(key) => write!(f, "{key} isn't about to run any more"),
            Self::Silent(kind, why) => write!(f, "{}: silent, {}", kind.word(), why.escape_debug()),
            Self::Skipped(kind, count) => write!(f, "{}: {count} changes looked at together", kind.word()),
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::sources::{Generation, Network};

    /// A container of which only this matters.
    pub(in crate::sources) fn container(id: &str, ticks: u64, addresses: &[&str]) -> Container {
        Container {
            key: Key { kind: Kind::Docker, id: id.to_owned() },
            generation: Generation { ticks, serial: 0 },
            name: id.to_owned(),
            image: "shop:1".to_owned(),
            labels: [("app".to_owned(), id.to_owned())].into(),
            pid: u32::try_from(ticks).unwrap(),
            network: Network::Own(ticks),
            cgroup: Some(format!("/docker/{id}")),
            addresses: addresses.iter().map(|at| at.parse().unwrap()).collect(),
            devices: vec![format!("veth{ticks}")],
            began: None,
        }
    }

    fn runs(one: &Container) -> Report {
        Report::Runs(Box::new(one.clone()))
    }

    fn gone(one: &Container) -> Report {
        Report::Gone(one.key.clone(), one.generation)
    }

    #[test]
    fn e65_the_end_of_an_older_run_leaves_the_newer_one() {
        let (old, new) = (container("web", 1, &["10.0.0.2"]), container("web", 2, &["10.0.0.2"]));
        for reports in [
            vec![runs(&old), runs(&new), gone(&old)],
            vec![runs(&old), gone(&old), runs(&new)],
            vec![runs(&new), runs(&old), gone(&old)],
            vec![gone(&old), runs(&new), runs(&old)],
        ] {
            let mut roster = Roster::default();
            for report in &reports {
                roster.take(report.clone());
            }
            assert_eq!(roster.get(&new.key), Some(&new), "{reports:?}");
            assert!(roster.take(gone(&new)));
            assert_eq!(roster.containers().count(), 0);
        }
    }

    #[test]
    fn e64_an_address_belongs_to_the_newest_run_in_whatever_order_it_is_told() {
        let (old, new) = (container("old", 1, &["10.0.0.2"]), container("new", 2, &["10.0.0.2"]));
        for reports in [[runs(&old), runs(&new)], [runs(&new), runs(&old)]] {
            let mut roster = Roster::default();
            for report in reports {
                assert!(roster.take(report));
            }
            let all = roster.newest_first();
            assert_eq!(holders(all.iter().copied())[&"10.0.0.2".parse().unwrap()], &new.key);
            // The old one's end comes last, as it may.
            assert!(roster.take(gone(&old)));
            assert_eq!(holders(roster.newest_first().into_iter())[&"10.0.0.2".parse().unwrap()], &new.key);
        }
    }

    #[test]
    fn everything_means_nothing_else() {
        let (a, b, newer) = (container("a", 1, &[]), container("b", 2, &[]), container("a", 9, &[]));
        let mut elsewhere = container("c", 3, &[]);
        elsewhere.key.kind = Kind::Containerd;
        let mut roster = Roster::of(vec![b.clone(), newer.clone(), elsewhere.clone()]);
        assert!(roster.take(Report::Everything(Kind::Docker, vec![a.clone()])));
        assert_eq!(roster.containers().collect::<Vec<_>>(), [&newer, &elsewhere]);
    }

    #[test]
    fn silence_lasts_until_everything_is_told() {
        let mut roster = Roster::default();
        assert!(roster.take(Report::Silent(Kind::Docker, "gone".to_owned())));
        assert!(roster.is_silent(Kind::Docker) && !roster.is_silent(Kind::Containerd));
        assert!(!roster.engine(Kind::Docker).heard);
        roster.take(Report::Everything(Kind::Docker, Vec::new()));
        assert!(!roster.is_any_silent() && roster.engine(Kind::Docker).heard);
    }

    #[test]
    fn what_is_about_to_run_is_waited_for() {
        let web = container("web", 1, &[]);
        let mut roster = Roster::default();
        for end in [runs(&web), gone(&web), Report::Started(web.key.clone())] {
            roster.take(Report::Starting(web.key.clone()));
            assert!(roster.is_any_starting());
            roster.take(end);
            assert!(!roster.is_any_starting());
        }
    }

    #[test]
    fn the_same_again_changes_nothing() {
        let web = container("web", 1, &["10.0.0.2"]);
        let mut roster = Roster::default();
        assert!(roster.take(runs(&web)));
        assert!(!roster.take(runs(&web)));
        assert_eq!(roster.engine(Kind::Docker).reports, 2);
    }
}
