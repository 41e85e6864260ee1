//! Builds a tree from parser events, and refuses what the language has no use for: duplicate keys, merge keys,
//! tags, keys that are not text, and aliases beyond a small budget.

use super::node::{Entry, Node, Value};
use crate::diagnostic::{Diagnostic, shown};
use crate::source::{Source, Span};
use granit_parser::{Event, ScalarStyle, StructureStyle};
use std::collections::HashMap;

/// How many values all aliases of one document may stand for.
const ALIAS_BUDGET: usize = 4096;

pub(super) struct Tree<'s> {
    source: &'s Source,
    open: Vec<Open<'s>>,
    root: Option<Node<'s>>,
    anchors: HashMap<usize, Node<'s>>,
    /// Values that aliases have stood for so far; past the budget the document is dropped.
    aliased: usize,
    dropped: bool,
}

/// A collection whose end has not come yet.
struct Open<'s> {
    span: Span,
    block: bool,
    anchor: usize,
    items: Items<'s>,
}

enum Items<'s> {
    Sequence(Vec<Node<'s>>),
    Mapping { entries: Vec<Entry<'s>>, key: Option<Node<'s>> },
}

impl<'s> Tree<'s> {
    pub(super) fn new(source: &'s Source) -> Self {
        Self { source, open: Vec::new(), root: None, anchors: HashMap::new(), aliased: 0, dropped: false }
    }

    pub(super) fn clear(&mut self) {
        *self = Self::new(self.source);
    }

    /// The document, unless it was dropped.
    pub(super) fn finish(&mut self) -> Option<Node<'s>> {
        let root = self.root.take();
        if self.dropped { None } else { root }
    }

    pub(super) fn event(&mut self, event: Event<'s>, span: Span, diagnostics: &mut Vec<Diagnostic>) {
        if let Some(tag) = event.tag() {
            let message = format!("the YAML tag `{}` has no meaning here", shown(&tag.original()));
            diagnostics.push(
                Diagnostic::error(self.source, span, message)
                    .help("take the tag away; quote what must be text"),
            );
        }
        match event {
            Event::Scalar(text, style, anchor, _) => {
                let plain = style == ScalarStyle::Plain;
                self.close(Node { span, value: Value::Scalar { text, plain } }, anchor, diagnostics);
            }
            Event::SequenceStart(style, anchor, _) => {
                self.open(style, anchor, span, Items::Sequence(Vec::new()));
            }
            Event::MappingStart(style, anchor, _) => {
                self.open(style, anchor, span, Items::Mapping { entries: Vec::new(), key: None });
            }
            Event::SequenceEnd | Event::MappingEnd => self.end(span, diagnostics),
            Event::Alias(id) => self.alias(id, span, diagnostics),
            Event::UnresolvedAlias(name) => {
                let message = format!("no anchor `&{}` stands before this alias", shown(&name));
                diagnostics.push(Diagnostic::error(self.source, span, message));
                self.close(Node { span, value: Value::Broken }, 0, diagnostics);
            }
            _ => {}
        }
    }

    fn open(&mut self, style: StructureStyle, anchor: usize, span: Span, items: Items<'s>) {
        self.open.push(Open { span, block: style == StructureStyle::Block, anchor, items });
    }

    fn end(&mut self, end: Span, diagnostics: &mut Vec<Diagnostic>) {
        let Some(Open { mut span, block, anchor, items }) = self.open.pop() else { return };
        let (last, value) = match items {
            Items::Sequence(nodes) => (nodes.last().map(|node| node.span.end), Value::Sequence(nodes)),
            Items::Mapping { entries, .. } => {
                duplicates(self.source, &entries, diagnostics);
                (entries.last().map(|entry| entry.value.span.end), Value::Mapping(entries))
            }
        };
        // The parser ends a block collection where the next thing begins; people see it end with its last value.
        span.end = if block { last.unwrap_or(end.start) } else { end.end }.max(span.start);
        self.close(Node { span, value }, anchor, diagnostics);
    }

    /// Puts a finished value where it belongs.
    fn close(&mut self, node: Node<'s>, anchor: usize, diagnostics: &mut Vec<Diagnostic>) {
        if anchor != 0 {
            self.anchors.insert(anchor, node.clone());
        }
        match self.open.last_mut().map(|open| &mut open.items) {
            None => self.root = Some(node),
            Some(Items::Sequence(nodes)) => nodes.push(node),
            Some(Items::Mapping { entries, key }) => match key.take() {
                Some(key) => entries.push(Entry { key, value: node }),
                None => {
                    check_key(self.source, &node, diagnostics);
                    *key = Some(node);
                }
            },
        }
    }

    fn alias(&mut self, id: usize, span: Span, diagnostics: &mut Vec<Diagnostic>) {
        let copy = match self.anchors.get(&id) {
            Some(_) if self.dropped => None,
            Some(node) => {
                self.aliased += size(node, ALIAS_BUDGET + 1);
                if self.aliased > ALIAS_BUDGET {
                    self.dropped = true;
                    let message =
                        format!("aliases in this document stand for more than {ALIAS_BUDGET} values");
                    diagnostics
                        .push(Diagnostic::error(self.source, span, message).help("write the values out"));
                    None
                } else {
                    Some(node.clone())
                }
            }
            None => {
                let message = "this alias stands inside the value it names";
                diagnostics.push(Diagnostic::error(self.source, span, message));
                None
            }
        };
        self.close(copy.unwrap_or(Node { span, value: Value::Broken }), 0, diagnostics);
    }
}

