//! A host and its workloads, each in a network namespace of its own.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::{fs, thread};

use anyhow::{Context, Result};
use enforcer_agent::datapath::DatapathError;
use enforcer_agent::kernel::{Kernel, KernelConfig};

use crate::daemon::{Daemon, DaemonOptions};
use crate::leftovers::{SEPARATOR, Traces, sweep};
use crate::{Namespace, Resident, ip, kernel, resident};

/// The host's address towards every workload.
const GATEWAY_V4: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 1);
const GATEWAY_V6: Ipv6Addr = Ipv6Addr::new(0xfd77, 0, 0, 0, 0, 0, 0, 1);
/// The kernel takes no longer names for devices.
const MAX_DEVICE_NAME: usize = 15;
/// Worlds whose process died are swept by later worlds of the same kind.
const TEST: &str = "enforcer-test";
/// Leaves the worlds of failing tests up.
const KEEP: &str = "ENFORCER_KEEP";

/// A host with workloads. Everything goes away on drop.
#[derive(Debug)]
pub struct World {
    traces: Traces,
    host: Namespace,
    workloads: Vec<Workload>,
    daemon: Option<Daemon>,
    cgroup: PathBuf,
    keep: bool,
}

/// One workload: its namespace, its addresses and the host side of its veth pair.
#[derive(Debug, Clone)]
pub struct Workload {
    name: String,
    namespace: Namespace,
    interface: String,
    v4: Ipv4Addr,
    v6: Ipv6Addr,
}

impl World {
    /// A world for the test function around `here`; use the macro [`world!`](crate::world!).
    #[must_use]
    pub fn of<F>(_here: F) -> Self {
        let path = std::any::type_name::<F>();
        let function = path.strip_suffix("::here").unwrap_or(path).trim_end_matches("::{{closure}}");
        let function = function.rsplit("::").next().unwrap_or(function);
        Self::new(TEST, function).unwrap_or_else(|error| panic!("cannot make a world: {error:#}"))
    }

    /// A world of some kind. Takes away what earlier worlds of this kind left whose process is gone.
    pub fn new(kind: &str, name: &str) -> Result<Self> {
        static SERIAL: AtomicU32 = AtomicU32::new(0);
        sweep(kind);
        kernel::mount_bpffs()?;
        let name: String = name.chars().filter(|c| c.is_ascii_alphanumeric() || *c == '_').take(40).collect();
        let serial = SERIAL.fetch_add(1, Ordering::Relaxed);
        let world =
            [kind, &name, &std::process::id().to_string(), &serial.to_string()].join(&SEPARATOR.to_string());
        let traces = Traces { world };
        // From here on, failing takes away what was made.
        let guard = Guard(&traces);
        fs::create_dir_all(traces.dir())
            .with_context(|| format!("cannot create `{}`", traces.dir().display()))?;
        let cgroup = kernel::make_cgroup(&traces.world)?;
        let host = make_namespace(&traces, "host")?;
        host.set(&[
            ("ipv4/ip_forward", "1"),
            ("ipv6/conf/all/forwarding", "1"),
            // The address a packet comes from is the enforcer's business here, not the router's.
            ("ipv4/conf/all/rp_filter", "0"),
            ("ipv4/conf/default/rp_filter", "0"),
            // Neither may limit what a test can observe.
            ("ipv4/icmp_ratelimit", "0"),
            ("ipv6/icmp/ratelimit", "0"),
        ])?;
        std::mem::forget(guard);
        Ok(Self { traces, host, workloads: Vec::new(), daemon: None, cgroup, keep: false })
    }

    /// Adds a workload at 10.77.0.`number` and fd77::`number` (the digits are the same), behind `enf-<name>`.
    pub fn workload(&mut self, name: &str, number: u8) -> Workload {
        let v6 = format!("fd77::{number}").parse().expect("digits make an address");
        let interface: String = format!("enf-{name}").chars().take(MAX_DEVICE_NAME).collect();
        self.add(name, &interface, Ipv4Addr::new(10, 77, 0, number), v6)
            .unwrap_or_else(|error| panic!("cannot add workload `{name}`: {error:#}"))
    }

