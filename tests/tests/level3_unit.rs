//! The capabilities that the units keep: enough for everything, and none for nothing.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use enforcer_tests::{DaemonOptions, World, world};

const DAEMON: &str = "enforcer.service";
const EARLY: &str = "enforcer-early.service";
/// The machine may be very busy.
const PATIENCE: Duration = Duration::from_secs(60);

/// What a unit keeps, as setpriv names it.
fn kept(unit: &str) -> Vec<String> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../packaging/systemd").join(unit);
    let text = fs::read_to_string(path).unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix("CapabilityBoundingSet=")).unwrap();
    line.split(' ').map(|name| name.strip_prefix("CAP_").unwrap().to_lowercase()).collect()
}

/// A program that is the daemon with these capabilities and no others, as systemd would start it.
fn confined(world: &World, capabilities: &[String]) -> PathBuf {
    let enforcer = std::env::current_exe().unwrap();
    let enforcer =
        enforcer.ancestors().skip(1).take(2).map(|dir| dir.join("enforcer")).find(|path| path.is_file());
    let set: String = capabilities.iter().map(|name| format!(",+{name}")).collect();
    let path = world.dir().join("confined");
    let enforcer = std::env::var_os("ENFORCER_BIN").map(PathBuf::from).or(enforcer).unwrap();
    let script = format!(
        "#!/bin/sh\nexec setpriv --bounding-set=-all{set} --inh-caps=-all --no-new-privs '{}' \"$@\"\n",
        enforcer.display()
    );
    fs::write(&path, script).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    path
}

/// Starts it with a workload to hook, and returns its log once that shows the symptom, or after some looks for tampering; as an error where it
/// ended.
fn run(world: &mut World, capabilities: &[String], group: bool, symptom: &str) -> Result<String, String> {
    let program = Some(confined(world, capabilities));
    let web = world.workload("web", 10);
    let settings = Vec::from_iter(group.then(|| ("socketGroup".to_owned(), 471_148.into())));
    let options = DaemonOptions { program, settings, ..DaemonOptions::with_policy(&web.document()) };
    match world.start_daemon(options) {
        Err(error) => Err(format!("{error:#}")),
        Ok(daemon) => {
            let hooked =
                |status: &serde_json::Value| status["workloads"][0]["interfaces"][0]["attached"] == true;
            let start = Instant::now();
            while !daemon.status().is_ok_and(|status| hooked(&status)) {
                if start.elapsed() > PATIENCE {
                    return Err(daemon.log_tail(40));
                }
                thread::sleep(Duration::from_millis(20));
            }
            let start = Instant::now();
            while !symptom.is_empty()
                && !daemon.log_tail(usize::MAX).contains(symptom)
                && start.elapsed() < PATIENCE
            {
                thread::sleep(Duration::from_millis(20));
            }
            if symptom.is_empty() {
                thread::sleep(Duration::from_millis(1_200));
            }
            Ok(daemon.log_tail(usize::MAX))
        }
    }
}

#[test]
fn with_what_the_daemon_s_unit_keeps_all_is_well() {
    let mut world = world!();
    let log = run(&mut world, &kept(DAEMON), true, "").unwrap();
    assert!(!log.contains("WARN") && !log.contains("ERROR"), "{log}");
}

#[test]
fn with_what_the_early_unit_keeps_the_last_good_set_is_restored() {
    let mut world = world!();
    let web = world.workload("web", 10);
    world.start_daemon(DaemonOptions::with_policy(&web.document())).unwrap();
    world.daemon().terminate().unwrap();
    for entry in fs::read_dir(world.pins()).unwrap() {
        fs::remove_dir_all(entry.unwrap().path()).unwrap();
    }
    let program = confined(&world, &kept(EARLY));
    let config = world.daemon().config();
    let said = world.host().command(&program).arg("restore").arg("--config").arg(config).output().unwrap();
    let (out, log) = (String::from_utf8_lossy(&said.stdout), String::from_utf8_lossy(&said.stderr));
    assert!(out.ends_with("is in force again: 1 device hooked\n"), "{out}{log}");
    assert!(!log.contains("WARN") && !log.contains("ERROR"), "{log}");
}

/// What is lost with each. `sys_admin` stands for others on the way into the kernel, so these are left out beside it.
#[test]
fn each_capability_that_a_unit_keeps_is_needed() {
    for (lost, symptom) in [
        ("sys_admin", "cannot look at the links in this kernel"),
        ("bpf", "Operation not permitted"),
        ("perfmon", "the kernel refuses"),
        ("net_admin", ""),
        ("chown", "could not give"),
    ] {
        let mut world = world!();
        let keeps_admin = ["chown"].contains(&lost);
        let left: Vec<String> = kept(DAEMON)
            .into_iter()
            .filter(|name| name != lost && (keeps_admin || name != "sys_admin"))
            .collect();
        let told = run(&mut world, &left, lost == "chown", symptom);
        let (ended, log) = (told.is_err(), told.unwrap_or_else(|log| log));
        assert!(log.contains(symptom), "without {lost}: {log}");
        // Without a view of others' programs, and without the group, it enforces all the same.
        assert_eq!(ended, !["sys_admin", "chown"].contains(&lost), "without {lost}: {log}");
    }
    // The last one has a test of its own.
    let all = ["bpf", "chown", "net_admin", "perfmon", "sys_admin", "sys_ptrace"];
    assert_eq!(kept(DAEMON), all, "each has a line above");
}

/// A container's process has capabilities that the daemon lacks, as this one has.
#[test]
fn the_namespace_of_a_container_s_process_is_seen_with_sys_ptrace_alone() {
    let namespace = format!("/proc/{}/ns/net", std::process::id());
    let sees = |capabilities: &[String]| {
        let set: String = capabilities.iter().map(|name| format!(",+{name}")).collect();
        let mut command = Command::new("setpriv");
        command.arg(format!("--bounding-set=-all{set}")).args(["--inh-caps=-all", "--no-new-privs"]);
        command.args(["readlink", &namespace]).output().unwrap().status.success()
    };
    let all = kept(DAEMON);
    let without: Vec<String> = all.iter().filter(|name| *name != "sys_ptrace").cloned().collect();
    assert!(sees(&all) && !sees(&without));
}
