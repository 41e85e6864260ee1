//! Builds the kernel programs and hands them to the agent, or a stub where no toolchain for them exists.

use std::env;
use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};

use enforcer_build::{Request, Toolchain, build, places, sources, without_debug};

/// `skip` leaves the kernel programs out, for a quick build of the rest.
const SWITCH: &str = "ENFORCER_EBPF";

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-env-changed={SWITCH}");
    let manifest = PathBuf::from(env::var("CARGO_MANIFEST_DIR")?);
    let root = manifest.parent().ok_or("the agent has to lie inside the workspace")?;
    let out = PathBuf::from(env::var("OUT_DIR")?);
    for path in sources(root) {
        println!("cargo::rerun-if-changed={}", path.display());
    }
    let skip = env::var_os(SWITCH).is_some_and(|value| value == "skip");
    let toolchain = if skip { Err(format!("{SWITCH}=skip was set")) } else { detect() };
    let (object, made) = match toolchain {
        Ok(toolchain) => (compile(&toolchain, root, &out)?, format!("built with {toolchain}")),
        Err(why) => (Vec::new(), why),
    };
    fs::write(out.join("enforcer.o"), object)?;
    println!("cargo::rustc-env=ENFORCER_OBJECT_ORIGIN={made}");
    Ok(())
}

fn detect() -> Result<Toolchain, String> {
    Toolchain::detect().map_err(|missing| {
        println!("cargo::warning={missing}: this build has no kernel programs; `cargo xtask setup` installs what it needs");
        // One that appears later has to be noticed.
        for place in places() {
            println!("cargo::rerun-if-changed={}", place.display());
        }
        missing.to_string()
    })
}

fn compile(toolchain: &Toolchain, root: &Path, out: &Path) -> Result<Vec<u8>, Box<dyn Error>> {
    let features: &[&str] = if env::var_os("CARGO_FEATURE_KERNEL_LOG").is_some() { &["log"] } else { &[] };
    let object = build(
        toolchain,
        &Request {
            root,
            target_dir: &target_dir(out).join("ebpf"),
            features,
            cargo: &PathBuf::from(env::var("CARGO")?),
            arch: &env::var("CARGO_CFG_TARGET_ARCH")?,
        },
    )?;
    Ok(without_debug(&fs::read(object)?)?)
}

/// The outer build's target directory: `OUT_DIR` is `<target>/[<triple>/]<profile>/build/<package>/out`. All
/// profiles share one build of the kernel programs below it.
fn target_dir(out: &Path) -> &Path {
    out.ancestors().find(|dir| dir.join("CACHEDIR.TAG").is_file()).unwrap_or(out)
}
