//! Selectors: the entries of `from`, `to` and `Segment.spec.select`.

use super::Labels;
use ipnet::IpNet;
use std::net::IpAddr;

/// One entry of a selector list; any entry of the list may match.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Selector {
    /// Identities by label. Never matches an endpoint without labels (the host, the world).
    Labels(LabelSelector),
    /// Endpoints by address, labelled or not.
    Cidr {
        /// Blocks that match. Never empty.
        cidrs: Vec<IpNet>,
        /// Blocks taken out again.
        except: Vec<IpNet>,
    },
    /// A class of endpoints by what they are.
    Entity(Entity),
}

/// `labels` and `expressions` together: all of them must hold.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LabelSelector {
    /// Exact key and value pairs.
    pub labels: Labels,
    /// Further conditions.
    pub expressions: Vec<Expression>,
}

/// A condition on one label key.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Expression {
    /// Label key.
    pub key: String,
    /// What must hold of it.
    pub operator: Operator,
}

/// The three operators of an [`Expression`].
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Operator {
    /// The key is present with one of these values.
    In(Vec<String>),
    /// The key is absent, or present with none of these values (as Kubernetes' `NotIn`).
    NotIn(Vec<String>),
    /// The key is present (`true`) or absent (`false`).
    Exists(bool),
}

/// Endpoints by what they are rather than by label or address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Entity {
    /// This host's own processes that no Workload claims.
    Host,
    /// Addresses that nothing names.
    World,
    /// Every identity with labels.
    Workloads,
    /// Anything at all.
    All,
}

impl LabelSelector {
    /// Whether an identity with these labels fits.
    pub fn fits(&self, labels: &Labels) -> bool {
        self.labels.iter().all(|(key, value)| labels.get(key) == Some(value))
            && self.expressions.iter().all(|expression| {
                let value = labels.get(&expression.key);
                match &expression.operator {
                    Operator::In(values) => value.is_some_and(|value| values.contains(value)),
                    Operator::NotIn(values) => value.is_none_or(|value| !values.contains(value)),
                    Operator::Exists(wanted) => value.is_some() == *wanted,
                }
            })
    }
}

/// Whether any of these selectors matches a workload with these labels, at any of these addresses.
pub fn selects(selectors: &[Selector], labels: &Labels, addresses: &[IpAddr]) -> bool {
    let within = |blocks: &[IpNet], at: &IpAddr| blocks.iter().any(|block| block.contains(at));
    selectors.iter().any(|selector| match selector {
        Selector::Labels(wanted) => !labels.is_empty() && wanted.fits(labels),
        Selector::Cidr { cidrs, except } => {
            addresses.iter().any(|at| within(cidrs, at) && !within(except, at))
        }
        Selector::Entity(Entity::All) => true,
        Selector::Entity(Entity::Workloads) => !labels.is_empty(),
        Selector::Entity(Entity::Host | Entity::World) => false,
    })
}

impl Entity {
    /// The word for it in documents.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Host => "host",
            Self::World => "world",
            Self::Workloads => "workloads",
            Self::All => "all",
        }
    }
}
