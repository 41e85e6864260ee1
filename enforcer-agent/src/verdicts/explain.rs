//! `explain`: the policy crate's answer as a document and as text.

use super::{Question, cause, cited, inputs};
use crate::daemon::clock::Instants;
use crate::daemon::engine::Refused;
use crate::daemon::failsafe;
use crate::pipeline::Surroundings;
use crate::protocol::{CauseRecord, End, ExplainReply, PostureStatus};
use crate::selection;
use enforcer_common::Reason;
use enforcer_policy::compile::Compiled;
use enforcer_policy::diagnostic::shown;
use enforcer_policy::explain::{
    self, Candidate, Cause, Explainer, Explanation, Miss, Path, Verdict, Who, port_text,
};
use enforcer_policy::model::{Failsafe, Lease, PolicySet, Workload};
use jiff::Unit;
use serde::Serialize;
use std::fmt::Write as _;

/// Rules that are shown to people; programs get them all.
const SHOWN: usize = 12;

#[derive(Serialize)]
struct Document {
    schema: &'static str,
    verdict: &'static str,
    passes: bool,
    cause: CauseRecord,
    port: String,
    from: End,
    to: End,
    /// The source's own hook, where it has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    egress: Option<Judged>,
    /// The destination's own hook, where it has one and the flow gets there.
    #[serde(skip_serializing_if = "Option::is_none")]
    ingress: Option<Judged>,
    /// Labels of either end that it has for a time, and until when.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    attested: Vec<PostureStatus>,
    /// Where no rule decides: `unselected` if none names either end, `unmatched` if some do and none matches.
    #[serde(skip_serializing_if = "Option::is_none")]
    selection: Option<&'static str>,
    candidates: Vec<Rule>,
    #[serde(skip_serializing_if = "Option::is_none")]
    nearest_miss: Option<Near>,
    /// Every pair of ends that the question stands for.
    paths: Vec<Pair>,
}

#[derive(Serialize)]
struct Judged {
    verdict: &'static str,
    passes: bool,
    cause: CauseRecord,
}

#[derive(Serialize)]
struct Pair {
    from: End,
    to: End,
    #[serde(flatten)]
    judged: Judged,
}

#[derive(Serialize)]
struct Rule {
    #[serde(flatten)]
    rule: CauseRecord,
    action: &'static str,
    tier: &'static str,
    mode: &'static str,
    matches: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    first_failing: Option<&'static str>,
    failing: Vec<&'static str>,
}

#[derive(Serialize)]
struct Near {
    #[serde(flatten)]
    rule: CauseRecord,
    mends: Vec<Mend>,
}

#[derive(Serialize)]
struct Mend {
    clause: &'static str,
    text: String,
}

/// Answers a question by a compiled set, and by the paths of the machine itself that are `open` whatever it says.
pub(crate) fn explain(
    question: &Question,
    (set, compiled): (&PolicySet, &Compiled),
    open: &[Failsafe],
    around: &Surroundings,
    now: Instants,
) -> Result<ExplainReply, Refused> {
    let mut explainer = Explainer::new(inputs(set, around, now), compiled);
    let blocks = failsafe::rows(open).map_err(|error| Refused { message: error.to_string(), help: None })?;
    explainer.keep_open(&blocks);
    let explanation = explainer.explain(&question.from, &question.to, question.protocol, question.port);
    let Some(path) = explanation.path() else {
        let (from, to) = (selection::text(&question.from), selection::text(&question.to));
        let message = format!(
            "there is no flow from `{from}` to `{to}`: one of them names nothing, or they share no address family"
        );
        return Err(Refused { message, help: Some("`enforcer check` lists what a set names".to_owned()) });
    };
    let document = document(&explanation, path);
    let text = text(&explanation, path);
    let explanation = serde_json::to_value(&document).map_err(|error| Refused {
        message: format!("the answer could not be written: {error}"),
        help: None,
    })?;
    let Verdict { passes, word, .. } = path.verdict;
    Ok(ExplainReply { verdict: word.word().to_owned(), passes, explanation, text })
}

fn document(explanation: &Explanation<'_>, path: &Path<'_>) -> Document {
    let Judged { verdict, passes, cause } = judged(&path.verdict);
    Document {
        schema: "enforcer.explain/v1",
        verdict,
        passes,
        cause,
        port: port_text(explanation.protocol, explanation.port),
        from: end(&path.from),
        to: end(&path.to),
        egress: path.egress.as_ref().map(judged),
        ingress: path.ingress.as_ref().map(judged),
        attested: attested(path),
        selection: selection(explanation, path).map(|(word, _)| word),
        candidates: explanation.candidates.iter().map(rule).collect(),
        nearest_miss: explanation.nearest_miss.as_ref().map(near),
        paths: explanation
            .paths
            .iter()
            .map(|path| Pair { from: end(&path.from), to: end(&path.to), judged: judged(&path.verdict) })
            .collect(),
    }
}

