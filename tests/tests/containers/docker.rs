//! Docker's containers.

use std::time::Duration;

use enforcer_tests::{Probe, Protocol, policy, world};

use super::*;

/// Requests that a container sends as soon as it runs.
const SENT: u64 = 20;

pub(super) fn labels_make_the_identity() {
    let mut world = world!();
    let outside = world.workload("outside", 9);
    let template = "---\napiVersion: enforcer.dev/v1alpha1\nkind: Workload\nmetadata: {name: ledger}\n\
                    spec: {labels: {app: db, tier: data}, match: [{container: {labels: {com.example.role: ledger}}}]}\n";
    let docker = with_docker(&mut world, &format!("{POLICY}{template}{}", outside.document()));
    let db = docker.run("db", &["--label", "com.example.role=ledger", "--label", "app=web"]).unwrap();
    docker.run("web", &["--label", "app=web", "--label", "secret=1"]).unwrap();
    docker.run("other", &["--label", "app=other"]).unwrap();
    let daemon = world.daemon();
    for name in ["docker/db", "docker/web", "docker/other"] {
        wait_for(daemon, name);
    }
    let status = daemon.status().unwrap();
    let of = |name: &str| workload(&status, name).unwrap();
    assert_eq!(
        of("docker/db")["labels"],
        serde_json::json!({"app": "db", "tier": "data"}),
        "the document's alone"
    );
    assert_eq!(
        of("docker/web")["labels"],
        serde_json::json!({"app": "web", "image": "box:1", "name": "web"}),
        "of its own only what counts"
    );
    let addresses = serde_json::json!([address(&docker, "db"), address6(&docker, "db")]);
    assert_eq!(of("docker/db")["addresses"], addresses);
    assert_eq!(status["documents"]["Workload"], 2, "containers aren't documents");

    let [inside_db, inside_web, inside_other] =
        ["db", "web", "other"].map(|name| docker.enter(&world, name).unwrap());
    let _servers = [inside_db.serve(&[Protocol::Tcp(PORT)]), inside_other.serve(&[Protocol::Tcp(PORT)])];
    for v6 in [false, true] {
        let at = |name: &str| if v6 { address6(&docker, name) } else { address(&docker, name) };
        assert!(opens(&inside_web, at("db")), "v6: {v6}");
        assert!(is_denied(&inside_web, at("other")), "v6: {v6}");
        assert!(is_denied(&inside_other, at("db")), "v6: {v6}");
        assert!(is_denied(&outside, at("db")), "v6: {v6}");
    }
    assert!(db.len() == 64, "{db}");
}

/// A container's command sends from its first instant on. Where the rules allow it, everything of it passes: it is known before it runs.
pub(super) fn nothing_passes_before_a_container_is_known() {
    let mut world = world!();
    let outside = world.workload("outside", 9);
    let flows = ["web -> outside icmp/echo-request"];
    let docker = with_docker(&mut world, &(policy("out", "", &flows) + &outside.document()));
    // Where this engine puts cgroups is only known from the first container on.
    docker.run("first", &["--label", "app=first"]).unwrap();
    let daemon = world.daemon();
    wait_for(daemon, "docker/first");
    let ping = format!("ping -q -c {SENT} -i 0.05 -w 10 {}; sleep 600", outside.v4());
    docker.run_program("web", &["--label", "app=web"], &["sh", "-c", &ping]).unwrap();
    // Nobody sends them again: each that was denied would be missing. Both ends' hooks count, requests and replies.
    let passed = |status: &Value| status["rules"][0]["packets"].as_u64().unwrap();
    let status = daemon.wait_until("all have passed", |status| passed(status) >= 4 * SENT);
    assert_eq!(passed(&status), 4 * SENT);
    let status = daemon.wait_until("its start was timed", |status| {
        status["sources"][0]["deny_window"]["containers"] == 2 && is_enforced(status, "docker/web")
    });
    println!("denied until known: {}", status["sources"][0]["deny_window"]);

    // The same from one that no rule allows anything: not a packet arrives.
    docker.run_program("mute", &["--label", "app=mute"], &["sh", "-c", &ping]).unwrap();
    let denied = |status: &Value| {
        let reasons = status["reasons"].as_array().unwrap().iter();
        let of = reasons.filter(|one| one["reason"] == "no-rule" || one["reason"] == "unknown-workload");
        of.map(|one| one["packets"].as_u64().unwrap()).sum::<u64>()
    };
    let status = daemon.wait_until("all are denied", |status| denied(status) >= SENT);
    assert_eq!(passed(&status), 4 * SENT);
}

