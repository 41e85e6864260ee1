//! Recorded traffic, by hand, and what the report says of it.

mod common;

use common::{Recording, SHOP, audit, flow, packet, parsed};
use enforcer_audit::{Audit, Known, Managed, Report, Setting, Tenure};
use enforcer_common::packet::flags::{ACK, FIN, SYN};
use enforcer_flows::{End, Flow, Gap, Item, Opener, Recorded, Side, Sink, Who};
use enforcer_policy::memory::frame::{icmp, ip, ports, tcp};
use std::sync::Arc;

/// Verdict, cause, flows and packets of each group.
fn lines(report: &Report) -> Vec<String> {
    let groups = report.groups.iter();
    groups
        .map(|group| {
            let cause = group.cause.as_ref();
            let cause = cause.and_then(|cause| cause.rule.clone().or(cause.reason.map(str::to_owned)));
            let name = |identity: &enforcer_audit::report::Identity| {
                identity.name().map_or_else(|| identity.kind.to_owned(), str::to_owned)
            };
            format!(
                "{} {} {} -> {} {} {}/{}",
                group.verdict,
                cause.unwrap_or_else(|| "-".to_owned()),
                name(&group.source),
                name(&group.destination),
                group.traffic.port,
                group.traffic.figures.flows,
                group.traffic.figures.packets
            )
        })
        .collect()
}

#[test]
fn a_captured_connection_is_one_allowed_flow() {
    let mut recording = Recording::new();
    let mut talk = |from, to, sport, dport, set| recording.send(from, to, 6, &tcp(sport, dport, set));
    talk("10.0.0.1", "10.0.0.2", 40_000, 443, SYN);
    talk("10.0.0.2", "10.0.0.1", 443, 40_000, SYN | ACK);
    talk("10.0.0.1", "10.0.0.2", 40_000, 443, ACK);
    talk("10.0.0.2", "10.0.0.1", 443, 40_000, ACK | FIN);
    let report = recording.report(SHOP);
    assert_eq!(lines(&report), ["allowed shop#0 web -> db tcp/443 1/4"]);
    assert_eq!((report.totals.packets, report.totals.judged), (4, 4));
    assert!(report.notes.is_empty(), "{:?}", report.notes);
}

#[test]
fn what_follows_a_denied_opening_is_counted_with_it() {
    let mut recording = Recording::new();
    for (from, to, sport, dport, set) in [
        ("10.0.0.2", "10.0.0.1", 40_000, 22, SYN),
        ("10.0.0.1", "10.0.0.2", 22, 40_000, SYN | ACK),
        ("10.0.0.2", "10.0.0.1", 40_000, 22, ACK),
    ] {
        recording.send(from, to, 6, &tcp(sport, dport, set));
    }
    let report = recording.report(SHOP);
    assert_eq!(lines(&report), ["denied no-rule db -> web tcp/22 1/3"]);
    let group = &report.groups[0];
    assert_eq!(
        group.allow.as_deref(),
        Some("- {from: [{labels: {app: db}}], to: [{labels: {app: web}}], ports: [tcp/22]}")
    );
    assert!(group.nearest_miss.is_some());
}

#[test]
fn the_top_says_whether_it_is_safe_to_enforce() {
    let mut recording = Recording::new();
    recording.send("10.0.0.1", "10.0.0.2", 6, &tcp(40_000, 443, SYN));
    let text = enforcer_audit::render::human(&recording.report(SHOP), false);
    assert!(text.contains("  nothing of it would be denied; what isn't in the recording may be"), "{text}");
    recording.send("10.0.0.2", "10.0.0.1", 17, &ports(17, 50_000, 161));
    let text = enforcer_audit::render::human(&recording.report(SHOP), false);
    assert!(text.contains("  what is DENIED below stops working"), "{text}");
}

#[test]
fn a_flow_that_was_open_before_is_judged_by_who_opened_it() {
    let mut recording = Recording::new();
    // The server's packets come first; nobody sees a SYN.
    recording.send("10.0.0.2", "10.0.0.1", 6, &tcp(443, 40_000, ACK));
    recording.send("10.0.0.1", "10.0.0.2", 6, &tcp(40_000, 443, ACK));
    recording.send("10.0.0.2", "10.0.0.1", 17, &ports(17, 53, 50_000));
    recording.send("10.0.0.2", "10.0.0.1", 1, &icmp(0, 0, 9, &[]));
    let report = recording.report(SHOP);
    assert_eq!(
        lines(&report),
        [
            "denied no-rule web -> db icmp/echo-request 1/1",
            "allowed shop#0 web -> db tcp/443 1/2",
            "allowed shop#1 web -> db udp/53 1/1",
        ]
    );
    assert!(report.groups.iter().all(|group| group.traffic.opening_not_seen == 1));
    // Told that nothing was open before, it is as the hooks would see it.
    let strict = recording.report_with(SHOP, |setting| setting.from_start = true);
    let denied: Vec<_> = strict.with("denied").filter_map(|group| group.cause.as_ref()?.reason).collect();
    assert_eq!(denied, ["state", "state", "no-rule"], "{:?}", lines(&strict));
}

