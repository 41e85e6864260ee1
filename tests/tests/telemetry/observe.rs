//! Observers with filters: they see what they ask for, and are told of everything that nobody could see.

use std::collections::BTreeMap;
use std::net::{TcpStream, UdpSocket};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use enforcer_tests::{Workload, World, world};
use serde_json::Value;

use super::records::{Observer, noise, wait};
use super::{ALLOWED, FORBIDDEN, PATIENCE, scraped_when, send, shop, sum};

const BURST: u64 = 50_000;

/// Records that the daemon remembers, each with how often it does.
type Records = BTreeMap<String, u64>;

fn records(world: &mut World, filter: &[&str]) -> Records {
    let output = world.daemon().enforcer(&[&["observe", "-o", "jsonl"], filter].concat()).unwrap();
    assert_eq!(output.code, Some(0), "{filter:?}: {}", output.stderr);
    let mut records = Records::new();
    for line in output.stdout.lines() {
        *records.entry(line.to_owned()).or_default() += 1;
    }
    records
}

fn read(record: &str) -> Value {
    serde_json::from_str(record).unwrap()
}

/// Both families, two protocols, what is allowed and what isn't.
fn traffic(web: &Workload, db: &Workload) {
    for v6 in [false, true] {
        let (from, to) = (web.address(v6), db.address(v6));
        let _taker = db.enter(|| UdpSocket::bind((to, ALLOWED))).unwrap();
        for port in [ALLOWED, FORBIDDEN] {
            let socket = web.enter(|| UdpSocket::bind((from, 0))).unwrap();
            socket.send_to(&[0; 100], (to, port)).unwrap();
        }
        let limit = Duration::from_millis(100);
        web.enter(|| TcpStream::connect_timeout(&(to, FORBIDDEN).into(), limit)).unwrap_err();
        // And the other way.
        let socket = db.enter(|| UdpSocket::bind((to, 0))).unwrap();
        socket.send_to(&[0; 100], (from, ALLOWED)).unwrap();
    }
}

/// A filter, and the same said of a record.
type Case<'a> = (&'a [&'a str], &'a dyn Fn(&Value) -> bool);

pub(crate) fn observers_see_what_they_ask_for() {
    let mut world = world!();
    let (web, db) = shop(&mut world, &[]);
    traffic(&web, &db);
    // Four datagrams and two SYNs denied, two datagrams allowed at two hooks.
    let is = |record: &Value, verdict: &str| record["verdict"] == verdict;
    let count = |records: &Records, verdict: &str| -> u64 {
        let of_it = records.iter().filter(|(record, _)| is(&read(record), verdict));
        of_it.map(|(_, times)| times).sum()
    };
    wait("everything is remembered", || {
        let all = records(&mut world, &[]);
        count(&all, "denied") >= 6 && count(&all, "allowed") >= 4
    });
    let before = records(&mut world, &[]);
    let ends = |record: &Value, test: &dyn Fn(&Value) -> bool| {
        test(&record["source"]) || test(&record["destination"])
    };
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let v6 = |end: &Value| text(&end["ip"]).contains(':');
    let (db4, db6) = (db.v4().to_string(), db.v6().to_string());
    let to_port = |record: &Value, protocol: &str, port: u16| {
        record["protocol"] == protocol && ends(record, &|end| end["port"] == port)
    };
    let cases: &[Case<'_>] = &[
        (&["--verdict", "denied"], &|one| is(one, "denied")),
        (&["--not", "--verdict", "denied"], &|one| !is(one, "denied")),
        (&["--verdict", "denied", "--port", "tcp"], &|one| is(one, "denied") && one["protocol"] == "tcp"),
        (&["--port", "udp/8125", "--port", "tcp/8126"], &|one| {
            to_port(one, "udp", 8125) || to_port(one, "tcp", 8126)
        }),
        (&["--not", "--port", "udp/8125", "--not", "--port", "tcp/8126"], &|one| {
            !to_port(one, "udp", 8125) && !to_port(one, "tcp", 8126)
        }),
        (&["--port", "8126"], &|one| ends(one, &|end| end["port"] == FORBIDDEN)),
        (&["--from", "app=web"], &|one| one["source"]["labels"]["app"] == "web"),
        (&["--not", "--to", "workload/web"], &|one| one["destination"]["workload"] != "web"),
        (&["--identity", "app=web", "--direction", "ingress"], &|one| {
            one["direction"] == "ingress" && ends(one, &|end| end["labels"]["app"] == "web")
        }),
        (&["--cidr", "::/0"], &|one| ends(one, &v6)),
        (&["--identity", &db6, "--port", "udp"], &|one| {
            one["protocol"] == "udp" && ends(one, &|end| end["ip"] == *db6)
        }),
        (&["--to", &db4, "--verdict", "allowed"], &|one| {
            is(one, "allowed") && one["destination"]["ip"] == *db4
        }),
        (&["--rule", "shop"], &|one| one["cause"]["rule"] == "shop#0"),
        (&["--workload", "db", "--reason", "no-rule"], &|one| {
            one["cause"]["reason"] == "no-rule" && ends(one, &|end| end["workload"] == "db")
        }),
    ];
    for (filter, wanted) in cases {
        let seen = records(&mut world, filter);
        for record in seen.keys() {
            assert!(wanted(&read(record)), "{filter:?} shows {record}");
        }
        // Neighbour discovery goes on meanwhile: what is new isn't compared.
        let mut expected = 0;
        for (record, times) in &before {
            let due = if wanted(&read(record)) { *times } else { 0 };
            expected += due;
            assert!(seen.get(record).copied().unwrap_or(0) >= due, "{filter:?} hides {record}");
        }
        let all: u64 = before.values().sum();
        assert!(expected < all, "{filter:?} leaves nothing out");
        assert!(expected > 0, "{filter:?} shows nothing");
    }
    let nobody = ["--reason", "no-rule", "--not", "--workload", "db", "--not", "--workload", "web"];
    assert_eq!(records(&mut world, &nobody), Records::new());
}

