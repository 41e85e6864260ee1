//! Every directory of `policies/` is a set without any finding, warnings included, and its FlowTests hold.

use enforcer_policy::check::parse;
use enforcer_policy::model::{PolicySet, SegmentMode};
use enforcer_policy::reference::{World, run_flow_tests};
use enforcer_policy::source::Source;
use std::path::{Path, PathBuf};

fn sorted(directory: &Path) -> Vec<PathBuf> {
    let entries =
        std::fs::read_dir(directory).unwrap_or_else(|error| panic!("{}: {error}", directory.display()));
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.expect("a directory entry").path()).collect();
    paths.sort();
    paths
}

fn examples() -> Vec<(PathBuf, PolicySet)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../policies");
    let read = |path: &PathBuf| {
        Source::new(path.display().to_string(), std::fs::read_to_string(path).expect("a readable file"))
    };
    let sets = sorted(&root).into_iter().map(|directory| {
        let sources: Vec<Source> = sorted(&directory).iter().map(read).collect();
        let checked = parse(&sources, "2026-01-01T00:00:00Z".parse().expect("an instant"));
        assert!(checked.diagnostics.is_empty(), "{}", checked.diagnostics[0]);
        (directory, checked.set)
    });
    sets.collect()
}

#[test]
fn every_example_parses_without_a_finding() {
    let examples = examples();
    assert!(examples.len() >= 6, "only {} examples were found", examples.len());
    for (directory, set) in examples {
        assert!(!set.policies.is_empty() && !set.tests.is_empty(), "{}", directory.display());
    }
}

#[test]
fn the_tests_of_every_example_hold() {
    for (directory, set) in examples() {
        let world = World {
            set: &set,
            hosts: &[],
            default_mode: SegmentMode::Enforce,
            now: "2026-01-01T00:00:00Z".parse().expect("an instant"),
        };
        for outcome in run_flow_tests(&world) {
            let (test, index) = (outcome.test, outcome.index);
            assert!(outcome.holds(), "{}: {test}#{index}: {:?}", directory.display(), outcome.failing());
        }
    }
}
