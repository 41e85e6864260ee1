//! The kernel boundary: everything that loads, attaches, pins or reads the kernel programs and their maps.

pub mod object;
