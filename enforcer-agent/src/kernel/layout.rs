//! The shape of the maps as one number. Pins of another shape can't be adopted: the programs would read past values,
//! and nobody checks. So each shape has a directory of its own.

use aya_obj::Object;

use super::config::KernelConfig;
use crate::datapath::DatapathError;

/// Raised by hand when the meaning of a map changes but not its shape.
const REVISION: u64 = 1;

/// Shape of a map: name, type, key size, value size, entries, flags.
type Shape = (String, [u32; 5]);

/// The number for the maps of an object, as this configuration makes them.
pub(super) fn version(object: &[u8], config: &KernelConfig) -> Result<u64, DatapathError> {
    Ok(digest(&mut shapes(object, config)?))
}

/// The maps that get pinned: all but the sections of ordinary data.
pub(super) fn names(object: &[u8]) -> Result<Vec<String>, DatapathError> {
    Ok(shapes(object, &KernelConfig::default())?.into_iter().map(|(name, _)| name).collect())
}

fn shapes(object: &[u8], config: &KernelConfig) -> Result<Vec<Shape>, DatapathError> {
    let object = Object::parse(object)
        .map_err(|error| DatapathError::caused("the object with the kernel programs is damaged", error))?;
    let mut shapes = Vec::new();
    for (name, map) in object.maps.into_iter().filter(|(name, _)| !name.starts_with('.')) {
        let entries = config.entries(&name).unwrap_or_else(|| map.max_entries());
        shapes.push((name, [map.map_type(), map.key_size(), map.value_size(), entries, map.map_flags()]));
    }
    Ok(shapes)
}

/// FNV-1a: short, and the same in every build.
fn digest(shapes: &mut [Shape]) -> u64 {
    shapes.sort();
    let mut hash = 0xcbf2_9ce4_8422_2325;
    let mut eat = |bytes: &[u8]| {
        for &byte in bytes {
            hash = (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3);
        }
    };
    eat(&REVISION.to_le_bytes());
    for (name, numbers) in shapes {
        eat(name.as_bytes());
        eat(&[0]);
        numbers.iter().for_each(|number| eat(&number.to_le_bytes()));
    }
    hash
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn order_does_not_matter_and_everything_else_does() {
        let shape = |name: &str, entries| (name.to_owned(), [1, 4, 8, entries, 0]);
        let version = digest(&mut [shape("A", 1), shape("B", 2)]);
        assert_eq!(version, digest(&mut [shape("B", 2), shape("A", 1)]));
        assert_ne!(version, digest(&mut [shape("A", 2), shape("B", 1)]));
        assert_ne!(version, digest(&mut [shape("A", 1)]));
        assert_ne!(digest(&mut [shape("AB", 1)]), digest(&mut [shape("A", 1)]));
    }
}
