//! containerd's containers.

use enforcer_tests::engines::Containerd;
use enforcer_tests::world;

use super::*;

pub(super) fn containers_are_workloads() {
    let mut world = world!();
    let [db, web, other] =
        [("db", 20), ("web", 21), ("other", 22)].map(|(name, number)| world.workload(name, number));
    let mut engine = Containerd::start(&world).unwrap();
    engine.run("early", &["app=db"], &db).unwrap();
    world.start_daemon(followed("containerd", &engine.socket(), POLICY)).unwrap();
    wait_until_heard(world.daemon());
    let status = wait_for(world.daemon(), "containerd/default/early");
    let early = workload(&status, "containerd/default/early").unwrap();
    assert_eq!(early["addresses"], serde_json::json!([db.v4(), db.v6()]));
    assert_eq!(early["interfaces"][0]["name"], db.interface());

    engine.run("late", &["app=web", "nobody=asked"], &web).unwrap();
    engine.run("third", &["app=other"], &other).unwrap();
    wait_for(world.daemon(), "containerd/default/late");
    let status = wait_for(world.daemon(), "containerd/default/third");
    let late = workload(&status, "containerd/default/late").unwrap();
    assert_eq!(late["labels"]["app"], "web");
    assert!(late["labels"].get("nobody").is_none());
    let _server = db.serve(&[Protocol::Tcp(PORT)]);
    for v6 in [false, true] {
        assert!(opens(&web, db.address(v6)), "v6: {v6}");
        assert!(is_denied(&other, db.address(v6)), "v6: {v6}");
        assert!(is_denied(&db, web.address(v6)), "v6: {v6}");
    }
    // Labels that change are followed.
    engine.ctr(&["containers", "label", "third", "app=web"]).unwrap();
    world.daemon().wait_until("it is web", |status| {
        workload(status, "containerd/default/third").is_some_and(|one| one["labels"]["app"] == "web")
    });
    assert!(opens(&other, db.v4()));

    engine.end("late").unwrap();
    world.daemon().wait_until("it has gone", |status| workload(status, "containerd/default/late").is_none());
    engine.kill_engine().unwrap();
    world.daemon().wait_until("it is silent", |status| status["sources"][0]["state"] == "silent");
    assert!(opens(&other, db.v4()), "what was known goes on");
}