    /// Adds a workload with chosen addresses and a chosen name for the host's side of its veth pair.
    pub fn add(&mut self, name: &str, interface: &str, v4: Ipv4Addr, v6: Ipv6Addr) -> Result<Workload> {
        let namespace = make_namespace(&self.traces, name)?;
        let inside = namespace.name();
        ip::batch(
            Some(self.host.name()),
            &[
                format!("link add {interface} type veth peer name eth0 netns {inside}"),
                format!("address add {GATEWAY_V4}/32 dev {interface}"),
                format!("address add {GATEWAY_V6}/128 dev {interface} nodad"),
                format!("link set {interface} up"),
            ],
        )?;
        ip::batch(
            Some(inside),
            &[
                format!("address add {v4}/32 dev eth0"),
                format!("address add {v6}/128 dev eth0 nodad"),
                "link set eth0 up".to_owned(),
                format!("route add {GATEWAY_V4} dev eth0 src {v4}"),
                format!("route add default via {GATEWAY_V4} dev eth0 src {v4}"),
                format!("route add {GATEWAY_V6} dev eth0 src {v6}"),
                format!("route add default via {GATEWAY_V6} dev eth0 src {v6}"),
            ],
        )?;
        ip::batch(
            Some(self.host.name()),
            &[format!("route add {v4} dev {interface}"), format!("route add {v6} dev {interface}")],
        )?;
        let workload = Workload { name: name.to_owned(), namespace, interface: interface.to_owned(), v4, v6 };
        self.workloads.push(workload.clone());
        Ok(workload)
    }

    /// Takes a workload away, device and all.
    pub fn remove(&mut self, workload: &Workload) -> Result<()> {
        self.workloads.retain(|other| other.name != workload.name);
        ip::batch(Some(self.host.name()), &[format!("link delete {}", workload.interface)])?;
        ip::batch(None, &[format!("netns delete {}", workload.namespace.name())])
    }

    /// Runs lines of `ip`'s batch language on the host, for instance `link set enf-web name enf-other`.
    pub fn ip(&self, lines: &[&str]) -> Result<()> {
        let lines: Vec<_> = lines.iter().map(|line| (*line).to_owned()).collect();
        ip::batch(Some(self.host.name()), &lines)
    }

    /// The namespace where the daemon runs.
    #[must_use]
    pub fn host(&self) -> &Namespace {
        &self.host
    }

    /// The host's address towards every workload.
    #[must_use]
    pub fn gateway(&self, v6: bool) -> IpAddr {
        if v6 { GATEWAY_V6.into() } else { GATEWAY_V4.into() }
    }

    /// The workloads, in the order in which they came.
    #[must_use]
    pub fn workloads(&self) -> &[Workload] {
        &self.workloads
    }

    /// The network namespace of a process, which goes away with the world.
    pub fn adopt(&self, member: &str, pid: u32) -> Result<Namespace> {
        let name = format!("{}{SEPARATOR}{member}", self.traces.world);
        ip::batch(None, &[format!("netns attach {name} {pid}")])?;
        Namespace::open(&name)
    }

    /// A directory of this world's own.
    #[must_use]
    pub fn dir(&self) -> PathBuf {
        self.traces.dir()
    }

    /// Where this world's daemon pins its programs and maps.
    #[must_use]
    pub fn pins(&self) -> PathBuf {
        self.traces.pins()
    }

    /// What a daemon or a test has pinned there, by its place below the layout's own directory: `maps/CONTROL`.
    #[must_use]
    pub fn pinned(&self, what: &str) -> PathBuf {
        let layouts = fs::read_dir(self.pins()).into_iter().flatten().flatten();
        let mut there = layouts.map(|layout| layout.path().join(what)).filter(|path| path.exists());
        there.next().unwrap_or_else(|| panic!("`{what}` isn't pinned"))
    }

    /// The packet path with its pins in this world's place.
    #[must_use]
    pub fn kernel_config(&self) -> KernelConfig {
        KernelConfig { bpffs: self.pins(), ..KernelConfig::default() }
    }

    /// Loads the packet path on the host, or adopts it.
    pub fn open_kernel(&self) -> Result<Kernel, DatapathError> {
        let config = self.kernel_config();
        self.host().enter(|| Kernel::open(&config))
    }

    /// Starts the real daemon on the host and waits until it enforces.
    pub fn start_daemon(&mut self, options: DaemonOptions) -> Result<&mut Daemon> {
        let daemon = Daemon::start(&self.traces, &self.host, &self.cgroup, options)?;
        let daemon = self.daemon.insert(daemon);
        daemon.wait_until_ready()?;
        Ok(daemon)
    }

    /// Starts a process on the host, in a cgroup below this world's own, such as `system.slice/db.service`.
    pub fn resident(&self, cgroup: &str) -> Resident {
        let start = || Resident::start(&self.host, &resident::make(&self.cgroup, cgroup)?);
        start().unwrap_or_else(|error| panic!("cannot start a process in `{cgroup}`: {error:#}"))
    }

