//! How the kernel programs are to be loaded.

use std::borrow::Cow;
use std::path::PathBuf;

/// How the kernel programs are to be loaded. The defaults are those of the daemon.
#[derive(Clone, Debug)]
pub struct KernelConfig {
    /// Directory for pins, on a bpf file system.
    pub bpffs: PathBuf,
    /// The object to load; `None` for the one this build carries.
    pub object: Option<Cow<'static, [u8]>>,
    /// Established flows per family, where that should differ from [`enforcer_common::maps::limits::FLOWS`].
    pub flows: Option<u32>,
    /// Unanswered flows per family, where that should differ from [`enforcer_common::maps::limits::EMBRYONIC`].
    pub embryonic: Option<u32>,
    /// Whether to attach by tcx; `None` for wherever the kernel has it.
    pub tcx: Option<bool>,
}

impl Default for KernelConfig {
    fn default() -> Self {
        Self { bpffs: "/sys/fs/bpf/enforcer".into(), object: None, flows: None, embryonic: None, tcx: None }
    }
}

impl KernelConfig {
    /// How many entries a map gets, where the configuration says.
    pub(super) fn entries(&self, map: &str) -> Option<u32> {
        match map {
            "FLOWS4" | "FLOWS6" => self.flows,
            "EMBRYONIC4" | "EMBRYONIC6" => self.embryonic,
            _ => None,
        }
    }
}
