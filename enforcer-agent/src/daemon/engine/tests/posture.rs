//! What is attested of workloads, with a packet path in memory.

use super::*;
use crate::daemon::clock::Instants;
use crate::daemon::engine::Refused;
use crate::protocol::{PostureReply, PostureRequest};
use std::time::{Duration, Instant};

impl World {
    fn attest(&self, workload: &str, labels: &str, ttl: Option<&str>) -> Result<PostureReply, Refused> {
        let pair = |text: &str| text.split_once('=').map(|(key, value)| (key.to_owned(), value.to_owned()));
        let labels = labels.split(',').filter_map(pair).collect();
        let request = PostureRequest { labels, ttl: ttl.map(str::to_owned) };
        let (reply, answer) = oneshot::channel();
        self.send(Message::Posture { workload: workload.to_owned(), request, reply });
        answer.blocking_recv().unwrap()
    }

    /// Until when the tables hold web's labels, by the boot-time clock; 0 for good.
    fn until(&self) -> u64 {
        self.kernel.look(|kernel| kernel.subjects[&1].until)
    }

    fn wait(&self, what: &str, mut holds: impl FnMut(&Status) -> bool) {
        let start = Instant::now();
        while !holds(&self.status()) {
            assert!(start.elapsed().as_secs() < 20, "{what}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

const OK: &str = "posture.ok=yes";

/// web may reach db while its posture is ok.
fn world() -> World {
    let world = World::started();
    let rule =
        policy("allow", "web", "db").replace("{labels: {app: web}}", "{labels: {posture.ok: \"yes\"}}");
    world.changed("30-allow.yaml", &rule);
    assert!(!world.passes("web", "db"));
    world
}

#[test]
fn what_is_attested_holds_until_it_is_taken_back() {
    let world = world();
    let deltas = world.kernel.look(|kernel| kernel.deltas.len());
    let before = Instants::now().boot;
    let reply = world.attest("web", OK, Some("10m")).unwrap();
    assert_eq!(
        (reply.posture.workload.as_str(), reply.posture.labels["posture.ok"].as_str()),
        ("web", "yes")
    );
    assert!(world.passes("web", "db"));
    let until = world.until();
    assert!((before + 600_000_000_000..=Instants::now().boot + 600_000_000_000).contains(&until), "{until}");
    assert_eq!(world.kernel.look(|kernel| kernel.deltas.len()), deltas + 1, "without a compile");
    let status = world.status();
    assert_eq!(reply.epoch, status.epoch);
    let posture = &status.postures[0];
    assert_eq!((&posture.workload, &posture.labels), (&reply.posture.workload, &reply.posture.labels));
    assert_eq!(status.workloads[0].labels["posture.ok"], "yes");
    let (reply, answer) = oneshot::channel();
    let (from, to, port) = ("workload/web".to_owned(), "workload/db".to_owned(), "tcp/80".to_owned());
    world.send(Message::Explain { request: ExplainRequest { from, to, port }, reply });
    let explained = answer.blocking_recv().unwrap().unwrap();
    assert_eq!(explained.explanation["attested"][0]["labels"]["posture.ok"], "yes");
    assert!(explained.text.contains("\n  attested web: posture.ok=yes until 20"), "{}", explained.text);
    for (labels, ttl) in [("", None), ("posture.ok=no", Some("1m"))] {
        world.attest("web", OK, Some("1h")).unwrap();
        assert!(world.passes("web", "db"));
        world.attest("web", labels, ttl).unwrap();
        assert!(!world.passes("web", "db"), "`{labels}` is all that is attested");
    }
    world.attest("web", "", None).unwrap();
    assert_eq!((world.until(), world.status().postures.len()), (0, 0));
}

#[test]
fn tables_do_not_grow_with_renewals() {
    let world = world();
    world.attest("web", OK, Some("1h")).unwrap();
    world.attest("web", "", None).unwrap();
    let deltas = world.kernel.look(|kernel| kernel.deltas.len());
    let mut last = 0;
    for _ in 0..5 {
        world.attest("web", OK, Some("1h")).unwrap();
        assert!(world.until() > last, "each renewal is for longer");
        last = world.until();
    }
    world.kernel.look(|kernel| {
        let grown = kernel.deltas[deltas..].iter().map(|delta| delta.pairs.len() + delta.decisions.len());
        assert_eq!(grown.sum::<usize>(), 0);
    });
}

#[test]
fn what_is_attested_ends_by_itself_and_is_not_revived() {
    let mut world = world();
    world.attest("web", OK, Some("1s")).unwrap();
    assert!(world.passes("web", "db"));
    world.wait("it doesn't end", |status| status.postures.is_empty());
    assert!(!world.passes("web", "db"));
    assert_eq!(world.until(), 0, "the tables are as without it");
    world.attest("web", OK, Some("1s")).unwrap();
    world.end();
    std::thread::sleep(Duration::from_millis(1_100));
    world.start();
    assert!(world.status().postures.is_empty() && !world.passes("web", "db"));
}

#[test]
fn what_is_attested_outlives_restarts_and_changes_of_the_set() {
    let mut world = world();
    world.attest("web", OK, Some("1h")).unwrap();
    let until = world.until();
    world.end();
    world.start();
    assert!(world.passes("web", "db"), "after a restart");
    assert!(world.until().abs_diff(until) < 1_000_000, "the same instant: {until}, then {}", world.until());
    world.changed("40-more.yaml", &policy("more", "db", "web"));
    assert!(world.passes("web", "db"), "after a whole compile");
    world.changed("10-web.yaml", &workload("web", "10.0.0.7"));
    assert!(world.passes("web", "db"), "after a change in place");
    fs::remove_file(world.path("10-web.yaml")).unwrap();
    world.send(Message::Files);
    world.wait("what has gone keeps its posture", |status| status.postures.is_empty());
    world.changed("10-web.yaml", &workload("web", "10.0.0.1"));
    world.status();
    assert!(!world.passes("web", "db"), "who comes back has to be attested anew");
}

#[test]
fn nothing_is_attested_past_a_reboot_for_longer_than_it_may_be() {
    let mut world = world();
    world.attest("web", OK, Some("1h")).unwrap();
    world.end();
    let kept = world.dir.path().join("state/postures.json");
    let text = fs::read_to_string(&kept).unwrap();
    let value: serde_json::Value = serde_json::from_str(&text).unwrap();
    let again = |world: &mut World, until: jiff::Timestamp| {
        let mut value = value.clone();
        let one = &mut value["postures"][0];
        (one["boot"], one["until_boot"]) = ("another".into(), u64::MAX.into());
        one["until"] = until.to_string().into();
        fs::write(&kept, value.to_string()).unwrap();
        world.start();
        let passes = world.passes("web", "db");
        world.end();
        passes
    };
    let now = jiff::Timestamp::now();
    let hour = jiff::SignedDuration::from_hours(1);
    assert!(again(&mut world, now + hour), "wall time counts after a reboot");
    assert!(!again(&mut world, now - hour), "what is past isn't revived");
    assert!(!again(&mut world, now + 48 * hour), "nor by a clock that is wrong");
    fs::write(&kept, "{").unwrap();
    world.start();
    assert!(!world.passes("web", "db"));
    let warnings = world.status().warnings;
    assert!(warnings.iter().any(|one| one.message.starts_with("nothing is attested")), "{warnings:?}");
}

#[test]
fn a_segment_may_select_by_what_is_attested() {
    let world = world();
    let segment = "apiVersion: enforcer.dev/v1alpha1\nkind: Segment\nmetadata: {name: trusted}\n\
                   spec: {select: [{labels: {posture.ok: \"yes\"}}], mode: audit, onDeny: reset}\n";
    world.changed("50-trusted.yaml", segment);
    assert_eq!(world.status().workloads[0].mode, "enforce");
    world.attest("web", OK, Some("1h")).unwrap();
    assert_eq!(world.status().workloads[0].mode, "audit");
    let subject = world.kernel.look(|kernel| kernel.subjects[&1]);
    use enforcer_common::maps::mode;
    assert_eq!((subject.mode, subject.mode_after), (mode::AUDIT, mode::ENFORCE));
    assert_eq!((subject.flags & Subject::ANSWERS_DENIED, subject.flags_after), (Subject::ANSWERS_DENIED, 0));
}

#[test]
fn tests_of_a_set_do_not_depend_on_what_is_attested() {
    let world = world();
    world.attest("web", OK, Some("1h")).unwrap();
    let test = "apiVersion: enforcer.dev/v1alpha1\nkind: FlowTest\nmetadata: {name: strangers}\nspec:\n  cases:\n    \
                - {from: {workload: web}, to: {workload: db}, port: tcp/80, expect: deny}\n    \
                - {from: {labels: {posture.ok: \"yes\"}}, to: {workload: db}, port: tcp/80, expect: allow}\n";
    let (_, reply) = world.apply(vec![file("test.yaml", test.to_owned())], false);
    assert_eq!(reply.outcome, Outcome::Applied, "{:?}", reply.tests);
    assert!(world.passes("web", "db"), "and leave it in force");
}

#[test]
fn both_sets_of_a_trial_know_what_is_attested() {
    let world = world();
    let request = ApplyRequest {
        files: vec![file("more.yaml", policy("more", "db", "web"))],
        confirm: Some(60),
        ..ApplyRequest::default()
    };
    let (replies, receiver) = mpsc::unbounded_channel();
    world.send(Message::Apply { request, sessions: Vec::new(), replies });
    assert_eq!(World::lines(receiver).1.outcome, Outcome::Applied);
    world.attest("web", OK, Some("1h")).unwrap();
    assert!(world.passes("web", "db"));
    let behind = world.kernel.look(|kernel| kernel.trial.as_ref().unwrap().2[&1].until);
    assert_eq!(behind, world.until());
    world.rollback();
    assert!(world.passes("web", "db"), "in the set before as well");
}

#[test]
fn what_cannot_be_attested_is_said() {
    let world = world();
    let refused = world.attest("wev", OK, Some("1m")).unwrap_err();
    assert_eq!(refused.message, "there is no workload `wev`");
    assert_eq!(refused.help.as_deref(), Some("did you mean `web`?"));
    let long = format!("posture.ok={}", "x".repeat(64));
    let many: Vec<String> = (0..33).map(|number| format!("posture.k{number}=x")).collect();
    for (labels, ttl, message) in [
        ("app=db", Some("1m"), "`app` isn't below `posture.`"),
        ("posture.=db", Some("1m"), "`posture.` isn't below `posture.`"),
        (
            "posture.a b=x",
            Some("1m"),
            "`posture.a b` is not a label key: spaces, control characters, `=` and `,` may not stand in it",
        ),
        (
            "posture.ok=\u{1b}[2J",
            Some("1m"),
            "`\\u{1b}[2J` is not a label value: control characters may not stand in it",
        ),
        (&long, Some("1m"), &format!("`{}` is not a label value: it has more than 63 bytes", "x".repeat(64))),
        (&many.join(","), Some("1m"), "`33` labels are too many"),
        (OK, None, "labels without a `ttl` would hold for good"),
        (OK, Some("0s"), "`0s` is no time to live"),
        (OK, Some("25h"), "`25h` is no time to live"),
        (OK, Some("1500ms"), "`1500ms` is no time to live"),
        (OK, Some("-1m"), "`-1m` is no time to live"),
        (OK, Some("soon"), "`soon` is no time to live"),
    ] {
        assert_eq!(world.attest("web", labels, ttl).unwrap_err().message, message);
    }
    assert!(world.status().postures.is_empty());
}

#[test]
fn what_cannot_be_written_in_place_is_compiled() {
    let world = world();
    let generation = world.status().generation;
    world.kernel.look(|kernel| kernel.fail_next = Some(DatapathError::new("no room")));
    world.attest("web", OK, Some("1h")).unwrap();
    assert!(world.passes("web", "db") && world.until() != 0);
    assert_eq!(
        (world.status().generation, world.kernel.look(|kernel| kernel.deltas.len())),
        (generation + 1, 0)
    );
}

#[test]
fn a_posture_that_cannot_be_kept_is_none() {
    let world = world();
    let state = world.dir.path().join("state");
    fs::create_dir(state.join("postures.json")).unwrap();
    let refused = world.attest("web", OK, Some("1h")).unwrap_err();
    assert!(refused.message.starts_with("it could not be kept"), "{}", refused.message);
    assert!(!world.passes("web", "db") && world.status().postures.is_empty());
}
