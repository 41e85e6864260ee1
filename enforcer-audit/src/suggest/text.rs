//! The suggestion as YAML documents with their evidence as comments. No name breaks out of either.

use super::{Apart, Evidence, Suggestion};
use crate::render::text::instant;
use crate::report::Window;
use enforcer_policy::diagnostic::shown;
use enforcer_policy::model::{PortSpec, Selector};
use enforcer_policy::write::{scalar, selector};
use std::fmt::{self, Display, Write as _};

/// Lines under one heading, and ports in one line.
const LINES: usize = 100;
const PORTS: usize = 16;
/// Sources of a rule that are told one by one.
const SOURCES: usize = 6;

/// Text from elsewhere in a comment: one line, bounded, nothing that YAML or a terminal acts on.
pub(super) fn quiet(text: &str) -> String {
    let mut out = String::new();
    for c in shown(text).chars() {
        if c == ' ' || c == '…' || c.is_ascii_graphic() || c.is_alphanumeric() {
            out.push(c);
        } else {
            out.extend(c.escape_unicode());
        }
    }
    out
}

impl Display for Evidence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let s = |number| if number == 1 { "" } else { "s" };
        let Self { flows, packets, .. } = *self;
        write!(f, "{flows} flow{}, {packets} packet{}", s(flows), s(packets))?;
        match Window::of(self.seen) {
            Some(Window { first, last }) => write!(f, ", {} to {}", instant(first), instant(last)),
            None => f.write_str(", no times recorded"),
        }
    }
}

fn selectors(list: &[Selector]) -> String {
    list.iter().map(selector).collect::<Vec<_>>().join(", ")
}

pub(super) fn ports(list: &[PortSpec]) -> String {
    list.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

impl Suggestion {
    /// FlowPolicy documents, and comments on what they are made from and what they leave out.
    #[must_use]
    pub fn yaml(&self) -> String {
        let mut out = String::new();
        // Writing to a string doesn't fail.
        let _ = self.write(&mut out);
        out
    }

    fn write(&self, out: &mut String) -> fmt::Result {
        let sources: Vec<String> = self.sources.iter().map(|name| quiet(name)).collect();
        writeln!(out, "# What was seen, and no more: `enforcer suggest` on {}", sources.join(", "))?;
        writeln!(out, "# Rules are made from {}.", self.covered)?;
        if self.allowed_before.flows > 0 {
            writeln!(out, "# Rules that are there already decide {}.", self.allowed_before)?;
        }
        writeln!(out, "# What wasn't used in that time isn't allowed: read it before it is enforced.")?;
        // Shown wherever the rule decides, until a person knows better. Words need quotes only where one of them does.
        let why = match &sources[..] {
            [one] if scalar(one) == *one => format!("seen in {one}"),
            [one] => scalar(&format!("seen in {one}")),
            many => format!("seen in {} recordings", many.len()),
        };
        for policy in &self.policies {
            writeln!(out, "---\napiVersion: enforcer.dev/v1alpha1\nkind: FlowPolicy")?;
            writeln!(out, "metadata: {{name: {}}}\nspec:\n  flows:", scalar(&policy.name))?;
            for entry in &policy.entries {
                writeln!(out, "    # {}", entry.total)?;
                if entry.by_port.len() > 1 {
                    for (port, evidence) in &entry.by_port {
                        writeln!(out, "    #   {port}: {evidence}")?;
                    }
                }
                if entry.by_source.len() > 1 {
                    for (source, evidence) in entry.by_source.iter().take(SOURCES) {
                        writeln!(out, "    #   from {}: {evidence}", quiet(&selectors(source)))?;
                    }
                    if let Some(more @ 1..) = entry.by_source.len().checked_sub(SOURCES) {
                        writeln!(out, "    #   … and {more} sources with more flows")?;
                    }
                }
                if entry.unseen > 0 {
                    writeln!(out, "    #   the ranges let in {} ports that weren't used", entry.unseen)?;
                }
                writeln!(out, "    - from: [{}]", selectors(&entry.from))?;
                writeln!(out, "      to: [{}]", selectors(&entry.to))?;
                writeln!(out, "      ports: [{}]", ports(&entry.ports))?;
                writeln!(out, "      why: {why}")?;
            }
        }
        self.write_apart(out, true, "Set apart, for a person to judge. No rule above allows these.")?;
        self.write_apart(out, false, "Left out.")
    }

    fn write_apart(&self, out: &mut String, open: bool, title: &str) -> fmt::Result {
        let mut told = None;
        let mut lines = 0;
        for apart in self.apart.iter().filter(|apart| apart.why.is_open() == open) {
            if told.is_none() {
                writeln!(out, "\n# == {title}")?;
            }
            if told != Some(apart.why) {
                writeln!(out, "#\n# {}", apart.why.text())?;
                told = Some(apart.why);
                lines = 0;
            }
            lines += 1;
            if lines <= LINES {
                write_line(out, apart)?;
            } else if lines == LINES + 1 {
                let all = self.apart.iter().filter(|other| other.why == apart.why).count();
                writeln!(out, "#   … and {} more", all - LINES)?;
            }
        }
        Ok(())
    }
}

fn write_line(out: &mut String, apart: &Apart) -> fmt::Result {
    let (from, to) = (quiet(&apart.from), quiet(&apart.to));
    let listed = ports(&apart.ports[..apart.ports.len().min(PORTS)]);
    let more = if apart.ports.len() > PORTS { ", …" } else { "" };
    writeln!(out, "#   {from} -> {to}  {listed}{more}: {}", apart.evidence)?;
    if let Some((from, to)) = &apart.entry {
        let (from, to) = (selectors(from), selectors(to));
        writeln!(out, "#     - {{from: [{from}], to: [{to}], ports: [{}]}}", ports(&apart.ports))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_name_leaves_its_comment() {
        for text in [
            "a\nb: c",
            "a\r\n- x",
            "\u{85}x",
            "\u{2028}x",
            "\u{2029}x",
            "\u{feff}",
            "\u{ffff}",
            "\u{1b}[2J",
            "\0",
        ] {
            let quiet = quiet(text);
            assert!(quiet.chars().all(|c| c.is_ascii_graphic() || c == ' '), "{quiet}");
        }
        assert_eq!(quiet("caf\u{e9} #1 \"x\""), "caf\u{e9} #1 \"x\"");
    }
}
