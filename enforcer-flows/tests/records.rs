//! Records of flows as JSON lines: Hubble's, and our own.

mod seen;

use enforcer_flows::{Format, Options};
use seen::{seen, seen_by};
use std::sync::Arc;

#[test]
fn hubbles_records_tell_who_opened_and_who_the_ends_are() {
    let lines = r#"
{"flow":{"time":"2026-03-01T10:00:00.123456789Z","uuid":"0b2b","verdict":"FORWARDED","ethernet":{"source":"0a:00:00:00:00:01","destination":"0a:00:00:00:00:02"},"IP":{"source":"10.0.1.7","destination":"10.0.2.9","ipVersion":"IPv4"},"l4":{"TCP":{"source_port":43218,"destination_port":8080,"flags":{"SYN":true}}},"source":{"ID":1021,"identity":31002,"cluster_name":"default","namespace":"shop","labels":["k8s:app=web","k8s:io.kubernetes.pod.namespace=shop"],"pod_name":"web-5d9c","workloads":[{"name":"web","kind":"Deployment"}]},"destination":{"ID":88,"identity":31003,"namespace":"shop","labels":["k8s:app=cart"],"pod_name":"cart-0"},"Type":"L3_L4","node_name":"node-1","event_type":{"type":4,"sub_type":3},"traffic_direction":"EGRESS","trace_observation_point":"TO_ENDPOINT","is_reply":false,"Summary":"TCP Flags: SYN"},"node_name":"node-1","time":"2026-03-01T10:00:00.123456789Z"}
{"flow":{"time":"2026-03-01T10:00:00.2Z","verdict":"FORWARDED","IP":{"source":"10.0.2.9","destination":"10.0.1.7","ipVersion":"IPv4"},"l4":{"TCP":{"source_port":8080,"destination_port":43218,"flags":{"SYN":true,"ACK":true}}},"source":{"ID":88,"identity":31003,"namespace":"shop","labels":["k8s:app=cart"],"pod_name":"cart-0"},"destination":{"ID":1021,"labels":["k8s:app=web"]},"Type":"L3_L4","traffic_direction":"EGRESS","is_reply":true},"node_name":"node-1"}
{"flow":{"time":"2026-03-01T10:00:01Z","verdict":"DROPPED","drop_reason":133,"IP":{"source":"10.0.1.7","destination":"203.0.113.9"},"l4":{"UDP":{"source_port":40001,"destination_port":53}},"source":{"labels":["k8s:app=web"]},"destination":{"identity":2,"labels":["reserved:world","cidr:203.0.113.9/32"]},"Type":"L3_L4","traffic_direction":"EGRESS","drop_reason_desc":"POLICY_DENIED"}}
{"flow":{"verdict":"AUDIT","IP":{"source":"fd00::1","destination":"fd00::2"},"l4":{"ICMPv6":{"type":128}},"Type":"L3_L4"},"time":"2026-03-01T10:00:02Z"}
{"flow":{"verdict":"FORWARDED","IP":{"source":"10.0.0.1","destination":"10.0.0.2"},"l4":{"ICMPv4":{}},"Type":"L3_L4"}}
{"flow":{"verdict":"REDIRECTED","IP":{"source":"10.0.0.1","destination":"10.0.0.2"},"l4":{"SCTP":{"source_port":36412,"destination_port":36412}}}}
{"flow":{"verdict":"FORWARDED","IP":{"source":"10.0.0.1","destination":"10.0.0.2"},"l4":{"TCP":{"source_port":40000,"destination_port":80}},"Type":"L7","l7":{"type":"REQUEST"},"is_reply":false}}
"#;
    let (seen, summary) = seen(lines.as_bytes());
    assert_eq!(
        (summary.format, summary.damaged, summary.skipped),
        (Format::Hubble, 0, 0),
        "{:?}",
        seen.damages
    );
    assert_eq!(
        seen.flows,
        [
            "6 10.0.1.7:43218(shop/web-5d9c|app=web,io.kubernetes.pod.namespace=shop) > 10.0.2.9:8080(shop/cart-0|app=cart) opens passed \
             at-source 1p 0b 1772359200123456789..1772359200123456789",
            "6 10.0.2.9:8080(shop/cart-0|app=cart) > 10.0.1.7:43218(|app=web) answers passed at-destination 1p 0b \
             1772359200200000000..1772359200200000000",
            "17 10.0.1.7:40001(|app=web) > 203.0.113.9:53(|cidr:203.0.113.9/32=,reserved:world=) opens refused 1p 0b \
             1772359201000000000..1772359201000000000",
            "58 fd00::1 > fd00::2 icmp 128/0 opens passed 1p 0b 1772359202000000000..1772359202000000000",
            "1 10.0.0.1 > 10.0.0.2 icmp 0/0 answers passed 1p 0b",
            "132 10.0.0.1:36412 > 10.0.0.2:36412 passed 1p 0b",
            "6 10.0.0.1:40000 > 10.0.0.2:80 opens passed",
        ]
    );
    let cart = [&seen.whole[0].destination, &seen.whole[1].source].map(|end| end.who.clone().unwrap());
    assert_eq!(cart[0], cart[1]);
}

