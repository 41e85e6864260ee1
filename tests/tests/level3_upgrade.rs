//! Another release takes over: other maps, other programs, the same packets. Not one goes unjudged, and what is allowed goes on.

use std::fs;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use enforcer_agent::datapath::Datapath;
use enforcer_agent::kernel::{Kernel, KernelConfig};
use enforcer_common::Reason;
use enforcer_common::maps::{ReasonCounter, RuleCounter, Tally};
use enforcer_policy::compile::Image;
use enforcer_tests::foreign::Object;
use enforcer_tests::images::{allowing, free, subject_of};
use enforcer_tests::release::Larger;
use enforcer_tests::{DaemonOptions, Stream, StreamKind, Volley, Workload, World, documents, policy, world};

const ALLOWED: u16 = 443;
const FORBIDDEN: u16 = 444;

fn shop(world: &mut World, more: &[String]) -> (Workload, Workload) {
    let (web, checkout) = (world.workload("web", 10), world.workload("checkout", 20));
    let rules = policy("shop", "", &["web -> checkout udp/443", "web -> checkout tcp/443"]);
    let text = documents(&[&web, &checkout], &[&[rules], more].concat());
    world.start_daemon(DaemonOptions::with_policy(&text)).unwrap();
    (web, checkout)
}

fn begin(web: &Workload, checkout: &Workload) -> Volley {
    Volley::begin(web, (checkout, ALLOWED), (checkout, FORBIDDEN)).unwrap()
}

/// Starts this binary where the last one was killed, and waits until it enforces.
fn change_to(world: &mut World, program: &Path) {
    world.daemon().start_again(program).unwrap();
    world.daemon().wait_until_ready().unwrap();
}

fn layouts(world: &World) -> Vec<PathBuf> {
    let all = fs::read_dir(world.pins()).unwrap().map(|entry| entry.unwrap().path());
    all.filter(|path| path.join("links").is_dir()).collect()
}

/// The packets that this map counted for a reason, on every CPU.
fn counted(reasons: &Object, reason: Reason) -> u64 {
    let one = size_of::<ReasonCounter>();
    let cpus = cpus();
    let packets = |value: &[u8]| u64::from_ne_bytes(value[..8].try_into().unwrap());
    assert_eq!(std::mem::offset_of!(RuleCounter, packets), 0);
    let of = |tally: Tally| {
        let slot = tally.slot(Some(reason as u32)).to_ne_bytes();
        let values = reasons.read(&slot, one * cpus).unwrap();
        values.chunks(one).map(packets).sum::<u64>()
    };
    Tally::all().map(of).sum()
}

/// How many CPUs the kernel keeps counters for.
fn cpus() -> usize {
    let possible = fs::read_to_string("/sys/devices/system/cpu/possible").unwrap();
    let last = possible.trim().rsplit([',', '-']).next().unwrap();
    last.parse::<usize>().unwrap() + 1
}

#[test]
fn e100_an_upgrade_and_a_downgrade_lose_no_packet_and_let_none_slip() {
    let mut world = world!();
    let (web, checkout) = shop(&mut world, &[]);
    let this = world.daemon().program().to_owned();
    let other = Larger::Reasons.binary(&this, &world.dir()).unwrap();
    let stream = Stream::open(&web, &checkout, false, StreamKind::Tcp, ALLOWED).unwrap();
    let epoch = world.daemon().status().unwrap()["epoch"].as_u64().unwrap();
    let mut reasons = vec![Object::open(&world.pinned("maps/REASONS")).unwrap()];
    let before = world.daemon().counts().unwrap();

    let volley = begin(&web, &checkout);
    let first = layouts(&world);
    for (program, note) in [(&other, "an upgrade"), (&this, "a downgrade")] {
        thread::sleep(Duration::from_millis(300));
        for meter in stream.meters() {
            meter.reset();
        }
        change_to(&mut world, program);
        thread::sleep(Duration::from_millis(300));
        for meter in stream.meters() {
            let seen = meter.read();
            assert!(seen.bytes > 0 && seen.longest_gap < Duration::from_secs(1), "{note}: {seen:?}");
        }
        let now = layouts(&world);
        assert_eq!((now.len(), now == first), (1, *program == this), "{note}: {now:?}");
        reasons.push(Object::open(&world.pinned("maps/REASONS")).unwrap());
    }
    let fate = volley.end();
    assert_eq!(stream.lost(), Some(0), "segments of the connection that was open before");
    fate.assert_whole("an upgrade and a downgrade");

    // Each packet was judged, once at each hook on its way: the counters of rules went along, those of reasons are a map of each layout.
    let counts = world.daemon().counts().unwrap();
    let passed = counts["shop#0"] - before.get("shop#0").unwrap_or(&0);
    assert_eq!(passed, 2 * (fate.allowed + fate.echoed), "{counts:?}");
    let denied: Vec<u64> = reasons.iter().map(|map| counted(map, Reason::NoRule)).collect();
    assert_eq!(denied.iter().sum::<u64>(), fate.forbidden, "{denied:?}");
    assert!(denied.iter().all(|count| *count > 0), "each layout judged some: {denied:?}");
    assert!(world.daemon().status().unwrap()["epoch"].as_u64().unwrap() >= epoch + 2);
}

