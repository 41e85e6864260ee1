//! Who wrote what the binary holds, and under which licence: attribution is what those licences ask for.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use cargo_metadata::{CargoOpt, DependencyKind, Metadata, MetadataCommand, Package, PackageId};

use crate::shell::{cargo_path, root};

/// Beginnings of the names of files with notices.
const NOTICES: [&str; 5] = ["license", "licence", "copying", "copyright", "notice"];

/// The text: a list of libraries, then every notice once with those that carry it.
pub(super) fn collect() -> Result<String> {
    let mut packages = BTreeMap::new();
    for (manifest, name) in [("Cargo.toml", "enforcer-agent"), ("enforcer-ebpf/Cargo.toml", "enforcer-ebpf")]
    {
        let metadata = MetadataCommand::new()
            .cargo_path(cargo_path())
            .manifest_path(root().join(manifest))
            .features(CargoOpt::SomeFeatures(Vec::new()))
            .exec()
            .with_context(|| format!("cannot resolve the dependencies of `{manifest}`"))?;
        for package in linked(&metadata, name).filter(|package| package.source.is_some()) {
            packages.insert((package.name.to_string(), package.version.to_string()), package.clone());
        }
    }
    let mut text = String::from("Libraries in the binary `enforcer`, and their licences.\n\n");
    let mut notices: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for ((name, version), package) in &packages {
        let licence = package.license.as_deref().unwrap_or("see its notice");
        writeln!(text, "{name} {version}: {licence}").context("cannot write to memory")?;
        for notice in notices_of(package)? {
            notices.entry(notice).or_default().push(format!("{name} {version}"));
        }
    }
    let mut notices: Vec<_> = notices.into_iter().collect();
    notices.sort_by(|one, other| one.1.cmp(&other.1));
    for (notice, of) in notices {
        write!(text, "\n{}\n{}:\n\n{notice}\n", "-".repeat(72), of.join(", "))
            .context("cannot write to memory")?;
    }
    Ok(text)
}

/// What is linked into a package, without what only builds or tests it.
fn linked<'a>(metadata: &'a Metadata, name: &str) -> impl Iterator<Item = &'a Package> {
    let nodes = metadata.resolve.iter().flat_map(|resolve| &resolve.nodes);
    let nodes: BTreeMap<&PackageId, _> = nodes.map(|node| (&node.id, node)).collect();
    let mut found: BTreeMap<&PackageId, &Package> = BTreeMap::new();
    let first = metadata.packages.iter().find(|package| package.name.as_str() == name);
    let mut next: Vec<&PackageId> = first.map(|package| &package.id).into_iter().collect();
    while let Some(id) = next.pop() {
        if found.insert(id, &metadata[id]).is_none() {
            let dependencies = nodes.get(id).into_iter().flat_map(|node| &node.deps);
            let normal = |kinds: &[cargo_metadata::DepKindInfo]| {
                kinds.iter().any(|info| info.kind == DependencyKind::Normal)
            };
            next.extend(dependencies.filter(|one| normal(&one.dep_kinds)).map(|one| &one.pkg));
        }
    }
    found.into_values()
}

fn notices_of(package: &Package) -> Result<Vec<String>> {
    let dir = package.manifest_path.parent().map_or(Path::new("."), |dir| dir.as_std_path());
    let unreadable = || format!("cannot read `{}`", dir.display());
    let mut notices = Vec::new();
    for entry in dir.read_dir().with_context(unreadable)? {
        let path = entry.with_context(unreadable)?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().to_lowercase();
        if path.is_file() && NOTICES.iter().any(|start| name.starts_with(start)) && !name.ends_with(".rs") {
            let bytes = fs::read(&path).with_context(|| format!("cannot read `{}`", path.display()))?;
            notices.push(String::from_utf8_lossy(&bytes).replace('\r', "").trim_end().to_owned());
        }
    }
    notices.sort();
    notices.dedup();
    Ok(notices)
}
