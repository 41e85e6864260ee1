//! Inputs of the shape in which the systems' own tools print them: every field that they give, pages one after the other, and what is rare.

use enforcer_import::inventory::{Entry, Inventory, Kind};
use enforcer_import::rules::{Imported, network_policies, security_groups};
use enforcer_policy::check::parse;
use enforcer_policy::model::{FlowEntry, Selector};
use enforcer_policy::source::Source;
use jiff::Timestamp;

fn inventory(texts: &[&str]) -> Inventory {
    let sources: Vec<Source> =
        texts.iter().enumerate().map(|(index, text)| Source::new(format!("{index}"), *text)).collect();
    Inventory::read(&sources).unwrap_or_else(|error| panic!("{error}"))
}

fn entry<'a>(inventory: &'a Inventory, document: &str) -> &'a Entry {
    let all: Vec<&str> = inventory.entries.iter().map(|entry| &*entry.document).collect();
    inventory
        .entries
        .iter()
        .find(|entry| entry.document == document)
        .unwrap_or_else(|| panic!("{document} in {all:?}"))
}

fn addresses(entry: &Entry) -> Vec<String> {
    entry.addresses_at(None).map(|address| address.to_string()).collect()
}

fn valid(imported: &Imported) {
    let text = imported.to_yaml("Imported.");
    let checked = parse(&[Source::new("out.yaml", text.clone())], Timestamp::UNIX_EPOCH);
    assert!(checked.diagnostics.is_empty(), "{}\n{text}", checked.diagnostics[0]);
}

fn groups(text: &str, inventory: Option<&Inventory>) -> Imported {
    let imported = security_groups(&[Source::new("groups.json", text)], inventory)
        .unwrap_or_else(|errors| panic!("{}", errors[0]));
    valid(&imported);
    imported
}

/// The rules of a document.
fn flows<'a>(imported: &'a Imported, name: &str) -> &'a [FlowEntry] {
    let all: Vec<&str> = imported.policies.iter().map(|(_, policy)| &*policy.name).collect();
    let found = imported.policies.iter().find(|(_, policy)| policy.name == name);
    &found.unwrap_or_else(|| panic!("{name} in {all:?}")).1.flows
}

fn ports(entry: &FlowEntry) -> Vec<String> {
    entry.ports.iter().map(ToString::to_string).collect()
}

fn messages(imported: &Imported) -> Vec<String> {
    let place = |loss: &enforcer_policy::diagnostic::Diagnostic| {
        format!("{}:{}: {}", loss.primary.span.line, loss.primary.span.column, loss.message)
    };
    imported.losses.iter().map(place).collect()
}

/// One permission of a group that is alone, open to 198.51.100.0/24.
fn permission(fields: &str) -> Vec<String> {
    let text = format!(
        "{{\"SecurityGroups\": [{{\"GroupId\": \"sg-1\", \"GroupName\": \"g\", \"IpPermissions\": [{{{fields}, \"UserIdGroupPairs\": [], \
         \"IpRanges\": [{{\"CidrIp\": \"198.51.100.0/24\"}}], \"Ipv6Ranges\": [], \"PrefixListIds\": []}}], \"IpPermissionsEgress\": []}}]}}"
    );
    // The block holds no member, as far as that is known without an inventory.
    ports(&flows(&groups(&text, None), "sg.sg-1.outside")[0])
}

