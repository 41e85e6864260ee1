//! What there is to see at one moment, for programs.

use super::rows::Row;
use super::state::{State, View};
use crate::client::{Lines, call};
use crate::filter::Filter;
use crate::protocol::{Missed, ObserveLine, RuleStatus, Status};
use hyper::Method;
use serde::Serialize;
use std::path::Path;
use std::time::Instant;

/// `enforcer.top/v1`.
#[derive(Debug, Serialize)]
pub(crate) struct Snapshot {
    schema: &'static str,
    /// Flows of late, the last one first.
    flows: Vec<Row>,
    /// Rules, by what they have decided.
    rules: Vec<RuleStatus>,
    missed: Missed,
}

/// What the daemon remembers.
pub(crate) async fn snapshot(socket: &Path, filter: Filter) -> anyhow::Result<Snapshot> {
    let mut state = State::new(filter);
    let mut lines = Lines::open(socket, Method::GET, "/v1/observe", None::<&()>).await?;
    while let Some(line) = lines.next::<ObserveLine>().await? {
        state.observed(line);
    }
    let status: Status = call(socket, Method::GET, "/v1/status", None::<&()>).await?;
    state.stands(status, Instant::now());
    let flows = state.flows().into_iter().cloned().collect();
    state.view = View::Rules;
    let rules = state.rules().into_iter().map(|row| row.rule.clone()).collect();
    Ok(Snapshot { schema: "enforcer.top/v1", flows, rules, missed: state.missed })
}
