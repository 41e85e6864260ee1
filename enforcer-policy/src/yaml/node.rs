//! A YAML document as a tree in which everything knows where it stands.

use super::scalar::{self, Plain};
use crate::source::Span;
use std::borrow::Cow;

/// A value with its place.
#[derive(Clone, Debug)]
pub(crate) struct Node<'s> {
    pub(crate) span: Span,
    pub(crate) value: Value<'s>,
}

/// What a node is, before anybody has asked for a type.
#[derive(Clone, Debug)]
pub(crate) enum Value<'s> {
    Scalar {
        text: Cow<'s, str>,
        /// Written without quotes, so that YAML may read it as something other than text.
        plain: bool,
    },
    Sequence(Vec<Node<'s>>),
    Mapping(Vec<Entry<'s>>),
    /// Something already reported; whoever meets it stays silent.
    Broken,
}

/// One `key: value` of a mapping.
#[derive(Clone, Debug)]
pub(crate) struct Entry<'s> {
    pub(crate) key: Node<'s>,
    pub(crate) value: Node<'s>,
}

impl Node<'_> {
    /// How YAML 1.2 reads a scalar without quotes; `None` for everything else.
    pub(crate) fn plain(&self) -> Option<Plain> {
        match &self.value {
            Value::Scalar { text, plain: true } => Some(scalar::resolve(text)),
            _ => None,
        }
    }

    pub(crate) fn is_null(&self) -> bool {
        self.plain() == Some(Plain::Null)
    }

    /// The text of a scalar, whatever YAML would make of it.
    pub(crate) fn text(&self) -> Option<&str> {
        match &self.value {
            Value::Scalar { text, .. } => Some(text),
            _ => None,
        }
    }

    /// What a person would call this value.
    pub(crate) fn describe(&self) -> &'static str {
        match &self.value {
            Value::Sequence(_) => "a list",
            Value::Mapping(_) => "a mapping",
            Value::Broken => "something unreadable",
            Value::Scalar { plain: false, .. } => "text",
            Value::Scalar { text, plain: true } => match scalar::resolve(text) {
                Plain::Null => "nothing",
                Plain::Boolean(_) | Plain::OldBoolean(_) => "a boolean",
                Plain::Number => "a number",
                Plain::Text => "text",
            },
        }
    }
}
