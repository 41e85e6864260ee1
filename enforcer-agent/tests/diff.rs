//! `enforcer diff` as a person runs it.

mod ran;

use ran::Ran;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

fn diff(at: &Path, args: &[&str]) -> Ran {
    let mut command = Command::new(env!("CARGO_BIN_EXE_enforcer"));
    command.arg("diff").args(args).current_dir(at).stdin(Stdio::null()).output().unwrap().into()
}

fn set(at: &Path, name: &str, ports: &str) {
    const HEAD: &str = "apiVersion: enforcer.dev/v1alpha1\n";
    let workload = |name: &str, last: u8| {
        format!(
            "{HEAD}kind: Workload\nmetadata: {{name: {name}}}\nspec: {{labels: {{app: {name}}}, match: [{{interface: veth-{name}}}], addresses: [10.0.0.{last}]}}\n---\n"
        )
    };
    let text = format!(
        "{}{}{HEAD}kind: FlowPolicy\nmetadata: {{name: shop}}\nspec:\n  flows:\n    - {{from: [{{labels: {{app: web}}}}], to: [{{labels: {{app: db}}}}], ports: [{ports}]}}\n",
        workload("web", 1),
        workload("db", 2)
    );
    fs::write(at.join(name), text).unwrap();
}

#[test]
fn what_appears_and_what_disappears_is_told_to_the_port() {
    let place = tempfile::tempdir().unwrap();
    let at = place.path();
    set(at, "old.yaml", "tcp/5432, tcp/80-90");
    set(at, "new.yaml", "tcp/5432, tcp/81-91");
    let ran = diff(at, &["old.yaml", "new.yaml"]);
    assert_eq!(
        (ran.code, &*ran.stdout),
        (
            1,
            "- web -> db  tcp/80  allowed -> denied  (was shop#0)\n+ web -> db  tcp/91  denied -> allowed  (shop#0)\n"
        ),
        "{}",
        ran.stderr
    );
    let ran = diff(at, &["-o", "json", "old.yaml", "new.yaml"]);
    let report: serde_json::Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!((&report["schema"], &report["complete"]), (&"enforcer.diff/v1".into(), &true.into()));
    assert_eq!(report["changes"][1]["ports"], serde_json::json!(["tcp/91"]));
    let ran = diff(at, &["old.yaml", "old.yaml"]);
    assert_eq!((ran.code, &*ran.stdout), (0, "no connectivity changes\n"));
}

#[test]
fn who_is_held_otherwise_is_told_before_what_rules_change() {
    let place = tempfile::tempdir().unwrap();
    let at = place.path();
    set(at, "enforced.yaml", "tcp/80");
    let text = fs::read_to_string(at.join("enforced.yaml")).unwrap();
    let segment = "---\napiVersion: enforcer.dev/v1alpha1\nkind: Segment\nmetadata: {name: trial}\n\
                   spec: {select: [{labels: {app: db}}], mode: audit}\n";
    fs::write(at.join("trial.yaml"), format!("{text}{segment}")).unwrap();
    fs::write(at.join("none.yaml"), "# nobody yet\n").unwrap();
    let ran = diff(at, &["none.yaml", "trial.yaml"]);
    let lines: Vec<&str> = ran.stdout.lines().collect();
    assert_eq!(
        lines,
        [
            "db: not judged -> audit: what no rule allows passes and is reported as audited",
            "web: not judged -> enforce: what no rule allows is denied from then on",
            "+ web -> db  tcp/80  not judged -> allowed  (shop#0)",
        ],
        "{}",
        ran.stdout
    );
    let ran = diff(at, &["trial.yaml", "enforced.yaml"]);
    let only = "db: audit -> enforce: what no rule allows is denied from then on\n";
    assert_eq!((ran.code, &*ran.stdout), (1, only), "what no rule decides is said once");
    let ran = diff(at, &["-o", "json", "trial.yaml", "enforced.yaml"]);
    let report: serde_json::Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!(report["held"][0]["workloads"], serde_json::json!(["db"]));
    assert_eq!(
        (&report["held"][0]["before"], &report["held"][0]["after"]),
        (&"audit".into(), &"enforce".into())
    );
}

#[test]
fn a_set_in_error_is_invalid_and_named() {
    let place = tempfile::tempdir().unwrap();
    let at = place.path();
    set(at, "old.yaml", "tcp/1");
    set(at, "new.yaml", "tcp/99999");
    let ran = diff(at, &["old.yaml", "new.yaml"]);
    assert_eq!(ran.code, 3);
    assert!(
        ran.stderr.contains("`new.yaml` is invalid") && ran.stderr.contains("new.yaml:"),
        "{}",
        ran.stderr
    );
    let ran = diff(at, &["old.yaml", "git:HEAD:new.yaml"]);
    assert_eq!(ran.code, 2, "here is no repository: {}", ran.stderr);
    let ran = diff(at, &["old.yaml", "git:HEAD"]);
    assert!(ran.code == 2 && ran.stderr.contains("isn't `git:REV:PATH`"), "{}", ran.stderr);
    let ran = diff(at, &["--socket", "nobody.sock", "live", "old.yaml"]);
    assert!(ran.code == 2 && ran.stderr.contains("could not reach the daemon"), "{}", ran.stderr);
}

