//! Filters by hand: what passes, and how they are written.

use super::{Filter, FilterArgs, Kind, Test};
use crate::protocol::{CauseRecord, FlowRecord, TamperRecord};
use clap::{Args, Command, FromArgMatches};

const RECORD: &str = r#"{"schema":"enforcer.flow/v1","time":"2026-01-01T12:53:39.168Z","direction":"egress",
    "verdict":"allowed","passes":true,"cause":{"rule":"shop#1","file":"shop.yaml","line":14},
    "protocol":"tcp","source":{"ip":"10.20.0.3","port":41822,"workload":"web","labels":{"app":"web","env":"prod"}},
    "destination":{"ip":"fd00::7","port":5432,"workload":"db","labels":{"app":"db","env":"prod"}},
    "packets":1,"bytes":74,"epoch":7,"ifindex":3,"new":true,"changed":false}"#;

const ICMP: &str = r#"{"schema":"enforcer.flow/v1","time":"2026-01-01T12:53:39.168Z","direction":"ingress",
    "verdict":"denied","passes":false,"cause":{"reason":"fragment","detail":"frag-order"},
    "protocol":"icmp","icmp":{"type":8,"code":0},"source":{"ip":"192.0.2.1","entity":"world"},
    "destination":{"ip":"10.20.0.3","workload":"web","labels":{"app":"web","env":"prod"}},
    "packets":1,"bytes":74,"epoch":7,"ifindex":3,"new":false,"changed":false}"#;

fn record(text: &str) -> FlowRecord {
    serde_json::from_str(text).unwrap()
}

fn wants(filter: &str, text: &str) -> bool {
    let filter = Filter::typed(filter).unwrap_or_else(|error| panic!("{error}"));
    filter.wants(&record(text))
}

#[test]
fn each_kind_looks_at_what_it_says() {
    for (filter, tcp, icmp) in [
        ("", true, true),
        ("verdict=allowed", true, false),
        ("direction=ingress", false, true),
        ("identity=app=web", true, true),
        ("identity=app=web,env=prod", true, true),
        ("identity=app=web,env=test", false, false),
        ("identity=world", false, true),
        ("identity=fd00::7", true, false),
        ("identity=FD00:0::0007", true, false),
        ("identity=10.20.0.3", true, true),
        ("identity=host", false, false),
        ("identity=workload/db", true, false),
        ("from=app=web", true, false),
        ("to=app=web", false, true),
        ("from=10.20.0.3", true, false),
        ("to=fd00::7", true, false),
        ("from=world", false, true),
        ("workload=web", true, true),
        ("workload=db", true, false),
        ("rule=shop#1", true, false),
        ("rule=shop", true, false),
        ("rule=shop#2", false, false),
        ("rule=sho", false, false),
        ("reason=fragment", false, true),
        ("reason=frag-order", false, true),
        ("port=tcp/5432", true, false),
        ("port=udp/5432", false, false),
        ("port=5432", true, false),
        ("port=41822", true, false),
        ("port=5000-6000", true, false),
        ("port=tcp", true, false),
        ("port=icmp/echo-request", false, true),
        ("port=icmp/8/1", false, false),
        ("port=icmp/8/0", false, true),
        ("port=icmp", false, true),
        ("port=icmpv6/echo-request", false, false),
        ("port=any", true, true),
        ("port=0-65535", true, false),
        ("cidr=10.0.0.0/8", true, true),
        ("cidr=fd00::/8", true, false),
        ("cidr=fd00::7/64", true, false),
        ("cidr=fd01::/16", false, false),
        ("cidr=::/0", true, false),
        ("cidr=192.0.2.1", false, true),
    ] {
        assert_eq!((wants(filter, RECORD), wants(filter, ICMP)), (tcp, icmp), "{filter}");
    }
}

#[test]
fn one_kind_is_any_of_several_and_kinds_are_all_of_them() {
    assert!(wants("verdict=denied verdict=allowed", RECORD));
    assert!(wants("verdict=denied verdict=allowed port=tcp/5432", RECORD));
    assert!(!wants("verdict=allowed port=tcp/80", RECORD));
    assert!(!wants("not verdict=allowed", RECORD));
    assert!(wants("not verdict=allowed", ICMP));
    assert!(!wants("verdict=allowed not port=5432 not port=80", RECORD), "none of them");
    assert!(wants("verdict=allowed not port=81 not port=80", RECORD));
    assert!(!wants("workload=web not workload=db", RECORD), "what it takes away is away");
}

#[test]
fn what_is_written_reads_back() {
    let text = "verdict=denied not port=udp/53 identity=app=web,env=prod rule=shop#0 not cidr=fd00::/8";
    let filter = Filter::typed(text).unwrap();
    assert_eq!(filter.to_string(), text);
    let request = filter.request(true);
    let query = request.strip_prefix("/v1/observe?follow=true&").unwrap();
    assert_eq!(
        query,
        "verdict=denied&not.port=udp%2F53&identity=app%3Dweb%2Cenv%3Dprod&rule=shop%230&not.cidr=fd00%3A%3A%2F8"
    );
    let pairs: Vec<(String, String)> = form_urlencoded::parse(query.as_bytes()).into_owned().collect();
    let read = Filter::read(pairs.iter().map(|(name, value)| (name.as_str(), value.as_str()))).unwrap();
    assert_eq!(read, filter);
}

