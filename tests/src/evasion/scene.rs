//! Where the cases play: three workloads, each behind its hook, and a policy set.
//!
//! `web` is the attacker in most cases. As the scene begins it may reach `checkout` on tcp/443, and nobody may do anything else.

use std::time::Duration;

use enforcer_policy::compile::{Except, Quarantine};
use serde::{Deserialize, Serialize};

use super::judges::{Attested, Judge};
use crate::policy;

/// Addresses of both families.
pub(super) type Ends = [&'static str; 2];
/// The first workload: the attacker.
pub(super) const WEB: Ends = ["10.77.0.10", "fd77::10"];
/// The second: its victim, and the one it may talk to.
pub(super) const CHECKOUT: Ends = ["10.77.0.20", "fd77::20"];
/// The third.
pub(super) const LEDGER: Ends = ["10.77.0.30", "fd77::30"];
/// The machine all of them are on.
pub(super) const HOST: Ends = ["10.77.0.1", "fd77::1"];
/// Nobody known.
pub(super) const OUTSIDE: Ends = ["192.0.2.9", "2001:db8::9"];

/// Everything that a rule can allow.
pub(super) const EVERYTHING: &str = "{entity: all} -> {entity: all} any";

/// Whose hook, and which way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    /// Number of the workload.
    pub(super) who: usize,
    /// It sends, rather than receives.
    pub(super) sends: bool,
}

/// What a packet meets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// A rule lets it pass.
    Allowed,
    /// It passes for this reason, under no rule.
    Passes(&'static str),
    /// It is dropped for this reason (its finer name).
    Denied(&'static str),
    /// A rule drops it.
    DeniedByRule,
}

/// What a packet met.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// It went on.
    pub passes: bool,
    /// The reason's finer name; `None` where a rule decided.
    pub reason: Option<&'static str>,
}

/// What came of one packet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    /// What was sent.
    pub note: String,
    /// In words.
    pub expected: String,
    /// In words; `None` where this level can't make such a packet.
    pub seen: Option<String>,
}

impl std::fmt::Display for Verdict {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Allowed => f.write_str("allowed"),
            Self::Passes(reason) => write!(f, "{reason} passes"),
            Self::Denied(reason) => f.write_str(reason),
            Self::DeniedByRule => f.write_str("denied by a rule"),
        }
    }
}

impl std::fmt::Display for Seen {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match (self.passes, self.reason) {
            (true, None) => f.write_str("allowed"),
            (false, None) => f.write_str("denied by a rule"),
            (true, Some(reason)) => write!(f, "{reason} passes"),
            (false, Some(reason)) => f.write_str(reason),
        }
    }
}

/// A scene under way.
pub struct Scene<'a> {
    judge: &'a mut dyn Judge,
    steps: Vec<Step>,
}

impl std::fmt::Debug for Scene<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Scene").field("steps", &self.steps).finish_non_exhaustive()
    }
}

impl<'a> Scene<'a> {
    /// Begins: nothing has been sent yet.
    pub(super) fn new(judge: &'a mut dyn Judge) -> Self {
        judge.begin();
        let mut scene = Self { judge, steps: Vec::new() };
        scene.rules(&["web -> checkout tcp/443"]);
        scene
    }

    /// Puts these rules in force instead of those before, each as [`policy`] takes them.
    pub(super) fn rules(&mut self, flows: &[&str]) {
        let rules = if flows.is_empty() { String::new() } else { policy("rules", "", flows) };
        self.documents(&workloads(), &rules);
    }

    /// Puts a policy set in force instead of the one before: the workloads that are there, and other documents.
    pub(super) fn documents(&mut self, workloads: &str, rest: &str) {
        self.judge.install(&format!("{workloads}{rest}"));
    }

    /// Cuts workloads off, and nobody else. Each with whom it may be reached by, and at which port.
    pub(super) fn quarantines(&mut self, held: &[(&str, Option<(&str, &str)>)]) {
        self.hold(held, u64::MAX);
    }

    /// The same, as it is once its time is over.
    pub(super) fn quarantined_long_ago(&mut self, workload: &str) {
        self.hold(&[(workload, None)], 1);
    }

    fn hold(&mut self, held: &[(&str, Option<(&str, &str)>)], deadline: u64) {
        let held: Vec<Quarantine> = held
            .iter()
            .map(|(workload, except)| Quarantine {
                workload: (*workload).to_owned(),
                deadline,
                except: except.map(|(from, port)| Except {
                    from: enforcer_agent::selection::parse(from).expect("an end"),
                    port: port.parse().expect("a port"),
                }),
            })
            .collect();
        self.judge.hold(&held);
    }

    /// Has one label attested of web for as long, and nothing else of anybody.
    pub(super) fn attests(&mut self, label: (&str, &str), term: Duration) {
        self.judge.attest(&[Attested::new("web", label, term)]);
    }

