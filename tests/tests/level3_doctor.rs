//! `enforcer doctor` on situations that were made for it.

use std::fs;
use std::os::unix::process::CommandExt;
use std::process::Command;

use enforcer_tests::foreign::Object;
use enforcer_tests::{DaemonOptions, Stream, StreamKind, World, documents, policy, unit, world};
use rustix::fs::Uid;
use rustix::net::{AddressFamily, SocketType, socket};
use serde_json::Value;

/// The check of this name, and the exit code.
fn examined(world: &mut World) -> (Option<i32>, Value) {
    let config = world.daemon().config().to_str().unwrap().to_owned();
    let said = world.daemon().enforcer(&["doctor", "-o", "json", "--config", &config]).unwrap();
    let report = said.json().unwrap();
    assert_eq!(report["schema"], "enforcer.doctor/v1");
    (said.code, report)
}

fn check<'a>(report: &'a Value, name: &str) -> &'a Value {
    report["checks"].as_array().unwrap().iter().find(|check| check["check"] == name).unwrap()
}

fn word(report: &Value, name: &str) -> String {
    check(report, name)["word"].as_str().unwrap().to_owned()
}

#[test]
fn a_daemon_that_is_well_is_ok_and_one_that_is_gone_has_to_be_mended() {
    let mut world = world!();
    let web = world.workload("web", 10);
    world.start_daemon(DaemonOptions::with_policy(&web.document())).unwrap();
    let (_, report) = examined(&mut world);
    for name in [
        "kernel",
        "bpf",
        "capabilities",
        "cgroup",
        "bpffs",
        "settings",
        "daemon",
        "hooks",
        "xdp",
        "nat",
        "af-xdp",
    ] {
        assert_eq!(word(&report, name), "ok", "{:#}", check(&report, name));
    }
    let found = check(&report, "daemon")["found"].as_str().unwrap().to_owned();
    assert!(found.ends_with("1 of 1 devices hooked"), "{found}");
    world.daemon().kill().unwrap();
    let (code, report) = examined(&mut world);
    assert_eq!((code, word(&report, "daemon")), (Some(1), "missing".to_owned()));
    assert!(check(&report, "daemon")["mend"].as_str().unwrap().contains("enforcer stop --detach"));
}

#[test]
fn what_others_put_ahead_is_told_and_whether_it_is_in_the_way() {
    // What a program of tcx returns: the packet goes on to the next one, or passes for good.
    const NEXT: i32 = -1;
    const PASS: i32 = 0;
    let mut world = world!();
    let web = world.workload("web", 10);
    world.start_daemon(DaemonOptions::with_policy(&web.document())).unwrap();
    let index = world.host().index_of(web.interface()).unwrap();
    for (returns, expected, line) in [
        (NEXT, "note", "`counter`, hands every packet on"),
        (PASS, "missing", "`counter`, may end the chain"),
    ] {
        let program = Object::classifier(returns, "counter").unwrap();
        let Ok(link) = world.host().enter(|| program.run_first(index, true)) else {
            println!("this kernel has no tcx: nothing can be put ahead this way");
            return;
        };
        let (_, report) = examined(&mut world);
        let found = check(&report, "hooks");
        assert_eq!(found["word"], expected, "{found:#}");
        let each = found["each"][0].as_str().unwrap();
        assert!(each.starts_with("enf-web egress: program ") && each.ends_with(line), "{each}");
        link.detach().unwrap();
    }
}

#[test]
fn e87_af_xdp_sockets_are_found() {
    let mut world = world!();
    world.start_daemon(DaemonOptions::default()).unwrap();
    const AF_XDP: u16 = 44;
    let open = || socket(AddressFamily::from_raw(AF_XDP), SocketType::RAW, None);
    let Ok(_socket) = world.host().enter(open) else {
        println!("this kernel has no AF_XDP sockets: nothing to find");
        return;
    };
    let (_, report) = examined(&mut world);
    assert_eq!(word(&report, "af-xdp"), "note", "{:#}", check(&report, "af-xdp"));
}

#[test]
fn e87_packet_sockets_of_services_are_found() {
    let mut world = world!();
    let cgroup = world.cgroup().join("test.slice/capture.service");
    fs::create_dir_all(&cgroup).unwrap();
    world.start_daemon(DaemonOptions::with_policy(&unit("capture"))).unwrap();
    let (_, report) = examined(&mut world);
    assert_eq!(word(&report, "packet-sockets"), "ok", "{:#}", check(&report, "packet-sockets"));

    let open = || socket(AddressFamily::PACKET, SocketType::RAW, None);
    let socket = world.host().enter(open).unwrap();
    // Who isn't a service's may have one: this process.
    let (_, report) = examined(&mut world);
    assert_eq!(word(&report, "packet-sockets"), "ok", "{:#}", check(&report, "packet-sockets"));
    let mut heir = Command::new("sleep").arg("60").spawn().unwrap();
    fs::write(cgroup.join("cgroup.procs"), heir.id().to_string()).unwrap();
    let (code, report) = examined(&mut world);
    drop(socket);
    heir.kill().unwrap();
    heir.wait().unwrap();
    let found = check(&report, "packet-sockets");
    assert_eq!((code, found["word"].as_str()), (Some(1), Some("missing")), "{found:#}");
    let line = found["each"][0].as_str().unwrap();
    assert!(line.starts_with(&format!("capture: process {} `sleep` in ", heir.id())), "{found:#}");
}

#[test]
fn e74_connections_that_are_older_than_the_hooks_are_listed() {
    let mut world = world!();
    let (web, checkout) = (world.workload("web", 10), world.workload("checkout", 20));
    let older = Stream::open(&web, &checkout, false, StreamKind::Tcp, 443).unwrap();
    let rules = policy("shop", "", &["web -> checkout tcp/443-444"]);
    world.start_daemon(DaemonOptions::with_policy(&documents(&[&web, &checkout], &[rules]))).unwrap();
    let newer = Stream::open(&web, &checkout, false, StreamKind::Tcp, 444).unwrap();
    // Network namespaces are found by the processes in them.
    let mut inside = web.command("sleep").arg("60").spawn().unwrap();
    let (_, report) = examined(&mut world);
    inside.kill().unwrap();
    inside.wait().unwrap();
    let found = check(&report, "older-connections");
    assert_eq!(found["word"], "note", "{found:#}");
    let each = found["each"].to_string();
    assert!(each.contains(&format!("{} - 10.77.0.20:443", older.local())), "{found:#}");
    assert!(!each.contains(&newer.local().to_string()), "{found:#}");
}

#[test]
fn without_root_what_only_root_may_see_is_unknown() {
    let mut world = world!();
    let daemon = world.start_daemon(DaemonOptions::default()).unwrap();
    // The binary may lie where only root gets to.
    let program = std::env::temp_dir().join(format!("enforcer-doctor-{}", std::process::id()));
    fs::copy(daemon.program(), &program).unwrap();
    let mut plain = Command::new(&program);
    plain.args(["doctor", "-o", "json"]).uid(Uid::from_raw(65_534).as_raw()).gid(65_534);
    let output = plain.output();
    fs::remove_file(&program).unwrap();
    let output = output.unwrap();
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(
        (word(&report, "capabilities"), word(&report, "kernel")),
        ("unknown".to_owned(), "ok".to_owned())
    );
    assert_eq!(check(&report, "hooks")["mend"], "run it as root");
}
