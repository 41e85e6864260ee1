//! A world under attack: what its daemon counted and recorded of each thing that was tried.

use std::collections::BTreeMap;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::{Daemon, RawPort, Workload, World};

/// How long counters and records may take to come in.
const PATIENCE: Duration = Duration::from_secs(15);
/// Causes under which kernels talk in the background.
const BACKGROUND: [&str; 2] = ["neighbour", "multicast"];

/// Packets by cause: a rule's name (`policy#0`), or a reason's finer name.
pub type Counts = BTreeMap<String, u64>;

impl Daemon {
    /// `status`, as JSON.
    pub fn status(&self) -> Result<Value> {
        self.enforcer(&["status", "-o", "json"])?.json()
    }

    /// Waits until `status` is as `wanted`, and gives it. Panics where it doesn't get so.
    #[track_caller]
    pub fn wait_until(&self, what: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        let start = Instant::now();
        loop {
            let status = self.status().unwrap_or_else(|error| panic!("{what}: {error:#}"));
            if wanted(&status) {
                return status;
            }
            assert!(start.elapsed() < PATIENCE, "{what}: {status:#}\n{}", self.log_tail(20));
            thread::sleep(Duration::from_millis(5));
        }
    }

    /// What has been counted so far.
    pub fn counts(&self) -> Result<Counts> {
        let status = self.status()?;
        let mut counts = Counts::new();
        for (list, name) in [("rules", "rule"), ("reasons", "detail")] {
            for entry in status[list].as_array().context("`status` lists no counters")? {
                let cause = entry[name].as_str().context("a counter without a cause")?;
                counts.insert(
                    cause.to_owned(),
                    entry["packets"].as_u64().context("a counter without packets")?,
                );
            }
        }
        Ok(counts)
    }

    /// Every record that the daemon still has.
    pub fn records(&self) -> Result<Vec<Value>> {
        let output = self.enforcer(&["observe", "-o", "jsonl"])?;
        if output.code != Some(0) {
            bail!("`observe` failed: {}", output.stderr.trim());
        }
        let parsed = output.stdout.lines().map(serde_json::from_str);
        parsed.collect::<Result<_, _>>().with_context(|| format!("not JSON lines: `{}`", output.stdout))
    }
}

/// A FlowPolicy document with these fields of `spec` and one flow for each line `from -> to ports`, where the ends are values of the label
/// `app` or whole selectors. A line may start with `deny`.
#[must_use]
pub fn policy(name: &str, fields: &str, flows: &[&str]) -> String {
    let selector = |text: &str| {
        let text = text.trim();
        if text.starts_with('{') { text.to_owned() } else { format!("{{labels: {{app: {text}}}}}") }
    };
    let flow = |line: &&str| {
        let (action, line) = line.strip_prefix("deny ").map_or(("allow", *line), |rest| ("deny", rest));
        let (from, rest) = line.split_once("->").expect("an arrow");
        let (to, ports) = rest.trim().rsplit_once(' ').expect("ports");
        format!(
            "    - {{action: {action}, from: [{}], to: [{}], ports: [{ports}]}}\n",
            selector(from),
            selector(to)
        )
    };
    let flows: String = flows.iter().map(flow).collect();
    let fields = if fields.is_empty() { String::new() } else { format!("  {fields}\n") };
    format!(
        "---\napiVersion: enforcer.dev/v1alpha1\nkind: FlowPolicy\nmetadata: {{name: {name}}}\nspec:\n{fields}  flows:\n{flows}"
    )
}

/// A service with a label of its own name.
#[must_use]
pub fn unit(name: &str) -> String {
    format!(
        "---\napiVersion: enforcer.dev/v1alpha1\nkind: Workload\nmetadata: {{name: {name}}}\n\
         spec: {{labels: {{app: {name}}}, match: [{{unit: {name}.service}}]}}\n"
    )
}

/// Documents as one text.
#[must_use]
pub fn documents(workloads: &[&Workload], rest: &[String]) -> String {
    workloads.iter().map(|workload| workload.document()).chain(rest.iter().cloned()).collect()
}

/// The cause that a record states: a rule's name, or a reason's finer name.
#[must_use]
pub fn cause(record: &Value) -> &str {
    let cause = &record["cause"];
    ["rule", "detail", "reason"].iter().find_map(|key| cause[*key].as_str()).unwrap_or("nothing")
}

/// What moved from `before` to `after`, without what moves by itself.
#[must_use]
pub fn moved(before: &Counts, after: &Counts) -> Counts {
    let difference = |(cause, count): (&String, &u64)| {
        let more = count.saturating_sub(before.get(cause).copied().unwrap_or(0));
        (more > 0 && !BACKGROUND.contains(&cause.as_str())).then(|| (cause.clone(), more))
    };
    after.iter().filter_map(difference).collect()
}

/// Whether a record is of a kernel that tells routers which groups it listens to: it does so unasked, a few times after a device came up.
#[must_use]
pub fn is_membership_talk(record: &Value) -> bool {
    record["protocol"] == "icmpv6" && [131, 132, 143].iter().any(|kind| record["icmp"]["type"] == *kind)
}

