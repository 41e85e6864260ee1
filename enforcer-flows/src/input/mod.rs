//! From what the caller hands in to bytes that readers look at: unpacked, and through one buffer of bounded size.

mod progress;
mod unpack;
mod window;

pub use progress::{Counted, Counter};
pub use unpack::Packing;
pub(crate) use unpack::Unpacked;
pub(crate) use window::{Line, Window};
