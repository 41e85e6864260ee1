//! Contributor entry point.
fn main() {}
