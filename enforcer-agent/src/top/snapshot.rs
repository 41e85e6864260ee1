//! What there is to see at one moment, for programs.

use super::rows::Row;
use super::state::State;
use crate::client::{Lines, call};
use crate::filter::Filter;
use crate::protocol::{CauseRecord, Missed, ObserveLine, ReasonStatus, RuleStatus, Status};
use hyper::Method;
use serde::Serialize;
use std::cmp::Reverse;
use std::path::Path;

/// `enforcer.top/v1`.
#[derive(Debug, Serialize)]
pub(crate) struct Snapshot {
    schema: &'static str,
    /// Flows of late, the last one first.
    flows: Vec<Row>,
    /// Rules in force, by what they have decided.
    rules: Vec<RuleStatus>,
    /// Reasons, by what was decided for them.
    reasons: Vec<ReasonStatus>,
    missed: Missed,
}

/// What the daemon remembers, and has counted.
pub(crate) async fn snapshot(socket: &Path, filter: Filter) -> anyhow::Result<Snapshot> {
    let mut lines = Lines::open(socket, Method::GET, &filter.request(false), None::<&()>).await?;
    let mut state = State::new(filter);
    while let Some(line) = lines.next::<ObserveLine>().await? {
        state.observed(line);
    }
    let Status { mut rules, mut reasons, .. } = call(socket, Method::GET, "/v1/status", None::<&()>).await?;
    rules.retain(|one| {
        let rule = Some(one.rule.clone());
        state.filter().wants_cause(&CauseRecord { rule, ..CauseRecord::default() })
    });
    reasons.retain(|one| {
        let (reason, detail) = (Some(one.reason.clone()), Some(one.detail.clone()));
        state.filter().wants_cause(&CauseRecord { reason, detail, ..CauseRecord::default() })
    });
    rules.sort_by_key(|one| Reverse(one.counts.packets));
    reasons.sort_by_key(|one| Reverse(one.counts.packets));
    let flows = state.flows().into_iter().map(|(_, row)| row.clone()).collect();
    Ok(Snapshot { schema: "enforcer.top/v1", flows, rules, reasons, missed: state.picture().missed })
}
