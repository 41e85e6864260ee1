//! Who each container is: containers and documents to workloads.
//!
//! - A Workload whose `container` match a container meets gives it its labels. Of several the one that asks for more decides; where none asks
//!   for all that the others ask for, nobody can tell who it is, and it stays denied.
//! - Otherwise its own labels count, but only keys that the settings name, and values that a document could have as well.
//! - A container without any is nobody's: it isn't managed.
//! - What a document claims by hand (a device, an address) is the document's. What two containers claim is the newer run's.

use super::container::{Container, Key, Kind, Network};
use super::roster::{Roster, holders};
use super::settings::Sources;
use enforcer_policy::document::is_label;
use enforcer_policy::model::{
    ExtraLabel, InterfacePattern, Labels, OnStaleIdentity, Origin, PolicySet, Segment, Workload,
    WorkloadMatch, selects,
};
use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

/// What documents say that containers are concerned by. Made once for a set of documents.
#[derive(Debug, Clone, Default)]
pub struct Documents {
    addresses: HashMap<IpAddr, Arc<str>>,
    interfaces: Vec<(InterfacePattern, Arc<str>)>,
    templates: Vec<Template>,
    /// Segments in which something becomes of containers whose source is silent.
    segments: Vec<Segment>,
}

/// A Workload with a `container` match.
#[derive(Debug, Clone)]
struct Template {
    name: Arc<str>,
    wanted: Labels,
    labels: Labels,
}

/// Who the containers are.
#[derive(Debug, Clone, Default)]
pub struct Joined {
    /// Those that are managed, by the name of their workload.
    pub workloads: BTreeMap<String, Workload>,
    /// Which container each of them is.
    pub names: HashMap<Key, String>,
    /// Those that stay denied, or are without something, and why.
    pub refusals: Vec<Refusal>,
    /// Devices that stay denied although they are no workload's.
    pub denied: HashSet<String>,
    /// Devices of containers that aren't managed.
    pub free: HashSet<String>,
    /// Whose the cgroups are that aren't workloads'.
    pub cgroups: Vec<(String, CgroupOf)>,
}

/// Whose a container's cgroup is, where it isn't a workload's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CgroupOf {
    /// Nobody's at its sockets: its packets are met at a device, those inside its network by nobody.
    Elsewhere,
    /// Nobody may be known by it: it stays denied.
    Unknown,
    /// The host's: it has the host's network, and isn't managed.
    Host,
}

/// Something that a container doesn't get.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Refusal {
    /// Who.
    pub container: Key,
    /// What and why.
    pub why: Why,
}

/// Why a container doesn't get something.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Why {
    /// Several Workloads' `container` matches meet it, and none asks for more than the others.
    Ambiguous(String, String),
    /// A document claims its address.
    Address(IpAddr, String),
    /// A document claims its device.
    Interface(String, String),
    /// Its source is silent, and a Segment says `onStaleIdentity: close`.
    Stale,
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ambiguous(one, other) => write!(
                f,
                "the Workloads `{one}` and `{other}` both match it, and neither asks for more: it stays denied"
            ),
            Self::Address(address, document) => {
                write!(f, "its address {address} is the Workload `{document}`'s, which is written by hand")
            }
            Self::Interface(device, document) => {
                write!(f, "its device `{device}` is the Workload `{document}`'s, which is written by hand")
            }
            Self::Stale => write!(f, "nothing is heard from its engine, and a Segment closes it until then"),
        }
    }
}

