//! From a checked set of documents to the tables the kernel looks things up in.

mod image;

pub use image::{Delta, Image};
