//! Which rule decided, as the daemon says: from the kernel's own records, and from `explain` where none was kept.

use std::collections::HashMap;
use std::io::{BufRead, BufReader};
use std::process::{Child, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use anyhow::{Context, Result};
use enforcer_tests::{Daemon, Protocol};
use serde_json::Value;

use crate::shop::{Case, Shop};

/// Records may come a little after the packets.
const STRAGGLERS: Duration = Duration::from_millis(300);

/// What decided one attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Cause {
    /// The rule, or the reason where no rule decided.
    pub(crate) name: String,
    /// Where the rule stands, if it has a place.
    pub(crate) place: Option<String>,
    /// Whether the kernel's record of this very flow says so; else `explain` does.
    pub(crate) recorded: bool,
}

/// A flow, as records name it: source, destination, protocol, destination port (0 for pings).
type Key = (String, String, String, u16);
/// For each flow whether it was denied, and why.
type Records = HashMap<Key, (bool, Cause)>;

/// Reads `enforcer observe -f` while attempts are driven.
pub(crate) struct Watcher {
    child: Child,
    records: Arc<Mutex<Records>>,
    reader: JoinHandle<()>,
}

impl Watcher {
    pub(crate) fn start(daemon: &Daemon) -> Result<Self> {
        let mut command = daemon.command(&["observe", "-f", "-o", "jsonl"]);
        let mut child =
            command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().context("cannot run `observe`")?;
        let stdout = child.stdout.take().context("`observe` has no stdout")?;
        let records = Arc::<Mutex<Records>>::default();
        let shared = records.clone();
        let reader = thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                if let Ok(record) = serde_json::from_str(&line) {
                    note(&mut shared.lock().unwrap_or_else(PoisonError::into_inner), &record);
                }
            }
        });
        // Following begins with the first records sent to it; give it the time to connect.
        thread::sleep(STRAGGLERS);
        Ok(Self { child, records, reader })
    }

    /// The cause of every case.
    pub(crate) fn finish(mut self, daemon: &Daemon, shop: &Shop, cases: &[Case]) -> Result<Vec<Cause>> {
        thread::sleep(STRAGGLERS);
        self.child.kill().context("cannot end `observe`")?;
        self.child.wait().context("cannot wait for `observe`")?;
        self.reader.join().map_err(|_| anyhow::anyhow!("reading the records failed"))?;
        let records = self.records.lock().unwrap_or_else(PoisonError::into_inner);
        let cause = |case| match records.get(&key(shop, case)) {
            Some((_, cause)) => Ok(cause.clone()),
            None => explain(daemon, shop, case),
        };
        cases.iter().map(cause).collect()
    }
}

/// A flow between two workloads has two records, one from each end's hook. A deny outweighs the other end's allow.
fn note(records: &mut Records, record: &Value) {
    let Some(key) = key_of(record) else { return };
    let denied = record["verdict"] == "denied";
    if denied || !records.contains_key(&key) {
        records.insert(key, (denied, cause_of(&record["cause"], true)));
    }
}

fn key_of(record: &Value) -> Option<Key> {
    let end = |name: &str| Some(record[name]["ip"].as_str()?.to_owned());
    let protocol = record["protocol"].as_str()?;
    let port = if protocol.starts_with("icmp") {
        0
    } else {
        record["destination"]["port"].as_u64()?.try_into().ok()?
    };
    Some((end("source")?, end("destination")?, protocol.to_owned(), port))
}

fn key(shop: &Shop, case: &Case) -> Key {
    let address = |index: usize| shop.workloads[index].address(case.v6).to_string();
    let (protocol, port) = match case.protocol {
        Protocol::Tcp(port) => ("tcp", port),
        Protocol::Udp(port) => ("udp", port),
        Protocol::Sctp(port) => ("sctp", port),
        Protocol::Ping if case.v6 => ("icmpv6", 0),
        Protocol::Ping => ("icmp", 0),
    };
    (address(case.from), address(case.to), protocol.to_owned(), port)
}

fn cause_of(cause: &Value, recorded: bool) -> Cause {
    let word = |name: &str| cause[name].as_str().map(str::to_owned);
    let name = word("rule").or_else(|| word("reason")).unwrap_or_else(|| format!("no cause in {cause}"));
    let place = word("file").map(|file| {
        let file = file.rsplit('/').next().unwrap_or(&file).to_owned();
        cause["line"].as_u64().map_or_else(|| file.clone(), |line| format!("{file}:{line}"))
    });
    Cause { name, place, recorded }
}

fn explain(daemon: &Daemon, shop: &Shop, case: &Case) -> Result<Cause> {
    let address = |index: usize| shop.workloads[index].address(case.v6).to_string();
    let port = match case.protocol {
        Protocol::Ping if case.v6 => "icmpv6/echo-request".to_owned(),
        Protocol::Ping => "icmp/echo-request".to_owned(),
        protocol => protocol.to_string(),
    };
    let (from, to) = (address(case.from), address(case.to));
    let arguments = ["explain", "--from", &from, "--to", &to, "--port", &port, "-o", "json"];
    let answer = daemon.enforcer(&arguments)?.json().context("`explain` gave no answer")?;
    Ok(cause_of(&answer["cause"], false))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(verdict: &str, cause: &Value) -> Value {
        serde_json::json!({
            "schema": "enforcer.flow/v1", "verdict": verdict, "cause": cause, "protocol": "tcp",
            "source": {"ip": "10.77.0.10", "port": 40000}, "destination": {"ip": "10.77.0.20", "port": 8080},
        })
    }

    #[test]
    fn a_deny_outweighs_the_other_ends_allow() {
        let key = ("10.77.0.10".to_owned(), "10.77.0.20".to_owned(), "tcp".to_owned(), 8080);
        let allow = record("allowed", &serde_json::json!({"rule": "a#0", "file": "/etc/a.yaml", "line": 4}));
        let deny = record("denied", &serde_json::json!({"reason": "no-rule"}));
        for order in [[&allow, &deny], [&deny, &allow]] {
            let mut records = Records::new();
            for one in order {
                note(&mut records, one);
            }
            assert_eq!(records[&key].1.name, "no-rule");
        }
    }

    #[test]
    fn a_rule_has_its_place() {
        let cause = cause_of(&serde_json::json!({"rule": "a#0", "file": "/etc/p/a.yaml", "line": 4}), true);
        assert_eq!((cause.name.as_str(), cause.place.as_deref()), ("a#0", Some("a.yaml:4")));
    }

    #[test]
    fn records_without_ends_are_passed_over() {
        let mut records = Records::new();
        note(&mut records, &serde_json::json!({"schema": "enforcer.lost/v1", "lost": 3}));
        assert_eq!(records.len(), 0);
    }
}