impl Documents {
    /// What these documents say.
    #[must_use]
    pub fn of<'a>(workloads: impl IntoIterator<Item = &'a Workload>, segments: &[Segment]) -> Self {
        let mut documents = Self::default();
        for workload in workloads {
            let name: Arc<str> = workload.name.as_str().into();
            documents.addresses.extend(workload.addresses.iter().map(|at| (*at, Arc::clone(&name))));
            for matched in &workload.matches {
                match matched {
                    WorkloadMatch::Interface(pattern) => {
                        documents.interfaces.push((pattern.clone(), Arc::clone(&name)));
                    }
                    WorkloadMatch::Container { labels } => documents.templates.push(Template {
                        name: Arc::clone(&name),
                        wanted: labels.clone(),
                        labels: workload.labels_after(),
                    }),
                    WorkloadMatch::Unit(_) | WorkloadMatch::Cgroup { .. } => {}
                }
            }
        }
        let stale = |segment: &&Segment| segment.on_stale_identity != OnStaleIdentity::Keep;
        documents.segments = segments.iter().filter(stale).cloned().collect();
        documents
    }

    /// Whether any of them looks for containers.
    #[must_use]
    pub fn want_containers(&self) -> bool {
        !self.templates.is_empty()
    }

    /// Whether anything becomes of somebody when a source falls silent.
    #[must_use]
    pub fn mind_silence(&self) -> bool {
        !self.segments.is_empty()
    }

    /// The labels that documents give a container.
    fn given(&self, container: &Container) -> Result<Option<&Labels>, Why> {
        let meets = |template: &&Template| {
            template.wanted.iter().all(|(key, value)| container.labels.get(key) == Some(value))
        };
        let mut found: Vec<&Template> = self.templates.iter().filter(meets).collect();
        found.sort_by_key(|template| std::cmp::Reverse(template.wanted.len()));
        let Some((first, rest)) = found.split_first() else { return Ok(None) };
        let asks_more = |other: &&&Template| {
            !(other.wanted.len() < first.wanted.len()
                && other.wanted.iter().all(|(key, value)| first.wanted.get(key) == Some(value)))
        };
        // A Workload may say the same of a container in several ways.
        match rest.iter().filter(|other| other.name != first.name).find(asks_more) {
            Some(other) => Err(Why::Ambiguous(first.name.to_string(), other.name.to_string())),
            None => Ok(Some(&first.labels)),
        }
    }

    fn claims_interface(&self, device: &str) -> Option<&Arc<str>> {
        self.interfaces.iter().find(|(pattern, _)| pattern.matches(device)).map(|(_, name)| name)
    }

    /// What becomes of these labels where their source is silent.
    fn on_stale(&self, labels: &Labels, addresses: &[IpAddr]) -> OnStaleIdentity {
        let of = self.segments.iter().filter(|segment| selects(&segment.select, labels, addresses));
        of.map(|segment| segment.on_stale_identity).max().unwrap_or_default()
    }
}

/// Everything that decides who a container is, beside documents.
#[derive(Debug, Clone, Default)]
pub struct Surroundings {
    /// Who runs.
    pub roster: Roster,
    /// Keys of containers' own labels that count.
    pub identity_labels: Vec<String>,
    /// What else is a label.
    pub sources: Sources,
}

impl Surroundings {
    fn extra_labels(&self, kind: Kind) -> &[ExtraLabel] {
        let settings = match kind {
            Kind::Docker => &self.sources.docker,
            Kind::Containerd => &self.sources.containerd,
        };
        settings.as_ref().map_or(&[], |settings| &settings.extra_labels)
    }

    /// The container's own labels that count.
    fn own_labels(&self, container: &Container) -> Labels {
        let own = self.identity_labels.iter().filter_map(|key| Some((key, container.labels.get(key)?)));
        let mut labels: Labels = own.map(|(key, value)| (key.clone(), value.clone())).collect();
        for extra in self.extra_labels(container.key.kind) {
            let value = match extra {
                ExtraLabel::Image => &container.image,
                ExtraLabel::Name => &container.name,
            };
            labels.insert(extra.word().to_owned(), value.clone());
        }
        labels.retain(|key, value| is_label(key, value) && !value.is_empty());
        labels
    }
}

