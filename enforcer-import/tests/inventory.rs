//! Inventories as the systems' own tools print them, told apart by content.

use enforcer_import::inventory::{Entry, Hooks, Inventory, Kind};
use enforcer_policy::model::PolicySet;
use enforcer_policy::source::Source;

fn read(texts: &[&str]) -> Inventory {
    let sources: Vec<Source> =
        texts.iter().enumerate().map(|(index, text)| Source::new(format!("{index}"), *text)).collect();
    Inventory::read(&sources).unwrap()
}

fn named<'a>(inventory: &'a Inventory, document: &str) -> &'a Entry {
    inventory.entries.iter().find(|entry| entry.document == document).unwrap_or_else(|| {
        let all: Vec<&str> = inventory.entries.iter().map(|entry| entry.document.as_str()).collect();
        panic!("{document} is not among {all:?}")
    })
}

fn addresses(entry: &Entry) -> Vec<String> {
    entry.addresses.iter().map(|held| held.address.to_string()).collect()
}

fn label<'a>(entry: &'a Entry, key: &str) -> Option<&'a str> {
    entry.labels.get(key).map(String::as_str)
}

const PODS: &str = r#"{"apiVersion": "v1", "kind": "List", "items": [
  {"kind": "Pod", "metadata": {"name": "web-1", "namespace": "shop", "labels": {"app": "web", "k8s.namespace": "kube-system"}},
   "spec": {"nodeName": "n1", "containers": [{"name": "c", "ports": [{"name": "http", "containerPort": 8080},
     {"name": "dns", "containerPort": 53, "protocol": "UDP"}, {"name": "dns", "containerPort": 53, "protocol": "TCP"}]}]},
   "status": {"phase": "Running", "podIP": "10.1.0.5", "podIPs": [{"ip": "10.1.0.5"}, {"ip": "fd00::5"}], "hostIP": "192.168.0.2",
     "startTime": "2026-01-01T00:00:10Z"}},
  {"kind": "Pod", "metadata": {"name": "job-1", "namespace": "shop"}, "spec": {"nodeName": "n1"},
   "status": {"phase": "Succeeded", "podIP": "10.1.0.5", "startTime": "2026-01-01T00:00:00Z",
     "containerStatuses": [{"state": {"terminated": {"finishedAt": "2026-01-01T00:00:05Z"}}}]}},
  {"kind": "Pod", "metadata": {"name": "proxy", "namespace": "kube-system"}, "spec": {"hostNetwork": true, "nodeName": "n2"},
   "status": {"phase": "Running", "podIP": "192.168.0.3", "hostIP": "192.168.0.3"}},
  {"kind": "Node", "metadata": {"name": "n1", "labels": {"zone": "a"}},
   "status": {"addresses": [{"type": "InternalIP", "address": "192.168.0.2"}, {"type": "Hostname", "address": "n1"}]}},
  {"kind": "Namespace", "metadata": {"name": "shop", "labels": {"team": "a"}}},
  {"kind": "Service", "metadata": {"name": "web"}}
]}"#;

#[test]
fn kubernetes() {
    let inventory = read(&[PODS]);
    let web = named(&inventory, "shop.web-1");
    assert_eq!((web.kind, web.managed(), web.namespace.as_deref()), (Kind::Pod, true, Some("shop")));
    assert_eq!(addresses(web), ["10.1.0.5", "fd00::5"]);
    assert_eq!(label(web, "app"), Some("web"));
    assert_eq!(label(web, "k8s.namespace"), Some("shop"), "a pod can't claim another namespace");
    assert_eq!(label(web, "k8s.namespace/team"), Some("a"));
    assert_eq!(label(web, "k8s.port/http"), Some("tcp-8080"));
    assert_eq!(label(web, "k8s.port/dns"), Some("tcp-53_udp-53"));
    assert_eq!(web.ports.len(), 3);
    let job = named(&inventory, "shop.job-1");
    let second = 1_000_000_000;
    let start = 1_767_225_600 * second;
    assert_eq!((job.addresses[0].from, job.addresses[0].until), (Some(start), Some(start + 5 * second)));
    assert_eq!(named(&inventory, "kube-system.proxy").kind, Kind::HostPod);
    assert_eq!(addresses(named(&inventory, "node.n1")), ["192.168.0.2"]);
    assert_eq!(addresses(named(&inventory, "node.n2")), ["192.168.0.3"], "known from its pods alone");
    let problems: Vec<&str> = inventory.problems.iter().map(|problem| problem.message.as_str()).collect();
    assert_eq!(
        problems,
        [
            "`shop/web-1`: the label `k8s.namespace` is left out: only the inventory itself gives this key",
            "an object of the kind `Service` is left out",
            "the namespace `kube-system` is in no source: its own labels aren't known",
        ],
        "one after the other, the job and the pod had one address"
    );
    let mut set = PolicySet::default();
    inventory.merge(&mut set, None, Hooks::None);
    assert_eq!((set.workloads.len(), set.groups.len()), (1, 2));
}