/// How many values a tree has, counted no further than `limit`.
fn size(node: &Node<'_>, limit: usize) -> usize {
    let mut total = 1;
    let children: &mut dyn Iterator<Item = &Node<'_>> = match &node.value {
        Value::Sequence(nodes) => &mut nodes.iter(),
        Value::Mapping(entries) => &mut entries.iter().flat_map(|entry| [&entry.key, &entry.value]),
        Value::Scalar { .. } | Value::Broken => return total,
    };
    for child in children {
        if total >= limit {
            break;
        }
        total += size(child, limit - total);
    }
    total
}

fn check_key(source: &Source, key: &Node<'_>, diagnostics: &mut Vec<Diagnostic>) {
    match &key.value {
        Value::Scalar { text, plain: true } if text == "<<" => diagnostics.push(
            Diagnostic::error(source, key.span, "merge keys (`<<`) are not part of the language")
                .help("write the fields out, or name the whole value with an alias"),
        ),
        Value::Scalar { .. } | Value::Broken => {}
        Value::Sequence(_) | Value::Mapping(_) => {
            let message = format!("a key is text, and this is {}", key.describe());
            diagnostics.push(Diagnostic::error(source, key.span, message));
        }
    }
}

fn duplicates(source: &Source, entries: &[Entry<'_>], diagnostics: &mut Vec<Diagnostic>) {
    let mut report = |first: &Node<'_>, again: &Node<'_>| {
        let message = format!("the key `{}` is written twice", shown(again.text().unwrap_or_default()));
        diagnostics.push(
            Diagnostic::error(source, again.span, message)
                .related(source, first.span, "first written here")
                .help("keep one of them"),
        );
    };
    let keys = || entries.iter().filter_map(|entry| Some((entry.key.text()?, &entry.key)));
    if entries.len() <= 16 {
        for (index, (text, key)) in keys().enumerate() {
            if let Some((_, first)) = keys().take(index).find(|(other, _)| *other == text) {
                report(first, key);
            }
        }
        return;
    }
    let mut seen = HashMap::with_capacity(entries.len());
    for (text, key) in keys() {
        if let Some(first) = seen.insert(text, key) {
            report(first, key);
        }
    }
}
