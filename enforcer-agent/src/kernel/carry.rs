//! What packets have filled goes along when a daemon comes with maps of another shape: flows, counters and quotas.
//!
//! Maps that have the same shape in both layouts are one map under two pins. So while links go over from one layout's programs to
//! the other's, one after the other, both see the same flows, and nothing has to be copied. What a generation owns is never shared:
//! each layout's programs read their own, and a flow is judged anew at its first packet under the other epoch.

use std::collections::HashMap;
use std::fs;
use std::io;
use std::path::Path;

use aya::maps::{Array, Map, MapData, MapError, MapInfo};
use enforcer_common::maps::Control;
use tracing::{debug, warn};

use super::layout::Shape;
use super::pins::Pins;
use super::sys;
use crate::datapath::{DatapathError, Epoch};

/// The maps that only packets fill, and the daemon sweeps.
const FILLED: [&str; 10] = [
    "FLOWS4",
    "FLOWS6",
    "EMBRYONIC4",
    "EMBRYONIC6",
    "FRAGMENTS4",
    "FRAGMENTS6",
    "QUOTAS",
    "SHARES",
    "RULES",
    "REASONS",
];

/// Pins what another layout's packets have filled among this layout's maps, before these are made. What can't be is logged, and
/// begins empty.
pub(super) fn share(pins: &Pins, shapes: &[Shape]) -> Result<(), DatapathError> {
    // Once this layout's programs judge, its maps hold what counts.
    if pins.has_hooks()? {
        return Ok(());
    }
    let Some(from) = pins.related()?.into_iter().find(|other| other.links > 0) else { return Ok(()) };
    let shapes: HashMap<&str, &[u32; 5]> =
        shapes.iter().map(|(name, numbers)| (name.as_str(), numbers)).collect();
    let mut shared = Vec::new();
    for name in FILLED {
        let Some(shape) = shapes.get(name) else { continue };
        match share_one(&from.map(name), &pins.map(name), shape) {
            Ok(true) => shared.push(name),
            Ok(false) => {}
            Err(error) => warn!(
                map = name,
                error = &error as &dyn std::error::Error,
                "cannot carry over what an earlier release's packets filled"
            ),
        }
    }
    debug!(?shared, "carried over from an earlier release");
    Ok(())
}

/// Whether the map at `from`, of this shape, stands at `to` afterwards.
fn share_one(from: &Path, to: &Path, shape: &[u32; 5]) -> io::Result<bool> {
    let Some(theirs) = look_at(from)? else { return Ok(false) };
    if numbers(&theirs) != *shape {
        return Ok(false);
    }
    match look_at(to)? {
        Some(ours) if ours.id() == theirs.id() => return Ok(true),
        // From an attempt that came to nothing: no program of this layout judges yet.
        Some(_) => fs::remove_file(to)?,
        None => {}
    }
    sys::pin(sys::open_pin(from)?, to)?;
    Ok(true)
}

/// The map that is pinned there, if one is.
fn look_at(pin: &Path) -> io::Result<Option<MapInfo>> {
    if !pin.exists() {
        return Ok(None);
    }
    MapInfo::from_pin(pin).map(Some).map_err(io::Error::other)
}

/// As [`Shape`] has them.
fn numbers(info: &MapInfo) -> [u32; 5] {
    let kind = info.map_type().map_or(0, |kind| kind as u32);
    [kind, info.key_size(), info.value_size(), info.max_entries(), info.map_flags()]
}

/// The highest epoch of a layout that may have shared its maps with this one: flows may stand there as judged under any up to it.
pub(super) fn highest_epoch(pins: &Pins) -> Result<Epoch, DatapathError> {
    let mut highest = 0;
    for other in pins.related()? {
        let pin = other.map("CONTROL");
        if !pin.exists() {
            continue;
        }
        let read = || -> Result<Control, MapError> {
            let map = Map::from_map_data(MapData::from_pin(&pin)?)?;
            Array::<_, Control>::try_from(map)?.get(&0, 0)
        };
        let control = read()
            .map_err(|error| DatapathError::caused(format_args!("cannot read `{}`", pin.display()), error))?;
        highest = highest.max(if control.is_unconfirmed() { control.fallback() } else { control }.epoch());
    }
    Ok(highest)
}
