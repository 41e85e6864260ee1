//! The Internet checksum.

/// A sum of words, of 16 bits or of 32, as the one number of 16 bits that it stands for (RFC 1071). In which order the words' bytes stand doesn't
/// matter, as long as the result is stored as they were read. A header that holds its own checksum comes to `0xffff`.
#[inline(always)]
pub const fn folded(sum: u64) -> u16 {
    let sum = (sum & 0xffff_ffff) + (sum >> 32);
    let sum = (sum & 0xffff) + (sum >> 16);
    let sum = (sum & 0xffff) + (sum >> 16);
    let sum = (sum & 0xffff) + (sum >> 16);
    sum as u16
}
