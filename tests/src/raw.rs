//! Frames as they are, past every socket of the kernel's.

use std::io;
use std::time::{Duration, Instant};

use pnet_datalink::{Channel, Config, DataLinkReceiver, DataLinkSender, MacAddr, channel, interfaces};

use crate::Namespace;

/// Waiting for a frame looks at the clock this often.
const TICK: Duration = Duration::from_millis(10);

/// Sends and receives whole Ethernet frames on one device.
pub struct RawPort {
    sender: Box<dyn DataLinkSender>,
    receiver: Box<dyn DataLinkReceiver>,
    mac: MacAddr,
}

impl std::fmt::Debug for RawPort {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RawPort").field("mac", &self.mac).finish_non_exhaustive()
    }
}

impl RawPort {
    /// Opens a device in a namespace: `eth0` in a workload's, the host side's name on the host.
    pub fn open(namespace: &Namespace, device: &str) -> io::Result<Self> {
        namespace.enter(|| {
            let found = interfaces().into_iter().find(|interface| interface.name == device);
            let interface = found
                .ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, format!("no device `{device}`")))?;
            let config = Config { read_buffer_size: 1 << 16, read_timeout: Some(TICK), ..Config::default() };
            match channel(&interface, config)? {
                Channel::Ethernet(sender, receiver) => {
                    Ok(Self { sender, receiver, mac: interface.mac.unwrap_or_default() })
                }
                _ => Err(io::Error::other("not an Ethernet channel")),
            }
        })
    }

    /// The device's own hardware address.
    #[must_use]
    pub fn mac(&self) -> [u8; 6] {
        self.mac.octets()
    }

    /// Sends a frame, Ethernet header and all.
    pub fn send(&mut self, frame: &[u8]) -> io::Result<()> {
        self.sender.send_to(frame, None).unwrap_or_else(|| Err(io::Error::other("the frame doesn't fit")))
    }

    /// The first frame that `wanted` takes, or none in time. Frames that this device sends are seen as well.
    pub fn receive(&mut self, timeout: Duration, mut wanted: impl FnMut(&[u8]) -> bool) -> Option<Vec<u8>> {
        let deadline = Instant::now() + timeout;
        while Instant::now() < deadline {
            if let Ok(frame) = self.receiver.next()
                && wanted(frame)
            {
                return Some(frame.to_vec());
            }
        }
        None
    }
}
