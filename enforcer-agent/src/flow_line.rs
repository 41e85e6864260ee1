//! One judged packet as a line for people.

use crate::output::time_of_day;
use crate::protocol::{End, FlowRecord};
use crate::selection;
use enforcer_policy::diagnostic::shown;
use std::net::IpAddr;

/// `12:53:39.168 checkout (app=checkout) 10.20.0.3:41822 -> ledger-db (app=ledger) 10.20.0.7:5432/tcp  ALLOWED  checkout-to-ledger#0  shop.yaml:14`.
#[must_use]
pub fn flow_line(record: &FlowRecord, colour: bool) -> String {
    let time = time_of_day(&record.time);
    let protocol = record.protocol.as_deref().map(|word| format!("/{}", shown(word))).unwrap_or_default();
    let message = record.icmp.map(|icmp| format!("/{}/{}", icmp.kind, icmp.code)).unwrap_or_default();
    let word = verdict(&record.verdict, colour);
    // An audited packet may have passed or not; the word alone doesn't say.
    let passed = match (record.verdict.as_str(), record.passes) {
        ("audited", true) => "  passed",
        ("audited", false) => "  dropped",
        _ => "",
    };
    let (source, destination) = (end(&record.source), end(&record.destination));
    // Two hooks of one host tell of the same flow: whose this is.
    let hook = match record.peer_hooked {
        true => format!("  {} of {}", shown(&record.direction), name(subject(record)).unwrap_or_default()),
        false => String::new(),
    };
    let cut = record.cut.as_ref().map(|cut| format!("  {cut}")).unwrap_or_default();
    format!(
        "{time} {source} -> {destination}{protocol}{message}  {word}{passed}  {}{hook}{cut}",
        record.cause
    )
}

/// The end whose hook it is.
fn subject(record: &FlowRecord) -> &End {
    if record.direction == "egress" { &record.source } else { &record.destination }
}

fn name(end: &End) -> Option<String> {
    end.workload.as_ref().or(end.group.as_ref()).or(end.entity.as_ref()).map(|name| shown(name))
}

fn end(end: &End) -> String {
    let mut pieces: Vec<String> = name(end).into_iter().collect();
    if !end.labels.is_empty() {
        pieces.push(format!("({})", selection::labels(&end.labels)));
    }
    match (end.ip, end.port) {
        (Some(IpAddr::V6(ip)), Some(port)) => pieces.push(format!("[{ip}]:{port}")),
        (Some(ip), Some(port)) => pieces.push(format!("{ip}:{port}")),
        (Some(ip), None) => pieces.push(ip.to_string()),
        (None, _) => {}
    }
    if pieces.is_empty() { "-".to_owned() } else { pieces.join(" ") }
}

fn verdict(word: &str, colour: bool) -> String {
    let (text, code) = match word {
        "allowed" => ("ALLOWED".to_owned(), "32"),
        "denied" => ("DENIED".to_owned(), "31"),
        "audited" => ("AUDITED".to_owned(), "33"),
        other => (shown(other).to_uppercase(), "0"),
    };
    if colour { format!("\u{1b}[{code}m{text}\u{1b}[0m") } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(text: &str) -> FlowRecord {
        serde_json::from_str(text).unwrap()
    }

    const ALLOWED: &str = r#"{"schema":"enforcer.flow/v1","time":"2026-01-01T12:53:39.168Z","direction":"egress",
        "verdict":"allowed","passes":true,"cause":{"rule":"checkout-to-ledger#0","file":"policies/shop.yaml","line":14},
        "protocol":"tcp","source":{"ip":"10.20.0.3","port":41822,"workload":"checkout","labels":{"app":"checkout","env":"prod"}},
        "destination":{"ip":"10.20.0.7","port":5432,"workload":"ledger-db","labels":{"app":"ledger","env":"prod"}},
        "packets":1,"bytes":74,"epoch":7,"ifindex":3,"new":true,"changed":false}"#;

    #[test]
    fn the_line_is_the_contracts() {
        let line = flow_line(&record(ALLOWED), false);
        let (_time, rest) = line.split_once(' ').unwrap();
        assert_eq!(
            rest,
            "checkout (app=checkout,env=prod) 10.20.0.3:41822 -> ledger-db (app=ledger,env=prod) 10.20.0.7:5432/tcp  \
             ALLOWED  checkout-to-ledger#0  policies/shop.yaml:14"
        );
    }

    #[test]
    fn where_both_ends_are_here_the_hook_is_named() {
        let mut both = record(ALLOWED);
        both.peer_hooked = true;
        assert!(flow_line(&both, false).ends_with("  policies/shop.yaml:14  egress of checkout"));
        both.direction = "ingress".to_owned();
        assert!(flow_line(&both, false).ends_with("  policies/shop.yaml:14  ingress of ledger-db"));
    }

    #[test]
    fn a_flow_that_was_cut_tells_how_soon() {
        let cut = |more: &str| {
            let text =
                ALLOWED.replace("\"allowed\"", "\"denied\"").replace("\"changed\":false", "\"changed\":true");
            flow_line(
                &record(&text.replace("\"changed\"", &format!("\"cut\":{{{more}}},\"changed\""))),
                false,
            )
        };
        let end = "  DENIED  checkout-to-ledger#0  policies/shop.yaml:14  cut";
        for (fields, told) in [
            (r#""since":"2026-01-01T12:53:39.097Z","delay_us":71349,"epochs":1"#, " after 71.3 ms"),
            (r#""since":"2026-01-01T12:53:39.168Z","delay_us":49,"epochs":0"#, " after 0.0 ms"),
            (r#""since":"2026-01-01T12:53:38Z","delay_us":1250000,"epochs":3"#, " after 1250.0 ms"),
            (r#""epochs":2"#, ""),
        ] {
            let line = cut(fields);
            assert!(line.ends_with(&format!("{end}{told}")), "{line}");
        }
    }

    #[test]
    fn what_an_attacker_named_reaches_no_terminal() {
        let mut hostile = record(ALLOWED);
        hostile.source.workload = Some("a\u{1b}[2J\u{202e}".to_owned());
        hostile.source.labels.insert("k\n".to_owned(), "v".repeat(500));
        hostile.cause.file = Some("dir/\u{7}.yaml".to_owned());
        let line = flow_line(&hostile, false);
        assert!(line.chars().all(|character| !character.is_control() && character != '\u{202e}'), "{line:?}");
        assert!(line.len() < 500, "{line}");
    }

    #[test]
    fn ends_without_names_or_ports() {
        let mut bare = record(ALLOWED);
        bare.verdict = "denied".to_owned();
        bare.passes = false;
        bare.cause = crate::protocol::CauseRecord {
            reason: Some("spoofed-source".to_owned()),
            detail: Some("spoof-ip".to_owned()),
            ..Default::default()
        };
        bare.protocol = Some("icmpv6".to_owned());
        bare.icmp = Some(crate::protocol::Icmp { kind: 128, code: 0 });
        bare.source =
            End { ip: Some("fd00::1".parse().unwrap()), entity: Some("world".to_owned()), ..End::default() };
        bare.destination = End::default();
        let line = flow_line(&bare, false);
        assert!(
            line.ends_with(" world fd00::1 -> -/icmpv6/128/0  DENIED  spoofed-source (spoof-ip)"),
            "{line}"
        );
    }
}
