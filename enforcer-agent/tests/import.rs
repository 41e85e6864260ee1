//! `enforcer import`, through the real binary, to documents that the other commands read.

mod ran;

use ran::Ran;
use std::fs;
use std::process::{Command, Stdio};

const PODS: &str = r#"{"kind": "List", "items": [
  {"kind": "Namespace", "metadata": {"name": "shop"}},
  {"kind": "Pod", "metadata": {"name": "web", "namespace": "shop", "labels": {"app": "web"}}, "status": {"podIP": "10.0.0.1"}},
  {"kind": "Pod", "metadata": {"name": "db", "namespace": "shop", "labels": {"app": "db"}},
   "spec": {"containers": [{"ports": [{"name": "sql", "containerPort": 5432}]}]}, "status": {"podIP": "10.0.0.2"}}]}"#;

const POLICY: &str = "apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: db, namespace: shop}
spec:
  podSelector: {matchLabels: {app: db}}
  ingress:
  - from: [{podSelector: {matchLabels: {app: web}}}]
    ports: [{port: sql}]
";

const GROUPS: &str = r#"{"SecurityGroups": [{"GroupId": "sg-1", "GroupName": "web", "IpPermissions": [
  {"IpProtocol": "tcp", "FromPort": 443, "ToPort": 443, "PrefixListIds": [{"PrefixListId": "pl-1"}]}]}]}"#;

struct Files(tempfile::TempDir);

impl Files {
    fn new() -> Self {
        let files = Self(tempfile::tempdir().unwrap());
        files.put("pods.json", PODS);
        files.put("policy.yaml", POLICY);
        files.put("groups.json", GROUPS);
        files
    }

    fn put(&self, name: &str, text: &str) {
        fs::write(self.0.path().join(name), text).unwrap();
    }

    fn run(&self, args: &[&str]) -> (i32, String, String) {
        let mut command = Command::new(env!("CARGO_BIN_EXE_enforcer"));
        let output = command.args(args).current_dir(self.0.path()).stdin(Stdio::null()).output().unwrap();
        let Ran { code, stdout, stderr } = output.into();
        (code, stdout, stderr)
    }
}

#[test]
fn what_is_imported_passes_check_and_decides() {
    let files = Files::new();
    let (code, yaml, stderr) = files.run(&[
        "import",
        "networkpolicy",
        "policy.yaml",
        "--inventory",
        "pods.json",
        "--with-workloads",
    ]);
    assert_eq!((code, stderr.as_str()), (0, ""), "{yaml}");
    files.put("out.yaml", &yaml);
    let (code, stdout, stderr) = files.run(&["check", "out.yaml"]);
    // Pods of other namespaces may come; that there are none now is a warning.
    assert!(code == 0 && !stderr.contains("error"), "{stdout}\n{stderr}\n{yaml}");
    for (from, to, port, expected) in [
        ("workload/shop.web", "workload/shop.db", "tcp/5432", 0),
        ("workload/shop.web", "workload/shop.db", "tcp/22", 1),
        ("workload/shop.db", "workload/shop.web", "tcp/22", 0),
        ("world", "workload/shop.db", "tcp/5432", 1),
        ("world", "workload/shop.web", "tcp/80", 0),
    ] {
        let (code, stdout, _) =
            files.run(&["explain", "-f", "out.yaml", "--from", from, "--to", to, "--port", port]);
        assert_eq!(code, expected, "{from} {to} {port}: {stdout}\n{yaml}");
    }
}

#[test]
fn what_is_not_carried_over_is_a_no() {
    let files = Files::new();
    let (code, yaml, stderr) = files.run(&["import", "networkpolicy", "policy.yaml"]);
    assert_eq!(code, 1, "{stderr}");
    assert!(
        stderr.contains("policy.yaml:8:20") && stderr.contains("`sql`") && stderr.contains("help: "),
        "{stderr}"
    );
    assert!(yaml.contains("# NOT carried over:\n#   policy.yaml:8:20: the port `sql`"), "{yaml}");
    let (code, _, _) = files.run(&["import", "networkpolicy", "policy.yaml", "--allow-partial"]);
    assert_eq!(code, 0);
    let (code, stdout, _) = files.run(&["import", "security-groups", "groups.json", "-o", "json"]);
    let report: serde_json::Value = serde_json::from_str(&stdout).unwrap();
    assert_eq!((code, &report["schema"]), (1, &"enforcer.import/v1".into()));
    assert_eq!((&report["notCarriedOver"][0]["line"], &report["policies"]), (&2.into(), &0.into()));
}

#[test]
fn inventories_become_documents() {
    let files = Files::new();
    let (code, yaml, stderr) = files.run(&["import", "inventory", "pods.json"]);
    assert_eq!((code, stderr.as_str()), (0, ""));
    files.put("out.yaml", &yaml);
    let (code, stdout, _) = files.run(&["check", "out.yaml"]);
    assert!(code == 0 && stdout.contains("2 workloads"), "{stdout}\n{yaml}");
}

#[test]
fn input_that_is_none_is_refused() {
    let files = Files::new();
    files.put("odd.yaml", "kind: NetworkPolicy\nmetadata: {name: a}\nspec: {podSelector: 3}\n");
    let (code, stdout, stderr) = files.run(&["import", "networkpolicy", "odd.yaml"]);
    assert_eq!((code, stdout.as_str()), (3, ""));
    assert!(stderr.contains("odd.yaml:3:"), "{stderr}");
    let (code, _, stderr) = files.run(&["import", "inventory", "policy.yaml"]);
    assert!(code == 2 && stderr.contains("help: known are"), "{stderr}");
    let (code, _, _) = files.run(&["import", "networkpolicy", "/nowhere.yaml"]);
    assert_eq!(code, 2);
}
