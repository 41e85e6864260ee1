//! `--flows live`: what the daemon sees from now on.

use super::recordings::Recordings;
use crate::client::Lines;
use crate::command::{Failure, daemon};
use crate::protocol::{End, FlowRecord, ObserveLine};
use enforcer_audit::Audit;
use enforcer_flows::{self as flows, Flow, Gap, Item, Opener, Recorded, Sink, Time, Who};
use enforcer_policy::model::PortSpec;
use hyper::Method;
use jiff::Timestamp;
use std::future;
use std::net::IpAddr;
use std::sync::Arc;

/// Takes the daemon's records until interrupted, or for as long as was asked.
pub(super) fn take(args: &Recordings, audit: &mut Audit) -> Result<(), Failure> {
    let socket = crate::command::SocketArgs { socket: args.socket.socket.clone() }.path();
    let listen = args.listen;
    daemon::converse(async {
        let mut lines = Lines::open(&socket, Method::GET, "/v1/observe?follow=true", None::<&()>).await?;
        let mut interrupted = std::pin::pin!(tokio::signal::ctrl_c());
        let mut over = std::pin::pin!(async {
            match listen {
                Some(listen) => tokio::time::sleep(listen).await,
                None => future::pending().await,
            }
        });
        loop {
            let line = tokio::select! {
                line = lines.next::<ObserveLine>() => line?,
                _ = &mut interrupted => None,
                () = &mut over => None,
            };
            match line {
                None => return Ok(()),
                Some(ObserveLine::Flow(record)) => {
                    if let Some(flow) = flow(&record) {
                        audit.take(Item::Flow(&flow));
                    }
                }
                Some(ObserveLine::Missed { missed, .. }) => {
                    let (word, missing) = ("lost", Some(missed.lost + missed.suppressed));
                    audit.take(Item::Gap(&Gap { start: None, end: None, of: None, word, missing }));
                }
                Some(ObserveLine::Tamper(_)) => {}
            }
        }
    })
}

/// A record as one about a flow; `None` for what isn't IP or wasn't read that far.
fn flow(record: &FlowRecord) -> Option<Flow> {
    let time = record.time.parse::<Timestamp>().ok().and_then(|at| Time::try_from(at.as_nanosecond()).ok());
    let protocol = match record.protocol.as_deref()?.parse::<PortSpec>().ok()? {
        PortSpec::Protocol(protocol) | PortSpec::Ports { protocol, .. } | PortSpec::Icmp { protocol, .. } => {
            protocol
        }
        PortSpec::Any => return None,
    };
    Some(Flow {
        start: time,
        end: time,
        protocol,
        source: end(&record.source)?,
        destination: end(&record.destination)?,
        icmp: record.icmp.map(|icmp| (icmp.kind, icmp.code)),
        opener: if record.new { Opener::Source } else { Opener::Unknown },
        packets: record.packets,
        bytes: record.bytes,
        recorded: Some(if record.passes { Recorded::Passed } else { Recorded::Refused }),
        seen: Some(if record.direction == "egress" { flows::Side::Source } else { flows::Side::Destination }),
    })
}

fn end(end: &End) -> Option<flows::End> {
    let address: IpAddr = end.ip?;
    let who = end
        .workload
        .as_ref()
        .map(|name| Arc::new(Who { name: Some(name.clone()), labels: end.labels.clone() }));
    Some(flows::End { address, port: end.port.unwrap_or(0), who })
}