/// Who each container is.
#[must_use]
pub fn join(documents: &Documents, around: &Surroundings) -> Joined {
    let mut joined = Joined::default();
    let newest_first = around.roster.newest_first();
    let owners = owners(&newest_first);
    let owns_network = |one: &Container| owners.get(&inode(one)).is_none_or(|owner| **owner == one.key);
    let holders = holders(newest_first.iter().copied().filter(|one| owns_network(one)));
    for container in &newest_first {
        let mut refuse = |why| joined.refusals.push(Refusal { container: container.key.clone(), why });
        let owns_network = owns_network(container);
        let devices: &[String] = if owns_network { &container.devices } else { &[] };
        let by_cgroup = container.network == Network::Host;
        let mut others = |of| {
            let of = if by_cgroup { of } else { CgroupOf::Elsewhere };
            joined.cgroups.extend(container.cgroup.iter().map(|path| (path.clone(), of)));
        };
        let labels = match documents.given(container) {
            Ok(Some(labels)) => labels.clone(),
            Ok(None) => around.own_labels(container),
            Err(why) => {
                refuse(why);
                others(CgroupOf::Unknown);
                joined.denied.extend(devices.iter().cloned());
                continue;
            }
        };
        if labels.is_empty() {
            others(CgroupOf::Host);
            joined.free.extend(devices.iter().cloned());
            continue;
        }
        if around.roster.is_silent(container.key.kind)
            && documents.on_stale(&labels, &container.addresses) == OnStaleIdentity::Close
        {
            refuse(Why::Stale);
            others(CgroupOf::Unknown);
            joined.denied.extend(devices.iter().cloned());
            continue;
        }
        let mut matches = Vec::new();
        for device in devices {
            match documents.claims_interface(device) {
                Some(name) => refuse(Why::Interface(device.clone(), name.to_string())),
                None => matches
                    .push(WorkloadMatch::Interface(InterfacePattern { text: device.clone(), glob: false })),
            }
        }
        match &container.cgroup {
            Some(path) if by_cgroup => {
                matches.push(WorkloadMatch::Cgroup { path: path.clone(), descendants: true })
            }
            _ => others(CgroupOf::Elsewhere),
        }
        let mut addresses = Vec::new();
        for address in container.addresses.iter().filter(|_| owns_network) {
            match documents.addresses.get(address) {
                Some(name) => refuse(Why::Address(*address, name.to_string())),
                None if holders.get(address).is_some_and(|holder| **holder == container.key) => {
                    addresses.push(*address);
                }
                None => {}
            }
        }
        let mut name = container.workload();
        // Two of one name: one of them was renamed, and that isn't known yet. No engine gives names with this sign.
        if joined.workloads.contains_key(&name) {
            name = format!("{}#{}", container.key, container.generation.ticks);
        }
        let origin = Origin { file: container.key.kind.word().into(), line: 1, column: 1 };
        joined.names.insert(container.key.clone(), name.clone());
        joined
            .workloads
            .insert(name.clone(), Workload { name, origin, labels, matches, addresses, lease: None });
    }
    joined
}

/// Who owns each network namespace that several are in: whoever didn't join it, and of those the oldest run.
fn owners<'a>(newest_first: &[&'a Container]) -> HashMap<u64, &'a Key> {
    let mut owners = HashMap::new();
    for container in newest_first {
        if let Network::Own(inode) = container.network {
            // Older ones come later.
            owners.insert(inode, &container.key);
        }
    }
    owners
}

fn inode(container: &Container) -> u64 {
    match container.network {
        Network::Own(inode) | Network::Shared(inode) => inode,
        Network::Host => 0,
    }
}