#[test]
fn ends_that_are_described_alike_are_shared() {
    let line = r#"{"flow":{"IP":{"source":"10.0.0.1","destination":"10.0.0.2"},"l4":{"TCP":{"source_port":40000,"destination_port":80}},"source":{"labels":["k8s:app=a"]},"destination":{"labels":["k8s:app=b"]}}}"#;
    let (seen, _) = seen(format!("{line}\n{line}\n").as_bytes());
    let who = |index: usize| seen.whole[index].source.who.as_ref().unwrap();
    assert!(Arc::ptr_eq(who(0), who(1)));
}

#[test]
fn older_records_stand_alone_and_leave_out_what_is_false() {
    let lines = r#"
{"time":"2020-11-01T10:00:00Z","verdict":"FORWARDED","IP":{"source":"10.0.0.2","destination":"10.0.0.1","ipVersion":"IPv4"},"l4":{"TCP":{"source_port":8080,"destination_port":9090,"flags":{"ACK":true}}},"source":{"namespace":"default","pod_name":"a"},"destination":{"labels":["reserved:host"]},"Type":"L3_L4","node_name":"n","reply":true}
{"time":"2020-11-01T10:00:00Z","verdict":"FORWARDED","ip":{"source":"10.0.0.1","destination":"10.0.0.2"},"l4":{"udp":{"sourcePort":40000,"destinationPort":53}},"source":{"podName":"a","labelsList":["app=x"]},"nodeName":"n","isReply":false,"trafficDirection":"INGRESS"}
"#;
    let (seen, summary) = seen(lines.as_bytes());
    assert_eq!(summary.damaged, 0, "{:?}", seen.damages);
    assert_eq!(
        seen.flows,
        [
            "6 10.0.0.2:8080(default/a|) > 10.0.0.1:9090(|reserved:host=) answers passed 1p 0b 1604224800000000000..1604224800000000000",
            "17 10.0.0.1:40000(a|app=x) > 10.0.0.2:53 opens passed at-destination 1p 0b 1604224800000000000..1604224800000000000",
        ]
    );
}

