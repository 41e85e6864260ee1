//! AWS security groups, as `aws ec2 describe-security-groups` prints them, with prefix lists where they are given.
//!
//! A group's members carry the label `sg:ID`, and everything in some group carries `ec2.groups`. Groups allow; what no
//! group of an end allows is denied there. Both ends' groups have a say, and what is in no group agrees to everything.

use super::model::{Model, Rule};
use super::parts::Parts;
use super::reader::{Fields, Findings, Reader, beginning, has};
use super::{Imported, lower, selector};
use crate::algebra::{Block, Condition, Conjunction, PortSet, Rect, Who, without_whole_families};
use crate::inventory::{Inventory, labels};
use enforcer_policy::diagnostic::{Diagnostic, shown};
use enforcer_policy::source::Source;
use enforcer_policy::yaml::{Node, Value, documents};
use ipnet::IpNet;
use std::collections::{BTreeMap, BTreeSet};

const GROUP: [&str; 9] = [
    "GroupId",
    "GroupName",
    "Description",
    "VpcId",
    "OwnerId",
    "Tags",
    "SecurityGroupArn",
    "IpPermissions",
    "IpPermissionsEgress",
];
const PERMISSION: [&str; 7] =
    ["IpProtocol", "FromPort", "ToPort", "UserIdGroupPairs", "IpRanges", "Ipv6Ranges", "PrefixListIds"];

pub(super) fn import(sources: &[Source], inventory: Option<&Inventory>) -> Result<Imported, Vec<Diagnostic>> {
    let mut findings = Findings::default();
    let mut groups = Groups { inventory, ..Groups::default() };
    // Lists and the names of groups first: rules refer to both wherever they stand.
    let parts = Parts::of(sources);
    for source in parts.sources() {
        let mut reader = Reader { source, findings: &mut findings };
        let broken = documents(source, |root, _| {
            each(&root, &mut |root| groups.survey(&mut reader, root));
        });
        findings.errors.extend(broken);
    }
    for source in parts.sources() {
        let mut reader = Reader { source, findings: &mut findings };
        let before = groups.read;
        documents(source, |root, _| {
            each(&root, &mut |root| groups.document(&mut reader, root));
        });
        if groups.read == before && findings.errors.is_empty() {
            let message = "neither security groups nor prefix lists stand here";
            let error = Diagnostic::error(source, beginning(), message);
            findings.errors.push(error.help("for example, from `aws ec2 describe-security-groups`"));
        }
    }
    if !findings.errors.is_empty() {
        return Err(parts.whole(findings.errors));
    }
    groups.strangers(&mut findings);
    findings.notes.push(
        "rules for all protocols don't name those that carry other flows (GRE, IP in IP, …): allow them by number where they are meant"
            .to_owned(),
    );
    let model = Model {
        rules: groups.rules,
        ingress: groups.ingress,
        egress: groups.egress,
        members: vec![members()],
        guardrails: Vec::new(),
        v6: findings.v6,
        wall: "groups-only-as-allowed".to_owned(),
        called: "members of security groups",
    };
    let mut imported = lower::lower(&model, inventory, findings);
    imported.losses = parts.whole(imported.losses);
    Ok(imported)
}

/// An answer, or each of a list of them.
fn each(node: &Node<'_>, take: &mut dyn FnMut(&Node<'_>)) {
    match &node.value {
        Value::Sequence(items) => items.iter().for_each(|item| each(item, take)),
        _ => take(node),
    }
}

/// A group by itself, as `--query 'SecurityGroups'` leaves it.
fn is_group(node: &Node<'_>) -> bool {
    has(node, "GroupId") && (has(node, "IpPermissions") || has(node, "IpPermissionsEgress"))
}

/// Everything in some group.
fn members() -> Conjunction {
    Conjunction::of(labels::GROUPS, Condition::exists())
}

fn member_of(id: &str) -> Conjunction {
    Conjunction::of(labels::of_group(id), Condition::exists())
}

