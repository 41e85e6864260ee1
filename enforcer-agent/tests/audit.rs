//! `enforcer audit` as a program: recordings in, forms and exit codes out.

mod ran;

use ran::Ran;
use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

const POLICIES: &str = concat!(
    include_str!("web-and-db.yaml"),
    "\
---
apiVersion: enforcer.dev/v1alpha1
kind: FlowPolicy
metadata: {name: shop}
spec: {flows: [{from: [{labels: {app: web}}], to: [{labels: {app: db}}], ports: [tcp/5432]}]}
"
);

/// As AWS documents version 2: account, interface, addresses, ports, protocol, packets, bytes, times, action, status.
const VPC: &str = "\
2 123456789010 eni-1 10.0.0.1 10.0.0.2 50000 5432 6 20 4249 1418530010 1418530070 ACCEPT OK
2 123456789010 eni-1 10.0.0.2 10.0.0.1 5432 50000 6 18 9249 1418530010 1418530070 ACCEPT OK
2 123456789010 eni-1 10.0.0.1 10.0.0.2 50001 22 6 3 180 1418530011 1418530070 ACCEPT OK
2 123456789010 eni-1 - - - - - - - 1431280876 1431280934 - NODATA
";

struct Ground {
    dir: tempfile::TempDir,
}

impl Ground {
    fn new() -> Self {
        let ground = Self { dir: tempfile::tempdir().unwrap() };
        ground.write("policies.yaml", POLICIES.as_bytes());
        ground.write("vpc.log", VPC.as_bytes());
        ground
    }

    fn write(&self, name: &str, bytes: &[u8]) {
        fs::write(self.dir.path().join(name), bytes).unwrap();
    }

    fn audit(&self, args: &[&str], stdin: &[u8]) -> Ran {
        let mut child = Command::new(env!("CARGO_BIN_EXE_enforcer"))
            .current_dir(self.dir.path())
            .args(["audit", "-f", "policies.yaml"])
            .args(args)
            .env_remove("ENFORCER_SOCKET")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        // Who refuses to read it is told by its exit code.
        let _ = child.stdin.take().unwrap().write_all(stdin);
        child.wait_with_output().unwrap().into()
    }
}

fn json(ran: &Ran) -> serde_json::Value {
    serde_json::from_str(&ran.stdout).unwrap_or_else(|error| panic!("{error}: {}{}", ran.stdout, ran.stderr))
}

/// A capture of one SYN to this port.
fn pcap(port: u16) -> Vec<u8> {
    capture(&[(0, segment(port, false, 2, 64))])
}

/// A TCP segment without payload between web's port 50000 and this one of db, with flags and hop limit.
fn segment(port: u16, back: bool, flags: u8, hops: u8) -> Vec<u8> {
    let (web, db) = ([10, 0, 0, 1], [10, 0, 0, 2]);
    let (from, to) = if back { ((db, port), (web, 50_000)) } else { ((web, 50_000), (db, port)) };
    let mut packet = vec![2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, 8, 0];
    packet.extend([0x45, 0, 0, 40, 0, 1, 0, 0, hops, 6, 0, 0]);
    packet.extend(from.0);
    packet.extend(to.0);
    packet.extend(from.1.to_be_bytes());
    packet.extend(to.1.to_be_bytes());
    packet.extend([0, 0, 0, 0, 0, 0, 0, 0, 0x50, flags, 0xff, 0xff, 0, 0, 0, 0]);
    let sum =
        packet[14..34].chunks(2).map(|word| u32::from(u16::from_be_bytes([word[0], word[1]]))).sum::<u32>();
    let sum = !(((sum & 0xffff) + (sum >> 16)) as u16);
    packet[24..26].copy_from_slice(&sum.to_be_bytes());
    packet
}

