//! Docker, through its API on a local socket.

use super::container::{Container, Found, bounded, is_name};
use super::follow::{Engine, Hint, Lost};
use super::settings::SourceSettings;
use crate::cgroups::Root;
use bollard::errors::Error;
use bollard::models::{
    ContainerInspectResponse, ContainerSummary, ContainerSummaryStateEnum, EventMessage, EventMessageTypeEnum,
};
use bollard::query_parameters::{EventsOptions, ListContainersOptions};
use bollard::{API_DEFAULT_VERSION, Docker as Client};
use futures_util::future::BoxFuture;
use futures_util::stream::{BoxStream, StreamExt};
use std::collections::{BTreeSet, HashMap};
use std::fs;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

/// Seconds; whoever asks has shorter limits of its own.
const PATIENCE: u64 = 120;
/// Where a container's cgroup stands in the path of one.
const ID: &str = "{id}";
/// Where Docker puts cgroups by itself: with its own driver, and with systemd's.
const USUAL: [&str; 2] = ["/docker/{id}", "/system.slice/docker-{id}.scope"];
/// So many places are remembered.
const PLACES: usize = 16;

/// A Docker engine.
pub(super) struct Docker {
    socket: PathBuf,
    /// Made anew for each connection: the engine may have become another one.
    client: Mutex<Option<Client>>,
    /// Where cgroups are found, below the mount.
    places: Mutex<BTreeSet<String>>,
    mount: Option<PathBuf>,
}

impl Docker {
    pub(super) fn new(settings: &SourceSettings) -> Self {
        Self {
            socket: settings.socket.clone(),
            client: Mutex::new(None),
            places: Mutex::new(USUAL.map(str::to_owned).into()),
            mount: Root::whole().map(|root| root.dir),
        }
    }

    async fn connect(&self) -> Result<Client, Lost> {
        let client = Client::connect_with_unix(&self.socket.to_string_lossy(), PATIENCE, API_DEFAULT_VERSION);
        let client = client.map_err(|error| lost(&error))?;
        let client = client.negotiate_version().await.map_err(|error| lost(&error))?;
        *self.client.lock().unwrap_or_else(PoisonError::into_inner) = Some(client.clone());
        Ok(client)
    }

    fn client(&self) -> Result<Client, Lost> {
        let client = self.client.lock().unwrap_or_else(PoisonError::into_inner).clone();
        client.ok_or_else(|| Lost("it isn't connected".to_owned()))
    }

    async fn list(&self, id: Option<&str>) -> Result<Vec<ContainerSummary>, Lost> {
        let filters = id.map(|id| HashMap::from([("id".to_owned(), vec![id.to_owned()])]));
        let options =
            ListContainersOptions { all: id.is_some(), filters, ..ListContainersOptions::default() };
        self.client()?.list_containers(Some(options)).await.map_err(|error| lost(&error))
    }

    /// The first process of a container, by its cgroup: while it is being started the engine answers no question about it.
    fn process(&self, id: &str) -> Option<u32> {
        let mount = self.mount.as_ref()?;
        let places = self.places.lock().unwrap_or_else(PoisonError::into_inner).clone();
        places.iter().find_map(|place| first_process(mount, &place.replace(ID, id)))
    }
}

impl Engine for Docker {
    fn hints(&self) -> BoxFuture<'_, Result<BoxStream<'static, Result<Hint, Lost>>, Lost>> {
        Box::pin(async {
            let client = self.connect().await?;
            let kinds = ["container", "network"].map(str::to_owned).to_vec();
            let filters = Some(HashMap::from([("type".to_owned(), kinds)]));
            let events = client.events(Some(EventsOptions { filters, ..EventsOptions::default() }));
            let hints = events.flat_map(|event| {
                let hints = match event {
                    Ok(event) => hints(event).into_iter().map(Ok).collect(),
                    Err(error) => vec![Err(lost(&error))],
                };
                futures_util::stream::iter(hints)
            });
            Ok(hints.boxed())
        })
    }

