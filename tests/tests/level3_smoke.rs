//! The whole of it in little, for kernels that run under emulation (`cargo xtask test-kernels`): patient where something has to come
//! through, on one processor and on kernels that are slow.

use std::io::{ErrorKind, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use enforcer_tests::{DaemonOptions, Probe, Protocol, Workload, documents, policy, unit, world};

/// What has to come may take this long.
const PATIENCE: Duration = Duration::from_secs(10);
/// Whoever sends what is denied is told.
const TOLD: &str = "---\napiVersion: enforcer.dev/v1alpha1\nkind: Segment\nmetadata: {name: told}\n\
                    spec: {select: [{entity: workloads}], onDeny: reset}\n";
/// What must not come is waited for this long.
const SILENCE: Duration = Duration::from_millis(500);

fn reaches(from: &Workload, to: &Workload, v6: bool, protocol: Protocol) -> bool {
    reaches_address(from, to.address(v6), protocol)
}

fn reaches_address(from: &Workload, to: IpAddr, protocol: Protocol) -> bool {
    let start = Instant::now();
    let probe = Probe::new(from, to, protocol).timeout(Duration::from_secs(2));
    loop {
        if probe.run().passed() {
            return true;
        }
        if start.elapsed() > PATIENCE {
            return false;
        }
    }
}

/// What is tried: from whom, to whom, what.
type Attempt<'a> = (&'a Workload, &'a Workload, Protocol);

/// Tries everything at once, over both families, and panics unless all of it is met by silence.
#[track_caller]
fn all_silent(attempts: &[Attempt<'_>]) {
    let seen: Vec<_> = thread::scope(|scope| {
        let probe = |(from, to, protocol): Attempt<'_>, v6| {
            Probe::new(from, to.address(v6), protocol).timeout(SILENCE).run()
        };
        let running: Vec<_> = attempts
            .iter()
            .flat_map(|attempt| {
                [false, true].map(|v6| (attempt, v6, scope.spawn(move || probe(*attempt, v6))))
            })
            .collect();
        running.into_iter().map(|(attempt, v6, thread)| (attempt, v6, thread.join().unwrap())).collect()
    });
    for ((from, to, protocol), v6, seen) in seen {
        assert!(seen.silent(), "{protocol} {} -> {} (IPv6: {v6}): {seen}", from.name(), to.name());
    }
}

/// A connection to the echo server, which has to come about.
fn connect(from: &Workload, to: &Workload, port: u16) -> TcpStream {
    let address = SocketAddr::new(to.v4(), port);
    from.enter(|| TcpStream::connect_timeout(&address, PATIENCE)).unwrap()
}

/// Whether what is sent on an open connection comes back in time.
fn echoes(connection: &mut TcpStream, within: Duration) -> bool {
    let sent = b"does this still come back?";
    connection.set_read_timeout(Some(within)).unwrap();
    let mut received = [0; 26];
    connection.write_all(sent).unwrap();
    connection.read_exact(&mut received).is_ok() && received == *sent
}

#[test]
fn allowed_passes_denied_does_not_and_revoking_cuts_what_is_open_and_says_so_if_told() {
    let mut world = world!();
    let (web, db) = (world.workload("web", 10), world.workload("db", 20));
    let other = world.workload("other", 30);
    let open = [Protocol::Tcp(8080), Protocol::Udp(8125), Protocol::Ping];
    let closed = [Protocol::Tcp(9090), Protocol::Udp(9090)];
    let _servers = db.serve(&[open[0], open[1], closed[0], closed[1]]);
    for (from, v6) in [(&web, false), (&web, true), (&other, false), (&other, true)] {
        for protocol in [open[0], open[1], open[2], closed[0], closed[1]] {
            assert!(reaches(from, &db, v6, protocol), "{protocol} from {} without the enforcer", from.name());
        }
    }

    let workloads = documents(&[&web, &db, &other], &[]);
    let ports = "tcp/8080, udp/8125, icmp/echo-request, icmpv6/echo-request";
    let shop = policy("shop", "", &["web -> db any"]).replace("[any]", &format!("[{ports}]"));
    let start = Instant::now();
    let daemon = world.start_daemon(DaemonOptions::with_policy(&workloads)).unwrap();
    println!("ready after {:.1?}", start.elapsed());
    daemon.write_policy("shop.yaml", &shop).unwrap();
    let status = daemon.wait_until("the rule is in force", |status| {
        status["rules"].as_array().is_some_and(|rules| !rules.is_empty())
    });
    let hooks: Vec<_> = status["workloads"]
        .as_array()
        .unwrap()
        .iter()
        .map(|workload| workload["interfaces"][0]["hook"].as_str().unwrap_or("nothing").to_owned())
        .collect();
    assert!(hooks.iter().all(|hook| hook == "tcx") || hooks.iter().all(|hook| hook == "clsact"), "{status}");
    println!("attached by {}", hooks[0]);

    for v6 in [false, true] {
        for protocol in open {
            assert!(reaches(&web, &db, v6, protocol), "{protocol} is allowed");
        }
    }
    let denied: Vec<_> = open
        .into_iter()
        .flat_map(|protocol| [(&other, &db, protocol), (&db, &web, protocol)])
        .chain(closed.map(|protocol| (&web, &db, protocol)))
        .collect();
    all_silent(&denied);

    let mut connection = connect(&web, &db, 8080);
    assert!(echoes(&mut connection, PATIENCE));
    // What is enforced doesn't need the daemon.
    let daemon = world.daemon();
    daemon.kill().unwrap();
    assert!(echoes(&mut connection, PATIENCE), "the daemon has gone, the connection hasn't");
    // Its programs haven't either.
    all_silent(&denied);
    let start = Instant::now();
    daemon.restart().unwrap();
    println!("back after {:.1?}", start.elapsed());
    assert!(echoes(&mut connection, PATIENCE), "the daemon is back");

    daemon.remove_policy("shop.yaml").unwrap();
    daemon.wait_until("the rule has gone", |status| status["rules"].as_array().is_some_and(Vec::is_empty));
    assert!(!echoes(&mut connection, SILENCE), "a revoked rule stops open connections");
    all_silent(&open.map(|protocol| (&web, &db, protocol)));

    // The same again where who is cut off is to be told.
    daemon.write_policy("told.yaml", TOLD).unwrap();
    daemon.write_policy("shop.yaml", &shop).unwrap();
    daemon.wait_until("the rule is back", |status| {
        status["rules"].as_array().is_some_and(|rules| !rules.is_empty())
    });
    let mut connection = connect(&web, &db, 8080);
    assert!(echoes(&mut connection, PATIENCE));
    daemon.remove_policy("shop.yaml").unwrap();
    daemon.wait_until("the rule has gone", |status| status["rules"].as_array().is_some_and(Vec::is_empty));
    connection.set_read_timeout(Some(PATIENCE)).unwrap();
    // Where it was told before it sends again, that fails.
    let sent = connection.write_all(b"anybody there?");
    let cut = sent.and_then(|()| connection.read_exact(&mut [0])).expect_err("it was cut");
    assert_eq!(cut.kind(), ErrorKind::ConnectionReset, "{cut}");
    let refused = web.enter(|| TcpStream::connect_timeout(&SocketAddr::new(db.v4(), 8080), PATIENCE));
    assert_eq!(refused.expect_err("the rule has gone").kind(), ErrorKind::ConnectionRefused);
}

#[test]
fn a_service_of_the_host_is_known_at_a_devices_hook() {
    let mut world = world!();
    let web = world.workload("web", 10);
    let mut services = ["db", "other"].map(|name| world.resident(&format!("system.slice/{name}.service")));
    let gateways = [false, true].map(|v6| world.gateway(v6));
    let mut serve = |ports: [u16; 2]| {
        for (service, port) in services.iter_mut().zip(ports) {
            gateways.iter().for_each(|gateway| service.serve(SocketAddr::new(*gateway, port)));
        }
    };
    let text = documents(&[&web], &[unit("db"), unit("other"), policy("rule", "", &["web -> db any"])]);
    // Some are older than the daemon, some come later.
    serve([5000, 6000]);
    world.start_daemon(DaemonOptions::with_policy(&text)).unwrap();
    let status = world.daemon().status().unwrap();
    if let Some(why) = status["sockets"]["error"].as_str() {
        // Older kernels hold no services, and say so.
        assert!(why.contains("Linux 5.15"), "{why}");
        return;
    }
    serve([5001, 6001]);
    for (gateway, port) in gateways.iter().flat_map(|gateway| [(gateway, 5000), (gateway, 5001)]) {
        for protocol in [Protocol::Tcp(port), Protocol::Udp(port)] {
            assert!(reaches_address(&web, *gateway, protocol), "{protocol} at {gateway} is db's");
        }
        for protocol in [Protocol::Tcp(port + 1000), Protocol::Udp(port + 1000)] {
            let seen = Probe::new(&web, *gateway, protocol).timeout(SILENCE).run();
            assert!(seen.silent(), "{protocol} at {gateway} is somebody else's: {seen}");
        }
    }
}
