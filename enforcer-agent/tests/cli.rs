//! The real binary: what it prints where, and what it tells the shell.

mod ran;

use ran::Ran;
use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

const HEAD: &str = "apiVersion: enforcer.dev/v1alpha1\n";

fn demo() -> String {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join("policies/demo").display().to_string()
}

fn enforcer(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_enforcer"));
    command.args(args).stdin(Stdio::null());
    for variable in ["ENFORCER_SOCKET", "NO_COLOR"] {
        command.env_remove(variable);
    }
    command
}

fn run(args: &[&str]) -> Ran {
    enforcer(args).output().unwrap().into()
}

fn json(ran: &Ran) -> serde_json::Value {
    serde_json::from_str(&ran.stdout).unwrap_or_else(|error| panic!("{error}: {}", ran.stdout))
}

/// A file that is gone with the test.
fn file(text: &str) -> (tempfile::TempDir, String) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("policy.yaml");
    fs::write(&path, text).unwrap();
    (dir, path.display().to_string())
}

#[test]
fn check_accepts_the_demo() {
    let ran = run(&["check", &demo()]);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    assert!(ran.stdout.starts_with("ok: ") && ran.stdout.contains("FlowTest cases passed"), "{}", ran.stdout);
    assert_eq!(ran.stderr, "");
    let ran = run(&["check", "-o", "json", &demo()]);
    let report = json(&ran);
    assert_eq!(report["schema"], "enforcer.check/v1");
    assert_eq!((&report["valid"], &report["documents"]["Workload"]), (&true.into(), &5.into()));
    assert_eq!(report["tests"]["failed"], 0);
}

#[test]
fn check_names_every_error_with_its_place() {
    let (_dir, path) = file(&format!(
        "{HEAD}kind: Segment\nmetadata: {{name: a}}\nspec: {{select: [{{entity: all}}], mode: strict}}\n---\n\
         {HEAD}kind: FlowPolicy\nmetadata: {{name: b}}\nspec: {{flows: []}}\n"
    ));
    let ran = run(&["check", &path]);
    assert_eq!(ran.code, 3);
    assert!(
        ran.stderr.contains(&format!("{path}:4:")) && ran.stderr.contains(&format!("{path}:9:")),
        "{}",
        ran.stderr
    );
    assert!(ran.stderr.contains("help: "), "{}", ran.stderr);
    assert!(ran.stdout.starts_with("invalid: 2 errors, 1 file"), "{}", ran.stdout);
    let ran = run(&["check", "-o", "json", &path]);
    assert_eq!((ran.code, ran.stderr.as_str()), (3, ""));
    let report = json(&ran);
    assert_eq!(report["valid"], false);
    let first = &report["diagnostics"][0];
    assert_eq!((&first["severity"], &first["line"]), (&"error".into(), &4.into()));
    let lines = run(&["check", "-o", "jsonl", &path]);
    assert_eq!(lines.stdout.lines().count(), 3);
    for line in lines.stdout.lines() {
        serde_json::from_str::<serde_json::Value>(line).unwrap();
    }
}

#[test]
fn check_warns_of_settings_among_policies() {
    let (_dir, path) = file(&format!("{HEAD}kind: AgentConfig\nmetadata: {{name: agent}}\n"));
    let ran = run(&["check", &path]);
    assert_eq!(ran.code, 0);
    assert!(ran.stderr.contains("the AgentConfig `agent` has no effect among policies"), "{}", ran.stderr);
    let report = json(&run(&["check", "-o", "json", &path]));
    assert_eq!(report["diagnostics"][0]["severity"], "warning");
}

#[test]
fn a_failing_test_is_a_no() {
    let (_dir, path) = file(&format!(
        "{HEAD}kind: Workload\nmetadata: {{name: web}}\nspec: {{labels: {{app: web}}, match: [{{interface: web0}}]}}\n---\n\
         {HEAD}kind: FlowTest\nmetadata: {{name: t}}\nspec:\n  cases:\n    \
         - {{from: {{entity: world}}, to: {{workload: web}}, port: tcp/80, expect: allow}}\n    \
         - {{from: {{entity: world}}, to: {{workload: web}}, port: tcp/81, expect: deny}}\n"
    ));
    let ran = run(&["check", &path]);
    assert_eq!(ran.code, 1, "{}", ran.stderr);
    assert!(ran.stdout.contains("FAILED t[0]"), "{}", ran.stdout);
    let ran = run(&["test", &path]);
    assert_eq!(ran.code, 1);
    let lines: Vec<&str> = ran.stdout.lines().collect();
    assert_eq!(lines.len(), 3, "{}", ran.stdout);
    assert!(
        lines[0]
            .starts_with("FAILED t[0]  world -> workload/web tcp/80  expected allow, saw denied  no-rule"),
        "{}",
        lines[0]
    );
    assert!(lines[1].starts_with("ok     t[1]"), "{}", lines[1]);
    assert_eq!(lines[2], "1 of 2 FlowTest cases failed");
    let report = json(&run(&["test", "-o", "json", &path]));
    assert_eq!(
        (&report["schema"], &report["passed"], &report["failed"]),
        (&"enforcer.test/v1".into(), &1.into(), &1.into())
    );
    assert_eq!(report["cases"][0]["cause"]["reason"], "no-rule");
}

