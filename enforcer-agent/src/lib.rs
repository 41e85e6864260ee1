//! The daemon and the command line as a library.

pub mod datapath;
pub mod kernel;
pub mod links;
