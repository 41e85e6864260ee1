//! Verdicts on flows that nobody sent: `explain`, FlowTests, and what a new set changes. All of them are the policy
//! crate's answers, put into the documents that go out.

use crate::daemon::clock::Instants;
use crate::daemon::engine::Refused;
use crate::pipeline::{Ready, Surroundings};
use crate::protocol::{Change, ExplainReply, ExplainRequest, TestReport};
use crate::selection;
use enforcer_policy::compile::Compiled;
use enforcer_policy::model::{Endpoint, PolicySet, PortSpec};

/// A flow that is asked about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Question {
    /// Who opens it.
    pub from: Endpoint,
    /// Who is reached.
    pub to: Endpoint,
    /// Protocol and port.
    pub port: PortSpec,
}

impl Question {
    /// Reads what was asked.
    pub(crate) fn parse(request: &ExplainRequest) -> Result<Self, Refused> {
        let end = |text: &str| {
            selection::parse(text)
                .map_err(|error| Refused { message: error.to_string(), help: Some(error.help().to_owned()) })
        };
        let port = request.port.parse::<PortSpec>();
        let port = port.map_err(|error| Refused { message: error.message, help: Some(error.help) })?;
        let single = match port {
            PortSpec::Any => false,
            PortSpec::Ports { first, last, .. } => first == last,
            PortSpec::Protocol(_) | PortSpec::Icmp { .. } => true,
        };
        if !single {
            let message = format!("`{port}` is more than one port");
            return Err(Refused { message, help: Some("a flow has one: for example `tcp/5432`".to_owned()) });
        }
        Ok(Self { from: end(&request.from)?, to: end(&request.to)?, port })
    }
}

// INTERIM
use enforcer_policy::model::{Expectation, FlowCase, FlowTest, Origin};
use enforcer_policy::reference::{Cause, PathVerdict, TestOutcome, World, run_flow_tests};

fn cause(path: &PathVerdict<'_>) -> crate::protocol::CauseRecord {
    let mut record = crate::protocol::CauseRecord::default();
    match path.verdict.cause {
        Cause::Rule(rule) => {
            record.rule = Some(rule.to_string());
            record.file = Some(rule.entry().origin.file.to_string());
            record.line = Some(rule.entry().origin.line);
        }
        Cause::Reason(reason) => record.reason = Some(reason.to_string()),
    }
    record
}

fn worst<'b, 'a>(outcome: &'b TestOutcome<'a>) -> Option<&'b PathVerdict<'a>> {
    outcome.failing().or(outcome.paths.first()).map(|(_, _, path)| path)
}

pub(crate) fn run_tests(ready: &Ready, now: Instants) -> TestReport {
    let world = World {
        set: &ready.set,
        hosts: &[],
        default_mode: enforcer_policy::model::SegmentMode::Enforce,
        now: now.wall,
    };
    let mut report = TestReport::default();
    for outcome in run_flow_tests(&world) {
        let path = worst(&outcome);
        let passed = outcome.holds();
        if passed {
            report.passed += 1
        } else {
            report.failed += 1
        }
        report.cases.push(crate::protocol::TestResult {
            test: outcome.test.to_owned(),
            case: outcome.index,
            file: outcome.case.origin.file.to_string(),
            line: outcome.case.origin.line,
            from: selection::text(&outcome.case.from),
            to: selection::text(&outcome.case.to),
            port: outcome.case.port.to_string(),
            expected: match outcome.case.expect {
                Expectation::Allow => "allow",
                Expectation::Deny => "deny",
                Expectation::Audit => "audit",
            }
            .to_owned(),
            seen: path.map_or("nothing".to_owned(), |path| path.verdict.word.to_string()),
            cause: path.map(cause).unwrap_or_default(),
            passed,
        });
    }
    report
}

fn one<T>(
    set: &PolicySet,
    question: &Question,
    around: &Surroundings,
    now: Instants,
    f: impl FnOnce(Option<&PathVerdict<'_>>) -> T,
) -> T {
    let origin = Origin { file: "".into(), line: 0, column: 0 };
    let case = FlowCase {
        origin: origin.clone(),
        from: question.from.clone(),
        to: question.to.clone(),
        port: question.port,
        expect: Expectation::Allow,
    };
    let set =
        PolicySet { tests: vec![FlowTest { name: String::new(), origin, cases: vec![case] }], ..set.clone() };
    let world = World { set: &set, hosts: &around.host, default_mode: around.default_mode, now: now.wall };
    let outcomes = run_flow_tests(&world);
    f(worst(&outcomes[0]))
}

pub(crate) fn explain(
    question: &Question,
    set: &PolicySet,
    _compiled: &Compiled,
    around: &Surroundings,
    now: Instants,
) -> ExplainReply {
    one(set, question, around, now, |path| {
        let verdict = path.map_or("denied".to_owned(), |path| path.verdict.word.to_string());
        let passes = path.is_some_and(|path| path.verdict.passes);
        let record = path.map(cause).unwrap_or_default();
        let text = format!("{verdict}  {record}");
        let explanation = serde_json::json!({"schema": "enforcer.explain/v1", "verdict": verdict, "passes": passes, "cause": record});
        ExplainReply { verdict, passes, explanation, text }
    })
}

pub(crate) fn changes(
    old: Option<(&PolicySet, &Compiled)>,
    new: (&PolicySet, &Compiled),
    around: &Surroundings,
) -> (Vec<Change>, u64) {
    let now = Instants::now();
    let mut changes = Vec::new();
    let empty = PolicySet::default();
    let old = old.map_or(&empty, |(set, _)| set);
    let names: Vec<_> = new.0.workloads.iter().map(|w| Endpoint::Workload(w.name.clone())).collect();
    let mut ports: Vec<PortSpec> = new
        .0
        .policies
        .iter()
        .chain(&old.policies)
        .flat_map(|p| p.flows.iter().flat_map(|f| f.ports.clone()))
        .collect();
    ports.sort();
    ports.dedup();
    for from in &names {
        for to in &names {
            for port in &ports {
                let question = Question { from: from.clone(), to: to.clone(), port: *port };
                let is = |set: &PolicySet| {
                    one(set, &question, around, now, |path| {
                        path.map_or("denied".to_owned(), |p| p.verdict.word.to_string())
                    })
                };
                let (before, after) = (is(old), is(new.0));
                if before != after {
                    changes.push(Change {
                        text: format!(
                            "{} -> {} {port}: {before} -> {after}",
                            selection::text(from),
                            selection::text(to)
                        ),
                        fields: Default::default(),
                    });
                }
            }
        }
    }
    (changes, 0)
}
