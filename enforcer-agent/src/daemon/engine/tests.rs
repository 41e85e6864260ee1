//! The engine with a packet path in memory: what is in force after each thing that can happen.

mod containers;
mod lockout;
mod posture;
mod quarantine;
mod trial;

use super::{ApplyLine, Engine, Handle, Link, Message};
use crate::daemon::config::Settings;
use crate::daemon::events::Feed;
use crate::daemon::names::Names;
use crate::daemon::state::StateDir;
use crate::datapath::memory::Memory;
use crate::datapath::{
    Attachment, Datapath, DatapathError, Epoch, Inspection, OpenConnection, Sink, Sweep, Usage,
};
use crate::protocol::{
    ApplyReply, ApplyRequest, ExplainRequest, Outcome, Plan, PolicyFile, RollbackRequest, State, Status,
};
use enforcer_common::maps::{Cgroup, EventCounter, Failsafe, ReasonCounter, RuleCounter, Subject};
use enforcer_policy::compile::{Delta, Image};
use ipnet::IpNet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use tokio::sync::{mpsc, oneshot};

/// The double, where the test can see it while the engine has it; as the kernel's tables outlive the daemon.
#[derive(Clone, Default)]
struct Shared(Arc<Mutex<Memory>>);

impl Shared {
    fn look<T>(&self, look: impl FnOnce(&mut Memory) -> T) -> T {
        look(&mut self.0.lock().unwrap())
    }
}

impl Datapath for Shared {
    fn current(&self) -> Option<Epoch> {
        self.look(|memory| memory.current())
    }
    fn install_whole(
        &mut self,
        image: &Image,
        subjects: &[(u32, Subject)],
        cgroups: &[(u64, Cgroup)],
    ) -> Result<Epoch, DatapathError> {
        self.look(|memory| memory.install_whole(image, subjects, cgroups))
    }
    fn set_cgroups(&mut self, cgroups: &[(u64, Option<Cgroup>)]) -> Result<(), DatapathError> {
        self.look(|memory| memory.set_cgroups(cgroups))
    }
    fn judges_sockets(&self) -> bool {
        true
    }
    fn attach_cgroup(&mut self, root: &Path) -> Result<(), DatapathError> {
        self.look(|memory| memory.attach_cgroup(root))
    }
    fn detach_cgroup(&mut self) -> Result<bool, DatapathError> {
        self.look(Memory::detach_cgroup)
    }
    fn try_out(
        &mut self,
        image: &Image,
        subjects: &[(u32, Subject)],
        cgroups: &[(u64, Cgroup)],
        until: u64,
    ) -> Result<Epoch, DatapathError> {
        self.look(|memory| memory.try_out(image, subjects, cgroups, until))
    }
    fn end_trial(&mut self, confirmed: bool) -> Result<Epoch, DatapathError> {
        self.look(|memory| memory.end_trial(confirmed))
    }
    fn take_up(&mut self, connections: &[OpenConnection]) -> Result<usize, DatapathError> {
        self.look(|memory| memory.take_up(connections))
    }

    fn set_failsafe(&mut self, blocks: &[(IpNet, Failsafe)]) -> Result<(), DatapathError> {
        self.look(|memory| memory.set_failsafe(blocks))
    }

