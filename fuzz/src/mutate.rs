//! Random changes to inputs, the same for the same seed on every machine.

/// Numbers at which things break.
const EDGES: [u8; 12] = [0, 1, 4, 6, 0x0f, 0x40, 0x45, 0x60, 0x7f, 0x80, 0xfe, 0xff];

/// A source of random numbers (splitmix64).
#[derive(Debug)]
pub struct Random(u64);

impl Random {
    /// The numbers of this seed.
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `bound`, which isn't 0.
    pub fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound as u64) as usize
    }
}

/// Changes `bytes` in one to eight places; `other` gives pieces to put in.
pub fn mutate(bytes: &mut Vec<u8>, other: &[u8], longest: usize, random: &mut Random) {
    for _ in 0..=random.below(8) {
        change(bytes, other, random);
    }
    bytes.truncate(longest);
}

fn change(bytes: &mut Vec<u8>, other: &[u8], random: &mut Random) {
    if bytes.is_empty() {
        bytes.extend(other);
        bytes.push(random.next() as u8);
        return;
    }
    let at = random.below(bytes.len());
    let span = at..at + 1 + random.below((bytes.len() - at).min(16));
    match random.below(10) {
        0 => bytes[at] ^= 1 << random.below(8),
        1 => bytes[at] = random.next() as u8,
        2 => bytes[at] = EDGES[random.below(EDGES.len())],
        3 => bytes[at] = bytes[at].wrapping_add(random.below(9) as u8).wrapping_sub(4),
        4 => drop(bytes.drain(span)),
        5 => {
            let piece = bytes[span].to_vec();
            bytes.splice(at..at, piece);
        }
        6 => bytes.insert(at, random.next() as u8),
        7 if random.below(8) == 0 => bytes.truncate(at),
        8 if !other.is_empty() => {
            let from = random.below(other.len());
            let piece = &other[from..(from + 1 + random.below(64)).min(other.len())];
            bytes.splice(at..at, piece.iter().copied());
        }
        _ if !other.is_empty() => {
            let from = random.below(other.len());
            let there = bytes.len() - at;
            let piece = &other[from..(from + 1 + random.below(there.min(64))).min(other.len())];
            bytes[at..at + piece.len()].copy_from_slice(piece);
        }
        _ => bytes[at] = !bytes[at],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_makes_the_same_changes() {
        let run = |seed| {
            let mut random = Random::new(seed);
            let mut bytes = b"the quick brown fox".to_vec();
            for _ in 0..100 {
                mutate(&mut bytes, b"jumps over the lazy dog", 64, &mut random);
                assert!(bytes.len() <= 64);
            }
            bytes
        };
        assert_eq!(run(1), run(1));
        assert_ne!(run(1), run(2));
    }
}
