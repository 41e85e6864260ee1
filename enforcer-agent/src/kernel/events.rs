//! Records of verdicts, from the ring to whoever listens.
//!
//! A wake-up for each record would cost the machine more than the verdicts do: the programs wake the reader once in
//! [`limits::WAKE_INTERVAL`] at most, and the reader, once awake, looks every [`PAUSE`] until a look finds nothing. That is longer than the
//! interval and the coarse clock's step together, so a record that came without a wake-up is always met by a look that is still to come.

use std::io;
use std::time::Duration;

use aya::maps::{MapData, RingBuf};
use enforcer_common::event::FlowEvent;
use enforcer_common::maps::limits;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::runtime::Handle;
use tracing::error;

use crate::datapath::Sink;

/// Between two looks at a ring that has something.
const PAUSE: Duration = Duration::from_millis(20);
/// Records handed on in one go before others get their turn on this thread.
const TURN: usize = 1_024;

const _: () = assert!(limits::WAKE_INTERVAL + 10_000_000 < PAUSE.as_nanos() as u64);

/// Starts reading the ring on the running tokio runtime. Ends when the runtime does.
pub(super) fn start(ring: RingBuf<MapData>, sink: Sink) -> io::Result<()> {
    let runtime = Handle::try_current().map_err(io::Error::other)?;
    // SAFETY: the ring owns its descriptor and keeps it, the same one, for as long as it lives.
    let ring = unsafe { AsyncFd::register_with_interest(ring, Interest::READABLE) }?;
    runtime.spawn(read(ring, sink));
    Ok(())
}

async fn read(mut ring: AsyncFd<RingBuf<MapData>>, mut sink: Sink) {
    let mut batch = Vec::with_capacity(TURN);
    loop {
        match ring.readable_mut().await {
            Ok(mut guard) => guard.clear_ready(),
            Err(error) => {
                error!(%error, "the ring of verdicts can't be read any more; enforcement goes on");
                return;
            }
        }
        loop {
            while batch.len() < TURN {
                let Some(item) = ring.get_mut().next() else { break };
                batch.extend(decode(&item));
            }
            if batch.is_empty() {
                break;
            }
            sink(&batch);
            if batch.len() < TURN {
                tokio::time::sleep(PAUSE).await;
            } else {
                tokio::task::yield_now().await;
            }
            batch.clear();
        }
    }
}

fn decode(bytes: &[u8]) -> Option<FlowEvent> {
    let bytes = bytes.get(..size_of::<FlowEvent>())?;
    // SAFETY: long enough, and integers take any bits; the read needs no alignment.
    Some(unsafe { bytes.as_ptr().cast::<FlowEvent>().read_unaligned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_records_are_none() {
        let mut bytes = vec![0_u8; size_of::<FlowEvent>()];
        bytes[0] = 7;
        assert_eq!(decode(&bytes).unwrap().time, 7);
        assert!(decode(&bytes[1..]).is_none());
    }
}
