//! The reference against hand-written cases. Each row has a name, and a failure says it.

mod build;
mod flow_tests;
mod modes;
mod ports;
mod rules;
mod selectors;
mod tracker;
