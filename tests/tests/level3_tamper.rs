//! Hooks and pins that others take away: back within a second, told with the gap, and nothing of others' touched.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::thread;
use std::time::{Duration, Instant};

use enforcer_agent::datapath::{Damage, Datapath, Inspection, Place};
use enforcer_agent::kernel::{Kernel, KernelConfig};
use enforcer_common::maps::Direction;
use enforcer_policy::compile::Image;
use enforcer_tests::foreign::Object;
use enforcer_tests::images::free;
use enforcer_tests::{
    DaemonOptions, Namespace, Probe, Protocol, Workload, World, documents, policy, unit, world,
};
use serde_json::Value;

const PORT: Protocol = Protocol::Tcp(443);
const OTHER: Protocol = Protocol::Tcp(444);

fn passes(from: &Workload, to: &Workload, protocol: Protocol) -> bool {
    Probe::new(from, to.v4(), protocol).timeout(Duration::from_millis(300)).run().passed()
}

/// Runs `tc` on the host; what it printed.
fn tc(host: &Namespace, arguments: &str) -> String {
    let output = host.command("tc").args(arguments.split(' ')).output().unwrap();
    assert!(output.status.success(), "tc {arguments}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn shop(world: &mut World) -> (Workload, Workload) {
    let (web, checkout) = (world.workload("web", 10), world.workload("checkout", 20));
    let rule = policy("shop", "", &["web -> checkout tcp/443"]);
    let text = documents(&[&web, &checkout], &[rule]);
    world.start_daemon(DaemonOptions::with_policy(&text)).unwrap();
    (web, checkout)
}

fn count(status: &Value) -> u64 {
    status["tamper"]["count"].as_u64().unwrap()
}

/// Waits until so many faults were told and repaired; the last of them. Prints how long it took.
fn mended(world: &mut World, what: &str, faults: u64) -> Vec<Value> {
    let began = Instant::now();
    let status = world.daemon().wait_until(what, |status| count(status) >= faults);
    eprintln!("{what}: noticed and told after {:?} at most", began.elapsed());
    assert_eq!((count(&status), &status["tamper"]["unrepaired"]), (faults, &0.into()), "{what}: {status}");
    let recent = status["tamper"]["recent"].as_array().unwrap().clone();
    for record in &recent {
        // A second is promised; a busy machine gets more.
        assert!(record["gap_ms"].as_u64().unwrap() < 5_000, "{record}");
    }
    recent
}

#[test]
fn e102_hooks_that_others_take_off_are_back_and_the_gap_is_told() {
    let mut world = world!();
    let (web, checkout) = shop(&mut world);
    let _echo = checkout.serve(&[PORT, OTHER]);
    assert!(passes(&web, &checkout, PORT) && !passes(&web, &checkout, OTHER));
    let ifindex = world.host().index_of(checkout.interface()).unwrap();
    // Another tool's program that hands everything on, first and in its own right.
    let host = world.host().clone();
    let (theirs, _first) = host.enter(|| {
        let theirs = Object::classifier(-1, "harmless").unwrap();
        let first = theirs.run_first(ifindex, false).unwrap();
        (theirs, first)
    });
    let pins = world.pinned("links");
    let link = |direction: &str| Object::open(&pins.join(format!("{ifindex}-{direction}"))).unwrap();

    link("ingress").detach().unwrap();
    let recent = mended(&mut world, "a hook was taken off", 1);
    let record = &recent[0];
    assert_eq!(
        (
            &record["tamper"],
            &record["interface"],
            &record["direction"],
            &record["workload"],
            &record["repaired"]
        ),
        (
            &"hook-removed".into(),
            &checkout.interface().into(),
            &"ingress".into(),
            &"checkout".into(),
            &true.into()
        )
    );
    assert!(passes(&web, &checkout, PORT) && !passes(&web, &checkout, OTHER));

    link("egress").put(&theirs).unwrap();
    let recent = mended(&mut world, "another program was put into a link", 2);
    assert_eq!(
        (&recent[1]["tamper"], &recent[1]["direction"]),
        (&"program-replaced".into(), &"egress".into())
    );
    assert!(passes(&web, &checkout, PORT) && !passes(&web, &checkout, OTHER));

    // Both at once, and the pins with them.
    for direction in ["egress", "ingress"] {
        link(direction).detach().unwrap();
        fs::remove_file(pins.join(format!("{ifindex}-{direction}"))).unwrap();
    }
    let recent = mended(&mut world, "both hooks of a device were taken off", 4);
    assert!(recent[2..].iter().all(|record| record["tamper"] == "hook-removed"), "{recent:?}");
    assert!(passes(&web, &checkout, PORT) && !passes(&web, &checkout, OTHER));

    // What was made anew outlives the daemon as the first did.
    world.daemon().kill().unwrap();
    assert!(passes(&web, &checkout, PORT) && !passes(&web, &checkout, OTHER));
    world.daemon().restart().unwrap();
    assert!(passes(&web, &checkout, PORT) && !passes(&web, &checkout, OTHER));
    let status = world.daemon().status().unwrap();
    assert_eq!(
        (&status["state"], count(&status)),
        (&"enforcing".into(), 0),
        "the harmless program is no matter"
    );
}

#[test]
fn e102_tampering_is_told_to_observers() {
    let mut world = world!();
    let (_, checkout) = shop(&mut world);
    let ifindex = world.host().index_of(checkout.interface()).unwrap();
    Object::open(&world.pinned("links").join(format!("{ifindex}-ingress"))).unwrap().detach().unwrap();
    mended(&mut world, "a hook was taken off", 1);
    let mut told = |arguments: &[&str]| {
        let command = [&["observe", "-o", "jsonl"], arguments].concat();
        let output = world.daemon().enforcer(&command).unwrap().stdout;
        let records = output.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        records.filter(|record| record["schema"] == "enforcer.tamper/v1").collect::<Vec<_>>()
    };
    let all = told(&[]);
    assert_eq!((all.len(), &all[0]["tamper"]), (1, &"hook-removed".into()), "{all:?}");
    assert_eq!(told(&["--workload", "checkout", "--verdict", "denied"]), all);
    assert_eq!(told(&["--workload", "web"]), [Value::Null; 0], "not its interface");
    let lines = world.daemon().enforcer(&["observe"]).unwrap().stdout;
    let wanted =
        format!("TAMPER hook-removed  {} ingress (checkout)  repaired, gap at most ", checkout.interface());
    assert!(lines.contains(&wanted), "{lines}");
}

#[test]
fn e102_a_program_ahead_that_ends_the_chain_is_told_and_left_alone() {
    let mut world = world!();
    let (_, checkout) = shop(&mut world);
    let _echo = checkout.serve(&[OTHER]);
    // Nobody's workload: what it sends meets one hook only.
    let outside = world.workload("outside", 90);
    assert!(!passes(&outside, &checkout, OTHER));
    let host = world.host().clone();
    let ifindex = host.index_of(checkout.interface()).unwrap();
    let first = host.enter(|| {
        let program = Object::classifier(0, "shortcut").unwrap();
        [false, true].map(|ingress| program.run_first(ifindex, ingress).unwrap())
    });
    let why = |status: &Value| status["degraded"]["why"].as_str().unwrap_or_default().to_owned();
    let behind = |status: &Value| why(status).starts_with("2 hooks are unreachable");
    let status = world.daemon().wait_until("both hooks are behind", behind);
    assert_eq!(status["state"], "degraded");
    let workloads = status["workloads"].as_array().unwrap();
    let interface = &workloads.iter().find(|one| one["name"] == "checkout").unwrap()["interfaces"][0];
    assert_eq!(
        (&interface["unreachable"][1]["direction"], &interface["unreachable"][1]["ahead"]),
        (&"ingress".into(), &"shortcut".into()),
        "{interface}"
    );
    assert_eq!(status["tamper"]["recent"][0]["tamper"], "unreachable");
    let told = world.daemon().enforcer(&["status"]).unwrap();
    assert_eq!(told.code, Some(1));
    assert!(told.stdout.contains("unreachable: egress behind `shortcut` (program "), "{}", told.stdout);
    // It still runs: that is its owner's business.
    assert!(passes(&outside, &checkout, OTHER));
    let records = world.daemon().enforcer(&["observe", "-o", "jsonl", "--workload", "checkout"]).unwrap();
    assert!(records.stdout.contains(r#""tamper":"unreachable""#), "{}", records.stdout);

    first.iter().for_each(|first| first.detach().unwrap());
    world.daemon().wait_until("nothing is ahead any more", |status| status["state"] == "enforcing");
    assert!(!passes(&outside, &checkout, OTHER));
    let records = world.daemon().enforcer(&["observe", "-o", "jsonl"]).unwrap();
    assert!(records.stdout.contains(r#""tamper":"reachable""#), "{}", records.stdout);
}

#[test]
fn e104_pins_that_others_remove_are_put_back_and_nothing_stops() {
    let mut world = world!();
    let (web, checkout) = shop(&mut world);
    let _echo = checkout.serve(&[PORT, OTHER]);
    assert!(passes(&web, &checkout, PORT) && !passes(&web, &checkout, OTHER));
    let maps = world.pinned("links").parent().unwrap().join("maps");
    let before = fs::read_dir(&maps).unwrap().count();
    let programs = fs::read_dir(maps.with_file_name("programs")).unwrap().count();

    fs::remove_file(maps.join("PAIRS")).unwrap();
    let recent = mended(&mut world, "a map's pin was removed", 1);
    assert_eq!(recent[0]["tamper"], "pin-removed");
    assert!(recent[0]["pin"].as_str().unwrap().ends_with("/maps/PAIRS"), "{recent:?}");

    // A pin of that name that is another map.
    fs::rename(maps.join("PAIRS"), maps.join("GENERATIONS")).unwrap();
    mended(&mut world, "a map's pin is another map's", 3);

    fs::remove_dir_all(world.pins()).unwrap();
    // The directory, each map and program, two links for each of two devices.
    let expected = 3 + 1 + (before + programs) as u64 + 4;
    mended(&mut world, "all pins were removed", expected);
    assert_eq!(fs::read_dir(&maps).unwrap().count(), before);
    assert!(!passes(&web, &checkout, OTHER), "the hooks never went");

    // Another daemon finds it taken, the next one finds what it needs.
    let config = KernelConfig { bpffs: world.pins(), ..KernelConfig::default() };
    let second = world.host().enter(|| Kernel::open(&config)).unwrap_err();
    assert!(second.to_string().starts_with("another daemon has the pins"), "{second}");
    let epoch = world.daemon().status().unwrap()["epoch"].as_u64().unwrap();
    world.daemon().restart().unwrap();
    assert!(world.daemon().status().unwrap()["epoch"].as_u64().unwrap() > epoch, "the maps were adopted");
    assert!(passes(&web, &checkout, PORT) && !passes(&web, &checkout, OTHER));
}

/// A hooked device on whose packets nothing is judged, with classifiers.
fn clsact(world: &mut World) -> (Namespace, Kernel, Workload, u32) {
    let web = world.workload("web", 10);
    let host = world.host().clone();
    let config = KernelConfig { bpffs: world.pins(), tcx: Some(false), ..KernelConfig::default() };
    let mut kernel = host.enter(|| Kernel::open(&config)).unwrap();
    let ifindex = host.index_of(web.interface()).unwrap();
    kernel.install(&Image::default(), &[(ifindex, free())]).unwrap();
    host.enter(|| kernel.attach(ifindex, web.interface())).unwrap();
    (host, kernel, web, ifindex)
}

fn look(host: &Namespace, kernel: &mut Kernel) -> Inspection {
    let found = host.enter(|| kernel.inspect());
    assert!(found.errors.is_empty(), "{found:?}");
    found
}

fn hooks(found: &Inspection) -> Vec<(Damage, Direction)> {
    let of_hook = |place: &Place| match place {
        Place::Hook { direction, .. } => *direction,
        other => panic!("{other:?} is no hook"),
    };
    assert!(found.faults.iter().all(|fault| fault.unrepaired.is_none()), "{found:?}");
    found.faults.iter().map(|fault| (fault.damage, of_hook(&fault.place))).collect()
}

#[test]
fn e102_a_flushed_qdisc_is_made_again_and_others_filters_stay() {
    let mut world = world!();
    let (host, mut kernel, web, _) = clsact(&mut world);
    let dev = web.interface();
    assert!(hooks(&look(&host, &mut kernel)).is_empty());
    let both = [(Damage::HookRemoved, Direction::Egress), (Damage::HookRemoved, Direction::Ingress)];

    tc(&host, &format!("qdisc del dev {dev} clsact"));
    assert_eq!(hooks(&look(&host, &mut kernel)), both);
    assert!(look(&host, &mut kernel).faults.is_empty(), "whole again");

    // Others' filters behind ours, and their qdisc on the other side of the device.
    tc(&host, &format!("filter add dev {dev} ingress prio 7 protocol all u32 match u32 0 0 flowid 1:1"));
    tc(&host, &format!("qdisc add dev {dev} root pfifo limit 77"));
    tc(&host, &format!("filter del dev {dev} ingress prio 1"));
    let found = look(&host, &mut kernel);
    assert_eq!((hooks(&found), found.unreachable.len()), (both[..1].to_vec(), 0), "{found:?}");
    assert!(tc(&host, &format!("filter show dev {dev} ingress")).contains("pref 7 u32"));
    assert!(tc(&host, &format!("qdisc show dev {dev}")).contains("limit 77p"));

    // In our place: theirs stays, ours comes behind it, and that is told.
    tc(&host, &format!("filter del dev {dev} ingress prio 1"));
    tc(&host, &format!("filter add dev {dev} ingress prio 1 protocol all u32 match u32 0 0 flowid 1:1"));
    let found = look(&host, &mut kernel);
    assert_eq!(hooks(&found), both[..1]);
    let found = look(&host, &mut kernel);
    assert!(found.faults.is_empty(), "{found:?}");
    let ahead: Vec<_> =
        found.unreachable.iter().map(|one| (one.direction, one.ahead.as_str(), one.program)).collect();
    assert_eq!(ahead, [(Direction::Egress, "u32", None)]);
    assert!(tc(&host, &format!("filter show dev {dev} ingress")).contains("pref 1 u32"));
    tc(&host, &format!("filter del dev {dev} ingress prio 1"));
    assert!(look(&host, &mut kernel).unreachable.is_empty());

    assert!(host.enter(|| kernel.detach(host.index_of(dev).unwrap())).unwrap());
    let left = tc(&host, &format!("filter show dev {dev} ingress"));
    assert!(left.contains("pref 7 u32") && !left.contains("bpf"), "{left}");
}

#[test]
fn e102_programs_of_tcx_are_ahead_of_every_filter() {
    let mut world = world!();
    let (host, mut kernel, _, ifindex) = clsact(&mut world);
    let harmless =
        host.enter(|| Object::classifier(-1, "harmless").unwrap().run_first(ifindex, true).unwrap());
    assert!(look(&host, &mut kernel).unreachable.is_empty());
    let ending = host.enter(|| Object::classifier(2, "ending").unwrap().run_first(ifindex, true).unwrap());
    let found = look(&host, &mut kernel);
    assert_eq!((found.unreachable.len(), found.unreachable[0].ahead.as_str()), (1, "ending"), "{found:?}");
    drop((harmless, ending));
}

#[test]
fn devices_that_go_are_no_tampering() {
    let mut world = world!();
    let (_, mut checkout) = shop(&mut world);
    for _ in 0..3 {
        world.remove(&checkout).unwrap();
        thread::sleep(Duration::from_millis(700));
        let status = world.daemon().status().unwrap();
        assert_eq!((count(&status), &status["state"]), (0, &"enforcing".into()), "{status}");
        checkout = world.workload("checkout", 20);
        world.daemon().wait_until("the device is hooked", |status| {
            let workloads = status["workloads"].as_array().unwrap();
            let one = workloads.iter().find(|one| one["name"] == "checkout");
            one.is_some_and(|one| one["interfaces"][0]["attached"] == true)
        });
    }
}

#[test]
fn e102_an_xdp_program_that_may_end_the_way_is_told_and_left_alone() {
    let mut world = world!();
    let (web, checkout) = shop(&mut world);
    let _echo = checkout.serve(&[PORT]);
    let ifindex = world.host().index_of(web.interface()).unwrap();
    let host = world.host().clone();
    let run = |returns, name| host.enter(|| Object::xdp(returns, name).unwrap().run_xdp(ifindex).unwrap());
    let harmless = run(2, "onlooker");
    thread::sleep(Duration::from_millis(1_200));
    let status = world.daemon().status().unwrap();
    assert_eq!(
        (count(&status), &status["state"]),
        (0, &"enforcing".into()),
        "it passes everything: {status}"
    );
    assert!(passes(&web, &checkout, PORT));
    harmless.detach().unwrap();

    let drops = run(1, "hole");
    let status =
        world.daemon().wait_until("packets end before the hook", |status| status["state"] == "degraded");
    let record = &status["tamper"]["recent"][0];
    assert_eq!(
        [&record["tamper"], &record["direction"], &record["ahead"], &record["interface"]],
        ["unreachable", "egress", "xdp hole", web.interface()],
        "{record}"
    );
    assert_eq!(count(&status), 1, "what it sends; what it is sent never meets XDP here: {status}");
    assert!(!passes(&web, &checkout, PORT), "it still runs: that is its owner's business");
    drops.detach().unwrap();
    world.daemon().wait_until("the way is free again", |status| status["state"] == "enforcing");
    assert!(passes(&web, &checkout, PORT));
}

#[test]
fn e104_an_extension_of_a_program_is_told_and_gone_after_a_restart() {
    let mut world = world!();
    let (web, checkout) = shop(&mut world);
    let _echo = checkout.serve(&[PORT]);
    assert!(passes(&web, &checkout, PORT));
    let pin = world.pinned("programs").join("enforcer_egress");
    // Nothing is decided any more: decision 0 says nothing.
    let extension = match Object::extension(&Object::open(&pin).unwrap(), 0, "instead") {
        // Some machines refuse every program of this type (a BPF LSM policy, a kernel without trampolines): none to defend against.
        Err(error) if error.kind() == std::io::ErrorKind::PermissionDenied => {
            return eprintln!("skipped: this machine lets nobody load extensions: {error}");
        }
        extension => extension.unwrap(),
    };
    assert!(!passes(&web, &checkout, PORT), "it runs in place of the search for ports");
    let status = world.daemon().wait_until("it is told", |status| status["state"] == "degraded");
    assert_eq!((count(&status), &status["tamper"]["unrepaired"]), (1, &1.into()), "{status}");
    let record = &status["tamper"]["recent"][0];
    assert_eq!(record["tamper"], "program-replaced");
    assert_eq!(record["pin"], pin.display().to_string());
    let error = record["error"].as_str().unwrap();
    assert!(error.starts_with("the extension `instead` (program "), "{error}");
    thread::sleep(Duration::from_millis(1_200));
    assert_eq!(count(&world.daemon().status().unwrap()), 1, "once");

    world.daemon().restart().unwrap();
    assert!(passes(&web, &checkout, PORT), "programs are loaded anew");
    let status = world.daemon().status().unwrap();
    assert_eq!((count(&status), &status["state"]), (0, &"enforcing".into()), "{status}");
    drop(extension);
}

#[test]
fn e104_a_map_that_others_froze_degrades_and_is_told_once() {
    let mut world = world!();
    let (web, checkout) = shop(&mut world);
    let _echo = checkout.serve(&[PORT, OTHER]);
    let pairs = Object::open(&world.pinned("maps/PAIRS")).unwrap();
    let key = pairs.first_key(12).unwrap();
    pairs.delete(&key).unwrap();
    pairs.freeze().unwrap();
    let status = world.daemon().wait_until("it is told", |status| status["state"] == "degraded");
    let error = status["tamper"]["recent"][0]["error"].as_str().unwrap().to_owned();
    assert!(error.contains("cannot write the map `PAIRS`"), "{error}");
    thread::sleep(Duration::from_millis(1_500));
    let status = world.daemon().status().unwrap();
    assert_eq!((count(&status), &status["tamper"]["unrepaired"]), (1, &1.into()), "once: {status}");
    assert!(!passes(&web, &checkout, OTHER), "what is left is enforced");

    // A set that needs the map is refused, and what is in force stays.
    let epoch = status["epoch"].clone();
    let more = policy("more", "", &["checkout -> web tcp/444"]);
    world.daemon().write_policy("more.yaml", &more).unwrap();
    let status = world.daemon().wait_until("it is refused", |status| {
        status["degraded"]["why"].as_str().is_some_and(|why| why.contains("can't be put in force"))
    });
    assert!(status["degraded"].to_string().contains("PAIRS"), "{status}");
    assert!(status["epoch"].as_u64() >= epoch.as_u64());

    // The way out: take everything away and begin with new maps.
    assert_eq!(world.daemon().enforcer(&["stop", "--detach"]).unwrap().code, Some(0));
    world.daemon().restart().unwrap();
    assert!(passes(&web, &checkout, PORT));
    assert_eq!(world.daemon().status().unwrap()["state"], "enforcing");
}

/// What the daemon tells that was changed before it started: word and what it is about.
fn told(world: &mut World) -> Vec<(String, String)> {
    let status = world.daemon().status().unwrap();
    let about = |record: &Value| {
        let known = ["direction", "pin", "table"].iter().find_map(|key| record[*key].as_str());
        known.unwrap_or_default().rsplit('/').next().unwrap_or_default().to_owned()
    };
    let recent = status["tamper"]["recent"].as_array().unwrap().iter();
    recent.map(|record| (record["tamper"].as_str().unwrap().to_owned(), about(record))).collect()
}

#[test]
fn e102_e104_what_was_changed_while_no_daemon_ran_is_told_by_the_next() {
    let mut world = world!();
    let (web, checkout) = shop(&mut world);
    let _echo = checkout.serve(&[PORT, OTHER]);
    assert!(passes(&web, &checkout, PORT) && !passes(&web, &checkout, OTHER));
    let layout = world.pinned("links").parent().unwrap().to_owned();
    let [web_index, checkout_index] =
        [&web, &checkout].map(|workload| world.host().index_of(workload.interface()).unwrap());
    let link = |ifindex: u32, direction: &str| layout.join(format!("links/{ifindex}-{direction}"));
    let map = |name: &str| layout.join("maps").join(name);
    let mut change = |note: &str, change: &dyn Fn(), expected: &[(&str, &str)]| {
        // Until everything was looked at and written down.
        let written = || {
            let left = fs::read_dir(layout.join("left")).into_iter().flatten().flatten();
            let left: Vec<_> = left.map(|entry| entry.file_name().into_string().unwrap()).collect();
            let control = Object::open(&map("CONTROL")).unwrap().control().unwrap();
            let tables = format!("tables-{:x}-{:x}-", control.epoch(), control.bank());
            left.len() == 6 && left.iter().any(|name| name.starts_with(&tables))
        };
        let began = Instant::now();
        while !written() {
            assert!(began.elapsed() < Duration::from_secs(30), "{note}: it is never written down");
            thread::sleep(Duration::from_millis(50));
        }
        world.daemon().kill().unwrap();
        let away = Instant::now();
        change();
        world.daemon().restart().unwrap();
        world.daemon().wait_until(note, |status| count(status) >= expected.len() as u64);
        let expected: Vec<_> =
            expected.iter().map(|(word, about)| ((*word).to_owned(), (*about).to_owned())).collect();
        assert_eq!(told(&mut world), expected, "{note}");
        let status = world.daemon().status().unwrap();
        assert_eq!(status["state"], "enforcing", "{note}: {status}");
        for record in status["tamper"]["recent"].as_array().unwrap() {
            let gap = record["gap_ms"].as_u64().unwrap();
            assert!(
                record["repaired"] == true && gap < away.elapsed().as_millis() as u64 + 5_000,
                "{note}: {record}"
            );
        }
        assert!(passes(&web, &checkout, PORT) && !passes(&web, &checkout, OTHER), "{note}");
    };
    change("nothing", &|| {}, &[]);
    change(
        "a hook is taken off",
        &|| Object::open(&link(checkout_index, "ingress")).unwrap().detach().unwrap(),
        &[("hook-removed", "ingress")],
    );
    change(
        "the pin of a hook is removed, and the hook with it",
        &|| fs::remove_file(link(web_index, "egress")).unwrap(),
        &[("hook-removed", "egress")],
    );
    change(
        "another program is put into a hook",
        &|| {
            let theirs = Object::classifier(-1, "harmless").unwrap();
            Object::open(&link(web_index, "egress")).unwrap().put(&theirs).unwrap();
        },
        &[("program-replaced", "egress")],
    );
    change(
        "the pin of a map is removed",
        &|| fs::remove_file(map("FLOWS4")).unwrap(),
        &[("pin-removed", "FLOWS4")],
    );
    change(
        "an entry is taken out of a table",
        &|| {
            let pairs = Object::open(&map("PAIRS")).unwrap();
            let bank = Object::open(&map("CONTROL")).unwrap().control().unwrap().bank();
            let table = |key: &[u8]| u32::from_ne_bytes(key[..4].try_into().unwrap());
            let in_force = pairs.keys(12).unwrap().into_iter().find(|key| table(key) >> 1 == bank);
            pairs.delete(&in_force.unwrap()).unwrap();
        },
        &[("table-changed", "PAIRS")],
    );
    change("nothing again", &|| {}, &[]);
}

#[test]
fn e102_hooks_at_sockets_that_were_changed_while_no_daemon_ran_are_told_by_the_next() {
    let mut world = world!();
    let to = "127.0.0.1:443".parse().unwrap();
    let other = "127.0.0.1:444".parse().unwrap();
    let [mut a, mut b] = ["a", "b"].map(|name| world.resident(&format!("system.slice/{name}.service")));
    b.serve(to);
    b.serve(other);
    let text = ["a", "b"].map(unit).concat() + &policy("shop", "", &["a -> b tcp/443"]);
    world.start_daemon(DaemonOptions::with_policy(&text)).unwrap();
    let layout = world.pinned("links").parent().unwrap().to_owned();
    let link = |direction: &str| layout.join(format!("links/cgroup-{direction}"));
    let written = |world: &World| {
        let root = fs::metadata(world.cgroup()).unwrap().ino();
        ["egress", "ingress"].iter().all(|word| layout.join(format!("left/cgroup-{word}-{root}")).is_dir())
    };
    let away = |world: &mut World, note: &str, change: &mut dyn FnMut(), expected: &[(&str, &str)]| {
        let began = Instant::now();
        while !written(world) {
            assert!(began.elapsed() < Duration::from_secs(30), "{note}: it is never written down");
            thread::sleep(Duration::from_millis(50));
        }
        world.daemon().kill().unwrap();
        change();
        world.daemon().restart().unwrap();
        world.daemon().wait_until(note, |status| count(status) >= expected.len() as u64);
        let expected: Vec<_> =
            expected.iter().map(|(word, about)| ((*word).to_owned(), (*about).to_owned())).collect();
        assert_eq!(told(world), expected, "{note}");
        assert_eq!(world.daemon().status().unwrap()["state"], "enforcing", "{note}");
    };
    let mut holds = |note: &str| assert!(a.tcp(to) && !a.tcp(other), "{note}");
    away(&mut world, "nothing", &mut || {}, &[]);
    holds("nothing");
    for direction in ["egress", "ingress"] {
        let mut take_off = || Object::open(&link(direction)).unwrap().detach().unwrap();
        away(&mut world, "a hook is taken off", &mut take_off, &[("hook-removed", direction)]);
        holds("a hook is taken off");
    }
    let mut unpin = || fs::remove_file(link("egress")).unwrap();
    away(&mut world, "the pin goes, and the hook with it", &mut unpin, &[("hook-removed", "egress")]);
    holds("the pin goes");
    let mut replace = || {
        let theirs = Object::at_sockets(1, "harmless").unwrap();
        Object::open(&link("ingress")).unwrap().put(&theirs).unwrap();
    };
    away(&mut world, "another program", &mut replace, &[("program-replaced", "ingress")]);
    holds("another program");
    away(&mut world, "nothing again", &mut || {}, &[]);
    holds("nothing again");

    // A hook that goes with its cgroup was taken off by nobody.
    let root = world.cgroup().to_owned();
    drop((a, b));
    let mut anew = || {
        for below in ["system.slice/a.service", "system.slice/b.service", "system.slice", ""] {
            // The last process may not be quite gone.
            let began = Instant::now();
            while let Err(error) = fs::remove_dir(root.join(below)) {
                assert!(began.elapsed() < Duration::from_secs(10), "{below}: {error}");
                thread::sleep(Duration::from_millis(5));
            }
        }
        fs::create_dir(&root).unwrap();
    };
    away(&mut world, "the cgroup is another one", &mut anew, &[]);
}
