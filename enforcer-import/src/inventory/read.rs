//! From text to entries. What a source is, is told by its content, object by object.
//!
//! Only the few fields that count are read, with small structures of this crate: the full types of these systems refuse
//! whatever a newer version adds, and cost minutes to compile. An object that can't be read is a problem, not an end.

use super::finish::finish;
use super::{Entry, Inventory, Problem, docker, ec2, kubernetes};
use enforcer_policy::diagnostic::shown;
use enforcer_policy::model::Labels;
use enforcer_policy::source::Source;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::collections::BTreeSet;
use std::sync::Arc;

/// More problems than these are only counted.
const MOST_PROBLEMS: usize = 1000;
/// Lists inside lists, as some queries give them.
const DEPTH: usize = 4;

/// A source that is no inventory.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    /// Not JSON, or not YAML.
    #[error("`{}`{place} can't be read: {message}", shown(.file))]
    Syntax {
        /// The source.
        file: Arc<str>,
        /// `:line:column`, where the parser told.
        place: String,
        /// What is wrong.
        message: String,
    },
    /// Nothing in it is known.
    #[error("`{}` holds nothing that an inventory is made of", shown(.file))]
    Unknown {
        /// The source.
        file: Arc<str>,
    },
}

impl ReadError {
    /// The way out.
    pub const fn help(&self) -> &'static str {
        "known are `kubectl get pods,nodes,namespaces -o json` (or yaml), `aws ec2 describe-instances` and \
         `describe-network-interfaces`, and `docker inspect`"
    }
}

/// What is read so far.
pub(super) struct Reading {
    pub(super) inventory: Inventory,
    pub(super) source: Arc<str>,
    /// Interfaces that instances have already named.
    pub(super) interfaces: BTreeSet<String>,
    /// Interfaces named on their own.
    pub(super) loose: Vec<(String, Entry)>,
    /// Nodes that pods name: name, address, source.
    pub(super) machines: Vec<(String, std::net::IpAddr, Arc<str>)>,
    recognised: bool,
    suppressed: usize,
}

impl Inventory {
    /// Reads all sources together: `kubectl get … -o json|yaml`, `aws ec2 describe-…`, `docker inspect`.
    pub fn read(sources: &[Source]) -> Result<Self, ReadError> {
        let mut reading = Reading {
            inventory: Self::default(),
            source: "".into(),
            interfaces: BTreeSet::new(),
            loose: Vec::new(),
            machines: Vec::new(),
            recognised: false,
            suppressed: 0,
        };
        for source in sources {
            reading.source = Arc::clone(&source.name);
            reading.recognised = false;
            for value in values(source)? {
                reading.value(value, 0);
            }
            if !reading.recognised {
                return Err(ReadError::Unknown { file: Arc::clone(&source.name) });
            }
        }
        finish(&mut reading);
        if reading.suppressed > 0 {
            let message = format!("{} more problems are not shown", reading.suppressed);
            reading.inventory.problems.push(Problem { source: reading.source, message });
        }
        Ok(reading.inventory)
    }
}

/// The documents of a source: JSON values one after the other, or YAML documents.
pub(crate) fn values(source: &Source) -> Result<Vec<Value>, ReadError> {
    let text = source.text.trim_start_matches('\u{feff}');
    let syntax = |line: usize, column: usize, message: String| {
        let place = if line > 0 { format!(":{line}:{column}") } else { String::new() };
        ReadError::Syntax { file: Arc::clone(&source.name), place, message: shown(&message) }
    };
    if text.trim_start().starts_with(['{', '[']) {
        serde_json::Deserializer::from_str(text)
            .into_iter::<Value>()
            .collect::<Result<_, _>>()
            .map_err(|error| syntax(error.line(), error.column(), error.to_string()))
    } else {
        serde_yaml::Deserializer::from_str(text)
            .map(|document| {
                Value::deserialize(document).map_err(|error| {
                    let (line, column) = error.location().map_or((0, 0), |at| (at.line(), at.column()));
                    syntax(line, column, error.to_string())
                })
            })
            .collect()
    }
}

impl Reading {
    pub(super) fn problem(&mut self, message: String) {
        if self.inventory.problems.len() < MOST_PROBLEMS {
            self.inventory.problems.push(Problem { source: Arc::clone(&self.source), message });
        } else {
            self.suppressed += 1;
        }
    }