/// A capture of packets, each so many microseconds after its beginning.
fn capture(packets: &[(u32, Vec<u8>)]) -> Vec<u8> {
    let mut file = Vec::new();
    [0xa1b2_c3d4_u32, 0x0004_0002, 0, 0, 65_535, 1].iter().for_each(|word| file.extend(word.to_le_bytes()));
    for (time, packet) in packets {
        let length = packet.len() as u32;
        let head = [1_700_000_000 + time / 1_000_000, time % 1_000_000, length, length];
        head.iter().for_each(|word| file.extend(word.to_le_bytes()));
        file.extend(packet);
    }
    file
}

#[test]
fn a_flow_log_is_judged_and_told_in_every_form() {
    let ground = Ground::new();
    let ran = ground.audit(&["--flows", "vpc.log"], b"");
    assert_eq!((ran.code, ran.stderr.as_str()), (0, ""), "{}", ran.stdout);
    assert!(ran.stdout.starts_with("2 flows: 1 allowed, 1 denied, 0 audited\n"), "{}", ran.stdout);
    assert!(
        ran.stdout.contains("- {from: [{labels: {app: web}}], to: [{labels: {app: db}}], ports: [tcp/22]}")
    );
    assert!(ran.stdout.contains("what would break"), "{}", ran.stdout);

    let ran = ground.audit(&["--flows", "vpc.log", "-o", "json"], b"");
    let report = json(&ran);
    assert_eq!(report["schema"], "enforcer.audit/v1");
    assert_eq!(report["verdicts"]["denied"]["flows"], 1);
    assert_eq!(report["groups"][0]["cause"]["reason"], "no-rule");
    assert_eq!(report["groups"][0]["change"], "breaks");
    assert_eq!(report["groups"][1]["cause"]["file"], "policies.yaml");
    assert_eq!(report["totals"]["gaps"], 1);
    assert_eq!(report["sources"][0]["name"], "vpc.log");

    let lines = |args: &[&str]| -> Vec<serde_json::Value> {
        let ran = ground.audit(args, b"");
        ran.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    };
    let schemas = |lines: &[serde_json::Value]| -> Vec<String> {
        lines.iter().map(|line| line["schema"].as_str().unwrap().to_owned()).collect()
    };
    let group = "enforcer.audit-group/v1";
    assert_eq!(schemas(&lines(&["--flows", "vpc.log", "-o", "jsonl"])), [group, group, "enforcer.audit/v1"]);
    let flows = lines(&["--flows", "vpc.log", "-o", "jsonl", "--per-flow"]);
    let flow = "enforcer.audit-flow/v1";
    assert_eq!(schemas(&flows), [flow, flow, "enforcer.audit/v1"]);
    assert_eq!(flows[0]["packets"], 38, "both directions: {}", flows[0]);

    for (form, beginning) in [("github", "::error "), ("junit", "<?xml"), ("sarif", "{")] {
        let ran = ground.audit(&["--flows", "vpc.log", "-o", form], b"");
        assert!(ran.code == 0 && ran.stdout.starts_with(beginning), "{form}: {}{}", ran.stdout, ran.stderr);
    }
}

#[test]
fn exit_codes_tell_what_was_asked() {
    let ground = Ground::new();
    for (fail_on, code) in [("denied", 1), ("unused", 0), ("gap", 1), ("unused,denied", 1)] {
        assert_eq!(ground.audit(&["--flows", "vpc.log", "--fail-on", fail_on], b"").code, code, "{fail_on}");
    }
    assert_eq!(ground.audit(&["--flows", "missing.pcap"], b"").code, 2);
    let ran = ground.audit(&["--flows", "-"], b"nobody's format\n");
    assert!(ran.code == 2 && ran.stderr.contains("help: "), "{}", ran.stderr);
    let damaged = format!("{VPC}2 123456789010 eni-1 nonsense\n");
    let ran = ground.audit(&["--flows", "-", "-o", "json"], damaged.as_bytes());
    assert_eq!((ran.code, json(&ran)["totals"]["damaged"].as_u64()), (0, Some(1)));
    assert_eq!(ground.audit(&["--flows", "-", "--strict"], damaged.as_bytes()).code, 2);
    assert_eq!(ground.audit(&["--flows", "vpc.log", "--per-flow"], b"").code, 2);
    ground.write("policies.yaml", b"kind: Nonsense\n");
    assert_eq!(ground.audit(&["--flows", "vpc.log"], b"").code, 3);
}

