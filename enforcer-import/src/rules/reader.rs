//! Reading trees. What is malformed is an error; what is well-formed and not carried over is a loss. Both have a place.

use enforcer_policy::diagnostic::{Diagnostic, shown};
use enforcer_policy::source::{Source, Span};
use enforcer_policy::yaml::{Node, Value};
use ipnet::IpNet;

/// What was found in all sources so far.
#[derive(Debug, Default)]
pub(super) struct Findings {
    pub(super) errors: Vec<Diagnostic>,
    pub(super) losses: Vec<Diagnostic>,
    pub(super) notes: Vec<String>,
    /// Some block was one of IPv6.
    pub(super) v6: bool,
}

/// Reads the objects of one source.
pub(super) struct Reader<'a> {
    pub(super) source: &'a Source,
    pub(super) findings: &'a mut Findings,
}

/// The fields of a mapping that say something.
pub(super) struct Fields<'n, 's> {
    entries: Vec<(&'n str, &'n Node<'s>)>,
    /// A field was there that isn't understood, so the mapping may mean less than it seems.
    pub(super) strange: bool,
}

impl<'n, 's> Fields<'n, 's> {
    pub(super) fn get(&self, name: &str) -> Option<&'n Node<'s>> {
        self.entries.iter().find(|(key, _)| *key == name).map(|(_, node)| *node)
    }
}

impl Fields<'_, '_> {
    /// How many known fields say something.
    pub(super) fn count(&self) -> usize {
        self.entries.len()
    }
}

/// Whether a mapping has a field that says something.
pub(super) fn has(node: &Node<'_>, name: &str) -> bool {
    let Value::Mapping(entries) = &node.value else { return false };
    entries.iter().any(|entry| entry.key.text() == Some(name) && !entry.value.is_null())
}

impl Reader<'_> {
    pub(super) fn error(&mut self, node: &Node<'_>, message: impl Into<String>) {
        self.findings.errors.push(Diagnostic::error(self.source, node.span, message));
    }

    pub(super) fn loss(&mut self, node: &Node<'_>, message: impl Into<String>, help: &str) {
        let loss = Diagnostic::warning(self.source, node.span, message);
        self.findings.losses.push(if help.is_empty() { loss } else { loss.help(help) });
    }

    /// The fields of a mapping. Unknown ones are losses.
    pub(super) fn fields<'n, 's>(
        &mut self,
        node: &'n Node<'s>,
        what: &str,
        known: &[&str],
    ) -> Option<Fields<'n, 's>> {
        let Value::Mapping(entries) = &node.value else {
            self.error(node, format!("{what} is a mapping, and this is {}", node.describe()));
            return None;
        };
        let mut fields = Fields { entries: Vec::new(), strange: false };
        for entry in entries.iter().filter(|entry| !entry.value.is_null()) {
            let Some(key) = entry.key.text() else { continue };
            if known.contains(&key) {
                fields.entries.push((key, &entry.value));
            } else {
                fields.strange = true;
                self.loss(&entry.key, format!("{what} has the unknown field `{}`", shown(key)), "");
            }
        }
        Some(fields)
    }

    pub(super) fn list<'n, 's>(&mut self, node: &'n Node<'s>, what: &str) -> Option<&'n [Node<'s>]> {
        if let Value::Sequence(items) = &node.value {
            return Some(items);
        }
        self.error(node, format!("{what} is a list, and this is {}", node.describe()));
        None
    }

    pub(super) fn text<'n>(&mut self, node: &'n Node<'_>, what: &str) -> Option<&'n str> {
        let text = node.text();
        if text.is_none() {
            self.error(node, format!("{what} is text, and this is {}", node.describe()));
        }
        text
    }

    pub(super) fn port(&mut self, node: &Node<'_>, what: &str) -> Option<u16> {
        let port = node.text().and_then(|text| text.parse::<u16>().ok()).filter(|port| *port > 0);
        if port.is_none() {
            let written = node.text().unwrap_or_default();
            self.error(node, format!("{what} is a port from 1 to 65535, and not `{}`", shown(written)));
        }
        port
    }

    pub(super) fn block(&mut self, node: &Node<'_>, what: &str) -> Option<IpNet> {
        let written = self.text(node, what)?;
        let block = written.parse::<IpNet>().ok().map(|block| block.trunc());
        self.findings.v6 |= block.is_some_and(|block| block.addr().is_ipv6());
        if block.is_none() {
            self.error(node, format!("{what} is an address block, and not `{}`", shown(written)));
        }
        block
    }

    /// Number of a protocol of Kubernetes.
    pub(super) fn protocol(&mut self, node: Option<&Node<'_>>) -> Option<u8> {
        let Some(node) = node else { return Some(6) };
        let text = self.text(node, "`protocol`")?;
        let number = crate::inventory::kubernetes::protocol(Some(text));
        if number.is_none() {
            self.error(node, format!("`{}` is none of `TCP`, `UDP` and `SCTP`", shown(text)));
        }
        number
    }
}

/// The place of what a source as a whole is about.
pub(super) fn beginning() -> Span {
    Span { line: 1, column: 1, ..Span::default() }
}