    fn is_on_trial(&self) -> bool {
        self.look(|memory| memory.is_on_trial())
    }
    fn apply_behind(
        &mut self,
        delta: &Delta,
        subjects: &[(u32, Option<Subject>)],
    ) -> Result<Epoch, DatapathError> {
        self.look(|memory| memory.apply_behind(delta, subjects))
    }
    fn apply_delta(
        &mut self,
        delta: &Delta,
        subjects: &[(u32, Option<Subject>)],
    ) -> Result<Epoch, DatapathError> {
        self.look(|memory| memory.apply_delta(delta, subjects))
    }
    fn attach(&mut self, ifindex: u32, name: &str) -> Result<Attachment, DatapathError> {
        self.look(|memory| memory.attach(ifindex, name))
    }
    fn detach(&mut self, ifindex: u32) -> Result<bool, DatapathError> {
        self.look(|memory| memory.detach(ifindex))
    }
    fn attached(&mut self) -> Result<Vec<Attachment>, DatapathError> {
        self.look(Memory::attached)
    }
    fn rule_counters(&self, rules: u32) -> Result<Vec<RuleCounter>, DatapathError> {
        self.look(|memory| memory.rule_counters(rules))
    }
    fn verdict_counters(&self) -> Result<Vec<ReasonCounter>, DatapathError> {
        self.look(|memory| memory.verdict_counters())
    }
    fn event_counters(&self) -> Result<EventCounter, DatapathError> {
        self.look(|memory| memory.event_counters())
    }
    fn events(&mut self, sink: Sink) -> Result<(), DatapathError> {
        self.look(|memory| memory.events(sink))
    }
    fn sweep_flows(&mut self) -> Result<Sweep, DatapathError> {
        self.look(Memory::sweep_flows)
    }
    fn inspect(&mut self) -> Inspection {
        self.look(Memory::inspect)
    }
    fn reset_rule_counters(&mut self, rules: &[u32]) -> Result<(), DatapathError> {
        self.look(|memory| memory.reset_rule_counters(rules))
    }
    fn usage(&self) -> Result<Vec<Usage>, DatapathError> {
        self.look(|memory| memory.usage())
    }
    fn remove_all(&mut self) -> Result<(), Vec<DatapathError>> {
        self.look(Memory::remove_all)
    }
}

/// A daemon without a kernel: its directory, its engine's thread and a way to it.
struct World {
    dir: tempfile::TempDir,
    kernel: Shared,
    handle: Handle,
    thread: Option<JoinHandle<()>>,
    /// Others than the defaults.
    settings: Option<Settings>,
}

fn link(ifindex: u32, name: &str) -> Link {
    Link { ifindex, name: name.to_owned(), ethernet: true, abroad: false }
}

fn workload(name: &str, address: &str) -> String {
    format!(
        "apiVersion: enforcer.dev/v1alpha1\nkind: Workload\nmetadata: {{name: {name}}}\n\
         spec: {{labels: {{app: {name}}}, match: [{{interface: veth-{name}}}], addresses: [{address}]}}\n"
    )
}

fn policy(name: &str, from: &str, to: &str) -> String {
    format!(
        "apiVersion: enforcer.dev/v1alpha1\nkind: FlowPolicy\nmetadata: {{name: {name}}}\n\
         spec:\n  flows:\n    - {{from: [{{labels: {{app: {from}}}}}], to: [{{labels: {{app: {to}}}}}], ports: [tcp/80]}}\n"
    )
}

fn file(name: &str, text: String) -> PolicyFile {
    PolicyFile { name: name.to_owned(), text }
}

