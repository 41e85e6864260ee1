//! `apply --confirm`: the set before is in force again by the deadline, whatever becomes of the daemon.

use std::thread;
use std::time::{Duration, Instant};

use enforcer_tests::{DaemonOptions, Stream, StreamKind, World, documents, policy, world};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

const PATIENCE: Duration = Duration::from_secs(20);

struct Ground {
    world: World,
    streams: [Stream; 2],
    denies: String,
}

/// web talks to checkout under an applied set; another applied set would deny that.
fn ground(mut world: World) -> Ground {
    let (web, checkout) = (world.workload("web", 10), world.workload("checkout", 20));
    world.start_daemon(DaemonOptions::with_policy(&documents(&[&web, &checkout], &[]))).unwrap();
    let rules = policy("shop", "", &["web -> checkout tcp/443", "web -> checkout udp/443"]);
    let allows = world.dir().join("allows.yaml");
    std::fs::write(&allows, rules).unwrap();
    let denies = world.dir().join("denies.yaml");
    std::fs::write(&denies, policy("other", "", &["web -> checkout tcp/80"])).unwrap();
    let said = world.daemon().enforcer(&["apply", "-f", allows.to_str().unwrap()]).unwrap();
    assert_eq!(said.code, Some(0), "{said:?}");
    let streams = [StreamKind::Tcp, StreamKind::Udp]
        .map(|kind| Stream::open(&web, &checkout, false, kind, 443).unwrap());
    let ground = Ground { world, streams, denies: denies.to_str().unwrap().to_owned() };
    ground.wait(true, "before");
    ground
}

impl Ground {
    /// Puts the set that denies on trial.
    fn try_out(&mut self, time: &str) {
        let denies = self.denies.clone();
        let said = self.world.daemon().enforcer(&["apply", "-f", &denies, "--confirm", time]).unwrap();
        assert_eq!(said.code, Some(0), "{said:?}");
        assert!(said.stdout.contains("unless `enforcer confirm` comes"), "{}", said.stdout);
    }

    fn status(&mut self) -> Value {
        self.world.daemon().enforcer(&["status", "-o", "json"]).unwrap().json().unwrap()
    }

    fn rolled_back(&mut self) -> bool {
        let status = self.status();
        let warnings = status["warnings"].as_array().unwrap();
        warnings.iter().any(|warning| warning["message"].as_str().unwrap().contains("was rolled back"))
    }

    /// Waits until data comes in both directions, or until none has for a while.
    #[track_caller]
    fn wait(&self, flows: bool, what: &str) {
        Stream::wait(&self.streams, flows, what);
    }
}

#[test]
fn a_set_that_nobody_confirms_is_rolled_back_though_the_daemon_was_killed() {
    let mut ground = ground(world!());
    let began = Instant::now();
    ground.try_out("6s");
    ground.world.daemon().kill().unwrap();
    ground.wait(false, "on trial, with no daemon");
    assert!(began.elapsed() < Duration::from_secs(6), "too slow to tell");
    ground.wait(true, "past the deadline, with no daemon");
    assert!(began.elapsed() >= Duration::from_millis(5_900));
    ground.world.daemon().restart().unwrap();
    ground.wait(true, "after the restart");
    assert!(ground.rolled_back());
}

#[test]
fn a_set_that_nobody_confirms_is_rolled_back_though_the_daemon_was_stopped() {
    let mut ground = ground(world!());
    ground.try_out("6s");
    let pid = std::fs::read_to_string(ground.world.dir().join("daemon.pid")).unwrap();
    let pid: i32 = pid.trim().parse().unwrap();
    let pid = Pid::from_raw(pid).unwrap();
    kill_process(pid, Signal::STOP).unwrap();
    ground.wait(false, "on trial, with a daemon that stands still");
    ground.wait(true, "past the deadline");
    kill_process(pid, Signal::CONT).unwrap();
    let start = Instant::now();
    while !ground.rolled_back() {
        assert!(start.elapsed() < PATIENCE, "the daemon doesn't notice");
        thread::sleep(Duration::from_millis(50));
    }
    ground.wait(true, "afterwards");
    let told = ground.world.daemon().enforcer(&["observe", "-o", "json"]).unwrap().json().unwrap();
    let actions: Vec<&str> =
        told["actions"].as_array().unwrap().iter().map(|action| action["action"].as_str().unwrap()).collect();
    assert_eq!(actions, ["trial", "rollback"]);
}

#[test]
fn a_restart_during_a_trial_rolls_it_back_at_once() {
    let mut ground = ground(world!());
    ground.try_out("10m");
    ground.wait(false, "on trial");
    ground.world.daemon().restart().unwrap();
    ground.wait(true, "after the restart");
    assert!(ground.rolled_back());
}

#[test]
fn a_confirmed_set_stays() {
    let mut ground = ground(world!());
    ground.try_out("3s");
    let left = ground.status()["trial"]["left_ms"].as_u64().unwrap();
    assert!(left <= 3_000, "{left}");
    let said = ground.world.daemon().enforcer(&["confirm"]).unwrap();
    assert_eq!(said.code, Some(0), "{said:?}");
    thread::sleep(Duration::from_millis(3_200));
    ground.wait(false, "past what was the deadline");
    ground.world.daemon().restart().unwrap();
    ground.wait(false, "after a restart");
    assert!(!ground.rolled_back());
    let said = ground.world.daemon().enforcer(&["confirm"]).unwrap();
    assert_eq!(said.code, Some(2));
    let said = ground.world.daemon().enforcer(&["rollback"]).unwrap();
    assert_eq!(said.code, Some(0), "{said:?}");
    ground.wait(true, "after a rollback");
}
