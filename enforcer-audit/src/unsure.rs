//! Records whose opener nothing tells by itself: neither the record, nor one port that serves, nor one that is a client's. They are kept until
//! their recording has been read, for services show by their many clients.

use crate::audit::Audit;
use crate::opener::Listeners;
use enforcer_flows::{Recorded, Side, Time};
use rustc_hash::FxHashMap;

/// So many are kept, 64 bytes each; then they are settled by what has been seen so far.
const MOST: usize = 1 << 22;

/// A record by its ends' numbers.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Held {
    pub(crate) from: u32,
    pub(crate) to: u32,
    pub(crate) ports: (u16, u16),
    pub(crate) protocol: u8,
    pub(crate) seen_at: Option<Side>,
    pub(crate) recorded: Option<Recorded>,
    pub(crate) packets: u64,
    pub(crate) bytes: u64,
    pub(crate) seen: Option<(Time, Time)>,
}

/// One end's port.
type Port = (u32, u16, u8);

impl Held {
    fn sender(&self) -> Port {
        (self.from, self.ports.0, self.protocol)
    }

    fn receiver(&self) -> Port {
        (self.to, self.ports.1, self.protocol)
    }

    /// The same for both directions of a flow.
    fn flow(&self) -> (Port, Port) {
        let (sender, receiver) = (self.sender(), self.receiver());
        if sender <= receiver { (sender, receiver) } else { (receiver, sender) }
    }
}

/// One flow's records, told apart by direction.
struct Talk {
    ends: (Port, Port),
    /// Who sent the first record that was read.
    first: Port,
    /// When each end was first seen to send, in the order of `ends`.
    sent: [Option<Time>; 2],
    both_ways: bool,
    refused: bool,
}

impl Talk {
    /// Of one flow's records.
    fn of(records: &[Held]) -> Self {
        let ends = records[0].flow();
        let mut talk =
            Self { ends, first: records[0].sender(), sent: [None; 2], both_ways: false, refused: false };
        for record in records {
            let way = &mut talk.sent[usize::from(record.sender() != ends.0)];
            let time = record.seen.map(|(first, _)| first);
            *way = match (*way, time) {
                (Some(one), Some(other)) => Some(one.min(other)),
                (one, other) => one.or(other),
            };
            talk.both_ways |= record.sender() != talk.first;
            talk.refused |= record.recorded == Some(Recorded::Refused);
        }
        talk
    }

    /// What is refused and never answered was an opening: whoever sent it serves nothing by it.
    fn is_refusal(&self) -> bool {
        self.refused && !self.both_ways
    }

    /// Which end serves: the one that was seen to take connections; else the one that has more flows; else the one that sent later, for times
    /// of opening and answer differ where records are fine enough; else the lower port.
    fn server(&self, listeners: &Listeners, flows: impl Fn(Port) -> u32) -> Port {
        let (one, other) = self.ends;
        let receiver = if self.first == one { other } else { one };
        if self.is_refusal() {
            return receiver;
        }
        let listens = |(end, port, protocol): Port| listeners.has(end, protocol, port);
        match (listens(one), listens(other)) {
            (true, false) => return one,
            (false, true) => return other,
            _ => {}
        }
        if flows(one) != flows(other) {
            return if flows(one) > flows(other) { one } else { other };
        }
        if let [Some(first), Some(second)] = self.sent
            && first != second
        {
            return if first > second { one } else { other };
        }
        match one.1.cmp(&other.1) {
            std::cmp::Ordering::Less => one,
            std::cmp::Ordering::Greater => other,
            std::cmp::Ordering::Equal => receiver,
        }
    }
}

impl Audit {
    pub(crate) fn hold(&mut self, record: Held) {
        self.unsure.push(record);
        if self.unsure.len() >= MOST {
            self.settle();
        }
    }

    /// Judges what was kept.
    pub(crate) fn settle(&mut self) {
        let mut held = std::mem::take(&mut self.unsure);
        // Stable: one flow's records stay in the order in which they were read.
        held.sort_by_key(Held::flow);
        let flows = || held.chunk_by(|one, other| one.flow() == other.flow());
        let mut tally: FxHashMap<Port, u32> = FxHashMap::default();
        for talk in flows().map(Talk::of).filter(|talk| !talk.is_refusal()) {
            *tally.entry(talk.ends.0).or_default() += 1;
            *tally.entry(talk.ends.1).or_default() += 1;
        }
        for records in flows() {
            let server = Talk::of(records)
                .server(&self.listeners, |port| tally.get(&port).copied().unwrap_or_default());
            for record in records {
                if let Some((first, _)) = record.seen {
                    self.set_boot(first);
                }
                self.directed(record, record.sender() == server);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn held(from: (u32, u16), to: (u32, u16)) -> Held {
        Held {
            from: from.0,
            to: to.0,
            ports: (from.1, to.1),
            protocol: 6,
            seen_at: None,
            recorded: None,
            packets: 1,
            bytes: 1,
            seen: None,
        }
    }

    fn server(records: &[Held], flows: &[((u32, u16), u32)]) -> (u32, u16) {
        let listeners = Listeners::default();
        let tally = |port: Port| {
            flows.iter().find(|(at, _)| (at.0, at.1) == (port.0, port.1)).map_or(1, |(_, number)| *number)
        };
        let (end, port, _) = Talk::of(records).server(&listeners, tally);
        (end, port)
    }

    #[test]
    fn many_flows_make_a_service() {
        let (client, service) = ((1, 37_000), (2, 50_051));
        let both = [held(client, service), held(service, client)];
        assert_eq!(server(&both, &[(service, 5)]), service);
        assert_eq!(server(&both[1..], &[(service, 5)]), service, "one direction alone");
        assert_eq!(server(&both, &[(client, 5)]), client);
    }

    #[test]
    fn without_more_the_one_who_sent_first_opened() {
        let (client, service) = ((1, 37_000), (2, 50_051));
        let at = |second: i64, record: Held| Held { seen: Some((second, second)), ..record };
        let both = [at(8, held(service, client)), at(7, held(client, service))];
        assert_eq!(server(&both, &[]), service);
        assert_eq!(server(&[held(service, client), held(client, service)], &[]), client, "the lower port");
        assert_eq!(server(&[held((1, 500), (2, 500))], &[]), (2, 500), "alike: as it is");
    }

    #[test]
    fn what_was_refused_was_an_opening() {
        let (scanner, victim) = ((1, 44_444), (2, 50_051));
        let refused = Held { recorded: Some(Recorded::Refused), ..held(scanner, victim) };
        assert_eq!(server(&[refused], &[(scanner, 500)]), victim);
        assert_eq!(server(&[refused, held(victim, scanner)], &[(victim, 9)]), victim, "a record between");
    }
}