impl World {
    /// web and db in watched files, with their devices.
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("policies")).unwrap();
        let world =
            Self { dir, kernel: Shared::default(), handle: Handle::new().0, thread: None, settings: None };
        world.write("10-web.yaml", &workload("web", "10.0.0.1"));
        world.write("20-db.yaml", &workload("db", "10.0.0.2"));
        world
    }

    fn started() -> Self {
        let mut world = Self::new();
        world.start();
        world
    }

    fn start(&mut self) {
        let settings = Settings {
            policies: vec![self.dir.path().join("policies")],
            state: self.dir.path().join("state"),
            ..self.settings.clone().unwrap_or_default()
        };
        let state = StateDir::open(&settings.state).unwrap();
        let names = Names::default();
        let feed = Feed::new(names.clone());
        let mut engine = Engine::new(settings, Box::new(self.kernel.clone()), state, names, feed);
        engine.start(vec![link(1, "veth-web"), link(2, "veth-db"), link(9, "eth0")], Vec::new());
        self.handle = engine.handle();
        self.thread = Some(std::thread::spawn(move || engine.run()));
    }

    fn end(&mut self) {
        self.send(Message::End);
        self.thread.take().unwrap().join().unwrap();
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join("policies").join(name)
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).unwrap();
    }

    /// As the watcher does after a change.
    fn changed(&self, name: &str, text: &str) {
        self.write(name, text);
        self.send(Message::Files);
    }

    fn send(&self, message: Message) {
        self.handle.send(message).unwrap();
    }

    /// Waits until everything that was sent so far has been done.
    fn settle(&self) {
        let (reply, answer) = oneshot::channel();
        let request = ExplainRequest { from: String::new(), to: String::new(), port: String::new() };
        self.send(Message::Explain { request, reply });
        assert!(answer.blocking_recv().unwrap().is_err());
    }

    fn status(&self) -> Status {
        self.settle();
        let (reply, answer) = oneshot::channel();
        self.send(Message::Status(reply));
        answer.blocking_recv().unwrap()
    }

    fn lines(mut receiver: mpsc::UnboundedReceiver<ApplyLine>) -> (Option<Plan>, ApplyReply) {
        let mut plan = None;
        loop {
            match receiver.blocking_recv().unwrap() {
                ApplyLine::Plan(planned) => plan = Some(*planned),
                ApplyLine::Reply(reply) => return (plan, *reply),
            }
        }
    }

    fn apply(&self, files: Vec<PolicyFile>, dry_run: bool) -> (Option<Plan>, ApplyReply) {
        let (replies, receiver) = mpsc::unbounded_channel();
        self.send(Message::Apply {
            request: ApplyRequest { files, dry_run, ..ApplyRequest::default() },
            sessions: Vec::new(),
            replies,
        });
        Self::lines(receiver)
    }

    fn rollback(&self) -> ApplyReply {
        let (replies, receiver) = mpsc::unbounded_channel();
        self.send(Message::Rollback { request: RollbackRequest::default(), sessions: Vec::new(), replies });
        Self::lines(receiver).1
    }

    fn passes(&self, from: &str, to: &str) -> bool {
        let (reply, answer) = oneshot::channel();
        let request = ExplainRequest {
            from: format!("workload/{from}"),
            to: format!("workload/{to}"),
            port: "tcp/80".to_owned(),
        };
        self.send(Message::Explain { request, reply });
        answer.blocking_recv().unwrap().unwrap().passes
    }
}

impl Drop for World {
    fn drop(&mut self) {
        let _ = self.handle.send(Message::End);
        if let Some(thread) = self.thread.take() {
            let ended = thread.join();
            assert!(ended.is_ok() || std::thread::panicking(), "the engine panicked");
        }
    }
}

#[test]
fn the_set_in_force_is_told_whole() {
    let world = World::started();
    let live = || {
        let (reply, answer) = oneshot::channel();
        world.send(Message::Policies(reply));
        answer.blocking_recv().unwrap().unwrap()
    };
    let before = live();
    assert_eq!((before.schema.as_str(), before.default_mode.as_str()), ("enforcer.policies/v1", "enforce"));
    let applied = PolicyFile { name: "applied.yaml".to_owned(), text: "# nothing\n".to_owned() };
    world.apply(vec![applied.clone()], false);
    let after = live();
    assert!(after.epoch > before.epoch);
    assert_eq!(after.files, [before.files, vec![applied]].concat());
}

#[test]
fn a_start_installs_the_set_and_hooks_its_devices_only() {
    let world = World::started();
    let status = world.status();
    assert_eq!((status.state, status.policies, status.workloads.len()), (State::Enforcing, 0, 2));
    assert_eq!(world.kernel.look(|kernel| kernel.attached.iter().copied().collect::<Vec<_>>()), [1, 2]);
    let web = &status.workloads[0];
    assert_eq!((web.name.as_str(), web.mode.as_str(), web.segment.as_deref()), ("web", "enforce", None));
    assert_eq!((web.interfaces[0].name.as_str(), web.interfaces[0].attached), ("veth-web", true));
}

