//! One set's tables beside the reference.

pub(crate) mod case;
pub(crate) mod world;

use enforcer_policy::reference::{Cause, Direction, Packet, Payload, Reason, TcpFlags, Verdict};
use enforcer_policy::testing::{Probe, Scene, Step};
use world::{Compiled1, Variant};

/// Reasons for which a packet is denied at the boundary, whatever the rules say.
const FAULTS: [&str; 7] =
    ["multicast", "martian", "spoofed-source", "foreign-destination", "tcp-flags", "redirect", "state"];

/// What level 1 and level 0 say of a packet must be the same.
fn compare(packet: &Packet, level1: &str, passes: bool, level0: &Verdict<'_>) -> Result<(), String> {
    // The reference has one reason for errors about open flows; the verdict function cites the flow's own cause.
    let related = level0.cause == Cause::Reason(Reason::Related);
    // A packet with several faults has one of their reasons: the language doesn't order them. A missing flow is the last fault.
    let fault = |text: &str| text.rsplit_once(' ').is_some_and(|(_, cause)| FAULTS.contains(&cause));
    let shown = level0.to_string();
    let word = |text: &str| text.split(' ').next().map(str::to_owned);
    let faulty = fault(level1) && fault(&shown) && !shown.ends_with(" state") && word(level1) == word(&shown);
    let same = if related || faulty { passes == level0.passes } else { level1 == shown };
    if same { Ok(()) } else { Err(format!("level 1 says `{level1}`, level 0 says `{level0}` of {packet:?}")) }
}

/// Holds the opening packet of each probe, at every hook on its path, against the reference.
pub(crate) fn probes(scene: &Scene, probes: &[Probe], variant: Variant) -> Result<(), String> {
    let mut at = None;
    let mut probes: Vec<Probe> = probes.to_vec();
    probes.sort_by_key(|probe| probe.at);
    for probe in &probes {
        if at.is_none() {
            at = Some(Compiled1::new(scene, probe.at, variant)?);
        }
        let Some(level1) = &mut at else { continue };
        for (direction, own) in [(Direction::Egress, probe.from), (Direction::Ingress, probe.to)] {
            for workload in &scene.set.workloads {
                let group = direction == Direction::Ingress && enforcer_policy::reference::is_multicast(own);
                if !group && !workload.addresses.contains(&own) {
                    continue;
                }
                let packet = Packet {
                    at: probe.at,
                    subject: workload.name.clone(),
                    direction,
                    source: probe.from,
                    destination: probe.to,
                    payload: payload(probe),
                };
                let Some(level0) = scene.tracker().packet(&packet).map(|verdict| verdict.to_string()) else {
                    continue;
                };
                let mut fresh = level1.clone();
                let Some((said, passes)) = fresh.judge(&packet) else { continue };
                if said != level0 {
                    return Err(format!(
                        "level 1 says `{said}` ({passes}), level 0 says `{level0}` of {packet:?}"
                    ));
                }
            }
        }
    }
    Ok(())
}

fn payload(probe: &Probe) -> Payload {
    let [kind, code] = probe.port.to_be_bytes();
    match probe.protocol {
        6 => Payload::Tcp { sport: 40_000, dport: probe.port, flags: TcpFlags::SYN },
        17 | 132 => Payload::Ports { protocol: probe.protocol, sport: 40_000, dport: probe.port },
        1 | 58 => Payload::Icmp { kind, code, id: 7, quoted: None },
        other => Payload::Other(other),
    }
}

/// Holds a sequence of packets and changes against the reference.
pub(crate) fn steps(scene: &Scene, steps: &[Step], variant: Variant) -> Result<(), String> {
    let first = steps.iter().find_map(|step| match step {
        Step::Packet(packet) => Some(packet.at),
        Step::Replace(_) => None,
    });
    let mut now = first.unwrap_or(enforcer_policy::testing::NOW);
    let mut level1 = Compiled1::new(scene, now, variant)?;
    let mut level0 = scene.tracker();
    for step in steps {
        match step {
            Step::Replace(set) => {
                level0.replace((**set).clone());
                let scene = Scene { set: (**set).clone(), ..scene.clone() };
                level1.replace(&scene, now)?;
            }
            Step::Packet(packet) => {
                now = packet.at;
                let said = level1.judge(packet);
                match (said, level0.packet(packet)) {
                    (Some((said, passes)), Some(verdict)) => compare(packet, &said, passes, &verdict)?,
                    (None, None) => {}
                    (said, verdict) => return Err(format!("a hook on one side only: {said:?}, {verdict:?}")),
                }
            }
        }
    }
    Ok(())
}
