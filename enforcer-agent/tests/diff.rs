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
