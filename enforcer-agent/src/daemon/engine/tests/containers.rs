//! Containers of engines that are only said to be there.

use super::{World, policy};
use crate::daemon::config::Settings;
use crate::daemon::engine::{Link, Message};
use crate::datapath::Datapath;
use crate::sources::{Container, Generation, Key, Kind, Network, Report, SourceSettings};
use enforcer_common::maps::Subject;
use std::fs;

/// A world whose daemon follows Docker.
fn followed() -> World {
    let mut world = World::new();
    world.settings = Some(Settings::default());
    if let Some(settings) = &mut world.settings {
        settings.sources.docker =
            Some(SourceSettings { socket: "/nowhere".into(), namespaces: None, extra_labels: Vec::new() });
    }
    world.write("30-policy.yaml", &policy("web-to-box", "web", "box"));
    world.start();
    world
}

fn container(name: &str, run: u64, address: &str) -> Container {
    Container {
        key: Key { kind: Kind::Docker, id: format!("id-{name}") },
        generation: Generation { ticks: run, serial: 0 },
        name: name.to_owned(),
        image: "shop:1".to_owned(),
        labels: [("app".to_owned(), name.to_owned()), ("env".to_owned(), "prod".to_owned())].into(),
        // Nobody has this id, nor had.
        pid: u32::MAX,
        network: Network::Own(run),
        cgroup: None,
        addresses: vec![address.parse().unwrap()],
        devices: vec![format!("veth{run}")],
        began: Some(0),
    }
}

fn runs(container: &Container) -> Message {
    Message::Discovered(Report::Runs(Box::new(container.clone())))
}

fn gone(container: &Container) -> Message {
    Message::Discovered(Report::Gone(container.key.clone(), container.generation))
}

fn device(run: u32) -> Message {
    Message::LinkUp(Link { ifindex: 100 + run, name: format!("veth{run}"), ethernet: true, abroad: true })
}

/// What the tables say of a container's device: hooked, and whose.
fn whose(world: &World, run: u32) -> (bool, Option<Subject>) {
    world.settle();
    world.kernel.look(|memory| {
        let hooked = memory.attached().unwrap().iter().any(|one| one.ifindex == 100 + run);
        (hooked, memory.subjects.get(&(100 + run)).copied())
    })
}

#[test]
fn a_container_is_a_workload_from_one_change_to_the_next() {
    let world = followed();
    let one = container("box", 1, "10.0.0.3");
    world.send(device(1));
    assert_eq!(whose(&world, 1), (true, None), "a device that may be a container's is denied");
    world.send(runs(&one));
    let (hooked, subject) = whose(&world, 1);
    assert!(hooked && subject.is_some());
    assert!(world.passes("web", "docker/box") && !world.passes("docker/box", "web"));
    let status = world.status();
    assert_eq!(status.documents["Workload"], 2, "it isn't a document");
    assert_eq!((status.sources[0].containers, status.sources[0].managed), (1, 1));
    assert_eq!(status.sources[0].deny_window.containers, 1);
    // As another container with the same address.
    let other = container("other", 2, "10.0.0.3");
    world.send(runs(&other));
    world.send(gone(&one));
    world.settle();
    let of = |name: &str| {
        world.status().workloads.iter().find(|one| one.name == name).map(|one| one.addresses.clone())
    };
    assert_eq!(of("docker/other"), Some(vec!["10.0.0.3".parse().unwrap()]));
    assert_eq!(of("docker/box"), None);
    assert!(!world.passes("web", "docker/other"));
}

#[test]
fn a_restart_of_the_engine_changes_nothing_and_many_containers_are_one_change() {
    let world = followed();
    let all: Vec<Container> =
        (1..=50).map(|run| container(&format!("c{run}"), run, &format!("10.1.0.{run}"))).collect();
    let before = world.kernel.look(|memory| memory.current());
    world.send(Message::Discovered(Report::Everything(Kind::Docker, all.clone())));
    assert_eq!(world.status().sources[0].managed, 50);
    let epoch = world.kernel.look(|memory| memory.current());
    assert_eq!(epoch, before.map(|epoch| epoch + 1));
    world.send(Message::Discovered(Report::Silent(Kind::Docker, "gone".to_owned())));
    let status = world.status();
    assert_eq!((status.sources[0].state.as_str(), status.sources[0].managed), ("silent", 50));
    world.send(Message::Discovered(Report::Everything(Kind::Docker, all)));
    assert_eq!(world.status().sources[0].state, "heard");
    assert_eq!(world.kernel.look(|memory| memory.current()), epoch);
}

#[test]
fn documents_that_change_give_containers_other_labels() {
    let world = followed();
    world.send(runs(&container("a", 1, "10.0.0.3")));
    assert!(!world.passes("web", "docker/a"));
    let template = |wanted: &str| {
        format!(
            "apiVersion: enforcer.dev/v1alpha1\nkind: Workload\nmetadata: {{name: box}}\n\
             spec: {{labels: {{app: box}}, match: [{{container: {{labels: {{{wanted}}}}}}}]}}\n"
        )
    };
    world.changed("40-box.yaml", &template("env: prod"));
    assert!(world.passes("web", "docker/a"));
    world.changed("40-box.yaml", &template("env: test"));
    assert!(!world.passes("web", "docker/a"));
    // A document that takes its address by hand.
    world.changed("50-peer.yaml", &super::workload("peer", "10.0.0.3"));
    assert!(world.status().workloads.iter().all(|one| one.name != "docker/a" || one.addresses.is_empty()));
    fs::remove_file(world.path("50-peer.yaml")).unwrap();
    world.send(Message::Files);
    let status = world.status();
    assert!(status.workloads.iter().any(|one| one.name == "docker/a" && one.addresses.len() == 1));
}

#[test]
fn what_isnt_managed_is_let_go_and_what_is_closed_is_held() {
    let world = followed();
    let mut plain = container("plain", 1, "10.0.0.3");
    plain.labels.clear();
    world.send(device(1));
    assert_eq!(whose(&world, 1), (true, None));
    world.send(runs(&plain));
    assert_eq!(whose(&world, 1), (false, None), "it has no label that counts");

    let segment = "apiVersion: enforcer.dev/v1alpha1\nkind: Segment\nmetadata: {name: s}\n\
                   spec: {select: [{labels: {app: box}}], onStaleIdentity: close}\n";
    world.changed("60-segment.yaml", segment);
    world.send(device(2));
    world.send(runs(&container("box", 2, "10.0.0.4")));
    assert!(whose(&world, 2).1.is_some());
    world.send(Message::Discovered(Report::Silent(Kind::Docker, "gone".to_owned())));
    assert_eq!(whose(&world, 2), (true, None), "closed: hooked, and nobody's");
    assert_eq!(world.status().sources[0].refused.len(), 1);
    let all = vec![plain, container("box", 2, "10.0.0.4")];
    world.send(Message::Discovered(Report::Everything(Kind::Docker, all)));
    assert!(whose(&world, 2).1.is_some());
}
