//! Attacks on the documents themselves. Ids are those of the attack table (`docs/EVASION.md`).

use enforcer_policy::check::parse;
use enforcer_policy::diagnostic::Diagnostic;
use enforcer_policy::source::Source;

const HEAD: &str = "apiVersion: enforcer.dev/v1alpha1\nkind: FlowPolicy\nmetadata: {name: a}\nspec:\n";

/// What is wrong with a FlowPolicy of this flow: at least one error, each with its place.
fn refused(flow: &str) -> Vec<Diagnostic> {
    wrong(&format!("{HEAD}  flows:\n    - {flow}\n"))
}

fn wrong(text: &str) -> Vec<Diagnostic> {
    let checked = parse(&[Source::new("a.yaml", text.to_owned())], "2026-01-01T00:00:00Z".parse().unwrap());
    let errors: Vec<_> = checked.diagnostics.into_iter().filter(Diagnostic::is_error).collect();
    assert!(!errors.is_empty(), "taken for good:\n{text}");
    let drawn: Vec<_> =
        errors.iter().map(|error| error.render(enforcer_policy::diagnostic::Colour::Never)).collect();
    for error in &drawn {
        assert!(error.contains("a.yaml:"), "no place in:\n{error}");
    }
    errors
}

#[test]
fn e68_nothing_said_is_never_everything() {
    for selector in
        ["{}", "{labels: {}}", "{expressions: []}", "{cidr: []}", "{labels: null}", "null", "~", "[]"]
    {
        refused(&format!("{{from: [{selector}], to: [{{entity: world}}], ports: [tcp/443]}}"));
        refused(&format!("{{from: [{{entity: world}}], to: [{selector}], ports: [tcp/443]}}"));
        let segment = format!(
            "apiVersion: enforcer.dev/v1alpha1\nkind: Segment\nmetadata: {{name: a}}\nspec: {{select: [{selector}], mode: off}}\n"
        );
        wrong(&segment);
    }
    for flow in [
        "{to: [{entity: world}], ports: [tcp/443]}",
        "{from: [{entity: world}], ports: [tcp/443]}",
        "{from: [{entity: world}], to: [{entity: world}]}",
        "{from: [], to: [{entity: world}], ports: [tcp/443]}",
        "{from: [{entity: world}], to: [], ports: [tcp/443]}",
        "{from: [{entity: world}], to: [{entity: world}], ports: []}",
        "{from: [{entity: world}], to: [{entity: world}], ports: [\"\"]}",
        "{}",
    ] {
        refused(flow);
    }
}

#[test]
fn e97_hostile_files_are_refused_with_their_places() {
    let flow =
        |ports: &str| format!("{{from: [{{entity: world}}], to: [{{entity: world}}], ports: [{ports}]}}");
    for ports in
        ["tcp/65536", "tcp/-1", "tcp/443-80", "udp/8000-", "tcp/http", "icmp/256", "proto/256", "tcp/4e2"]
    {
        refused(&flow(ports));
    }
    for text in [
        format!("{HEAD}  ingres: []\n  flows: []\n"),
        format!("{HEAD}  flows:\n    - {}\n  flows: []\n", flow("tcp/443")),
        format!("{HEAD}  flows: yes\n"),
        format!("{HEAD}  <<: {{mode: audit}}\n  flows:\n    - {}\n", flow("tcp/443")),
        format!("{HEAD}  mode: enforced\n  flows:\n    - {}\n", flow("tcp/443")),
    ] {
        wrong(&text);
    }
    let mut bomb = String::from("a0: &a0 [x, x]\n");
    for level in 1..40 {
        bomb.push_str(&format!("a{level}: &a{level} [*a{0}, *a{0}]\n", level - 1));
    }
    wrong(&bomb);
    // All at once, not the first.
    assert!(refused("{frm: [], to: [{entity: wrld}], ports: [tcp/65536]}").len() >= 3);
}
