//! What imported documents mean, in both opinions that the project has: the reference evaluator's and the compiled tables'.

use enforcer_import::inventory::{Hooks, Inventory};
use enforcer_import::rules::Imported;
use enforcer_policy::check::parse;
use enforcer_policy::compile::{Clock, Inputs, Numbers, compile};
use enforcer_policy::explain::Explainer;
use enforcer_policy::model::{Endpoint, SegmentMode};
use enforcer_policy::reference::World;
use enforcer_policy::source::Source;
use jiff::Timestamp;
use std::collections::HashMap;
use std::net::IpAddr;

/// A new flow: source, destination, protocol number, destination port.
pub(crate) type Flow = (IpAddr, IpAddr, u8, u16);

/// Asks whether flows pass, as the documents are written and read again: the reference evaluator's answer, and the tables'.
pub(crate) fn judged<T>(
    imported: &Imported,
    inventory: &Inventory,
    ask: impl FnOnce(&mut dyn FnMut(Flow) -> (bool, bool)) -> T,
) -> T {
    let written = imported.to_yaml("imported");
    let now = Timestamp::UNIX_EPOCH;
    let checked = parse(&[Source::new("imported.yaml", written.clone())], now);
    if let Some(error) = checked.diagnostics.iter().find(|finding| finding.is_error()) {
        panic!("what was written isn't valid: {error}\n{written}");
    }
    let mut set = checked.set;
    inventory.merge(&mut set, None, Hooks::StandIn);
    let world = World { set: &set, hosts: &[], default_mode: SegmentMode::Enforce, now };
    let clock = Clock { now, boot_ns: 1_000_000_000 };
    let inputs = Inputs { set: &set, host: &[], default_mode: SegmentMode::Enforce, clock };
    let compiled = compile(&inputs, &mut Numbers::default()).unwrap();
    let mut explainer = Explainer::new(inputs, &compiled);
    // The explainer keeps what it is asked about for as long as the set.
    let mut points: HashMap<IpAddr, &'static Endpoint> = HashMap::new();
    let mut point = move |at: IpAddr| -> &'static Endpoint {
        points.entry(at).or_insert_with(|| Box::leak(Box::new(Endpoint::Address(at))))
    };
    ask(&mut |(from, to, protocol, port)| {
        let reference = world.judge_path(&world.end(from), &world.end(to), protocol, port).verdict.passes;
        let paths = explainer.paths(point(from), point(to), protocol, port);
        assert!(!paths.is_empty(), "{from} -> {to} stand nowhere");
        (reference, paths.iter().all(|path| path.verdict.passes))
    })
}
