//! `enforcer suggest` as a program: what it writes passes the check, and the same flows are allowed by it.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

const IDENTITIES: &str = include_str!("web-and-db.yaml");

/// A connection with its answers, one that was refused, and one that nobody answered.
const VPC: &str = "\
2 123456789010 eni-1 10.0.0.1 10.0.0.2 50000 5432 6 20 4249 1418530010 1418530070 ACCEPT OK
2 123456789010 eni-1 10.0.0.2 10.0.0.1 5432 50000 6 18 9249 1418530010 1418530070 ACCEPT OK
2 123456789010 eni-1 10.0.0.1 10.0.0.2 50001 22 6 3 180 1418530011 1418530070 REJECT OK
2 123456789010 eni-1 10.0.0.1 10.0.0.2 50002 23 6 1 60 1418530011 1418530070 ACCEPT OK
";

fn enforcer(dir: &Path, args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_enforcer"));
    command.current_dir(dir).args(args).env_remove("ENFORCER_SOCKET").output().unwrap()
}

#[test]
fn what_is_suggested_passes_the_check_and_allows_what_was_used() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    fs::write(dir.join("identities.yaml"), IDENTITIES).unwrap();
    fs::write(dir.join("vpc.log"), VPC).unwrap();
    let ran = enforcer(dir, &["suggest", "-f", "identities.yaml", "--flows", "vpc.log"]);
    let text = String::from_utf8(ran.stdout.clone()).unwrap();
    assert!(ran.status.success() && ran.stderr.is_empty(), "{text}{}", String::from_utf8_lossy(&ran.stderr));
    assert!(text.contains("# 1 flow, 38 packets, 2014-12-14T04:06:50Z to 2014-12-14T04:07:50Z"), "{text}");
    assert!(text.contains("#   web (app=web) -> db (app=db)  tcp/22: 1 flow"), "{text}");
    assert!(text.contains("ports: [tcp/23]}"), "an entry to judge: {text}");
    assert!(text.contains("why: seen in vpc.log"), "{text}");
    fs::write(dir.join("suggested.yaml"), &ran.stdout).unwrap();
    assert!(enforcer(dir, &["check", "identities.yaml", "suggested.yaml"]).status.success());
    let args = ["audit", "-f", "identities.yaml", "suggested.yaml", "--flows", "vpc.log", "-o", "json"];
    let report: serde_json::Value = serde_json::from_slice(&enforcer(dir, &args).stdout).unwrap();
    assert_eq!(report["verdicts"]["allowed"]["flows"], 1, "{report}");
    assert_eq!(report["verdicts"]["denied"]["flows"], 2, "refused and unanswered: {report}");
    // Nothing is missing then.
    let ran = enforcer(dir, &["suggest", "-f", "identities.yaml", "suggested.yaml", "--flows", "vpc.log"]);
    let text = String::from_utf8(ran.stdout).unwrap();
    assert!(!text.contains("kind: FlowPolicy") && text.contains("decide 1 flow"), "{text}");
    let anew = ["suggest", "--anew", "-f", "identities.yaml", "suggested.yaml", "--flows", "vpc.log"];
    assert!(String::from_utf8(enforcer(dir, &anew).stdout).unwrap().contains("kind: FlowPolicy"));
}

#[test]
fn without_an_inventory_the_way_to_one_is_shown() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("vpc.log"), VPC).unwrap();
    let ran = enforcer(dir.path(), &["suggest", "--flows", "vpc.log"]);
    let said = String::from_utf8(ran.stderr).unwrap();
    assert!(said.contains("no address is known to be a workload's"), "{said}");
    assert!(said.contains("enforcer import host") && said.contains("--inventory"), "{said}");
}

#[test]
fn exit_codes_tell_what_went_wrong() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    fs::write(dir.join("bad.yaml"), "kind: Nonsense\n").unwrap();
    fs::write(dir.join("vpc.log"), VPC).unwrap();
    let code = |args: &[&str]| enforcer(dir, args).status.code();
    assert_eq!(code(&["suggest", "--flows", "missing.pcap"]), Some(2));
    assert_eq!(code(&["suggest", "-f", "bad.yaml", "--flows", "vpc.log"]), Some(3));
    assert_eq!(code(&["suggest", "--flows", "vpc.log"]), Some(0));
    assert_eq!(code(&["suggest"]), Some(2));
}