#[test]
fn yaml_documents_are_the_same_as_a_list() {
    let yaml = "apiVersion: v1\nkind: Pod\nmetadata:\n  name: a\n  namespace: shop\nstatus:\n  podIP: 10.0.0.1\n\
                ---\nkind: NamespaceList\nitems:\n- metadata:\n    name: shop\n    labels: {team: a}\n";
    let inventory = read(&[yaml]);
    assert_eq!(label(named(&inventory, "shop.a"), "k8s.namespace/team"), Some("a"));
    assert_eq!(inventory.problems, []);
}

const INSTANCES: &str = r#"{"Reservations": [{"Instances": [
  {"InstanceId": "i-1", "VpcId": "vpc-1", "PrivateIpAddress": "10.0.0.4", "Tags": [{"Key": "Name", "Value": "web 1"},
     {"Key": "cost center", "Value": "7"}, {"Key": "sg:sg-9", "Value": "forged"}],
   "NetworkInterfaces": [{"NetworkInterfaceId": "eni-1", "Groups": [{"GroupId": "sg-1", "GroupName": "web"}],
     "Attachment": {"AttachTime": "2026-01-01T00:00:00+00:00"},
     "PrivateIpAddresses": [{"PrivateIpAddress": "10.0.0.4"}], "Ipv6Addresses": [{"Ipv6Address": "2001:db8::4"}]}]},
  {"InstanceId": "i-2", "NetworkInterfaces": [
     {"NetworkInterfaceId": "eni-2", "Groups": [{"GroupId": "sg-1"}], "PrivateIpAddress": "10.0.0.5"},
     {"NetworkInterfaceId": "eni-3", "Groups": [{"GroupId": "sg-2"}], "PrivateIpAddress": "10.0.0.6"}]}
]}]}"#;

const INTERFACES: &str = r#"{"NetworkInterfaces": [
  {"NetworkInterfaceId": "eni-1", "PrivateIpAddress": "10.0.0.4", "Groups": [{"GroupId": "sg-1", "GroupName": "web"}]},
  {"NetworkInterfaceId": "eni-9", "InterfaceType": "network_load_balancer", "PrivateIpAddress": "10.0.0.9",
   "Groups": [{"GroupId": "sg-3", "GroupName": "lb"}], "TagSet": [{"Key": "app", "Value": "lb"}]}]}"#;

#[test]
fn ec2() {
    let inventory = read(&[INSTANCES, INTERFACES]);
    assert_eq!(inventory.entries.len(), 4, "an interface that its instance names is no second thing");
    let web = named(&inventory, "i-1");
    assert_eq!(addresses(web), ["10.0.0.4", "2001:db8::4"]);
    assert_eq!((label(web, "Name"), label(web, "cost%20center")), (Some("web 1"), Some("7")));
    assert_eq!((label(web, "sg:sg-1"), label(web, "sg:sg-9")), (Some("web"), None));
    assert!(web.managed() && web.addresses[0].from.is_some());
    assert_eq!(label(named(&inventory, "i-2.eni-2"), "sg:sg-1"), Some("member"));
    assert_eq!(label(named(&inventory, "i-2.eni-3"), "sg:sg-1"), None);
    let lb = named(&inventory, "eni-9");
    assert_eq!((lb.kind, lb.managed()), (Kind::Interface, false));
    assert_eq!((label(lb, "ec2.type"), label(lb, "sg:sg-3")), (Some("network_load_balancer"), Some("lb")));
}