/// [`join`], for a set that is about to be compiled: its documents, and with them its containers.
pub(crate) fn join_set(set: &mut PolicySet, around: &Surroundings) -> (Documents, Joined) {
    let documents = Documents::of(&set.workloads, &set.segments);
    let joined = join(&documents, around);
    set.workloads.extend(joined.workloads.values().cloned());
    (documents, joined)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sources::roster::tests::container;
    use enforcer_policy::check::parse;
    use enforcer_policy::source::Source;

    fn documents(text: &str) -> Documents {
        let checked = parse(&[Source::new("a.yaml", text)], jiff::Timestamp::now());
        assert!(!checked.has_errors(), "{:?}", checked.diagnostics);
        Documents::of(&checked.set.workloads, &checked.set.segments)
    }

    fn workload(name: &str, spec: &str) -> String {
        format!(
            "---\napiVersion: enforcer.dev/v1alpha1\nkind: Workload\nmetadata: {{name: {name}}}\nspec: {{{spec}}}\n"
        )
    }

    fn around(containers: Vec<Container>) -> Surroundings {
        let identity_labels = ["app", "env"].map(str::to_owned).to_vec();
        Surroundings { roster: Roster::of(containers), identity_labels, sources: Sources::default() }
    }

    fn labels(joined: &Joined, name: &str) -> String {
        let workload = &joined.workloads[name];
        workload.labels.iter().map(|(key, value)| format!("{key}={value}")).collect::<Vec<_>>().join(",")
    }

    #[test]
    fn e66_only_labels_that_count_make_an_identity() {
        let mut web = container("web", 1, &["10.0.0.2"]);
        web.labels.extend(
            [("env", "prod"), ("admin", "yes")].map(|(key, value)| (key.to_owned(), value.to_owned())),
        );
        let mut odd = container("odd", 2, &["10.0.0.3"]);
        odd.labels = [("env".to_owned(), "\u{1b}[31m".to_owned()), ("app".to_owned(), "x".repeat(64))].into();
        let joined = join(&Documents::default(), &around(vec![web, odd]));
        assert_eq!(joined.workloads.keys().collect::<Vec<_>>(), ["docker/web"]);
        assert_eq!(labels(&joined, "docker/web"), "app=web,env=prod");
        assert_eq!(joined.free, ["veth2".to_owned()].into(), "a container without labels isn't managed");
        let web = &joined.workloads["docker/web"];
        assert_eq!(web.addresses, ["10.0.0.2".parse::<IpAddr>().unwrap()]);
        assert_eq!(
            web.matches,
            [WorkloadMatch::Interface(InterfacePattern { text: "veth1".to_owned(), glob: false })]
        );
        assert_eq!(
            joined.cgroups[1],
            ("/docker/web".to_owned(), CgroupOf::Elsewhere),
            "judged at its device"
        );
    }

    #[test]
    fn a_document_gives_labels_and_takes_the_containers_own_away() {
        let documents = documents(
            &[
                workload("ledger", "labels: {app: ledger}, match: [{container: {labels: {app: a}}}]"),
                workload(
                    "ledger-test",
                    "labels: {app: lt}, match: [{container: {labels: {app: a, env: test}}}]",
                ),
            ]
            .concat(),
        );
        let (mut one, mut other, two) =
            (container("a", 1, &[]), container("b", 2, &[]), container("c", 3, &[]));
        other.labels =
            [("app", "a"), ("env", "test")].map(|(key, value)| (key.to_owned(), value.to_owned())).into();
        one.labels.insert("env".to_owned(), "prod".to_owned());
        let joined = join(&documents, &around(vec![one, other, two]));
        assert_eq!(labels(&joined, "docker/a"), "app=ledger");
        assert_eq!(labels(&joined, "docker/b"), "app=lt", "the one that asks for more decides");
        assert_eq!(labels(&joined, "docker/c"), "app=c");
    }

    #[test]
    fn e66_who_could_be_two_is_denied() {
        let documents = documents(
            &[
                workload("one", "labels: {app: one}, match: [{container: {labels: {app: a}}}]"),
                workload("two", "labels: {app: two}, match: [{container: {labels: {env: e}}}]"),
            ]
            .concat(),
        );
        let mut a = container("a", 1, &[]);
        a.labels.insert("env".to_owned(), "e".to_owned());
        let joined = join(&documents, &around(vec![a.clone()]));
        assert!(joined.workloads.is_empty() && joined.denied.contains("veth1"));
        assert_eq!(
            joined.refusals,
            [Refusal { container: a.key, why: Why::Ambiguous("one".into(), "two".into()) }]
        );
    }

    #[test]
    fn what_is_written_by_hand_wins() {
        let documents = documents(
            &[
                workload("peer", "labels: {app: peer}, addresses: [10.0.0.2]"),
                workload("wire", "labels: {app: wire}, match: [{interface: veth1}], addresses: [10.0.0.9]"),
            ]
            .concat(),
        );
        let joined = join(&documents, &around(vec![container("a", 1, &["10.0.0.2", "10.0.0.3"])]));
        let a = &joined.workloads["docker/a"];
        assert_eq!(a.addresses, ["10.0.0.3".parse::<IpAddr>().unwrap()]);
        assert!(!a.matches.iter().any(|matched| matches!(matched, WorkloadMatch::Interface(_))));
        assert_eq!(joined.refusals.len(), 2);
    }

    #[test]
    fn e64_an_address_in_two_hands_is_the_newer_runs() {
        let joined = join(
            &Documents::default(),
            &around(vec![container("new", 9, &["10.0.0.2"]), container("old", 1, &["10.0.0.2", "10.0.0.3"])]),
        );
        assert_eq!(joined.workloads["docker/new"].addresses, ["10.0.0.2".parse::<IpAddr>().unwrap()]);
        assert_eq!(joined.workloads["docker/old"].addresses, ["10.0.0.3".parse::<IpAddr>().unwrap()]);
    }

    #[test]
    fn who_joined_a_network_has_no_address_of_it() {
        let (pod, mut beside) = (container("pod", 5, &["10.0.0.2"]), container("beside", 6, &["10.0.0.2"]));
        (beside.network, beside.addresses, beside.devices) = (Network::Shared(5), Vec::new(), Vec::new());
        let joined = join(&Documents::default(), &around(vec![pod.clone(), beside.clone()]));
        assert_eq!(joined.workloads["docker/pod"].addresses.len(), 1);
        assert_eq!(joined.workloads["docker/beside"].matches, [], "it speaks as whoever owns the network");
        // containerd doesn't say who joined whom: the one that was there first owns it.
        (beside.network, beside.addresses, beside.devices) =
            (Network::Own(5), pod.addresses.clone(), pod.devices.clone());
        let joined = join(&Documents::default(), &around(vec![pod, beside]));
        assert_eq!(joined.workloads["docker/pod"].addresses.len(), 1);
        assert_eq!(joined.workloads["docker/beside"].matches, []);
    }

    #[test]
    fn on_the_hosts_network_the_cgroup_tells() {
        let on_host = |id: &str, ticks| {
            let mut one = container(id, ticks, &[]);
            (one.network, one.devices) = (Network::Host, Vec::new());
            one
        };
        let mut plain = on_host("plain", 2);
        plain.labels.clear();
        let joined = join(&Documents::default(), &around(vec![on_host("agent", 1), plain]));
        let cgroup = WorkloadMatch::Cgroup { path: "/docker/agent".to_owned(), descendants: true };
        assert_eq!(joined.workloads["docker/agent"].matches, [cgroup]);
        assert_eq!(joined.cgroups, [("/docker/plain".to_owned(), CgroupOf::Host)]);
    }

    #[test]
    fn silence_closes_where_a_segment_says_so() {
        let text = |what: &str| {
            format!(
                "apiVersion: enforcer.dev/v1alpha1\nkind: Segment\nmetadata: {{name: s}}\n\
                 spec: {{select: [{{labels: {{app: a}}}}], onStaleIdentity: {what}}}\n"
            )
        };
        for (what, closed) in [("keep", false), ("freeze", false), ("close", true)] {
            let documents = documents(&text(what));
            let mut around = around(vec![container("a", 1, &[]), container("b", 2, &[])]);
            assert_eq!(join(&documents, &around).workloads.len(), 2, "{what}");
            around.roster.take(crate::sources::Report::Silent(Kind::Docker, "gone".to_owned()));
            let joined = join(&documents, &around);
            assert_eq!(joined.denied.contains("veth1"), closed, "{what}");
            assert_eq!(joined.workloads.contains_key("docker/a"), !closed, "{what}");
            assert!(joined.workloads.contains_key("docker/b"), "{what}");
            assert_eq!(documents.mind_silence(), what != "keep");
        }
    }

    #[test]
    fn a_name_in_two_hands_tells_by_id() {
        let (old, mut new) = (container("a", 1, &[]), container("b", 2, &[]));
        new.name = "a".to_owned();
        let joined = join(&Documents::default(), &around(vec![old, new]));
        assert_eq!(labels(&joined, "docker/a"), "app=b");
        assert_eq!(labels(&joined, "docker/a#1"), "app=a");
    }
}
