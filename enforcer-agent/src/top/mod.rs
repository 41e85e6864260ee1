//! `enforcer top`: flows, rules by hits and denies as they happen, on a terminal.
//!
//! The filter is the daemon's work: where it changes, records are asked for anew, its past first. [`rows`] puts records together, [`state`] is what is shown, [`keys`] what keys do to it, [`draw`] how it looks, and [`screen`] the terminal,
//! which is given back as it was found however this ends.

mod draw;
mod keys;
mod rows;
mod screen;
mod snapshot;
mod state;
#[cfg(test)]
mod tests;

pub(crate) use screen::run;
pub(crate) use snapshot::snapshot;
