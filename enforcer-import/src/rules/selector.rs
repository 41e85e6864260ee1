//! Kubernetes' label selectors.

use super::reader::Reader;
use crate::algebra::{Condition, Conjunction};
use crate::inventory::labels;
use enforcer_policy::diagnostic::shown;
use enforcer_policy::yaml::{Node, Value};
use std::collections::BTreeSet;

/// Every namespace has this label with its name.
const NAME: &str = "kubernetes.io/metadata.name";

/// Every pod with a network of its own.
pub(super) fn pods() -> Conjunction {
    Conjunction::of(labels::NAMESPACE, Condition::exists())
}

/// What a selector on pods (`namespaces`: on their namespaces) asks, in addition to `base`. The outer `None` means that it
/// couldn't be read, the inner that nothing fulfils it.
pub(super) fn read(
    reader: &mut Reader<'_>,
    node: &Node<'_>,
    base: Conjunction,
    namespaces: bool,
) -> Option<Option<Conjunction>> {
    let fields = reader.fields(node, "a label selector", &["matchLabels", "matchExpressions"])?;
    if fields.strange {
        reader.error(node, "this selector has a field that isn't known, so whom it selects isn't either");
        return None;
    }
    let mut asked = Some(base);
    let mut sound = true;
    if let Some(node) = fields.get("matchLabels") {
        let Value::Mapping(entries) = &node.value else {
            reader.error(node, format!("`matchLabels` is a mapping, and this is {}", node.describe()));
            return None;
        };
        for entry in entries {
            let (Some(key), Some(value)) = (entry.key.text(), entry.value.text()) else {
                reader.error(&entry.value, "a label's value is text");
                return None;
            };
            match key_of(reader, &entry.key, key, namespaces) {
                Some(key) if !valid(reader, &entry.value, &key, value) => sound = false,
                Some(key) => asked = asked.and_then(|all| all.with(&key, &Condition::is(value))),
                None => sound = false,
            }
        }
    }
    for item in fields
        .get("matchExpressions")
        .map_or(Some(&[][..]), |node| reader.list(node, "`matchExpressions`"))?
    {
        let (key, condition) = expression(reader, item, namespaces)?;
        asked = asked.and_then(|all| all.with(&key, &condition));
    }
    sound.then_some(asked)
}

/// The key by which identities carry a pod's or its namespace's label.
fn key_of(reader: &mut Reader<'_>, node: &Node<'_>, key: &str, namespaces: bool) -> Option<String> {
    if namespaces {
        return Some(if key == NAME { labels::NAMESPACE.to_owned() } else { labels::of_namespace(key) });
    }
    if labels::is_reserved(key) {
        reader.error(
            node,
            format!("the label `{}` of a pod can't be told from what the inventory gives", shown(key)),
        );
        return None;
    }
    Some(key.to_owned())
}

/// Whether a label can be like this; else nothing fits, and the API wouldn't have taken it.
pub(super) fn valid(reader: &mut Reader<'_>, node: &Node<'_>, key: &str, value: &str) -> bool {
    let why = labels::check(key, value).err();
    if let Some(why) = why {
        reader.error(node, format!("`{}: {}` is no label: {why}", shown(key), shown(value)));
    }
    why.is_none()
}

fn expression(reader: &mut Reader<'_>, node: &Node<'_>, namespaces: bool) -> Option<(String, Condition)> {
    let fields = reader.fields(node, "an expression", &["key", "operator", "values"])?;
    let (Some(key), Some(operator)) = (fields.get("key"), fields.get("operator")) else {
        reader.error(node, "an expression has a `key` and an `operator`");
        return None;
    };
    let mut values = BTreeSet::new();
    if let Some(list) = fields.get("values") {
        for item in reader.list(list, "`values`")? {
            values.insert(reader.text(item, "a value")?.to_owned());
        }
    }
    let text = reader.text(key, "`key`")?;
    let (place, key) = (key, key_of(reader, key, text, namespaces)?);
    let nothing = String::new();
    if !values.iter().chain([&nothing]).all(|value| valid(reader, place, &key, value)) {
        return None;
    }
    let condition = match (reader.text(operator, "`operator`")?, values.is_empty()) {
        ("In", false) => Condition::In(values),
        ("NotIn", false) => Condition::NotIn(values),
        ("Exists", true) => Condition::exists(),
        ("DoesNotExist", true) => Condition::Absent,
        (word @ ("In" | "NotIn"), true) => {
            reader.error(operator, format!("`{word}` needs `values`"));
            return None;
        }
        (word @ ("Exists" | "DoesNotExist"), false) => {
            reader.error(operator, format!("`{word}` takes no `values`"));
            return None;
        }
        (word, _) => {
            reader.error(operator, format!("`{}` is no operator of a label selector", shown(word)));
            return None;
        }
    };
    Some((key, condition))
}