#[test]
fn late_answers_are_no_flows_of_their_askers() {
    let mut recording = Recording::new();
    recording.send("10.0.0.1", "10.0.0.2", 17, &ports(17, 50_000, 53));
    recording.send("10.0.0.2", "10.0.0.1", 17, &ports(17, 53, 50_000));
    recording.wait(200);
    recording.send("10.0.0.2", "10.0.0.1", 17, &ports(17, 53, 50_000));
    let report = recording.report(SHOP);
    assert_eq!(
        lines(&report),
        ["denied no-rule db -> web udp/50000 1/1", "allowed shop#1 web -> db udp/53 1/2"]
    );
}

#[test]
fn errors_follow_the_flows_that_they_are_about() {
    let unreachable =
        |from: &str, to: &str, payload: &[u8]| icmp(3, 3, 0, &packet(from, to, 17, payload)[14..]);
    let mut recording = Recording::new();
    // About a denied flow: it wouldn't have come.
    recording.send("10.0.0.2", "10.0.0.1", 17, &ports(17, 50_000, 99));
    recording.send("10.0.0.1", "10.0.0.2", 1, &unreachable("10.0.0.2", "10.0.0.1", &ports(17, 50_000, 99)));
    // About one from before the recording.
    recording.send("10.0.0.2", "10.0.0.1", 1, &unreachable("10.0.0.1", "10.0.0.2", &ports(17, 50_001, 53)));
    let report = recording.report(SHOP);
    assert_eq!(
        lines(&report),
        ["denied no-rule db -> web udp/99 1/2", "allowed shop#1 db -> web icmp/port-unreachable 1/1"]
    );
    let strict = recording.report_with(SHOP, |setting| setting.from_start = true);
    assert_eq!(strict.verdicts.denied.flows, 3, "{:?}", lines(&strict));
}

#[test]
fn packets_that_are_cut_off_seen_twice_or_no_ip_are_told_apart() {
    let mut recording = Recording::new();
    let frame = ip("10.0.0.1".parse().unwrap(), "10.0.0.2".parse().unwrap(), 6, &tcp(1, 443, SYN)).unwrap();
    recording.frame(&frame, frame.len());
    recording.again();
    recording.wait(1);
    recording.frame(&frame[..40], frame.len());
    recording.wait(1);
    recording.frame(&frame[..20], frame.len());
    recording.frame(&frame[..20], 20);
    let mut lldp = frame.clone();
    lldp[12..14].copy_from_slice(&[0x88, 0xcc]);
    recording.frame(&lldp, lldp.len());
    let mut arp = vec![0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2, 0, 0, 0, 0, 1, 8, 6];
    arp.extend([0, 1, 8, 0, 6, 4, 0, 1, 2, 0, 0, 0, 0, 1, 10, 0, 0, 1, 0, 0, 0, 0, 0, 0, 10, 0, 0, 2]);
    recording.frame(&arp, arp.len());
    let report = recording.report(SHOP);
    let totals = &report.totals;
    assert_eq!(lines(&report), ["allowed shop#0 web -> db tcp/443 1/1"]);
    assert_eq!((totals.packets, totals.judged, totals.repeated), (7, 1, 1));
    assert_eq!((totals.truncated, totals.unreadable, totals.not_ip), (2, 1, 1));
    assert_eq!((totals.neighbours.passed, totals.neighbours.unjudged), (1, 0));
    let both = recording.report_with(SHOP, |setting| setting.keep_repeats = true);
    assert_eq!(both.totals.judged, 2);
}

#[test]
fn what_is_cut_off_before_it_differs_is_not_taken_for_the_same() {
    let mut recording = Recording::new();
    for set in [SYN, ACK] {
        let frame = packet("fd00::1", "fd00::2", 6, &tcp(1, 443, set));
        recording.frame(&frame[..60], frame.len());
        recording.again();
    }
    let report = recording.report(SHOP);
    assert_eq!((report.totals.repeated, report.totals.truncated), (0, 4));
}