/// Watches a daemon's counters and records, from one thing that is tried to the next.
#[derive(Debug)]
pub struct Trial {
    start: Counts,
    /// What was expected since then, altogether.
    expected: Counts,
    /// Records from before.
    before: usize,
    /// Records that were given out.
    given: usize,
}

impl Trial {
    /// From now on.
    #[must_use]
    pub fn new(daemon: &Daemon) -> Self {
        let counts = || daemon.counts().unwrap_or_else(|error| panic!("{error:#}"));
        loop {
            let start = counts();
            // Records come a little after what they are of was counted.
            thread::sleep(Duration::from_millis(30));
            let before = daemon.records().unwrap_or_else(|error| panic!("{error:#}")).len();
            if counts() == start {
                return Self { start, expected: Counts::new(), before, given: before };
            }
        }
    }

    /// Holds that since the last call exactly these causes were counted, so many packets each, and gives the records that came in.
    /// A reason that denies has one record for each packet. Kernels' background talk is left out.
    #[track_caller]
    pub fn expect(&mut self, daemon: &Daemon, note: &str, causes: &[(&str, u64)]) -> Vec<Value> {
        for (cause, count) in causes {
            *self.expected.entry((*cause).to_owned()).or_default() += count;
        }
        let start = Instant::now();
        loop {
            let mut counted =
                moved(&self.start, &daemon.counts().unwrap_or_else(|error| panic!("{error:#}")));
            let mut records = daemon.records().unwrap_or_else(|error| panic!("{error:#}"));
            let seen = records.len();
            for talk in records.iter().skip(self.before).filter(|record| is_membership_talk(record)) {
                if let Some(count) = counted.get_mut(cause(talk)) {
                    *count -= 1;
                }
            }
            counted.retain(|_, count| *count > 0);
            let mut fresh = records.split_off(self.given.min(seen));
            fresh.retain(|record| !is_membership_talk(record));
            let told = |cause: &str, count: u64| {
                let counter = |record: &&Value| self::cause(record) == cause;
                cause.contains('#')
                    || cause == "segment-off"
                    || fresh.iter().filter(counter).count() as u64 == count
            };
            if counted == self.expected && causes.iter().all(|(cause, count)| told(cause, *count)) {
                self.given = seen;
                return fresh;
            }
            assert!(
                start.elapsed() < PATIENCE,
                "{note}: expected {causes:?}; since the beginning {:?} were expected and {counted:?} were counted; new records {fresh:#?}",
                self.expected,
            );
            thread::sleep(Duration::from_millis(5));
        }
    }
}

/// A workload's end of the cable, whose kernel says nothing by itself: every frame on it was made by the test.
#[derive(Debug)]
pub struct Cable {
    port: RawPort,
    far: [u8; 6],
}

impl Cable {
    /// Takes a workload's addresses from its kernel and gives the host fixed neighbours instead.
    pub fn mute(world: &World, workload: &Workload) -> Result<Self> {
        let port = RawPort::open(workload.namespace(), "eth0").context("cannot open `eth0`")?;
        let far =
            RawPort::open(world.host(), workload.interface()).context("cannot open the host's side")?.mac();
        workload.set(&[("ipv6/conf/eth0/disable_ipv6", "1")])?;
        let status = workload.command("ip").args(["address", "flush", "dev", "eth0"]).status();
        if !status.context("cannot run `ip`")?.success() {
            bail!("cannot take the addresses of `{}` away", workload.name());
        }
        let hardware = port.mac().map(|byte| format!("{byte:02x}")).join(":");
        let neighbour = |address: std::net::IpAddr| {
            format!(
                "neighbour replace {address} lladdr {hardware} dev {} nud permanent",
                workload.interface()
            )
        };
        world.ip(&[&neighbour(workload.v4()), &neighbour(workload.v6())])?;
        Ok(Self { port, far })
    }

    /// Its hardware address.
    #[must_use]
    pub fn mac(&self) -> [u8; 6] {
        self.port.mac()
    }

    /// The hardware address of the host's end.
    #[must_use]
    pub fn far(&self) -> [u8; 6] {
        self.far
    }

    /// Sends a frame to the host's end; the frame's own hardware addresses are replaced.
    pub fn send(&mut self, mut frame: Vec<u8>) {
        let (destination, source) = (self.far, self.port.mac());
        frame[..6].copy_from_slice(&destination);
        frame[6..12].copy_from_slice(&source);
        self.send_as_is(&frame);
    }

    /// Sends a frame, hardware addresses and all.
    pub fn send_as_is(&mut self, frame: &[u8]) {
        self.port.send(frame).unwrap_or_else(|error| panic!("cannot send {} bytes: {error}", frame.len()));
    }

    /// Whether a frame that ends like this one arrives. Frames' first bytes change on the way.
    pub fn arrives(&mut self, tail: &[u8]) -> bool {
        self.port.receive(Duration::from_secs(2), |frame| frame.ends_with(tail)).is_some()
    }
}
