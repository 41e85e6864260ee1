//! Metrics.

use std::io::Write;
use std::net::TcpStream;
use std::process::{Command, Stdio};

use enforcer_tests::world;

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
