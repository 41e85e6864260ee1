//! Taking a rule away while data streams through it, and through its neighbours.

use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use enforcer_tests::{Probe, Protocol, Reading, Seen, Stream, StreamKind, World};

use crate::matrix::Patience;
use crate::shop::Shop;

/// The file whose only rule is revoked.
const FILE: &str = "20-checkout-to-ledger.yaml";
/// How long streams run before the revocation, and how long they are watched after it.
const BEFORE: Duration = Duration::from_millis(1500);
const AFTER: Duration = Duration::from_millis(3000);
/// Revoked data that still arrives later than this is a failure.
const LIMIT: Duration = Duration::from_secs(1);
/// A lost segment would be sent again after 200 ms at the soonest: a shorter pause lost nothing.
const UNNOTICED: Duration = Duration::from_millis(200);

/// The streams: from, to, IPv6, how, port, and whether their rule is the revoked one.
const STREAMS: [(&str, &str, bool, StreamKind, u16, bool); 4] = [
    ("checkout", "ledger", false, StreamKind::Tcp, 5432, true),
    ("checkout", "ledger", true, StreamKind::Tcp, 5432, true),
    ("batch", "ledger", false, StreamKind::Tcp, 5432, false),
    ("web", "metrics", true, StreamKind::Udp, 8125, false),
];

/// What one end received.
#[derive(Debug)]
pub(crate) struct Direction {
    pub(crate) from: &'static str,
    pub(crate) to: &'static str,
    pub(crate) how: String,
    pub(crate) revoked: bool,
    pub(crate) before: Reading,
    pub(crate) before_for: Duration,
    pub(crate) after: Reading,
    /// From the removal of the file to the last byte that arrived.
    pub(crate) last: Duration,
    /// Segments lost of the one who opened the connection, before and after.
    pub(crate) lost: Option<(u32, u32)>,
}

impl Direction {
    /// Stopped if revoked, else not disturbed.
    pub(crate) fn is_right(&self) -> bool {
        if self.revoked {
            return self.before.bytes > 0 && self.last < LIMIT;
        }
        let lossless = self.lost.is_none_or(|(before, after)| before == after);
        self.last + UNNOTICED > AFTER && self.after.longest_gap < UNNOTICED && lossless
    }
}

/// Everything seen of the revocation.
#[derive(Debug)]
pub(crate) struct Revocation {
    pub(crate) directions: Vec<Direction>,
    pub(crate) watched: Duration,
    /// A new attempt on the revoked flow, and on its neighbour's.
    pub(crate) revoked_again: Seen,
    pub(crate) neighbour_again: Seen,
}

/// Streams, revokes, and watches.
pub(crate) fn run(world: &mut World, shop: &Shop) -> Result<Revocation> {
    let mut streams = Vec::new();
    for (from, to, v6, kind, port, _) in STREAMS {
        let stream = Stream::open(shop.named(from)?, shop.named(to)?, v6, kind, port);
        streams.push(stream.with_context(|| format!("cannot stream from {from} to {to}:{port}"))?);
    }
    for meter in streams.iter().flat_map(Stream::meters) {
        meter.reset();
    }
    thread::sleep(BEFORE);
    let lost = |streams: &[Stream]| streams.iter().map(Stream::lost).collect::<Vec<_>>();
    let lost_before = lost(&streams);
    let before: Vec<_> = streams.iter().flat_map(Stream::meters).map(|meter| meter.reset()).collect();

    let removed = Instant::now();
    world.daemon().remove_policy(FILE)?;
    thread::sleep(AFTER);
    let after: Vec<_> = streams.iter().flat_map(Stream::meters).map(|meter| meter.read()).collect();
    let watched = removed.elapsed();
    let lost_after = lost(&streams);

    let mut directions = Vec::new();
    for (index, (before, after)) in before.into_iter().zip(after).enumerate() {
        let (client, server, v6, kind, port, revoked) = STREAMS[index / 2];
        let (from, to) = if index % 2 == 0 { (client, server) } else { (server, client) };
        directions.push(Direction {
            from,
            to,
            how: how(kind, port, v6),
            revoked,
            before_for: removed.saturating_duration_since(before.since),
            before,
            last: after.last_after(removed),
            after,
            lost: lost_before[index / 2].zip(lost_after[index / 2]),
        });
    }
    drop(streams);
    let again = |from: &str, patience: Patience| -> Result<Seen> {
        let ledger = shop.named("ledger")?;
        let _servers = ledger.serve(&[Protocol::Tcp(5432)]);
        let probe = Probe::new(shop.named(from)?, ledger.v4(), Protocol::Tcp(5432));
        Ok(probe.timeout(patience.duration()).run())
    };
    let revoked_again = again("checkout", Patience::Short)?;
    let neighbour_again = again("batch", Patience::Long)?;
    Ok(Revocation { directions, watched, revoked_again, neighbour_again })
}

fn how(kind: StreamKind, port: u16, v6: bool) -> String {
    let protocol = match kind {
        StreamKind::Tcp => "tcp",
        StreamKind::Udp => "udp",
    };
    format!("{protocol}/{port} {}", if v6 { "IPv6" } else { "IPv4" })
}
