//! A thousand live flows, a change that cuts a part of them, and what came of every one: for the test that nothing is cut too late or too
//! much, and for the measurement of how soon.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::net::{IpAddr, SocketAddr};
use std::process::{Child, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use enforcer_agent::daemon::clock::Instants;
use serde_json::Value;

use crate::{Batch, Crowd, DaemonOptions, FlowState, StreamKind, Workload, World, documents, policy};

/// Ports of the flows that no change concerns, and of those that each change cuts.
const KEPT: u16 = 7000;
const CUT: u16 = 9000;
const PORTS: u16 = 1000;
/// How long a policy that expires is in force before.
const TERM: Duration = Duration::from_secs(3);
const PATIENCE: Duration = Duration::from_secs(20);

/// What can end flows that are open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Revocation {
    /// The rule goes.
    RuleRemoved,
    /// The server's labels aren't the rule's any more.
    LabelChanged,
    /// The server's workload goes, and its address is the world's.
    WorkloadGone,
    /// The rule's policy expires.
    PolicyExpired,
    /// The segment of both ends goes from `audit` to `enforce`.
    SegmentTightened,
    /// The server is quarantined: that cuts all its flows, those of [`Scene::kept`] too.
    Quarantined,
}

impl Revocation {
    /// Every kind that leaves the server's other flows alone.
    pub const ALL: [Self; 5] = [
        Self::RuleRemoved,
        Self::LabelChanged,
        Self::WorkloadGone,
        Self::PolicyExpired,
        Self::SegmentTightened,
    ];

    /// In words.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::RuleRemoved => "rule removed",
            Self::LabelChanged => "label changed",
            Self::WorkloadGone => "workload gone",
            Self::PolicyExpired => "policy expired",
            Self::SegmentTightened => "segment tightened",
            Self::Quarantined => "quarantined",
        }
    }
}

/// Who talks to whom.
#[derive(Debug)]
pub struct Scene {
    // Before the world, whose namespaces they are in.
    crowd: Crowd,
    told: Told,
    /// The world, with its daemon.
    pub world: World,
    /// Opens every flow.
    pub web: Workload,
    /// Keeps what it has.
    pub checkout: Workload,
    /// Loses flows, and keeps others.
    pub ledger: Workload,
    kept: Vec<usize>,
    cut: u16,
}

/// A change that was made.
#[derive(Debug)]
pub struct Change {
    /// When: as its file was replaced, or as the policy expired.
    pub made: Instants,
    /// The flows that are to be cut.
    pub cut: Vec<usize>,
    /// Records of flows that were cut before.
    told: usize,
}

impl Scene {
    /// Opens the flows that are kept throughout. `cut` are opened anew for each change. Half of what is kept goes to the workload whose
    /// other flows are cut.
    pub fn new(mut world: World, kept: u16, cut: u16, pace: Duration) -> Result<Self> {
        let (web, checkout) = (world.workload("web", 10), world.workload("checkout", 20));
        let ledger = world.workload("ledger", 30);
        let ports = |first: u16| format!("tcp/{first}-{0},udp/{first}-{0}", first + PORTS - 1);
        let block = format!("{{cidr: [\"{}/32\", \"{}/128\"]}}", ledger.v4(), ledger.v6());
        let rules = [format!("web -> checkout {}", ports(KEPT)), format!("web -> {block} {}", ports(KEPT))];
        let text = documents(&[&web, &checkout], &[policy("kept", "", &[&rules[0], &rules[1]])]);
        let documents =
            vec![("10-base.yaml".to_owned(), text), ("20-ledger.yaml".to_owned(), ledger.document())];
        world.start_daemon(DaemonOptions { documents, ..DaemonOptions::default() })?;
        let told = Told::by(&mut world)?;
        let crowd = Crowd::new(pace)?;
        let mut scene = Self { crowd, told, world, web, checkout, ledger, kept: Vec::new(), cut };
        scene.kept =
            [scene.open(&scene.checkout, KEPT, kept / 2)?, scene.open(&scene.ledger, KEPT, kept / 2)?]
                .concat();
        Ok(scene)
    }

    /// The flows.
    #[must_use]
    pub fn crowd(&self) -> &Crowd {
        &self.crowd
    }

    /// Those that no change concerns.
    #[must_use]
    pub fn kept(&self) -> &[usize] {
        &self.kept
    }

