//! Typed reading of a YAML tree that goes on after an error: every reader returns `None` once it has said why.

use std::collections::HashSet;

use crate::diagnostic::{Diagnostic, did_you_mean, shown};
use crate::model::Labels;
use crate::source::{Source, Span};
use crate::yaml::{Entry, Node, Plain, Value};

/// Things in a finished document that checks across documents point at, by index into the document.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mention {
    /// `Workload.addresses[i]`.
    Address(usize),
    /// `Workload.matches[i]`.
    Match(usize),
    /// `AddressGroup.cidrs[i]`.
    Prefix(usize),
    /// A label selector: `FlowPolicy.flows[flow].from[i]`, or `Segment.select[i]`.
    Selector { flow: usize, side: Side, index: usize },
    /// `FlowTest.cases[case]`'s endpoint names a workload.
    Endpoint { case: usize, side: Side },
    /// `FlowPolicy.expires`.
    Expires,
}

/// Which list of selectors, or which end of a flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    From,
    To,
    Select,
}

impl Side {
    pub(crate) fn field(self) -> &'static str {
        match self {
            Self::From => "from",
            Self::To => "to",
            Self::Select => "select",
        }
    }

    /// What to call one entry of the list.
    pub(crate) fn entry(self) -> &'static str {
        match self {
            Self::From => "an entry of `from`",
            Self::To => "an entry of `to`",
            Self::Select => "an entry of `select`",
        }
    }

    /// How to write what an absent or empty list does not mean.
    pub(crate) fn never_everything(self) -> &'static str {
        match self {
            Self::From => {
                "nothing here never means everything; for anything at all, write `from: [{entity: all}]`"
            }
            Self::To => {
                "nothing here never means everything; for anything at all, write `to: [{entity: all}]`"
            }
            Self::Select => {
                "nothing here never means everything; for every workload, write `select: [{entity: workloads}]`"
            }
        }
    }
}

/// Collects what is found while one document is read.
pub(crate) struct Reader<'a> {
    pub(crate) source: &'a Source,
    pub(crate) diagnostics: &'a mut Vec<Diagnostic>,
    pub(crate) mentions: Vec<(Mention, Span)>,
    /// Those of the file so far: the same labels are kept once.
    pub(crate) labels: &'a mut HashSet<Labels>,
}

/// A mapping whose field names have been checked.
pub(crate) struct Fields<'n, 's> {
    entries: &'n [Entry<'s>],
    pub(crate) span: Span,
    /// Known names that a misspelt one was probably meant to be: not reported as missing on top.
    meant: Vec<String>,
    /// Whether some field is not known: then a finding that nothing is there would only repeat it.
    pub(crate) has_unknown: bool,
}

impl<'n, 's> Fields<'n, 's> {
    pub(crate) fn get(&self, name: &str) -> Option<&'n Node<'s>> {
        self.key(name).map(|entry| &entry.value)
    }

    /// Where the field's name stands.
    pub(crate) fn key_span(&self, name: &str) -> Option<Span> {
        self.key(name).map(|entry| entry.key.span)
    }

    fn key(&self, name: &str) -> Option<&'n Entry<'s>> {
        self.entries.iter().find(|entry| entry.key.text() == Some(name))
    }
}

