//! A YAML document as a tree in which everything knows where it stands.

use super::scalar::{self, Plain};
use crate::source::Span;
use std::borrow::Cow;

/// A value with its place.
#[derive(Clone, Debug)]
pub struct Node<'s> {
    /// Where it stands.
    pub span: Span,
    /// What stands there.
    pub value: Value<'s>,
}

/// What a node is, before anybody has asked for a type.
#[derive(Clone, Debug)]
pub enum Value<'s> {
    /// Text, a number, a boolean or nothing.
    Scalar {
        /// As it is written, without quotes.
        text: Cow<'s, str>,
        /// Written without quotes, so that YAML may read it as something other than text.
        plain: bool,
    },
    /// A list.
    Sequence(Vec<Node<'s>>),
    /// Keys and values, in order.
    Mapping(Vec<Entry<'s>>),
    /// Something already reported; whoever meets it stays silent.
    Broken,
}

/// One `key: value` of a mapping.
#[derive(Clone, Debug)]
pub struct Entry<'s> {
    /// The key; text where the document is sound.
    pub key: Node<'s>,
    /// The value.
    pub value: Node<'s>,
}

impl Node<'_> {
    /// How YAML 1.2 reads a scalar without quotes; `None` for everything else.
    pub(crate) fn plain(&self) -> Option<Plain> {
        match &self.value {
            Value::Scalar { text, plain: true } => Some(scalar::resolve(text)),
            _ => None,
        }
    }

    /// Whether it says nothing.
    pub fn is_null(&self) -> bool {
        self.plain() == Some(Plain::Null)
    }

    /// The text of a scalar, whatever YAML would make of it.
    pub fn text(&self) -> Option<&str> {
        match &self.value {
            Value::Scalar { text, .. } => Some(text),
            _ => None,
        }
    }

    /// What a person would call this value.
    pub fn describe(&self) -> &'static str {
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
