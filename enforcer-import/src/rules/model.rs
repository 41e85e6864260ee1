//! What both ends' rules come down to, whichever system they are from.

use crate::algebra::{Conjunction, Rect};
use enforcer_policy::source::{Source, Span};

/// A rule of the source, for names, comments and `why`.
#[derive(Clone, Debug)]
pub(super) struct Rule {
    /// Begins the names of its documents.
    pub(super) base: String,
    /// The object, safe to show: `NetworkPolicy shop/allow-web`.
    pub(super) object: String,
    /// The rule in it: `ingress[0]`.
    pub(super) part: String,
    /// `file:line`, safe to show. Empty for what no file says.
    pub(super) place: String,
    /// The same, for findings.
    pub(super) at: Option<(Source, Span)>,
    /// The author's own words.
    pub(super) words: Option<String>,
}

/// What passes at each end, and who has ends at all.
#[derive(Debug, Default)]
pub(super) struct Model {
    /// All rules; rectangles refer to them.
    pub(super) rules: Vec<Rule>,
    /// What destinations let in.
    pub(super) ingress: Vec<Rect>,
    /// What sources let out.
    pub(super) egress: Vec<Rect>,
    /// Who is held by rules; everything else is outside. Any may fit.
    pub(super) members: Vec<Conjunction>,
    /// Denials by an administrator that hold whatever else is written: the rectangle, and whether it is an ingress rule.
    pub(super) guardrails: Vec<(Rect, bool)>,
    /// Name of the document that keeps members apart.
    pub(super) wall: String,
    /// Some rule has a block of IPv6.
    pub(super) v6: bool,
    /// What members are called.
    pub(super) called: &'static str,
}