#[test]
fn a_changed_file_takes_effect_and_a_bad_one_leaves_the_last_good_set() {
    let world = World::started();
    assert!(!world.passes("web", "db"));
    world.changed("30-allow.yaml", &policy("allow", "web", "db"));
    assert!(world.passes("web", "db"));
    let epoch = world.status().epoch;

    world.changed(
        "30-allow.yaml",
        "apiVersion: enforcer.dev/v1alpha1\nkind: FlowPolicy\nmetadata: {name: allow}\nspec: {}\n",
    );
    let status = world.status();
    assert_eq!((status.state, status.epoch), (State::Degraded, epoch));
    let degraded = status.degraded.unwrap();
    assert_eq!(degraded.why, "the live set is invalid");
    assert!(
        degraded.diagnostics[0].rendered.contains("30-allow.yaml:4"),
        "{}",
        degraded.diagnostics[0].rendered
    );
    assert!(world.passes("web", "db"), "the last good set is in force");

    world.changed("30-allow.yaml", &policy("allow", "web", "db"));
    assert_eq!(world.status().state, State::Enforcing);
    fs::remove_file(world.path("30-allow.yaml")).unwrap();
    world.send(Message::Files);
    assert!(!world.passes("web", "db"));
}

#[test]
fn an_unchanged_set_changes_no_epoch() {
    let world = World::started();
    let epoch = world.status().epoch;
    world.send(Message::Files);
    world.changed("20-db.yaml", &workload("db", "10.0.0.2"));
    assert_eq!(world.status().epoch, epoch);
}

#[test]
fn one_changed_workload_is_written_in_place() {
    let world = World::started();
    world.changed("30-allow.yaml", &policy("allow", "web", "db"));
    world.status();
    assert!(world.kernel.look(|kernel| kernel.deltas.is_empty()));
    world.changed("20-db.yaml", &workload("db", "10.0.0.22"));
    let status = world.status();
    assert_eq!(world.kernel.look(|kernel| kernel.deltas.len()), 1);
    assert_eq!(status.workloads[1].addresses, ["10.0.0.22".parse::<std::net::IpAddr>().unwrap()]);
    assert!(world.passes("web", "db"));
    // Another one comes, with its device already there, and goes again.
    world.send(Message::LinkUp(link(3, "veth-new")));
    world.changed("40-new.yaml", &workload("new", "10.0.0.3"));
    world.status();
    assert_eq!(world.kernel.look(|kernel| (kernel.deltas.len(), kernel.attached.contains(&3))), (2, true));
    assert!(world.kernel.look(|kernel| kernel.subjects.contains_key(&3)));
    fs::remove_file(world.path("40-new.yaml")).unwrap();
    world.send(Message::Files);
    assert_eq!(world.status().workloads.len(), 2);
    assert!(!world.kernel.look(|kernel| kernel.attached.contains(&3)));
}

#[test]
fn devices_come_are_renamed_and_go() {
    let world = World::new();
    let mut world = world;
    world.write("40-glob.yaml", &workload("pods", "10.0.0.4").replace("veth-pods", "\"pod*\""));
    world.start();
    let attached = |world: &World| {
        world.status();
        world.kernel.look(|kernel| kernel.attached.iter().copied().collect::<Vec<_>>())
    };
    world.send(Message::LinkUp(link(5, "tmp0")));
    assert_eq!(attached(&world), [1, 2]);
    world.send(Message::LinkUp(link(5, "pod7")));
    assert_eq!(attached(&world), [1, 2, 5]);
    assert!(world.kernel.look(|kernel| kernel.subjects.contains_key(&5)));
    world.send(Message::LinkUp(link(5, "other")));
    assert_eq!(attached(&world), [1, 2]);
    assert!(!world.kernel.look(|kernel| kernel.subjects.contains_key(&5)));
    world.send(Message::LinkGone(1));
    assert_eq!(attached(&world), [2]);
    assert!(world.status().workloads[0].interfaces.is_empty());
    world.send(Message::LinkUp(link(1, "veth-web")));
    assert_eq!(attached(&world), [1, 2]);
}

