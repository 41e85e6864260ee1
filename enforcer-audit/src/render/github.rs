//! Workflow commands of GitHub Actions: annotations at the files and lines of rules.

use super::text::{headline, near};
use crate::report::{CauseLine, Report};
use enforcer_policy::diagnostic::{counted, shown};

/// Annotations: errors for what would be denied, warnings for rules that decided nothing, notices for what the recording can't tell.
#[must_use]
pub fn github(report: &Report) -> String {
    let mut lines = Vec::new();
    for group in report.with("denied") {
        let mut message = headline(group);
        if let Some(allow) = &group.allow {
            message += &format!("\nto allow it: {allow}");
        }
        if let Some(miss) = &group.nearest_miss {
            message += &format!("\nnearest: {}", near(miss));
        }
        // Of a denial by silence, the rule that comes nearest is where a person will want to look.
        let cause = group.cause.as_ref().filter(|cause| cause.rule.is_some());
        let place = cause.or_else(|| group.nearest_miss.as_ref().map(|miss| &miss.rule));
        lines.push(command("error", place, "flow would be denied", &message));
    }
    for rule in report.unused() {
        let place =
            CauseLine { file: Some(rule.file.clone()), line: Some(rule.line), ..CauseLine::default() };
        let message = format!("`{}` decided none of the recorded flows", shown(&rule.rule));
        lines.push(command("warning", Some(&place), "rule decided nothing", &message));
    }
    for workload in report.untouched() {
        let place = CauseLine { file: workload.file.clone(), line: workload.line, ..CauseLine::default() };
        let message = format!("no recorded flow touched `{}`", shown(&workload.workload));
        lines.push(command("notice", Some(&place), "workload not covered", &message));
    }
    if report.totals.gaps > 0 {
        lines.push(command("warning", None, "gaps in the recording", &counted(report.totals.gaps, "gap")));
    }
    lines.concat()
}

fn command(level: &str, place: Option<&CauseLine>, title: &str, message: &str) -> String {
    let mut properties = Vec::new();
    if let Some((file, line)) = place.and_then(|place| Some((place.file.as_ref()?, place.line?))) {
        properties.push(format!("file={}", property(file)));
        properties.push(format!("line={line}"));
    }
    properties.push(format!("title={}", property(title)));
    format!("::{level} {}::{}\n", properties.join(","), data(message))
}

/// What stands behind the command: a line break would begin another one.
fn data(text: &str) -> String {
    text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A")
}

fn property(text: &str) -> String {
    data(text).replace(':', "%3A").replace(',', "%2C")
}
