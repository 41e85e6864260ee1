//! What one subject may take of the room that all share: new flows, datagrams in parts, established flows.
//!
//! CPUs may count at once and lose a count; windows are short, and established flows are counted anew by whoever sweeps them.

use super::Context;
use crate::Reason;
use crate::flow::FlowKey;
use crate::maps::{Direction, Quota, limits};
use crate::tables::{FamilyTables, Tables};

/// The quota for what is opened in `opened`, with its window begun anew where that is over.
#[inline(always)]
fn current<'a, T: Tables>(
    context: &Context,
    opened: Direction,
    now: u32,
    tables: &'a mut T,
) -> Option<&'a mut Quota> {
    let quota = tables.quota(Quota::slot(context.hook.subject, opened))?;
    if now.wrapping_sub(quota.window) >= limits::QUOTA_WINDOW {
        *quota = Quota { window: now, ..Quota::default() };
    }
    Some(quota)
}

/// Takes a place for a new flow.
#[inline(always)]
pub(super) fn open_flow<T: Tables>(context: &Context, now: u32, tables: &mut T) -> Result<(), Reason> {
    match current(context, context.hook.direction, now, tables) {
        Some(quota) if quota.unanswered < limits::QUOTA_UNANSWERED => {
            quota.unanswered += 1;
            Ok(())
        }
        _ => Err(Reason::FlowQuota),
    }
}

/// Takes a place for a datagram in parts.
#[inline(always)]
pub(super) fn begin_datagram<T: Tables>(context: &Context, now: u32, tables: &mut T) -> Result<(), Reason> {
    match current(context, context.hook.direction, now, tables) {
        Some(quota) if quota.fragments < limits::QUOTA_FRAGMENTS => {
            quota.fragments += 1;
            Ok(())
        }
        _ => Err(Reason::FragmentFull),
    }
}

/// Gives the place of a datagram back that is whole.
#[inline(always)]
pub(super) fn end_datagram<T: Tables>(context: &Context, now: u32, tables: &mut T) {
    if let Some(quota) = current(context, context.hook.direction, now, tables) {
        quota.fragments = quota.fragments.saturating_sub(1);
    }
}

/// Moves a flow among the established ones, unless its subject holds too many there: then it stays where new flows can push it out.
#[inline(always)]
pub(super) fn establish<const N: usize, T: Tables + FamilyTables<N>>(
    context: &Context,
    key: &FlowKey<N>,
    opened: Direction,
    now: u32,
    tables: &mut T,
) {
    let Some(held) = tables.share(Quota::slot(context.hook.subject, opened)) else { return };
    if *held >= limits::QUOTA_ESTABLISHED {
        return;
    }
    *held += 1;
    tables.promote_flow(key);
    if let Some(quota) = current(context, opened, now, tables) {
        quota.unanswered = quota.unanswered.saturating_sub(1);
    }
}