#[test]
fn records_are_judged_by_their_openers() {
    let records = [
        flow("10.0.0.1", 50_000, "10.0.0.2", 443, Opener::Source),
        flow("10.0.0.2", 443, "10.0.0.1", 50_000, Opener::Destination),
        flow("10.0.0.2", 443, "10.0.0.1", 50_001, Opener::Unknown),
        flow("10.0.0.9", 50_000, "10.0.0.2", 443, Opener::Source),
        flow("192.0.2.1", 50_000, "192.0.2.2", 443, Opener::Source),
    ];
    let mut run = audit(SHOP);
    records.iter().for_each(|record| run.take(Item::Flow(record)));
    let report = run.report().unwrap();
    assert_eq!(
        lines(&report),
        [
            "denied no-rule world -> db tcp/443 1/10",
            "allowed shop#0 web -> db tcp/443 2/30",
            "unjudged - world -> world tcp/443 1/10",
        ]
    );
    assert_eq!((report.totals.records, report.totals.flows), (5, 4));
    assert_eq!(
        report.groups[0].allow.as_deref(),
        Some("- {from: [{cidr: [\"10.0.0.9/32\"]}], to: [{labels: {app: db}}], ports: [tcp/443]}")
    );
}

#[test]
fn what_was_recorded_otherwise_is_told() {
    let passed =
        Flow { recorded: Some(Recorded::Passed), ..flow("10.0.0.2", 50_000, "10.0.0.1", 22, Opener::Source) };
    let refused = Flow {
        recorded: Some(Recorded::Refused),
        ..flow("10.0.0.1", 50_000, "10.0.0.2", 443, Opener::Source)
    };
    let mut run = audit(SHOP);
    [&passed, &refused].into_iter().for_each(|record| run.take(Item::Flow(record)));
    let report = run.report().unwrap();
    let changes: Vec<_> = report.groups.iter().map(|group| (group.verdict, group.change)).collect();
    assert_eq!(changes, [("denied", Some("breaks")), ("allowed", Some("opens"))]);
}

#[test]
fn a_flow_that_is_recorded_at_both_ends_counts_once() {
    let record = flow("10.0.0.1", 50_000, "10.0.0.2", 443, Opener::Source);
    let reply = Flow {
        opener: Opener::Destination,
        ..flow("10.0.0.2", 443, "10.0.0.1", 50_000, Opener::Destination)
    };
    let mut run = audit(SHOP);
    for (record, side) in [
        (&record, Side::Source),
        (&record, Side::Destination),
        (&reply, Side::Destination),
        (&reply, Side::Source),
    ] {
        run.take(Item::Flow(&Flow { seen: Some(side), ..record.clone() }));
    }
    let report = run.report().unwrap();
    assert_eq!(lines(&report), ["allowed shop#0 web -> db tcp/443 1/20"]);
    assert_eq!(report.totals.seen_at_both_ends, 2);
}

#[test]
fn the_recording_names_who_nothing_else_does() {
    let who = |name: &str, app: &str| {
        Some(Arc::new(Who {
            name: Some(name.to_owned()),
            labels: [("app".to_owned(), app.to_owned())].into(),
        }))
    };
    let mut record = flow("172.16.0.1", 50_000, "10.0.0.2", 443, Opener::Source);
    let mut run = audit(SHOP);
    record.source.who = who("shop/web-7", "web");
    // The document says who that is, whatever the record has.
    record.destination.who = who("evil", "web");
    run.take(Item::Flow(&record));
    // The same address in other hands.
    record.source = End { who: who("shop/cron", "cron"), ..record.source.clone() };
    run.take(Item::Flow(&record));
    record.source.who = None;
    run.take(Item::Flow(&record));
    let report = run.report().unwrap();
    assert_eq!(
        lines(&report),
        [
            "denied no-rule shop/cron -> db tcp/443 1/10",
            "denied no-rule world -> db tcp/443 1/10",
            "allowed shop#0 shop/web-7 -> db tcp/443 1/10",
        ]
    );
}

