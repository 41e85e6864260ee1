//! Runs test executables one by one, so that each level has its own counts and its own privileges.

use std::ffi::OsString;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use cargo_metadata::{Artifact, Message, PackageId, TargetKind};

use crate::levels::{INSIDE, Level};
use crate::shell::{Root, cargo, target_dir};
use crate::tally::Tally;

/// No executable may take longer: a hanging test is a failing one.
const DEADLINE: Duration = Duration::from_secs(900);
/// How long to wait for output after the end, in case something the test started holds the pipe.
const LAST_WORDS: Duration = Duration::from_secs(1);
/// Names the file to which the attack table's harness of levels 1 and 2 adds what it saw.
const RESULTS: &str = "ENFORCER_EVASION_RESULTS";

/// Tests by name, and whether each passed.
pub(crate) type Told = Vec<(String, bool)>;

/// A built test or bench.
#[derive(Debug, Clone)]
pub(crate) struct Executable {
    pub(crate) level: Level,
    /// Which of its tests belong to this level.
    part: Part,
    name: String,
    path: PathBuf,
    package_dir: PathBuf,
    has_libtest: bool,
}

/// Tests of one executable, by how their names start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    All,
    Only(&'static str),
    Except(&'static str),
}

/// Builds what `cargo test` with these arguments would run: each executable with what cargo says of it.
pub(crate) fn built(arguments: &[&str]) -> Result<Vec<(Artifact, PathBuf)>> {
    let mut command = cargo();
    command.arg("test").args(arguments).args(["--no-run", "--message-format=json-render-diagnostics"]);
    let mut child = command.stdout(Stdio::piped()).spawn().context("cannot run cargo")?;
    let stdout = child.stdout.take().context("cargo has no stdout")?;
    let mut built = Vec::new();
    for message in Message::parse_stream(BufReader::new(stdout)) {
        if let Message::CompilerArtifact(artifact) = message.context("cannot read cargo's messages")?
            && let (true, Some(path)) = (artifact.profile.test, artifact.executable.clone())
        {
            built.push((artifact, path.into_std_path_buf()));
        }
    }
    if !child.wait().context("cannot wait for cargo")?.success() {
        bail!("the tests don't build");
    }
    Ok(built)
}

/// Builds every test and bench of the workspace, and with the tests of a package its programs: `enforcer` is one.
pub(crate) fn build() -> Result<Vec<Executable>> {
    let mut executables = Vec::new();
    for (artifact, path) in built(&["--workspace", "--lib", "--bins", "--tests", "--benches"])? {
        let package = package_name(&artifact.package_id);
        let is_bench = artifact.target.is_kind(TargetKind::Bench);
        let dir = artifact.manifest_path.parent().context("a manifest lies in no directory")?;
        let whole = Executable {
            level: Level::of(&package, &artifact.target.name, is_bench),
            part: Part::All,
            name: format!("{package}/{}", artifact.target.name),
            path,
            package_dir: dir.as_std_path().to_owned(),
            has_libtest: !is_bench,
        };
        let inside =
            INSIDE.iter().find(|(owner, target, ..)| *owner == package && *target == artifact.target.name);
        match inside {
            Some((.., prefix, level)) => {
                executables.push(Executable { level: *level, part: Part::Only(prefix), ..whole.clone() });
                executables.push(Executable { part: Part::Except(prefix), ..whole });
            }
            None => executables.push(whole),
        }
    }
    executables.sort_by(|a, b| (a.level, &a.name).cmp(&(b.level, &b.name)));
    Ok(executables)
}

/// How many cases the random tests of this run judge, each with its own seed printed.
fn cases() -> OsString {
    std::env::var_os("ENFORCER_CASES").unwrap_or_else(|| "100000".into())
}

impl Executable {
    /// Runs it, shows what it prints, counts, and says which of its tests passed. `results` is a file for what the
    /// attack table's harness saw.
    pub(crate) fn run(&self, filter: Option<&str>, results: Option<&Path>) -> Result<(Tally, Told)> {
        let mut command = self.command();
        command.args(self.selection(filter));
        self.go(&mut command, results)
    }

    /// With the privileges that its level takes.
    fn command(&self) -> Command {
        let root = if self.level.is_privileged() { Root::detect() } else { None };
        root.map_or_else(|| Command::new(&self.path), |root| root.command(&self.path))
    }

    fn go(&self, command: &mut Command, results: Option<&Path>) -> Result<(Tally, Told)> {
        println!("\n--- {}", self.name);
        command.envs(results.map(|file| (RESULTS, file)));
        let mut told = Told::new();
        let outcome = watch(self.prepare(command), |line| told.extend(result(line)))
            .with_context(|| format!("cannot run `{}`", self.path.display()))?;
        Ok((self.judge(outcome), told))
    }

    /// How many tests it holds, without running any.
    pub(crate) fn count(&self, filter: Option<&str>) -> Result<usize> {
        Ok(self.list(filter)?.len())
    }

    /// The names of its tests; of a bench there are none.
    pub(crate) fn tests(&self) -> Result<Vec<String>> {
        if self.has_libtest { self.list(None) } else { Ok(Vec::new()) }
    }

    fn list(&self, filter: Option<&str>) -> Result<Vec<String>> {
        let mut command = Command::new(&self.path);
        command.args(["--list", "--format", "terse"]).args(self.selection(filter));
        let output = self
            .prepare(&mut command)
            .output()
            .with_context(|| format!("cannot run `{}`", self.path.display()))?;
        let text = String::from_utf8_lossy(&output.stdout);
        Ok(text.lines().filter_map(|line| line.strip_suffix(": test")).map(str::to_owned).collect())
    }

    /// The same for these of its tests alone.
    pub(crate) fn run_exactly(&self, names: &[String], results: &Path) -> Result<(Tally, Told)> {
        let mut command = self.command();
        // A harness of its own may take one filter at most.
        if names.len() < self.tests()?.len() {
            command.arg("--exact").args(names);
        }
        self.go(&mut command, Some(results))
    }

    /// libtest takes any of several filters, not all of them: what lies inside another executable is left to the
    /// rest of it where there is a filter already.
    fn selection<'a>(&self, filter: Option<&'a str>) -> Vec<&'a str> {
        match (self.part, filter) {
            (Part::Only(prefix), None) => vec![prefix],
            (Part::Only(prefix), Some(_)) => vec!["--skip", "", prefix],
            (Part::Except(prefix), None) => vec!["--skip", prefix],
            (Part::All | Part::Except(_), filter) => Vec::from_iter(filter),
        }
    }

    fn prepare<'a>(&self, command: &'a mut Command) -> &'a mut Command {
        command
            .current_dir(&self.package_dir)
            .env("CARGO_MANIFEST_DIR", &self.package_dir)
            .env("ENFORCER_BIN", target_dir().join("debug/enforcer"))
            .env("RUST_BACKTRACE", "1")
            .env("ENFORCER_CASES", cases())
            .stdin(Stdio::null())
    }

    /// A test executable says itself how many passed. One that ends badly without saying so counts as one failure.
    fn judge(&self, outcome: Outcome) -> Tally {
        match (outcome.tally, outcome.status) {
            (Some(tally), Some(status)) if status.success() || tally.failed > 0 => tally,
            (None, Some(status)) if status.success() && !self.has_libtest => Tally::passed(1),
            (tally, status) => {
                let how = status
                    .map_or_else(|| format!("took more than {DEADLINE:?}"), |status| status.to_string());
                println!("FAILED: {}: {how}", self.name);
                let mut tally = tally.unwrap_or_default();
                tally += Tally::failed(1);
                tally
            }
        }
    }
}

