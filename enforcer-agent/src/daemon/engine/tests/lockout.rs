//! Sessions that a change would cut.

use super::*;
use crate::daemon::session::Session;

fn session() -> Session {
    Session { client: "10.0.0.1:40000".parse().unwrap(), server: "10.0.0.2:80".parse().unwrap() }
}

impl World {
    fn apply_from(&self, session: Session, text: String, force: bool) -> ApplyReply {
        let (replies, receiver) = mpsc::unbounded_channel();
        let files = vec![file("applied.yaml", text)];
        let request = ApplyRequest { files, force, ..ApplyRequest::default() };
        self.send(Message::Apply { request, sessions: vec![session], replies });
        Self::lines(receiver).1
    }
}

#[test]
fn a_change_that_cuts_its_own_session_is_refused() {
    let world = World::started();
    let reply = world.apply_from(session(), policy("allow", "web", "db"), false);
    assert_eq!(reply.outcome, Outcome::Applied);
    let cuts = policy("allow", "db", "web");
    let reply = world.apply_from(session(), cuts.clone(), false);
    assert_eq!(reply.outcome, Outcome::LocksOut);
    let told = &reply.diagnostics[0].message;
    assert!(
        told.starts_with("this would cut your own session from 10.0.0.1:40000 to 10.0.0.2:80: denied"),
        "{told}"
    );
    assert!(world.passes("web", "db"), "nothing was changed");
    let elsewhere = Session { server: "10.0.0.9:80".parse().unwrap(), client: "10.0.0.8:1".parse().unwrap() };
    assert_eq!(world.apply_from(elsewhere, cuts.clone(), false).outcome, Outcome::Applied);
    world.apply_from(session(), policy("allow", "web", "db"), true);
    assert_eq!(world.apply_from(session(), cuts, true).outcome, Outcome::Applied);
    assert!(!world.passes("web", "db"));
}

#[test]
fn a_workload_that_is_judged_from_now_on_loses_the_sessions_it_has() {
    let world = World::started();
    let text = workload("new", "10.0.0.3") + "---\n" + &policy("allow", "web", "new");
    let new = Session { client: "192.0.2.1:40000".parse().unwrap(), server: "10.0.0.3:80".parse().unwrap() };
    let reply = world.apply_from(new, text.replace("{labels: {app: web}}", "{entity: world}"), false);
    assert_eq!(reply.outcome, Outcome::LocksOut);
    assert!(reply.diagnostics[0].message.contains("judged from then on"), "{:?}", reply.diagnostics);
}

#[test]
fn files_that_cut_the_operators_session_are_told_of() {
    let world = World::started();
    world.changed("30-allow.yaml", &policy("allow", "web", "db"));
    world.apply_from(session(), "# nothing\n".to_owned(), false);
    assert!(world.status().warnings.is_empty());
    world.changed("30-allow.yaml", &policy("allow", "db", "web"));
    let warnings = world.status().warnings;
    assert!(
        warnings.iter().any(|one| one.message.starts_with("policy files have cut the operator's session")),
        "{warnings:?}"
    );
}
