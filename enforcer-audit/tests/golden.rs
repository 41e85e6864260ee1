//! Every form of the report, to the letter. `ENFORCER_BLESS=1` writes the files anew.

mod common;

use common::{SHOP, flow, parsed};
use enforcer_audit::{Audit, Known, Report, Setting, render};
use enforcer_flows::{Damage, Flow, Gap, Item, Opener, Recorded, Sink, Who};
use enforcer_policy::testing::NOW;
use std::fs;
use std::path::Path;
use std::sync::Arc;

const START: i64 = 1_750_000_000_000_000_000;

/// A day in the shop, with names that somebody chose who means no good.
fn report() -> Report {
    let text = format!(
        "{SHOP}---\napiVersion: enforcer.dev/v1alpha1\nkind: FlowPolicy\nmetadata: {{name: no-telnet}}\nspec:\n  tier: guardrail\n  flows:\n    \
         - {{action: deny, from: [{{entity: all}}], to: [{{entity: all}}], ports: [tcp/23]}}\n"
    );
    let mut setting = Setting::new(parsed(&text), NOW);
    setting.known = vec![Known {
        name: "evil\u{1b}[2J\n::error::x".to_owned(),
        labels: [("app".to_owned(), "<script>\"&,\u{202e}".to_owned())].into(),
        managed: true,
        addresses: vec![enforcer_audit::Tenure {
            address: "10.9.9.9".parse().unwrap(),
            from: None,
            until: None,
        }],
    }];
    let mut audit = Audit::new(setting).unwrap();
    audit.begin("day.log");
    let seen = |second: i64, record: Flow| Flow {
        start: Some(START + second * 1_000_000_000),
        end: Some(START + (second + 5) * 1_000_000_000),
        ..record
    };
    let passed = |record: Flow| Flow { recorded: Some(Recorded::Passed), ..record };
    let mut named = flow("172.16.0.1", 40_000, "10.0.0.2", 443, Opener::Source);
    named.source.who = Some(Arc::new(Who {
        name: Some("shop/web-7".to_owned()),
        labels: [("app".to_owned(), "web".to_owned())].into(),
    }));
    let records = [
        seen(0, passed(flow("10.0.0.1", 50_000, "10.0.0.2", 443, Opener::Source))),
        seen(60, passed(flow("10.0.0.1", 50_001, "10.0.0.2", 443, Opener::Source))),
        seen(61, named),
        seen(90, passed(flow("10.0.0.1", 50_002, "10.0.0.2", 5432, Opener::Source))),
        seen(91, passed(flow("10.9.9.9", 50_003, "10.0.0.1", 80, Opener::Source))),
        seen(92, flow("192.0.2.7", 50_004, "10.0.0.1", 23, Opener::Source)),
        seen(93, flow("192.0.2.7", 50_004, "10.0.0.3", 22, Opener::Unknown)),
        Flow {
            recorded: Some(Recorded::Refused),
            ..seen(94, flow("10.0.0.1", 50_005, "10.0.0.2", 443, Opener::Source))
        },
        Flow {
            protocol: 1,
            icmp: Some((3, 1)),
            ..seen(95, flow("10.0.0.1", 0, "10.0.0.2", 0, Opener::Source))
        },
    ];
    records.iter().for_each(|record| audit.take(Item::Flow(record)));
    let of = Some("eni-\u{1b}1".to_owned());
    audit.take(Item::Gap(&Gap { start: Some(START), end: None, of, word: "NODATA", missing: None }));
    audit.take(Item::Damage(&Damage { place: 7, what: "`\u{7}` is no address".to_owned() }));
    audit.report().unwrap()
}

#[track_caller]
fn holds(name: &str, text: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name);
    if std::env::var_os("ENFORCER_BLESS").is_some() {
        fs::write(&path, text).unwrap();
    }
    let kept = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{name}: {error}"));
    assert_eq!(text, kept, "{name}: `ENFORCER_BLESS=1` writes it anew");
}

/// Nothing that a terminal, a workflow or a page would act on.
fn is_harmless(text: &str) -> bool {
    text.chars().all(|c| (c == '\n' || !c.is_control()) && c != '\u{202e}')
}

#[test]
fn people_read_it() {
    let text = render::human(&report(), false);
    assert!(is_harmless(&text), "{text:?}");
    holds("report.txt", &text);
}

#[test]
fn programs_read_it() {
    holds("report.json", &(serde_json::to_string_pretty(&report()).unwrap() + "\n"));
}

#[test]
fn workflows_read_it() {
    let text = render::github(&report());
    assert!(is_harmless(&text), "{text:?}");
    assert!(text.lines().all(|line| line.starts_with("::")), "{text}");
    // What a name has of a command is in the middle of a line, where it is none.
    assert!(!text.contains("\n::error::x"), "{text}");
    holds("report.github", &text);
}

#[test]
fn test_runners_read_it() {
    let text = render::junit(&report()).unwrap();
    // Each run of the crate that writes it has an id of its own.
    assert!(text.contains("<testsuites name=\"enforcer audit\""), "{text}");
    assert!(!text.contains("<script>") && text.is_ascii() || text.contains("&lt;script"), "{text}");
    holds("report.xml", &text);
}

#[test]
fn code_scanners_read_it() {
    let log = render::sarif(&report());
    holds("report.sarif", &(serde_json::to_string_pretty(&log).unwrap() + "\n"));
}