#[test]
fn a_deny_on_trial_says_how_to_expect_it() {
    let (_dir, path) = file(&format!(
        "{HEAD}kind: Workload\nmetadata: {{name: web}}\nspec: {{labels: {{app: web}}, match: [{{interface: web0}}]}}\n---\n\
         {HEAD}kind: Segment\nmetadata: {{name: s}}\nspec: {{select: [{{labels: {{app: web}}}}], mode: audit}}\n---\n\
         {HEAD}kind: FlowTest\nmetadata: {{name: t}}\nspec:\n  cases:\n    \
         - {{from: {{entity: world}}, to: {{workload: web}}, port: tcp/81, expect: deny}}\n"
    ));
    let ran = run(&["test", &path]);
    assert_eq!(ran.code, 1);
    assert!(ran.stdout.contains("expected deny, saw audited"), "{}", ran.stdout);
    assert!(ran.stdout.contains("help: ") && ran.stdout.contains("`expect: audit`"), "{}", ran.stdout);
}

#[test]
fn a_property_that_fails_shows_its_path_rule_by_rule() {
    let test = "spec: {properties: [{only: {to: [{labels: {app: ledger}}], port: tcp/5432, from: [{labels: {app: checkout}}]}}, \
                {unreachable: {from: [{labels: {app: web}}], to: [{labels: {app: ledger}}]}}]}";
    let (_dir, path) = file(&format!("{HEAD}kind: FlowTest\nmetadata: {{name: closed}}\n{test}\n"));
    let ran = run(&["test", &demo(), &path]);
    assert_eq!(ran.code, 1, "{}", ran.stderr);
    for wanted in [
        "FAILED closed.properties[0]  only",
        "batch -> ledger  tcp/5432  allowed by batch-to-ledger#0",
        "FAILED closed.properties[1]  unreachable",
        "web -> checkout  tcp/8080  allowed by web-to-checkout#0",
        "checkout -> ledger  tcp/5432  allowed by checkout-to-ledger#0",
        "2 of ",
    ] {
        assert!(ran.stdout.contains(wanted), "{wanted}: {}", ran.stdout);
    }
    let ran = run(&["test", "-o", "json", &demo(), &path]);
    let report = json(&ran);
    assert_eq!(report["properties"][1]["path"][1]["cause"]["rule"], "checkout-to-ledger#0");
    assert_eq!((&report["failed"], &report["properties"][0]["claim"]), (&2.into(), &"only".into()));
}

#[test]
fn check_says_what_is_probably_not_meant() {
    let (_dir, path) = file(&format!(
        "{HEAD}kind: FlowPolicy\nmetadata: {{name: wide}}\nspec:\n  flows:\n    - {{from: [{{entity: all}}], to: [{{cidr: [198.51.100.0/24]}}], ports: [any]}}\n"
    ));
    let ran = run(&["check", &demo(), &path]);
    assert_eq!(ran.code, 0, "{}", ran.stdout);
    assert!(
        ran.stderr.contains("`wide#0` is wide") && ran.stderr.contains(&format!("{path}:6:")),
        "{}",
        ran.stderr
    );
    assert!(ran.stderr.contains("no FlowTest case is decided by the policy `wide`"), "{}", ran.stderr);
    assert_eq!(run(&["check", "--strict", &demo(), &path]).code, 1);
    assert_eq!(run(&["check", "--strict", &demo()]).code, 0);
}

#[test]
fn explain_answers_from_files() {
    let flow = ["--from", "workload/checkout", "--to", "workload/ledger", "--port", "tcp/5432"];
    let ran = run(&[&["explain", "-f", &demo()], &flow[..]].concat());
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    assert!(ran.stdout.contains("checkout-to-ledger#0"), "{}", ran.stdout);
    let ran =
        run(&["explain", "-f", &demo(), "--from", "world", "--to", "workload/ledger", "--port", "tcp/22"]);
    assert_eq!(ran.code, 1);
    assert!(ran.stdout.contains("no-rule"), "{}", ran.stdout);
    assert!(ran.stdout.contains("none matches the flow"), "selected, and nothing matched: {}", ran.stdout);
    let (_dir, path) = file(&format!(
        "{HEAD}kind: Workload\nmetadata: {{name: lonely}}\nspec: {{labels: {{app: lonely}}, match: [{{interface: l}}], addresses: [10.9.9.9]}}\n"
    ));
    let ran =
        run(&["explain", "-f", &path, "--from", "world", "--to", "workload/lonely", "--port", "tcp/22"]);
    assert!(ran.stdout.contains("no policy selects either end"), "{}", ran.stdout);
    let report = json(&run(&[&["explain", "-o", "json", "-f", &demo()], &flow[..]].concat()));
    assert_eq!((&report["schema"], &report["verdict"]), (&"enforcer.explain/v1".into(), &"allowed".into()));
}

