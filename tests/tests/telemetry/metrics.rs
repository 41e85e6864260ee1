//! Metrics.

use std::io::Write;
use std::net::{SocketAddr, TcpStream};
use std::process::{Command, Stdio};

use enforcer_tests::{Protocol, world};
use serde_json::Value;

use super::records::wait;
use super::{ALLOWED, FORBIDDEN, METRICS, scrape, scraped_when, send, shop, sum};

/// A datagram of 100 bytes with its headers.
const FRAME: u64 = 14 + 20 + 8 + 100;

pub(crate) fn the_page_says_what_happened() {
    let mut world = world!();
    let (web, db) = shop(&mut world, &[]);
    send(&web, &db, ALLOWED, 30);
    send(&web, &db, FORBIDDEN, 20);
    let denied = ["verdict=\"denied\"", "reason=\"no-rule\"", "direction=\"egress\"", "mode=\"enforce\""];
    let page = scraped_when(world.host(), "what was sent", |page| {
        sum(page, "enforcer_policy_verdicts_total", &denied) == 20
            && sum(page, "enforcer_rule_packets_total", &["rule=\"shop#0\""]) == 60
    });
    assert_eq!(sum(&page, "enforcer_policy_verdict_bytes_total", &denied), 20 * FRAME);
    for direction in ["direction=\"egress\"", "direction=\"ingress\""] {
        let allowed = ["verdict=\"allowed\"", "reason=\"rule\"", direction];
        assert_eq!(sum(&page, "enforcer_policy_verdicts_total", &allowed), 30, "{page}");
    }
    // One at each hook.
    assert_eq!(sum(&page, "enforcer_rule_flows_total", &["rule=\"shop#0\""]), 2);
    // Neighbour discovery and the like are records too.
    let made = sum(&page, "enforcer_event_records_total", &[]);
    let sent = sum(&page, "enforcer_event_records_sent_total", &[]);
    assert!(made == sent && sent >= 22, "{page}");
    for device in [web.interface(), db.interface()] {
        for name in ["enforcer_hook_attached", "enforcer_hook_reachable"] {
            assert_eq!(sum(&page, name, &[&format!("interface=\"{device}\"")]), 2, "{page}");
        }
    }
    assert_eq!(sum(&page, "enforcer_documents", &["kind=\"Workload\""]), 2);
    assert!(sum(&page, "enforcer_apply_duration_seconds_count", &[]) >= 1);
    assert!(sum(&page, "process_resident_memory_bytes", &[]) > 1 << 20);
    assert_eq!(sum(&page, "enforcer_map_capacity", &["map=\"flows4\""]), 262_144);
    assert_eq!(sum(&page, "enforcer_tamper_events_total", &["damage=\"hook-removed\""]), 0);
}

pub(crate) fn prometheus_takes_the_page() {
    let mut world = world!();
    let (web, db) = shop(&mut world, &[]);
    send(&web, &db, ALLOWED, 3);
    let page = scraped_when(world.host(), "a rule", |page| page.contains("enforcer_rule_packets_total{"));
    let mut promtool = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    promtool.stdin.take().unwrap().write_all(page.as_bytes()).unwrap();
    let said = promtool.wait_with_output().unwrap();
    let text = [said.stdout, said.stderr].map(|text| String::from_utf8_lossy(&text).into_owned()).concat();
    assert!(said.status.success() && text.trim().is_empty(), "{text}\n{page}");
}

pub(crate) fn scrapers_that_hang_delay_nothing() {
    let mut world = world!();
    let (web, db) = shop(&mut world, &[]);
    let hang = || {
        let mut stream = TcpStream::connect(METRICS).unwrap();
        stream.write_all(b"GET /metrics HTTP/1.1\r\nho").unwrap();
        stream
    };
    // More than there are places.
    let hanging: Vec<TcpStream> = (0..40).map(|_| world.host().enter(hang)).collect();
    send(&web, &db, ALLOWED, 5);
    let page = scrape(world.host());
    assert!(sum(&page, "enforcer_epoch", &[]) > 0);
    let policy = enforcer_tests::policy("more", "", &["web -> db udp/9"]);
    let before = sum(&page, "enforcer_epoch", &[]);
    world.daemon().write_policy("60-more.yaml", &policy).unwrap();
    scraped_when(world.host(), "another epoch", |page| sum(page, "enforcer_epoch", &[]) > before);
    drop(hanging);
}

pub(crate) fn the_hooks_of_sockets_are_on_the_page() {
    let mut world = world!();
    let mut service = world.resident("system.slice/a.service");
    let (web, _db) = shop(&mut world, &[]);
    let _echo = web.serve(&[Protocol::Udp(5000)]);
    let at_sockets = |page: &str, with: &str| sum(page, "enforcer_hook_attached", &["hook=\"cgroup\"", with]);
    let page = scrape(world.host());
    assert!(!page.contains("cgroup=\""), "nobody is known by a cgroup: {page}");

    let unit = "---\napiVersion: enforcer.dev/v1alpha1\nkind: Workload\nmetadata: {name: a}\n\
                spec: {labels: {app: a}, match: [{unit: a.service}]}\n";
    let policy = format!("{unit}{}", enforcer_tests::policy("out", "", &["a -> web udp/5000"]));
    world.daemon().write_policy("70-a.yaml", &policy).unwrap();
    let page = scraped_when(world.host(), "the hooks of sockets", |page| at_sockets(page, "") == 2);
    let root = world.cgroup().file_name().unwrap().to_str().unwrap().to_owned();
    for direction in ["direction=\"egress\"", "direction=\"ingress\""] {
        assert_eq!(at_sockets(&page, direction), 1);
    }
    assert_eq!(at_sockets(&page, &format!("cgroup=\"/{root}\"")), 2, "{page}");
    assert!(sum(&page, "enforcer_map_entries", &["map=\"cgroups\""]) > 0, "{page}");
    assert_eq!(sum(&page, "enforcer_map_capacity", &["map=\"cgroups\""]), 65_536);

    // A flow from a service to a workload behind a device: both hooks know that the other has one.
    assert!(service.udp(SocketAddr::new(web.v4(), 5000)));
    wait("a record of each hook", || {
        let output = world.daemon().enforcer(&["observe", "-o", "jsonl", "--workload", "a"]).unwrap();
        let records = output.stdout.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        let hooks: Vec<_> = records
            .filter(|record| record["peer_hooked"] == true)
            .map(|record| record["direction"].to_string())
            .collect();
        hooks == ["\"egress\"", "\"ingress\""]
    });

    world.daemon().remove_policy("70-a.yaml").unwrap();
    scraped_when(world.host(), "no hooks of sockets", |page| !page.contains("cgroup=\""));
}
