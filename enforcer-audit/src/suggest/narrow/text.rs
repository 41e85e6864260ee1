//! Narrower rules as documents that can take the place of the old ones, with the evidence as comments. No name breaks out of either.

use super::super::text::{ports, quiet};
use super::{Advice, Narrower, Narrowing, PolicyAdvice, RuleAdvice};
use crate::render::text::instant;
use crate::report::Window;
use enforcer_policy::diagnostic::shown_path;
use enforcer_policy::model::{Action, FlowEntry, PolicyMode, Tier};
use enforcer_policy::write::{list, scalar, selector};
use std::fmt::{self, Write as _};

/// Ports that are told one by one under a rule, selectors of an old rule, and rules under one heading.
const PORTS: usize = 16;
const WORDS: usize = 8;
const LINES: usize = 200;

impl RuleAdvice {
    /// `policy#index  file:line`, safe to show.
    fn place(&self, policy: &PolicyAdvice) -> String {
        let (name, origin) = (quiet(&policy.policy.name), &self.entry.origin);
        format!("{name}#{}  {}:{}", self.index, quiet(&shown_path(&origin.file)), origin.line)
    }
}

impl Narrowing {
    /// FlowPolicy documents in place of those with rules that are wider than their use, and comments on all the others.
    #[must_use]
    pub fn yaml(&self) -> String {
        let mut out = String::new();
        // Writing to a string doesn't fail.
        let _ = self.write(&mut out);
        out
    }

    fn write(&self, out: &mut String) -> fmt::Result {
        let sources: Vec<String> = self.sources.iter().map(|name| quiet(name)).collect();
        writeln!(
            out,
            "# What rules are used for, and no more: `enforcer suggest --narrow` on {}",
            sources.join(", ")
        )?;
        match (Window::of(self.window), self.span()) {
            (Some(Window { first, last }), Some(span)) => {
                writeln!(out, "# Seen from {} to {}: {span}.", instant(first), instant(last))?;
            }
            _ => writeln!(out, "# The recording has no times: how long it is can't be told.")?,
        }
        writeln!(
            out,
            "# What is used less often than that isn't in it. A window proves that something is needed, never that it isn't."
        )?;
        let all = self.count(|_| true);
        let narrow = self.count(|advice| matches!(advice, Advice::Narrow(_)));
        let unused = self.count(|advice| *advice == Advice::Unused);
        let fits = self.count(|advice| *advice == Advice::Fits);
        writeln!(
            out,
            "# Rules: {all}. Wider than their use: {narrow}; not used: {unused}; as wide as their use: {fits}; left as they are: {}.",
            all - narrow - unused - fits
        )?;
        self.write_list(out, "Not used: candidates for removal, for a person to judge", |rule| {
            (rule.advice == Advice::Unused).then(String::new)
        })?;
        self.write_list(out, "Left as they are", |rule| match rule.advice {
            Advice::Left(why) => Some(format!(": {why}")),
            Advice::Narrow(_) | Advice::Unused | Advice::Fits => None,
        })?;
        self.policies
            .iter()
            .filter(|policy| policy.is_narrowed())
            .try_for_each(|policy| write_policy(out, policy))
    }

    fn write_list(
        &self,
        out: &mut String,
        title: &str,
        what: impl Fn(&RuleAdvice) -> Option<String>,
    ) -> fmt::Result {
        let rules =
            self.policies.iter().flat_map(|policy| policy.rules.iter().map(move |rule| (policy, rule)));
        let lines: Vec<String> = rules
            .filter_map(|(policy, rule)| Some(format!("{}{}", rule.place(policy), what(rule)?)))
            .collect();
        if lines.is_empty() {
            return Ok(());
        }
        writeln!(out, "#\n# == {title}")?;
        lines.iter().take(LINES).try_for_each(|line| writeln!(out, "#   {line}"))?;
        match lines.len().saturating_sub(LINES) {
            0 => Ok(()),
            more => writeln!(out, "#   … and {more} more"),
        }
    }
}

