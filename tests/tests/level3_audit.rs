//! The dry run against the daemon: what was captured while it judged is judged again, and must come out the same.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::process::Stdio;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use enforcer_tests::{DaemonOptions, Probe, Protocol, RawPort, documents, policy, world};
use serde_json::Value;

const SILENCE: Duration = Duration::from_millis(400);

/// Who spoke to whom, by protocol and ports; ICMP without.
type Tuple = (String, String, String, u64, u64);
/// Verdict and cause.
type Said = (String, String);

/// A capture file of frames with their times, microseconds.
fn pcap(frames: &[(u64, Vec<u8>)]) -> Vec<u8> {
    let mut file = Vec::new();
    let mut words = |words: &[u32], bytes: &[u8]| {
        words.iter().for_each(|word| file.extend(word.to_le_bytes()));
        file.extend(bytes);
    };
    words(&[0xa1b2_c3d4, 0x0004_0002, 0, 0, 262_144, 1], &[]);
    for (time, frame) in frames {
        let length = frame.len() as u32;
        words(&[(time / 1_000_000) as u32, (time % 1_000_000) as u32, length, length], frame);
    }
    file
}

fn tuple(protocol: &str, source: &Value, sport: &Value, destination: &Value, dport: &Value) -> Tuple {
    let ports = if protocol.starts_with("icmp") {
        (0, 0)
    } else {
        (sport.as_u64().unwrap_or(0), dport.as_u64().unwrap_or(0))
    };
    let text = |value: &Value| value.as_str().unwrap_or("-").to_owned();
    (protocol.to_owned(), text(source), text(destination), ports.0, ports.1)
}

fn said(verdict: &Value, cause: &Value) -> Said {
    let cause = cause["rule"].as_str().or(cause["reason"].as_str()).unwrap_or("-");
    (verdict.as_str().unwrap_or("-").to_owned(), cause.to_owned())
}

/// Of what both hooks said: what drops, else what is audited.
fn path(hooks: &BTreeSet<Said>) -> Said {
    let of = |word: &str| hooks.iter().find(|(verdict, _)| verdict == word).cloned();
    of("denied").or_else(|| of("audited")).or_else(|| of("allowed")).expect("a verdict")
}

