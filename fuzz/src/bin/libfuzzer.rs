//! libFuzzer on one target, which `ENFORCER_FUZZ_TARGET` names. `cargo xtask fuzz` builds and starts it.
#![no_main]

use enforcer_fuzz::{Target, target};
use std::sync::LazyLock;

static CHOSEN: LazyLock<Target> = LazyLock::new(|| {
    let name = std::env::var("ENFORCER_FUZZ_TARGET").unwrap_or_default();
    *target(&name).unwrap_or_else(|| panic!("ENFORCER_FUZZ_TARGET is `{name}`, which is no target"))
});

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| (CHOSEN.run)(bytes));