#[test]
fn addresses_change_hands() {
    let known = |name: &str, app: &str, from, until| Known {
        name: name.to_owned(),
        labels: [("app".to_owned(), app.to_owned())].into(),
        managed: true,
        addresses: vec![Tenure { address: "172.16.0.1".parse().unwrap(), from, until }],
    };
    let mut setting = Setting::new(parsed(SHOP), enforcer_policy::testing::NOW);
    setting.known = vec![known("a", "web", Some(100), Some(200)), known("b", "cron", Some(200), None)];
    let mut run = Audit::new(setting).unwrap();
    for at in [150, 250, 50, 151, 251] {
        let record = flow("172.16.0.1", 50_000, "10.0.0.2", 443, Opener::Source);
        run.take(Item::Flow(&Flow { start: Some(at), end: Some(at), ..record }));
    }
    let report = run.report().unwrap();
    assert_eq!(
        lines(&report),
        [
            "denied no-rule b -> db tcp/443 1/20",
            "denied no-rule world -> db tcp/443 1/10",
            "allowed shop#0 a -> db tcp/443 1/20",
        ]
    );
    let coverage: Vec<_> = report.workloads.iter().map(|one| (one.workload.as_str(), one.opened)).collect();
    assert!(coverage.contains(&("a", true)) && coverage.contains(&("b", true)), "{coverage:?}");
}

#[test]
fn coverage_unused_rules_and_gaps_are_told() {
    let mut run = audit(SHOP);
    run.take(Item::Flow(&flow("10.0.0.1", 50_000, "10.0.0.2", 443, Opener::Source)));
    let gap =
        Gap { start: Some(1), end: Some(2), of: Some("eni-1".to_owned()), word: "SKIPDATA", missing: None };
    run.take(Item::Gap(&gap));
    let report = run.report().unwrap();
    assert_eq!(report.unused().map(|rule| rule.rule.as_str()).collect::<Vec<_>>(), ["shop#1"]);
    assert_eq!(
        report.untouched().map(|one| one.workload.as_str()).collect::<Vec<_>>(),
        ["elsewhere", "idle"]
    );
    assert_eq!((report.totals.gaps, report.gaps[0].word), (1, "SKIPDATA"));
}

#[test]
fn everybody_is_managed_where_asked() {
    let run = |managed| {
        let mut setting = Setting::new(parsed(SHOP), enforcer_policy::testing::NOW);
        setting.managed = managed;
        let mut run = Audit::new(setting).unwrap();
        run.take(Item::Flow(&flow("10.0.0.3", 50_000, "192.0.2.1", 443, Opener::Source)));
        lines(&run.report().unwrap())
    };
    assert_eq!(run(Managed::AsDeployed), ["unjudged - elsewhere -> world tcp/443 1/10"]);
    assert_eq!(run(Managed::All), ["denied no-rule elsewhere -> world tcp/443 1/10"]);
}

#[test]
fn expiry_is_held_against_the_chosen_instant() {
    let text = format!(
        "{SHOP}\n---\napiVersion: enforcer.dev/v1alpha1\nkind: FlowPolicy\nmetadata: {{name: soon}}\nspec: {{expires: 2026-06-01T00:00:00Z, flows: [{{from: [{{labels: {{app: db}}}}], to: [{{labels: {{app: web}}}}], ports: [tcp/80]}}]}}\n"
    );
    let at = |text: &str| text.parse::<jiff::Timestamp>().unwrap();
    let run = |when| {
        let mut setting = Setting::new(parsed(&text), at("2026-01-01T00:00:00Z"));
        setting.at = when;
        let mut run = Audit::new(setting).unwrap();
        for time in ["2026-05-31T23:59:59Z", "2026-06-01T00:00:00Z"] {
            let time = at(time).as_nanosecond() as i64;
            let record = flow("10.0.0.2", 50_000, "10.0.0.1", 80, Opener::Source);
            run.take(Item::Flow(&Flow { start: Some(time), end: Some(time), ..record.clone() }));
            let frame = packet("10.0.0.2", "10.0.0.1", 6, &tcp(40_000, 80, SYN));
            let packet = enforcer_flows::Packet {
                time: Some(time),
                link: enforcer_flows::Link::Ethernet,
                bytes: &frame,
                length: frame.len() as u32,
            };
            run.take(Item::Packet(packet));
        }
        let report = run.report().unwrap();
        let count = |verdict| report.with(verdict).map(|group| group.traffic.figures.packets).sum::<u64>();
        (count("allowed"), count("denied"))
    };
    assert_eq!(run(enforcer_audit::At::Instant(at("2026-05-31T00:00:00Z"))), (22, 0));
    assert_eq!(run(enforcer_audit::At::Instant(at("2026-06-01T00:00:00Z"))), (0, 22));
    assert_eq!(run(enforcer_audit::At::Own), (11, 11));
}