pub(crate) fn a_filter_hides_no_loss() {
    let mut world = world!();
    let (web, db) = shop(&mut world, &[]);
    let port = format!("udp/{FORBIDDEN}");
    let everything = Observer::of(&mut world, &[]);
    let burst = Observer::of(&mut world, &["--port", &port, "--verdict", "denied"]);
    let the_rest = Observer::of(&mut world, &["--not", "--port", &port]);
    let nothing = Observer::of(&mut world, &["--port", "udp/1"]);
    send(&web, &db, ALLOWED, 10);
    wait("those who want it see it", || everything.told().others > 0 && the_rest.told().others > 0);
    send(&web, &db, FORBIDDEN, BURST);
    let page = scraped_when(world.host(), "the burst", |page| {
        sum(page, "enforcer_policy_verdicts_total", &["verdict=\"denied\"", "reason=\"no-rule\""]) >= BURST
    });
    let left_out = sum(&page, "enforcer_event_records_lost_total", &["stage=\"suppressed\""]);
    let no_room = sum(&page, "enforcer_event_records_lost_total", &["stage=\"ring\""]);
    assert!(left_out > 0, "it was no burst:\n{page}");
    for observer in [&everything, &burst] {
        wait("the burst is told of", || observer.told().told_of() >= BURST);
    }
    for observer in [&the_rest, &nothing] {
        wait("what is missing is told of", || observer.told().suppressed >= left_out);
    }
    let told = [&everything, &burst, &the_rest, &nothing].map(Observer::told);
    println!("left out: {left_out}, no room: {no_room}; {told:?}");
    let [everything, burst, the_rest, nothing] = told;
    let all = BURST..=BURST + noise(&page);
    for one in [&everything, &burst] {
        assert!(all.contains(&one.told_of()) && one.suppressed == left_out, "{one:?} of {all:?}");
    }
    assert_eq!(everything.denied, burst.denied);
    assert_eq!(burst.others, 0);
    assert_eq!((the_rest.denied, the_rest.suppressed), (0, left_out));
    assert!(the_rest.others > 0 && the_rest.lost >= no_room);
    assert_eq!((nothing.denied, nothing.others, nothing.suppressed), (0, 0, left_out));
}

/// More than there are places for.
const OBSERVERS: usize = 20;

pub(crate) fn observers_that_have_gone_leave_their_places() {
    let mut world = world!();
    let (web, db) = shop(&mut world, &[]);
    let start = |world: &mut World| -> Child {
        let mut command = world.daemon().command(&["observe", "-f", "--port", "udp/1"]);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
    };
    let mut observers: Vec<Child> = (0..OBSERVERS).map(|_| start(&mut world)).collect();
    let refused =
        |observers: &mut [Child]| observers.iter_mut().filter_map(|one| one.try_wait().unwrap()).count();
    wait("all places are taken", || refused(&mut observers) == OBSERVERS - 16);
    let observe = |world: &mut World| world.daemon().enforcer(&["observe"]).unwrap();
    let output = observe(&mut world);
    assert_eq!((output.code, output.stderr.trim()), (Some(2), "error: there are too many observers already"));
    for observer in &mut observers {
        observer.kill().unwrap();
        observer.wait().unwrap();
    }
    // Records that they didn't want go on coming, closer together than the daemon looks after observers.
    let deadline = Instant::now() + PATIENCE;
    loop {
        for _ in 0..10 {
            send(&web, &db, FORBIDDEN, 1);
            std::thread::sleep(Duration::from_millis(50));
        }
        let output = observe(&mut world);
        if output.code == Some(0) {
            break;
        }
        assert!(Instant::now() < deadline, "{}", output.stderr);
    }
}