    /// The same, in a workload's network namespace.
    pub fn resident_of(&self, workload: &Workload, cgroup: &str) -> Resident {
        let start = || Resident::start(workload.namespace(), &resident::make(&self.cgroup, cgroup)?);
        start().unwrap_or_else(|error| panic!("cannot start a process in `{cgroup}`: {error:#}"))
    }

    /// The cgroup of this world's own, where its daemon may hook sockets.
    #[must_use]
    pub fn cgroup(&self) -> &Path {
        &self.cgroup
    }

    /// The daemon, once started.
    #[must_use]
    pub fn daemon(&mut self) -> &mut Daemon {
        self.daemon.as_mut().expect("no daemon was started in this world")
    }

    /// Leaves everything up when the world is dropped, and says how to enter it.
    pub fn keep(&mut self) {
        self.keep = true;
    }

    /// What to type to look around.
    #[must_use]
    pub fn how_to_enter(&self) -> String {
        let mut lines = vec![format!("  host      {}", self.host.how_to_enter())];
        for workload in &self.workloads {
            lines.push(format!("  {:9} {}", workload.name, workload.namespace.how_to_enter()));
        }
        if let Some(daemon) = &self.daemon {
            lines.push(format!(
                "  control   {} --socket {} status",
                daemon.program().display(),
                daemon.socket().display()
            ));
            lines.push(format!("  log       {}", daemon.log_path().display()));
        }
        lines.join("\n")
    }
}

impl Drop for World {
    fn drop(&mut self) {
        let failing = thread::panicking();
        if failing {
            if let Some(daemon) = &self.daemon {
                eprintln!("the daemon's last words:\n{}", daemon.log_tail(40));
            }
            self.keep |= std::env::var_os(KEEP).is_some();
        }
        if self.keep {
            eprintln!("{} stays up:\n{}", self.traces.world, self.how_to_enter());
            if let Some(daemon) = self.daemon.take() {
                daemon.leave_running();
            }
            return;
        }
        if failing {
            eprintln!("with {KEEP}=1 the world stays up, and this enters it:\n{}", self.how_to_enter());
        }
        // Before the namespaces, or it would see them go.
        self.daemon = None;
        for fault in self.traces.remove() {
            eprintln!("{fault}");
        }
    }
}

impl Workload {
    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The host's side of its veth pair.
    #[must_use]
    pub fn interface(&self) -> &str {
        &self.interface
    }

    /// Its IPv4 address.
    #[must_use]
    pub fn v4(&self) -> IpAddr {
        self.v4.into()
    }

    /// Its IPv6 address.
    #[must_use]
    pub fn v6(&self) -> IpAddr {
        self.v6.into()
    }

    /// Its address in the family of another one.
    #[must_use]
    pub fn address(&self, v6: bool) -> IpAddr {
        if v6 { self.v6() } else { self.v4() }
    }

    /// A Workload document for it: its name as the label `app`, its interface and its addresses.
    #[must_use]
    pub fn document(&self) -> String {
        let Self { name, interface, v4, v6, .. } = self;
        format!(
            "---\napiVersion: enforcer.dev/v1alpha1\nkind: Workload\nmetadata: {{name: {name}}}\nspec:\n  \
             labels: {{app: {name}}}\n  match: [{{interface: {interface}}}]\n  addresses: [{v4}, \"{v6}\"]\n"
        )
    }

    /// Its network namespace.
    #[must_use]
    pub fn namespace(&self) -> &Namespace {
        &self.namespace
    }
}

impl Deref for Workload {
    type Target = Namespace;

    fn deref(&self) -> &Namespace {
        &self.namespace
    }
}

/// Takes away a half-made world.
struct Guard<'a>(&'a Traces);

impl Drop for Guard<'_> {
    fn drop(&mut self) {
        self.0.remove();
    }
}

fn make_namespace(traces: &Traces, member: &str) -> Result<Namespace> {
    let name = format!("{}{SEPARATOR}{member}", traces.world);
    ip::batch(None, &[format!("netns add {name}")])?;
    let namespace = Namespace::open(&name)?;
    namespace.set(&[
        // Link-local addresses are usable at once; without this, for the first second or two they aren't.
        ("ipv6/conf/all/accept_dad", "0"),
        ("ipv6/conf/default/accept_dad", "0"),
        ("ipv6/conf/default/router_solicitations", "0"),
        // What a link reports of groups when it comes up is over before anybody counts.
        ("ipv6/conf/default/mldv2_unsolicited_report_interval", "1"),
    ])?;
    ip::batch(Some(&name), &["link set lo up".to_owned()])?;
    Ok(namespace)
}