#[derive(Default)]
struct Groups<'i> {
    inventory: Option<&'i Inventory>,
    lists: BTreeMap<String, Vec<IpNet>>,
    known: BTreeSet<String>,
    rules: Vec<Rule>,
    ingress: Vec<Rect>,
    egress: Vec<Rect>,
    read: usize,
}

impl Groups<'_> {
    fn items<'n, 's>(reader: &mut Reader<'_>, root: &'n Node<'s>, name: &str) -> Option<&'n [Node<'s>]> {
        let Value::Mapping(entries) = &root.value else { return None };
        let found = entries.iter().find(|entry| entry.key.text() == Some(name))?;
        reader.list(&found.value, name)
    }

    fn survey(&mut self, reader: &mut Reader<'_>, root: &Node<'_>) {
        let alone = if is_group(root) { std::slice::from_ref(root) } else { &[] };
        for group in Self::items(reader, root, "SecurityGroups").unwrap_or(alone) {
            if let Some(id) = scalar(group, "GroupId")
                && !self.known.insert(id.to_owned())
            {
                reader.error(group, format!("the group `{}` was read before", shown(id)));
            }
        }
        for list in Self::items(reader, root, "PrefixLists").unwrap_or_default() {
            let blocks = Self::items(reader, list, "Cidrs");
            if let (Some(id), Some(blocks)) = (scalar(list, "PrefixListId"), blocks) {
                let blocks = blocks.iter().filter_map(|block| reader.block(block, "a block")).collect();
                self.lists.insert(id.to_owned(), blocks);
            }
        }
        if let Some(entries) = Self::items(reader, root, "Entries") {
            // `get-managed-prefix-list-entries` doesn't say of which list: its file's name does.
            let of_file = reader.source.name.match_indices("pl-").last().map(|(at, _)| {
                let rest = &reader.source.name[at + 3..];
                let end = rest.find(|c: char| !c.is_ascii_hexdigit()).unwrap_or(rest.len());
                format!("pl-{}", &rest[..end])
            });
            let Some(id) = scalar(root, "PrefixListId").map(str::to_owned).or(of_file) else {
                reader.error(
                    root,
                    "whose entries these are isn't known: let the file's name hold the list's id, `pl-…`",
                );
                return;
            };
            let blocks = entries.iter().filter_map(|entry| {
                let Value::Mapping(fields) = &entry.value else { return None };
                let cidr = fields.iter().find(|field| field.key.text() == Some("Cidr"))?;
                reader.block(&cidr.value, "`Cidr`")
            });
            let blocks = blocks.collect();
            self.lists.insert(id, blocks);
        }
    }

    fn document(&mut self, reader: &mut Reader<'_>, root: &Node<'_>) {
        for one in ["SecurityGroups", "PrefixLists", "Entries"] {
            self.read += usize::from(Self::items(reader, root, one).is_some());
        }
        let alone = if is_group(root) { std::slice::from_ref(root) } else { &[] };
        self.read += alone.len();
        for group in Self::items(reader, root, "SecurityGroups").unwrap_or(alone) {
            self.group(reader, group);
        }
    }

    fn group(&mut self, reader: &mut Reader<'_>, node: &Node<'_>) -> Option<()> {
        let fields = reader.fields(node, "a security group", &GROUP)?;
        let Some(id) = fields.get("GroupId").and_then(Node::text) else {
            reader.error(node, "a security group has a `GroupId`");
            return None;
        };
        if !selector::valid(reader, node, &labels::of_group(id), "member") {
            return None;
        }
        let name = fields.get("GroupName").and_then(Node::text).unwrap_or_default();
        let description = fields.get("Description").and_then(Node::text);
        for (section, inward) in [("IpPermissions", true), ("IpPermissionsEgress", false)] {
            let items = fields.get(section).map_or(Some(&[][..]), |node| reader.list(node, section))?;
            for (index, item) in items.iter().enumerate() {
                self.rules.push(Rule {
                    base: format!("sg.{id}"),
                    object: format!("security group {} ({})", shown(id), shown(name)),
                    part: format!("{section}[{index}]"),
                    place: format!("{}:{}", shown(&reader.source.name), node.span.line),
                    at: Some((reader.source.clone(), item.span)),
                    words: description.filter(|text| !text.is_empty()).map(str::to_owned),
                });
                let rule = self.rules.len() - 1;
                let Some((peers, ports, words)) = self.permission(reader, item) else { continue };
                if words.is_some() {
                    self.rules[rule].words = words;
                }
                for peer in peers {
                    let rect = Rect { subject: member_of(id), peer, ports: ports.clone(), rule };
                    if inward { self.ingress.push(rect) } else { self.egress.push(rect) }
                }
            }
        }
        Some(())
    }

    /// Peers, ports, and the descriptions of the peers.
    fn permission(
        &self,
        reader: &mut Reader<'_>,
        node: &Node<'_>,
    ) -> Option<(Vec<Who>, PortSet, Option<String>)> {
        let fields = reader.fields(node, "a permission", &PERMISSION)?;
        if fields.strange {
            return None;
        }
        let ports = ports(reader, node, &fields)?;
        let mut peers = Vec::new();
        let mut words: Vec<String> = Vec::new();
        for section in ["UserIdGroupPairs", "IpRanges", "Ipv6Ranges", "PrefixListIds"] {
            let items = fields.get(section).map_or(Some(&[][..]), |node| reader.list(node, section))?;
            for item in items {
                peers.extend(self.peer(reader, item, section).unwrap_or_default());
                words.extend(scalar(item, "Description").filter(|text| !text.is_empty()).map(str::to_owned));
            }
        }
        words.dedup();
        words.truncate(3);
        let peers = without_whole_families(peers);
        Some((peers, ports, (!words.is_empty()).then(|| words.join(", "))))
    }

    fn peer(&self, reader: &mut Reader<'_>, node: &Node<'_>, section: &str) -> Option<Vec<Who>> {
        let known: &[&str] = match section {
            "UserIdGroupPairs" => &[
                "GroupId",
                "GroupName",
                "UserId",
                "VpcId",
                "VpcPeeringConnectionId",
                "PeeringStatus",
                "Description",
            ],
            "IpRanges" => &["CidrIp", "Description"],
            "Ipv6Ranges" => &["CidrIpv6", "Description"],
            _ => &["PrefixListId", "Description"],
        };
        let fields = reader.fields(node, "a peer", known)?;
        let Some(field) = fields.get(known[0]).filter(|_| !fields.strange) else {
            if section == "UserIdGroupPairs" && !fields.strange {
                // Groups of services of AWS are named and have no id.
                let help = "add a rule for the addresses of what it names";
                reader.loss(node, "a group that is referred to by its name only isn't known", help);
            } else if !fields.strange {
                reader.error(node, format!("an entry of `{section}` has a `{}`", known[0]));
            }
            return None;
        };
        let everywhere = |blocks: &[IpNet]| {
            let blocks = blocks.iter().filter_map(|net| Block::new(*net, []));
            blocks
                .flat_map(|block| [Who::member(members()).at(block.clone()), Who::outside().at(block)])
                .collect()
        };
        match section {
            // A reference over a peering that has ended is stale: nobody fits it.
            "UserIdGroupPairs" if stale(&fields) => Some(Vec::new()),
            "UserIdGroupPairs" => self.reference(reader, field),
            "PrefixListIds" => {
                let id = reader.text(field, "`PrefixListId`")?;
                let Some(blocks) = self.lists.get(id) else {
                    let message = format!("the entries of the prefix list `{}` aren't known", shown(id));
                    reader.loss(field, message, "add `aws ec2 get-managed-prefix-list-entries`, in a file that has the list's id as its name");
                    return None;
                };
                Some(everywhere(blocks))
            }
            _ => Some(everywhere(&[reader.block(field, known[0])?])),
        }
    }

    fn reference(&self, reader: &mut Reader<'_>, field: &Node<'_>) -> Option<Vec<Who>> {
        let id = reader.text(field, "`GroupId`")?;
        if self.known.contains(id) {
            return Some(vec![Who::member(member_of(id))]);
        }
        // Its members' own rules aren't known, so they can't be held by them: they are like any address.
        let key = labels::of_group(id);
        let entries = self.inventory.map(|inventory| inventory.entries.iter());
        let found: Vec<Who> = entries
            .into_iter()
            .flatten()
            .filter(|entry| entry.labels.contains_key(&key))
            .flat_map(|entry| entry.addresses_at(None))
            .filter_map(|address| Some(Who::outside().at(Block::new(address.into(), [])?)))
            .collect();
        let message = format!("the group `{}` isn't described here", shown(id));
        let help = if found.is_empty() {
            "add it to the input of `import`, for example from the other account"
        } else {
            "its members are taken as they are in the inventory, and not held by rules of their own"
        };
        reader.loss(field, message, help);
        Some(found)
    }

    /// Members of groups that nobody described.
    fn strangers(&self, findings: &mut Findings) {
        for entry in self.inventory.iter().flat_map(|inventory| &inventory.entries) {
            let unknown = entry.labels.keys().filter_map(|key| key.strip_prefix(labels::GROUP));
            for id in unknown.filter(|id| !self.known.contains(*id)) {
                findings.notes.push(format!(
                    "`{}` is in the group `{}`, whose rules aren't among the input: what only they allow is denied",
                    shown(&entry.name),
                    shown(id)
                ));
            }
        }
    }
}

