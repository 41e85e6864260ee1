//! Sides: the distinct selector lists that rules and segments use as `from`, `to` or `select`.

use super::labels::{LabelIndex, LabelTest};
use super::regions::is_multicast_block;
use crate::model::{Entity, Operator, Selector};
use ipnet::IpNet;
use std::collections::HashMap;

/// The entities of a side, as a set of bits.
pub(super) mod entity {
    pub(in super::super) const HOST: u8 = 1;
    pub(in super::super) const WORLD: u8 = 2;
    pub(in super::super) const LABELLED: u8 = 4;
    pub(in super::super) const ALL: u8 = 7;
}

/// A `cidr` selector of a side.
#[derive(Clone, Debug)]
pub(super) struct Blocks {
    pub(super) side: u32,
    pub(super) cidrs: Vec<IpNet>,
    pub(super) except: Vec<IpNet>,
}

/// Every distinct side, and what it takes to find those that match an endpoint.
#[derive(Clone, Debug, Default)]
pub(super) struct Sides {
    /// Sides below this stand in rules, the others only in segments.
    pub(super) in_rules: u32,
    /// How many there are.
    pub(super) count: u32,
    /// Sides that match every labelled identity, the host, and the world.
    pub(super) labelled: Vec<u32>,
    pub(super) host: Vec<u32>,
    pub(super) world: Vec<u32>,
    /// `cidr` selectors of all sides.
    pub(super) blocks: Vec<Blocks>,
    /// Label selectors of all sides.
    pub(super) labels: LabelIndex,
}

/// Collects sides; rules first, then [`Builder::segments`], then segments.
#[derive(Default)]
pub(super) struct Builder {
    numbers: HashMap<Vec<Selector>, u32>,
    sides: Sides,
    tests: Vec<LabelTest>,
}

impl Builder {
    /// The number of the side that `selectors` is.
    pub(super) fn number(&mut self, selectors: &[Selector]) -> u32 {
        let selectors = canonical(selectors);
        if let Some(number) = self.numbers.get(&selectors) {
            return *number;
        }
        let side = self.sides.count;
        self.sides.count += 1;
        for selector in &selectors {
            match selector {
                Selector::Labels(labels) => {
                    let test = self.sides.labels.test(side, labels);
                    self.tests.push(test);
                }
                Selector::Cidr { cidrs, except } => {
                    self.sides.blocks.push(Blocks { side, cidrs: cidrs.clone(), except: except.clone() });
                }
                Selector::Entity(named) => {
                    let bits = bits(*named);
                    for (bit, list) in [
                        (entity::HOST, &mut self.sides.host),
                        (entity::WORLD, &mut self.sides.world),
                        (entity::LABELLED, &mut self.sides.labelled),
                    ] {
                        if bits & bit != 0 && list.last() != Some(&side) {
                            list.push(side);
                        }
                    }
                }
            }
        }
        self.numbers.insert(selectors, side);
        side
    }

    /// From here on, new sides are those of segments.
    pub(super) fn segments(&mut self) {
        self.sides.in_rules = self.sides.count;
    }

    /// The sides, and the label tests still to be put into their index.
    pub(super) fn finish(self) -> (Sides, Vec<LabelTest>) {
        (self.sides, self.tests)
    }
}

fn bits(named: Entity) -> u8 {
    match named {
        Entity::Host => entity::HOST,
        Entity::World => entity::WORLD,
        Entity::Workloads => entity::LABELLED,
        Entity::All => entity::ALL,
    }
}

/// The same selectors in one order, without those that an entity of the list covers anyway.
fn canonical(selectors: &[Selector]) -> Vec<Selector> {
    let entities = selectors.iter().fold(0, |all, selector| match selector {
        Selector::Entity(named) => all | bits(*named),
        Selector::Labels(_) | Selector::Cidr { .. } => all,
    });
    let mut out: Vec<Selector> = selectors
        .iter()
        .filter(|selector| match selector {
            Selector::Labels(_) => entities & entity::LABELLED == 0,
            // `all` doesn't name multicast, a block may.
            Selector::Cidr { cidrs, .. } => entities != entity::ALL || cidrs.iter().any(is_multicast_block),
            Selector::Entity(_) => false,
        })
        .cloned()
        .collect();
    for (bit, named) in
        [(entity::HOST, Entity::Host), (entity::WORLD, Entity::World), (entity::LABELLED, Entity::Workloads)]
    {
        if entities & bit != 0 {
            out.push(Selector::Entity(named));
        }
    }
    for selector in &mut out {
        match selector {
            Selector::Labels(labels) => {
                for expression in &mut labels.expressions {
                    if let Operator::In(values) | Operator::NotIn(values) = &mut expression.operator {
                        values.sort_unstable();
                        values.dedup();
                    }
                }
                labels.expressions.sort_unstable();
                labels.expressions.dedup();
            }
            Selector::Cidr { cidrs, except } => {
                for list in [cidrs, except] {
                    list.iter_mut().for_each(|block| *block = block.trunc());
                    list.sort_unstable();
                    list.dedup();
                }
            }
            Selector::Entity(_) => {}
        }
    }
    out.sort_unstable();
    out.dedup();
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Expression, LabelSelector};

    fn labels(key: &str, values: &[&str]) -> Selector {
        let values = values.iter().map(|value| (*value).to_owned()).collect();
        let expressions = vec![Expression { key: key.to_owned(), operator: Operator::In(values) }];
        Selector::Labels(LabelSelector { expressions, ..LabelSelector::default() })
    }

    #[test]
    fn sides_that_mean_the_same_are_one() {
        let mut sides = Builder::default();
        let first = sides.number(&[labels("app", &["a", "b"]), Selector::Entity(Entity::Host)]);
        let second = sides.number(&[
            Selector::Entity(Entity::Host),
            labels("app", &["b", "a", "b"]),
            labels("app", &["a", "b"]),
        ]);
        assert_eq!(first, second);
        let workloads = sides.number(&[Selector::Entity(Entity::Workloads)]);
        assert_eq!(workloads, sides.number(&[labels("app", &["a"]), Selector::Entity(Entity::Workloads)]));
        let all = sides.number(&[Selector::Entity(Entity::All)]);
        let parts = [Entity::World, Entity::Workloads, Entity::Host].map(Selector::Entity);
        assert_eq!(all, sides.number(&parts));
        assert_ne!(all, workloads);
    }

    #[test]
    fn all_covers_no_multicast_block() {
        let block = |text: &str| Selector::Cidr { cidrs: vec![text.parse().unwrap()], except: vec![] };
        let mut sides = Builder::default();
        let all = sides.number(&[Selector::Entity(Entity::All)]);
        assert_eq!(all, sides.number(&[Selector::Entity(Entity::All), block("10.0.0.0/8")]));
        assert_ne!(all, sides.number(&[Selector::Entity(Entity::All), block("224.0.0.251/32")]));
    }
}