#[test]
fn captures_come_from_files_and_stdin() {
    let ground = Ground::new();
    ground.write("allowed.pcap", &pcap(5432));
    let ran = ground.audit(&["--flows", "allowed.pcap", "-", "-o", "json"], &pcap(80));
    let report = json(&ran);
    let groups: Vec<_> = report["groups"]
        .as_array()
        .unwrap()
        .iter()
        .map(|group| {
            (
                group["verdict"].as_str().unwrap(),
                group["port"].as_str().unwrap(),
                group["packets"].as_u64().unwrap(),
            )
        })
        .collect();
    assert_eq!(groups, [("denied", "tcp/80", 1), ("allowed", "tcp/5432", 1)], "{}", ran.stderr);
    let named: Vec<_> = report["sources"].as_array().unwrap().iter().map(|source| &source["name"]).collect();
    assert_eq!(named, ["allowed.pcap", "stdin"]);
}

/// Each side of a connection in a file of its own, the answers' first: read one after the other, they would answer nothing.
#[test]
fn several_captures_are_read_in_the_order_of_their_times() {
    let ground = Ground::new();
    let side = |back, flags: [u8; 2], times: [u32; 2]| {
        capture(&[
            (times[0], segment(5432, back, flags[0], 64)),
            (times[1], segment(5432, back, flags[1], 64)),
        ])
    };
    ground.write("asks.pcap", &side(false, [0x02, 0x10], [0, 20_000]));
    ground.write("answers.pcap", &side(true, [0x12, 0x10], [10_000, 30_000]));
    let ran = ground.audit(&["--flows", "answers.pcap", "asks.pcap", "--from-start", "-o", "json"], b"");
    let report = json(&ran);
    assert_eq!(report["groups"].as_array().unwrap().len(), 1, "{report}");
    assert_eq!(
        (&report["groups"][0]["verdict"], &report["groups"][0]["packets"]),
        (&"allowed".into(), &4.into())
    );
    assert!(report["sources"][0]["late"].is_null(), "{report}");
    // One that is out of order by itself is counted.
    ground.write("late.pcap", &side(false, [0x02, 0x10], [20_000, 0]));
    let report = json(&ground.audit(&["--flows", "late.pcap", "answers.pcap", "-o", "json"], b""));
    assert_eq!((&report["sources"][0]["late"], report["sources"][1]["late"].is_null()), (&1.into(), true));
    let notes = report["notes"].as_array().unwrap();
    assert!(
        notes.iter().any(|note| note
            .as_str()
            .unwrap()
            .contains("late.pcap: packets out of order: 1, by up to 20 ms")),
        "{notes:?}"
    );
}

