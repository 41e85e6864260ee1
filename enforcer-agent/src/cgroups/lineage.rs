//! The cgroups above others.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::os::unix::fs::{DirEntryExt, MetadataExt};
use std::path::Path;

/// By number, those of `wanted` that are below a directory: the numbers from there down to each itself.
pub(crate) fn lineages(dir: &Path, wanted: impl Iterator<Item = u64>) -> HashMap<u64, Vec<u64>> {
    let wanted: HashSet<u64> = wanted.collect();
    let mut found = HashMap::new();
    if let Ok(root) = fs::metadata(dir)
        && !wanted.is_empty()
    {
        descend(dir, &mut vec![root.ino()], &wanted, &mut found);
    }
    found
}

fn descend(dir: &Path, path: &mut Vec<u64>, wanted: &HashSet<u64>, found: &mut HashMap<u64, Vec<u64>>) {
    if let Some(here) = path.last().filter(|number| wanted.contains(number)) {
        found.insert(*here, path.clone());
    }
    // One that goes while it is looked at has no sockets worth the name.
    let Ok(entries) = fs::read_dir(dir) else { return };
    for entry in entries.flatten().filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir())) {
        path.push(entry.ino());
        descend(&entry.path(), path, wanted, found);
        path.pop();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn those_above_come_first_and_nobody_else_is_looked_for() {
        let dir = std::env::temp_dir().join(format!("enforcer-lineage-{}", std::process::id()));
        fs::create_dir_all(dir.join("a/b")).unwrap();
        fs::create_dir_all(dir.join("a/c")).unwrap();
        let [root, a, b] = ["", "a", "a/b"].map(|below| fs::metadata(dir.join(below)).unwrap().ino());
        let found = lineages(&dir, [b, root, u64::MAX].into_iter());
        fs::remove_dir_all(&dir).unwrap();
        assert_eq!(found, HashMap::from([(b, vec![root, a, b]), (root, vec![root])]));
    }
}