/// Devices that make taking over take longer.
const MORE: usize = 60;

/// Starts this binary and kills it while it takes the links over. Whether it was in the midst of that.
fn killed_at_it(world: &mut World, program: &Path) -> bool {
    let before = layouts(world);
    world.daemon().start_again(program).unwrap();
    let start = Instant::now();
    let links = |layout: &Path| fs::read_dir(layout.join("links")).map_or(0, Iterator::count);
    let taken = || {
        let all = fs::read_dir(world.pins()).into_iter().flatten().flatten().map(|entry| entry.path());
        all.filter(|path| !before.contains(path)).map(|path| links(&path)).sum::<usize>()
    };
    while taken() == 0 {
        assert!(start.elapsed() < Duration::from_secs(60), "nothing was taken over");
    }
    world.daemon().kill().unwrap();
    before.iter().all(|layout| links(layout) > 0)
}

#[test]
fn e100_a_daemon_killed_while_it_takes_over_is_followed_by_either_release() {
    let mut world = world!();
    let lines: Vec<String> =
        (0..MORE).map(|n| format!("link add enf-more{n} type veth peer name enf-end{n}")).collect();
    world.ip(&lines.iter().map(String::as_str).collect::<Vec<_>>()).unwrap();
    let more = "---\napiVersion: enforcer.dev/v1alpha1\nkind: Workload\nmetadata: {name: more}\nspec:\n  \
                labels: {app: more}\n  match: [{interface: enf-more*}]\n  addresses: [10.88.0.1]\n";
    let (web, checkout) = shop(&mut world, &[more.to_owned()]);
    let all = |world: &mut World| {
        world.daemon().wait_until("every hook", |status| {
            let attached = status["workloads"].as_array().unwrap().iter();
            let attached = attached.flat_map(|one| one["interfaces"].as_array().unwrap());
            attached.filter(|one| one["attached"] == true).count() == MORE + 2
        })
    };
    all(&mut world);
    let this = world.daemon().program().to_owned();
    let other = Larger::Reasons.binary(&this, &world.dir()).unwrap();
    let stream = Stream::open(&web, &checkout, false, StreamKind::Tcp, ALLOWED).unwrap();
    let volley = begin(&web, &checkout);
    // Who is killed, and who comes after: the same release, or the one before.
    let mut in_force = &this;
    for (follower, note) in [(&other, "the same again"), (&other, "the one before")] {
        let killed = if *in_force == this { &other } else { &this };
        let tried = (0..20).find(|_| {
            let midst = killed_at_it(&mut world, killed);
            if !midst {
                // It got through: back, and once more.
                change_to(&mut world, in_force);
            }
            midst
        });
        assert!(tried.is_some(), "{note}: never caught in the midst of it");
        change_to(&mut world, follower);
        in_force = follower;
        let status = all(&mut world);
        assert_eq!(status["tamper"]["count"], 0, "{note}: {status:#}");
        assert_eq!(layouts(&world).len(), 1, "{note}");
    }
    let fate = volley.end();
    assert_eq!(stream.lost(), Some(0), "segments of the connection that was open before");
    fate.assert_whole("two takeovers that were killed");
}