#[test]
fn every_protocol_of_a_permission() {
    for (fields, expected) in [
        (r#""IpProtocol": "-1""#, &["any"][..]),
        (r#""IpProtocol": "tcp", "FromPort": 0, "ToPort": 65535"#, &["tcp"]),
        (r#""IpProtocol": "tcp", "FromPort": 22, "ToPort": 22"#, &["tcp/22"]),
        (r#""IpProtocol": "udp", "FromPort": 1024, "ToPort": 2048"#, &["udp/1024-2048"]),
        (r#""IpProtocol": "icmp", "FromPort": -1, "ToPort": -1"#, &["icmp"]),
        (r#""IpProtocol": "icmp", "FromPort": 8, "ToPort": -1"#, &["icmp/echo-request"]),
        (r#""IpProtocol": "icmp", "FromPort": 3, "ToPort": 4"#, &["icmp/fragmentation-needed"]),
        (r#""IpProtocol": "icmpv6", "FromPort": -1, "ToPort": -1"#, &["icmpv6"]),
        (r#""IpProtocol": "58", "FromPort": 128, "ToPort": 0"#, &["icmpv6/echo-request/0"]),
        (r#""IpProtocol": "50""#, &["proto/50"]),
        (r#""IpProtocol": "47""#, &["proto/47"]),
        (r#""IpProtocol": "132""#, &["sctp"]),
        (r#""IpProtocol": "6", "FromPort": 80, "ToPort": 80"#, &["tcp/80"]),
    ] {
        assert_eq!(permission(fields), expected, "{fields}");
    }
}

const PAGES: &str = r#"{
    "SecurityGroups": [
        {
            "GroupId": "sg-0a1", "IpPermissionsEgress": [{"IpProtocol": "-1", "UserIdGroupPairs": [], "IpRanges": [{"CidrIp": "0.0.0.0/0"}], "Ipv6Ranges": [{"CidrIpv6": "::/0"}], "PrefixListIds": []}],
            "Tags": [{"Key": "Name", "Value": "front \ud83d\ude00"}], "VpcId": "vpc-1", "SecurityGroupArn": "arn:aws:ec2:eu-west-1:111122223333:security-group/sg-0a1",
            "OwnerId": "111122223333", "GroupName": "front", "Description": "front \ud83d\ude00 end",
            "IpPermissions": [
                {"IpProtocol": "tcp", "FromPort": 443, "ToPort": 443, "UserIdGroupPairs": [
                    {"Description": "balancer", "UserId": "111122223333", "GroupId": "sg-0a1"},
                    {"UserId": "amazon-elb", "GroupName": "amazon-elb-sg"},
                    {"UserId": "444455556666", "GroupId": "sg-0ff", "VpcId": "vpc-9", "VpcPeeringConnectionId": "pcx-1", "PeeringStatus": "active"},
                    {"UserId": "444455556666", "GroupId": "sg-0fe", "VpcId": "vpc-9", "VpcPeeringConnectionId": "pcx-2", "PeeringStatus": "deleted"}],
                 "IpRanges": [], "Ipv6Ranges": [], "PrefixListIds": []}
            ]
        }
    ],
    "NextToken": "abc"
}
{
    "SecurityGroups": [
        {"GroupId": "sg-0b2", "GroupName": "back", "Description": "", "VpcId": "vpc-1", "OwnerId": "111122223333",
         "IpPermissions": [{"IpProtocol": "tcp", "FromPort": 5432, "ToPort": 5432, "UserIdGroupPairs": [{"GroupId": "sg-0a1", "UserId": "111122223333"}], "IpRanges": [], "Ipv6Ranges": [],
            "PrefixListIds": [{"PrefixListId": "pl-1", "Description": "office"}]}],
         "IpPermissionsEgress": []}
    ]
}{"SecurityGroups": []}
"#;

#[test]
fn pages_of_groups_with_references_of_every_kind() {
    let imported = groups(PAGES, None);
    assert_eq!(
        messages(&imported),
        [
            "10:21: a group that is referred to by its name only isn't known",
            "11:59: the group `sg-0ff` isn't described here",
            "23:48: the entries of the prefix list `pl-1` aren't known",
        ]
    );
    let back = flows(&imported, "sg.sg-0b2");
    assert_eq!((ports(&back[0]), back.len()), (vec!["tcp/5432".to_owned()], 1));
    let Selector::Labels(from) = &back[0].from[0] else { panic!("{:?}", back[0].from) };
    assert!(from.expressions.iter().any(|asked| asked.key == "sg:sg-0a1"), "{from:?}");
    // A list of groups by themselves, and of pages, says the same.
    let start = PAGES.find('[').unwrap();
    let end = PAGES.find("    ],\n    \"NextToken\"").unwrap();
    let alone = groups(&format!("{}]", &PAGES[start..end]), None);
    assert!(alone.policies.iter().any(|(_, policy)| policy.name == "sg.sg-0a1"), "{:?}", messages(&alone));
}

const INSTANCES: &str = r#"{"Reservations": [{"Groups": [], "ReservationId": "r-1", "OwnerId": "1", "Instances": [
  {"InstanceId": "i-1", "ImageId": "ami-1", "State": {"Code": 16, "Name": "running"}, "PrivateIpAddress": "10.0.0.10", "PublicIpAddress": "203.0.113.9", "VpcId": "vpc-1",
   "BlockDeviceMappings": [], "SecurityGroups": [{"GroupName": "front", "GroupId": "sg-0a1"}], "StateTransitionReason": "", "CpuOptions": {"CoreCount": 2},
   "NetworkInterfaces": [
     {"NetworkInterfaceId": "eni-1", "Status": "in-use", "InterfaceType": "interface", "PrivateIpAddress": "10.0.0.10", "Groups": [{"GroupName": "front", "GroupId": "sg-0a1"}],
      "Association": {"PublicIp": "203.0.113.9"}, "Attachment": {"AttachTime": "2026-01-01T00:00:00+00:00", "AttachmentId": "eni-attach-1", "DeviceIndex": 0, "Status": "attached"},
      "Ipv6Addresses": [{"Ipv6Address": "2001:db8::10", "IsPrimaryIpv6": false}],
      "PrivateIpAddresses": [{"Primary": true, "PrivateIpAddress": "10.0.0.10", "Association": {"PublicIp": "203.0.113.9"}}, {"Primary": false, "PrivateIpAddress": "10.0.0.11"}]},
     {"NetworkInterfaceId": "eni-2", "PrivateIpAddress": "10.0.1.10", "Groups": [{"GroupName": "front", "GroupId": "sg-0a1"}], "Ipv6Prefixes": [{"Ipv6Prefix": "2001:db8:1::/80"}]}],
   "Tags": [{"Key": "aws:autoscaling:groupName", "Value": "front"}, {"Key": "Name", "Value": "front-1"}, {"Key": "empty", "Value": ""}]},
  {"InstanceId": "i-2", "State": {"Code": 48, "Name": "terminated"}, "PrivateIpAddress": "10.0.0.10", "NetworkInterfaces": [], "SecurityGroups": [], "Tags": [{"Key": "Name", "Value": "old"}]},
  {"InstanceId": "i-3", "State": {"Code": 80, "Name": "stopped"}, "PrivateIpAddress": "10.0.0.12", "NetworkInterfaces": [], "SecurityGroups": [{"GroupId": "sg-0b2", "GroupName": "back"}]}]}]}
{"Reservations": []}"#;

const INTERFACES: &str = r#"{"NetworkInterfaces": [
  {"NetworkInterfaceId": "eni-1", "PrivateIpAddress": "10.0.0.10", "Groups": [{"GroupId": "sg-0a1", "GroupName": "front"}], "Status": "in-use"},
  {"NetworkInterfaceId": "eni-3", "Description": "ELB app/front/50dc6c495c0c9188", "InterfaceType": "interface", "RequesterId": "amazon-elb", "RequesterManaged": true, "VpcId": "vpc-1",
   "Attachment": {"InstanceOwnerId": "amazon-elb", "AttachmentId": "ela-attach-1", "Status": "attached", "DeleteOnTermination": false}, "PrivateIpAddress": "10.0.2.5",
   "PrivateIpAddresses": [{"Primary": true, "PrivateIpAddress": "10.0.2.5"}], "Groups": [{"GroupId": "sg-0c3", "GroupName": "lb"}], "TagSet": []},
  {"NetworkInterfaceId": "eni-4", "Description": "AWS Lambda VPC ENI-job-1", "InterfaceType": "lambda", "RequesterManaged": true, "PrivateIpAddress": "10.0.2.6", "Ipv6Addresses": [],
   "Groups": [{"GroupId": "sg-0c4", "GroupName": "job"}], "TagSet": []},
  {"NetworkInterfaceId": "eni-5", "Description": "RDSNetworkInterface", "InterfaceType": "interface", "RequesterId": "amazon-rds", "PrivateIpAddress": "10.0.2.7",
   "Groups": [{"GroupId": "sg-0b2", "GroupName": "back"}], "TagSet": []},
  {"NetworkInterfaceId": "eni-6", "Status": "available", "InterfaceType": "interface", "PrivateIpAddress": "10.0.2.8", "Groups": [], "TagSet": []}]}"#;

#[test]
fn instances_and_interfaces_of_other_things() {
    let inventory = inventory(&[INSTANCES, INTERFACES]);
    let names: Vec<&str> = inventory.entries.iter().map(|entry| &*entry.document).collect();
    assert_eq!(names, ["i-1", "i-3", "eni-3", "eni-4", "eni-5", "eni-6"]);
    let first = entry(&inventory, "i-1");
    assert_eq!(addresses(first), ["10.0.0.10", "10.0.0.11", "2001:db8::10", "10.0.1.10"]);
    assert_eq!(first.labels.get("aws:autoscaling:groupName").map(String::as_str), Some("front"));
    assert_eq!(addresses(entry(&inventory, "i-3")), ["10.0.0.12"], "a stopped one keeps its own");
    assert_eq!(entry(&inventory, "eni-4").labels["ec2.type"], "lambda");
    assert_eq!(entry(&inventory, "eni-5").kind, Kind::Interface);
    let problems: Vec<String> = inventory.problems.iter().map(ToString::to_string).collect();
    assert_eq!(problems, ["0: `eni-2`: prefixes delegated to the interface are left out"]);
}

const CONTAINERS: &str = r#"[
  {"Id": "4f6c", "Created": "2026-01-01T00:00:00.1Z", "Path": "nginx", "Args": [], "State": {"Status": "running", "Running": true, "Paused": false, "Restarting": false, "Pid": 9, "StartedAt": "2026-01-01T00:00:01.123456789Z", "FinishedAt": "0001-01-01T00:00:00Z"},
   "Image": "sha256:aa", "Name": "/shop-web-1", "HostConfig": {"NetworkMode": "shop_front", "PortBindings": {"80/tcp": [{"HostIp": "", "HostPort": "8080"}]}},
   "Config": {"Hostname": "4f6c", "Image": "nginx:1", "Labels": {"com.docker.compose.project": "shop", "com.docker.compose.service": "web", "com.docker.swarm.service.name": "web"}},
   "NetworkSettings": {"Bridge": "", "IPAddress": "", "GlobalIPv6Address": "", "Ports": {"80/tcp": [{"HostIp": "0.0.0.0", "HostPort": "8080"}]}, "Networks": {
     "shop_back": {"IPAMConfig": null, "Aliases": ["web"], "NetworkID": "bb", "Gateway": "172.19.0.1", "IPAddress": "172.19.0.3", "IPPrefixLen": 16, "IPv6Gateway": "", "GlobalIPv6Address": "", "GlobalIPv6PrefixLen": 0},
     "shop_front": {"IPAddress": "172.18.0.2", "GlobalIPv6Address": "fd00:18::2", "DNSNames": ["web"]}}}},
  {"Id": "5a7d", "Name": "/shop-mesh-1", "State": {"Running": true, "StartedAt": "2026-01-01T00:00:02Z"}, "HostConfig": {"NetworkMode": "container:4f6c"}, "Config": {"Labels": null},
   "NetworkSettings": {"Networks": {}}},
  {"Id": "6b8e", "Name": "/agent", "State": {"Running": true}, "HostConfig": {"NetworkMode": "host"}, "Config": {"Labels": {}}, "NetworkSettings": {"Networks": {"host": {"IPAddress": ""}}}},
  {"Id": "7c9f", "Name": "/fresh", "State": {"Status": "created", "Running": false, "StartedAt": "0001-01-01T00:00:00Z", "FinishedAt": "0001-01-01T00:00:00Z"}, "Config": {},
   "NetworkSettings": {"Networks": {"shop_front": {"IPAddress": ""}}}},
  {"Id": "8d0a", "Name": "/none", "State": {"Running": true}, "HostConfig": {"NetworkMode": "none"}, "Config": {}, "NetworkSettings": {"Networks": {"none": {"IPAddress": ""}}}}]"#;

#[test]
fn containers_in_several_networks_and_in_others() {
    let inventory = inventory(&[CONTAINERS]);
    assert!(inventory.problems.is_empty(), "{:?}", inventory.problems);
    let web = entry(&inventory, "shop-web-1");
    assert_eq!(addresses(web), ["172.19.0.3", "172.18.0.2", "fd00:18::2"]);
    for key in ["docker.network/shop_back", "docker.network/shop_front", "com.docker.compose.service"] {
        assert!(web.labels.contains_key(key), "{key}: {:?}", web.labels);
    }
    for (name, kind) in
        [("shop-mesh-1", Kind::HostContainer), ("agent", Kind::HostContainer), ("none", Kind::Container)]
    {
        assert_eq!(
            (entry(&inventory, name).kind, addresses(entry(&inventory, name))),
            (kind, Vec::new()),
            "{name}"
        );
    }
}

const CLUSTER: &str = r#"{"apiVersion": "v1", "kind": "List", "metadata": {"resourceVersion": ""}, "items": [
  {"apiVersion": "v1", "kind": "List", "items": [{"apiVersion": "v1", "kind": "PodList", "items": null}, {"apiVersion": "v1", "kind": "PodList", "items": [
    {"metadata": {"name": "web-0", "namespace": "shop", "uid": "1", "creationTimestamp": "2026-01-01T00:00:00Z", "labels": {"app": "web"}, "annotations": {"a": "{\"b\":1}"},
       "managedFields": [{"manager": "kubectl", "operation": "Update", "apiVersion": "v1", "fieldsType": "FieldsV1", "fieldsV1": {"f:spec": {"f:containers": {"k:{\"name\":\"c\"}": {".": {}, "f:image": {}}}}}}],
       "ownerReferences": [{"kind": "ReplicaSet", "name": "web", "controller": true}]},
     "spec": {"nodeName": "n1", "containers": [
        {"name": "a", "ports": [{"name": "http", "containerPort": 8080, "protocol": "TCP"}]}, {"name": "b", "ports": [{"name": "http", "containerPort": 8081, "protocol": "TCP"}, {"containerPort": 9}]}],
        "initContainers": [{"name": "once", "ports": [{"name": "setup", "containerPort": 1}]}, {"name": "mesh", "restartPolicy": "Always", "ports": [{"name": "mesh", "containerPort": 15001}]}]},
     "status": {"phase": "Running", "hostIP": "192.168.0.1", "hostIPs": [{"ip": "192.168.0.1"}], "podIP": "10.0.0.1", "podIPs": [{"ip": "10.0.0.1"}, {"ip": "fd00::1"}], "startTime": "2026-01-01T00:00:00Z"}},
    {"metadata": {"name": "pending", "namespace": "shop"}, "spec": {"containers": []}, "status": {"phase": "Pending"}},
    {"metadata": {"name": "evicted", "namespace": "shop"}, "spec": {"containers": []}, "status": {"phase": "Failed", "reason": "Evicted", "podIP": "10.0.0.1", "startTime": "2026-01-01T00:00:00Z"}},
    {"metadata": {"name": "done", "namespace": "shop"}, "spec": {"containers": []}, "status": {"phase": "Succeeded", "podIP": "10.0.0.1", "podIPs": [{"ip": "10.0.0.1"}]}},
    {"metadata": {"name": "proxy", "namespace": "kube-system"}, "spec": {"hostNetwork": true, "nodeName": "n1", "containers": []}, "status": {"phase": "Running", "podIP": "192.168.0.1", "hostIP": "192.168.0.1"}}]}]},
  {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "shop", "labels": {"kubernetes.io/metadata.name": "shop"}}, "spec": {"finalizers": ["kubernetes"]}, "status": {"phase": "Active"}},
  {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "kube-system"}},
  {"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": {"name": "web", "namespace": "shop", "managedFields": [{"fieldsV1": {"f:spec": {"f:ingress": {}, "f:policyTypes": {}}}}],
     "annotations": {"kubectl.kubernetes.io/last-applied-configuration": "{\"spec\":{\"podSelector\":{\"matchLabels\":{\"app\":\"x\"}}}}\n"}},
   "spec": {"podSelector": {"matchLabels": {"app": "web"}}, "policyTypes": ["Ingress"], "ingress": [{"ports": [{"port": "http", "protocol": "TCP"}]}]}, "status": {}}]}
{"apiVersion": "v1", "kind": "List", "items": []}"#;

#[test]
fn a_whole_cluster_in_one_file() {
    let inventory = inventory(&[CLUSTER]);
    let problems: Vec<&str> = inventory.problems.iter().map(|problem| &*problem.message).collect();
    assert_eq!(problems, ["an object of the kind `NetworkPolicy` is left out"]);
    let web = entry(&inventory, "shop.web-0");
    assert_eq!(addresses(web), ["10.0.0.1", "fd00::1"]);
    assert_eq!(web.labels["k8s.port/http"], "tcp-8080_tcp-8081");
    assert_eq!(web.labels["k8s.port/mesh"], "tcp-15001");
    assert!(!web.labels.contains_key("k8s.port/setup"));
    for name in ["shop.pending", "shop.evicted", "shop.done"] {
        assert_eq!(addresses(entry(&inventory, name)), Vec::<String>::new(), "{name}");
    }
    let source = [Source::new("cluster.json", CLUSTER)];
    let imported =
        network_policies(&source, Some(&inventory)).unwrap_or_else(|errors| panic!("{}", errors[0]));
    assert_eq!(
        messages(&imported),
        Vec::<String>::new(),
        "pods and namespaces are no policies, and lose nothing"
    );
    valid(&imported);
    assert_eq!(ports(&flows(&imported, "networkpolicy.shop.web")[0]), ["tcp/8080-8081"]);
}

#[test]
fn nothing_found_is_an_inventory_too() {
    for text in [
        r#"{"kind": "List", "items": []}"#,
        r#"{"kind": "PodList", "items": null}"#,
        "apiVersion: v1\nitems: []\nkind: List\n",
        "[]",
    ] {
        assert_eq!(inventory(&[text]).entries, []);
    }
}
