//! SARIF 2.1.0, for code scanning.

use super::text::{headline, near};
use crate::report::{CauseLine, Report};
use enforcer_policy::diagnostic::shown;
use serde_json::{Value, json};

/// The report as a SARIF log. Results stand at the rule that denies, or at the one that comes nearest to allowing.
#[must_use]
pub fn sarif(report: &Report) -> Value {
    let mut results = Vec::new();
    for group in report.with("denied") {
        let mut text = headline(group);
        if let Some(allow) = &group.allow {
            text += &format!(". To allow it: {allow}");
        }
        if let Some(miss) = &group.nearest_miss {
            text += &format!(". Nearest: {}", near(miss));
        }
        let cause = group.cause.as_ref().filter(|cause| cause.rule.is_some());
        let place = cause.or_else(|| group.nearest_miss.as_ref().map(|miss| &miss.rule));
        results.push(result("denied", "error", &text, place));
    }
    for rule in report.unused() {
        let place =
            CauseLine { file: Some(rule.file.clone()), line: Some(rule.line), ..CauseLine::default() };
        let text = format!("`{}` decided none of the recorded flows", shown(&rule.rule));
        results.push(result("unused", "warning", &text, Some(&place)));
    }
    for workload in report.untouched() {
        let place = CauseLine { file: workload.file.clone(), line: workload.line, ..CauseLine::default() };
        let text = format!("no recorded flow touched `{}`", shown(&workload.workload));
        results.push(result("untouched", "note", &text, Some(&place)));
    }
    let rule = |id: &str, text: &str| json!({"id": id, "shortDescription": {"text": text}});
    json!({
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "version": "2.1.0",
        "runs": [{
            "tool": {"driver": {
                "name": "enforcer audit",
                "version": env!("CARGO_PKG_VERSION"),
                "rules": [
                    rule("denied", "A recorded flow would be denied"),
                    rule("unused", "A rule decided none of the recorded flows"),
                    rule("untouched", "No recorded flow touched a workload"),
                ],
            }},
            "results": results,
        }],
    })
}

fn result(rule: &str, level: &str, text: &str, place: Option<&CauseLine>) -> Value {
    let mut result = json!({"ruleId": rule, "level": level, "message": {"text": text}});
    if let Some((file, line)) = place.and_then(|place| Some((place.file.as_ref()?, place.line?))) {
        result["locations"] = json!([{
            "physicalLocation": {
                "artifactLocation": {"uri": uri(file)},
                "region": {"startLine": line},
            },
        }]);
    }
    result
}

/// A path as a relative reference (RFC 3986): everything but unreserved characters and slashes in percent form.
fn uri(path: &str) -> String {
    let mut out = String::new();
    for byte in path.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b'/' => {
                out.push(byte as char)
            }
            byte => out += &format!("%{byte:02X}"),
        }
    }
    out
}
