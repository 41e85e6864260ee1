//! Quarantine, with a packet path in memory.

use super::*;
use crate::daemon::engine::Refused;
use crate::protocol::{QuarantineReply, QuarantineRequest, ReleaseRequest};

impl World {
    fn quarantine(&self, request: QuarantineRequest) -> Result<QuarantineReply, Refused> {
        let (reply, answer) = oneshot::channel();
        self.send(Message::Quarantine { request, reply });
        answer.blocking_recv().unwrap()
    }

    fn release(&self, workload: &str) -> Result<QuarantineReply, Refused> {
        let (reply, answer) = oneshot::channel();
        self.send(Message::Release { request: ReleaseRequest { workload: workload.to_owned() }, reply });
        answer.blocking_recv().unwrap()
    }

    fn quarantined(&self) -> bool {
        let held = self.kernel.look(|kernel| kernel.subjects[&2].flags & Subject::QUARANTINED != 0);
        let (reply, answer) = oneshot::channel();
        let (from, to) = ("workload/web".to_owned(), "workload/db".to_owned());
        self.send(Message::Explain {
            request: ExplainRequest { from, to, port: "tcp/80".to_owned() },
            reply,
        });
        let explained = answer.blocking_recv().unwrap().unwrap();
        assert_eq!(explained.explanation["cause"]["reason"] == "quarantined", held, "{}", explained.text);
        held
    }
}

fn db(why: &str) -> QuarantineRequest {
    QuarantineRequest { workload: "db".to_owned(), why: why.to_owned(), ..QuarantineRequest::default() }
}

fn allowed() -> World {
    let world = World::started();
    world.changed("30-allow.yaml", &policy("allow", "web", "db"));
    assert!(world.passes("web", "db"));
    world
}

#[test]
fn a_quarantine_is_told_and_taken_back() {
    let world = allowed();
    let reply = world.quarantine(db("ticket 4711")).unwrap();
    assert!(reply.quarantined && reply.warnings.is_empty());
    assert!(world.quarantined());
    assert!(!world.passes("web", "db"));
    let status = world.status();
    assert_eq!((status.state, status.quarantines.len()), (State::Enforcing, 1));
    assert_eq!((&*status.quarantines[0].workload, &*status.quarantines[0].why), ("db", "ticket 4711"));
    // Without a compile: by writes over the tables.
    assert_eq!(world.kernel.look(|kernel| kernel.deltas.len()), 1);
    let reply = world.release("db").unwrap();
    assert!(!reply.quarantined);
    assert!(!world.quarantined());
    assert!(world.passes("web", "db"));
    let refused = world.release("db").unwrap_err();
    assert_eq!(refused.message, "the workload `db` isn't quarantined");
}

#[test]
fn a_quarantine_outlives_restarts_and_every_change_of_the_set() {
    let mut world = allowed();
    world.quarantine(db("ticket 4711")).unwrap();
    world.changed("40-more.yaml", &policy("more", "db", "web"));
    assert!(world.quarantined(), "after a whole compile");
    world.changed("20-db.yaml", &workload("db", "10.0.0.22"));
    assert!(world.quarantined(), "after a change in place");
    world.end();
    world.start();
    assert!(world.quarantined(), "after a restart");
    fs::remove_file(world.path("20-db.yaml")).unwrap();
    world.send(Message::Files);
    assert_eq!(world.status().workloads.len(), 1);
    world.changed("20-db.yaml", &workload("db", "10.0.0.2"));
    world.status();
    assert!(world.quarantined(), "once it has come back");
}

#[test]
fn a_quarantine_ends_by_itself_and_is_not_revived() {
    let mut world = allowed();
    world.quarantine(QuarantineRequest { seconds: Some(1), ..db("a moment") }).unwrap();
    assert!(world.quarantined());
    let held = || !world.status().quarantines.is_empty();
    let start = std::time::Instant::now();
    while held() {
        assert!(start.elapsed().as_secs() < 20, "it doesn't end");
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    assert!(!world.quarantined());
    world.quarantine(QuarantineRequest { seconds: Some(1), ..db("a moment") }).unwrap();
    world.end();
    std::thread::sleep(std::time::Duration::from_millis(1_100));
    world.start();
    assert!(!world.quarantined(), "its time was over before the restart");
}

#[test]
fn what_cannot_be_quarantined_is_said() {
    let world = allowed();
    let unknown = QuarantineRequest { workload: "dv".to_owned(), ..db("x") };
    let refused = world.quarantine(unknown).unwrap_err();
    assert_eq!(refused.message, "there is no workload `dv`");
    assert_eq!(refused.help.as_deref(), Some("did you mean `db`?"));
    let refused = world.quarantine(db(" ")).unwrap_err();
    assert_eq!(refused.message, "a quarantine has to say what it is for");
    for (except, message) in [
        ("web", "`web` names no port"),
        ("web:tcp/22", "`web` doesn't name an end of a flow"),
        (
            "workload/web:tcp/20-30",
            "no path can be left for `workload/web:tcp/20-30`: `tcp/20-30` is more than one port",
        ),
        (
            "workload/nobody:tcp/22",
            "no path can be left for `workload/nobody:tcp/22`: nothing that is known is named so",
        ),
    ] {
        let refused =
            world.quarantine(QuarantineRequest { except: Some(except.to_owned()), ..db("x") }).unwrap_err();
        assert_eq!(refused.message, message);
    }
    assert!(world.status().quarantines.is_empty());
    let path = QuarantineRequest { except: Some("workload/web:tcp/80".to_owned()), ..db("x") };
    world.quarantine(path).unwrap();
    assert!(world.passes("web", "db"), "along the path that is left");
}

#[test]
fn a_quarantine_that_the_kernel_refuses_is_none() {
    let world = allowed();
    world.kernel.look(|kernel| kernel.fail_next = Some(DatapathError::new("no room")));
    assert!(world.quarantine(db("x")).is_err());
    assert!(world.status().quarantines.is_empty() && !world.quarantined());
    world.quarantine(db("x")).unwrap();
    assert!(world.quarantined(), "it can be tried again");
}
