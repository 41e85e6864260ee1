//! Selectors: entries of `from`, `to` and `select`.

use super::reader::{Fields, Mention, Reader, Side};
use super::{address, labels};
use crate::model::{Entity, Expression, LabelSelector, Operator, Selector};
use crate::yaml::{Node, Value};
use ipnet::IpNet;

pub(super) const ENTITIES: [(&str, Entity); 4] = [
    ("host", Entity::Host),
    ("world", Entity::World),
    ("workloads", Entity::Workloads),
    ("all", Entity::All),
];
const ONE_FORM: &str =
    "keep `labels` and `expressions`, or `cidr` and `except`, or `entity`; write two entries to mean either";
const NAME_ONE: &str =
    "name `labels`, `expressions`, `cidr` or `entity`; for anything at all, write `entity: all`";
const NEVER_EVERYTHING: &str =
    "an empty selector never means everything; for every workload, write `entity: workloads`";

/// A non-empty list of selectors; `flow` is the number of the `flows` entry they belong to.
pub(super) fn selectors(
    reader: &mut Reader<'_>,
    node: &Node<'_>,
    side: Side,
    flow: usize,
) -> Option<Vec<Selector>> {
    if !node.is_null() && !matches!(node.value, Value::Sequence(_) | Value::Broken) {
        let message = format!("`{}` must be a list, not {}", side.field(), node.describe());
        reader.error_help(
            node.span,
            message,
            format!("for example `{}: [{{labels: {{app: web}}}}]`", side.field()),
        );
        return None;
    }
    let items = reader.list(node, side.field(), side.never_everything())?;
    let mut selectors = Vec::with_capacity(items.len());
    for (index, item) in items.iter().enumerate() {
        let Some(selector) = selector(reader, item, side) else { continue };
        if matches!(selector, Selector::Labels(_)) {
            reader.mention(Mention::Selector { flow, side, index }, item.span);
        }
        selectors.push(selector);
    }
    (selectors.len() == items.len()).then_some(selectors)
}

fn selector(reader: &mut Reader<'_>, node: &Node<'_>, side: Side) -> Option<Selector> {
    let what = side.entry();
    if node.is_null() {
        reader.error_help(node.span, format!("{what} has no value"), NEVER_EVERYTHING);
        return None;
    }
    let fields = reader.fields(node, what, &["labels", "expressions", "cidr", "except", "entity"])?;
    let by_label = fields.get("labels").is_some() || fields.get("expressions").is_some();
    let forms = [by_label, fields.get("cidr").is_some(), fields.get("entity").is_some()];
    match forms.iter().filter(|form| **form).count() {
        0 if fields.get("except").is_some() => {
            reader.error_help(
                fields.span,
                "`except` without `cidr`",
                "`except` takes blocks out of those in `cidr`",
            );
            return None;
        }
        0 if fields.has_unknown => return None,
        0 => {
            reader.error_help(node.span, format!("{what} selects by nothing"), NAME_ONE);
            return None;
        }
        1 => {}
        _ => {
            reader.error_help(node.span, format!("{what} selects in more than one way"), ONE_FORM);
            return None;
        }
    }
    if let (Some(span), false) = (fields.key_span("except"), forms[1]) {
        reader.error_help(span, "`except` without `cidr`", "`except` takes blocks out of those in `cidr`");
        return None;
    }
    if by_label {
        label_selector(reader, &fields).map(Selector::Labels)
    } else if let Some(cidr) = fields.get("cidr") {
        by_address(reader, cidr, fields.get("except"))
    } else {
        reader.word(fields.get("entity")?, "entity", &ENTITIES).map(Selector::Entity)
    }
}

fn label_selector(reader: &mut Reader<'_>, fields: &Fields<'_, '_>) -> Option<LabelSelector> {
    let labels = match fields.get("labels") {
        Some(node) => labels::labels(reader, node, NEVER_EVERYTHING),
        None => Some(Default::default()),
    };
    let expressions = match fields.get("expressions") {
        Some(node) => expressions(reader, node),
        None => Some(Vec::new()),
    };
    Some(LabelSelector { labels: labels?, expressions: expressions? })
}

fn expressions(reader: &mut Reader<'_>, node: &Node<'_>) -> Option<Vec<Expression>> {
    let items = reader.list(node, "expressions", NEVER_EVERYTHING)?;
    let expressions: Vec<_> = items.iter().filter_map(|item| expression(reader, item)).collect();
    (expressions.len() == items.len()).then_some(expressions)
}

fn expression(reader: &mut Reader<'_>, node: &Node<'_>) -> Option<Expression> {
    let fields = reader.fields(node, "an expression", &["key", "in", "notIn", "exists"])?;
    let key = reader.required(&fields, "key", "for example `{key: env, in: [prod, staging]}`");
    let key = key.and_then(|node| labels::key(reader, node));
    let given: Vec<&str> =
        ["in", "notIn", "exists"].into_iter().filter(|name| fields.get(name).is_some()).collect();
    let operator = match given[..] {
        ["in"] => values(reader, fields.get("in")?, "in").map(Operator::In),
        ["notIn"] => values(reader, fields.get("notIn")?, "notIn").map(Operator::NotIn),
        ["exists"] => reader.boolean(fields.get("exists")?, "exists").map(Operator::Exists),
        [] if fields.has_unknown => None,
        [] => {
            reader.error_help(
                fields.span,
                "an expression without a condition",
                "add `in: […]`, `notIn: […]` or `exists: true`",
            );
            None
        }
        _ => {
            reader.error_help(
                fields.span,
                "an expression with more than one condition",
                "write one expression for each: all of them must hold",
            );
            None
        }
    };
    Some(Expression { key: key?, operator: operator? })
}

fn values(reader: &mut Reader<'_>, node: &Node<'_>, what: &str) -> Option<Vec<String>> {
    let items = reader.list(node, what, "name at least one value")?;
    let values: Vec<_> = items.iter().filter_map(|item| labels::value(reader, item, what)).collect();
    (values.len() == items.len()).then_some(values)
}

fn by_address(reader: &mut Reader<'_>, cidr: &Node<'_>, except: Option<&Node<'_>>) -> Option<Selector> {
    let cidrs = address::cidrs(reader, cidr, "cidr");
    let Some(node) = except else { return Some(Selector::Cidr { cidrs: cidrs?, except: Vec::new() }) };
    let items = reader.list(node, "except", "take the field away where nothing is taken out")?;
    let mut except = Vec::with_capacity(items.len());
    for item in items {
        let Some(block) = address::cidr(reader, item, "except") else { continue };
        if let Some(cidrs) = &cidrs
            && !within(block, cidrs)
        {
            reader.error_help(
                item.span,
                format!("`{block}` lies in no block of this entry's `cidr`"),
                "`except` takes blocks out of those in `cidr`; outside of them it has no effect",
            );
            continue;
        }
        except.push(block);
    }
    (except.len() == items.len()).then_some(Selector::Cidr { cidrs: cidrs?, except })
}

fn within(block: IpNet, blocks: &[IpNet]) -> bool {
    blocks.iter().any(|outer| outer.contains(&block))
}
