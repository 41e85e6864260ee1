//! Parts of documents as a person would write them. What [`crate::document`] reads from them is what they were written from.

use crate::diagnostic::shown;
use crate::model::{LabelSelector, Labels, Operator, Selector};
use std::collections::HashSet;
use std::fmt::Display;

/// `{app: web, env: prod}`.
pub fn labels(labels: &Labels) -> String {
    let pairs: Vec<String> =
        labels.iter().map(|(key, value)| format!("{}: {}", scalar(key), scalar(value))).collect();
    format!("{{{}}}", pairs.join(", "))
}

/// `{labels: {app: web}, expressions: [{key: env, in: [prod, staging]}]}`.
pub fn label_selector(selector: &LabelSelector) -> String {
    let mut fields = Vec::new();
    if !selector.labels.is_empty() {
        fields.push(format!("labels: {}", labels(&selector.labels)));
    }
    if !selector.expressions.is_empty() {
        let expressions = list(&selector.expressions, |expression| {
            let values = |values: &[String]| list(values, scalar);
            let operator = match &expression.operator {
                Operator::In(of) => format!("in: {}", values(of)),
                Operator::NotIn(of) => format!("notIn: {}", values(of)),
                Operator::Exists(wanted) => format!("exists: {wanted}"),
            };
            format!("{{key: {}, {operator}}}", scalar(&expression.key))
        });
        fields.push(format!("expressions: {expressions}"));
    }
    format!("{{{}}}", fields.join(", "))
}

/// An entry of `from` or `to`.
pub fn selector(selector: &Selector) -> String {
    match selector {
        Selector::Labels(selector) => label_selector(selector),
        Selector::Cidr { cidrs, except } if except.is_empty() => format!("{{cidr: {}}}", list(cidrs, scalar)),
        Selector::Cidr { cidrs, except } => {
            format!("{{cidr: {}, except: {}}}", list(cidrs, scalar), list(except, scalar))
        }
        Selector::Entity(entity) => format!("{{entity: {}}}", entity.word()),
    }
}

/// A name that isn't taken: this one, else with the first number from 2 on that makes it so. It is taken from then on.
pub fn unique(name: &str, taken: &mut HashSet<String>) -> String {
    let mut found = name.to_owned();
    let mut number = 2;
    while !taken.insert(found.clone()) {
        found = format!("{name}-{number}");
        number += 1;
    }
    found
}

/// A list on one line; each item as `show` has it.
pub fn list<T>(items: &[T], show: impl Fn(&T) -> String) -> String {
    format!("[{}]", items.iter().map(show).collect::<Vec<_>>().join(", "))
}

/// Text without quotes where nobody could read it as anything else, else double-quoted.
pub fn scalar(text: &(impl Display + ?Sized)) -> String {
    const WORDS: [&str; 11] = ["true", "false", "null", "yes", "no", "on", "off", "y", "n", "nan", "inf"];
    let text = text.to_string();
    let plain = text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text.ends_with(|c: char| c.is_ascii_alphanumeric())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.' | b'/'))
        && !WORDS.contains(&text.to_ascii_lowercase().as_str());
    if plain || is_plain_block(&text) {
        return text;
    }
    let mut quoted = String::from("\"");
    for character in text.chars() {
        match character {
            '"' | '\\' => quoted.extend(['\\', character]),
            odd if shown(&odd.to_string()) != odd.to_string() => {
                quoted += &format!("\\U{:08x}", u32::from(odd))
            }
            _ => quoted.push(character),
        }
    }
    quoted + "\""
}

/// IPv4 addresses and blocks: three dots keep them from being numbers.
fn is_plain_block(text: &str) -> bool {
    text.bytes().filter(|b| *b == b'.').count() == 3
        && text.bytes().all(|b| b.is_ascii_digit() || matches!(b, b'.' | b'/'))
        && text.starts_with(|c: char| c.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_quoted_where_yaml_would_read_them_otherwise() {
        for (text, expected) in [
            ("checkout", "checkout"),
            ("k8s.io/name", "k8s.io/name"),
            ("no", "\"no\""),
            ("1.10", "\"1.10\""),
            ("a: b", "\"a: b\""),
            ("", "\"\""),
            ("q\"\\", "\"q\\\"\\\\\""),
            ("\u{1b}[2J\u{202e}", "\"\\U0000001b[2J\\U0000202e\""),
        ] {
            assert_eq!(scalar(text), expected);
        }
    }
}
