//! The generators: what they make is valid, survives being printed, and reaches every verdict.

use super::{NOW, Step, hold, scene, scene_and_probes, scene_and_steps, to_yaml};
use crate::check;
use crate::model::{AddressGroup, FlowPolicy, Origin, PolicySet, Segment, Workload};
use crate::reference::{Reason, Verdict, Word};
use crate::source::Source;
use jiff::Timestamp;
use proptest::prelude::*;
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;

const SEED: u64 = 1;

/// The set without places, which printing changes, and without what no document says.
type Placeless = (Vec<Workload>, Vec<AddressGroup>, Vec<FlowPolicy>, Vec<Segment>);

fn without_places(set: &PolicySet) -> Placeless {
    let nowhere = || Origin { file: "".into(), line: 0, column: 0 };
    let PolicySet { mut workloads, mut groups, mut policies, mut segments, .. } = set.clone();
    for workload in &mut workloads {
        workload.origin = nowhere();
        workload.set_lease(None);
    }
    groups.iter_mut().for_each(|group| group.origin = nowhere());
    segments.iter_mut().for_each(|segment| segment.origin = nowhere());
    for policy in &mut policies {
        policy.origin = nowhere();
        policy.flows.iter_mut().for_each(|entry| entry.origin = nowhere());
    }
    (workloads, groups, policies, segments)
}

#[test]
fn random_sets_survive_being_printed_and_parsed() {
    hold(SEED, 300, &scene(), |scene| {
        let text = to_yaml(&scene.set);
        let checked = check::parse(&[Source::new("random.yaml", text.as_str())], NOW);
        let errors = checked.render(crate::diagnostic::Colour::Never);
        let (set, _) = checked.into_result().map_err(|_| TestCaseError::fail(format!("{errors}\n{text}")))?;
        prop_assert_eq!(without_places(&set), without_places(&scene.set));
        Ok(())
    });
}

#[test]
fn random_sequences_go_on_past_the_end_of_leases() {
    let crossed = Cell::new(0);
    hold(SEED, 300, &scene_and_steps(40), |(scene, steps)| {
        let times = steps.iter().filter_map(|step| match step {
            Step::Packet(packet) => Some(packet.at),
            Step::Replace(_) => None,
        });
        let times: Vec<_> = times.collect();
        let ends = scene.set.workloads.iter().filter_map(|workload| Some(workload.lease.as_ref()?.until));
        let within = |end: &Timestamp| times.iter().any(|at| at < end) && times.iter().any(|at| at >= end);
        crossed.set(crossed.get() + ends.filter(within).count());
        Ok(())
    });
    assert!(crossed.get() > 50, "only {} leases end within a sequence", crossed.get());
}

#[derive(Default)]
struct Tally(RefCell<BTreeMap<String, u32>>);

impl Tally {
    fn count(&self, verdict: &Verdict<'_>) {
        let mut text = verdict.to_string();
        if let Some(end) = text.find('#') {
            text.truncate(text[..end].rfind(' ').unwrap_or(end));
            text += " rule";
        }
        *self.0.borrow_mut().entry(text).or_default() += 1;
    }

    fn expect(&self, wanted: &[&str]) {
        let counts = self.0.borrow();
        let missing: Vec<_> = wanted.iter().filter(|text| !counts.contains_key(**text)).collect();
        assert!(missing.is_empty(), "never seen: {missing:?}; seen: {counts:#?}");
    }
}

#[test]
fn random_probes_reach_every_answer() {
    let tally = Tally::default();
    hold(SEED, 2_000, &scene_and_probes(4), |(scene, probes)| {
        for probe in probes {
            let world = scene.world(probe.at);
            let path =
                world.judge_path(&world.end(probe.from), &world.end(probe.to), probe.protocol, probe.port);
            prop_assert_eq!(path.verdict.word == Word::Allowed && !path.verdict.passes, false);
            tally.count(&path.verdict);
        }
        Ok(())
    });
    tally.expect(&[
        "allowed rule",
        "allowed segment-off",
        "audited(passes) rule",
        "audited(passes) no-rule",
        "audited(dropped) rule",
        "denied rule",
        "denied no-rule",
        "denied multicast",
        "denied encap",
        "denied proto",
        "denied related-unknown",
    ]);
}

#[test]
fn random_packets_reach_every_verdict() {
    let tally = Tally::default();
    hold(SEED, 2_000, &scene_and_steps(20), |(scene, steps)| {
        let mut tracker = scene.tracker();
        for step in steps {
            match step {
                Step::Replace(set) => tracker.replace(*set),
                Step::Packet(packet) => {
                    let verdict = tracker.packet(&packet);
                    prop_assert!(verdict.is_some(), "every subject has a hook");
                    verdict.iter().for_each(|verdict| tally.count(verdict));
                }
            }
        }
        Ok(())
    });
    let reasons = [
        Reason::NoRule,
        Reason::Proto,
        Reason::Encap,
        Reason::Multicast,
        Reason::RelatedUnknown,
        Reason::State,
        Reason::TcpFlags,
        Reason::Redirect,
        Reason::Martian,
        Reason::SpoofedSource,
        Reason::ForeignDestination,
    ];
    for reason in reasons {
        tally.expect(&[&format!("denied {reason}"), &format!("audited(passes) {reason}")]);
    }
    tally.expect(&[
        "allowed related",
        "allowed segment-off",
        "allowed rule",
        "denied rule",
        "audited(dropped) rule",
    ]);
}

#[test]
fn a_failing_case_names_its_seed() {
    let failed = std::panic::catch_unwind(|| {
        hold(77, 10, &(0u32..1000), |number| {
            prop_assert!(number < 10);
            Ok(())
        });
    });
    let message = *failed.unwrap_err().downcast::<String>().unwrap();
    assert!(message.starts_with("seed 77: ") && message.ends_with("smallest case: 10"), "{message}");
}
