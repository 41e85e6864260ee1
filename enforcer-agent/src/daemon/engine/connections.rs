//! Connections that were open before anybody looked.
//!
//! A hook knows the connections that it saw begin. Where a service or the host itself is judged for the first time, those it has are taken from the
//! kernel's own list of sockets, with the way in which each was opened. That grants nothing: the next packet asks the rules, as of a flow whose verdict
//! is of another epoch. So what the rules allow goes on, and what they deny is cut.

use super::Engine;
use super::cgroups::Cgroups;
use crate::daemon::session::Session;
use crate::datapath::OpenConnection;
use crate::links::{Connection, connections, connections_behind};
use enforcer_common::maps::{Cgroup, Direction, Subject, mode};
use enforcer_policy::compile::Compiled;
use enforcer_policy::model::SegmentMode;
use std::collections::{BTreeSet, HashMap};
use std::net::SocketAddr;
use tracing::{info, warn};

impl Engine {
    /// Before a set is put in force: so that no packet of what it allows meets it first.
    pub(super) fn take_up_ahead(&mut self, compiled: &Compiled, cgroups: &[(u64, Cgroup)]) {
        let new = &judged(compiled) - &self.cgroups.judged;
        self.take_up(&new, |_| cgroups.iter().map(|(id, whose)| (*id, whose.number)).collect());
    }

    /// Once it is in force: what was opened in between.
    pub(super) fn take_up_connections(&mut self) {
        let judged = match &self.live {
            Some(live) if self.cgroups.hooked().is_some() => judged(&live.compiled),
            _ => BTreeSet::new(),
        };
        let new = &judged - &self.cgroups.judged;
        self.take_up(&new, Cgroups::told);
        self.cgroups.judged = judged;
    }

    /// Before devices are hooked: the connections of who is behind them.
    pub(super) fn take_up_behind(&mut self, devices: &BTreeSet<u32>) {
        if devices.is_empty() {
            return;
        }
        match connections_behind(devices) {
            Ok(open) => {
                let residents = self.residents_of(&open);
                let found: Vec<_> = open
                    .into_iter()
                    .zip(residents)
                    .map(|((subject, one), resident)| of_subject(subject, &one, resident))
                    .collect();
                self.hand_over(&found);
            }
            Err(error) => {
                warn!(%error, "could not ask for open connections: those of newly hooked devices are cut")
            }
        }
    }

    /// Who on this machine has the other end of each connection of somebody behind a device; 0 for the host, as a device's hook has it.
    fn residents_of(&self, behind: &[(u32, Connection)]) -> Vec<u32> {
        let mut owners = self.cgroups.told();
        if let Some(live) = &self.live {
            let host = Subject::hosted(live.compiled.host.identity);
            owners.retain(|_, number| *number != host);
        }
        // Not to know is to say that it is the host's.
        let here = if owners.is_empty() || behind.is_empty() { None } else { connections().ok().flatten() };
        residents_among(behind, &here.unwrap_or_default(), &owners)
    }

    /// `owners` says whose each cgroup is. Nothing is asked where nobody is new.
    fn take_up(&mut self, new: &BTreeSet<u32>, owners: impl FnOnce(&Cgroups) -> HashMap<u64, u32>) {
        if new.is_empty() {
            return;
        }
        let owners = owners(&self.cgroups);
        if owners.is_empty() {
            return;
        }
        let open = match connections() {
            Ok(Some(open)) => open,
            Ok(None) => return,
            Err(error) => {
                warn!(%error, "could not ask for open connections: those of newly judged services are cut");
                return;
            }
        };
        self.hand_over(&of_subjects(&open, new, &owners));
    }

    fn hand_over(&mut self, found: &[OpenConnection]) {
        match self.datapath.take_up(found) {
            Ok(0) => {}
            Ok(taken) => info!(taken, "connections that were open before are judged from now on"),
            Err(error) => warn!(%error, "connections that were open before are cut"),
        }
    }
}

/// Who is judged at sockets, by number.
fn judged(compiled: &Compiled) -> BTreeSet<u32> {
    let plans =
        compiled.subjects.iter().filter(|plan| !plan.hosted.is_empty() && plan.subject.mode != mode::OFF);
    let host = Some(compiled.host.identity).filter(|_| compiled.host.mode != SegmentMode::Off);
    plans.map(|plan| plan.identity).chain(host).map(Subject::hosted).collect()
}