struct Outcome {
    tally: Option<Tally>,
    /// None where it had to be killed.
    status: Option<ExitStatus>,
}

/// What libtest says of one test, if this line does: `test NAME ... ok`.
fn result(line: &str) -> Option<(String, bool)> {
    let (name, how) = line.strip_prefix("test ")?.split_once(" ... ")?;
    let held = match how.split_whitespace().next()? {
        "ok" => true,
        "FAILED" => false,
        _ => return None,
    };
    Some((name.trim_end().to_owned(), held))
}

fn watch(command: &mut Command, mut each: impl FnMut(&str)) -> Result<Outcome> {
    let mut child = command.stdout(Stdio::piped()).spawn()?;
    let lines = lines_of(&mut child)?;
    let start = Instant::now();
    let mut tally = None;
    let mut take = |line: String| {
        println!("{line}");
        each(&line);
        if let Some(counts) = Tally::parse(&line) {
            tally = Some(counts);
        }
    };
    let status = loop {
        match lines.recv_timeout(Duration::from_millis(100)) {
            Ok(line) => take(line),
            Err(RecvTimeoutError::Disconnected) => break Some(child.wait()?),
            Err(RecvTimeoutError::Timeout) => {
                if let Some(status) = child.try_wait()? {
                    while let Ok(line) = lines.recv_timeout(LAST_WORDS) {
                        take(line);
                    }
                    break Some(status);
                }
            }
        }
        if start.elapsed() > DEADLINE {
            child.kill()?;
            child.wait()?;
            break None;
        }
    };
    Ok(Outcome { tally, status })
}

