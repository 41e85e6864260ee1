//! Whatever stands in a file, reading and drawing end without a panic, and no terminal is driven by it.

use enforcer_policy::check::parse;
use enforcer_policy::diagnostic::Colour;
use enforcer_policy::source::Source;
use proptest::prelude::*;

const DOCUMENT: &str = "apiVersion: enforcer.dev/v1alpha1
kind: Workload
metadata: {name: ledger-db}
spec:
  labels: &l {app: ledger, env: \"pröd\"}
  match:
    - unit: postgresql.service
    - interface: veth*
  addresses: [10.20.0.7, \"fd00::7\"]
---
apiVersion: enforcer.dev/v1alpha1
kind: FlowPolicy
metadata: {name: a}
spec:
  expires: 2027-01-31T18:00:00Z
  flows:
    - from: [{labels: {app: checkout}}]
      to:   [{expressions: [{key: env, in: [prod]}]}, {cidr: [10.0.0.0/8]}]
      ports: [tcp/5432, icmp/3/4]
      why: |
        several
        lines
";

/// Characters that mean something to YAML, to the language, or to a terminal.
const SPICE: &[&str] = &[
    "{", "}", "[", "]", ":", ",", "-", "&l ", "*l", "!", "\"", "'", "#", "|", ">", "%", "@", "?", "<<", "\n",
    "\r", "\t", "\u{1b}", "\0", "\u{9b}", "\u{202e}", "\u{2028}", "\u{feff}", "é", "𝄞", "---\n", "...", "~",
    "0", "/", ".", " ",
];

fn mutated() -> impl Strategy<Value = String> {
    let change = (any::<prop::sample::Index>(), 0..6usize, prop::sample::select(SPICE));
    prop::collection::vec(change, 1..6).prop_map(|changes| {
        let mut text: Vec<char> = DOCUMENT.chars().collect();
        for (place, removed, put) in changes {
            let at = place.index(text.len() + 1);
            let end = (at + removed).min(text.len());
            text.splice(at..end, put.chars());
        }
        text.into_iter().collect()
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn e96_mutated_documents_drive_no_terminal(text in mutated()) {
        let checked = parse(&[Source::new("a\u{1b}.yaml", text)], "2026-01-01T00:00:00Z".parse().unwrap());
        let plain = checked.render(Colour::Never);
        prop_assert!(!plain.contains(|c: char| c.is_control() && c != '\n'), "{plain:?}");
        let styled = checked.render(Colour::Always);
        let driven = styled.contains(['\u{9b}', '\u{202e}', '\0']);
        prop_assert!(!driven);
        for diagnostic in &checked.diagnostics {
            serde_json::to_string(diagnostic).unwrap();
        }
    }

    #[test]
    fn e96_any_text_drives_no_terminal(text in "\\PC{0,80}") {
        let checked = parse(&[Source::new("a.yaml", text)], "2026-01-01T00:00:00Z".parse().unwrap());
        prop_assert!(checked.set.policies.is_empty());
        checked.render(Colour::Never);
    }
}