/// A flow log of what web does at db: tcp/5432, tcp/80, tcp/91 twice; and one from the world.
const FLOWS: &str = "\
2 1 eni-1 10.0.0.1 10.0.0.2 50000 5432 6 20 4249 1418530010 1418530070 ACCEPT OK
2 1 eni-1 10.0.0.1 10.0.0.2 50001 80 6 3 180 1418530011 1418530070 ACCEPT OK
2 1 eni-1 10.0.0.1 10.0.0.2 50002 91 6 3 180 1418530012 1418530070 REJECT OK
2 1 eni-1 10.0.0.1 10.0.0.2 50003 91 6 3 180 1418530013 1418530080 REJECT OK
2 1 eni-1 192.0.2.1 10.0.0.2 50003 91 6 1 60 1418530013 1418530080 REJECT OK
";

#[test]
fn recorded_flows_are_told_by_what_becomes_of_them() {
    let place = tempfile::tempdir().unwrap();
    let at = place.path();
    set(at, "old.yaml", "tcp/5432, tcp/80-90");
    set(at, "new.yaml", "tcp/5432, tcp/81-91");
    fs::write(at.join("vpc.log"), FLOWS).unwrap();
    let ran = diff(at, &["old.yaml", "new.yaml", "--flows", "vpc.log"]);
    assert_eq!((ran.code, ran.stderr.as_str()), (1, ""), "{}", ran.stdout);
    for part in [
        "- web -> db  tcp/80  allowed -> denied  (was shop#0)\n+ web -> db  tcp/91  denied -> allowed  (shop#0)\n\n",
        "5 recorded flows: 1 newly denied, 2 newly allowed, 0 newly audited, unchanged: 1 allowed, 1 denied, 0 audited\n",
        "1 flow, 3 packets: passed before and would be dropped\n",
        "2 flows, 6 packets: dropped before and would pass\n",
        "from 2014-12-14T04:06:50Z to 2014-12-14T04:08:00Z\n",
        "\nNEWLY DENIED\n",
        "allowed  shop#0  old.yaml:16",
        "- {from: [{labels: {app: web}}], to: [{labels: {app: db}}], ports: [tcp/80]}  # 1",
        "\nNEWLY ALLOWED\n",
        "allowed  shop#0  new.yaml:16",
    ] {
        assert!(ran.stdout.contains(part), "{part}: {}", ran.stdout);
    }
    assert!(!ran.stdout.contains("NO RECORDED FLOW TOUCHED"), "{}", ran.stdout);

    let ran = diff(at, &["-o", "json", "old.yaml", "new.yaml", "--flows", "vpc.log"]);
    let report: serde_json::Value = serde_json::from_str(&ran.stdout).unwrap();
    let flows = &report["flows"];
    assert_eq!(report["schema"], "enforcer.diff/v1");
    assert_eq!((&report["changes"][0]["flows"], &report["changes"][1]["flows"]), (&1.into(), &2.into()));
    assert_eq!(flows["changed"]["newly_denied"]["flows"], 1);
    let group = &flows["groups"][0];
    assert_eq!((&group["change"], &group["breaks"]), (&"newly-denied".into(), &true.into()));
    assert_eq!(group["old"]["cause"], serde_json::json!({"rule": "shop#0", "file": "old.yaml", "line": 16}));
    assert_eq!(group["new"]["cause"], serde_json::json!({"reason": "no-rule"}));

    let ran = diff(at, &["-o", "jsonl", "old.yaml", "new.yaml", "--flows", "vpc.log"]);
    let lines = ran.stdout.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
    let schemas: Vec<String> = lines.map(|line| line["schema"].as_str().unwrap().to_owned()).collect();
    let (change, flow) = ("enforcer.change/v1", "enforcer.flow-change/v1");
    assert_eq!(schemas, [change, change, flow, flow, "enforcer.diff/v1"]);

    // What the recording has no flow for is said; what it has is counted only where nothing changes.
    let ran = diff(
        at,
        &["old.yaml", "new.yaml", "--flows", "vpc.log", "--format", "vpc", "--vpc-fields", "srcaddr"],
    );
    assert_eq!(ran.code, 2, "{}", ran.stderr);
    fs::write(at.join("one.log"), FLOWS.lines().next().unwrap()).unwrap();
    let ran = diff(at, &["old.yaml", "new.yaml", "--flows", "one.log"]);
    let (_, untouched) = ran.stdout.split_once("NO RECORDED FLOW TOUCHED").unwrap();
    assert!(untouched.contains("  - web -> db  tcp/80 ") && untouched.contains("  + web -> db  tcp/91 "));
    let ran = diff(at, &["old.yaml", "old.yaml", "--flows", "vpc.log"]);
    assert_eq!(ran.code, 0, "{}", ran.stdout);
    assert!(
        ran.stdout.starts_with("no connectivity changes\n\n5 recorded flows: 0 newly denied"),
        "{}",
        ran.stdout
    );
    assert_eq!(diff(at, &["old.yaml", "new.yaml", "--strict"]).code, 2, "nothing is read");
}

