//! Every device of this network namespace, as it is now.

use std::io;

use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::link::LinkMessage;
use rtnetlink::packet_core::{NetlinkMessage, NetlinkPayload};

use super::Link;
use super::ask::Asker;
use super::message::report;
use super::state::Report;

/// Asks once.
pub fn devices() -> io::Result<Vec<Link>> {
    let mut found = Vec::new();
    Asker::open()?.list(RouteNetlinkMessage::GetLink(LinkMessage::default()), |_, bytes| {
        let message = NetlinkMessage::<RouteNetlinkMessage>::deserialize(bytes).map_err(io::Error::other)?;
        if let NetlinkPayload::InnerMessage(message) = message.payload
            && let Some(Report::Link(link)) = report(&message)
        {
            found.push(link);
        }
        Ok(())
    })?;
    Ok(found)
}
