//! Failing cases as files: a head that says what is asked, then the policy documents.

use super::world::Variant;
use enforcer_policy::check;
use enforcer_policy::model::{Labels, Lease, PolicySet, SegmentMode};
use enforcer_policy::reference::{Direction, Packet, Payload, Quoted, TcpFlags};
use enforcer_policy::source::Source;
use enforcer_policy::testing::{Probe, Scene, Step, to_yaml};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

/// A case as it stands in its file.
#[derive(Serialize, Deserialize)]
pub(crate) struct Case {
    note: String,
    variant: Variant,
    hosts: Vec<IpAddr>,
    default_mode: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    probes: Vec<ProbeLine>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    steps: Vec<StepLine>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    leases: Leases,
    documents: String,
}

/// Labels that workloads have for a time, which no document says.
type Leases = BTreeMap<String, LeaseLine>;

#[derive(Serialize, Deserialize)]
struct LeaseLine {
    labels: Labels,
    until: Timestamp,
}

#[derive(Serialize, Deserialize)]
struct ProbeLine {
    from: IpAddr,
    to: IpAddr,
    protocol: u8,
    port: u16,
    at: Timestamp,
}

#[derive(Serialize, Deserialize)]
struct StepLine {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    replace: Option<String>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    leases: Leases,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    packet: Option<PacketLine>,
}

#[derive(Serialize, Deserialize)]
struct PacketLine {
    at: Timestamp,
    subject: String,
    egress: bool,
    source: IpAddr,
    destination: IpAddr,
    payload: PayloadLine,
}

/// All kinds of payload in one mapping; what a kind doesn't have is 0.
#[derive(Serialize, Deserialize)]
struct PayloadLine {
    protocol: u8,
    #[serde(default)]
    sport: u16,
    #[serde(default)]
    dport: u16,
    #[serde(default)]
    flags: [bool; 4],
    #[serde(default)]
    icmp: Option<(u8, u8, u16)>,
    #[serde(default)]
    quoted: Option<(IpAddr, IpAddr, Box<PayloadLine>)>,
}

fn directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases")
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name)
        .ok()
        .map(|text| text.parse().unwrap_or_else(|_| panic!("`{name}` is no number: `{text}`")))
}

/// The seed of this run.
pub(crate) fn seed() -> u64 {
    number("ENFORCER_SEED").unwrap_or_else(|| Timestamp::now().as_nanosecond() as u64 / 1000 % 1_000_000_000)
}

/// Probes or packets of this run: a tenth of what `cargo xtask test` asks for.
pub(crate) fn cases() -> u32 {
    number("ENFORCER_CASES").map_or(10_000, |cases| cases as u32)
}

/// Writes a failing case; what is written last is the smallest.
pub(crate) fn keep(seed: u64, what: &str, case: &Case) {
    let path = directory().join(format!("found-{what}-{seed}.yaml"));
    let text = serde_yaml::to_string(case).expect("a case can be written");
    fs::create_dir_all(directory()).and_then(|()| fs::write(&path, text)).expect("the case can be kept");
}

impl Case {
    fn new(scene: &Scene, variant: Variant, note: &str) -> Self {
        let default_mode = match scene.default_mode {
            SegmentMode::Off => "off",
            SegmentMode::Audit => "audit",
            SegmentMode::Enforce => "enforce",
        };
        Self {
            note: note.to_owned(),
            variant,
            hosts: scene.hosts.clone(),
            default_mode: default_mode.to_owned(),
            probes: vec![],
            steps: vec![],
            leases: leases(&scene.set),
            documents: to_yaml(&scene.set),
        }
    }

    pub(crate) fn of_probes(scene: &Scene, probes: &[Probe], variant: Variant, note: &str) -> Self {
        let line =
            |p: &Probe| ProbeLine { from: p.from, to: p.to, protocol: p.protocol, port: p.port, at: p.at };
        Self { probes: probes.iter().map(line).collect(), ..Self::new(scene, variant, note) }
    }

    pub(crate) fn of_steps(scene: &Scene, steps: &[Step], variant: Variant, note: &str) -> Self {
        let line = |step: &Step| match step {
            Step::Replace(set) => StepLine { replace: Some(to_yaml(set)), leases: leases(set), packet: None },
            Step::Packet(packet) => {
                StepLine { replace: None, leases: Leases::new(), packet: Some(packet.into()) }
            }
        };
        Self { steps: steps.iter().map(line).collect(), ..Self::new(scene, variant, note) }
    }

    /// Every kept case, with the name of its file.
    pub(crate) fn all() -> Vec<(String, Self)> {
        let mut files: Vec<PathBuf> = fs::read_dir(directory())
            .map(|entries| entries.filter_map(|entry| Some(entry.ok()?.path())).collect())
            .unwrap_or_default();
        files.retain(|path| path.extension().is_some_and(|extension| extension == "yaml"));
        files.sort();
        files
            .into_iter()
            .map(|path| {
                let text = fs::read_to_string(&path).expect("a case can be read");
                let case =
                    serde_yaml::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
                (path.display().to_string(), case)
            })
            .collect()
    }