/// What either end has for a time.
fn attested(path: &Path<'_>) -> Vec<PostureStatus> {
    let leased = |end: &explain::End<'_>| match end.who {
        Who::Workload(Workload { name, lease: Some(Lease { labels, until }), .. }) => {
            let until = until.round(Unit::Millisecond).unwrap_or(*until).to_string();
            Some(PostureStatus { workload: name.clone(), labels: (**labels).clone(), until: Some(until) })
        }
        _ => None,
    };
    [&path.from, &path.to].into_iter().filter_map(leased).collect()
}

/// Why no rule decides, as a word and for people.
fn selection(explanation: &Explanation<'_>, path: &Path<'_>) -> Option<(&'static str, String)> {
    if path.verdict.cause != Cause::Reason(Reason::NoRule) {
        return None;
    }
    Some(match explanation.candidates.len() {
        0 => ("unselected", "no policy selects either end".to_owned()),
        1 => ("unmatched", "a rule selects one of these ends, and it doesn't match the flow".to_owned()),
        some => ("unmatched", format!("{some} rules select one of these ends, and none matches the flow")),
    })
}

fn judged(verdict: &Verdict<'_>) -> Judged {
    Judged { verdict: verdict.word.word(), passes: verdict.passes, cause: cause(verdict) }
}

fn end(end: &explain::End<'_>) -> End {
    let mut told = End {
        ip: end.address(),
        labels: end.labels().map(|labels| (**labels).clone()).unwrap_or_default(),
        ..End::default()
    };
    match end.who {
        Who::Workload(workload) => told.workload = Some(workload.name.clone()),
        Who::Group(group) => told.group = Some(group.name.clone()),
        Who::Labels(_) => {}
        Who::Host => told.entity = Some("host".to_owned()),
        Who::Multicast => told.entity = Some("multicast".to_owned()),
        Who::World => told.entity = Some("world".to_owned()),
    }
    told
}

fn rule(candidate: &Candidate<'_>) -> Rule {
    let policy = candidate.rule.policy;
    Rule {
        rule: cited(&candidate.rule),
        action: action(candidate),
        tier: policy.tier.word(),
        mode: policy.mode.word(),
        matches: candidate.matches(),
        first_failing: candidate.first_failing().map(|clause| clause.word()),
        failing: candidate.failing.iter().map(|clause| clause.word()).collect(),
    }
}

fn action(candidate: &Candidate<'_>) -> &'static str {
    candidate.rule.entry().action.word()
}

fn near(miss: &Miss<'_>) -> Near {
    let mends = miss.mends.iter().map(|(clause, text)| Mend { clause: clause.word(), text: text.clone() });
    Near { rule: cited(&miss.rule), mends: mends.collect() }
}

fn text(explanation: &Explanation<'_>, path: &Path<'_>) -> String {
    let mut out = String::new();
    // Writing to a string doesn't fail.
    let _ = write_text(&mut out, explanation, path);
    out
}

fn write_text(out: &mut String, explanation: &Explanation<'_>, path: &Path<'_>) -> std::fmt::Result {
    let port = port_text(explanation.protocol, explanation.port);
    let word = path.verdict.word.word().to_uppercase();
    writeln!(out, "{word}  {} -> {}  {port}", path.from, path.to)?;
    writeln!(out, "  cause    {}", told(&path.verdict))?;
    if let Some((_, told)) = selection(explanation, path) {
        writeln!(out, "  because  {told}")?;
    }
    for PostureStatus { workload, labels, until } in attested(path) {
        let until = until.as_deref().unwrap_or_default();
        writeln!(out, "  attested {}: {} until {until}", shown(&workload), selection::labels(&labels))?;
    }
    for (hook, verdict) in [("egress", &path.egress), ("ingress", &path.ingress)] {
        if let Some(verdict) = verdict {
            writeln!(out, "  {hook:<8} {} by {}", verdict.word.word(), told(verdict))?;
        }
    }
    if explanation.is_mixed() {
        writeln!(out, "  all addresses:")?;
        for path in explanation.paths.iter().take(SHOWN) {
            writeln!(
                out,
                "    {} -> {}  {} {}",
                path.from,
                path.to,
                path.verdict.word.word(),
                told(&path.verdict)
            )?;
        }
    }
    if !explanation.candidates.is_empty() {
        writeln!(out, "  rules that come near, in the order they are asked:")?;
    }
    for candidate in explanation.candidates.iter().take(SHOWN) {
        let state = match candidate.first_failing() {
            None => "matches".to_owned(),
            Some(clause) => format!("`{}` fails", clause.word()),
        };
        writeln!(out, "    {:<5} {}  {state}", action(candidate), cited(&candidate.rule))?;
    }
    let more = explanation.candidates.len().saturating_sub(SHOWN);
    if more > 0 {
        writeln!(out, "    … and {more} more")?;
    }
    if let Some(miss) = &explanation.nearest_miss {
        writeln!(out, "  nearest miss: {}", cited(&miss.rule))?;
        for (clause, text) in &miss.mends {
            writeln!(out, "    {}: {text}", clause.word())?;
        }
    }
    Ok(())
}

/// The cause with what the rule says it is for.
fn told(verdict: &Verdict<'_>) -> String {
    let cause = cause(verdict);
    match &cause.why {
        Some(why) => format!("{cause}  ({})", shown(why)),
        None => cause.to_string(),
    }
}