    /// Records of flows that this change cut.
    #[must_use]
    pub fn told(&self, change: &Change) -> Vec<Value> {
        let (mut records, lost) = self.told.read();
        assert_eq!(lost, 0, "no record is lost");
        records.split_off(change.told)
    }

    /// Waits until the records of flows that this change cut are `enough`, and gives them.
    #[track_caller]
    #[must_use]
    pub fn wait_told(&self, change: &Change, enough: impl Fn(&[Value]) -> bool) -> Vec<Value> {
        let start = Instant::now();
        loop {
            let records = self.told(change);
            if enough(&records) {
                return records;
            }
            assert!(start.elapsed() < PATIENCE, "{} records aren't enough", records.len());
            thread::sleep(Duration::from_millis(5));
        }
    }

    /// Opens flows that this change will cut, waits until they carry data both ways, and makes the change. It may not be in force yet
    /// when this returns.
    pub fn revoke(&mut self, kind: Revocation) -> Result<Change> {
        let rule = |fields: &str| {
            policy("cut", fields, &[&format!("web -> ledger tcp/{CUT}-{0},udp/{CUT}-{0}", CUT + PORTS - 1)])
        };
        let ends = [self.web.v4(), self.ledger.v4(), self.web.v6(), self.ledger.v6()];
        let blocks = ends.map(|ip| format!("\"{ip}/{}\"", if ip.is_ipv4() { 32 } else { 128 })).join(", ");
        let segment = |mode: &str| {
            format!(
                "---\napiVersion: enforcer.dev/v1alpha1\nkind: Segment\nmetadata: {{name: both}}\n\
                 spec: {{select: [{{cidr: [{blocks}]}}], mode: {mode}}}\n"
            )
        };
        let tightens = kind == Revocation::SegmentTightened;
        let allow = if tightens { segment("audit") } else { rule("") };
        self.change(|scene| scene.write("50-cut.yaml", &allow))?;
        let mut cut = self.open(&self.ledger, CUT, self.cut)?;
        let told = self.told.read().0.len();
        let mut made = Instants::now();
        match kind {
            Revocation::RuleRemoved => self.remove("50-cut.yaml")?,
            Revocation::LabelChanged => {
                self.write(
                    "20-ledger.yaml",
                    &self.ledger.document().replace("{app: ledger}", "{app: archive}"),
                )?;
            }
            Revocation::WorkloadGone => self.remove("20-ledger.yaml")?,
            Revocation::Quarantined => {
                cut.extend(&self.kept[self.kept.len() / 2..]);
                let said = self.world.daemon().enforcer(&["quarantine", "ledger", "--why", "a drill"])?;
                ensure!(said.code == Some(0), "{said:?}");
            }
            Revocation::SegmentTightened => self.write("50-cut.yaml", &segment("enforce"))?,
            Revocation::PolicyExpired => {
                let wall = made.wall + TERM;
                made = Instants { wall, boot: made.boot_of(wall) };
                self.write("50-cut.yaml", &rule(&format!("expires: {wall}")))?;
            }
        }
        Ok(Change { made, cut, told })
    }

    /// Ends the flows that were cut, and takes the change back.
    pub fn restore(&mut self, change: &Change) -> Result<()> {
        self.crowd.close(&change.cut);
        let ledger = self.ledger.document();
        if self.world.daemon().policies().join("50-cut.yaml").exists() {
            self.change(|scene| scene.remove("50-cut.yaml"))?;
        }
        let path = self.world.daemon().policies().join("20-ledger.yaml");
        if std::fs::read_to_string(path).ok().as_ref() != Some(&ledger) {
            self.change(|scene| scene.write("20-ledger.yaml", &ledger))?;
        }
        let hooked = |status: &Value| {
            let workloads = status["workloads"].as_array().map_or(&[][..], Vec::as_slice);
            workloads.iter().any(|one| one["name"] == "ledger" && one["interfaces"][0]["attached"] == true)
        };
        self.world.daemon().wait_until("the hook's return", hooked);
        Ok(())
    }

    /// Lets the server back after [`Revocation::Quarantined`].
    pub fn release(&mut self) -> Result<()> {
        let said = self.world.daemon().enforcer(&["release", "ledger"])?;
        ensure!(said.code == Some(0), "{said:?}");
        Ok(())
    }

