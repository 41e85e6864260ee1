//! One subscription to the kernel's reports, until it loses some; then a new one.

use std::io;
use std::time::Duration;

use futures_util::StreamExt;
use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::address::AddressMessage;
use netlink_packet_route::link::LinkMessage;
use rtnetlink::packet_core::{NLM_F_DUMP, NLM_F_DUMP_INTR, NLM_F_REQUEST, NetlinkMessage, NetlinkPayload};
use rtnetlink::{Handle, MulticastGroup, new_multicast_connection};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};
use tracing::warn;

use super::Change;
use super::message::report;
use super::state::{Report, State};

/// What the kernel reports by itself.
const GROUPS: [MulticastGroup; 3] =
    [MulticastGroup::Link, MulticastGroup::Ipv4Ifaddr, MulticastGroup::Ipv6Ifaddr];
/// How long an answer may take. The kernel answers at once; this is for answers that were lost.
const ANSWER: Duration = Duration::from_secs(5);
/// Between attempts, where something is wrong.
const AGAIN: Duration = Duration::from_millis(20);

type Messages = futures_util::stream::BoxStream<'static, NetlinkMessage<RouteNetlinkMessage>>;

/// A subscription. Made before asking for everything, so that nothing falls between.
pub(super) struct Session {
    handle: Handle,
    messages: Messages,
    connection: JoinHandle<()>,
}

impl Drop for Session {
    fn drop(&mut self) {
        self.connection.abort();
    }
}

impl Session {
    pub(super) fn open() -> io::Result<Self> {
        let (connection, handle, messages) = new_multicast_connection(&GROUPS)?;
        let messages = messages.map(|(message, _)| message).boxed();
        Ok(Self { handle, messages, connection: tokio::spawn(connection) })
    }

    /// Everything that is there.
    async fn everything(&mut self) -> io::Result<Vec<Report>> {
        let mut reports = self.dump(RouteNetlinkMessage::GetLink(LinkMessage::default())).await?;
        reports.extend(self.dump(RouteNetlinkMessage::GetAddress(AddressMessage::default())).await?);
        Ok(reports)
    }

    async fn dump(&mut self, question: RouteNetlinkMessage) -> io::Result<Vec<Report>> {
        loop {
            let mut request = NetlinkMessage::from(question.clone());
            request.header.flags = NLM_F_REQUEST | NLM_F_DUMP;
            let mut answers = self.handle.request(request).map_err(io::Error::other)?;
            let mut reports = Vec::new();
            let mut whole = true;
            while let Some(answer) = timeout(ANSWER, answers.next()).await? {
                // Something changed while the kernel went through its list: it may have left others out.
                whole &= answer.header.flags & NLM_F_DUMP_INTR == 0;
                match answer.payload {
                    NetlinkPayload::InnerMessage(message) => reports.extend(report(&message)),
                    NetlinkPayload::Error(error) => return Err(error.to_io()),
                    NetlinkPayload::Overrun(_) => whole = false,
                    _ => {}
                }
            }
            if whole {
                return Ok(reports);
            }
            sleep(AGAIN).await;
        }
    }
}

/// Sends changes until nobody wants them. Every subscription begins with everything, of which the differences to what
/// was known are sent.
pub(super) async fn run(first: Session, changes: mpsc::UnboundedSender<Change>) {
    let mut state = State::default();
    let mut next = Some(first);
    let mut complete = Some(Change::Complete);
    while !changes.is_closed() {
        let session = match next.take().map_or_else(Session::open, Ok) {
            Ok(session) => session,
            Err(error) => {
                warn!(%error, "cannot subscribe to the kernel's reports of devices");
                sleep(AGAIN).await;
                continue;
            }
        };
        if let Err(error) = follow(session, &mut state, &changes, &mut complete).await {
            warn!(%error, "reports of devices were lost; asking for everything again");
            sleep(AGAIN).await;
        }
    }
}

/// Follows one subscription to its end. Errors are reasons to start another.
async fn follow(
    mut session: Session,
    state: &mut State,
    changes: &mpsc::UnboundedSender<Change>,
    complete: &mut Option<Change>,
) -> io::Result<()> {
    let send = |all: Vec<Change>| all.into_iter().try_for_each(|change| changes.send(change)).is_ok();
    let everything = session.everything().await?;
    let mut wanted = send(state.replace(everything)) && send(complete.take().into_iter().collect());
    while wanted {
        tokio::select! {
            message = session.messages.next() => match message.map(|message| message.payload) {
                Some(NetlinkPayload::InnerMessage(message)) => {
                    wanted = send(report(&message).map(|report| state.take(report)).unwrap_or_default());
                }
                Some(NetlinkPayload::Overrun(_)) => return Err(io::Error::other("the kernel's buffer was full")),
                Some(_) => {}
                None => return Err(io::Error::other("the subscription ended")),
            },
            () = changes.closed() => wanted = false,
        }
    }
    Ok(())
}