    /// Asks again.
    pub(crate) fn run(&self) -> Result<(), String> {
        let default_mode = match self.default_mode.as_str() {
            "off" => SegmentMode::Off,
            "audit" => SegmentMode::Audit,
            _ => SegmentMode::Enforce,
        };
        let scene =
            Scene { set: parse(&self.documents, &self.leases)?, hosts: self.hosts.clone(), default_mode };
        let probe =
            |p: &ProbeLine| Probe { from: p.from, to: p.to, protocol: p.protocol, port: p.port, at: p.at };
        let probes: Vec<Probe> = self.probes.iter().map(probe).collect();
        super::probes(&scene, &probes, self.variant)?;
        let mut steps = Vec::new();
        for line in &self.steps {
            match (&line.replace, &line.packet) {
                (Some(documents), None) => {
                    steps.push(Step::Replace(Box::new(parse(documents, &line.leases)?)))
                }
                (None, Some(packet)) => steps.push(Step::Packet(packet.into())),
                _ => return Err("a step is one of `replace` and `packet`".to_owned()),
            }
        }
        super::steps(&scene, &steps, self.variant)
    }
}

fn leases(set: &PolicySet) -> Leases {
    let line = |lease: &Lease| LeaseLine { labels: lease.labels.clone(), until: lease.until };
    let all = set.workloads.iter();
    all.filter_map(|workload| Some((workload.name.clone(), line(workload.lease.as_ref()?)))).collect()
}

fn parse(documents: &str, leases: &Leases) -> Result<PolicySet, String> {
    let checked = check::parse(&[Source::new("case.yaml", documents)], enforcer_policy::testing::NOW);
    let parsed = checked.into_result().map(|(set, _)| set);
    let mut set = parsed.map_err(|invalid| format!("{invalid}: {:?}", invalid.0))?;
    for workload in &mut set.workloads {
        let lease = leases.get(&workload.name);
        let lease = lease.map(|line| Lease { labels: line.labels.clone(), until: line.until });
        workload.set_lease(lease);
    }
    Ok(set)
}

impl From<&Packet> for PacketLine {
    fn from(packet: &Packet) -> Self {
        Self {
            at: packet.at,
            subject: packet.subject.clone(),
            egress: packet.direction == Direction::Egress,
            source: packet.source,
            destination: packet.destination,
            payload: (&packet.payload).into(),
        }
    }
}

impl From<&PacketLine> for Packet {
    fn from(line: &PacketLine) -> Self {
        Self {
            at: line.at,
            subject: line.subject.clone(),
            direction: if line.egress { Direction::Egress } else { Direction::Ingress },
            source: line.source,
            destination: line.destination,
            payload: (&line.payload).into(),
        }
    }
}

impl From<&Payload> for PayloadLine {
    fn from(payload: &Payload) -> Self {
        let blank =
            |protocol| Self { protocol, sport: 0, dport: 0, flags: [false; 4], icmp: None, quoted: None };
        match payload {
            Payload::Tcp { sport, dport, flags: TcpFlags { fin, syn, rst, ack } } => {
                Self { sport: *sport, dport: *dport, flags: [*fin, *syn, *rst, *ack], ..blank(6) }
            }
            Payload::Ports { protocol, sport, dport } => {
                Self { sport: *sport, dport: *dport, ..blank(*protocol) }
            }
            Payload::Icmp { kind, code, id, quoted } => {
                let quoted = quoted.as_ref().map(|quoted| {
                    (quoted.source, quoted.destination, Box::new(Self::from(quoted.payload.as_ref())))
                });
                Self { icmp: Some((*kind, *code, *id)), quoted, ..blank(1) }
            }
            Payload::Other(protocol) => blank(*protocol),
        }
    }
}

impl From<&PayloadLine> for Payload {
    fn from(line: &PayloadLine) -> Self {
        let [fin, syn, rst, ack] = line.flags;
        match (line.icmp, line.protocol) {
            (Some((kind, code, id)), _) => {
                let quoted = line.quoted.as_ref().map(|(source, destination, payload)| Quoted {
                    source: *source,
                    destination: *destination,
                    payload: Box::new(payload.as_ref().into()),
                });
                Self::Icmp { kind, code, id, quoted }
            }
            (None, 6) => {
                Self::Tcp { sport: line.sport, dport: line.dport, flags: TcpFlags { fin, syn, rst, ack } }
            }
            (None, protocol @ (17 | 132)) => Self::Ports { protocol, sport: line.sport, dport: line.dport },
            (None, protocol) => Self::Other(protocol),
        }
    }
}