#[test]
fn e110_what_was_captured_is_judged_as_the_daemon_judged_it() {
    let mut world = world!();
    let (web, db) = (world.workload("web", 10), world.workload("db", 20));
    let (other, outside) = (world.workload("other", 30), world.workload("outside", 40));
    let ports = [Protocol::Tcp(8080), Protocol::Udp(8125), Protocol::Tcp(9090)];
    let _servers: Vec<_> = [&web, &db, &other, &outside].map(|workload| workload.serve(&ports)).into();
    let segment = "---\napiVersion: enforcer.dev/v1alpha1\nkind: Segment\nmetadata: {name: watched}\n\
                   spec: {select: [{labels: {app: web}}], mode: audit}\n";
    let shop = policy("shop", "", &["web -> db tcp/8080", "web -> db udp/8125", "other -> db icmp"]);
    let text = documents(&[&web, &db, &other], &[segment.to_owned(), shop]);
    world.start_daemon(DaemonOptions::with_policy(&text)).unwrap();

    let over = AtomicBool::new(false);
    let mut frames: Vec<(u64, Vec<u8>)> = thread::scope(|scope| {
        let taps: Vec<_> = [&web, &db, &other]
            .into_iter()
            .map(|workload| {
                let mut port = RawPort::open(world.host(), workload.interface()).unwrap();
                let over = &over;
                scope.spawn(move || {
                    let mut frames = Vec::new();
                    while !over.load(Ordering::Relaxed) {
                        port.receive(Duration::from_millis(50), |frame| {
                            let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
                            frames.push((now.as_micros() as u64, frame.to_vec()));
                            false
                        });
                    }
                    frames
                })
            })
            .collect();
        for v6 in [false, true] {
            for (from, to) in [(&web, &db), (&db, &web), (&other, &db), (&web, &other), (&web, &outside)] {
                for protocol in [ports[0], ports[1], ports[2], Protocol::Ping] {
                    // Whether it comes through is the daemon's matter, and tested elsewhere.
                    let _ = Probe::new(from, to.address(v6), protocol).timeout(SILENCE).run();
                }
            }
        }
        // The last frames are on their way to the taps.
        thread::sleep(Duration::from_millis(300));
        over.store(true, Ordering::Relaxed);
        taps.into_iter().flat_map(|tap| tap.join().unwrap()).collect()
    });
    frames.sort_by_key(|(time, _)| *time);

    let ours = |address: &Value| {
        address.as_str().is_some_and(|at| at.starts_with("10.77.0.") || at.starts_with("fd77::"))
    };
    let mut daemon: BTreeMap<Tuple, BTreeSet<Said>> = BTreeMap::new();
    for record in world.daemon().records().unwrap() {
        let (source, destination) = (&record["source"], &record["destination"]);
        if !ours(&source["ip"]) || !ours(&destination["ip"]) {
            continue;
        }
        let protocol = record["protocol"].as_str().unwrap();
        let key = tuple(protocol, &source["ip"], &source["port"], &destination["ip"], &destination["port"]);
        daemon.entry(key).or_default().insert(said(&record["verdict"], &record["cause"]));
    }

    let capture = world.dir().join("taps.pcap");
    fs::write(&capture, pcap(&frames)).unwrap();
    let policies = world.daemon().policies();
    let (policies, capture) = (policies.to_str().unwrap(), capture.to_str().unwrap());
    let run = ["audit", "-f", policies, "--flows", capture, "--from-start", "-o", "jsonl", "--per-flow"];
    let output = world.daemon().enforcer(&run).unwrap();
    assert_eq!(output.code, Some(0), "{}", output.stderr);
    let mut dry: BTreeMap<Tuple, Said> = BTreeMap::new();
    let mut report = Value::Null;
    for line in output.stdout.lines() {
        let line: Value = serde_json::from_str(line).unwrap();
        if line["schema"] == "enforcer.audit/v1" {
            report = line;
        } else if ours(&line["source"]) && ours(&line["destination"]) {
            let port = line["port"].as_str().unwrap();
            let protocol = port.split('/').next().unwrap();
            let key = tuple(
                protocol,
                &line["source"],
                &line["source_port"],
                &line["destination"],
                &line["destination_port"],
            );
            dry.insert(key, said(&line["verdict"], &line["cause"]));
        }
    }

    let judged: BTreeMap<Tuple, Said> =
        daemon.iter().map(|(key, hooks)| (key.clone(), path(hooks))).collect();
    let differ: Vec<_> = judged
        .iter()
        .filter(|(key, said)| dry.get(*key) != Some(*said))
        .map(|(key, said)| format!("{key:?}: the daemon {said:?}, the dry run {:?}", dry.get(key)))
        .collect();
    assert!(differ.is_empty(), "{}\n{report:#}", differ.join("\n"));
    let words: BTreeSet<&str> = judged.values().map(|(word, _)| word.as_str()).collect();
    assert_eq!(words, ["allowed", "audited", "denied"].into(), "{judged:#?}");
    let unknown: Vec<_> = dry.keys().filter(|key| !judged.contains_key(*key)).collect();
    assert!(unknown.is_empty(), "flows that the daemon has no record of: {unknown:?}");
    assert!(judged.len() >= 40, "{} flows", judged.len());
    assert!(report["totals"]["repeated"].as_u64() > Some(0), "allowed packets pass two taps: {report:#}");
}

#[test]
fn what_the_daemon_sees_is_judged_by_another_set_while_it_runs() {
    let mut world = world!();
    let (web, db) = (world.workload("web", 10), world.workload("db", 20));
    let ports = [Protocol::Tcp(8080), Protocol::Tcp(9090)];
    let _servers = db.serve(&ports);
    let workloads = documents(&[&web, &db], &[]);
    let now = policy("now", "", &["web -> db tcp/8080", "web -> db tcp/9090"]);
    world.start_daemon(DaemonOptions::with_policy(&format!("{workloads}{now}"))).unwrap();
    let next = world.dir().join("next.yaml");
    fs::write(&next, format!("{workloads}{}", policy("next", "", &["web -> db tcp/8080"]))).unwrap();

    let run = ["audit", "-f", next.to_str().unwrap(), "--flows", "live", "--for", "3s", "-o", "json"];
    let mut child = world.daemon().command(&run).stdout(Stdio::piped()).spawn().unwrap();
    // The command listens a little after it was started: what it missed comes again.
    while child.try_wait().unwrap().is_none() {
        for protocol in ports {
            assert!(Probe::new(&web, db.v4(), protocol).timeout(Duration::from_secs(5)).run().passed());
        }
    }
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success());
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    let group = |port: &str| {
        let mut groups = report["groups"].as_array().unwrap().iter();
        groups.find(|group| group["port"] == port).unwrap_or_else(|| panic!("no {port}: {report:#}")).clone()
    };
    let (kept, broken) = (group("tcp/8080"), group("tcp/9090"));
    assert_eq!((&kept["verdict"], &kept["cause"]["rule"]), (&"allowed".into(), &"next#0".into()));
    assert_eq!((&broken["verdict"], &broken["change"]), (&"denied".into(), &"breaks".into()));
}
