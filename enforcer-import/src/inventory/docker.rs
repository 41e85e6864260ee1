//! Containers, as `docker inspect` prints them.

use super::kubernetes::nanoseconds;
use super::read::Reading;
use super::{Entry, Held, Kind};
use jiff::Timestamp;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::sync::Arc;

#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct Container {
    id: String,
    name: String,
    state: Option<State>,
    config: Option<Config>,
    host_config: Option<HostConfig>,
    network_settings: Option<NetworkSettings>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct State {
    running: bool,
    paused: bool,
    restarting: bool,
    started_at: Option<String>,
    finished_at: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Config {
    image: Option<String>,
    labels: Option<BTreeMap<String, String>>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct HostConfig {
    network_mode: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct NetworkSettings {
    #[serde(rename = "IPAddress")]
    ip_address: Option<String>,
    #[serde(rename = "GlobalIPv6Address")]
    global_ipv6_address: Option<String>,
    networks: Option<BTreeMap<String, Network>>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Network {
    #[serde(rename = "IPAddress")]
    ip_address: Option<String>,
    #[serde(rename = "GlobalIPv6Address")]
    global_ipv6_address: Option<String>,
}

/// An instant; Docker writes the year 1 where there was none.
fn instant(text: Option<String>) -> Option<i64> {
    let at: Timestamp = text?.parse().ok()?;
    (at > Timestamp::UNIX_EPOCH).then(|| nanoseconds(at))
}

pub(super) fn container(reading: &mut Reading, container: Container) {
    let bare = container.name.trim_start_matches('/');
    let name = if bare.is_empty() { container.id.clone() } else { bare.to_owned() };
    let config = container.config.unwrap_or_default();
    let mut own = reading.labels(&name, config.labels.unwrap_or_default());
    reading.label(&name, &mut own, "docker.name", &name);
    if let Some(image) = config.image {
        reading.label(&name, &mut own, "docker.image", &image);
    }
    let mode = container.host_config.and_then(|config| config.network_mode).unwrap_or_default();
    let shares = mode == "host" || mode.starts_with("container:");
    let state = container.state.unwrap_or_default();
    let running = state.running || state.paused || state.restarting;
    let from = instant(state.started_at);
    let until = if running { None } else { instant(state.finished_at).or(from) };
    let settings = container.network_settings.unwrap_or_default();
    let mut texts: Vec<String> = Vec::new();
    for (network, at) in settings.networks.unwrap_or_default() {
        reading.label(&name, &mut own, &format!("docker.network/{network}"), "member");
        texts.extend(at.ip_address.into_iter().chain(at.global_ipv6_address));
    }
    texts.extend(settings.ip_address.into_iter().chain(settings.global_ipv6_address));
    let mut addresses: Vec<Held> = Vec::new();
    for text in texts {
        if let Some(address) = reading.address(&name, &text)
            && !addresses.iter().any(|held| held.address == address)
            && (running || until.is_some())
        {
            addresses.push(Held { address, from, until });
        }
    }
    if shares {
        addresses.clear();
    }
    let kind = if shares { Kind::HostContainer } else { Kind::Container };
    let (document, source) = (name.clone(), Arc::clone(&reading.source));
    let ports = Vec::new();
    reading.inventory.entries.push(Entry {
        kind,
        name,
        namespace: None,
        document,
        labels: own,
        addresses,
        ports,
        source,
    });
}
