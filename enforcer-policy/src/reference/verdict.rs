//! Words, reasons and causes.

use super::RuleRef;
use std::fmt;

/// The three words of a verdict.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Word {
    /// It passes.
    Allowed,
    /// It is dropped.
    Denied,
    /// An audited policy or segment would have it otherwise.
    Audited,
}

impl fmt::Display for Word {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Word::Allowed => "allowed",
            Word::Denied => "denied",
            Word::Audited => "audited",
        })
    }
}

/// Causes that are not a rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reason {
    /// No rule decides.
    NoRule,
    /// No rule decides, and the protocol is not TCP, UDP, ICMP or ICMPv6.
    Proto,
    /// No rule decides, and the flow would carry other flows inside.
    Encap,
    /// No rule decides, and the destination is multicast.
    Multicast,
    /// No rule decides on an ICMP error that belongs to no flow.
    RelatedUnknown,
    /// An ICMP error about a tracked flow that passes.
    Related,
    /// A packet that can't open a flow and belongs to none.
    State,
    /// A combination of TCP flags that no honest stack sends.
    TcpFlags,
    /// An ICMP redirect.
    Redirect,
    /// An address that can't be on a wire, or a multicast source.
    Martian,
    /// Leaves the subject with a source that isn't its own.
    SpoofedSource,
    /// Arrives at the subject for a destination that isn't its own.
    ForeignDestination,
    /// The subject's segment is `off`.
    SegmentOff,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Reason::NoRule => "no-rule",
            Reason::Proto => "proto",
            Reason::Encap => "encap",
            Reason::Multicast => "multicast",
            Reason::RelatedUnknown => "related-unknown",
            Reason::Related => "related",
            Reason::State => "state",
            Reason::TcpFlags => "tcp-flags",
            Reason::Redirect => "redirect",
            Reason::Martian => "martian",
            Reason::SpoofedSource => "spoofed-source",
            Reason::ForeignDestination => "foreign-destination",
            Reason::SegmentOff => "segment-off",
        })
    }
}

/// Why a verdict is what it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause<'a> {
    /// This rule decides.
    Rule(RuleRef<'a>),
    /// No rule does.
    Reason(Reason),
}

impl fmt::Display for Cause<'_> {
    /// `policy#index` or the reason's word.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Cause::Rule(rule) => rule.fmt(f),
            Cause::Reason(reason) => reason.fmt(f),
        }
    }
}

/// A verdict with its cause.
#[must_use]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verdict<'a> {
    /// What is reported.
    pub word: Word,
    /// What happens: `audited` alone doesn't say.
    pub passes: bool,
    /// Why.
    pub cause: Cause<'a>,
}

impl<'a> Verdict<'a> {
    /// Denied for a reason that is no rule's.
    pub fn denied(reason: Reason) -> Verdict<'a> {
        Verdict { word: Word::Denied, passes: false, cause: Cause::Reason(reason) }
    }

    /// Allowed for a reason that is no rule's.
    pub fn allowed(reason: Reason) -> Verdict<'a> {
        Verdict { word: Word::Allowed, passes: true, cause: Cause::Reason(reason) }
    }
}

impl fmt::Display for Verdict<'_> {
    /// `denied no-rule`, `allowed shop#1`, `audited(passes) rollout#0`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.word, self.passes) {
            (Word::Audited, true) => write!(f, "audited(passes) {}", self.cause),
            (Word::Audited, false) => write!(f, "audited(dropped) {}", self.cause),
            (word, _) => write!(f, "{word} {}", self.cause),
        }
    }
}