/// The lines a child prints, read on a thread of their own so that waiting for them can time out.
fn lines_of(child: &mut Child) -> Result<Receiver<String>> {
    let stdout = child.stdout.take().context("the child has no stdout")?;
    let (sender, receiver) = channel();
    thread::spawn(move || {
        for line in BufReader::new(stdout).split(b'\n').map_while(Result::ok) {
            if sender.send(String::from_utf8_lossy(&line).into_owned()).is_err() {
                break;
            }
        }
    });
    Ok(receiver)
}

/// The name in a package id such as `path+file:///src/xtask#0.1.0` or `path+file:///src/tests#enforcer-tests@0.1.0`.
fn package_name(id: &PackageId) -> String {
    let (place, version) = id.repr.rsplit_once('#').unwrap_or((&id.repr, ""));
    match version.split_once('@') {
        Some((name, _)) => name.to_owned(),
        None => place.rsplit('/').next().unwrap_or(place).to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Outcome {
        watch(Command::new("sh").args(["-c", script]), |_| {}).unwrap()
    }

    fn executable(has_libtest: bool) -> Executable {
        Executable {
            level: Level::Units,
            part: Part::All,
            name: "sh".into(),
            path: "/bin/sh".into(),
            package_dir: "/".into(),
            has_libtest,
        }
    }

    #[test]
    fn packages_are_named_by_their_id() {
        let name = |repr: &str| package_name(&PackageId { repr: repr.to_owned() });
        assert_eq!(name("path+file:///src/xtask#0.1.0"), "xtask");
        assert_eq!(name("path+file:///src/tests#enforcer-tests@0.1.0"), "enforcer-tests");
    }

    #[test]
    fn the_parts_of_an_executable_share_its_tests() {
        let part = |part| Executable { part, ..executable(true) };
        assert_eq!(part(Part::All).selection(Some("x")), ["x"]);
        assert_eq!(part(Part::Only("reference::")).selection(None), ["reference::"]);
        assert_eq!(part(Part::Except("reference::")).selection(None), ["--skip", "reference::"]);
        // Together the tests that match, once.
        assert_eq!(part(Part::Except("reference::")).selection(Some("x")), ["x"]);
        assert_eq!(part(Part::Only("reference::")).selection(Some("x"))[..2], ["--skip", ""]);
    }

    #[test]
    fn what_the_executable_says_counts() {
        let outcome = shell("echo 'test result: FAILED. 1 passed; 2 failed; 0 ignored'; exit 101");
        assert_eq!(executable(true).judge(outcome), Tally { passed: 1, failed: 2, skipped: 0 });
    }

    #[test]
    fn a_crash_is_a_failure_whatever_was_said_before() {
        assert_eq!(executable(true).judge(shell("kill -9 $$")), Tally::failed(1));
        let outcome = shell("echo 'test result: ok. 3 passed; 0 failed'; exit 1");
        assert_eq!(executable(true).judge(outcome), Tally { passed: 3, failed: 1, skipped: 0 });
    }

    #[test]
    fn each_tests_line_is_understood() {
        assert_eq!(result("test a::b ... ok"), Some(("a::b".into(), true)));
        assert_eq!(result("test wide   ... FAILED"), Some(("wide".into(), false)));
        assert_eq!(result("test result: ok. 1 passed"), None);
    }

    #[test]
    fn silence_is_success_for_a_bench_only() {
        assert_eq!(executable(false).judge(shell("true")), Tally::passed(1));
        assert_eq!(executable(true).judge(shell("true")), Tally::failed(1));
    }
}