fn stale(pair: &Fields<'_, '_>) -> bool {
    let status = pair.get("PeeringStatus").and_then(Node::text);
    matches!(status, Some("deleted" | "expired" | "failed" | "rejected"))
}

fn scalar<'n>(node: &'n Node<'_>, name: &str) -> Option<&'n str> {
    let Value::Mapping(entries) = &node.value else { return None };
    entries.iter().find(|entry| entry.key.text() == Some(name) && !entry.value.is_null())?.value.text()
}

fn ports(reader: &mut Reader<'_>, node: &Node<'_>, fields: &Fields<'_, '_>) -> Option<PortSet> {
    let protocol = fields.get("IpProtocol").and_then(Node::text).unwrap_or_default();
    let number = match protocol {
        "-1" => return Some(PortSet::all()),
        "tcp" => 6,
        "udp" => 17,
        "icmp" => 1,
        "icmpv6" => 58,
        other => match other.parse::<u8>() {
            Ok(number) => number,
            Err(_) => {
                reader.error(node, format!("`{}` is no `IpProtocol`", shown(protocol)));
                return None;
            }
        },
    };
    let bound = |name: &str| fields.get(name).and_then(Node::text).map_or(Ok(-1), str::parse::<i32>);
    let (Ok(from), Ok(to)) = (bound("FromPort"), bound("ToPort")) else {
        reader.error(node, "`FromPort` and `ToPort` are numbers");
        return None;
    };
    let set = match number {
        6 | 17 if from < 0 && to < 0 => Some(PortSet::protocol(number)),
        6 | 17 => match (u16::try_from(from), u16::try_from(to)) {
            (Ok(from), Ok(to)) if from <= to => Some(PortSet::range(number, from, to)),
            _ => None,
        },
        1 | 58 => match (u8::try_from(from), u8::try_from(to)) {
            (Ok(kind), Ok(code)) => {
                let at = u16::from_be_bytes([kind, code]);
                Some(PortSet::range(number, at, at))
            }
            (Ok(kind), Err(_)) if to == -1 => {
                Some(PortSet::range(number, u16::from_be_bytes([kind, 0]), u16::from_be_bytes([kind, 255])))
            }
            _ if from == -1 => Some(PortSet::protocol(number)),
            _ => None,
        },
        _ => Some(PortSet::protocol(number)),
    };
    if set.is_none() {
        reader.error(node, format!("ports {from} to {to} make no range of `{}`", shown(protocol)));
    }
    set
}