pub(super) fn an_address_given_away_takes_no_rights_along() {
    let mut world = world!();
    let docker = with_docker(&mut world, POLICY);
    docker.run("db", &["--label", "app=db"]).unwrap();
    docker.run("first", &["--label", "app=web"]).unwrap();
    let inside_db = docker.enter(&world, "db").unwrap();
    let _server = inside_db.serve(&[Protocol::Tcp(PORT)]);
    let (db, first) = (address(&docker, "db"), address(&docker, "first"));
    wait_for(world.daemon(), "docker/db");
    wait_for(world.daemon(), "docker/first");
    assert!(opens(&docker.enter(&world, "first").unwrap(), db));
    for round in 0..3 {
        let (gone, name) = (
            if round == 0 { "first".to_owned() } else { format!("next{}", round - 1) },
            format!("next{round}"),
        );
        // No pause between the end of the one and the start of the other, which sends at once.
        docker.docker(&["rm", "--force", &gone]).unwrap();
        docker.run(&name, &["--label", "app=other"]).unwrap();
        assert_eq!(address(&docker, &name), first, "the address is used again");
        let inside = docker.enter(&world, &name).unwrap();
        assert!(is_denied(&inside, db), "round {round}");
        wait_for(world.daemon(), &format!("docker/{name}"));
        assert!(is_denied(&inside, db), "round {round}");
    }
    // The same container again, with the same address and other labels: by its name, as `docker compose` does.
    docker.docker(&["rm", "--force", "next2"]).unwrap();
    docker.run("next2", &["--label", "app=web"]).unwrap();
    assert_eq!(address(&docker, "next2"), first);
    world.daemon().wait_until("it is web again", |status| {
        workload(status, "docker/next2").is_some_and(|one| one["labels"]["app"] == "web")
    });
    assert!(opens(&docker.enter(&world, "next2").unwrap(), db));
}

pub(super) fn another_network_is_another_device() {
    let mut world = world!();
    let docker = with_docker(&mut world, POLICY);
    docker.docker(&["network", "create", "--subnet", "10.89.0.0/24", "back"]).unwrap();
    docker.run("db", &["--label", "app=db", "--network", "back"]).unwrap();
    docker.run("web", &["--label", "app=web"]).unwrap();
    docker.docker(&["network", "connect", "back", "web"]).unwrap();
    let status = world.daemon().wait_until("both devices are judged", |status| {
        workload(status, "docker/web").is_some_and(|one| {
            let interfaces = one["interfaces"].as_array().unwrap();
            interfaces.len() == 2 && interfaces.iter().all(|one| one["attached"] == true)
        })
    });
    let addresses = workload(&status, "docker/web").unwrap()["addresses"].as_array().unwrap();
    assert!(addresses.iter().any(|at| at.as_str().unwrap().starts_with("10.89.0.")), "{addresses:?}");
    let db: IpAddr =
        docker.inspect("db", "{{.NetworkSettings.Networks.back.IPAddress}}").unwrap().parse().unwrap();
    let inside_db = docker.enter(&world, "db").unwrap();
    let _server = inside_db.serve(&[Protocol::Tcp(PORT)]);
    wait_for(world.daemon(), "docker/db");
    assert!(opens(&docker.enter(&world, "web").unwrap(), db));
    docker.docker(&["network", "disconnect", "back", "web"]).unwrap();
    world.daemon().wait_until("one device is left", |status| {
        workload(status, "docker/web").is_some_and(|one| one["interfaces"].as_array().unwrap().len() == 1)
    });
}