#[test]
fn a_device_that_could_not_be_hooked_is_told_and_tried_again() {
    let world = World::started();
    world.changed("30.yaml", &workload("late", "10.0.0.5"));
    world.status();
    world.kernel.look(|kernel| kernel.fail_next = Some(DatapathError::new("no room")));
    world.send(Message::LinkUp(link(6, "veth-late")));
    let late = |status: &Status| status.workloads[2].interfaces[0].clone();
    let before = late(&world.status());
    assert_eq!(before.error.as_deref(), Some("no room"));
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(5);
    loop {
        let now = late(&world.status());
        if now.error.is_none() && now.attached {
            break;
        }
        assert!(std::time::Instant::now() < deadline, "{now:?}");
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    assert!(world.kernel.look(|kernel| kernel.subjects.contains_key(&6)));
}

#[test]
fn apply_rollback_and_empty() {
    let mut world = World::started();
    let allow = || vec![file("mine/allow.yaml", policy("allow", "web", "db"))];
    let (plan, reply) = world.apply(allow(), true);
    assert_eq!(reply.outcome, Outcome::DryRun);
    let changes = plan.unwrap().connectivity.changes;
    assert_eq!(
        changes.iter().map(|change| &*change.text).collect::<Vec<_>>(),
        ["+ web -> db  tcp/80  denied -> allowed  (allow#0)"]
    );
    assert!(!world.passes("web", "db"), "a dry run changes nothing");

    assert_eq!(world.apply(allow(), false).1.outcome, Outcome::Applied);
    assert!(world.passes("web", "db"));
    let other = vec![file("mine/other.yaml", policy("other", "db", "web"))];
    assert_eq!(world.apply(other, false).1.outcome, Outcome::Applied);
    assert!(!world.passes("web", "db") && world.passes("db", "web"), "it is replaced as a whole");

    assert_eq!(world.rollback().outcome, Outcome::Applied);
    assert!(world.passes("web", "db") && !world.passes("db", "web"));
    world.end();
    world.start();
    assert!(world.passes("web", "db"), "it is in force across restarts");
    assert_eq!(world.apply(Vec::new(), false).1.outcome, Outcome::Applied);
    assert!(!world.passes("web", "db"));
    assert_eq!(world.rollback().outcome, Outcome::Applied);
    assert!(world.passes("web", "db"));
    assert_eq!(world.rollback().outcome, Outcome::Applied);
    assert!(!world.passes("web", "db"), "before the first apply");
    assert_eq!(world.rollback().outcome, Outcome::Failed, "there is nothing before that");
}

#[test]
fn an_invalid_or_untrue_set_is_not_applied() {
    let world = World::started();
    let epoch = world.status().epoch;
    // The same kind and name as in a watched file.
    let (_, reply) = world.apply(vec![file("twice.yaml", workload("web", "10.0.0.9"))], false);
    assert_eq!(reply.outcome, Outcome::Invalid);
    assert!(
        reply.diagnostics.iter().any(|found| found.rendered.contains("10-web.yaml")),
        "{:?}",
        reply.diagnostics
    );
    let test = "---\napiVersion: enforcer.dev/v1alpha1\nkind: FlowTest\nmetadata: {name: t}\nspec:\n  cases:\n    \
                - {from: {workload: db}, to: {workload: web}, port: tcp/80, expect: allow}\n";
    let (_, reply) = world.apply(vec![file("untrue.yaml", policy("allow", "web", "db") + test)], false);
    assert_eq!(reply.outcome, Outcome::TestsFailed);
    assert_eq!(reply.tests.unwrap().failed, 1);
    let status = world.status();
    assert_eq!((status.epoch, status.state, status.applied_files), (epoch, State::Enforcing, 0));
    assert!(!world.passes("web", "db"));
}

#[test]
fn an_install_that_fails_changes_nothing() {
    let world = World::started();
    let epoch = world.status().epoch;
    world.kernel.look(|kernel| kernel.fail_next = Some(DatapathError::new("no room").with_help("make some")));
    let (plan, reply) = world.apply(vec![file("a.yaml", policy("allow", "web", "db"))], false);
    assert!(plan.is_some());
    assert_eq!((reply.outcome, reply.epoch), (Outcome::Failed, epoch));
    assert!(
        reply.diagnostics[0].rendered.contains("no room")
            && reply.diagnostics[0].rendered.contains("make some")
    );
    assert_eq!(world.status().applied_files, 0);
    assert_eq!(world.rollback().outcome, Outcome::Failed, "nothing was applied that could be taken back");
    assert!(!world.passes("web", "db"));
}

#[test]
fn a_restart_with_a_bad_set_brings_the_last_good_one_back() {
    let mut world = World::started();
    world.changed("30-allow.yaml", &policy("allow", "web", "db"));
    let before = world.status();
    world.end();
    world.write("30-allow.yaml", "not: a document\n");
    world.start();
    let after = world.status();
    assert_eq!(after.state, State::Degraded);
    assert!(after.epoch > before.epoch && after.generation > before.generation);
    assert!(world.passes("web", "db"));
    world.changed("30-allow.yaml", &policy("allow", "db", "web"));
    assert_eq!(world.status().state, State::Enforcing);
    assert!(!world.passes("web", "db"));
}

#[test]
fn a_damaged_applied_set_is_not_taken_for_an_empty_one() {
    let mut world = World::started();
    world.apply(vec![file("a.yaml", policy("allow", "web", "db"))], false);
    world.end();
    fs::write(world.dir.path().join("state/applied.json"), "{").unwrap();
    world.start();
    let status = world.status();
    assert_eq!(status.state, State::Degraded);
    assert!(world.passes("web", "db"), "the last good set holds it");
}

#[test]
fn numbers_outlive_a_restart() {
    let mut world = World::started();
    world.changed("30-allow.yaml", &policy("b-allow", "web", "db"));
    world.kernel.look(|kernel| kernel.rules = vec![RuleCounter { packets: 7, ..RuleCounter::default() }]);
    assert_eq!(world.status().rules[0].counts.packets, 7);
    world.end();
    // A rule that is read before it must not take its number.
    world.write("00-first.yaml", &policy("a-first", "db", "web"));
    world.start();
    let counted = |status: &Status, rule: &str| {
        status.rules.iter().find(|one| one.rule == rule).unwrap().counts.packets
    };
    let status = world.status();
    assert_eq!((counted(&status, "b-allow#0"), counted(&status, "a-first#0")), (7, 0));
}

#[test]
fn an_expired_policy_is_compiled_away() {
    let world = World::started();
    let soon = jiff::Timestamp::now() + jiff::SignedDuration::from_millis(700);
    let text = policy("brief", "web", "db").replace("spec:\n", &format!("spec:\n  expires: {soon:.3}\n"));
    world.changed("30-brief.yaml", &text);
    assert_eq!(world.status().rules.len(), 1);
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(10);
    while !world.status().rules.is_empty() {
        assert!(std::time::Instant::now() < deadline, "the rule is still there");
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    assert!(!world.passes("web", "db"));
}

#[test]
fn stop_leaves_everything_or_takes_everything_away() {
    for detach in [false, true] {
        let mut world = World::started();
        let (reply, answer) = oneshot::channel();
        world.send(Message::Stop { detach, reply });
        assert_eq!(answer.blocking_recv().unwrap().unwrap().detached, detach);
        world.thread.take().unwrap().join().unwrap();
        assert_eq!(world.kernel.look(|kernel| kernel.attached.is_empty()), detach);
        assert_eq!(world.kernel.look(|kernel| kernel.epoch.is_none()), detach);
    }
}

#[test]
fn devices_and_status_do_not_wait_for_a_large_set() {
    let world = World::started();
    let many: Vec<String> = (0..4_000)
        .map(|number| {
            let (from, to) = (number % 200, number * 7 % 200);
            policy(&format!("p{number}"), &format!("a{from}"), &format!("a{to}"))
        })
        .chain((0..200).map(|number| {
            workload(&format!("a{number}"), &format!("10.1.0.{number}"))
                .replace(&format!("match: [{{interface: veth-a{number}}}], "), "")
        }))
        .collect();
    world.changed("50-many.yaml", &many.join("---\n"));
    world.send(Message::LinkGone(1));
    world.send(Message::LinkUp(link(1, "veth-web")));
    let (reply, answer) = oneshot::channel();
    world.send(Message::Status(reply));
    let meanwhile = answer.blocking_recv().unwrap();
    assert_eq!(meanwhile.policies, 0, "the answer waited for the set");
    assert!(meanwhile.workloads[0].interfaces[0].attached);
    let after = world.status();
    assert_eq!((after.policies, after.state), (4_000, State::Enforcing));
    assert!(after.workloads[0].interfaces[0].attached);
    assert!(world.kernel.look(|kernel| kernel.subjects.contains_key(&1)));
}
