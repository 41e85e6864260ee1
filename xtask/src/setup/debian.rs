//! Debian's packages.

use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use enforcer_build::{LLVM_MAJOR, find_linker};

use super::{Scope, backports};
use crate::kernels::QEMU;
use crate::shell::{Root, find, run};

struct Package {
    name: String,
    why: &'static str,
}

/// What packages are made and tried with: a program, the package that it comes in, and what it does.
const PACKAGING: [(&str, &str, &str); 5] = [
    ("dh", "debhelper", "makes the Debian package"),
    ("lintian", "lintian", "looks for faults in it"),
    ("debootstrap", "debootstrap", "makes the Debian that it is tried in"),
    ("mandoc", "mandoc", "reads the manual pages"),
    ("strip", "binutils", "makes the binary smaller"),
];

fn package(name: &str, why: &'static str) -> Package {
    Package { name: name.to_owned(), why }
}

/// What is wanted, whether it is there or not.
fn wanted(scope: Scope) -> Vec<Package> {
    if scope == Scope::Fuzz {
        let missing = find("c++").is_none();
        return Vec::from_iter(missing.then(|| package("g++", "compiles libFuzzer and links it")));
    }
    let mut packages = vec![
        package("rustc-web", "compiles the kernel programs"),
        package("libstd-rust-web-dev-bpf", "is Rust's core, prebuilt for BPF"),
    ];
    if find("cc").is_none() {
        packages.push(package("gcc", "links the agent"));
        packages.push(package("libc6-dev", "links the agent"));
    }
    if find_linker().is_none() {
        packages.push(package(&format!("llvm-{LLVM_MAJOR}-dev"), "is what bpf-linker is made of"));
        packages.push(package(&format!("libpolly-{LLVM_MAJOR}-dev"), "is what bpf-linker is made of"));
    }
    if matches!(scope, Scope::Dist | Scope::Ci) {
        let missing = PACKAGING.into_iter().filter(|(program, ..)| find(program).is_none());
        packages.extend(missing.map(|(_, name, why)| package(name, why)));
    }
    if !matches!(scope, Scope::Build | Scope::Dist) && find("ip").is_none() {
        packages.push(package("iproute2", "makes the network namespaces of tests and demo"));
    }
    if !matches!(scope, Scope::Build | Scope::Dist) && find("tcpdump").is_none() {
        packages.push(package("tcpdump", "records what docs/WALKTHROUGH.md begins with"));
    }
    if matches!(scope, Scope::Kernels | Scope::Ci) {
        if find(QEMU.0).is_none() {
            packages.push(package(QEMU.1, "emulates the machines that other kernels are tested in"));
        }
        if find("strip").is_none() {
            packages.push(package("binutils", "makes programs small enough for them"));
        }
        if find("xz").is_none() {
            packages.push(package("xz-utils", "unpacks the kernels' modules"));
        }
    }
    if scope == Scope::Ci {
        if !["chromium", "chromium-browser", "google-chrome"].iter().any(|name| find(name).is_some()) {
            packages.push(package("chromium", "opens the page that `enforcer audit --report` makes"));
        }
        if ["dockerd", "containerd", "docker"].iter().any(|name| find(name).is_none()) {
            packages
                .push(package("docker.io", "has containers whose packets are judged, and brings containerd"));
            packages.push(package("docker-cli", "tells it what to do, where the release has it apart"));
        }
        packages.push(package("busybox-static", "runs in them"));
        if find("promtool").is_none() {
            packages.push(package("prometheus", "reads the page of metrics"));
        }
        packages.push(package("rust-web-clippy", "lints the kernel programs with their own compiler"));
    }
    packages
}

/// Installs the packages that are wanted and missing. Where Debian's release has none of them, rustup's nightly is
/// the caller's next try.
pub(super) fn install(scope: Scope) -> Result<()> {
    let missing: Vec<_> = wanted(scope).into_iter().filter(|package| !is_installed(&package.name)).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let names: Vec<_> = missing.iter().map(|package| package.name.as_str()).collect();
    let Some(root) = Root::detect() else {
        bail!(
            "packages are missing and this isn't root, nor is sudo usable; as root, run: apt-get install -y {}",
            names.join(" ")
        );
    };
    eprintln!("installing from Debian's archive:");
    for package in &missing {
        eprintln!("  {} {}", package.name, package.why);
    }
    let apt = find("apt-get").context("`apt-get` is gone")?;
    run(root.command(&apt).args(["-q", "update"]))?;
    let (available, unavailable): (Vec<_>, Vec<_>) = names.into_iter().partition(|name| is_available(name));
    if !unavailable.is_empty() {
        eprintln!("this release doesn't have {}", unavailable.join(", "));
    }
    if available.is_empty() {
        return Ok(());
    }
    let Err(error) = run(install_command(&mut root.command(&apt)).args(&available)) else { return Ok(()) };
    let (emulator, rest): (Vec<_>, Vec<_>) = available.iter().partition(|name| **name == QEMU.1);
    if emulator.is_empty() {
        return Err(error).with_context(|| help(&available));
    }
    eprintln!("that may be for qemu, whose parts have to come from one place");
    if !rest.is_empty() {
        run(install_command(&mut root.command(&apt)).args(&rest)).with_context(|| help(&rest))?;
    }
    backports::install(root, &apt, &emulator).with_context(|| help(&emulator))
}

/// What to do where apt refuses: for the most part it would have to take something away, which isn't ours to decide.
fn help(names: &[&str]) -> String {
    let names = names.join(" ");
    format!(
        "cannot install {names} beside what is there; `apt-get install -s {names}` says what would have to go"
    )
}

/// Takes nothing away that is there, and adds nothing that isn't needed.
pub(super) fn install_command(command: &mut Command) -> &mut Command {
    command.env("DEBIAN_FRONTEND", "noninteractive");
    command.args(["-q", "install", "-y", "--no-install-recommends", "--no-remove"])
}

fn is_installed(name: &str) -> bool {
    let query = Command::new("dpkg-query")
        .args(["-W", "-f=${db:Status-Status}", name])
        .stderr(Stdio::null())
        .output();
    query.is_ok_and(|output| output.stdout == b"installed")
}

fn is_available(name: &str) -> bool {
    let show =
        Command::new("apt-cache").args(["show", "--no-all-versions", name]).stderr(Stdio::null()).output();
    show.is_ok_and(|output| output.status.success() && !output.stdout.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_ci_wants_the_linter() {
        let has = |scope| wanted(scope).iter().any(|package| package.name == "rust-web-clippy");
        assert!(
            has(Scope::Ci) && [Scope::Build, Scope::Run, Scope::Kernels].iter().all(|scope| !has(*scope))
        );
    }

    #[test]
    fn every_scope_wants_the_compiler_and_its_core() {
        for scope in [Scope::Build, Scope::Run, Scope::Kernels, Scope::Ci] {
            let names: Vec<_> = wanted(scope).into_iter().map(|package| package.name).collect();
            assert!(names.starts_with(&["rustc-web".to_owned(), "libstd-rust-web-dev-bpf".to_owned()]));
        }
    }
}
