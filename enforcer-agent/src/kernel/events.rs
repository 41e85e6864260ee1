//! Records of verdicts, from the ring to whoever listens.

use std::io;

use aya::maps::{MapData, RingBuf};
use enforcer_common::event::FlowEvent;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::runtime::Handle;
use tokio::sync::broadcast;
use tracing::error;

/// Records that a slow listener may fall behind before it misses some.
const BACKLOG: usize = 16_384;
/// Records taken in one go before others get their turn on this thread.
const TURN: usize = 1_024;

/// Starts reading the ring on the running tokio runtime. Ends when the runtime does.
pub(super) fn start(ring: RingBuf<MapData>) -> io::Result<broadcast::Sender<FlowEvent>> {
    let (sender, _) = broadcast::channel(BACKLOG);
    let runtime = Handle::try_current().map_err(io::Error::other)?;
    // SAFETY: the ring owns its descriptor and keeps it, the same one, for as long as it lives.
    let ring = unsafe { AsyncFd::register_with_interest(ring, Interest::READABLE) }?;
    runtime.spawn(read(ring, sender.clone()));
    Ok(sender)
}

async fn read(mut ring: AsyncFd<RingBuf<MapData>>, sender: broadcast::Sender<FlowEvent>) {
    loop {
        let mut guard = match ring.readable_mut().await {
            Ok(guard) => guard,
            Err(error) => {
                error!(%error, "the ring of verdicts can't be read any more; enforcement goes on");
                return;
            }
        };
        let mut taken = 0;
        while taken < TURN {
            let Some(item) = guard.get_inner_mut().next() else { break };
            if let Some(event) = decode(&item) {
                // Nobody listening is no error.
                let _ = sender.send(event);
            }
            taken += 1;
        }
        if taken < TURN {
            guard.clear_ready();
        } else {
            drop(guard);
            tokio::task::yield_now().await;
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