#[test]
fn questions_that_make_no_sense_can_not_be_answered() {
    for (args, told) in [
        (
            &["explain", "--from", "we b", "--to", "host", "--port", "tcp/1"][..],
            "doesn't name an end of a flow",
        ),
        (&["explain", "--from", "host", "--to", "world", "--port", "443"], "write `tcp/443` or `udp/443`"),
        (&["explain", "--from", "host", "--to", "world", "--port", "tcp/1-9"], "is more than one port"),
        (&["check", "/nowhere.yaml"], "could not read `/nowhere.yaml`"),
        (&["check"], "Usage:"),
        (&["frobnicate"], "unrecognized subcommand"),
        (&["status", "--socket", "/nowhere.sock"], "could not reach the daemon at `/nowhere.sock`"),
        (&["apply", "--socket", "/nowhere.sock", "--empty"], "could not reach the daemon"),
        (&["apply"], "--file"),
    ] {
        let ran = run(args);
        assert_eq!((ran.code, ran.stdout.as_str()), (2, ""), "{args:?}: {}", ran.stderr);
        assert!(ran.stderr.contains(told), "{args:?}: {}", ran.stderr);
    }
}

#[test]
fn filters_are_refused_before_the_daemon_is_asked_and_top_wants_a_terminal() {
    for (args, told) in [
        (&["observe", "--port", "tcp/http"][..], "error: `tcp/http` is not a port"),
        (&["observe", "--cidr", "db"], "error: `db` is not a CIDR block\nhelp: for example `10.0.0.0/8`"),
        (&["observe", "--identity", "db"], "error: `db` doesn't name an end of a flow\nhelp: for example"),
        (&["observe", "--reason", "norule"], "error: `norule` is no reason\nhelp: near it: `no-rule`\n"),
        (&["observe", "--verdict", "maybe"], "error: invalid value 'maybe' for '--verdict <VERDICT>'"),
        (
            &["observe", "--workload", "\u{1b}[2J", "--cidr", "\u{202e}"],
            "error: `\\u{202e}` is not a CIDR block",
        ),
        (
            &["observe", "--not"],
            "error: `--not` is followed by no filter\nhelp: for example `--not --port udp/53`",
        ),
        (&["top", "-o", "json", "--not", "--not", "--port", "1"], "error: `--not` is followed by no filter"),
        (&["top", "--port", "99999"], "error: `99999`"),
        (&["top"], "error: there is no terminal to show it on\nhelp: `enforcer top -o json` prints one look"),
    ] {
        let ran = run(args);
        assert_eq!((ran.code, ran.stdout.as_str()), (2, ""), "{args:?}: {}", ran.stderr);
        assert!(ran.stderr.starts_with(told), "{args:?}: {}", ran.stderr);
    }
}

#[test]
fn an_empty_directory_is_no_answer_and_applies_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().display().to_string();
    for args in [&["check", path.as_str()][..], &["apply", "--socket", "/nowhere.sock", "-f", path.as_str()]]
    {
        let ran = run(args);
        assert_eq!(ran.code, 2);
        assert!(ran.stderr.contains("there is no policy file in"), "{}", ran.stderr);
    }
}

#[test]
fn stdin_is_a_file() {
    let mut child = enforcer(&["check", "-"]).stdin(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(b"kind: Nothing\n").unwrap();
    let ran = Ran::from(child.wait_with_output().unwrap());
    assert_eq!(ran.code, 3);
    assert!(ran.stderr.contains("stdin:1"), "{}", ran.stderr);
}

#[test]
fn a_reader_that_goes_away_is_no_error() {
    // A pipe without a reader: the first write fails.
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let output =
        enforcer(&["man"]).stdout(writer).stderr(Stdio::piped()).spawn().unwrap().wait_with_output().unwrap();
    assert_eq!((output.status.code(), output.stderr.as_slice()), (Some(0), &[][..]));
}

#[test]
fn completions_and_man_know_every_command() {
    let page = run(&["man"]).stdout;
    for command in
        ["run", "stop", "status", "check", "test", "apply", "rollback", "explain", "import", "observe", "top"]
    {
        assert!(page.contains(&format!("enforcer\\-{command}")), "{command}");
        assert!(run(&["man", command]).stdout.contains(".SH NAME"), "{command}");
        assert!(run(&[command, "--help"]).stdout.contains("Example"), "{command}");
    }
    for shell in ["bash", "zsh", "fish"] {
        let ran = run(&["completions", shell]);
        assert!(ran.code == 0 && ran.stdout.contains("rollback"), "{shell}");
    }
}

#[test]
fn settings_in_error_are_invalid() {
    let (_dir, path) =
        file(&format!("{HEAD}kind: AgentConfig\nmetadata: {{name: a}}\nspec: {{policy: /x}}\n"));
    let ran = run(&["run", "--config", &path]);
    assert_eq!(ran.code, 3);
    assert!(ran.stderr.contains("policy") && ran.stderr.contains(&format!("{path}:4:")), "{}", ran.stderr);
}