    fn running(&self) -> BoxFuture<'_, Result<Vec<String>, Lost>> {
        Box::pin(async {
            let all = self.list(None).await?;
            Ok(all.into_iter().filter_map(|one| one.id).filter(|id| is_name(id)).collect())
        })
    }

    fn look<'a>(&'a self, id: &'a str) -> BoxFuture<'a, Result<Option<Found>, Lost>> {
        Box::pin(async move {
            match self.client()?.inspect_container(id, None).await {
                Ok(inspected) => Ok(found(inspected)),
                Err(Error::DockerResponseServerError { status_code: 404, .. }) => Ok(None),
                Err(error) => Err(lost(&error)),
            }
        })
    }

    fn early<'a>(&'a self, id: &'a str) -> BoxFuture<'a, Result<Option<Found>, Lost>> {
        Box::pin(async move {
            let Some(pid) = self.process(id) else { return Ok(None) };
            let listed = self.list(Some(id)).await?.into_iter().find(|one| one.id.as_deref() == Some(id));
            // What a container that runs says of itself isn't what it was given.
            let waits = |one: &ContainerSummary| one.state != Some(ContainerSummaryStateEnum::RUNNING);
            let Some(listed) = listed.filter(waits) else { return Ok(None) };
            let mode = listed.host_config.and_then(|config| config.network_mode);
            let name = listed.names.unwrap_or_default().iter().find_map(|name| named(name));
            Ok(Some(Found {
                name: name.unwrap_or_else(|| id.to_owned()),
                id: id.to_owned(),
                image: listed.image.unwrap_or_default(),
                labels: bounded(listed.labels.unwrap_or_default()),
                pid,
                joined: mode.as_ref().is_some_and(|mode| mode.starts_with("container:")),
                apart: mode.is_none_or(|mode| mode != "host"),
                addresses: None,
                began: None,
                early: true,
            }))
        })
    }

    fn sign(&self) -> BoxFuture<'_, Result<(), Lost>> {
        Box::pin(async { self.client()?.ping().await.map(drop).map_err(|error| lost(&error)) })
    }

    fn learn(&self, container: &Container) {
        if let Some(cgroup) = &container.cgroup
            && cgroup.contains(&container.key.id)
        {
            let mut places = self.places.lock().unwrap_or_else(PoisonError::into_inner);
            if places.len() < PLACES {
                places.insert(cgroup.replace(&container.key.id, ID));
            }
        }
    }
}

/// The first process in a cgroup.
fn first_process(mount: &Path, cgroup: &str) -> Option<u32> {
    let processes = mount.join(cgroup.trim_start_matches('/')).join("cgroup.procs");
    fs::read_to_string(processes).ok()?.lines().next()?.parse().ok()
}

/// What an event is a reason for.
fn hints(event: EventMessage) -> Vec<Hint> {
    let (Some(actor), Some(action)) = (event.actor, event.action) else { return Vec::new() };
    let id = match event.typ {
        Some(EventMessageTypeEnum::CONTAINER) => actor.id,
        Some(EventMessageTypeEnum::NETWORK) => actor.attributes.unwrap_or_default().remove("container"),
        _ => None,
    };
    let Some(id) = id.filter(|id| is_name(id)) else { return Vec::new() };
    match action.as_str() {
        "start" => vec![Hint::Changed { id, began: event.time_nano }],
        "restart" | "die" | "destroy" => vec![Hint::Changed { id, began: None }],
        // The last that is heard before a start, unless it runs already.
        "connect" => vec![Hint::Starting(id.clone()), Hint::Changed { id, began: None }],
        "rename" | "update" | "disconnect" => vec![Hint::Described(id)],
        _ => Vec::new(),
    }
}

/// What the engine says of a container, if it has processes.
fn found(inspected: ContainerInspectResponse) -> Option<Found> {
    let state = inspected.state?;
    let pid = u32::try_from(state.pid?).ok().filter(|pid| *pid != 0 && state.running == Some(true))?;
    let id = inspected.id.filter(|id| is_name(id))?;
    let config = inspected.config.unwrap_or_default();
    let mode = inspected.host_config.and_then(|config| config.network_mode).unwrap_or_default();
    let networks = inspected.network_settings.and_then(|settings| settings.networks).unwrap_or_default();
    let addresses = networks.into_values().flat_map(|network| {
        [network.ip_address, network.global_ipv6_address]
            .into_iter()
            .flatten()
            .filter_map(|at| at.parse().ok())
    });
    let addresses: BTreeSet<IpAddr> = addresses.filter(|at: &IpAddr| !at.is_unspecified()).collect();
    let name = inspected.name.as_deref().and_then(named);
    let began = state.started_at.and_then(|at| at.parse::<jiff::Timestamp>().ok());
    Some(Found {
        name: name.unwrap_or_else(|| id.clone()),
        id,
        image: config.image.unwrap_or_default(),
        labels: bounded(config.labels.unwrap_or_default()),
        pid,
        joined: mode.starts_with("container:"),
        apart: mode != "host",
        addresses: Some(addresses.into_iter().collect()),
        began: began.and_then(|at| i64::try_from(at.as_nanosecond()).ok()),
        early: false,
    })
}

