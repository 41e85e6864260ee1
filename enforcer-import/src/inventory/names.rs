//! Document names from names that others chose: valid, bounded, and never the same for two things.

use std::collections::HashSet;

/// Longer names are cut; the language takes 253 bytes.
const LIMIT: usize = 200;

/// Gives out names that nothing else has.
#[derive(Debug, Default)]
pub(crate) struct Names {
    taken: HashSet<String>,
}

impl Names {
    /// Marks a name as taken by somebody else.
    pub(crate) fn reserve(&mut self, name: &str) {
        self.taken.insert(name.to_owned());
    }

    /// The name itself where it is valid and free, else one made from it. The same calls give the same names.
    pub(crate) fn give(&mut self, wanted: &str) -> String {
        let valid = valid(wanted);
        let mut name = valid.clone();
        if name != wanted {
            name = format!("{valid}-{:08x}", hash(wanted));
        }
        let mut number = 2;
        let first = name.clone();
        while !self.taken.insert(name.clone()) {
            name = format!("{first}-{number}");
            number += 1;
        }
        name
    }
}

/// The nearest name in lower-case letters, digits, `-` and `.`, each part between dots beginning and ending in a letter or digit.
fn valid(wanted: &str) -> String {
    let mapped: String = wanted
        .chars()
        .take(LIMIT)
        .map(|c| match c.to_ascii_lowercase() {
            c if c.is_ascii_lowercase() || c.is_ascii_digit() || c == '.' => c,
            _ => '-',
        })
        .collect();
    let parts: Vec<&str> =
        mapped.split('.').map(|part| part.trim_matches('-')).filter(|part| !part.is_empty()).collect();
    if parts.is_empty() { "unnamed".to_owned() } else { parts.join(".") }
}

/// FNV-1a: names made of others stay the same from run to run and from version to version.
fn hash(text: &str) -> u32 {
    text.bytes().fold(0x811c_9dc5, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193))
}

#[cfg(test)]
mod tests {
    use super::Names;

    #[test]
    fn names_are_valid_and_apart() {
        let mut names = Names::default();
        assert_eq!(names.give("shop.web-1"), "shop.web-1");
        assert_eq!(names.give("shop.web-1"), "shop.web-1-2");
        let upper = names.give("Shop.web-1");
        assert!(upper.starts_with("shop.web-1-") && upper.len() > 12, "{upper}");
        for odd in ["", ".", "-", "\u{1b}[31m", "a..b", "_x_", "ü", "/web"] {
            let name = names.give(odd);
            let framed = |part: &str| {
                part.starts_with(|c: char| c.is_ascii_alphanumeric())
                    && part.ends_with(|c: char| c.is_ascii_alphanumeric())
            };
            assert!(name.split('.').all(framed), "{odd:?} became {name}");
        }
        assert_eq!(names.give(&"x".repeat(10_000)).len(), 209);
    }
}
