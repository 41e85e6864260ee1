//! Flow logs that don't say who opened what, read as they are written.

mod common;

use common::{SHOP, audit};
use enforcer_audit::{Report, render};
use enforcer_flows::{Options, read};
use std::fmt::Write;

/// A VPC flow log of version 2.
#[derive(Default)]
struct Log(String);

impl Log {
    fn line(&mut self, from: (&str, u16), to: (&str, u16), second: u64, action: &str) {
        let (packets, start) = (if action == "REJECT" { 1 } else { 9 }, 1_750_000_000 + second);
        writeln!(
            self.0,
            "2 123456789012 eni-1 {} {} {} {} 6 {packets} 600 {start} {} {action} OK",
            from.0,
            to.0,
            from.1,
            to.1,
            start + 30
        )
        .unwrap();
    }

    fn report(&self) -> Report {
        let mut audit = audit(SHOP);
        audit.begin("vpc.log");
        let summary = read(self.0.as_bytes(), &Options::default(), &mut audit).unwrap();
        assert_eq!(summary.damaged, 0);
        audit.end(&summary);
        audit.report().unwrap()
    }
}

/// Who reached whom where, of each group.
fn reached(report: &Report) -> Vec<String> {
    let name =
        |identity: &enforcer_audit::report::Identity| identity.name().unwrap_or(identity.kind).to_owned();
    let groups = report.groups.iter();
    groups
        .map(|group| {
            let (from, to) = (name(&group.source), name(&group.destination));
            format!("{from} -> {to} {} {}", group.traffic.port, group.traffic.figures.flows)
        })
        .collect()
}

#[test]
fn a_service_on_a_high_port_is_told_by_its_many_clients_whoever_is_read_first() {
    let mut log = Log::default();
    for number in 0..6_u16 {
        // Below and above the service's port; the answer first, half of the time; all within one second, as aggregation has it.
        let client = ("10.0.0.1", 33_000 + number * 5_000);
        let service = ("10.0.0.2", 50_051);
        let (first, second) = if number % 2 == 0 { (client, service) } else { (service, client) };
        log.line(first, second, 60, "ACCEPT");
        log.line(second, first, 60, "ACCEPT");
    }
    let report = log.report();
    assert_eq!(reached(&report), ["web -> db tcp/50051 6"]);
    assert_eq!((report.totals.records, report.totals.openers_inferred), (12, 12));
    assert_eq!(report.groups[0].traffic.figures.packets, 6 * 18);
}

#[test]
fn one_flow_is_opened_by_who_sent_first_and_a_refused_one_by_who_sent() {
    let mut log = Log::default();
    log.line(("10.0.0.2", 8_443), ("10.0.0.1", 2_000), 61, "ACCEPT");
    log.line(("10.0.0.1", 2_000), ("10.0.0.2", 8_443), 60, "ACCEPT");
    assert_eq!(reached(&log.report()), ["web -> db tcp/8443 1"]);

    // A scanner with a port of its own isn't a service with many clients.
    let mut log = Log::default();
    for port in 40_000..40_030 {
        log.line(("192.0.2.7", 44_444), ("10.0.0.2", port), 60, "REJECT");
    }
    let report = log.report();
    assert_eq!(report.groups.len(), 30);
    assert!(
        reached(&report).iter().all(|line| line.starts_with("world -> db tcp/400")),
        "{:?}",
        reached(&report)
    );
}

#[test]
fn people_read_a_scan_in_one_row_and_programs_in_all_of_its_groups() {
    let mut log = Log::default();
    for port in 1..=30 {
        log.line(("192.0.2.7", 44_444), ("10.0.0.2", port), 60, "REJECT");
    }
    log.line(("10.0.0.1", 50_000), ("10.0.0.2", 22), 90, "ACCEPT");
    let report = log.report();
    assert_eq!(report.with("denied").count(), 31);
    assert_eq!(report.groups[0].change, Some("breaks"), "what would break comes first");
    let text = render::human(&report, false);
    let rows: Vec<&str> = text.lines().filter(|line| line.contains("192.0.2.7")).collect();
    assert_eq!(rows.len(), 1, "{text}");
    assert!(rows[0].contains("30 ports") && rows[0].contains("30 refused"), "{text}");
    assert!(text.contains("#2: 30 pairs of destination and port"), "{text}");
    assert!(text.contains("what is DENIED below stops working"), "{text}");
}

#[test]
fn what_was_refused_before_does_not_stop_working() {
    let mut log = Log::default();
    log.line(("192.0.2.7", 44_444), ("10.0.0.2", 22), 60, "REJECT");
    let refused = render::human(&log.report(), false);
    assert!(refused.contains("nothing that passed would be denied"), "{refused}");
}
