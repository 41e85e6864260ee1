//! `stop --detach` leaves the host as it was found.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use enforcer_agent::datapath::Datapath;
use enforcer_agent::kernel::{Kernel, KernelConfig};
use enforcer_policy::compile::Image;
use enforcer_tests::foreign::{Kind, Object, programs_at, programs_on};
use enforcer_tests::images::free;
use enforcer_tests::{DaemonOptions, World, documents, policy, world};
use rustix::process::Pid;

const UNIT: &str = "---
apiVersion: enforcer.dev/v1alpha1
kind: Workload
metadata: {name: unit}
spec: {labels: {app: unit}, match: [{unit: a.service}]}
";

/// What can be told of the host from outside, by what it is about.
fn host(world: &World) -> BTreeMap<String, String> {
    let host = world.host();
    let said = |program: &str, arguments: &str| {
        let output = host.command(program).args(arguments.split(' ')).output().unwrap();
        assert!(output.status.success(), "{program} {arguments}: {output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    let mut state: BTreeMap<String, String> = [
        ("links", "ip", "-d link"),
        ("addresses", "ip", "address"),
        ("routes", "ip", "route show table all"),
        ("qdiscs", "tc", "qdisc show"),
    ]
    .map(|(what, program, arguments)| (what.to_owned(), said(program, arguments)))
    .into();
    let devices = said("ip", "-br link");
    for device in devices.lines().filter_map(|line| line.split(['@', ' ']).next()) {
        let ifindex = host.index_of(device).unwrap();
        for side in ["ingress", "egress"] {
            let filters = said("tc", &format!("filter show dev {device} {side}"));
            let programs = host.enter(|| programs_on(ifindex, side == "ingress")).unwrap();
            state.insert(format!("{side} of {device}"), format!("{programs} programs, filters: {filters}"));
        }
    }
    let at_sockets = [true, false].map(|egress| programs_at(world.cgroup(), egress).unwrap());
    state.insert("programs at sockets".to_owned(), format!("{at_sockets:?}"));
    for (what, dir) in [("pins", world.pins()), ("cgroups", world.cgroup().to_owned())] {
        let mut all = BTreeSet::new();
        list(&dir, &mut all);
        state.insert(what.to_owned(), format!("{all:?}"));
    }
    state
}

/// Everything below a directory.
fn list(dir: &Path, into: &mut BTreeSet<String>) {
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        into.insert(entry.path().display().to_string());
        if entry.file_type().unwrap().is_dir() {
            list(&entry.path(), into);
        }
    }
}

/// The programs, maps and links that a process holds.
fn held(process: Pid) -> BTreeSet<(Kind, u32)> {
    let mut held = BTreeSet::new();
    for entry in fs::read_dir(format!("/proc/{}/fdinfo", process.as_raw_nonzero())).unwrap().flatten() {
        // One that is closed meanwhile isn't held.
        let text = fs::read_to_string(entry.path()).unwrap_or_default();
        for (name, kind) in [("prog_id:", Kind::Program), ("map_id:", Kind::Map), ("link_id:", Kind::Link)] {
            let number = text.lines().find_map(|line| line.strip_prefix(name)?.trim().parse().ok());
            held.extend(number.map(|number| (kind, number)));
        }
    }
    held
}

#[test]
fn detaching_leaves_the_host_exactly_as_it_was_found() {
    let mut world = world!();
    let (web, checkout) = (world.workload("web", 10), world.workload("checkout", 20));
    let resident = world.resident("system.slice/a.service");
    // What others have there stays as it is.
    let host_side = world.host().clone();
    let theirs = host_side.enter(|| {
        let program = Object::classifier(-1, "theirs").unwrap();
        program.run_first(host_side.index_of(web.interface()).unwrap(), true).unwrap()
    });
    let device = checkout.interface();
    for line in [
        format!("qdisc add dev {device} clsact"),
        format!("filter add dev {device} ingress prio 7 protocol all u32 match u32 0 0 flowid 1:1"),
        format!("qdisc add dev {} root pfifo limit 77", web.interface()),
    ] {
        let done = host_side.command("tc").args(line.split(' ')).status().unwrap();
        assert!(done.success(), "{line}");
    }
    let before = host(&world);
    let rules = policy("shop", "", &["web -> checkout tcp/443", "unit -> web tcp/443"]);
    let text = documents(&[&web, &checkout], &[UNIT.to_owned(), rules]);
    world.start_daemon(DaemonOptions::with_policy(&text)).unwrap();
    let changed = |now: &BTreeMap<String, String>| {
        before
            .iter()
            .filter(|(what, text)| now[*what] != **text)
            .map(|(what, _)| what.clone())
            .collect::<Vec<_>>()
    };
    let during = host(&world);
    let hooks: Vec<String> = [&web, &checkout]
        .iter()
        .flat_map(|workload| ["egress", "ingress"].map(|side| format!("{side} of {}", workload.interface())))
        .chain(["pins", "programs at sockets"].map(str::to_owned))
        .collect();
    let sorted = |list: Vec<String>| list.into_iter().collect::<BTreeSet<_>>();
    assert_eq!(sorted(changed(&during)), sorted(hooks), "what the daemon has changed: {during:#?}");
    let held = held(world.daemon().id().unwrap());
    let kinds: BTreeSet<Kind> = held.iter().map(|(kind, _)| *kind).collect();
    assert_eq!(kinds.len(), 3, "{held:?}");

    let stopped = world.daemon().enforcer(&["stop", "--detach"]).unwrap();
    assert_eq!(stopped.code, Some(0), "{stopped:?}");
    let start = Instant::now();
    while world.daemon().exit_status().unwrap().is_none() {
        assert!(start.elapsed() < Duration::from_secs(30), "it doesn't end");
        std::thread::sleep(Duration::from_millis(5));
    }
    assert_eq!(host(&world), before);
    assert!(!world.pins().exists());
    // The kernel takes its time for what nobody holds any more.
    let left = || held.iter().filter(|(kind, number)| kind.has(*number).unwrap()).collect::<Vec<_>>();
    while !left().is_empty() {
        assert!(start.elapsed() < Duration::from_secs(30), "{:?}", left());
        std::thread::sleep(Duration::from_millis(5));
    }
    drop((theirs, resident));
}

#[test]
fn classifiers_that_are_taken_off_leave_no_qdisc_of_ours_and_every_one_of_others() {
    let mut world = world!();
    let (web, checkout) = (world.workload("web", 10), world.workload("checkout", 20));
    let host_side = world.host().clone();
    let device = checkout.interface();
    for line in [
        format!("qdisc add dev {device} clsact"),
        format!("filter add dev {device} egress prio 7 protocol all u32 match u32 0 0 flowid 1:1"),
    ] {
        let done = host_side.command("tc").args(line.split(' ')).status().unwrap();
        assert!(done.success(), "{line}");
    }
    let before = host(&world);
    let config = KernelConfig { tcx: Some(false), ..world.kernel_config() };
    let indexes = [&web, &checkout].map(|workload| host_side.index_of(workload.interface()).unwrap());
    let mut kernel = host_side.enter(|| Kernel::open(&config)).unwrap();
    kernel.install(&Image::default(), &indexes.map(|ifindex| (ifindex, free()))).unwrap();
    for (ifindex, workload) in indexes.iter().zip([&web, &checkout]) {
        host_side.enter(|| kernel.attach(*ifindex, workload.interface())).unwrap();
    }
    assert!(host(&world)["qdiscs"] != before["qdiscs"]);
    host_side.enter(|| kernel.remove_all()).unwrap();
    drop(kernel);
    assert_eq!(host(&world), before);
}
