//! The shape of the maps as one number. Pins of another shape can't be adopted: the programs would read past values,
//! and nobody checks. So each shape has a directory of its own.

use aya_obj::Object;

use super::config::KernelConfig;
use crate::datapath::DatapathError;

/// Raised by hand when the meaning of a map changes but not its shape.
const REVISION: u64 = 1;
/// Raised by hand as well when what packets fill (flows, fragments, quotas, counters) changes its meaning but not its shape, or when
/// the epoch moves inside `CONTROL`: such maps aren't carried over to another layout.
pub(super) const FILLED_REVISION: u32 = 1;

/// Shape of a map: name, type, key size, value size, entries, flags.
pub(super) type Shape = (String, [u32; 5]);

/// The number for maps of these shapes.
pub(super) fn version(shapes: &[Shape]) -> u64 {
    digest(&mut shapes.to_vec())
}

/// The maps of an object that get pinned, as this configuration makes them: all but the sections of ordinary data.
pub(super) fn shapes(object: &[u8], config: &KernelConfig) -> Result<Vec<Shape>, DatapathError> {
    let object = Object::parse(object)
        .map_err(|error| DatapathError::caused("the object with the kernel programs is damaged", error))?;
    let mut shapes = Vec::new();
    for (name, map) in object.maps.into_iter().filter(|(name, _)| !name.starts_with('.')) {
        let entries = config.entries(&name).unwrap_or_else(|| map.max_entries());
        shapes.push((name, [map.map_type(), map.key_size(), map.value_size(), entries, map.map_flags()]));
    }
    Ok(shapes)
}

fn digest(shapes: &mut [Shape]) -> u64 {
    shapes.sort();
    let one = |(name, numbers): &Shape| {
        let numbers = numbers.iter().flat_map(|number| number.to_le_bytes());
        name.bytes().chain([0]).chain(numbers).collect::<Vec<u8>>()
    };
    fnv1a(REVISION.to_le_bytes().into_iter().chain(shapes.iter().flat_map(one)))
}

/// FNV-1a: short, and the same in every build.
pub(super) fn fnv1a(bytes: impl Iterator<Item = u8>) -> u64 {
    bytes.fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3))
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