pub(super) fn on_the_hosts_network_there_is_no_device() {
    let mut world = world!();
    let docker = with_docker(&mut world, POLICY);
    docker.run("db", &["--label", "app=db"]).unwrap();
    docker.run("agent", &["--label", "app=web", "--network", "host"]).unwrap();
    docker.run("other", &["--label", "app=other", "--network", "host"]).unwrap();
    docker.run("pod", &["--label", "app=web"]).unwrap();
    docker.run("beside", &["--label", "app=beside", "--network", "container:pod"]).unwrap();
    let daemon = world.daemon();
    wait_for(daemon, "docker/pod");
    for name in ["docker/agent", "docker/other"] {
        let status = daemon.wait_until(name, |status| workload(status, name).is_some());
        let one = workload(&status, name).unwrap();
        let none = serde_json::json!([]);
        assert_eq!((&one["interfaces"], &one["addresses"]), (&none, &none), "{name}");
        assert_eq!(one["cgroups"].as_array().map(Vec::len), Some(1), "{name}");
    }
    daemon.wait_until("everybody is known", |status| status["sources"][0]["managed"] == 5);
    // Two on one network and behind one address, told apart by their cgroups.
    wait_for(daemon, "docker/db");
    let inside_db = docker.enter(&world, "db").unwrap();
    let _server = inside_db.serve(&[Protocol::Tcp(PORT)]);
    let ask = format!("echo hello | timeout 4 nc {} {PORT}", address(&docker, "db"));
    let says = |name: &str| docker.docker(&["exec", name, "sh", "-c", &ask]).unwrap_or_default();
    assert_eq!(says("agent"), "hello");
    assert_eq!(says("other"), "");
    // Inside a container's own network nobody is asked, whoever listens there.
    let own =
        "nc -l -p 9000 > /heard & sleep 1; echo hello | timeout 4 nc 127.0.0.1 9000; sleep 1; cat /heard";
    assert_eq!(docker.docker(&["exec", "pod", "sh", "-c", own]).unwrap(), "hello");
    let daemon = world.daemon();
    // Who joined a network leaves it to whoever it is.
    docker.docker(&["rm", "--force", "beside"]).unwrap();
    daemon.wait_until("it has gone", |status| status["sources"][0]["managed"] == 4);
    assert!(is_enforced(&daemon.status().unwrap(), "docker/pod"));
}

pub(super) fn what_is_written_by_hand_wins() {
    let mut world = world!();
    let peer = "---\napiVersion: enforcer.dev/v1alpha1\nkind: Workload\nmetadata: {name: peer}\n\
                spec: {labels: {app: peer}, addresses: [10.88.0.2]}\n";
    let docker = with_docker(&mut world, &format!("{POLICY}{peer}"));
    docker.run("web", &["--label", "app=web"]).unwrap();
    assert_eq!(address(&docker, "web").to_string(), "10.88.0.2");
    let daemon = world.daemon();
    let status = wait_for(daemon, "docker/web");
    let addresses = workload(&status, "docker/web").unwrap()["addresses"].as_array().unwrap();
    assert!(!addresses.contains(&"10.88.0.2".into()), "{addresses:?}");
    let refused = status["sources"][0]["refused"].to_string();
    assert!(refused.contains("10.88.0.2") && refused.contains("`peer`"), "{refused}");
    daemon.write_policy("policy.yaml", POLICY).unwrap();
    daemon.wait_until("the address is the container's", |status| {
        let web = workload(status, "docker/web").unwrap();
        web["addresses"].as_array().unwrap().contains(&"10.88.0.2".into())
    });
}

/// What isn't a container's is denied for a few seconds and then let go, as is a container without labels: at once.
pub(super) fn devices_of_nobody_are_let_go() {
    let mut world = world!();
    let _docker = with_docker(&mut world, POLICY);
    let stranger = world.workload("stranger", 40);
    let other = world.workload("other", 41);
    let ping = |timeout| Probe::new(&stranger, other.v4(), Protocol::Ping).timeout(timeout).run();
    let daemon = world.daemon();
    daemon.wait_until("they are held", |status| {
        status["unclaimed"].as_array().is_some_and(|all| all.len() == 2)
    });
    assert!(!ping(Duration::from_millis(300)).passed());
    daemon.wait_until("they are let go", |status| status["unclaimed"].as_array().is_none_or(Vec::is_empty));
    assert!((0..5).any(|_| ping(Duration::from_secs(2)).passed()));
}
