//! Numbers, addresses and words in text formats, read from bytes: nothing is copied, and nothing has to be UTF-8.

use crate::item::Time;
use std::net::{IpAddr, Ipv4Addr};

/// Longest piece of a source that is repeated in a message.
const EXCERPT: usize = 60;
const REASON: usize = 200;
/// Longest name of an interface or a node that is kept.
const NAME: usize = 128;

/// A decimal number: digits and nothing else.
pub(crate) fn number(text: &[u8]) -> Option<u64> {
    if text.is_empty() || text.len() > 20 {
        return None;
    }
    let mut number = 0_u64;
    for byte in text {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            return None;
        }
        number = number.checked_mul(10)?.checked_add(u64::from(digit))?;
    }
    Some(number)
}

/// A decimal number that fits into `T`.
pub(crate) fn small<T: TryFrom<u64>>(text: &[u8]) -> Option<T> {
    T::try_from(number(text)?).ok()
}

/// An address without anything around it. One of IPv4 that is mapped into IPv6 is that of IPv4, as its packets are.
pub(crate) fn address(text: &[u8]) -> Option<IpAddr> {
    if let Some(address) = dotted(text) {
        return Some(IpAddr::V4(address));
    }
    let address: IpAddr = std::str::from_utf8(text).ok()?.parse().ok()?;
    Some(address.to_canonical())
}

/// `a.b.c.d`, as fast as may be: flow logs have two a line.
fn dotted(text: &[u8]) -> Option<Ipv4Addr> {
    if text.len() > 15 {
        return None;
    }
    let (mut octets, mut at, mut value, mut digits) = ([0_u8; 4], 0, 0_u16, 0);
    for byte in text {
        if *byte == b'.' {
            if digits == 0 || at == 3 {
                return None;
            }
            octets[at] = u8::try_from(value).ok()?;
            (at, value, digits) = (at + 1, 0, 0);
            continue;
        }
        let digit = byte.wrapping_sub(b'0');
        // A leading zero is octal to some and decimal to others.
        if digit > 9 || (digits > 0 && value == 0) || digits == 3 {
            return None;
        }
        value = value * 10 + u16::from(digit);
        digits += 1;
    }
    if at != 3 || digits == 0 {
        return None;
    }
    octets[3] = u8::try_from(value).ok()?;
    Some(Ipv4Addr::from(octets))
}

/// What is between spaces and tabs.
pub(crate) fn words(line: &[u8]) -> impl Iterator<Item = &[u8]> {
    line.split(|byte| matches!(byte, b' ' | b'\t')).filter(|word| !word.is_empty())
}

/// A time as RFC 3339 writes it.
pub(crate) fn rfc3339(text: &str) -> Option<Time> {
    let time: jiff::Timestamp = text.parse().ok()?;
    Time::try_from(time.as_nanosecond()).ok()
}

/// A name out of a source: bounded, and otherwise as it stands there.
pub(crate) fn name(bytes: &[u8]) -> String {
    String::from_utf8_lossy(&bytes[..bytes.len().min(NAME)]).into_owned()
}

/// The beginning of something, fit for a message: bounded, and nothing in it drives a terminal.
pub(crate) fn excerpt(bytes: &[u8]) -> String {
    beginning(bytes, EXCERPT)
}

/// What a library says of an input, which it may quote: bounded likewise, at a greater length.
pub(crate) fn reason(error: &impl std::fmt::Display) -> String {
    beginning(error.to_string().as_bytes(), REASON)
}

fn beginning(bytes: &[u8], most: usize) -> String {
    let kept = &bytes[..bytes.len().min(most)];
    let mut text = String::with_capacity(kept.len());
    for chunk in kept.utf8_chunks() {
        chunk.valid().chars().flat_map(char::escape_debug).for_each(|c| text.push(c));
        chunk
            .invalid()
            .iter()
            .flat_map(|byte| byte.escape_ascii())
            .for_each(|byte| text.push(char::from(byte)));
    }
    if bytes.len() > most {
        text.push('…');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_digits_and_fit() {
        assert_eq!(number(b"18446744073709551615"), Some(u64::MAX));
        for bad in ["18446744073709551616", "", "-", "+1", " 1", "1 ", "0x1", "1_0", "000000000000000000001"]
        {
            assert_eq!(number(bad.as_bytes()), None, "{bad}");
        }
        assert_eq!(small::<u8>(b"255"), Some(255));
        assert_eq!(small::<u8>(b"256"), None);
    }

    #[test]
    fn addresses_are_those_of_the_standard_library() {
        for good in [
            "0.0.0.0",
            "255.255.255.255",
            "10.0.0.1",
            "::",
            "fe80::1",
            "2001:db8::a.b.c.d",
            "1.2.3.4.5",
            "01.2.3.4",
            "256.1.1.1",
        ] {
            assert_eq!(address(good.as_bytes()), good.parse().ok(), "{good}");
        }
        assert_eq!(address(b"::ffff:10.0.0.1"), Some("10.0.0.1".parse().unwrap()));
        for bad in
            ["", ".", "1.2.3", "1.2.3.", "1..3.4", ".1.2.3", "1.2.3.4 ", "1.2.3.1000", "\u{ff11}.1.1.1"]
        {
            assert_eq!(address(bad.as_bytes()), None, "{bad}");
        }
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_an_address_where_the_standard_library_says_so(text in "[0-9.]{0,16}") {
            proptest::prop_assert_eq!(dotted(text.as_bytes()), text.parse().ok());
        }
    }

    #[test]
    fn excerpts_are_bounded_and_drive_no_terminal() {
        assert_eq!(excerpt(b"a\x1b[2J\xffz\xe2\x80\xae"), "a\\u{1b}[2J\\xffz\\u{202e}");
        assert_eq!(excerpt(&[b'x'; 61]).chars().count(), 61);
        assert!(excerpt(&[0xff; 4096]).len() < 300);
    }
}