#[test]
fn what_is_no_test_is_told_with_the_way_out() {
    for (typed, message, help) in [
        ("verdict=maybe", "`maybe` is no verdict", "known: `allowed`, `denied`, `audited`"),
        ("direction=up", "`up` is no direction", "known: `egress`, `ingress`"),
        ("identity=web", "`web` doesn't name an end of a flow", "for example `app=web,env=prod`"),
        ("cidr=10.0.0.0/33", "`10.0.0.0/33` is not a CIDR block", "for example `10.0.0.0/8`"),
        ("workload=", "`` is no name for a workload", "for example `web`"),
        ("colour=red", "nothing is known as `colour`", "known: verdict, identity"),
        ("denied", "`denied` is no test", "for example `verdict=denied"),
        ("verdict=denied not", "`not` is followed by no test", "for example `verdict=denied"),
        ("not not port=80", "`not` is no test", "for example `verdict=denied"),
        ("identity=app=web,app=db", "`app=web,app=db` doesn't name an end", "for example `app=web,env=prod`"),
        ("identity=fd00::/64", "`fd00::/64` doesn't name an end", "for example"),
        ("cidr=web", "`web` is not a CIDR block", "for example `10.0.0.0/8`"),
        ("port=90-80", "`90-80`", ""),
        ("port=tcp/http", "`tcp/http`", ""),
        ("reason=norule", "`norule` is no reason", "near it: `no-rule`"),
        ("reason=", "`` is no reason", "for example `no-rule`"),
        ("verdict=\u{1b}[2J", "`\\u{1b}[2J` is no verdict", "known: "),
        ("port=tcp/0-99999999", "`tcp/0-99999999`", ""),
    ] {
        let error = Filter::typed(typed).unwrap_err();
        assert!(error.to_string().starts_with(message), "{typed}: {error}");
        assert!(error.help().starts_with(help), "{typed}: {}", error.help());
    }
}

#[test]
fn a_filter_is_bounded_and_the_longest_one_fits_into_a_request() {
    let test = |text: &str| Test::parse(Kind::Workload, true, text).unwrap();
    let error = Filter::new(vec![test("web"); 300]).unwrap_err();
    assert_eq!(error.to_string(), "300 tests of 900 bytes are too much for a filter");
    assert!(Filter::new(vec![test(&"/".repeat(512)); 32]).is_err());
    let longest = Filter::new(vec![test(&"/".repeat(62)); 256]).unwrap();
    assert!(longest.request(false).len() < 60_000, "{}", longest.request(false).len());
    assert!(Filter::typed(&format!("rule={}", "x".repeat(600))).is_err());
}

#[test]
fn counters_are_asked_for_by_rule_and_reason_alone() {
    let rule = CauseRecord { rule: Some("shop#1".to_owned()), ..CauseRecord::default() };
    let reason = CauseRecord { reason: Some("fragment".to_owned()), ..CauseRecord::default() };
    for (filter, of_rule, of_reason) in [
        ("", true, true),
        ("verdict=denied port=tcp/1 workload=x", true, true),
        ("rule=shop", true, false),
        ("rule=shop#2 rule=shop#1", true, false),
        ("not rule=shop", false, true),
        ("reason=fragment", false, true),
        ("not reason=fragment", true, false),
        ("rule=shop reason=fragment", false, false),
    ] {
        let filter = Filter::typed(filter).unwrap();
        assert_eq!(
            (filter.wants_cause(&rule), filter.wants_cause(&reason)),
            (of_rule, of_reason),
            "{filter}"
        );
    }
}

fn arguments(words: &[&str]) -> Result<String, String> {
    let command = FilterArgs::augment_args(Command::new("observe"));
    let matches = command.try_get_matches_from([&["observe"], words].concat());
    let read = matches.and_then(|matches| FilterArgs::from_arg_matches(&matches));
    let read = read.map_err(|error| error.to_string())?.filter();
    read.map(|filter| filter.to_string()).map_err(|error| format!("{error}; {}", error.help()))
}

#[test]
fn not_turns_the_next_flag_around_and_no_other() {
    for (words, read) in [
        (vec!["--verdict", "denied", "--not", "--port", "udp/53"], "verdict=denied not port=udp/53"),
        (vec!["--not", "--verdict", "denied", "--verdict", "allowed"], "not verdict=denied verdict=allowed"),
        (vec!["--not", "--port=1", "--not", "--port=2", "--port=3"], "not port=1 not port=2 port=3"),
        (vec!["--port", "1", "--not", "--cidr", "::1"], "port=1 not cidr=::1"),
    ] {
        assert_eq!(arguments(&words), Ok(read.to_owned()), "{words:?}");
    }
    let error = arguments(&["--port", "1", "--not"]).unwrap_err();
    assert!(error.contains("`--not` is followed by no filter"), "{error}");
    let error = arguments(&["--not", "--not", "--port", "1"]).unwrap_err();
    assert!(error.contains("`--not` is followed by no filter"), "{error}");
    let error = arguments(&["--verdict", "no"]).unwrap_err();
    assert!(error.contains("[possible values: allowed, denied, audited]"), "{error}");
    let error = arguments(&["--port", "1", "--cidr", "here"]).unwrap_err();
    assert!(error.starts_with("`here` is not a CIDR block; for example "), "{error}");
}

#[test]
fn tampering_with_others_is_left_out_where_a_workload_is_named() {
    let text = r#"{"schema":"enforcer.tamper/v1","time":"t","tamper":"hook-removed","workload":"web","gap_ms":1,"repaired":true}"#;
    let tamper: TamperRecord = serde_json::from_str(text).unwrap();
    for (filter, wanted) in [
        ("", true),
        ("workload=web", true),
        ("workload=db", false),
        ("verdict=denied", true),
        ("not workload=web", false),
        ("not workload=db", true),
    ] {
        assert_eq!(Filter::typed(filter).unwrap().wants_tamper(&tamper), wanted, "{filter}");
    }
}
