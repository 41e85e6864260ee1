//! The daemon and the command line as a library.

mod action_line;
mod cgroups;
pub mod client;
pub mod command;
pub mod daemon;
pub mod datapath;
mod doctor;
pub mod exit;
mod files;
pub mod filter;
pub mod flow_line;
pub mod kernel;
pub mod links;
pub mod output;
mod pipeline;
pub mod protocol;
pub mod selection;
pub mod sources;
mod tamper_line;
mod tcp_table;
mod top;
mod unsupported;
mod verdicts;