    /// Lets time pass by the clock of deadlines; to flows it is none.
    pub(super) fn waits(&mut self, time: Duration) {
        self.judge.wait(time);
    }

    /// Lets as much time pass without a packet.
    pub(super) fn idle(&mut self, time: Duration) {
        self.judge.idle(time);
    }

    /// Tells the hooks the hardware address behind each of them.
    pub(super) fn know_hardware(&mut self, mac: [u8; 6]) {
        self.judge.know_hardware(mac);
    }

    /// A packet that web sends.
    pub(super) fn sends(&mut self, note: &str, frame: &[u8], verdict: Verdict) {
        self.at(Place { who: 0, sends: true }, note, frame, verdict);
    }

    /// A frame that ends early, which web sends: denied for one of two reasons.
    pub(super) fn sends_cut(&mut self, note: &str, frame: &[u8]) {
        let seen = self.judge.judge(Place { who: 0, sends: true }, frame).map(|seen| seen.to_string());
        let expected = match &seen {
            Some(seen) if seen == "malformed" => "malformed",
            _ => "short",
        };
        self.steps.push(Step { note: note.to_owned(), expected: expected.to_owned(), seen });
    }

    /// A packet that web receives.
    pub(super) fn gets(&mut self, note: &str, frame: &[u8], verdict: Verdict) {
        self.at(Place { who: 0, sends: false }, note, frame, verdict);
    }

    /// A packet that checkout sends.
    pub(super) fn checkout_sends(&mut self, note: &str, frame: &[u8], verdict: Verdict) {
        self.at(Place { who: 1, sends: true }, note, frame, verdict);
    }

    /// A packet that checkout receives.
    pub(super) fn checkout_gets(&mut self, note: &str, frame: &[u8], verdict: Verdict) {
        self.at(Place { who: 1, sends: false }, note, frame, verdict);
    }

    /// A packet that ledger sends.
    pub(super) fn ledger_sends(&mut self, note: &str, frame: &[u8], verdict: Verdict) {
        self.at(Place { who: 2, sends: true }, note, frame, verdict);
    }

    /// A packet that ledger receives.
    pub(super) fn ledger_gets(&mut self, note: &str, frame: &[u8], verdict: Verdict) {
        self.at(Place { who: 2, sends: false }, note, frame, verdict);
    }

    /// A packet that web sends, one of so many that nobody looks at each.
    pub(super) fn floods(&mut self, frame: &[u8]) {
        self.judge.flood(frame);
    }

    /// Packets that web sends, each denied for this reason.
    pub(super) fn denied(&mut self, reason: &'static str, frames: &[(&str, Vec<u8>)]) {
        for (note, frame) in frames {
            self.sends(note, frame, Verdict::Denied(reason));
        }
    }

    /// Packets that web sends, each allowed by a rule.
    pub(super) fn allowed(&mut self, frames: &[(&str, Vec<u8>)]) {
        for (note, frame) in frames {
            self.sends(note, frame, Verdict::Allowed);
        }
    }

    /// Opens web's connection to checkout on both hooks: SYN, SYN+ACK, ACK.
    pub(super) fn connects(&mut self, family: usize, ports: (u16, u16)) {
        let back = (ports.1, ports.0);
        for (note, outward, flags) in [("SYN", true, 2), ("SYN+ACK", false, 18), ("ACK", true, 16)] {
            if outward {
                let frame = crate::forge::tcp(WEB[family], CHECKOUT[family], ports, flags);
                self.sends(note, &frame, Verdict::Allowed);
                self.checkout_gets(note, &frame, Verdict::Allowed);
            } else {
                let frame = crate::forge::tcp(CHECKOUT[family], WEB[family], back, flags);
                self.checkout_sends(note, &frame, Verdict::Allowed);
                self.gets(note, &frame, Verdict::Allowed);
            }
        }
    }

    fn at(&mut self, place: Place, note: &str, frame: &[u8], verdict: Verdict) {
        let seen = self.judge.judge(place, frame).map(|seen| seen.to_string());
        self.steps.push(Step { note: note.to_owned(), expected: verdict.to_string(), seen });
    }

    /// What came of each packet.
    pub(super) fn end(self) -> Vec<Step> {
        self.steps
    }
}

/// The scene's workloads as documents.
pub(super) fn workloads() -> String {
    [("web", WEB), ("checkout", CHECKOUT), ("ledger", LEDGER)]
        .map(|(name, addresses)| workload(name, name, &addresses))
        .concat()
}

/// A Workload document.
pub(super) fn workload(name: &str, app: &str, addresses: &[&str]) -> String {
    format!(
        "---\napiVersion: enforcer.dev/v1alpha1\nkind: Workload\nmetadata: {{name: {name}}}\nspec:\n  \
         labels: {{app: {app}}}\n  match: [{{interface: ve-{name}}}]\n  addresses: {addresses:?}\n"
    )
}
