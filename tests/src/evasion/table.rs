//! The table as people read it: on a terminal with what was seen just now, and as `docs/EVASION.md`, which depends on nothing but
//! the catalogue, the names of tests, and what level 1 sees.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use super::results::ids;
use super::{Attack, Outcome, Results, Section, Step, catalogue};

/// Everything that keeps the table from being true. Empty means that it is.
#[must_use]
pub fn faults(results: &Results) -> Vec<String> {
    let sections = catalogue();
    let attacks: Vec<&Attack> = sections.iter().flat_map(|section| &section.attacks).collect();
    let mut faults = Vec::new();
    for attack in &attacks {
        let shown = results.of(attack.id).count();
        if shown == 0 && attack.waits.is_none() {
            faults.push(format!("{}: no test carries it, and it waits for nothing", attack.id));
        }
    }
    let known: BTreeSet<&str> = attacks.iter().map(|attack| attack.id).collect();
    for outcome in results.0.values() {
        let Outcome { test, level, .. } = outcome;
        for id in ids(test).filter(|id| !known.contains(id.as_str())) {
            faults.push(format!("{id}: `{test}` carries it, and the table doesn't"));
        }
        if outcome.held == Some(false) {
            let wrong = outcome
                .steps
                .iter()
                .filter(|step| step.seen.as_ref().is_some_and(|seen| *seen != step.expected));
            let wrong: Vec<_> = wrong
                .map(|step| {
                    format!(
                        "\n    {}: expected {}, seen {}",
                        step.note,
                        step.expected,
                        step.seen.as_deref().unwrap_or("nothing")
                    )
                })
                .collect();
            faults.push(format!("`{test}` fails at level {level}{}", wrong.concat()));
        }
    }
    faults.extend(disagreements(results));
    faults
}

/// Packets that two levels judge differently.
fn disagreements(results: &Results) -> Vec<String> {
    let mut faults = Vec::new();
    for ((level, test), memory) in &results.0 {
        let other = (level == "1").then(|| results.0.get(&("2".to_owned(), test.clone()))).flatten();
        let Some(kernel) = other.filter(|kernel| !kernel.steps.is_empty()) else { continue };
        for (one, two) in memory.steps.iter().zip(&kernel.steps) {
            if let (Some(one_saw), Some(two_saw)) = (&one.seen, &two.seen)
                && one_saw != two_saw
            {
                faults.push(format!("`{test}`: {}: {one_saw} in memory, {two_saw} in the kernel", one.note));
            }
        }
    }
    faults
}

/// How many there are, and how many wait.
fn sum(sections: &[Section], results: &Results) -> String {
    let attacks = || sections.iter().flat_map(|section| &section.attacks);
    let own = attacks().filter(|attack| attack.id.starts_with('X')).count();
    let waiting = attacks().filter(|attack| attack.waits.is_some()).count();
    let part =
        attacks().filter(|attack| attack.waits.is_some() && results.of(attack.id).next().is_some()).count();
    let tests = attacks()
        .flat_map(|attack| results.of(attack.id))
        .map(|outcome| &outcome.test)
        .collect::<BTreeSet<_>>()
        .len();
    format!(
        "{} attacks of the first list and {own} of our own, {tests} tests; {waiting} wait for a part that isn't built, of which {part} are shown as far as they go",
        attacks().count() - own
    )
}

/// What packets met, each verdict once with how many there were.
fn verdicts(steps: &[Step], quote: bool) -> String {
    let mut counts = BTreeMap::<&str, usize>::new();
    for seen in steps.iter().filter_map(|step| step.seen.as_deref()) {
        *counts.entry(seen).or_default() += 1;
    }
    let told = |(verdict, count): (&&str, &usize)| match verdict.split_once(' ') {
        None if quote && **verdict != *"allowed" => format!("`{verdict}` {count}"),
        _ => format!("{verdict} {count}"),
    };
    counts.iter().map(told).collect::<Vec<_>>().join(", ")
}

/// The table for a terminal, with what was seen at each level.
#[must_use]
pub fn overview(results: &Results) -> String {
    let mut text = String::new();
    let sections = catalogue();
    for section in &sections {
        let _ = writeln!(text, "\n{}\n", section.title);
        for attack in &section.attacks {
            let _ = writeln!(text, "{:5} {}\n      expected  {}", attack.id, attack.attack, attack.expected);
            for outcome in results.of(attack.id) {
                let level = if outcome.level == "unit" {
                    "units".to_owned()
                } else {
                    format!("level {}", outcome.level)
                };
                let seen = match outcome.held {
                    None => "not run".to_owned(),
                    Some(false) => "FAILED".to_owned(),
                    Some(true) if outcome.steps.is_empty() => "as expected".to_owned(),
                    Some(true) => verdicts(&outcome.steps, false),
                };
                let _ = writeln!(text, "      {level:8}  {seen}  ({})", outcome.test);
            }
            if let Some(part) = attack.waits {
                let _ = writeln!(text, "      waiting   for {part}");
            }
        }
    }
    let _ = writeln!(text, "\n{}", sum(&sections, results));
    text
}

