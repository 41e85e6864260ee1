//! The licences of everything that any feature of any package here brings in, and known faults in it as far as that can be known.

use std::collections::BTreeSet;
use std::process::Command;

use anyhow::{Context, Result, bail};
use cargo_metadata::{CargoOpt, Metadata, MetadataCommand, Package};
use spdx::Expression;
use spdx::expression::ExprNode;

use crate::shell::{cargo_path, find, root};
use crate::tally::Tally;

/// Licences that ask for no more than attribution.
const ALLOWED: [&str; 12] = [
    "0BSD",
    "Apache-2.0",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "BSL-1.0",
    "CC0-1.0",
    "ISC",
    "MIT",
    // libFuzzer's, which nothing that is handed out is linked with.
    "NCSA",
    "Unicode-3.0",
    "Unlicense",
    "Zlib",
];

/// Fails unless every package in both dependency graphs may be used under an allowed licence.
pub(crate) fn check() -> Result<()> {
    let mut refused = BTreeSet::new();
    let mut count = 0;
    for manifest in ["Cargo.toml", "enforcer-ebpf/Cargo.toml"] {
        for package in used(&resolve(manifest)?) {
            count += 1;
            if let Err(why) = judge(package.license.as_deref()) {
                refused.insert(format!("{} {}: {why}", package.name, package.version));
            }
        }
    }
    if !refused.is_empty() {
        bail!(
            "licences that aren't on the list in xtask/src/licences.rs:\n  {}",
            Vec::from_iter(refused).join("\n  ")
        );
    }
    println!("{count} packages, all under licences that only ask for attribution");
    Ok(())
}

fn resolve(manifest: &str) -> Result<Metadata> {
    MetadataCommand::new()
        .cargo_path(cargo_path())
        .manifest_path(root().join(manifest))
        // What only a feature brings in is used as well.
        .features(CargoOpt::AllFeatures)
        .exec()
        .with_context(|| format!("cannot resolve the dependencies of `{manifest}`"))
}

fn used(metadata: &Metadata) -> impl Iterator<Item = &Package> {
    let nodes = metadata.resolve.iter().flat_map(|resolve| &resolve.nodes);
    nodes.map(|node| &metadata[&node.id])
}

fn judge(licence: Option<&str>) -> Result<(), String> {
    let licence = licence.ok_or("names no licence")?;
    // `MIT/Apache-2.0` is how some older crates write "or".
    let licence = licence.replace('/', " OR ");
    let expression = Expression::parse(&licence).map_err(|error| format!("`{licence}`: {}", error.reason))?;
    let allowed = expression
        .evaluate(|requirement| requirement.license.id().is_some_and(|id| ALLOWED.contains(&id.name)));
    if allowed { Ok(()) } else { Err(format!("`{}`", terms(&expression).join(", "))) }
}

fn terms(expression: &Expression) -> Vec<String> {
    let required = expression.iter().filter_map(|node| match node {
        ExprNode::Req(requirement) => Some(requirement.req.to_string()),
        ExprNode::Op(_) => None,
    });
    required.collect()
}

/// Known faults, from the RustSec database, where `cargo deny` and a copy of the database are here.
pub(crate) fn advisories() -> Tally {
    if find("cargo-deny").is_none() {
        println!(
            "SKIPPED: known faults in dependencies: the RustSec database can't be had without the network;"
        );
        println!("  where `cargo deny` is installed and has fetched it once, this step looks at it");
        return Tally::skipped(1);
    }
    let mut tally = Tally::default();
    for manifest in ["Cargo.toml", "enforcer-ebpf/Cargo.toml"] {
        let mut command = Command::new("cargo-deny");
        command
            .args(["--offline", "--manifest-path"])
            .arg(root().join(manifest))
            .args(["check", "advisories"]);
        let good = command.status().is_ok_and(|status| status.success());
        tally += if good { Tally::passed(1) } else { Tally::failed(1) };
    }
    tally
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_allowed_alternative_is_enough() {
        assert_eq!(judge(Some("MIT OR GPL-3.0-only")), Ok(()));
        assert_eq!(judge(Some("MIT/Apache-2.0")), Ok(()));
        assert_eq!(judge(Some("Apache-2.0 WITH LLVM-exception")), Ok(()));
    }

    #[test]
    fn every_part_of_a_conjunction_has_to_be_allowed() {
        assert_eq!(judge(Some("(MIT OR Apache-2.0) AND Unicode-3.0")), Ok(()));
        assert!(judge(Some("MIT AND GPL-2.0-only")).unwrap_err().contains("GPL-2.0"));
    }

    #[test]
    fn no_licence_and_no_known_licence_are_refused() {
        assert_eq!(judge(None).unwrap_err(), "names no licence");
        assert!(judge(Some("Our-Own")).is_err());
    }
}