const CONTAINERS: &str = r#"[
  {"Id": "aa", "Name": "/Web_1", "State": {"Running": true, "StartedAt": "2026-01-01T00:00:00.5Z", "FinishedAt": "0001-01-01T00:00:00Z"},
   "Config": {"Image": "nginx:1", "Labels": {"com.example.app": "web"}}, "HostConfig": {"NetworkMode": "shop"},
   "NetworkSettings": {"Networks": {"shop": {"IPAddress": "172.18.0.2", "GlobalIPv6Address": "fd01::2"}}}},
  {"Id": "bb", "Name": "/old", "State": {"Running": false, "StartedAt": "2025-01-01T00:00:00Z", "FinishedAt": "2025-02-01T00:00:00Z"},
   "Config": {}, "NetworkSettings": {"Networks": {"shop": {"IPAddress": ""}}}},
  {"Id": "cc", "Name": "/agent", "State": {"Running": true}, "HostConfig": {"NetworkMode": "host"},
   "NetworkSettings": {"Networks": {"host": {"IPAddress": ""}}}}]"#;

#[test]
fn docker() {
    let inventory = read(&[CONTAINERS]);
    let web = &inventory.entries[0];
    assert!(web.document.starts_with("web-1-"), "{}", web.document);
    assert_eq!(addresses(web), ["172.18.0.2", "fd01::2"]);
    assert_eq!(label(web, "com.example.app"), Some("web"));
    assert_eq!((label(web, "docker.name"), label(web, "docker.image")), (Some("Web_1"), Some("nginx:1")));
    assert_eq!(label(web, "docker.network/shop"), Some("member"));
    assert_eq!((web.addresses[0].until, web.managed()), (None, true));
    let agent = named(&inventory, "agent");
    assert_eq!((agent.kind, agent.managed()), (Kind::HostContainer, false));
}

#[test]
fn two_running_things_with_one_address_are_told() {
    let inventory = read(&[
        r#"[{"Id": "aa", "Name": "/a", "State": {"Running": true}, "NetworkSettings": {"IPAddress": "172.18.0.2"}}]"#,
        r#"[{"Id": "bb", "Name": "/b", "State": {"Running": true}, "NetworkSettings": {"IPAddress": "172.18.0.2"}}]"#,
    ]);
    let problems: Vec<String> = inventory.problems.iter().map(ToString::to_string).collect();
    assert_eq!(problems, ["1: `a` and `b` have the address `172.18.0.2` at the same time"]);
    let mut set = PolicySet::default();
    assert_eq!(inventory.merge(&mut set, None, Hooks::None).problems.len(), 1);
    assert_eq!(set.workloads.len(), 1);
}

#[test]
fn hostile_names_drive_no_terminal_and_stay_apart() {
    let pod = |name: &str, address: u8| {
        let object = serde_json::json!({"kind": "Pod", "metadata": {"name": name, "namespace": "x", "labels": {name: name}},
            "status": {"podIP": format!("10.0.0.{address}")}});
        object.to_string()
    };
    let long = "y".repeat(100_000);
    let texts = [pod("\u{1b}[2J", 1), pod("\u{1b}[3J", 2), pod(&long, 3), pod("\u{202e}evil", 4)].join("\n");
    let inventory = read(&[&texts]);
    let mut names: Vec<&str> = inventory.entries.iter().map(|entry| entry.document.as_str()).collect();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), 4, "{names:?}");
    for problem in &inventory.problems {
        let text = problem.to_string();
        assert!(text.len() < 400 && !text.contains(['\u{1b}', '\u{202e}']), "{text:?}");
    }
    let mut set = PolicySet::default();
    inventory.merge(&mut set, None, Hooks::None);
    assert_eq!(set.workloads.len(), 4);
}

#[test]
fn what_is_no_inventory_is_refused() {
    let refuse = |text: &str| Inventory::read(&[Source::new("f", text)]).unwrap_err().to_string();
    assert_eq!(refuse("{}"), "`f` holds nothing that an inventory is made of");
    assert_eq!(refuse("hello: world"), "`f` holds nothing that an inventory is made of");
    assert!(
        refuse("{\n  \"kind\": x").starts_with("`f`:2:11 can't be read: expected value"),
        "{}",
        refuse("{\n  \"kind\": x")
    );
    assert!(refuse("kind: [\n").starts_with("`f`:"), "{}", refuse("kind: [\n"));
    let bomb = "a: &a [x,x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b,*b,*b,*b,*b,*b]\n\
                d: &d [*c,*c,*c,*c,*c,*c,*c,*c,*c]\ne: &e [*d,*d,*d,*d,*d,*d,*d,*d,*d]\nf: &f [*e,*e,*e,*e,*e,*e,*e,*e,*e]\n\
                g: [*f,*f,*f,*f,*f,*f,*f,*f,*f]\n";
    assert!(refuse(bomb).contains("can't be read"), "{}", refuse(bomb));
}