#[test]
fn an_inventory_counts_for_connectivity_and_flows() {
    let place = tempfile::tempdir().unwrap();
    let at = place.path();
    set(at, "old.yaml", "tcp/5432");
    set(at, "new.yaml", "tcp/5433");
    let pod = r#"{"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "batch", "namespace": "shop", "labels": {"app": "web"}},
        "spec": {"containers": []}, "status": {"phase": "Running", "podIP": "10.0.0.9", "podIPs": [{"ip": "10.0.0.9"}]}}"#;
    fs::write(at.join("pods.json"), pod).unwrap();
    let record = "2 1 eni-1 10.0.0.9 10.0.0.2 50000 5432 6 20 4249 1418530010 1418530070 ACCEPT OK\n";
    fs::write(at.join("vpc.log"), record).unwrap();
    let args = ["old.yaml", "new.yaml", "-o", "json", "--flows", "vpc.log", "--inventory", "pods.json"];
    let ran = diff(at, &args);
    let report: serde_json::Value = serde_json::from_str(&ran.stdout).unwrap();
    assert!(report["changes"][0]["from"].as_array().unwrap().len() == 2, "{}", ran.stdout);
    assert_eq!(report["changes"][0]["flows"], 1, "{}", ran.stdout);
    assert_eq!(report["flows"]["groups"][0]["change"], "newly-denied", "{}", ran.stdout);
}

/// What `diff --flows` counts, counted anew from two `audit -o jsonl --per-flow`.
#[test]
fn the_difference_is_that_of_two_audits() {
    let place = tempfile::tempdir().unwrap();
    let at = place.path();
    set(at, "old.yaml", "tcp/1-400, udp");
    set(at, "new.yaml", "tcp/200-600, icmp");
    let mut log = String::new();
    for n in 0..400_u32 {
        let (from, to) =
            [("10.0.0.1", "10.0.0.2"), ("10.0.0.2", "10.0.0.1"), ("192.0.2.1", "10.0.0.2")][n as usize % 3];
        let protocol = [6, 6, 6, 17][n as usize % 4];
        let port = n * 7919 % 800;
        log += &format!(
            "2 1 eni-1 {from} {to} {} {port} {protocol} 2 100 14185300{:02} 1418530100 ACCEPT OK\n",
            40_000 + n,
            n % 90 + 10
        );
    }
    fs::write(at.join("vpc.log"), log).unwrap();
    let audit = |set: &str| -> std::collections::BTreeMap<String, (String, String)> {
        let mut command = Command::new(env!("CARGO_BIN_EXE_enforcer"));
        let args = ["audit", "-o", "jsonl", "--per-flow", "--flows", "vpc.log", "-f", set];
        let ran: Ran = command.args(args).current_dir(at).stdin(Stdio::null()).output().unwrap().into();
        let lines = ran.stdout.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
        lines
            .filter(|line| line["schema"] == "enforcer.audit-flow/v1")
            .map(|line| {
                let ends =
                    ["source", "source_port", "destination", "port"].map(|field| line[field].to_string());
                let cause = line["cause"]["rule"].as_str().or(line["cause"]["reason"].as_str());
                (
                    ends.join(" "),
                    (line["verdict"].as_str().unwrap().to_owned(), cause.unwrap_or("").to_owned()),
                )
            })
            .collect()
    };
    let (old, new) = (audit("old.yaml"), audit("new.yaml"));
    assert_eq!(old.len(), 400);
    let mut expected = std::collections::BTreeMap::<String, u64>::new();
    for (flow, was) in &old {
        let is = &new[flow];
        if was.0 != is.0 {
            *expected.entry(format!("{was:?} {is:?}")).or_default() += 1;
        }
    }
    let ran = diff(at, &["old.yaml", "new.yaml", "-o", "json", "--flows", "vpc.log"]);
    let report: serde_json::Value = serde_json::from_str(&ran.stdout).unwrap();
    let mut found = std::collections::BTreeMap::<String, u64>::new();
    for group in report["flows"]["groups"].as_array().unwrap() {
        let said = |side: &serde_json::Value| {
            let cause = side["cause"]["rule"].as_str().or(side["cause"]["reason"].as_str());
            (side["verdict"].as_str().unwrap().to_owned(), cause.unwrap_or("").to_owned())
        };
        *found.entry(format!("{:?} {:?}", said(&group["old"]), said(&group["new"]))).or_default() +=
            group["flows"].as_u64().unwrap();
    }
    assert!(expected.len() >= 2, "{expected:?}");
    assert_eq!(found, expected);
}
