//! Labels from outside: what is valid in documents, and keys that workloads can't give themselves.
//!
//! | key | from |
//! | --- | --- |
//! | a pod's, container's or node's own label keys | its labels |
//! | an EC2 tag's key, with spaces, `=`, `,`, `%` and control characters as `%20` | its tags |
//! | `k8s.namespace` | the pod's namespace |
//! | `k8s.namespace/KEY` | the label `KEY` of the pod's namespace |
//! | `k8s.port/NAME` | the pod's container port of this name, as `tcp-8080`; several as `tcp-8080_udp-53` |
//! | `k8s.node` | the node's name, on nodes only |
//! | `sg:ID` | membership in the security group; the value is the group's name, or `member` |
//! | `ec2.groups` | how many security groups it is in, where there are any |
//! | `ec2.vpc`, `ec2.type` | the VPC; what an interface belongs to |
//! | `docker.name`, `docker.image`, `docker.network/NAME` | the container's name, image and networks |
//!
//! Whoever may label a pod, a container or an instance could otherwise pretend to be in another namespace or group: a key
//! of the lower part that stands among the labels or tags themselves is left out, and that is said.

use enforcer_policy::diagnostic::shown;
use enforcer_policy::model::{Labels, POSTURE};

/// The pod's namespace.
pub const NAMESPACE: &str = "k8s.namespace";
/// The node's name, on nodes.
pub const NODE: &str = "k8s.node";
/// Container ports by name.
pub const PORT: &str = "k8s.port";
/// Membership in a security group.
pub const GROUP: &str = "sg:";
/// On everything that is in some security group.
pub const GROUPS: &str = "ec2.groups";

/// The key under which pods carry a label of their namespace.
pub fn of_namespace(key: &str) -> String {
    format!("{NAMESPACE}/{key}")
}

/// The key under which pods carry a named port.
pub fn of_port(name: &str) -> String {
    format!("{PORT}/{name}")
}

/// The key under which members of a security group are known.
pub fn of_group(id: &str) -> String {
    format!("{GROUP}{id}")
}

/// Whether only inventories themselves give this key.
pub fn is_reserved(key: &str) -> bool {
    const OWN: [&str; 9] = [
        GROUPS,
        NAMESPACE,
        NODE,
        PORT,
        "ec2.vpc",
        "ec2.type",
        "docker.name",
        "docker.image",
        "docker.network",
    ];
    let whole = key.split('/').next().unwrap_or(key);
    key.starts_with(GROUP) || OWN.contains(&whole)
}

/// Adds labels that others chose: `Err` says which one was left out and why, safe to show.
pub fn admit(labels: &mut Labels, key: &str, value: &str) -> Result<(), String> {
    if is_reserved(key) {
        return Err(format!(
            "the label `{}` is left out: only the inventory itself gives this key",
            shown(key)
        ));
    }
    insert(labels, key, value)
}

/// Adds a label if it is valid.
pub fn insert(labels: &mut Labels, key: &str, value: &str) -> Result<(), String> {
    check(key, value).map_err(|why| format!("the label `{}` is left out: {why}", shown(key)))?;
    labels.insert(key.to_owned(), value.to_owned());
    Ok(())
}

/// The language's rules for labels. The round trip through its own reader is held in the tests.
pub(crate) fn check(key: &str, value: &str) -> Result<(), &'static str> {
    let (prefix, name) = key.rsplit_once('/').unwrap_or(("k", key));
    if prefix.is_empty() || name.is_empty() {
        Err("its key is empty, before or after the `/`")
    } else if prefix.len() > 253 || name.len() > 63 {
        Err("its key is too long")
    } else if key.chars().any(|c| c.is_control() || c.is_whitespace() || matches!(c, '=' | ',')) {
        Err("its key has characters that may not stand in it")
    } else if value.len() > 63 {
        Err("its value has more than 63 bytes")
    } else if value.chars().any(char::is_control) {
        Err("its value has control characters")
    } else if key.starts_with(POSTURE) {
        Err("only who attests it gives it")
    } else {
        Ok(())
    }
}

/// A tag's key as a label key: what may not stand in one as percent and two hexadecimal digits, byte by byte.
pub fn tag_key(key: &str) -> String {
    let mut out = String::with_capacity(key.len());
    for character in key.chars() {
        if character.is_control() || character.is_whitespace() || matches!(character, '=' | ',' | '%') {
            let mut bytes = [0; 4];
            for byte in character.encode_utf8(&mut bytes).bytes() {
                out.push_str(&format!("%{byte:02x}"));
            }
        } else {
            out.push(character);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_only_the_inventory_gives_cannot_be_claimed() {
        for key in
            ["k8s.namespace", "k8s.namespace/team", "sg:sg-1", "k8s.port/http", "docker.name", "k8s.node"]
        {
            let mut labels = Labels::new();
            assert!(admit(&mut labels, key, "x").is_err() && labels.is_empty(), "{key}");
            assert!(insert(&mut labels, key, "x").is_ok(), "{key}");
        }
        assert!(insert(&mut Labels::new(), "posture.disk", "x").is_err(), "nobody may");
        for key in ["k8s.namespaces", "app", "k8s.io/app", "sg", "docker.names/x"] {
            assert!(admit(&mut Labels::new(), key, "x").is_ok(), "{key}");
        }
    }

    #[test]
    fn tags_stay_apart() {
        assert_eq!(tag_key("cost center"), "cost%20center");
        assert_eq!(tag_key("cost%20center"), "cost%2520center");
        assert_eq!(tag_key("a=b,c\u{a0}"), "a%3db%2cc%c2%a0");
        assert_eq!(tag_key("aws:autoscaling:groupName"), "aws:autoscaling:groupName");
    }
}
