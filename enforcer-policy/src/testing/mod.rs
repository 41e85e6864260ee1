//! Random policy sets, probes and packets, for holding every implementation against the reference.
