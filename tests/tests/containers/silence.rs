//! Engines that aren't heard.

use enforcer_tests::world;

use super::*;

fn segment(name: &str, app: &str, stale: &str) -> String {
    format!(
        "---\napiVersion: enforcer.dev/v1alpha1\nkind: Segment\nmetadata: {{name: {name}}}\n\
         spec: {{select: [{{labels: {{app: {app}}}}}], onStaleIdentity: {stale}}}\n"
    )
}

fn state(status: &Value) -> &str {
    status["sources"][0]["state"].as_str().unwrap()
}

pub(super) fn an_engine_that_is_killed_takes_nothing_along() {
    let mut world = world!();
    let mut docker = with_docker(&mut world, POLICY);
    docker.run("db", &["--label", "app=db"]).unwrap();
    docker.run("web", &["--label", "app=web"]).unwrap();
    docker.run("other", &["--label", "app=other"]).unwrap();
    let [inside_db, inside_web, inside_other] =
        ["db", "web", "other"].map(|name| docker.enter(&world, name).unwrap());
    let _server = inside_db.serve(&[Protocol::Tcp(PORT)]);
    let db = address(&docker, "db");
    for name in ["docker/db", "docker/web", "docker/other"] {
        wait_for(world.daemon(), name);
    }
    docker.kill_engine().unwrap();
    let status = world.daemon().wait_until("it is silent", |status| state(status) == "silent");
    assert!(status["sources"][0]["silent_since"].is_string() && status["sources"][0]["why"].is_string());
    assert!(opens(&inside_web, db), "what was known goes on");
    assert!(is_denied(&inside_other, db));
    docker.run_engine().unwrap();
    world.daemon().wait_until("it is heard again", |status| {
        state(status) == "heard" && is_enforced(status, "docker/web")
    });
    assert!(opens(&inside_web, db));
    assert!(is_denied(&inside_other, db));
    docker.run("late", &["--label", "app=web"]).unwrap();
    wait_for(world.daemon(), "docker/late");
    assert!(opens(&docker.enter(&world, "late").unwrap(), db));
}

pub(super) fn an_engine_that_comes_late_is_found() {
    let mut world = world!();
    let mut docker = Docker::absent(&world).unwrap();
    world.start_daemon(followed("docker", &docker.socket(), POLICY)).unwrap();
    world.daemon().wait_until("nobody is there", |status| state(status) == "silent");
    docker.run_engine().unwrap();
    docker.run("web", &["--label", "app=web"]).unwrap();
    let status = wait_for(world.daemon(), "docker/web");
    assert_eq!(state(&status), "heard");
}

pub(super) fn a_daemon_that_is_killed_finds_its_containers_again() {
    let mut world = world!();
    let mut docker = with_docker(&mut world, POLICY);
    docker.run("db", &["--label", "app=db"]).unwrap();
    docker.run("web", &["--label", "app=web"]).unwrap();
    docker.run("gone", &["--label", "app=web"]).unwrap();
    let [inside_db, inside_web, inside_gone] =
        ["db", "web", "gone"].map(|name| docker.enter(&world, name).unwrap());
    let _server = inside_db.serve(&[Protocol::Tcp(PORT)]);
    let db = address(&docker, "db");
    for name in ["docker/db", "docker/web", "docker/gone"] {
        wait_for(world.daemon(), name);
    }
    // What is known is kept within a second or two.
    let kept = world.dir().join("state/containers.json");
    let is_kept = || std::fs::read_to_string(&kept).is_ok_and(|text| text.contains("\"gone\""));
    let start = std::time::Instant::now();
    while !is_kept() {
        assert!(start.elapsed() < Duration::from_secs(30), "containers aren't kept");
        std::thread::sleep(Duration::from_millis(50));
    }
    world.daemon().kill().unwrap();
    assert!(opens(&inside_web, db), "nobody needs the daemon");
    docker.docker(&["rm", "--force", "gone"]).unwrap();
    docker.run("new", &["--label", "app=web"]).unwrap();
    // It comes back and can't ask: what still runs is known all the same, by what was kept.
    docker.kill_engine().unwrap();
    world.daemon().restart().unwrap();
    let status = world.daemon().wait_until("nobody is there", |status| state(status) == "silent");
    assert!(is_enforced(&status, "docker/web") && workload(&status, "docker/gone").is_none());
    assert!(opens(&inside_web, db));
    docker.run_engine().unwrap();
    wait_for(world.daemon(), "docker/new");
    assert!(opens(&docker.enter(&world, "new").unwrap(), db));
    drop(inside_gone);
}

pub(super) fn silence_freezes_and_closes_where_segments_say_so() {
    let mut world = world!();
    let flows = ["web -> db tcp/8080", "kept -> db tcp/8080"];
    let documents = enforcer_tests::policy("shop", "", &flows)
        + &segment("closing", "web", "close")
        + &segment("freezing", "db", "freeze");
    let mut docker = with_docker(&mut world, &documents);
    for name in ["db", "web", "kept"] {
        docker.run(name, &["--label", &format!("app={name}")]).unwrap();
        wait_for(world.daemon(), &format!("docker/{name}"));
    }
    let [inside_db, inside_web, inside_kept] =
        ["db", "web", "kept"].map(|name| docker.enter(&world, name).unwrap());
    let _server = inside_db.serve(&[Protocol::Tcp(PORT)]);
    let db = address(&docker, "db");
    assert!(opens(&inside_web, db) && opens(&inside_kept, db));

    docker.kill_engine().unwrap();
    let status = world.daemon().wait_until("it is closed", |status| {
        state(status) == "silent" && workload(status, "docker/web").is_none()
    });
    assert!(status["sources"][0]["refused"].to_string().contains("closes"), "{}", status["sources"][0]);
    assert!(is_denied(&inside_web, db), "close");
    assert!(opens(&inside_kept, db), "keep, and freeze at the other end");
    // Nothing new is admitted: a device that appears stays denied for as long as nobody can say whose it is.
    let stranger = world.workload("stranger", 40);
    let appeared = std::time::Instant::now();
    while appeared.elapsed() < Duration::from_secs(7) {
        std::thread::sleep(Duration::from_millis(500));
    }
    let status = world.daemon().status().unwrap();
    let held = status["unclaimed"].as_array().unwrap();
    assert!(held.iter().any(|one| one["name"] == stranger.interface()), "{held:?}");

    docker.run_engine().unwrap();
    wait_for(world.daemon(), "docker/web");
    assert!(opens(&inside_web, db));
    world.daemon().wait_until("nothing is held any more", |status| {
        status["unclaimed"].as_array().is_none_or(Vec::is_empty)
    });
}
