//! Every input that is kept does no harm: what reaches far, and what once broke something.

use enforcer_fuzz::TARGETS;
use enforcer_fuzz::kept::kept;

fn hold(what: &str, at_least: usize) {
    for target in &TARGETS {
        let inputs = kept(what, target.name);
        assert!(inputs.len() >= at_least, "{what}/{} has {} inputs", target.name, inputs.len());
        for input in inputs {
            // A panic in the target doesn't say what it was given.
            println!("{}", input.path.display());
            (target.run)(&input.bytes);
        }
    }
}

#[test]
fn what_once_broke_something_does_not_again() {
    hold("regressions", 0);
}

#[test]
fn what_reaches_far_breaks_nothing() {
    hold("corpus", 10);
}
