//! What runs inside a machine, and what its console says of it. The other end is `tests/src/bin/guest.rs`.

use std::collections::BTreeMap;

use super::machine::Boot;
use crate::levels::Level;
use crate::tally::Tally;

/// Lines of the guest's own begin with this.
const MARK: &str = "@@ ";
/// Instructions that the verifier may go through for one program, of the kernel's million. Half of it: what a later
/// kernel counts otherwise, and what a fix adds, has to fit as well.
pub(super) const BUDGET: u64 = 500_000;

/// A test executable to run.
#[derive(Debug, Clone, Copy)]
pub(super) struct Part {
    /// As cargo has it.
    pub(super) target: &'static str,
    pub(super) level: Level,
    /// Seconds it may take.
    pub(super) seconds: u32,
    pub(super) arguments: &'static [&'static str],
}

/// In the order in which they run.
pub(super) const PARTS: [Part; 3] = [
    Part { target: "level2_programs", level: Level::TestRun, seconds: 240, arguments: &["--nocapture"] },
    Part { target: "level2_evasion", level: Level::TestRun, seconds: 240, arguments: &["--color=never"] },
    Part { target: "level3_smoke", level: Level::Worlds, seconds: 240, arguments: &["--nocapture"] },
];

/// What is set for all of them. Emulation is some twenty times slower: fewer random sequences than elsewhere.
const ENVIRONMENT: [(&str, &str); 5] = [
    ("PATH", "/bin"),
    ("ENFORCER_BIN", "/bin/enforcer"),
    ("ENFORCER_SEQUENCES", "50"),
    ("RUST_BACKTRACE", "1"),
    ("RUST_TEST_THREADS", "1"),
];

/// The list that the guest reads: variables, modules to load, programs to run.
pub(super) fn text(modules: &[String], library_path: &str) -> String {
    let mut text = format!("env\tLD_LIBRARY_PATH\t{library_path}\n");
    for (name, value) in ENVIRONMENT {
        text += &format!("env\t{name}\t{value}\n");
    }
    for module in modules {
        text += &format!("module\t{module}\n");
    }
    for part in PARTS {
        text += &format!("run\t{}\t{}\t/tests/{0}", part.target, part.seconds);
        for argument in part.arguments {
            text += &format!("\t{argument}");
        }
        text.push('\n');
    }
    text
}

/// What the verifier said of a program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Checked {
    pub(super) instructions: u64,
    pub(super) refused: Option<String>,
}

/// What came of a kernel.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Outcome {
    pub(super) programs: BTreeMap<String, Checked>,
    pub(super) tallies: BTreeMap<&'static str, Tally>,
    /// `tcx` or `clsact`.
    pub(super) hook: Option<String>,
    /// What else went wrong, in words.
    pub(super) faults: Vec<String>,
}

impl Outcome {
    /// Reads a console.
    pub(super) fn of(boot: &Boot) -> Self {
        let mut outcome = Self::default();
        let mut current: Option<&'static str> = None;
        let mut done = false;
        for line in &boot.lines {
            if let Some(tally) = Tally::parse(line)
                && let Some(target) = current
            {
                *outcome.tallies.entry(target).or_default() += tally;
            }
            if let Some((_, hook)) = line.split_once("attached by ") {
                outcome.hook = Some(hook.to_owned());
            }
            if is_fault(line) {
                outcome.faults.push(format!("the kernel says: {line}"));
            }
            // A test may leave its line unfinished.
            let Some((_, said)) = line.split_once(MARK) else { continue };
            let words: Vec<_> = said.splitn(4, ' ').collect();
            match words[..] {
                ["begin", name] => current = PARTS.iter().map(|part| part.target).find(|part| *part == name),
                ["end", name, "0"] => outcome.finish(name, None, &mut current),
                ["end", name, ..] => outcome.finish(name, Some(&words[2..].join(" ")), &mut current),
                ["verifier", program, instructions, refused] => {
                    let instructions = instructions.parse().unwrap_or(u64::MAX);
                    let refused = (refused != "ok").then(|| refused.to_owned());
                    outcome.programs.insert(program.to_owned(), Checked { instructions, refused });
                }
                ["fault", ..] => outcome.faults.push(said.to_owned()),
                ["done"] => done = true,
                _ => {}
            }
        }
        if boot.timed_out {
            outcome.faults.push(format!("not done after {:.0?}", boot.took));
        } else if !done {
            outcome.faults.push("the machine ended before its tests did".to_owned());
        }
        outcome.judge();
        outcome
    }

