//! The results as tables.

use std::fmt::Write as _;

use serde_json::json;

/// A kind of packet under one policy set.
pub(crate) struct Packet {
    pub(crate) what: String,
    pub(crate) policies: &'static str,
    pub(crate) nanoseconds: f64,
    pub(crate) empty: f64,
    pub(crate) ratio: f64,
}

/// A change of what is in the maps, in milliseconds.
pub(crate) struct Change {
    pub(crate) what: &'static str,
    /// From call to return.
    pub(crate) wall: f64,
    /// On a CPU.
    pub(crate) busy: f64,
}

/// Everything that was measured.
#[derive(Default)]
pub(crate) struct Report {
    pub(crate) packets: Vec<Packet>,
    pub(crate) maps: Vec<Change>,
}

impl Report {
    pub(crate) fn markdown(&self) -> String {
        let mut text =
            "| packet | policies | ns | empty program | ratio |\n| --- | --- | --- | --- | --- |\n"
                .to_owned();
        for Packet { what, policies, nanoseconds, empty, ratio } in &self.packets {
            writeln!(text, "| {what} | {policies} | {nanoseconds:.1} | {empty:.1} | {ratio:.1} |")
                .expect("strings take everything");
        }
        text += "\n| maps | ms | of them on a CPU |\n| --- | --- | --- |\n";
        for Change { what, wall, busy } in &self.maps {
            writeln!(text, "| {what} | {wall:.3} | {busy:.3} |").expect("strings take everything");
        }
        text
    }

    pub(crate) fn json(&self) -> String {
        let packets = self.packets.iter().map(|packet| {
            json!({
                "packet": packet.what,
                "policies": packet.policies,
                "nanoseconds": packet.nanoseconds,
                "emptyNanoseconds": packet.empty,
                "ratio": packet.ratio,
            })
        });
        let maps = self
            .maps
            .iter()
            .map(|Change { what, wall, busy }| json!({ "what": what, "milliseconds": wall, "onCpu": busy }));
        let report = json!({
            "schema": "enforcer.bench-kernel/v1",
            "packets": packets.collect::<Vec<_>>(),
            "maps": maps.collect::<Vec<_>>(),
        });
        format!("{report:#}\n")
    }
}