#[test]
fn the_entry_that_is_suggested_allows_what_was_denied() {
    let records = [
        flow("10.0.0.2", 50_000, "10.0.0.1", 22, Opener::Source),
        flow("192.0.2.9", 50_000, "10.0.0.1", 22, Opener::Source),
        Flow { protocol: 1, icmp: Some((8, 0)), ..flow("10.0.0.2", 0, "10.0.0.1", 0, Opener::Source) },
        Flow { protocol: 47, ..flow("10.0.0.1", 0, "10.0.0.2", 0, Opener::Source) },
        flow("10.0.0.1", 5_353, "224.0.0.251", 5_353, Opener::Source),
    ];
    let run = |text: &str| {
        let mut run = audit(text);
        records.iter().for_each(|record| run.take(Item::Flow(record)));
        run.report().unwrap()
    };
    let report = run(SHOP);
    assert_eq!(report.verdicts.denied.flows, 5, "{:?}", lines(&report));
    let entries: Vec<_> =
        report.groups.iter().map(|group| format!("    {}", group.allow.as_deref().unwrap())).collect();
    let pasted = format!(
        "{SHOP}\n---\napiVersion: enforcer.dev/v1alpha1\nkind: FlowPolicy\nmetadata: {{name: pasted}}\nspec:\n  flows:\n{}\n",
        entries.join("\n")
    );
    assert_eq!(run(&pasted).verdicts.denied.flows, 0, "{pasted}");
}

#[test]
fn denied_groups_beyond_those_that_are_explained_are_told_of() {
    let mut audit = common::audit(SHOP);
    for port in 1_000..1_250 {
        audit.take(Item::Flow(&flow("10.0.0.1", 40_000, "10.0.0.2", port, Opener::Source)));
    }
    let report = audit.report().unwrap();
    assert_eq!(report.groups.iter().filter(|group| group.nearest_miss.is_some()).count(), 200);
    let told = "denied groups without their nearest rule: 50";
    assert!(report.notes.iter().any(|note| note.starts_with(told)), "{:?}", report.notes);
}

#[test]
fn flows_come_by_their_times() {
    let mut audit = common::audit(SHOP);
    for (at, port) in [(30, 1), (10, 2), (20, 3), (10, 1)] {
        let one = flow("10.0.0.1", 40_000, "10.0.0.2", port, Opener::Source);
        audit.take(Item::Flow(&Flow { start: Some(at), end: Some(at + 5), ..one }));
    }
    audit.take(Item::Flow(&flow("10.0.0.1", 40_000, "10.0.0.2", 9, Opener::Source)));
    let ports: Vec<u16> = audit.flows_in_order().map(|line| line.ports.1).collect();
    assert_eq!(ports, [9, 2, 1, 3]);
    assert_eq!(audit.flows().count(), 4);
}

#[test]
fn where_nothing_says_what_runs_everything_is_judged() {
    let mut bare = SHOP.to_owned();
    for name in ["web", "db", "idle"] {
        bare = bare.replace(&format!("match: [{{interface: veth-{name}}}], "), "");
    }
    let mut run = Audit::new(Setting::new(parsed(&bare), enforcer_policy::testing::NOW)).unwrap();
    run.take(Item::Flow(&flow("10.0.0.1", 50_000, "10.0.0.2", 443, Opener::Source)));
    let report = run.report().unwrap();
    assert_eq!(lines(&report), ["allowed shop#0 web -> db tcp/443 1/10"]);
    assert!(report.notes.iter().any(|note| note.contains("as if the enforcer ran")), "{:?}", report.notes);
}

#[test]
fn a_document_without_a_match_has_a_hook_where_the_inventory_knows_it_to_run() {
    let elsewhere = "---\napiVersion: enforcer.dev/v1alpha1\nkind: Workload\nmetadata: {name: cache}\nspec: {labels: {app: cache}, addresses: [10.0.0.9]}\n";
    let mut setting = Setting::new(parsed(&format!("{SHOP}{elsewhere}")), enforcer_policy::testing::NOW);
    let verdict = |setting: &Setting| {
        let mut run = Audit::new(setting.clone()).unwrap();
        run.take(Item::Flow(&flow("10.0.0.9", 50_000, "192.0.2.1", 443, Opener::Source)));
        run.report().unwrap().groups[0].verdict
    };
    assert_eq!(verdict(&setting), "unjudged");
    let addresses = Vec::new();
    let known =
        Known { name: "cache".into(), labels: [("app".into(), "x".into())].into(), managed: true, addresses };
    setting.known.push(known);
    assert_eq!(verdict(&setting), "denied");
}
