//! Reports to make pages of.

use super::{SHOP, flow, parsed};
use enforcer_audit::{Audit, Known, Managed, Report, Setting, Tenure};
use enforcer_flows::{Damage, Flow, Gap, Item, Opener, Recorded, Sink};
use enforcer_policy::source::Source;
use enforcer_policy::testing::NOW;
use std::fmt::Write;

const START: i64 = 1_750_000_000_000_000_000;

/// Names that somebody chose who wants the page to do something.
pub(crate) const HOSTILE: [&str; 9] = [
    "<script>window.taken=1</script>",
    "</script><script>window.taken=1</script>",
    "\" onmouseover=\"window.taken=1\" x=\"",
    "' autofocus onfocus='window.taken=1",
    "</style><img src=x onerror=window.taken=1>",
    "</title></text></svg><iframe src=javascript:parent.taken=1>",
    "javascript:window.taken=1",
    "]]>--><svg onload=window.taken=1>&lt;&#60;",
    "\u{202e}gpj\u{0}\u{1b}[2J\n\u{200b}}{{7*7}}{% include x %}",
];

pub(crate) type Made = (Report, Vec<Source>);

fn known(name: &str, labels: &[(&str, &str)], address: &str) -> Known {
    Known {
        name: name.to_owned(),
        labels: labels.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect(),
        managed: true,
        addresses: vec![Tenure { address: address.parse().unwrap(), from: None, until: None }],
    }
}

fn seen(second: i64, record: Flow) -> Flow {
    let at = |second: i64| Some(START + second * 1_000_000_000);
    Flow { start: at(second), end: at(second + 5), ..record }
}

/// Workloads, recordings, gaps and damage of the worst names, and a policy file that has them in its text.
pub(crate) fn hostile() -> Made {
    let text = format!("# {}\n{SHOP}", HOSTILE[..8].join(" "));
    let mut setting = Setting::new(parsed(&text), NOW);
    setting.known = HOSTILE
        .iter()
        .zip(1..)
        .map(|(name, number)| known(name, &[("app", name), (name, "x")], &format!("10.9.9.{number}")))
        .collect();
    let mut audit = Audit::new(setting).unwrap();
    for (name, number) in HOSTILE.iter().zip(1..) {
        audit.begin(*name);
        let from = format!("10.9.9.{number}");
        audit.take(Item::Flow(&seen(number, flow(&from, 50_000, "10.0.0.2", 443, Opener::Source))));
        audit.take(Item::Flow(&seen(number, flow("10.0.0.1", 50_000, &from, 80, Opener::Source))));
        let of = Some((*name).to_owned());
        audit.take(Item::Gap(&Gap { start: Some(START), end: None, of, word: "NODATA", missing: None }));
        audit.take(Item::Damage(&Damage { place: 7, what: (*name).to_owned() }));
    }
    audit.take(Item::Flow(&seen(20, flow("10.0.0.1", 50_001, "10.0.0.2", 443, Opener::Source))));
    // A file's name is somebody's choice as well: the second one is nobody's origin.
    (audit.report().unwrap(), vec![Source::new("shop.yaml", text), Source::new(HOSTILE[0], HOSTILE[1])])
}