impl Reader<'_> {
    pub(crate) fn error(&mut self, span: Span, message: impl Into<String>) {
        self.diagnostics.push(Diagnostic::error(self.source, span, message));
    }

    pub(crate) fn error_help(&mut self, span: Span, message: impl Into<String>, help: impl Into<String>) {
        self.diagnostics.push(Diagnostic::error(self.source, span, message).help(help));
    }

    pub(crate) fn warn_help(&mut self, span: Span, message: impl Into<String>, help: impl Into<String>) {
        self.diagnostics.push(Diagnostic::warning(self.source, span, message).help(help));
    }

    /// The same labels, shared with whoever in this file has them too.
    pub(crate) fn share(&mut self, labels: Labels) -> Labels {
        match self.labels.get(&labels) {
            Some(known) => known.clone(),
            None => {
                self.labels.insert(labels.clone());
                labels
            }
        }
    }

    pub(crate) fn mention(&mut self, mention: Mention, span: Span) {
        self.mentions.push((mention, span));
    }

    /// A mapping with no fields but the known ones. `what` names it in messages.
    pub(crate) fn fields<'n, 's>(
        &mut self,
        node: &'n Node<'s>,
        what: &str,
        known: &[&str],
    ) -> Option<Fields<'n, 's>> {
        let Value::Mapping(entries) = &node.value else {
            self.wrong_type(node, what, "a mapping");
            return None;
        };
        let mut meant = Vec::new();
        let mut has_unknown = false;
        for Entry { key, .. } in entries {
            let Some(name) = key.text() else { continue };
            if known.contains(&name) {
                continue;
            }
            has_unknown = true;
            if name == "<<" {
                meant.extend(known.iter().map(|known| (*known).to_owned()));
                continue;
            }
            let message = format!("unknown field `{}` in {}", shown(name), what_is(what));
            let help = match did_you_mean(name, known.iter().copied()) {
                Some(near) => {
                    meant.push(near.to_owned());
                    format!("did you mean `{near}`?")
                }
                None => format!("known here: {}", listed(known)),
            };
            self.error_help(key.span, message, help);
        }
        Some(Fields { entries, span: first_line(node), meant, has_unknown })
    }

    pub(crate) fn required<'n, 's>(
        &mut self,
        fields: &Fields<'n, 's>,
        name: &str,
        help: &str,
    ) -> Option<&'n Node<'s>> {
        let found = fields.get(name);
        if found.is_none() && !fields.meant.iter().any(|meant| meant == name) {
            self.error_help(fields.span, format!("`{name}` is missing"), help);
        }
        found
    }

    /// A list with at least one entry.
    pub(crate) fn list<'n, 's>(
        &mut self,
        node: &'n Node<'s>,
        what: &str,
        help_if_empty: &str,
    ) -> Option<&'n [Node<'s>]> {
        if node.is_null() {
            self.error_help(node.span, format!("`{what}` has no value"), help_if_empty);
            return None;
        }
        let items = self.maybe_empty_list(node, what)?;
        if items.is_empty() {
            self.error_help(node.span, format!("`{what}` is empty"), help_if_empty);
            return None;
        }
        Some(items)
    }

    pub(crate) fn maybe_empty_list<'n, 's>(
        &mut self,
        node: &'n Node<'s>,
        what: &str,
    ) -> Option<&'n [Node<'s>]> {
        match &node.value {
            Value::Sequence(items) => Some(items),
            Value::Scalar { text, .. } if !node.is_null() => {
                let message = format!("{} must be a list, not {}", what_is(what), node.describe());
                self.error_help(node.span, message, format!("write `[{}]`", shown(text)));
                None
            }
            _ => {
                self.wrong_type(node, what, "a list");
                None
            }
        }
    }

    /// The entries of a mapping from text to something.
    pub(crate) fn mapping<'n, 's>(&mut self, node: &'n Node<'s>, what: &str) -> Option<&'n [Entry<'s>]> {
        match &node.value {
            Value::Mapping(entries) => Some(entries),
            _ => {
                self.wrong_type(node, what, "a mapping");
                None
            }
        }
    }

    /// A text. What YAML reads as something else without quotes must be quoted, so that every reader agrees.
    pub(crate) fn text<'n>(&mut self, node: &'n Node<'_>, what: &str) -> Option<&'n str> {
        let Value::Scalar { text, .. } = &node.value else {
            self.wrong_type(node, what, "text");
            return None;
        };
        let read_as = match node.plain() {
            None | Some(Plain::Text) => return Some(text),
            Some(Plain::Null) => {
                self.error(node.span, format!("{} has no value", what_is(what)));
                return None;
            }
            Some(Plain::Number) => "a number",
            Some(Plain::Boolean(_)) => "a boolean",
            Some(Plain::OldBoolean(_)) => "a boolean in YAML 1.1",
        };
        let message =
            format!("{} must be text, and `{}` without quotes is {read_as}", what_is(what), shown(text));
        self.error_help(node.span, message, format!("quote it: `\"{}\"`", shown(text)));
        None
    }

    /// One of the given words; `off` among them is the word, not a boolean.
    pub(crate) fn word<T: Copy>(&mut self, node: &Node<'_>, what: &str, words: &[(&str, T)]) -> Option<T> {
        let Value::Scalar { text, .. } = &node.value else {
            self.wrong_type(node, what, "a word");
            return None;
        };
        if node.is_null() {
            self.error(node.span, format!("{} has no value", what_is(what)));
            return None;
        }
        if let Some((_, value)) = words.iter().find(|(word, _)| *word == text) {
            return Some(*value);
        }
        let message = format!("`{}` is not a value of `{what}`", shown(text));
        let known: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
        let help = match did_you_mean(text, known.iter().copied()) {
            Some(near) => format!("did you mean `{near}`? known: {}", listed(&known)),
            None => format!("known: {}", listed(&known)),
        };
        self.error_help(node.span, message, help);
        None
    }

    pub(crate) fn boolean(&mut self, node: &Node<'_>, what: &str) -> Option<bool> {
        match node.plain() {
            Some(Plain::Boolean(value)) => return Some(value),
            Some(Plain::OldBoolean(value)) => {
                let text = node.text().unwrap_or_default();
                let message = format!("{} must be `true` or `false`, not `{text}`", what_is(what));
                self.error_help(node.span, message, format!("write `{value}`"));
            }
            _ => self.wrong_type(node, what, "`true` or `false`"),
        }
        None
    }

    pub(crate) fn wrong_type(&mut self, node: &Node<'_>, what: &str, expected: &str) {
        match &node.value {
            Value::Broken => {}
            _ if node.is_null() => self.error(node.span, format!("{} has no value", what_is(what))),
            _ => {
                let message = format!("{} must be {expected}, not {}", what_is(what), node.describe());
                self.error(first_line(node), message);
            }
        }
    }
}

/// `what` as it reads inside a sentence: fields get backticks, phrases stay as they are.
fn what_is(what: &str) -> String {
    if what.contains(' ') { shown(what) } else { format!("`{}`", shown(what)) }
}

/// Where to point for a whole collection: a mapping by its first key, a list by itself.
fn first_line(node: &Node<'_>) -> Span {
    match &node.value {
        Value::Mapping(entries) => match entries.first() {
            // A flow mapping is pointed at as a whole, its bracket included.
            Some(first) if first.key.span.start == node.span.start => first.key.span,
            _ => node.span,
        },
        _ => node.span,
    }
}

fn listed(words: &[&str]) -> String {
    words.iter().map(|word| format!("`{word}`")).collect::<Vec<_>>().join(", ")
}