const INTRODUCTION: &str = "\
# What must not slip past

Written by `cargo xtask evasion --write`; CI fails where it is out of date. Each attack has an id that doesn't change, and tests that carry it in their name.
Where nothing else is said, web is a workload in mode `enforce` that may reach checkout on tcp/443 and nothing else; `word` is the reason that the record carries (its finer
name, see [SEMANTICS.md](SEMANTICS.md#words-for-reasons)).

*Seen* is what the packets of a row's cases met, and how many of them. The same packets run through the tables in memory (level 1) and through the kernel programs (level 2,
`BPF_PROG_TEST_RUN`), which have to agree on each of them; level 3 is real frames and sockets between network namespaces; *units* are tests of one part. A row that is **waiting** is not, or not wholly, shown, because a
part of the enforcer isn't built yet; it says which.

How to add a case: [CONTRIBUTING.md](../CONTRIBUTING.md#how-to-add).
";

/// `docs/EVASION.md`.
#[must_use]
pub fn document(results: &Results) -> String {
    let sections = catalogue();
    let mut text = format!("{INTRODUCTION}\n{}.\n", sum(&sections, results));
    for section in &sections {
        let _ = write!(
            text,
            "\n## {}\n\n| id | attack | expected | seen | tests |\n| --- | --- | --- | --- | --- |\n",
            section.title
        );
        for attack in &section.attacks {
            row(&mut text, attack, results);
        }
        let notes: Vec<_> =
            section.attacks.iter().filter_map(|attack| Some((attack.id, attack.note?))).collect();
        if !notes.is_empty() {
            text.push('\n');
        }
        for (id, note) in notes {
            let _ = writeln!(text, "- {id}: {note}");
        }
    }
    text
}

fn row(text: &mut String, attack: &Attack, results: &Results) {
    let steps: Vec<Step> = results
        .of(attack.id)
        .filter(|outcome| outcome.level == "1")
        .flat_map(|outcome| outcome.steps.clone())
        .collect();
    let mut seen = vec![verdicts(&steps, true)];
    seen.extend(attack.waits.map(|part| format!("**waiting** for {part}")));
    seen.retain(|part| !part.is_empty());
    let mut levels = BTreeMap::<&str, Vec<&str>>::new();
    for outcome in results.of(attack.id) {
        levels.entry(&outcome.test).or_default().push(&outcome.level);
    }
    let tests: Vec<_> =
        levels.iter().map(|(test, levels)| format!("`{test}` ({})", levels.join(", "))).collect();
    let _ = writeln!(
        text,
        "| {} | {} | {} | {} | {} |",
        attack.id,
        attack.attack,
        attack.expected,
        seen.join("; "),
        tests.join("<br>")
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Numbers that the first list leaves out.
    const ABSENT: [u32; 12] = [8, 11, 20, 25, 32, 39, 47, 59, 63, 71, 84, 103];

    fn every_id() -> Vec<&'static str> {
        catalogue().iter().flat_map(|section| &section.attacks).map(|attack| attack.id).collect()
    }

    #[test]
    fn no_attack_of_the_first_list_is_missing_and_none_stands_twice() {
        let ids = every_id();
        let first: BTreeSet<String> = (1..=110)
            .filter(|number| !ABSENT.contains(number))
            .map(|number| format!("E{number:02}"))
            .collect();
        let found: BTreeSet<String> =
            ids.iter().filter(|id| id.starts_with('E')).map(|id| (*id).to_owned()).collect();
        assert_eq!(found, first);
        assert_eq!(ids.iter().collect::<BTreeSet<_>>().len(), ids.len());
    }

    #[test]
    fn each_case_carries_the_id_of_its_row() {
        for attack in catalogue().into_iter().flat_map(|section| section.attacks) {
            for case in &attack.cases {
                assert!(
                    ids(case.name).any(|id| id == attack.id),
                    "{} in the row of {}",
                    case.name,
                    attack.id
                );
            }
        }
    }

    #[test]
    fn what_is_missing_failing_or_unknown_is_a_fault() {
        let mut results = Results::default();
        assert!(faults(&results).iter().any(|fault| fault.starts_with("E01: no test")));
        assert!(!faults(&results).iter().any(|fault| fault.starts_with("E107")), "it waits");
        let outcome = |test: &str, level: &str, seen: &str| Outcome {
            test: test.into(),
            level: level.into(),
            held: Some(true),
            steps: vec![Step { note: "n".into(), expected: "short".into(), seen: Some(seen.into()) }],
        };
        results.add(outcome("e01_x", "1", "short"));
        results.add(outcome("e01_x", "2", "state"));
        results.add(outcome("e08_x", "3", "short"));
        results.add(Outcome { held: Some(false), ..outcome("e02_x", "3", "state") });
        let found = faults(&results).join("\n");
        for fault in [
            "`e01_x`: n: short in memory, state in the kernel",
            "E08: `e08_x` carries",
            "`e02_x` fails at level 3",
        ] {
            assert!(found.contains(fault), "{found}");
        }
        assert!(!found.contains("E01: no test"));
    }
}
