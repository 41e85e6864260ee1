//! Addresses and CIDR blocks.

use super::reader::Reader;
use crate::diagnostic::shown;
use crate::yaml::Node;
use ipnet::IpNet;
use std::net::{IpAddr, Ipv6Addr};

/// A non-empty list of blocks under the field `what`.
pub(super) fn cidrs(reader: &mut Reader<'_>, node: &Node<'_>, what: &str) -> Option<Vec<IpNet>> {
    let items = reader.list(node, what, "name at least one block, such as `192.0.2.0/24`")?;
    let blocks: Vec<IpNet> = items.iter().filter_map(|item| cidr(reader, item, what)).collect();
    (blocks.len() == items.len()).then_some(blocks)
}

pub(super) fn cidr(reader: &mut Reader<'_>, node: &Node<'_>, what: &str) -> Option<IpNet> {
    let text = reader.text(node, what)?;
    match parse_cidr(text) {
        Ok(block) => Some(block),
        Err((message, help)) => {
            reader.error_help(node.span, message, help);
            None
        }
    }
}

/// One address without a prefix length.
pub(super) fn address(reader: &mut Reader<'_>, node: &Node<'_>, what: &str) -> Option<IpAddr> {
    let text = reader.text(node, what)?;
    let (message, help) = match text.parse::<IpAddr>() {
        Ok(IpAddr::V6(v6)) if v6.to_ipv4_mapped().is_some() => mapped(text, v6, ""),
        Ok(address) => return Some(address),
        Err(_) => {
            let message = format!("`{}` is not an address", shown(text));
            let help = match text.parse::<IpNet>() {
                Ok(net) => format!("one address is meant here, without a prefix length: `{}`", net.addr()),
                Err(_) => "for example `10.20.0.7` or `\"fd00::7\"`".to_owned(),
            };
            (message, help)
        }
    };
    reader.error_help(node.span, message, help);
    None
}

/// A block without bits set past its prefix length.
fn parse_cidr(text: &str) -> Result<IpNet, (String, String)> {
    let not_a_block = |help: String| (format!("`{}` is not a CIDR block", shown(text)), help);
    if let Ok(address) = text.parse::<IpAddr>() {
        let length = if address.is_ipv4() { 32 } else { 128 };
        return Err(not_a_block(format!("for this one address, write `{text}/{length}`")));
    }
    let net: IpNet = match text.parse() {
        Ok(net) => net,
        Err(_) => return Err(not_a_block("for example `192.0.2.0/24` or `\"2001:db8::/32\"`".to_owned())),
    };
    if let IpAddr::V6(v6) = net.addr()
        && v6.to_ipv4_mapped().is_some()
        && net.prefix_len() >= 96
    {
        return Err(mapped(text, v6, &format!("/{}", net.prefix_len() - 96)));
    }
    if net.addr() != net.network() {
        let message = format!("`{text}` has bits set past its prefix length");
        let help =
            format!("the block is `{}`; the one address is `{}`", net.trunc(), IpNet::from(net.addr()));
        return Err((message, help));
    }
    Ok(net)
}

fn mapped(text: &str, v6: Ipv6Addr, suffix: &str) -> (String, String) {
    let v4 = v6.to_ipv4_mapped().map(|v4| v4.to_string()).unwrap_or_default();
    let message = format!("`{}` is an IPv4-mapped IPv6 address", shown(text));
    (message, format!("packets carry the IPv4 address: write `{v4}{suffix}`"))
}

#[cfg(test)]
mod tests {
    use super::parse_cidr;

    #[test]
    fn blocks() {
        for good in ["0.0.0.0/0", "192.0.2.0/24", "192.0.2.7/32", "::/0", "2001:db8::/32", "::ffff:0:0/95"] {
            // The last has host bits; it is listed to show that a short prefix is not taken for a mapped address.
            assert_eq!(parse_cidr(good).is_ok(), !good.ends_with("/95"), "{good}");
        }
        let help = |text: &str| parse_cidr(text).unwrap_err().1;
        assert_eq!(help("192.0.2.7/24"), "the block is `192.0.2.0/24`; the one address is `192.0.2.7/32`");
        assert_eq!(help("192.0.2.7"), "for this one address, write `192.0.2.7/32`");
        assert_eq!(help("2001:db8::1"), "for this one address, write `2001:db8::1/128`");
        assert_eq!(help("::ffff:10.0.0.0/104"), "packets carry the IPv4 address: write `10.0.0.0/8`");
        assert_eq!(help("10.0.0.0/33"), "for example `192.0.2.0/24` or `\"2001:db8::/32\"`");
    }
}