fn of_subject(subject: u32, one: &Connection, resident: u32) -> OpenConnection {
    let opened = if one.accepted { Direction::Ingress } else { Direction::Egress };
    OpenConnection { subject, local: one.local, remote: one.remote, opened, resident }
}

fn residents_among(
    behind: &[(u32, Connection)],
    here: &[Connection],
    owners: &HashMap<u64, u32>,
) -> Vec<u32> {
    let ends: HashMap<(SocketAddr, SocketAddr), u64> =
        here.iter().map(|one| ((one.local, one.remote), one.cgroup)).collect();
    let whose = |(_, one): &(u32, Connection)| {
        let number = owners.get(ends.get(&(one.remote, one.local))?)?;
        Some(*number)
    };
    behind.iter().map(|one| whose(one).unwrap_or_default()).collect()
}

fn of_subjects(
    open: &[Connection],
    subjects: &BTreeSet<u32>,
    owners: &HashMap<u64, u32>,
) -> Vec<OpenConnection> {
    let ends: HashMap<(SocketAddr, SocketAddr), u64> =
        open.iter().map(|one| ((one.local, one.remote), one.cgroup)).collect();
    let whose = |cgroup: &u64| owners.get(cgroup).copied();
    let ours = |one: &Connection| {
        let subject = whose(&one.cgroup).filter(|number| subjects.contains(number))?;
        let resident = ends.get(&(one.remote, one.local)).and_then(whose).unwrap_or_default();
        Some(of_subject(subject, one, resident))
    };
    open.iter().filter_map(ours).collect()
}

/// Whose session it is at this machine's end, and whether it is one that would be taken up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Seat {
    /// The number of who has the socket.
    pub(super) owner: u32,
    /// Whether the socket is the client's.
    pub(super) client: bool,
}

/// Where the sockets of each session are on this machine, under a set.
pub(super) fn seats(sessions: &[Session], cgroups: &Cgroups, compiled: &Compiled) -> Vec<Vec<Seat>> {
    let open = connections().ok().flatten().unwrap_or_default();
    let claims = cgroups.claims(compiled);
    let at = |(local, remote), client| {
        let socket = open.iter().find(|one| (one.local, one.remote) == (local, remote))?;
        Some(Seat { owner: cgroups.owner(&claims, socket.cgroup)?, client })
    };
    let of = |Session { client, server }: &Session| {
        [at((*client, *server), true), at((*server, *client), false)].into_iter().flatten().collect()
    };
    sessions.iter().map(of).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_ends_on_this_machine_know_each_other() {
        let at = |text: &str| text.parse::<SocketAddr>().unwrap();
        let (client, server) = (at("127.0.0.1:40000"), at("127.0.0.1:80"));
        let far = at("192.0.2.1:50000");
        let connection = |local, remote, accepted, cgroup| Connection { local, remote, accepted, cgroup };
        let open = [
            connection(client, server, false, 1),
            connection(server, client, true, 2),
            connection(server, far, true, 2),
            connection(client, far, false, 3),
        ];
        let owners = HashMap::from([(1, 10), (2, 20)]);
        let found = of_subjects(&open, &BTreeSet::from([20]), &owners);
        let one = |remote, resident| OpenConnection {
            subject: 20,
            local: server,
            remote,
            opened: Direction::Ingress,
            resident,
        };
        assert_eq!(found, [one(client, 10), one(far, 0)]);
    }

    #[test]
    fn who_is_behind_a_device_knows_whom_it_is_connected_with_here() {
        let at = |text: &str| text.parse::<SocketAddr>().unwrap();
        let (inside, service, host) = (at("10.1.0.2:40000"), at("10.1.0.1:5432"), at("10.1.0.1:22"));
        let connection = |local, remote, cgroup| Connection { local, remote, accepted: false, cgroup };
        let behind = [service, host, at("192.0.2.1:80")].map(|to| (7, connection(inside, to, 1)));
        let here = [connection(service, inside, 2), connection(host, inside, 3)];
        assert_eq!(residents_among(&behind, &here, &HashMap::from([(2, 20)])), [20, 0, 0]);
    }
}
