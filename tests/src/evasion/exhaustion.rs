//! E91 to E97: full tables, hidden denials, hostile names and files.

use enforcer_common::packet::flags::ACK;

use super::Verdict::Allowed;
use super::attack::{Attack, cases};
use super::scene::{CHECKOUT, LEDGER, Scene, WEB};
use crate::forge::{tcp, udp};

const FLOW: (u16, u16) = (40_000, 443);

pub(super) fn attacks() -> Vec<Attack> {
    vec![
        Attack::new(
            "E91",
            "One workload floods the flow table",
            "its excess is `flow-quota`; nobody else notices; never fails open",
        )
        .cases(cases![e91_e92_a_flood_takes_its_own_share_and_no_established_flow]),
        Attack::new("E92", "New flows push out a victim's", "established flows stay"),
        Attack::new(
            "E93",
            "More rules, or ports, or addresses than the maps hold",
            "refused before anything is written; the old generation stays",
        ),
        Attack::new(
            "E94",
            "Labels that change faster than they can be followed",
            "bounded, counted; an unknown identity is denied",
        )
        .waits("Kubernetes sources"),
        Attack::new(
            "E95",
            "A flood of events to hide one denial",
            "counters are exact; what is lost is counted; the sum is right",
        ),
        Attack::new(
            "E96",
            "Newlines, escape sequences, quotes, ten megabytes of label in a name",
            "escaped and bounded wherever shown",
        ),
        Attack::new(
            "E97",
            "Files with unknown fields, `ingres`, duplicate keys, alias bombs, port 65536, reversed ranges",
            "an error with line and column",
        ),
    ]
}

fn e91_e92_a_flood_takes_its_own_share_and_no_established_flow(scene: &mut Scene<'_>) {
    scene.rules(&["web -> checkout tcp/443", "web -> checkout udp", "ledger -> checkout udp"]);
    for family in [0, 1] {
        scene.connects(family, FLOW);
    }
    let one = |number: u32| {
        let ports = (2_000 + (number / 1_000) as u16, 2_000 + (number % 1_000) as u16);
        udp(WEB[0], CHECKOUT[0], ports, b"")
    };
    // More than one workload's share of what is kept for flows that nobody has answered. Where it ends depends on the clock here.
    for number in 0..20_000 {
        scene.floods(&one(number));
    }
    for family in [0, 1] {
        scene.sends("an established flow", &tcp(WEB[family], CHECKOUT[family], FLOW, ACK), Allowed);
        scene.gets("both ways", &tcp(CHECKOUT[family], WEB[family], (443, 40_000), ACK), Allowed);
        let other = udp(LEDGER[family], CHECKOUT[family], FLOW, b"x");
        scene.ledger_sends("another workload's new flow", &other, Allowed);
    }
}