    /// One object, or a list of them.
    fn value(&mut self, mut value: Value, depth: usize) {
        let take = |value: &mut Value, field: &str| value.get_mut(field).map(Value::take);
        if let Value::Array(items) = value {
            // `docker inspect` of nothing is an empty list.
            self.recognised |= items.is_empty();
            if depth < DEPTH {
                items.into_iter().for_each(|item| self.value(item, depth + 1));
            }
        } else if let Some(kind) = value.get("kind").and_then(Value::as_str).map(str::to_owned) {
            match (kind.strip_suffix("List"), take(&mut value, "items")) {
                // What a client that found nothing prints.
                (Some(_), None | Some(Value::Null)) => self.recognised = true,
                (Some(of), Some(Value::Array(items))) if depth < DEPTH => {
                    self.recognised = true;
                    for mut item in items {
                        if let Value::Object(fields) = &mut item
                            && !of.is_empty()
                            && !fields.contains_key("kind")
                        {
                            fields.insert("kind".to_owned(), Value::from(of));
                        }
                        self.value(item, depth + 1);
                    }
                }
                _ => self.kubernetes(&kind, value),
            }
        } else if let Some(Value::Array(reservations)) = take(&mut value, "Reservations") {
            self.recognised = true;
            for mut reservation in reservations {
                if let Some(Value::Array(instances)) = take(&mut reservation, "Instances") {
                    instances.into_iter().for_each(|item| self.object(item, "instance", ec2::instance));
                }
            }
        } else if value.get("InstanceId").is_some() && value.get("NetworkInterfaceId").is_none() {
            self.object(value, "instance", ec2::instance);
        } else if let Some(Value::Array(interfaces)) = take(&mut value, "NetworkInterfaces") {
            self.recognised = true;
            interfaces.into_iter().for_each(|item| self.object(item, "interface", ec2::interface));
        } else if value.get("NetworkInterfaceId").is_some() {
            self.object(value, "interface", ec2::interface);
        } else if value.get("NetworkSettings").is_some() {
            self.object(value, "container", docker::container);
        } else if !value.is_null() {
            self.problem("an object that no inventory is made of is left out".to_owned());
        }
    }

    fn kubernetes(&mut self, kind: &str, value: Value) {
        match kind {
            "Pod" => self.object(value, "pod", kubernetes::pod),
            "Node" => self.object(value, "node", kubernetes::node),
            "Namespace" => self.object(value, "namespace", kubernetes::namespace),
            other => self.problem(format!("an object of the kind `{}` is left out", shown(other))),
        }
    }

    fn object<T: DeserializeOwned>(&mut self, value: Value, what: &str, read: fn(&mut Self, T)) {
        match serde_json::from_value(value) {
            Ok(object) => {
                self.recognised = true;
                read(self, object);
            }
            Err(error) => self.problem(format!("a {what} is left out: {}", shown(&error.to_string()))),
        }
    }

    /// Labels that others chose, without those that they may not choose.
    pub(super) fn labels(&mut self, of: &str, labels: impl IntoIterator<Item = (String, String)>) -> Labels {
        let mut admitted = Labels::new();
        for (key, value) in labels {
            if let Err(why) = super::labels::admit(&mut admitted, &key, &value) {
                self.problem(format!("`{}`: {why}", shown(of)));
            }
        }
        admitted
    }

    /// A label that the inventory itself gives.
    pub(super) fn label(&mut self, of: &str, labels: &mut Labels, key: &str, value: &str) {
        if let Err(why) = super::labels::insert(labels, key, value) {
            self.problem(format!("`{}`: {why}", shown(of)));
        }
    }

    /// An address as a source writes it; nothing where it has none.
    pub(super) fn address(&mut self, of: &str, text: &str) -> Option<std::net::IpAddr> {
        if text.is_empty() {
            return None;
        }
        match text.parse::<std::net::IpAddr>().map(|address| address.to_canonical()) {
            Ok(address) => Some(address),
            Err(_) => {
                self.problem(format!("`{}`: `{}` is not an address", shown(of), shown(text)));
                None
            }
        }
    }
}
