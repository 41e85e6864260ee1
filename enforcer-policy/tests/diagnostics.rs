//! The exact text of every kind of finding: message, place, underline, help.
//!
//! Cases are in `tests/diagnostics/*.yaml`. A case with a `kind` is the `spec` of a document of that kind; one without is
//! a whole file. `ENFORCER_BLESS=1 cargo test -p enforcer-policy --test diagnostics` writes the `output` of every case
//! anew; read the difference before you commit it.

use enforcer_policy::check::parse;
use enforcer_policy::diagnostic::Colour;
use enforcer_policy::source::Source;
use serde::Deserialize;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    note: String,
    kind: Option<String>,
    input: String,
    output: Option<String>,
}

impl Case {
    fn source(&self) -> Source {
        let text = match &self.kind {
            None => self.input.clone(),
            Some(kind) => format!(
                "apiVersion: enforcer.dev/v1alpha1\nkind: {kind}\nmetadata: {{name: a}}\nspec:\n{}",
                indented(&self.input, 2)
            ),
        };
        Source::new("a.yaml", text)
    }

    fn run(&self) -> String {
        let now = "2026-06-01T00:00:00Z".parse().expect("an instant");
        let mut text = parse(&[self.source()], now).render(Colour::Never);
        text.push('\n');
        text
    }
}

fn indented(text: &str, by: usize) -> String {
    let line = |line: &str| if line.is_empty() { "\n".to_owned() } else { format!("{:by$}{line}\n", "") };
    text.lines().map(line).collect()
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/diagnostics")
}

fn bless(path: &Path, cases: &[Case]) {
    let mut text = String::new();
    for case in cases {
        let _ = writeln!(text, "- note: {}", case.note);
        if let Some(kind) = &case.kind {
            let _ = writeln!(text, "  kind: {kind}");
        }
        let _ = write!(text, "  input: |\n{}", indented(&case.input, 4));
        let _ = writeln!(text, "  output: |\n{}", indented(&case.run(), 4));
    }
    std::fs::write(path, text).expect("a case file is written");
}

#[test]
fn every_case() {
    let mut wrong = Vec::new();
    let mut count = 0;
    let files = std::fs::read_dir(folder()).expect("the folder of cases");
    for path in files.map(|entry| entry.expect("a folder entry").path()) {
        let text = std::fs::read_to_string(&path).expect("a case file");
        let cases: Vec<Case> =
            serde_yaml::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        if std::env::var_os("ENFORCER_BLESS").is_some() {
            bless(&path, &cases);
            continue;
        }
        for case in &cases {
            count += 1;
            let expected = case.output.as_deref().unwrap_or("(no output is recorded)\n");
            let seen = case.run();
            if seen != expected {
                wrong.push(format!(
                    "{}: {}\nexpected:\n{expected}\nseen:\n{seen}",
                    path.display(),
                    case.note
                ));
            }
        }
    }
    assert!(count > 0 || std::env::var_os("ENFORCER_BLESS").is_some(), "no case was found");
    assert!(wrong.is_empty(), "{} of {count} cases differ:\n\n{}", wrong.len(), wrong.join("\n"));
}
