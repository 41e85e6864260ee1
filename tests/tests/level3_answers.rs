//! Segments whose denied packets are answered: who is told, and what those ends see.

use std::io::{ErrorKind, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::time::{Duration, Instant};

use enforcer_tests::{Daemon, DaemonOptions, Namespace, Workload, World, documents, policy, world};
use serde_json::Value;

const PATIENCE: Duration = Duration::from_secs(5);
const SEGMENT: &str = "---\napiVersion: enforcer.dev/v1alpha1\nkind: Segment\nmetadata: {name: told}\n\
                       spec: {select: [{entity: workloads}], onDeny: reset}\n";

/// Web may reach checkout on 443, in a file of its own; everybody is told of what is denied.
fn ground(world: &mut World) -> (Workload, Workload) {
    let (web, checkout) = (world.workload("web", 10), world.workload("checkout", 20));
    let text = documents(&[&web, &checkout], &[SEGMENT.to_owned()]);
    world.start_daemon(DaemonOptions::with_policy(&text)).unwrap();
    allow(world);
    (web, checkout)
}

/// Waits until what `change` does to the policy files is in force.
fn applied(world: &mut World, change: impl FnOnce(&Daemon)) {
    let daemon = world.daemon();
    let epoch = |status: &Value| status["epoch"].as_u64().unwrap();
    let before = epoch(&daemon.status().unwrap());
    change(daemon);
    daemon.wait_until("another epoch", |status| epoch(status) > before);
}

fn allow(world: &mut World) {
    let rule = policy("shop", "", &["web -> checkout tcp/443"]);
    applied(world, |daemon| daemon.write_policy("50-rule.yaml", &rule).unwrap());
}

/// How an attempt to connect ends, and after how long.
fn refused(from: &Namespace, to: IpAddr, port: u16) -> (ErrorKind, Duration) {
    let start = Instant::now();
    let outcome = from.enter(|| TcpStream::connect_timeout(&SocketAddr::new(to, port), PATIENCE));
    (outcome.expect_err("it was let through").kind(), start.elapsed())
}

#[test]
fn who_may_not_connect_is_told_at_once() {
    let mut world = world!();
    let (web, checkout) = ground(&mut world);
    for to in [checkout.v4(), checkout.v6()] {
        let _listener = checkout.enter(|| TcpListener::bind(SocketAddr::new(to, 444))).unwrap();
        // Denied where it leaves web; and, from a host whose own hook doesn't exist, where it would enter checkout.
        for from in [web.namespace(), world.host()] {
            let (kind, took) = refused(from, to, 444);
            assert_eq!(kind, ErrorKind::ConnectionRefused, "{to} after {took:?}");
        }
    }
}

#[test]
fn who_may_not_send_datagrams_is_told_at_once() {
    let mut world = world!();
    let (web, checkout) = ground(&mut world);
    for (to, any) in [(checkout.v4(), "0.0.0.0:0"), (checkout.v6(), "[::]:0")] {
        for from in [web.namespace(), world.host()] {
            let error = from.enter(|| {
                let socket = UdpSocket::bind(any).unwrap();
                socket.connect(SocketAddr::new(to, 53)).unwrap();
                socket.set_read_timeout(Some(PATIENCE)).unwrap();
                socket.send(&[7; 900]).unwrap();
                socket.recv(&mut [0; 16]).unwrap_err()
            });
            // "Administratively prohibited", as Linux tells sockets of it.
            let expected =
                if to.is_ipv4() { ErrorKind::HostUnreachable } else { ErrorKind::PermissionDenied };
            assert_eq!(error.kind(), expected, "{to}: {error}");
        }
    }
}

#[test]
fn e53_both_ends_of_a_connection_that_is_cut_are_told_also_the_one_that_only_listens() {
    let mut world = world!();
    let (web, checkout) = ground(&mut world);
    for to in [checkout.v4(), checkout.v6()] {
        let at = SocketAddr::new(to, 443);
        let listener = checkout.enter(|| TcpListener::bind(at)).unwrap();
        let mut client = web.enter(|| TcpStream::connect_timeout(&at, PATIENCE)).unwrap();
        let (mut server, _) = listener.accept().unwrap();
        for stream in [&client, &server] {
            stream.set_read_timeout(Some(PATIENCE)).unwrap();
        }
        client.write_all(b"a").unwrap();
        server.read_exact(&mut [0]).unwrap();
        applied(&mut world, |daemon| daemon.remove_policy("50-rule.yaml").unwrap());
        client.write_all(b"b").unwrap();
        assert_eq!(client.read(&mut [0]).unwrap_err().kind(), ErrorKind::ConnectionReset, "the client, {to}");
        assert_eq!(server.read(&mut [0]).unwrap_err().kind(), ErrorKind::ConnectionReset, "the server, {to}");
        allow(&mut world);
    }
}