fn write_policy(out: &mut String, advice: &PolicyAdvice) -> fmt::Result {
    let policy = &advice.policy;
    let place = format!("{}:{}", quiet(&shown_path(&policy.origin.file)), policy.origin.line);
    writeln!(out, "---\n# In place of {}  {place}", quiet(&policy.name))?;
    writeln!(out, "apiVersion: enforcer.dev/v1alpha1\nkind: FlowPolicy")?;
    writeln!(out, "metadata: {{name: {}}}\nspec:", scalar(&policy.name))?;
    match policy.tier {
        Tier::Application => {}
        Tier::Guardrail => writeln!(out, "  tier: guardrail")?,
        Tier::Baseline => writeln!(out, "  tier: baseline")?,
    }
    if policy.mode == PolicyMode::Audit {
        writeln!(out, "  mode: audit")?;
    }
    if let Some(expires) = policy.expires {
        writeln!(out, "  expires: {expires}")?;
    }
    writeln!(out, "  flows:")?;
    for rule in &advice.rules {
        let place = rule.place(advice);
        match &rule.advice {
            Advice::Narrow(list) => {
                for (narrower, number) in list.iter().zip(1..) {
                    let of =
                        if list.len() > 1 { format!(" ({number} of {})", list.len()) } else { String::new() };
                    writeln!(out, "    # In place of {place}{of}")?;
                    if number == 1 {
                        writeln!(out, "    #   was: {}", quiet_long(&was(&rule.entry)))?;
                    }
                    write_narrower(out, narrower)?;
                    write_entry(out, &narrower.entry(&rule.entry))?;
                }
            }
            other => {
                let why = match other {
                    Advice::Unused => "not used in this recording".to_owned(),
                    Advice::Left(why) => (*why).to_owned(),
                    Advice::Fits | Advice::Narrow(_) => format!("used as it is: {}", rule.used),
                };
                writeln!(out, "    # {place}: {why}")?;
                write_entry(out, &rule.entry)?;
            }
        }
    }
    Ok(())
}

fn write_narrower(out: &mut String, narrower: &Narrower) -> fmt::Result {
    writeln!(out, "    #   used: {}", narrower.total)?;
    if narrower.by_port.len() > 1 {
        for (port, evidence) in narrower.by_port.iter().take(PORTS) {
            writeln!(out, "    #     {port}: {evidence}")?;
        }
        if let more @ 1.. = narrower.by_port.len().saturating_sub(PORTS) {
            writeln!(out, "    #     … and {more} more ports")?;
        }
    }
    if narrower.unanswered > 0 {
        writeln!(
            out,
            "    #   nobody answered {} of its flows: probes, or a service that was down?",
            narrower.unanswered
        )?;
    }
    if narrower.unseen > 0 {
        writeln!(out, "    #   the ranges let in {} ports that weren't used", narrower.unseen)?;
    }
    Ok(())
}

fn write_entry(out: &mut String, entry: &FlowEntry) -> fmt::Result {
    let mut lead = "- ";
    if entry.action == Action::Deny {
        writeln!(out, "    - action: deny")?;
        lead = "  ";
    }
    writeln!(out, "    {lead}from: {}", list(&entry.from, selector))?;
    writeln!(out, "      to: {}", list(&entry.to, selector))?;
    writeln!(out, "      ports: [{}]", ports(&entry.ports))?;
    match &entry.why {
        Some(why) => writeln!(out, "      why: {}", scalar(why)),
        None => Ok(()),
    }
}

/// An old rule on one line, the first of what it names.
fn was(entry: &FlowEntry) -> String {
    let cut = |texts: Vec<String>| {
        let more = if texts.len() > WORDS { ", …" } else { "" };
        format!("[{}{more}]", texts[..texts.len().min(WORDS)].join(", "))
    };
    let side = |list: &[enforcer_policy::model::Selector]| cut(list.iter().map(selector).collect());
    let ports = cut(entry.ports.iter().map(ToString::to_string).collect());
    format!("{{from: {}, to: {}, ports: {ports}}}", side(&entry.from), side(&entry.to))
}

/// A longer text in a comment, word by word.
fn quiet_long(text: &str) -> String {
    text.split(' ').take(100).map(quiet).collect::<Vec<_>>().join(" ")
}
