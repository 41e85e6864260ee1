//! The Kubernetes authors' own expectations: what their end-to-end tests of NetworkPolicy claimed, cell by cell.
//!
//! The recording is no part of the project. It is looked for beside the repository's directory, or where `ENFORCER_NETPOL_CASES` says;
//! where it isn't, this counts as skipped, and says so.

#[path = "../judged/mod.rs"]
mod judged;

use enforcer_import::inventory::Inventory;
use enforcer_import::rules::network_policies;
use enforcer_policy::source::Source;
use judged::judged;
use libtest_mimic::{Arguments, Failed, Trial};
use serde::Deserialize;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// One probe of every pod by every pod.
#[derive(Clone, Deserialize)]
struct Validation {
    test: String,
    protocol: String,
    port: Value,
    namespaces: Vec<Value>,
    pods: Vec<Pod>,
    policies: Vec<Value>,
    /// By client and server.
    expected: BTreeMap<String, BTreeMap<String, bool>>,
}

#[derive(Clone, Deserialize)]
struct Pod {
    namespace: String,
    name: String,
    labels: Value,
    ip: IpAddr,
    ports: Vec<Port>,
}

#[derive(Clone, Deserialize, serde::Serialize)]
#[serde(rename_all = "camelCase")]
struct Port {
    name: String,
    container_port: u16,
    protocol: String,
}

fn file() -> PathBuf {
    let beside = "../../shared/data/kubernetes-networkpolicy/e2e.jsonl";
    std::env::var_os("ENFORCER_NETPOL_CASES")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join(beside), PathBuf::from)
}

fn main() -> ExitCode {
    let path = file();
    let trials = match std::fs::read_to_string(&path) {
        Ok(text) => text.lines().enumerate().map(trial).collect(),
        Err(error) => {
            println!("SKIPPED: the Kubernetes authors' cases aren't tried: `{}`: {error}", path.display());
            vec![Trial::test("the_kubernetes_authors_cases", || Ok(())).with_ignored_flag(true)]
        }
    };
    assert!(!trials.is_empty(), "`{}` holds no case", path.display());
    libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
}

fn trial((index, line): (usize, &str)) -> Trial {
    let validation: Validation = serde_json::from_str(line).unwrap();
    let words: Vec<&str> =
        validation.test.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty()).collect();
    let name = format!("{:02}_{}", index + 1, words.join("_").to_lowercase());
    Trial::test(name, move || hold(&validation).map_err(Failed::from))
}

/// What `kubectl get pods,namespaces -o json` would have said.
fn inventory(validation: &Validation) -> Inventory {
    let namespaces =
        validation.namespaces.iter().map(|metadata| json!({"kind": "Namespace", "metadata": metadata}));
    let pods = validation.pods.iter().map(|pod| {
        json!({"kind": "Pod", "metadata": {"name": pod.name, "namespace": pod.namespace, "labels": pod.labels},
            "spec": {"containers": [{"ports": pod.ports}]}, "status": {"phase": "Running", "podIP": pod.ip}})
    });
    let list = json!({"kind": "List", "items": namespaces.chain(pods).collect::<Vec<_>>()});
    let inventory = Inventory::read(&[Source::new("inventory.json", list.to_string())]).unwrap();
    assert_eq!(inventory.problems, []);
    inventory
}

fn hold(validation: &Validation) -> Result<(), String> {
    let inventory = inventory(validation);
    let list = json!({"apiVersion": "v1", "kind": "List", "items": validation.policies}).to_string();
    let imported = network_policies(&[Source::new("policies.json", list)], Some(&inventory)).unwrap();
    let losses: Vec<&str> = imported.losses.iter().map(|loss| loss.message.as_str()).collect();
    if !losses.is_empty() {
        return Err(format!("not carried over: {losses:?}"));
    }
    let protocol = match validation.protocol.as_str() {
        "TCP" => 6,
        "UDP" => 17,
        "SCTP" => 132,
        other => return Err(format!("`{other}` is no protocol")),
    };
    let pod = |name: &str| {
        let mut pods = validation.pods.iter();
        pods.find(|pod| format!("{}/{}", pod.namespace, pod.name) == name).ok_or(format!("{name} is no pod"))
    };
    let (asked, different) = judged(&imported, &inventory, |passes| {
        let (mut asked, mut different) = (0, Vec::new());
        for (client, servers) in &validation.expected {
            for (server, expected) in servers.iter().filter(|(server, _)| *server != client) {
                let (from, to) = (pod(client)?, pod(server)?);
                let number = match &validation.port {
                    Value::String(name) => {
                        to.ports.iter().find(|port| port.name == *name).map(|port| port.container_port)
                    }
                    number => number.as_u64().and_then(|number| u16::try_from(number).ok()),
                };
                let Some(port) = number else {
                    return Err(format!("{server} has no port {}", validation.port));
                };
                asked += 1;
                let told = passes((from.ip, to.ip, protocol, port));
                if told != (*expected, *expected) {
                    different.push(format!(
                        "{client} -> {server}: {expected} expected, (reference, tables) {told:?}"
                    ));
                }
            }
        }
        Ok((asked, different))
    })?;
    if asked == 0 {
        return Err("no cell is claimed".to_owned());
    }
    if different.is_empty() { Ok(()) } else { Err(different.join("\n")) }
}