    /// Does something to the policy files and waits until it is in force.
    pub fn change(&mut self, change: impl FnOnce(&mut Self) -> Result<()>) -> Result<()> {
        let epoch = |status: &Value| status["epoch"].as_u64();
        let before = epoch(&self.world.daemon().status()?);
        change(self)?;
        self.world.daemon().wait_until("another epoch", |status| epoch(status) > before);
        Ok(())
    }

    /// Writes a policy file.
    pub fn write(&mut self, name: &str, text: &str) -> Result<()> {
        self.world.daemon().write_policy(name, text)
    }

    fn remove(&mut self, name: &str) -> Result<()> {
        self.world.daemon().remove_policy(name)
    }

    /// A quarter each of connections and datagrams over both families. Both ends have heard of the other when this returns.
    fn open(&self, server: &Workload, port: u16, count: u16) -> Result<Vec<usize>> {
        let quarter = count / 4;
        let mut all = Vec::new();
        for (part, (kind, v6)) in (0..).zip([
            (StreamKind::Tcp, false),
            (StreamKind::Udp, false),
            (StreamKind::Tcp, true),
            (StreamKind::Udp, true),
        ]) {
            let port = port + part * quarter;
            let batch = Batch { client: &self.web, server, v6, kind, port, count: quarter };
            all.extend(self.crowd.open(&batch)?);
        }
        self.crowd.wait(&all, "both ends hear", |flow| flow.ends.iter().all(|end| end.received > 1));
        Ok(all)
    }
}

/// Records of flows that were cut, as `observe` tells them.
#[derive(Debug)]
struct Told {
    records: Arc<Mutex<(Vec<Value>, u64)>>,
    child: Child,
    thread: Option<JoinHandle<()>>,
}

impl Told {
    fn by(world: &mut World) -> Result<Self> {
        let mut command = world.daemon().command(&["observe", "-f", "-o", "jsonl"]);
        let mut child =
            command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().context("cannot observe")?;
        let lines = BufReader::new(child.stdout.take().context("`observe` has no output")?).lines();
        let records = Arc::<Mutex<(Vec<Value>, u64)>>::default();
        let kept = records.clone();
        let thread = thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                let Ok(record) = serde_json::from_str::<Value>(&line) else { panic!("not JSON: {line}") };
                let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
                if record["schema"] == "enforcer.missed/v1" {
                    kept.1 += record["lost"].as_u64().unwrap_or(0);
                } else if record["cut"].is_object() {
                    kept.0.push(record);
                }
            }
        });
        Ok(Self { records, child, thread: Some(thread) })
    }

    fn read(&self) -> (Vec<Value>, u64) {
        self.records.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for Told {
    fn drop(&mut self) {
        // It may have ended with its daemon.
        let _ = self.child.kill();
        let _ = self.child.wait();
        if let Some(thread) = self.thread.take() {
            // One that panicked has said so.
            let _said = thread.join();
        }
    }
}

/// A flow as both its packets' records and its sockets name it: protocol, client, server.
pub type Name = (String, SocketAddr, SocketAddr);

/// The name of a flow that sockets drive.
#[must_use]
pub fn name(flow: &FlowState) -> Name {
    let protocol = if flow.kind == StreamKind::Tcp { "tcp" } else { "udp" };
    (protocol.to_owned(), flow.client, flow.server)
}

/// How many records there are of each flow at each hook. Servers' ports are the known ones.
#[must_use]
pub fn by_flow_and_hook(records: &[Value]) -> BTreeMap<(Name, u64), usize> {
    let mut found = BTreeMap::new();
    for record in records {
        let end = |end: &str| {
            let ip: IpAddr = record[end]["ip"].as_str().and_then(|ip| ip.parse().ok()).expect("an address");
            let port = record[end]["port"].as_u64().and_then(|port| port.try_into().ok()).expect("a port");
            SocketAddr::new(ip, port)
        };
        let (source, destination) = (end("source"), end("destination"));
        let forward = (CUT..CUT + PORTS).contains(&destination.port());
        let (client, server) = if forward { (source, destination) } else { (destination, source) };
        let protocol = record["protocol"].as_str().expect("a protocol").to_owned();
        let hook = record["ifindex"].as_u64().expect("a hook");
        *found.entry(((protocol, client, server), hook)).or_default() += 1;
    }
    found
}