/// A container's own name: those with more slashes are other containers' names for it.
fn named(name: &str) -> Option<String> {
    name.strip_prefix('/').filter(|name| is_name(name)).map(str::to_owned)
}

fn lost(error: &Error) -> Lost {
    let mut told = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        told = format!("{told}: {error}");
        cause = error.source();
    }
    Lost(told.chars().take(200).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(text: &str) -> Vec<Hint> {
        hints(serde_json::from_str(text).unwrap())
    }

    #[test]
    fn what_starts_ends_or_moves_is_looked_at() {
        let changed = |began| Hint::Changed { id: "a1".to_owned(), began };
        let started = r#"{"Type":"container","Action":"start","Actor":{"ID":"a1","Attributes":{"app":"x"}},"timeNano":7}"#;
        assert_eq!(event(started), [changed(Some(7))]);
        let died = r#"{"Type":"container","Action":"die","Actor":{"ID":"a1"},"timeNano":7}"#;
        assert_eq!(event(died), [changed(None)]);
        let joined =
            r#"{"Type":"network","Action":"connect","Actor":{"ID":"n","Attributes":{"container":"a1"}}}"#;
        assert_eq!(event(joined), [Hint::Starting("a1".to_owned()), changed(None)]);
        let renamed = r#"{"Type":"container","Action":"rename","Actor":{"ID":"a1"}}"#;
        assert_eq!(event(renamed), [Hint::Described("a1".to_owned())]);
        for other in [
            r#"{"Type":"container","Action":"exec_start: ls","Actor":{"ID":"a1"}}"#,
            r#"{"Type":"container","Action":"start","Actor":{"ID":"../x"}}"#,
            r#"{"Type":"image","Action":"pull","Actor":{"ID":"a1"}}"#,
            "{}",
        ] {
            assert_eq!(event(other), [], "{other}");
        }
    }

    #[test]
    fn every_network_gives_addresses_and_only_what_runs_counts() {
        let text = |running: bool, pid: u32| {
            format!(
                r#"{{"Id":"a1","Name":"/web","State":{{"Running":{running},"Pid":{pid},"StartedAt":"2026-01-01T00:00:00.000000005Z"}},
                    "Config":{{"Image":"shop:2","Labels":{{"app":"web"}}}},"HostConfig":{{"NetworkMode":"default"}},
                    "NetworkSettings":{{"Networks":{{"bridge":{{"IPAddress":"172.17.0.2","GlobalIPv6Address":""}},
                    "back":{{"IPAddress":"10.9.0.3","GlobalIPv6Address":"fd00::3"}}}}}}}}"#
            )
        };
        let of = |text: String| found(serde_json::from_str(&text).unwrap());
        let web = of(text(true, 4711)).unwrap();
        assert_eq!(
            (web.name.as_str(), web.image.as_str(), web.pid, web.joined),
            ("web", "shop:2", 4711, false)
        );
        let addresses: Vec<String> = web.addresses.unwrap().iter().map(ToString::to_string).collect();
        assert_eq!(addresses, ["10.9.0.3", "172.17.0.2", "fd00::3"]);
        assert_eq!(web.began, Some(1_767_225_600_000_000_005));
        assert_eq!(of(text(true, 0)), None);
        assert_eq!(of(text(false, 4711)), None);
    }

    #[test]
    fn names_of_links_are_not_the_containers_own() {
        assert_eq!(named("/web").as_deref(), Some("web"));
        assert_eq!(named("/web/alias"), None);
        assert_eq!(named("web"), None);
    }
}