/// The same packets at both ends of a path, the second time a hop further; and the same flow in the logs of both ends.
#[test]
fn what_is_recorded_at_both_ends_counts_once_across_files() {
    let ground = Ground::new();
    let at = |hops, later: u32| {
        capture(&[(later, segment(5432, false, 2, hops)), (10_000 + later, segment(80, false, 2, hops))])
    };
    ground.write("sender.pcap", &at(64, 0));
    ground.write("receiver.pcap", &at(63, 700));
    let report = json(&ground.audit(&["--flows", "sender.pcap", "receiver.pcap", "-o", "json"], b""));
    assert_eq!(
        (&report["totals"]["judged"], &report["totals"]["repeated"]),
        (&2.into(), &2.into()),
        "{report}"
    );
    assert_eq!(report["groups"][1]["packets"], 1);
    let report = json(
        &ground.audit(&["--flows", "sender.pcap", "receiver.pcap", "-o", "json", "--keep-repeats"], b""),
    );
    assert_eq!(
        (&report["totals"]["judged"], &report["totals"]["repeated"]),
        (&4.into(), &0.into()),
        "{report}"
    );

    let log = |direction: &str| {
        format!(
            "version srcaddr dstaddr srcport dstport protocol packets bytes start end flow-direction log-status\n\
                 5 10.0.0.1 10.0.0.2 50000 5432 6 20 4249 1418530010 1418530070 {direction} OK\n\
                 5 10.0.0.2 10.0.0.1 5432 50000 6 18 9249 1418530010 1418530070 {} OK\n",
            if direction == "egress" { "ingress" } else { "egress" }
        )
    };
    ground.write("web.log", log("egress").as_bytes());
    ground.write("db.log", log("ingress").as_bytes());
    let report = json(&ground.audit(&["--flows", "web.log", "db.log", "-o", "json"], b""));
    assert_eq!(
        (&report["totals"]["flows"], &report["totals"]["seen_at_both_ends"]),
        (&1.into(), &2.into()),
        "{report}"
    );
    assert_eq!(report["groups"][0]["packets"], 38, "{report}");
}

#[test]
fn an_inventory_names_who_the_documents_do_not() {
    let ground = Ground::new();
    let pod = r#"{"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "batch", "namespace": "shop", "labels": {"app": "web"}},
        "spec": {"containers": []}, "status": {"phase": "Running", "podIP": "10.0.0.9", "podIPs": [{"ip": "10.0.0.9"}]}}"#;
    ground.write("pods.json", pod.as_bytes());
    let record = "2 1 eni-1 10.0.0.9 10.0.0.2 50000 5432 6 20 4249 1418530010 1418530070 ACCEPT OK\n";
    let ran = ground.audit(&["--flows", "-", "-o", "json"], record.as_bytes());
    assert_eq!(json(&ran)["verdicts"]["denied"]["flows"], 1, "{}", ran.stderr);
    let ran = ground.audit(&["--flows", "-", "-o", "json", "--inventory", "pods.json"], record.as_bytes());
    assert_eq!(json(&ran)["verdicts"]["allowed"]["flows"], 1, "{}{}", ran.stdout, ran.stderr);
    assert_eq!(ground.audit(&["--flows", "vpc.log", "--inventory", "missing.json"], b"").code, 2);
}

#[test]
fn the_demo_is_judged_without_a_word_on_stderr() {
    let ground = Ground::new();
    let demo = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join("policies/demo");
    let ran = Command::new(env!("CARGO_BIN_EXE_enforcer"))
        .args(["audit", "--flows", "vpc.log", "-f"])
        .arg(&demo)
        .current_dir(ground.dir.path())
        .output()
        .unwrap();
    assert!(ran.status.success() && ran.stderr.is_empty(), "{}", String::from_utf8_lossy(&ran.stderr));
}

#[test]
fn the_page_is_written_beside_the_results() {
    let ground = Ground::new();
    let ran = ground.audit(&["--flows", "vpc.log", "--report", "out.html"], b"");
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    assert!(ran.stdout.contains("DENIED") && ran.stderr.contains("wrote `out.html`"), "{}", ran.stderr);
    let page = fs::read_to_string(ground.dir.path().join("out.html")).unwrap();
    assert!(page.starts_with("<!DOCTYPE html>") && page.contains("policies.yaml:14"), "{page}");
    // Where it can't be written, nothing is read.
    let ran = ground.audit(&["--flows", "vpc.log", "--report", "nowhere/out.html"], b"");
    assert_eq!((ran.code, ran.stdout.as_str()), (2, ""));
    assert!(ran.stderr.contains("`nowhere` is no directory"), "{}", ran.stderr);
}
