//! A daemon that is killed, stopped, starved of memory or followed by another release, while 10,000 datagrams a second that may pass and as many
//! that may not meet the hooks on devices, and as many again those at sockets: none is lost, none slips through.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use enforcer_tests::release::Larger;
use enforcer_tests::{
    DaemonOptions, Ends, MemoryLimit, Resident, Volley, Workload, World, documents, policy, unit, world,
};
use rustix::process::Signal;

const ALLOWED: u16 = 443;
const FORBIDDEN: u16 = 444;
/// How long each state of the daemon is watched.
const WHILE: Duration = Duration::from_millis(300);
/// Leaves the daemon as it is, and not one large policy set more.
const MEMORY: u64 = 8 << 20;

/// Two workloads behind devices, two services, and a datagram's way between each two.
struct Scene {
    // Taken down last.
    residents: [Resident; 3],
    world: World,
    devices: [Workload; 2],
}

impl Scene {
    fn begin(mut world: World) -> Self {
        let devices = [("web", 10), ("checkout", 20)].map(|(name, number)| world.workload(name, number));
        let residents = ["system.slice/a.service", "system.slice/b.service", "somebody"]
            .map(|cgroup| world.resident(cgroup));
        let rules =
            policy("shop", "", &["web -> checkout udp/443"]) + &policy("units", "", &["a -> b udp/443"]);
        let text = documents(
            &[&devices[0], &devices[1]],
            &["a", "b"].map(unit).into_iter().chain([rules]).collect::<Vec<_>>(),
        );
        world.start_daemon(DaemonOptions::with_policy(&text)).unwrap();
        Self { residents, world, devices }
    }

    fn volleys(&mut self) -> [Volley; 2] {
        let [web, checkout] = &self.devices;
        let on_devices = Volley::begin(web, (checkout, ALLOWED), (checkout, FORBIDDEN)).unwrap();
        let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let to = |port| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let [a, b, somebody] = &mut self.residents;
        let towards = |from: &mut Resident, port| -> UdpSocket {
            let socket = from.udp_socket(any);
            socket.connect(to(port)).unwrap();
            socket
        };
        let may = towards(a, ALLOWED);
        // What a sends is judged where it sends, what nobody's workload sends where b receives.
        let must_not = vec![towards(a, FORBIDDEN), towards(somebody, FORBIDDEN)];
        let (echo, trap) = (b.udp_socket(to(ALLOWED)), b.udp_socket(to(FORBIDDEN)));
        [on_devices, Volley::between(Ends { may, must_not, echo, trap }).unwrap()]
    }

    /// Starts this binary in place of the last, and waits until it enforces.
    fn follow(&mut self, program: &Path) {
        self.world.daemon().start_again(program).unwrap();
        self.world.daemon().wait_until_ready().unwrap();
        thread::sleep(WHILE);
    }

    /// How many datagrams each rule has let pass.
    fn passed(&mut self) -> [u64; 2] {
        let counts = self.world.daemon().counts().unwrap();
        ["shop#0", "units#0"].map(|rule| counts.get(rule).copied().unwrap_or(0))
    }

    /// Holds what became of every datagram, and that each was judged at both ends.
    fn end(&mut self, volleys: [Volley; 2], before: [u64; 2], note: &str) {
        let fates = volleys.map(Volley::end);
        let passed = self.passed();
        for (n, place) in ["devices", "sockets"].into_iter().enumerate() {
            let note = format!("{note}, at {place}");
            fates[n].assert_whole(&note);
            assert_eq!(passed[n] - before[n], 2 * (fates[n].allowed + fates[n].echoed), "{note}: judged");
        }
    }
}

#[test]
fn e98_e100_no_datagram_is_lost_or_slips_through_whatever_becomes_of_the_daemon() {
    let mut scene = Scene::begin(world!());
    let this = scene.world.daemon().program().to_owned();
    let other = Larger::Reasons.binary(&this, &scene.world.dir()).unwrap();
    let before = scene.passed();
    let volleys = scene.volleys();
    thread::sleep(WHILE);

    scene.world.daemon().signal(Signal::STOP).unwrap();
    thread::sleep(WHILE);
    scene.world.daemon().signal(Signal::CONT).unwrap();
    thread::sleep(WHILE);

    scene.world.daemon().signal(Signal::KILL).unwrap();
    thread::sleep(WHILE);
    scene.follow(&this);

    // Other maps and other programs, and back again.
    scene.follow(&other);
    scene.follow(&this);
    scene.end(volleys, before, "stopped, killed, an upgrade, a downgrade");
}

#[test]
fn e98_a_daemon_that_the_kernel_kills_for_want_of_memory_leaves_everything_enforced() {
    let mut scene = Scene::begin(world!());
    let this = scene.world.daemon().program().to_owned();
    let pid = scene.world.daemon().id().unwrap();
    let Some(limit) = MemoryLimit::of(pid, MEMORY, scene.world.cgroup()).unwrap() else {
        return eprintln!("skipped: nothing counts memory here");
    };
    let before = scene.passed();
    let volleys = scene.volleys();
    thread::sleep(WHILE);
    let flow = |n: u32| format!("{{labels: {{app: from-{n}}}}} -> {{labels: {{app: to-{n}}}}} tcp/443");
    let many: String = (0..10_000).map(|n| policy(&format!("many-{n}"), "", &[&flow(n)])).collect();
    scene.world.daemon().write_policy("many.yaml", &many).unwrap();
    let start = Instant::now();
    while scene.world.daemon().exit_status().unwrap().is_none() {
        assert!(start.elapsed() < Duration::from_secs(60), "it has all the memory that it needs");
        thread::sleep(Duration::from_millis(5));
    }
    assert_eq!(limit.killed().unwrap(), 1, "{}", scene.world.daemon().log_tail(20));
    thread::sleep(WHILE);
    fs::remove_file(scene.world.daemon().policies().join("many.yaml")).unwrap();
    scene.follow(&this);
    scene.end(volleys, before, "out of memory");
}
