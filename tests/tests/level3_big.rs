//! Large sends: aggregated segments, jumbo frames, and paths narrower than their ends.

use std::io::{Read, Write};
use std::net::{IpAddr, Ipv6Addr, SocketAddr, TcpListener, TcpStream};
use std::thread;
use std::time::Duration;

use enforcer_tests::{
    Daemon, DaemonOptions, Probe, Protocol, Workload, World, documents, is_membership_talk, policy, world,
};

const LIMIT: Duration = Duration::from_secs(10);

fn ground(world: &mut World) -> (Workload, Workload) {
    let (web, checkout) = (world.workload("web", 10), world.workload("checkout", 20));
    let text = documents(
        &[&web, &checkout],
        &[policy("shop", "", &["web -> checkout tcp/443-444", "web -> checkout udp/8125"])],
    );
    world.start_daemon(DaemonOptions::with_policy(&text)).unwrap();
    (web, checkout)
}

/// Sends so much there and back over one connection, and holds that it comes as it was sent.
fn bulk(from: &Workload, to: &Workload, v6: bool, bytes: usize) {
    // A port for each family: the end of one connection isn't waited for.
    let port = if v6 { 444 } else { 443 };
    let listener = to.enter(|| TcpListener::bind((Ipv6Addr::UNSPECIFIED, port))).unwrap();
    let address: IpAddr = to.address(v6);
    let client = from
        .enter(|| TcpStream::connect_timeout(&SocketAddr::new(address, port), LIMIT))
        .unwrap_or_else(|error| panic!("cannot connect, v6={v6}: {error}"));
    let (server, _) = listener.accept().unwrap();
    let pattern: Vec<u8> = (0..bytes).map(|n| ((n / 7) ^ n) as u8).collect();
    for (mut sender, mut receiver) in [(&client, &server), (&server, &client)] {
        sender.set_write_timeout(Some(LIMIT)).unwrap();
        receiver.set_read_timeout(Some(LIMIT)).unwrap();
        let mut received = vec![0; bytes];
        thread::scope(|scope| {
            scope.spawn(|| sender.write_all(&pattern).unwrap());
            receiver.read_exact(&mut received).unwrap_or_else(|error| panic!("v6={v6}: {error}"));
        });
        assert!(received == pattern, "not what was sent, v6={v6}");
    }
}

/// Holds that nothing was denied but what kernels say of groups.
fn nothing_denied(daemon: &Daemon) {
    let mut denied = daemon.records().unwrap();
    denied.retain(|record| record["verdict"] != "allowed" && !is_membership_talk(record));
    assert!(denied.is_empty(), "{denied:#?}");
}

#[test]
fn e14_aggregated_segments_are_judged_as_one_packet_of_their_flow() {
    let mut world = world!();
    let (web, checkout) = ground(&mut world);
    const BYTES: usize = 8 << 20;
    for v6 in [false, true] {
        bulk(&web, &checkout, v6, BYTES);
    }
    nothing_denied(world.daemon());
    let status = world.daemon().status().unwrap();
    let rule = &status["rules"][0];
    let (packets, bytes) = (rule["packets"].as_u64().unwrap(), rule["bytes"].as_u64().unwrap());
    // Two families, both ways, two hooks.
    assert!(bytes >= 8 * BYTES as u64, "{rule}");
    assert!(bytes / packets > 1_514, "nothing was aggregated: {rule}");
}

#[test]
fn e14_jumbo_frames_pass() {
    let mut world = world!();
    let (web, checkout) = ground(&mut world);
    for workload in [&web, &checkout] {
        world.ip(&[&format!("link set {} mtu 9000", workload.interface())]).unwrap();
        let inside = workload.command("ip").args(["link", "set", "eth0", "mtu", "9000"]).status().unwrap();
        assert!(inside.success());
    }
    let _echo = checkout.serve(&[Protocol::Udp(8125)]);
    for v6 in [false, true] {
        let seen = Probe::new(&web, checkout.address(v6), Protocol::Udp(8125)).payload(8_900).run();
        assert!(seen.passed(), "v6={v6}: {seen}");
        bulk(&web, &checkout, v6, 1 << 20);
    }
    nothing_denied(world.daemon());
}

#[test]
fn e38_senders_learn_of_a_narrower_path() {
    let mut world = world!();
    let (web, checkout) = ground(&mut world);
    for workload in [&web, &checkout] {
        for address in [workload.v4(), workload.v6()] {
            let route = format!("route replace {address} dev {} mtu lock 1300", workload.interface());
            world.ip(&[&route]).unwrap();
        }
    }
    let _echo = checkout.serve(&[Protocol::Udp(8125)]);
    for v6 in [false, true] {
        bulk(&web, &checkout, v6, 1 << 20);
        // The first datagram may be the one that the sender learns from.
        let probe = Probe::new(&web, checkout.address(v6), Protocol::Udp(8125)).payload(1_400);
        let learnt = (0..4).any(|_| probe.run().passed());
        assert!(learnt, "v6={v6}");
        let routes =
            web.command("ip").args(["route", "get", &checkout.address(v6).to_string()]).output().unwrap();
        let routes = String::from_utf8_lossy(&routes.stdout).into_owned();
        assert!(routes.contains("mtu 1300"), "v6={v6}: {routes}");
    }
    nothing_denied(world.daemon());
}
