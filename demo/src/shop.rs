//! The shop: its workloads as the documents name them, and every way in which one of them could try to reach another.

use std::net::IpAddr;

use anyhow::{Context, Result, bail};
use enforcer_policy::model::{self, PolicySet, WorkloadMatch};
use enforcer_tests::{Protocol, Servers, Workload, World};

/// What every workload offers and every other one tries.
pub(crate) const PROTOCOLS: [Protocol; 5] =
    [Protocol::Tcp(5432), Protocol::Tcp(8080), Protocol::Tcp(9100), Protocol::Udp(8125), Protocol::Ping];

/// The shop's workloads, running in a world.
pub(crate) struct Shop {
    pub(crate) workloads: Vec<Workload>,
}

/// One thing to try. Workloads by their place in the shop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Case {
    pub(crate) from: usize,
    pub(crate) to: usize,
    pub(crate) protocol: Protocol,
    pub(crate) v6: bool,
}

impl Shop {
    /// Makes a namespace for each workload of the documents, with the addresses and devices that they name.
    pub(crate) fn open(world: &mut World, set: &PolicySet) -> Result<Self> {
        let mut workloads = Vec::new();
        for document in &set.workloads {
            let name = &document.name;
            let interface =
                interface(document).with_context(|| format!("workload `{name}` matches no interface"))?;
            let (mut v4, mut v6) = (None, None);
            for address in &document.addresses {
                match address {
                    IpAddr::V4(address) => v4 = v4.or(Some(*address)),
                    IpAddr::V6(address) => v6 = v6.or(Some(*address)),
                }
            }
            let (Some(v4), Some(v6)) = (v4, v6) else {
                bail!("workload `{name}` has no address in one of the families")
            };
            workloads.push(world.add(name, &interface, v4, v6)?);
        }
        Ok(Self { workloads })
    }

    /// Everything that can be tried between two different workloads.
    pub(crate) fn cases(&self) -> Vec<Case> {
        let mut cases = Vec::new();
        for from in 0..self.workloads.len() {
            for to in (0..self.workloads.len()).filter(|to| *to != from) {
                for protocol in PROTOCOLS {
                    cases.extend([false, true].map(|v6| Case { from, to, protocol, v6 }));
                }
            }
        }
        cases
    }

    /// Something answers on every port of every workload: silence can only come from the way there or back.
    pub(crate) fn serve(&self) -> Vec<Servers> {
        self.workloads.iter().map(|workload| workload.serve(&PROTOCOLS)).collect()
    }

    /// The workload with this name.
    pub(crate) fn named(&self, name: &str) -> Result<&Workload> {
        self.workloads
            .iter()
            .find(|workload| workload.name() == name)
            .with_context(|| format!("no workload `{name}`"))
    }
}

/// The device that the documents know the workload by.
fn interface(document: &model::Workload) -> Option<String> {
    document.matches.iter().find_map(|entry| match entry {
        WorkloadMatch::Interface(pattern) => (!pattern.glob).then(|| pattern.text.clone()),
        _ => None,
    })
}
