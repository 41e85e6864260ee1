//! Who may use the control socket, also where somebody changed its mode.

use std::fs::{self, Permissions};
use std::io::{ErrorKind, Read, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use enforcer_tests::{DaemonOptions, Probe, Protocol, documents, policy, world};
use rustix::fs::{Gid, Uid};
use rustix::thread::{set_thread_groups, set_thread_res_gid, set_thread_res_uid};

const ROOT: Uid = Uid::ROOT;
const NOBODY: u32 = 65_534;
const PATIENCE: Duration = Duration::from_secs(10);

/// What the daemon answers a request from this user, or why it can't be asked.
fn answer(socket: &Path, user: Uid) -> Result<String, ErrorKind> {
    answer_of(socket, user, &[])
}

/// The same for a user who is in these groups and no others.
fn answer_of(socket: &Path, user: Uid, groups: &[u32]) -> Result<String, ErrorKind> {
    let groups: Vec<Gid> = groups.iter().map(|group| Gid::from_raw(*group)).collect();
    // The user is this thread's alone, and ends with it.
    let ask = || {
        if user != ROOT {
            let own = Gid::from_raw(NOBODY);
            set_thread_groups(&groups).unwrap();
            set_thread_res_gid(own, own, own).unwrap();
        }
        set_thread_res_uid(user, user, user).unwrap();
        let mut stream = UnixStream::connect(socket).map_err(|error| error.kind())?;
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        // Who is hung up on may be so before all of it is written.
        let _ = stream.write_all(b"GET /v1/status HTTP/1.1\r\nhost: x\r\n\r\n");
        let mut heard = String::new();
        match stream.read_to_string(&mut heard) {
            Err(error) if error.kind() != ErrorKind::ConnectionReset => {
                panic!("it isn't hung up on: {error}")
            }
            _ => Ok(heard),
        }
    };
    thread::scope(|scope| scope.spawn(ask).join().unwrap())
}

#[test]
fn only_root_is_answered_even_where_the_socket_is_open_to_all() {
    let mut world = world!();
    let daemon = world.start_daemon(DaemonOptions::default()).unwrap();
    let socket = daemon.socket();
    assert_eq!(
        answer(&socket, Uid::from_raw(NOBODY)),
        Err(ErrorKind::PermissionDenied),
        "the mode keeps others out"
    );
    fs::set_permissions(&socket, Permissions::from_mode(0o666)).unwrap();
    let refused = "refused a client of the control socket";
    assert!(!daemon.log_tail(usize::MAX).contains(refused));
    assert_eq!(answer(&socket, Uid::from_raw(NOBODY)), Ok(String::new()), "not one byte");
    assert!(daemon.log_tail(usize::MAX).contains(refused), "{}", daemon.log_tail(20));
    let told = answer(&socket, ROOT).unwrap();
    assert!(told.starts_with("HTTP/1.1 200") && told.contains("enforcer.status/v1"), "{told}");
}

/// A group that nobody is in.
const GROUP: u32 = 471_147;

#[test]
fn a_group_may_use_it_and_only_its_members() {
    let mut world = world!();
    let settings = vec![("socketGroup".to_owned(), GROUP.into())];
    let daemon = world.start_daemon(DaemonOptions { settings, ..DaemonOptions::default() }).unwrap();
    let socket = daemon.socket();
    let found = fs::metadata(&socket).unwrap();
    assert_eq!((found.permissions().mode() & 0o777, found.gid()), (0o660, GROUP));
    let nobody = Uid::from_raw(NOBODY);
    let told = answer_of(&socket, nobody, &[7, GROUP]).unwrap();
    assert!(told.starts_with("HTTP/1.1 200"), "{told}");
    assert_eq!(answer_of(&socket, nobody, &[7]), Err(ErrorKind::PermissionDenied));
    fs::set_permissions(&socket, Permissions::from_mode(0o666)).unwrap();
    assert_eq!(answer_of(&socket, nobody, &[7]), Ok(String::new()), "not one byte");
    assert!(answer(&socket, ROOT).unwrap().starts_with("HTTP/1.1 200"));
}

#[test]
fn a_group_that_is_not_there_is_told_and_keeps_nothing_from_being_enforced() {
    let mut world = world!();
    let settings = vec![("socketGroup".to_owned(), "nobody-is-in-it".into())];
    let daemon = world.start_daemon(DaemonOptions { settings, ..DaemonOptions::default() }).unwrap();
    assert_eq!(fs::metadata(daemon.socket()).unwrap().permissions().mode() & 0o777, 0o600);
    let status = daemon.status().unwrap();
    assert!(status["warnings"].to_string().contains("there is no group `nobody-is-in-it`"), "{status:#}");
}

/// Says something and then nothing more, for as long as it lives.
fn half_open(socket: &Path, text: &str) -> UnixStream {
    let mut stream = UnixStream::connect(socket).unwrap();
    stream.write_all(text.as_bytes()).unwrap();
    stream
}

#[test]
fn clients_that_are_slow_half_open_or_flood_delay_no_change() {
    let mut world = world!();
    let (web, checkout) = (world.workload("web", 10), world.workload("checkout", 20));
    let _echo = checkout.serve(&[Protocol::Tcp(443)]);
    let text = |rules: &[&str]| documents(&[&web, &checkout], &[policy("shop", "", rules)]);
    world.start_daemon(DaemonOptions::with_policy(&text(&["web -> checkout tcp/80"]))).unwrap();
    let socket = world.daemon().socket();
    let mut held = Vec::new();
    for _ in 0..12 {
        held.push(half_open(&socket, "GET /v1/st"));
        held.push(half_open(
            &socket,
            "POST /v1/apply HTTP/1.1\r\nhost: x\r\ncontent-length: 1000000\r\n\r\n{",
        ));
        // Observers that read nothing.
        held.push(half_open(&socket, "GET /v1/observe?follow=true HTTP/1.1\r\nhost: x\r\n\r\n"));
    }
    let over = AtomicBool::new(false);
    let flood = || {
        let mut count = 0_u32;
        while !over.load(Ordering::Relaxed) {
            // Where there is no more room it is hung up on, which is an answer too.
            if let Ok(mut stream) = UnixStream::connect(&socket) {
                let _ = stream.write_all(b"GET /v1/status HTTP/1.1\r\nhost: x\r\n\r\n");
                let _ = stream.read(&mut [0; 64]);
                count += 1;
            }
        }
        count
    };
    let passes = || {
        Probe::new(&web, checkout.v4(), Protocol::Tcp(443)).timeout(Duration::from_millis(300)).run().passed()
    };
    assert!(!passes());
    thread::scope(|scope| {
        let floods = [(); 4].map(|()| scope.spawn(flood));
        thread::sleep(Duration::from_millis(300));
        let start = Instant::now();
        world.daemon().write_policy("policy.yaml", &text(&["web -> checkout tcp/443"])).unwrap();
        while !passes() && start.elapsed() < PATIENCE {}
        let took = start.elapsed();
        over.store(true, Ordering::Relaxed);
        let asked: u32 = floods.map(|flood| flood.join().unwrap()).iter().sum();
        println!("in force after {took:?}, beside {} held connections and {asked} requests", held.len());
        assert!(took < PATIENCE && asked > 10, "{took:?}, {asked} requests");
    });
    drop(held);
    assert_eq!(world.daemon().status().unwrap()["state"], "enforcing");
}
