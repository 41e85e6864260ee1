//! What is tried of containers.

mod containerd;
mod docker;
mod silence;

use std::net::IpAddr;
use std::time::Duration;

use enforcer_tests::engines::Docker;
use enforcer_tests::{Daemon, DaemonOptions, Namespace, Probe, Protocol, World};
use serde_json::Value;

/// Every test by its name.
pub(super) const TESTS: &[(&str, fn())] = &[
    ("e66_labels_make_the_identity", docker::labels_make_the_identity),
    ("e70_nothing_passes_before_a_container_is_known", docker::nothing_passes_before_a_container_is_known),
    ("e64_an_address_given_away_takes_no_rights_along", docker::an_address_given_away_takes_no_rights_along),
    ("another_network_is_another_device", docker::another_network_is_another_device),
    ("on_the_hosts_network_there_is_no_device", docker::on_the_hosts_network_there_is_no_device),
    ("what_is_written_by_hand_wins", docker::what_is_written_by_hand_wins),
    ("devices_of_nobody_are_let_go", docker::devices_of_nobody_are_let_go),
    ("an_engine_that_is_killed_takes_nothing_along", silence::an_engine_that_is_killed_takes_nothing_along),
    ("an_engine_that_comes_late_is_found", silence::an_engine_that_comes_late_is_found),
    (
        "a_daemon_that_is_killed_finds_its_containers_again",
        silence::a_daemon_that_is_killed_finds_its_containers_again,
    ),
    (
        "silence_freezes_and_closes_where_segments_say_so",
        silence::silence_freezes_and_closes_where_segments_say_so,
    ),
    ("containerds_containers_are_workloads", containerd::containers_are_workloads),
];

/// Where containers listen.
const PORT: u16 = 8080;

/// web may open the port at db; everybody may ping everybody.
const POLICY: &str = "apiVersion: enforcer.dev/v1alpha1
kind: FlowPolicy
metadata: {name: shop}
spec:
  flows:
    - {from: [{labels: {app: web}}], to: [{labels: {app: db}}], ports: [tcp/8080]}
";

/// The daemon's settings with a source.
fn followed(kind: &str, socket: &std::path::Path, policy: &str) -> DaemonOptions {
    let sources = format!("{kind}: {{socket: {}, extraLabels: [image, name]}}", socket.display());
    let mut options = DaemonOptions::with_policy(policy);
    options.settings.push(("sources".to_owned(), serde_yaml::from_str(&sources).unwrap()));
    options.environment.push(("ENFORCER_LOG".to_owned(), "enforcer_agent::daemon=debug,info".to_owned()));
    options
}

/// Waits until the engine was heard and everything that it says is in force.
fn wait_until_heard(daemon: &Daemon) {
    daemon.wait_until("the engine is heard", |status| status["sources"][0]["state"] == "heard");
}

/// A workload as `status` describes it.
fn workload<'a>(status: &'a Value, name: &str) -> Option<&'a Value> {
    status["workloads"].as_array().unwrap().iter().find(|one| one["name"] == name)
}

/// Whether a container is a workload with a device that is judged.
fn is_enforced(status: &Value, name: &str) -> bool {
    workload(status, name).is_some_and(|one| one["interfaces"][0]["attached"] == true)
}

fn wait_for(daemon: &Daemon, name: &str) -> Value {
    daemon.wait_until(name, |status| is_enforced(status, name))
}

fn address(docker: &Docker, name: &str) -> IpAddr {
    docker.inspect(name, "{{.NetworkSettings.IPAddress}}").unwrap().parse().unwrap()
}

fn address6(docker: &Docker, name: &str) -> IpAddr {
    docker.inspect(name, "{{.NetworkSettings.GlobalIPv6Address}}").unwrap().parse().unwrap()
}

/// Whether a connection to the port succeeds. Where it should, a lost packet is sent again.
fn opens(from: &Namespace, to: IpAddr) -> bool {
    (0..3).any(|_| Probe::new(from, to, Protocol::Tcp(PORT)).timeout(Duration::from_secs(3)).run().passed())
}

/// Whether it fails, and in silence: nothing on the way says no.
fn is_denied(from: &Namespace, to: IpAddr) -> bool {
    Probe::new(from, to, Protocol::Tcp(PORT)).timeout(Duration::from_millis(400)).run().silent()
}

/// A daemon that follows a Docker engine on its host.
fn with_docker(world: &mut World, policy: &str) -> Docker {
    let docker = Docker::start(world).unwrap();
    world.start_daemon(followed("docker", &docker.socket(), policy)).unwrap();
    wait_until_heard(world.daemon());
    docker
}
