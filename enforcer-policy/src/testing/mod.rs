//! Random policy sets, probes and packets, for holding every implementation against the reference.
//!
//! Sets are small and nasty: few labels, addresses and ports, so that selectors overlap, blocks nest and ranges
//! touch. Everything is a [`proptest`] strategy, so a failing case shrinks; [`hold`] names the seed to see it again
//! with, and [`to_yaml`] turns a set into a file that can be kept.

mod changes;
mod documents;
mod frames;
mod ground;
mod noise;
mod packets;
mod pools;
mod probes;
mod run;
mod scene;
mod selectors;
mod yaml;

#[cfg(test)]
mod tests;

pub use frames::frame;
pub use packets::{Step, scene_and_steps};
pub use pools::NOW;
pub use probes::{Probe, scene_and_probes};
pub use run::hold;
pub use scene::{Scene, scene};
pub use yaml::to_yaml;