#[test]
fn what_hubble_lost_is_a_gap_and_what_is_about_itself_is_skipped() {
    let lines = r#"
{"lost_events":{"source":"HUBBLE_RING_BUFFER","num_events_lost":"17"},"node_name":"node-1","time":"2026-03-01T10:00:00Z"}
{"lost_events":{"source":"PERF_EVENT_RING_BUFFER","num_events_lost":4,"cpu":1}}
{"node_status":{"state_change":"NODE_CONNECTED","node_names":["node-1"]},"node_name":"relay"}
{"agent_event":{"type":"AGENT_STARTED"},"node_name":"node-1"}
{"flow":{"verdict":"TRACED","IP":{"source":"10.0.0.1","destination":"10.96.0.1"},"l4":{"TCP":{"source_port":1,"destination_port":2}},"Type":"SOCK"}}
{"flow":{"verdict":"FORWARDED","ethernet":{},"Type":"L3_L4"}}
{"flow":{"verdict":"FORWARDED","IP":{"source":"x","destination":"10.96.0.1"},"l4":{"TCP":{}}}}
{"flow":{"verdict":"FORWARDED","IP":{"source":"10.0.0.1"
"#;
    let (seen, summary) = seen(lines.as_bytes());
    assert_eq!(seen.gaps, ["lost 17 node-1 1772359200000000000..1772359200000000000", "lost 4 - -..-"]);
    assert_eq!((summary.flows, summary.skipped, summary.damaged), (0, 4, 2));
    assert_eq!(seen.damages[0], "8: an address in the record isn't one");
}

const FLOW: &str = r#"{"schema":"enforcer.flow/v1","time":"2026-03-01T10:00:00.5Z","direction":"egress","verdict":"allowed","passes":true,"cause":{"rule":"a#0"},"protocol":"tcp","source":{"ip":"10.20.0.3","port":41822,"workload":"checkout","labels":{"app":"checkout","env":"prod"}},"destination":{"ip":"10.20.0.7","port":5432,"workload":"ledger-db"},"packets":2,"bytes":148,"epoch":7,"ifindex":4,"new":true,"changed":false}"#;

#[test]
fn our_own_records_are_read() {
    let lines = format!(
        "{FLOW}\n{}\n{}\n{}\n{}\n{}\n",
        r#"{"schema":"enforcer.flow/v1","time":"2026-03-01T10:00:01Z","direction":"ingress","verdict":"denied","passes":false,"cause":{"reason":"no-rule"},"protocol":"icmpv6","icmp":{"type":128,"code":0},"source":{"ip":"fd00::1","entity":"world"},"destination":{"ip":"fd00::2","workload":"a"},"packets":1,"bytes":104,"epoch":7,"ifindex":4,"new":false,"changed":false,"later":{"x":[1]}}"#,
        r#"{"schema":"enforcer.flow/v1","time":"2026-03-01T10:00:01Z","direction":"ingress","verdict":"denied","passes":false,"cause":{"reason":"not-ip"},"source":{},"destination":{},"packets":1,"bytes":60,"epoch":7,"ifindex":4,"new":false,"changed":false}"#,
        r#"{"schema":"enforcer.flow/v1","time":"2026-03-01T10:00:02Z","direction":"egress","verdict":"audited","passes":true,"cause":{"reason":"no-rule"},"protocol":"proto/47","source":{"ip":"10.0.0.1"},"destination":{"ip":"10.0.0.2","group":"partners"},"packets":1,"bytes":60,"epoch":7,"ifindex":4,"new":true,"changed":false}"#,
        r#"{"schema":"enforcer.missed/v1","lost":5,"suppressed":1200}"#,
        r#"{"schema":"enforcer.tamper/v1","time":"2026-03-01T10:00:03Z","tamper":"hook-removed","direction":"egress","gap_ms":500,"repaired":true}"#,
    );
    let (seen, summary) = seen(lines.as_bytes());
    assert_eq!(
        (summary.format, summary.damaged, summary.skipped),
        (Format::EnforcerJsonl, 0, 2),
        "{:?}",
        seen.damages
    );
    assert_eq!(
        seen.flows,
        [
            "6 10.20.0.3:41822(checkout|app=checkout,env=prod) > 10.20.0.7:5432(ledger-db|) opens passed at-source 2p 148b \
             1772359200500000000..1772359200500000000",
            "58 fd00::1 > fd00::2(a|) icmp 128/0 opens refused at-destination 1p 104b 1772359201000000000..1772359201000000000",
            "47 10.0.0.1 > 10.0.0.2 opens passed at-source 1p 60b 1772359202000000000..1772359202000000000",
        ]
    );
    assert_eq!(seen.gaps, ["lost 5 - 1772359202000000000..-", "suppressed 1200 - 1772359202000000000..-"]);
}

#[test]
fn records_of_ours_that_make_no_sense_are_damage() {
    let wrong = [
        ("\"tcp\"", "\"proto/256\"", "an unknown protocol is in the record"),
        ("2026-03-01T10:00:00.5Z", "yesterday", "no time is in the record"),
        ("\"passes\":true,", "", "nothing in the record says whether the packet passed:"),
        ("10.20.0.3", "10.20.0.300", "an end makes no sense in the record"),
        ("enforcer.flow/v1", "enforcer.flow/v2", "no record has the schema `enforcer.flow/v2`"),
        ("{\"app\":\"checkout\"", "{\"app\":1", "labels make no sense in the record"),
        ("\"bytes\":148", "\"bytes\":-1", "the line isn't a record: invalid value"),
    ];
    for (from, to, what) in wrong {
        let options = Options { format: Some(Format::EnforcerJsonl), ..Options::default() };
        assert!(FLOW.contains(from));
        let (seen, result) = seen_by(FLOW.replace(from, to).as_bytes(), &options);
        assert_eq!(result.unwrap().damaged, 1);
        assert!(seen.damages[0].starts_with(&format!("1: {what}")), "{:?}", seen.damages);
    }
}
