//! Level 1 of the ladder: the dry run on captured packets, held against the reference evaluator at every hook on their paths.
//!
//! `ENFORCER_SEED` repeats a run, `ENFORCER_CASES` sets its length.

use enforcer_audit::{At, Audit, Ruling, Setting};
use enforcer_common::Word;
use enforcer_flows::{Link, Packet as Captured};
use enforcer_policy::compile::{Clock, Compiled, Inputs, Numbers, compile};
use enforcer_policy::reference::{Cause, Direction, Packet, Reason, Tracker, Verdict, has_hook};
use enforcer_policy::testing::{NOW, Scene, Step, frame, hold, scene_and_steps};
use jiff::{SignedDuration, Timestamp};
use proptest::prelude::*;
use std::cell::Cell;

const STEPS: usize = 20;

/// Reasons for which a packet is denied whatever the rules say; of several, one is named, and which isn't promised.
const FAULTS: [&str; 6] =
    ["multicast", "martian", "spoofed-source", "foreign-destination", "tcp-flags", "redirect"];

fn number(name: &str) -> Option<u64> {
    std::env::var(name)
        .ok()
        .map(|text| text.parse().unwrap_or_else(|_| panic!("`{name}` is no number: `{text}`")))
}

/// What the reference says at every hook that a captured packet passes, by the addresses it carries.
fn by_reference(scene: &Scene, tracker: &mut Tracker, packet: &Packet) -> Option<(String, bool)> {
    let mut seen: Vec<(String, bool, bool)> = Vec::new();
    for (direction, at) in [(Direction::Egress, packet.source), (Direction::Ingress, packet.destination)] {
        let mut workloads = scene.set.workloads.iter();
        let Some(owner) = workloads.find(|workload| has_hook(workload) && workload.addresses.contains(&at))
        else {
            continue;
        };
        let packet = Packet { subject: owner.name.clone(), direction, ..packet.clone() };
        let Some(verdict) = tracker.packet(&packet) else { continue };
        let off = verdict.cause == Cause::Reason(Reason::SegmentOff);
        let text = told(&verdict);
        if !verdict.passes {
            return Some((text, false));
        }
        seen.push((text, verdict.passes, off));
    }
    if let Some((related, passes, _)) = seen.iter().find(|(text, ..)| text == "related") {
        return Some((related.clone(), *passes));
    }
    let audited = seen.iter().find(|(text, ..)| text.starts_with("audited"));
    let judged = audited.or_else(|| seen.iter().find(|(_, _, off)| !off)).or(seen.first());
    judged.map(|(text, passes, _)| (text.clone(), *passes))
}

fn told(verdict: &Verdict<'_>) -> String {
    // The reference has one reason for errors about open flows; the verdict function cites the flow's own cause.
    if verdict.cause == Cause::Reason(Reason::Related) { "related".to_owned() } else { verdict.to_string() }
}

fn by_audit(compiled: &Compiled, ruling: Ruling) -> String {
    let cause = match (ruling.cause.as_rule(), ruling.cause.as_reason()) {
        (Some(rule), _) => compiled.rule(rule).map_or_else(|| format!("rule {rule}?"), |rule| rule.name()),
        (None, reason) => reason.map_or_else(|| "?".to_owned(), |reason| reason.word().to_owned()),
    };
    match (ruling.word, ruling.passes) {
        (Word::Audited, true) => format!("audited(passes) {cause}"),
        (Word::Audited, false) => format!("audited(dropped) {cause}"),
        (word, _) => format!("{} {cause}", word.word()),
    }
}

fn is_same(level0: &str, level1: &str) -> bool {
    let fault = |text: &str| {
        text.rsplit_once(' ').is_some_and(|(_, cause)| FAULTS.contains(&cause) || cause == "state")
    };
    let word = |text: &str| text.split(' ').next().map(str::to_owned);
    level0 == level1
        || level0 == "related"
        || fault(level0) && fault(level1) && !level0.ends_with(" state") && word(level0) == word(level1)
}

/// Plays packets to both; how many were judged.
fn play(scene: &Scene, steps: &[Step], at: Timestamp) -> Result<u64, String> {
    let mut setting = Setting::new(scene.set.clone(), at);
    setting.host = scene.hosts.clone();
    setting.default_mode = scene.default_mode;
    (setting.at, setting.from_start, setting.keep_repeats) = (At::Instant(at), true, true);
    let mut audit = Audit::new(setting).map_err(|error| error.to_string())?;
    let clock = Clock { now: at, boot_ns: 0 };
    let inputs = Inputs { set: &scene.set, host: &scene.hosts, default_mode: scene.default_mode, clock };
    let compiled = compile(&inputs, &mut Numbers::default()).map_err(|error| error.to_string())?;
    let mut tracker = scene.tracker();
    let mut judged = 0;
    for step in steps {
        let Step::Packet(packet) = step else { continue };
        // Nothing times out in the reference: the recording has no times, and policies stand at one instant.
        let packet = Packet { at, ..packet.clone() };
        let bytes = frame(&packet);
        let captured =
            Captured { time: None, link: Link::Ethernet, bytes: &bytes, length: bytes.len() as u32 };
        let said = audit.packet(&captured);
        match (said, by_reference(scene, &mut tracker, &packet)) {
            (None, None) => {}
            (Some(ruling), Some((level0, passes))) => {
                let level1 = by_audit(&compiled, ruling);
                if ruling.passes != passes || !is_same(&level0, &level1) {
                    return Err(format!(
                        "the dry run says `{level1}`, level 0 says `{level0}` of {packet:?}"
                    ));
                }
                judged += 1;
            }
            (said, level0) => {
                return Err(format!("judged on one side only: {said:?}, {level0:?}: {packet:?}"));
            }
        }
    }
    let report = audit.report().map_err(|error| error.to_string())?;
    let totals = &report.totals;
    let counted = totals.judged
        + totals.unjudged
        + totals.neighbours.passed
        + totals.neighbours.unjudged
        + totals.neighbours.denied.values().sum::<u64>();
    let packets = report.groups.iter().map(|group| group.traffic.figures.packets).sum::<u64>();
    if counted != totals.packets || packets != totals.judged + totals.unjudged {
        return Err(format!("{packets} packets in groups: {totals:?}"));
    }
    Ok(judged)
}

#[test]
fn e110_the_dry_run_says_of_random_packets_what_the_reference_says() {
    let seed = number("ENFORCER_SEED").unwrap_or_else(|| NOW.as_second() as u64);
    let cases = number("ENFORCER_CASES").unwrap_or(10_000) as u32 / STEPS as u32;
    println!("seed {seed}: {cases} recordings of {STEPS} packets");
    let judged = Cell::new(0);
    let offset = prop::sample::select(vec![-3_601_i64, -1, 0, 2, 100, 4_000]);
    hold(seed, cases, &(scene_and_steps(STEPS), offset), |((scene, steps), offset)| {
        let at = NOW + SignedDuration::from_secs(offset);
        let now = play(&scene, &steps, at).map_err(TestCaseError::fail)?;
        judged.set(judged.get() + now);
        Ok(())
    });
    assert!(judged.get() > u64::from(cases), "only {} packets met a hook", judged.get());
}