/// A few services with a cycle, every verdict, and somebody who speaks to himself.
pub(crate) fn services() -> Made {
    let names = ["web", "checkout", "ledger", "metrics", "batch", "search", "mail"];
    let mut text = String::new();
    for (name, number) in names.iter().zip(1..) {
        let tier = if number < 3 { "front" } else { "back" };
        write!(
            text,
            "apiVersion: enforcer.dev/v1alpha1\nkind: Workload\nmetadata: {{name: {name}}}\nspec: {{labels: {{app: {name}, tier: {tier}}}, \
             match: [{{interface: veth-{name}}}], addresses: [10.0.0.{number}]}}\n---\n"
        )
        .unwrap();
    }
    text += "\
apiVersion: enforcer.dev/v1alpha1
kind: Segment
metadata: {name: mail-in-audit}
spec: {select: [{labels: {app: mail}}], mode: audit}
---
apiVersion: enforcer.dev/v1alpha1
kind: FlowPolicy
metadata: {name: shop}
spec:
  flows:
    - {from: [{entity: world}], to: [{labels: {app: web}}], ports: [tcp/443], why: the shop's front door}
    - {from: [{labels: {app: web}}], to: [{labels: {app: checkout}}], ports: [tcp/8080]}
    - {from: [{labels: {app: web}}], to: [{labels: {app: search}}], ports: [tcp/9200]}
    - {from: [{labels: {app: checkout}}], to: [{labels: {app: ledger}}], ports: [tcp/5432], why: orders are booked}
    - {from: [{labels: {app: ledger}}], to: [{labels: {app: web}}], ports: [tcp/8081], why: price changes}
    - {from: [{labels: {app: metrics}}], to: [{labels: {tier: front}}], ports: [tcp/9100]}
    - {from: [{labels: {app: search}}], to: [{labels: {app: search}}], ports: [tcp/9300]}
    - {from: [{labels: {app: batch}}], to: [{labels: {app: ledger}}], ports: [tcp/5432]}
";
    let mut audit = Audit::new(Setting::new(parsed(&text), NOW)).unwrap();
    audit.begin("monday.log");
    let mut talk = |from: &str, to: &str, port: u16, times: u16, how: Recorded| {
        for number in 0..times {
            let mut record =
                seen(i64::from(number) * 60, flow(from, 40_000 + number, to, port, Opener::Source));
            record.recorded = Some(how);
            audit.take(Item::Flow(&record));
        }
    };
    for (from, to, port, times) in [
        ("198.51.100.7", "10.0.0.1", 443, 400),
        ("198.51.100.9", "10.0.0.1", 22, 31),
        ("10.0.0.1", "10.0.0.2", 8080, 220),
        ("10.0.0.1", "10.0.0.6", 9200, 64),
        ("10.0.0.1", "10.0.0.3", 5432, 3),
        ("10.0.0.2", "10.0.0.3", 5432, 180),
        ("10.0.0.2", "203.0.113.5", 443, 12),
        ("10.0.0.3", "10.0.0.1", 8081, 9),
        ("10.0.0.4", "10.0.0.1", 9100, 60),
        ("10.0.0.4", "10.0.0.2", 9100, 60),
        ("10.0.0.4", "10.0.0.3", 9100, 60),
        ("10.0.0.7", "203.0.113.25", 25, 15),
        ("203.0.113.25", "198.51.100.7", 25, 2),
    ] {
        talk(from, to, port, times, Recorded::Passed);
    }
    talk("10.0.0.5", "10.0.0.3", 5432, 5, Recorded::Refused);
    let of = Some("eni-1".to_owned());
    audit.take(Item::Gap(&Gap { start: Some(START), end: None, of, word: "NODATA", missing: None }));
    audit.take(Item::Damage(&Damage { place: 7, what: "`x` is no address".to_owned() }));
    (audit.report().unwrap(), vec![Source::new("shop.yaml", text)])
}

/// This many identities, each with flows to several others, under a long policy.
pub(crate) fn crowd(many: u16) -> Made {
    let text = format!("{SHOP}{}", "# filler\n".repeat(usize::from(many) * 20));
    let mut setting = Setting::new(parsed(&text), NOW);
    setting.managed = Managed::All;
    let address = |number: u16| format!("10.1.{}.{}", number / 250, number % 250 + 1);
    setting.known = (0..many)
        .map(|number| {
            let name = format!("service-{number}");
            known(&name, &[("app", &name)], &address(number))
        })
        .collect();
    let mut audit = Audit::new(setting).unwrap();
    for number in 0..many {
        for step in [1, 7, 31] {
            let (from, to) = (address(number), address((number + step) % many));
            audit.take(Item::Flow(&seen(i64::from(number), flow(&from, 50_000, &to, 8080, Opener::Source))));
        }
    }
    (audit.report().unwrap(), vec![Source::new("shop.yaml", text)])
}