#[test]
fn e100_a_link_with_a_pin_in_either_layout_stays_where_it_is() {
    let mut world = world!();
    let web = world.workload("web", 10);
    let host = world.host().clone();
    let ifindex = host.index_of(web.interface()).unwrap();
    let open = |config: &KernelConfig| host.enter(|| Kernel::open(config)).unwrap();
    let other =
        KernelConfig { object: Some(Larger::Reasons.object().unwrap().into()), ..world.kernel_config() };
    let mut old = open(&world.kernel_config());
    old.install(&Image::default(), &[(ifindex, free())]).unwrap();
    host.enter(|| old.attach(ifindex, web.interface())).unwrap();
    drop(old);
    let before = layouts(&world);
    drop(open(&other));
    // What a daemon leaves that is killed between the new pin and the old one's removal.
    let new = layouts(&world).into_iter().find(|layout| !before.contains(layout)).unwrap();
    let name = format!("links/{ifindex}-egress");
    Object::open(&before[0].join(&name)).unwrap().pin(&new.join(&name)).unwrap();
    let mut new = open(&other);
    host.enter(|| new.install(&Image::default(), &[(ifindex, free())])).unwrap();
    let found = host.enter(|| new.inspect());
    assert!(found.faults.is_empty() && found.errors.is_empty(), "{found:?}");
    assert_eq!(host.enter(|| new.attached()).unwrap().len(), 1);
}

#[test]
fn e100_flows_of_another_shape_begin_anew() {
    let mut world = world!();
    let (web, checkout) = shop(&mut world, &[]);
    let this = world.daemon().program().to_owned();
    let other = Larger::Flows4.binary(&this, &world.dir()).unwrap();
    let streams =
        [false, true].map(|v6| Stream::open(&web, &checkout, v6, StreamKind::Tcp, ALLOWED).unwrap());
    let volley = begin(&web, &checkout);
    thread::sleep(Duration::from_millis(300));
    change_to(&mut world, &other);
    for meter in streams.iter().flat_map(Stream::meters) {
        meter.reset();
    }
    thread::sleep(Duration::from_millis(500));
    let fate = volley.end();
    println!("other flow tables: {fate:?}");
    assert_eq!(fate.slipped, 0, "of {}", fate.forbidden);
    // A datagram of the client's opens its flow anew. Echoes that come before one are nobody's.
    assert_eq!(fate.arrived, fate.allowed);
    assert!(fate.returned <= fate.echoed && fate.echoed == fate.arrived, "{fate:?}");
    let bytes = |stream: &Stream| stream.meters().map(|meter| meter.read().bytes);
    assert_eq!(bytes(&streams[0]), [0, 0], "a connection needs its SYN");
    assert!(bytes(&streams[1]).iter().all(|bytes| *bytes > 0), "IPv6 flows went along");
}

#[test]
fn e100_classifiers_change_layouts_without_a_gap() {
    let mut world = world!();
    let [web, checkout, ledger] =
        [("web", 10), ("checkout", 20), ("ledger", 30)].map(|(name, number)| world.workload(name, number));
    let host = world.host().clone();
    let ifindex = host.index_of(web.interface()).unwrap();
    let this = KernelConfig { tcx: Some(false), ..world.kernel_config() };
    let other = KernelConfig { object: Some(Larger::Reasons.object().unwrap().into()), ..this.clone() };
    let install = |config: &KernelConfig| {
        let mut kernel = host.enter(|| Kernel::open(config)).unwrap();
        let subject = subject_of([10, 77, 0, 10], 3);
        host.enter(|| kernel.install(&allowing([10, 77, 0, 20], 3), &[(ifindex, subject)])).unwrap();
        kernel
    };
    let mut kernel = install(&this);
    host.enter(|| kernel.attach(ifindex, web.interface())).unwrap();
    drop(kernel);
    let volley = Volley::begin(&web, (&checkout, ALLOWED), (&ledger, FORBIDDEN)).unwrap();
    for config in [&other, &this] {
        thread::sleep(Duration::from_millis(300));
        drop(install(config));
    }
    thread::sleep(Duration::from_millis(300));
    volley.end().assert_whole("classifiers");
}
