//! Shared parser, map types and verdict function.
#![no_std]