    fn finish(&mut self, name: &str, status: Option<&str>, current: &mut Option<&'static str>) {
        let failed = current.and_then(|part| self.tallies.get(part)).is_some_and(|tally| tally.failed > 0);
        if let Some(status) = status
            && !failed
        {
            self.faults.push(format!("`{name}` ended with {status}"));
        }
        *current = None;
    }

    /// What isn't there is a fault as well.
    fn judge(&mut self) {
        for part in PARTS {
            if self.tallies.get(part.target).is_none_or(|tally| tally.passed + tally.failed == 0) {
                self.faults.push(format!("no test of `{}` ran", part.target));
            }
        }
        if self.programs.is_empty() {
            self.faults.push("the verifier was asked about no program".to_owned());
        }
        for (name, checked) in &self.programs {
            if let Some(refused) = &checked.refused {
                self.faults.push(format!("the verifier refuses `{name}`: {refused}"));
            } else if checked.instructions == 0 || checked.instructions > BUDGET {
                let instructions = checked.instructions;
                self.faults.push(format!("`{name}` takes {instructions} verified instructions, of {BUDGET}"));
            }
        }
    }

    /// Tests and faults, counted. Each fault is a failure, and so is a program's check a success.
    pub(super) fn tally(&self) -> Tally {
        let mut sum = Tally::failed(self.faults.len());
        self.tallies.values().for_each(|tally| sum += *tally);
        sum
    }

    /// The tests of a level.
    pub(super) fn level(&self, level: Level) -> Tally {
        let mut sum = Tally::default();
        let parts = PARTS.iter().filter(|part| part.level == level);
        parts.filter_map(|part| self.tallies.get(part.target)).for_each(|tally| sum += *tally);
        sum
    }
}

/// Whether the kernel itself complains: of a fault in it, or of having no memory left.
fn is_fault(line: &str) -> bool {
    ["Kernel panic", "BUG: ", "Oops: ", "general protection fault", "Out of memory:"]
        .iter()
        .any(|sign| line.contains(sign))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn of(text: &str) -> Outcome {
        let lines = text.lines().map(str::to_owned).collect();
        Outcome::of(&Boot { lines, took: Duration::from_secs(1), timed_out: false })
    }

    const GOOD: &str = "@@ verifier enforcer_egress 71479 ok\n@@ begin level2_programs\n\
        test result: ok. 1 passed; 0 failed; 0 ignored\n@@ end level2_programs 0\n@@ begin level2_evasion\n\
        test result: ok. 2 passed; 0 failed; 0 ignored\n@@ end level2_evasion 0\n@@ begin level3_smoke\n\
        test allowed ... attached by clsact\ntest result: ok. 1 passed; 0 failed; 0 ignored\n@@ end level3_smoke 0\n@@ done";

    #[test]
    fn a_good_run_has_counts_and_no_faults() {
        let outcome = of(GOOD);
        assert_eq!(outcome.faults, Vec::<String>::new());
        assert_eq!(outcome.tally(), Tally::passed(4));
        assert_eq!(outcome.level(Level::TestRun), Tally::passed(3));
        assert_eq!(outcome.hook.as_deref(), Some("clsact"));
        assert_eq!(outcome.programs["enforcer_egress"].instructions, 71_479);
    }

    #[test]
    fn what_is_missing_or_too_much_is_a_fault() {
        let without = |part: &str| of(&GOOD.replace(part, ""));
        assert_eq!(without("@@ done").faults, ["the machine ended before its tests did"]);
        assert_eq!(without("@@ verifier enforcer_egress 71479 ok").faults.len(), 1);
        let none = of(&GOOD.replace("1 passed", "0 passed").replace("2 passed", "0 passed"));
        let silent = PARTS.map(|part| format!("no test of `{}` ran", part.target));
        assert_eq!(none.faults, silent);
        assert_eq!(of(&GOOD.replace("71479", "600000")).faults.len(), 1);
        assert_eq!(of(&GOOD.replace("71479 ok", "71479 back-edge from insn 1")).faults.len(), 1);
        assert_eq!(
            of(&GOOD.replace("@@ end level3_smoke 0", "@@ end level3_smoke signal 6")).faults.len(),
            1
        );
        assert_eq!(of(&format!("[1.0] Kernel panic - not syncing\n{GOOD}")).faults.len(), 1);
        assert!(of("").faults.len() >= 4);
    }
}
