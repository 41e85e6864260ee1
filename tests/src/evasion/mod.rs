//! The attack table: what must not slip past, and what holds it back.
//!
//! [`catalogue`] is the one list: each attack with its id, its expected verdict, and its *cases*, which are packets in order with what
//! each of them has to meet. The same cases run through the tables in memory (`level1_evasion`) and through the kernel programs
//! (`level2_evasion`), each as a test of its own name. Tests of other levels and packages belong to an attack by their
//! names: `e16_e17_…` shows both E16 and E17. `cargo xtask evasion` puts all of them side by side and writes `docs/EVASION.md`.

mod attack;
mod chains;
mod exhaustion;
mod fragments;
mod framing;
mod harness;
mod icmp;
mod identity;
mod judges;
mod lifecycle;
mod neighbours;
mod own_framing;
mod own_neighbours;
mod own_network;
mod own_state;
mod own_transport;
mod paths;
mod results;
mod scene;
mod state;
mod table;

pub use attack::{Attack, Case};
pub use harness::{Level, run};
pub use results::{Outcome, Results, ids};
pub use scene::{Scene, Seen, Step, Verdict};
pub use table::{document, faults, overview};

/// A part of the table.
#[derive(Debug)]
pub struct Section {
    /// Its heading.
    pub title: &'static str,
    /// What stands in it, by id.
    pub attacks: Vec<Attack>,
}

/// Every attack, by section.
#[must_use]
pub fn catalogue() -> Vec<Section> {
    let section = |title, attacks| Section { title, attacks };
    let own = [
        own_framing::attacks(),
        own_network::attacks(),
        own_transport::attacks(),
        own_state::attacks(),
        own_neighbours::attacks(),
    ];
    vec![
        section("Framing and parsing", framing::attacks()),
        section("Fragments", fragments::attacks()),
        section("IPv6 header chains", chains::attacks()),
        section("Neighbours and routers", neighbours::attacks()),
        section("ICMP", icmp::attacks()),
        section("TCP, UDP and other state", state::attacks()),
        section("Identity: spoofing, races, label games", identity::attacks()),
        section("Paths, tunnels, NAT", paths::attacks()),
        section("Exhaustion and evidence", exhaustion::attacks()),
        section("Life cycle, tampering, time", lifecycle::attacks()),
        section("More: cases of our own", own.into_iter().flatten().collect()),
    ]
}
