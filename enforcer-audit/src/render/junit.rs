//! JUnit's XML: a test case for each kind of flow, for each rule and for each workload.

use super::text::{group_cause, headline, identity, near};
use crate::report::Report;
use enforcer_policy::diagnostic::shown;
use quick_junit::{NonSuccessKind, SerializeError, TestCase, TestCaseStatus, TestSuite};

/// The report as JUnit's XML. Denied flows fail; rules that decided nothing and workloads that no flow touched are skipped.
pub fn junit(report: &Report) -> Result<String, SerializeError> {
    let mut flows = TestSuite::new("flows");
    for group in &report.groups {
        let name = format!(
            "{} -> {} {} ({})",
            identity(&group.source),
            identity(&group.destination),
            group.traffic.port,
            group_cause(group)
        );
        let status = match group.verdict {
            "denied" => {
                let mut status = TestCaseStatus::non_success(NonSuccessKind::Failure);
                let mut text = Vec::new();
                text.extend(group.allow.as_ref().map(|allow| format!("to allow it: {allow}")));
                text.extend(group.nearest_miss.as_ref().map(|miss| format!("nearest: {}", near(miss))));
                text.extend(group.hint.map(str::to_owned));
                status.set_type("denied").set_message(headline(group)).set_description(text.join("\n"));
                status
            }
            "unjudged" => skipped("neither end is a managed workload"),
            _ => TestCaseStatus::success(),
        };
        flows.add_test_case(TestCase::new(name, status));
    }
    let mut rules = TestSuite::new("rules");
    for rule in &report.rules {
        let status =
            if rule.is_unused() { skipped("decided none of the flows") } else { TestCaseStatus::success() };
        rules.add_test_case(TestCase::new(shown(&rule.rule), status));
    }
    let mut workloads = TestSuite::new("workloads");
    for workload in &report.workloads {
        let status =
            if workload.is_untouched() { skipped("no flow touched it") } else { TestCaseStatus::success() };
        workloads.add_test_case(TestCase::new(shown(&workload.workload), status));
    }
    let mut document = quick_junit::Report::new("enforcer audit");
    document.add_test_suites([flows, rules, workloads]);
    document.to_string()
}

fn skipped(why: &str) -> TestCaseStatus {
    let mut status = TestCaseStatus::skipped();
    status.set_message(why);
    status
}
