//! The flow tables as userspace sees them: forgetting what is over, and showing what is there.

use std::collections::HashMap;
use std::io;
use std::net::IpAddr;
use std::time::Duration;

use aya::Pod;
use aya::maps::{HashMap as Table, MapData, MapError};
use enforcer_common::address::{self, Address};
use enforcer_common::flow::{FlowEntry, FlowKey, Tier, ticks};
use enforcer_common::maps::{AddressKey, Quota};
use enforcer_common::{Cause, Reason, Word};
use rustix::time::{ClockId, clock_gettime};

use super::batch::{clear, dump};
use super::tables::{Family, Tables};
use crate::datapath::{DatapathError, OpenConnection, Sweep};

/// The clock that entries are stamped with.
fn now() -> u32 {
    let time = clock_gettime(ClockId::MonotonicCoarse);
    ticks(time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64)
}

/// Established flows by [`Quota::slot`].
pub(super) type Shares = HashMap<u32, u32>;

/// Forgets established flows that will be over when `later` has passed. Unanswered ones push each other out. `shares` is what the
/// last sweep found, `None` before the first.
pub(super) fn sweep(
    tables: &mut Tables,
    shares: &mut Option<Shares>,
    later: Duration,
) -> Result<Sweep, DatapathError> {
    let now = now().wrapping_add(ticks(later.as_nanos() as u64));
    let mut sweep = Sweep::default();
    let mut found = Shares::new();
    sweep_table(&mut tables.v4.flows, now, &mut found, &mut sweep).map_err(failed("FLOWS4"))?;
    sweep_table(&mut tables.v6.flows, now, &mut found, &mut sweep).map_err(failed("FLOWS6"))?;
    correct(tables, shares, found)
        .map_err(|error| DatapathError::caused("cannot correct the map `SHARES`", error))?;
    Ok(sweep)
}

/// Writes how many established flows each subject has: the programs only ever add. Flows that are established meanwhile may be missed, until
/// the next time.
fn correct(tables: &mut Tables, shares: &mut Option<Shares>, found: Shares) -> Result<(), MapError> {
    let before = match shares.take() {
        Some(before) => before,
        None => {
            let mut before = Shares::new();
            dump(&tables.shares, |slot: u32, held: u32| {
                if held != 0 {
                    before.insert(slot, held);
                }
            })?;
            before
        }
    };
    for slot in before.keys().filter(|slot| !found.contains_key(slot)) {
        tables.shares.set(*slot, 0, 0)?;
    }
    for (slot, held) in &found {
        tables.shares.set(*slot, held, 0)?;
    }
    *shares = Some(found);
    Ok(())
}

fn failed(table: &'static str) -> impl Fn(MapError) -> DatapathError {
    move |error| DatapathError::caused(format_args!("cannot sweep the map `{table}`"), error)
}

fn sweep_table<const N: usize>(
    table: &mut Table<MapData, FlowKey<N>, FlowEntry>,
    now: u32,
    shares: &mut Shares,
    sweep: &mut Sweep,
) -> Result<(), MapError>
where
    FlowKey<N>: Pod,
{
    let mut over = Vec::new();
    dump(table, |key: FlowKey<N>, entry: FlowEntry| {
        if entry.expired(now, key.protocol) {
            over.push(key);
        } else {
            sweep.live += 1;
            *shares.entry(Quota::slot(key.subject, entry.opener())).or_default() += 1;
        }
    })?;
    // A packet may have come since: look again before each. Between that look and the deletion one still may; such a
    // flow is judged anew, as one that has been idle this long would be a moment later.
    let mut still = Vec::with_capacity(over.len());
    for key in over {
        match table.get(&key, 0) {
            Ok(entry) if entry.expired(now, key.protocol) => still.push(key),
            Ok(_) => sweep.live += 1,
            Err(MapError::KeyNotFound) => {}
            Err(error) => return Err(error),
        }
    }
    sweep.removed += still.len() as u64;
    clear(table, &still)
}

/// Remembers connections that aren't tracked, under an epoch that is never in force: the next packet of each asks the rules.
pub(super) fn take_up(tables: &mut Tables, connections: &[OpenConnection]) -> Result<usize, DatapathError> {
    let mut taken = 0;
    for one in connections {
        let new = match (one.local.ip(), one.remote.ip()) {
            (IpAddr::V4(local), IpAddr::V4(remote)) => {
                let ends = [address::v4(local.octets()), address::v4(remote.octets())];
                remember(&mut tables.v4, one, ends)
            }
            (IpAddr::V6(local), IpAddr::V6(remote)) => {
                let ends = [address::v6(local.octets()), address::v6(remote.octets())];
                remember(&mut tables.v6, one, ends)
            }
            _ => Ok(false),
        };
        taken += usize::from(new.map_err(|error| {
            DatapathError::caused("cannot take up connections that were open before", error)
        })?);
    }
    Ok(taken)
}

/// Whether it wasn't tracked.
fn remember<const N: usize>(
    family: &mut Family<N>,
    connection: &OpenConnection,
    [local, remote]: [Address<N>; 2],
) -> Result<bool, MapError>
where
    AddressKey<N>: Pod,
    FlowKey<N>: Pod,
{
    const TCP: u8 = 6;
    /// `BPF_NOEXIST` of linux/bpf.h.
    const NEW: u64 = 1;
    let (local_port, remote_port) = (connection.local.port().to_be(), connection.remote.port().to_be());
    let subject = connection.subject;
    let key = FlowKey { subject, local, remote, local_port, remote_port, protocol: TCP, reserved: [0; 3] };
    if family.embryonic.get(&key, 0).is_ok() {
        return Ok(false);
    }
    let entry = FlowEntry {
        epoch: 0,
        cause: Cause::reason(Reason::State).0,
        deadline: u64::MAX,
        seen: now(),
        state: FlowEntry::REPLIED,
        verdict: Word::Allowed as u8 | FlowEntry::PASSES,
        opened: connection.opened as u8,
        reserved: 0,
        packets_out: 0,
        bytes_out: 0,
        packets_in: 0,
        bytes_in: 0,
        resident: connection.resident,
        padding: 0,
    };
    match family.flows.insert(key, entry, NEW) {
        Err(MapError::SyscallError(error)) if error.io_error.kind() == io::ErrorKind::AlreadyExists => {
            Ok(false)
        }
        inserted => inserted.map(|()| true),
    }
}

/// All tracked flows of a family, unanswered ones last.
pub(super) fn all<const N: usize>(family: &Family<N>) -> Result<Vec<(FlowKey<N>, FlowEntry)>, DatapathError>
where
    AddressKey<N>: Pod,
    FlowKey<N>: Pod,
{
    let mut flows = of(family, Tier::Established)?;
    flows.extend(of(family, Tier::Embryonic)?);
    Ok(flows)
}

/// Tracked flows of a family in one tier.
pub(super) fn of<const N: usize>(
    family: &Family<N>,
    tier: Tier,
) -> Result<Vec<(FlowKey<N>, FlowEntry)>, DatapathError>
where
    AddressKey<N>: Pod,
    FlowKey<N>: Pod,
{
    let table = match tier {
        Tier::Established => &family.flows,
        Tier::Embryonic => &family.embryonic,
    };
    let mut flows = Vec::new();
    dump(table, |key, entry| flows.push((key, entry)))
        .map_err(|error| DatapathError::caused("cannot read the flow tables", error))?;
    Ok(flows)
}
