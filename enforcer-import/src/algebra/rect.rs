//! What one rule of one end says: which subjects, which peers, which ports.

use super::{Block, Conjunction, PortSet};

/// A peer or a subject.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Who {
    /// Members that fulfil this; `None` for everything that is no member.
    pub(crate) member: Option<Conjunction>,
    /// Only at these addresses.
    pub(crate) block: Option<Block>,
}

/// Flows at one end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Rect {
    /// Members at this end.
    pub(crate) subject: Conjunction,
    /// The other end.
    pub(crate) peer: Who,
    /// Destination ports.
    pub(crate) ports: PortSet,
    /// Which rule says so: an index into the list of rules.
    pub(crate) rule: usize,
}

/// A remainder came apart into more pieces than anybody would read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TooIntricate;

/// Pieces of one rule.
const PIECES: usize = 512;

impl Who {
    /// Members that fulfil this, wherever they are.
    pub(crate) fn member(conjunction: Conjunction) -> Self {
        Self { member: Some(conjunction), block: None }
    }

    /// What is no member, wherever it is.
    pub(crate) fn outside() -> Self {
        Self { member: None, block: None }
    }

    pub(crate) fn at(&self, block: Block) -> Self {
        Self { member: self.member.clone(), block: Some(block) }
    }

    /// Both.
    pub(crate) fn and(&self, other: &Self) -> Option<Self> {
        let member = match (&self.member, &other.member) {
            (Some(a), Some(b)) => Some(a.and(b)?),
            (None, None) => None,
            (Some(_), None) | (None, Some(_)) => return None,
        };
        let block = match (&self.block, &other.block) {
            (Some(a), Some(b)) => Some(a.and(b)?),
            (one, other) => one.clone().or_else(|| other.clone()),
        };
        Some(Self { member, block })
    }

    /// This without the other.
    fn without(&self, other: &Self) -> Vec<Self> {
        let Some(both) = self.and(other) else { return vec![self.clone()] };
        let mut rest = Vec::new();
        if let (Some(own), Some(theirs)) = (&self.member, &other.member) {
            let kept = own.without(theirs).into_iter();
            rest.extend(kept.map(|member| Self { member: Some(member), block: self.block.clone() }));
        }
        if let Some(taken) = &other.block {
            let own = self.block.clone().map_or(Block::everything().to_vec(), |block| vec![block]);
            let kept = own.iter().flat_map(|block| block.without(taken));
            rest.extend(kept.map(|block| Self { member: both.member.clone(), block: Some(block) }));
        }
        rest
    }

    /// Whether the other holds all of this.
    pub(crate) fn implies(&self, other: &Self) -> bool {
        let member = match (&self.member, &other.member) {
            (Some(own), Some(theirs)) => own.implies(theirs),
            (None, None) => true,
            (Some(_), None) | (None, Some(_)) => false,
        };
        member
            && match (&self.block, &other.block) {
                (_, None) => true,
                (None, Some(_)) => false,
                (Some(own), Some(theirs)) => own.without(theirs).is_empty(),
            }
    }
}

/// All of IPv4 and all of IPv6 side by side are no blocks at all: whoever it is, is at an address.
pub(crate) fn without_whole_families(mut whom: Vec<Who>) -> Vec<Who> {
    let everything = Block::everything();
    let mut members: Vec<Option<Conjunction>> = Vec::new();
    for who in &whom {
        let at = |block: &Block| Who { member: who.member.clone(), block: Some(block.clone()) };
        if !members.contains(&who.member) && everything.iter().all(|block| whom.contains(&at(block))) {
            members.push(who.member.clone());
        }
    }
    whom.retain(|who| who.block.is_none() || !members.contains(&who.member));
    whom.extend(members.into_iter().map(|member| Who { member, block: None }));
    whom
}

impl Rect {
    /// Whether they have flows in common, as far as their members tell.
    fn meets(&self, other: &Self) -> bool {
        let peers = match (&self.peer.member, &other.peer.member) {
            (Some(a), Some(b)) => a.meets(b),
            (None, None) => true,
            (Some(_), None) | (None, Some(_)) => false,
        };
        peers && self.subject.meets(&other.subject)
    }

    fn without(&self, other: &Self) -> Vec<Self> {
        let (Some(subject), Some(peer)) = (self.subject.and(&other.subject), self.peer.and(&other.peer))
        else {
            return vec![self.clone()];
        };
        if self.ports.and(&other.ports).is_empty() {
            return vec![self.clone()];
        }
        let mut rest = Vec::new();
        for kept in self.subject.without(&other.subject) {
            rest.push(Self { subject: kept, ..self.clone() });
        }
        for kept in self.peer.without(&other.peer) {
            rest.push(Self { subject: subject.clone(), peer: kept, ..self.clone() });
        }
        let ports = self.ports.without(&other.ports);
        if !ports.is_empty() {
            rest.push(Self { subject, peer, ports, rule: self.rule });
        }
        rest
    }
}

/// `from` without any of `others`.
pub(crate) fn subtract_all<'a>(
    from: Rect,
    others: impl IntoIterator<Item = &'a Rect>,
) -> Result<Vec<Rect>, TooIntricate> {
    let near: Vec<&Rect> = others.into_iter().filter(|other| other.meets(&from)).collect();
    let mut pieces = vec![from];
    for other in near {
        pieces = pieces.iter().flat_map(|piece| piece.without(other)).collect();
        tidy(&mut pieces);
        if pieces.len() > PIECES {
            return Err(TooIntricate);
        }
    }
    Ok(pieces)
}

/// Takes out pieces that lie in others.
fn tidy(pieces: &mut Vec<Rect>) {
    let mut kept: Vec<Rect> = Vec::with_capacity(pieces.len());
    let inside = |a: &Rect, b: &Rect| {
        a.subject.implies(&b.subject) && a.peer.implies(&b.peer) && a.ports.without(&b.ports).is_empty()
    };
    for piece in pieces.drain(..) {
        if !kept.iter().any(|other| inside(&piece, other)) {
            kept.retain(|other| !inside(other, &piece));
            kept.push(piece);
        }
    }
    *pieces = kept;
}
