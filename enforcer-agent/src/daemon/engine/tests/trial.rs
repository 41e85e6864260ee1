//! Applied sets on trial, with a packet path in memory.

use super::*;
use crate::daemon::engine::Refused;
use crate::protocol::ConfirmReply;
use std::time::{Duration, Instant};

impl World {
    fn try_out(&self, files: Vec<PolicyFile>, seconds: u64) -> ApplyReply {
        let (replies, receiver) = mpsc::unbounded_channel();
        let request = ApplyRequest { files, confirm: Some(seconds), ..ApplyRequest::default() };
        self.send(Message::Apply { request, sessions: Vec::new(), replies });
        Self::lines(receiver).1
    }

    fn confirm(&self) -> Result<ConfirmReply, Refused> {
        let (reply, answer) = oneshot::channel();
        self.send(Message::Confirm(reply));
        answer.blocking_recv().unwrap()
    }

    fn on_trial(&self) -> bool {
        let told = self.status().trial.is_some();
        assert_eq!(self.kernel.look(|kernel| kernel.is_on_trial()), told);
        told
    }

    fn wait_until_rolled_back(&self) {
        let start = Instant::now();
        while self.on_trial() {
            assert!(start.elapsed() < Duration::from_secs(20), "the trial doesn't end");
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    fn rolled_back(&self) -> bool {
        self.status().warnings.iter().any(|warning| warning.message.contains("was rolled back"))
    }
}

fn allow() -> Vec<PolicyFile> {
    vec![file("allow.yaml", policy("allow", "web", "db"))]
}

#[test]
fn a_trial_that_is_confirmed_is_kept() {
    let mut world = World::started();
    let reply = world.try_out(allow(), 600);
    assert_eq!(reply.outcome, Outcome::Applied);
    assert!(reply.until.is_some() && world.on_trial());
    assert!(world.passes("web", "db"));
    let confirmed = world.confirm().unwrap();
    assert_eq!(confirmed.files, 1);
    assert!(!world.on_trial());
    assert_eq!(world.confirm().unwrap_err().message, "no applied set waits for a confirmation");
    world.end();
    world.start();
    assert!(world.passes("web", "db"), "across a restart");
    assert!(!world.rolled_back());
    assert_eq!(world.rollback().outcome, Outcome::Applied);
    assert!(!world.passes("web", "db"));
}

#[test]
fn a_trial_that_nobody_confirms_is_rolled_back() {
    let world = World::started();
    let epoch = world.try_out(allow(), 1).epoch;
    assert!(world.passes("web", "db"));
    world.wait_until_rolled_back();
    assert!(!world.passes("web", "db"));
    assert!(world.rolled_back());
    assert!(world.status().epoch > epoch, "flows are judged anew");
    assert_eq!(world.status().applied_files, 0);
    assert_eq!(world.rollback().outcome, Outcome::Failed, "it was never the applied set");
}

#[test]
fn a_rollback_ends_a_trial_and_no_other_set_does() {
    let world = World::started();
    world.try_out(allow(), 600);
    let (_, refused) = world.apply(vec![file("none.yaml", "# nothing\n".to_owned())], false);
    assert_eq!(refused.outcome, Outcome::Failed);
    assert_eq!(refused.diagnostics[0].message, "the set that was applied last waits for its confirmation");
    assert!(world.on_trial() && world.passes("web", "db"));
    assert_eq!(world.rollback().outcome, Outcome::Applied);
    assert!(!world.on_trial() && !world.passes("web", "db"));
    assert_eq!(world.try_out(allow(), 0).outcome, Outcome::Failed);
}

#[test]
fn a_trial_ends_with_the_daemon() {
    let mut world = World::started();
    world.try_out(allow(), 600);
    world.end();
    assert!(world.kernel.look(|kernel| kernel.is_on_trial()), "the kernel goes on with it");
    world.start();
    assert!(!world.on_trial() && !world.passes("web", "db"));
    assert!(world.rolled_back());
}

#[test]
fn what_changes_during_a_trial_is_in_both_sets_or_waits() {
    let world = World::started();
    // The set on trial has one more workload, and a device that only it claims.
    world.send(Message::LinkUp(link(3, "veth-new")));
    world.try_out(vec![file("new.yaml", workload("new", "10.0.0.3"))], 600);
    let behind =
        |ifindex: u32| world.kernel.look(|kernel| kernel.trial.as_ref().unwrap().2.get(&ifindex).copied());
    world.status();
    assert!(world.kernel.look(|kernel| kernel.attached.contains(&3)));
    assert_eq!(behind(3).unwrap().mode, enforcer_common::maps::mode::OFF, "let go in the set before");
    // A device comes that both claim.
    world.send(Message::LinkGone(1));
    world.status();
    assert_eq!(behind(1), None);
    world.send(Message::LinkUp(link(7, "veth-web")));
    world.status();
    assert_eq!(behind(7), world.kernel.look(|kernel| kernel.subjects.get(&7).copied()));
    // One workload changes, in place in both.
    world.changed("20-db.yaml", &workload("db", "10.0.0.22"));
    world.status();
    let address = enforcer_common::address::v4([10, 0, 0, 22]);
    assert_eq!(behind(2).unwrap().address4, address);
    assert_eq!(world.kernel.look(|kernel| kernel.subjects[&2].address4), address);
    // A policy waits.
    world.changed("30-allow.yaml", &policy("allow", "web", "db"));
    assert!(world.on_trial() && !world.passes("web", "db"));
    assert!(world.status().warnings.iter().any(|warning| warning.message.contains("wait until")));
    world.rollback();
    assert!(world.passes("web", "db"), "and comes with the end of the trial");
    world.status();
    assert!(!world.kernel.look(|kernel| kernel.attached.contains(&3)));
}

#[test]
fn hooks_that_only_the_set_before_claims_stay_until_the_trial_is_confirmed() {
    let world = World::started();
    world.apply(vec![file("new.yaml", workload("new", "10.0.0.3"))], false);
    world.send(Message::LinkUp(link(3, "veth-new")));
    world.status();
    world.try_out(vec![file("none.yaml", "# nothing\n".to_owned())], 600);
    world.status();
    assert!(world.kernel.look(|kernel| kernel.attached.contains(&3)));
    world.confirm().unwrap();
    world.status();
    assert!(!world.kernel.look(|kernel| kernel.attached.contains(&3)));
}