/// From narrowing through `check` and `diff`: the document can take the old one's place.
#[test]
fn rules_wider_than_their_use_are_narrowed_in_place() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    fs::write(dir.join("identities.yaml"), IDENTITIES).unwrap();
    fs::write(dir.join("vpc.log"), VPC).unwrap();
    let policy = "\
apiVersion: enforcer.dev/v1alpha1
kind: FlowPolicy
metadata: {name: shop}
spec:
  flows:
    - {from: [{entity: workloads}], to: [{labels: {app: db}}], ports: [tcp], why: orders}
    - {from: [{labels: {app: db}}], to: [{labels: {app: web}}], ports: [tcp/80]}
";
    fs::write(dir.join("shop.yaml"), policy).unwrap();
    let args = ["suggest", "-f", "identities.yaml", "--narrow", "shop.yaml", "--flows", "vpc.log"];
    let ran = enforcer(dir, &args);
    let (text, said) = (String::from_utf8(ran.stdout).unwrap(), String::from_utf8(ran.stderr).unwrap());
    assert!(ran.status.success() && said.contains("the recording covers 1 min"), "{text}{said}");
    for part in [
        "# In place of shop#0  shop.yaml:6\n",
        "- from: [{labels: {app: web}}]\n      to: [{labels: {app: db}}]\n      ports: [tcp/22, tcp/23, tcp/5432]\n      why: orders\n",
        "#   shop#1  shop.yaml:7\n",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    fs::write(dir.join("narrower.yaml"), &text).unwrap();
    fs::create_dir(dir.join("old")).unwrap();
    fs::create_dir(dir.join("new")).unwrap();
    for (set, policy) in [("old", "shop.yaml"), ("new", "narrower.yaml")] {
        for file in ["identities.yaml", policy] {
            fs::copy(dir.join(file), dir.join(set).join(file)).unwrap();
        }
    }
    assert!(enforcer(dir, &["check", "new"]).status.success());
    let ran = enforcer(dir, &["diff", "old", "new", "--flows", "vpc.log", "-o", "json"]);
    let report: serde_json::Value = serde_json::from_slice(&ran.stdout).unwrap();
    assert_eq!(report["flows"]["groups"], serde_json::json!([]), "{report}");
    let changes = report["changes"].as_array().unwrap();
    assert!(!changes.is_empty() && changes.iter().all(|change| change["opens"] == false), "{report}");

    let ran = enforcer(dir, &[&args[..], &["-o", "json"]].concat());
    let report: serde_json::Value = serde_json::from_slice(&ran.stdout).unwrap();
    assert_eq!((&report["schema"], &report["mode"]), (&"enforcer.suggest/v1".into(), &"narrow".into()));
    assert_eq!(report["rules"][0]["flows"][0]["ports"], serde_json::json!(["tcp/22", "tcp/23", "tcp/5432"]));
    assert_eq!((&report["rules"][1]["advice"], &report["rules"][1]["line"]), (&"unused".into(), &7.into()));
    let ran = enforcer(dir, &["suggest", "-f", "identities.yaml", "--flows", "vpc.log", "-o", "json"]);
    let report: serde_json::Value = serde_json::from_slice(&ran.stdout).unwrap();
    assert_eq!((&report["schema"], &report["mode"]), (&"enforcer.suggest/v1".into(), &"suggest".into()));
    assert_eq!(report["policies"][0]["flows"][0]["ports"], serde_json::json!(["tcp/5432"]));
    let ran = enforcer(dir, &["suggest", "-f", "identities.yaml", "--flows", "vpc.log", "-o", "jsonl"]);
    let lines = String::from_utf8(ran.stdout).unwrap();
    let schema = |line: &str| serde_json::from_str::<serde_json::Value>(line).unwrap()["schema"].to_string();
    assert_eq!(schema(lines.lines().next().unwrap()), "\"enforcer.suggest-policy/v1\"");
    assert_eq!(schema(lines.lines().last().unwrap()), "\"enforcer.suggest/v1\"");
}
