//! Chains of nftables that rewrite addresses.

use std::io;

use rtnetlink::sys::protocols::NETLINK_NETFILTER;

use super::ask::{Asker, HEADER, attributes};

/// `table chain` of every chain of the type `nat` that has a rule. Both names were chosen by others: escape them where they are shown.
pub fn nat_chains() -> io::Result<Vec<String>> {
    const NFNL_SUBSYS_NFTABLES: u16 = 10 << 8;
    const NFT_MSG_NEWCHAIN: u16 = 3;
    const NFT_MSG_GETCHAIN: u16 = 4;
    let mut found = Vec::new();
    // `struct nfgenmsg`: every family, version 0.
    let listed = Asker::of(NETLINK_NETFILTER)?.list_plain(
        NFNL_SUBSYS_NFTABLES | NFT_MSG_GETCHAIN,
        &[0; 4],
        |kind, message| {
            if kind == NFNL_SUBSYS_NFTABLES | NFT_MSG_NEWCHAIN {
                found.extend(chain(message));
            }
            Ok(())
        },
    );
    match listed {
        // A kernel without nftables.
        Err(error)
            if [libc::EINVAL, libc::EOPNOTSUPP].iter().any(|one| error.raw_os_error() == Some(*one)) =>
        {
            Ok(Vec::new())
        }
        listed => listed.map(|()| found),
    }
}

/// A chain that rewrites, if this is one.
fn chain(message: &[u8]) -> Option<String> {
    /// Behind `struct nfgenmsg`.
    const ATTRIBUTES: usize = HEADER + 4;
    const TABLE: u16 = 1;
    const NAME: u16 = 3;
    /// How many rules it has, big-endian.
    const USE: u16 = 6;
    const TYPE: u16 = 7;
    let text = |value: &[u8]| String::from_utf8_lossy(value).trim_end_matches('\0').to_owned();
    let (mut table, mut name, mut kind, mut rules) = (String::new(), String::new(), String::new(), 0);
    for (attribute, value) in attributes(message.get(ATTRIBUTES..)?) {
        match attribute {
            TABLE => table = text(value),
            NAME => name = text(value),
            TYPE => kind = text(value),
            USE => rules = u32::from_be_bytes(*value.first_chunk()?),
            _ => {}
        }
    }
    (kind == "nat" && rules > 0).then(|| format!("{table} {name}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(kind: &str, rules: u32) -> Vec<u8> {
        let mut bytes = vec![0; HEADER + 4];
        let name = |text: &str| [text.as_bytes(), &[0]].concat();
        for (attribute, value) in
            [(1, name("ip-shop")), (3, name("out")), (6, rules.to_be_bytes().to_vec()), (7, name(kind))]
        {
            bytes.extend((4 + value.len() as u16).to_ne_bytes());
            bytes.extend(u16::to_ne_bytes(attribute));
            bytes.extend(&value);
            bytes.resize(bytes.len().next_multiple_of(4), 0);
        }
        bytes
    }

    #[test]
    fn only_chains_with_rules_rewrite() {
        assert_eq!(chain(&message("nat", 1)), Some("ip-shop out".to_owned()));
        assert_eq!(chain(&message("nat", 0)), None);
        assert_eq!(chain(&message("filter", 1)), None);
        assert_eq!(chain(&message("nat", 1)[..HEADER]), None);
    }
}
