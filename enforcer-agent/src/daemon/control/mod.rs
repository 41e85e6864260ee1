//! The control socket: HTTP/1.1 with JSON bodies, for root and, where the settings name one, for the members of a group.
//!
//! Members may do through it all that root may. What they can't do is keep root out: some connections are root's alone.
//! A client can cost no more than its connection: their number, the size and time of what they send and the time for an
//! answer are bounded. What an observer doesn't read is lost to it, and counted.

mod body;
mod client;
mod observe;
mod peer;
mod route;
mod socket;
#[cfg(test)]
mod tests;

use super::engine::Handle;
use super::events::Feed;
use anyhow::Result;
use client::Client;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use nix::unistd::Gid;
use peer::Standing;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::UnixListener;
use tokio::sync::Semaphore;
use tracing::{debug, warn};

pub use peer::group;
pub use socket::bind;

/// Bounds on what clients may cost.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    /// Connections at once.
    pub connections: usize,
    /// Connections of others than root among them.
    pub members: usize,
    /// Observers among them.
    pub observers: usize,
    /// Time for a request's head.
    pub head: Duration,
    /// Time for a request's body.
    pub body: Duration,
    /// Time for everything but observing.
    pub exchange: Duration,
    /// Bytes of a policy set.
    pub policies: usize,
    /// Bytes of any other body.
    pub small: usize,
}

impl Default for Bounds {
    fn default() -> Self {
        Self {
            connections: 64,
            members: 48,
            observers: 16,
            head: Duration::from_secs(5),
            body: Duration::from_secs(20),
            exchange: Duration::from_secs(300),
            policies: 128 << 20,
            small: 64 << 10,
        }
    }
}

/// What every request may use.
pub(super) struct Context {
    engine: Handle,
    feed: Feed,
    bounds: Bounds,
    observers: Arc<Semaphore>,
}

/// Answers root and the members of `group`, until the listener fails.
pub async fn serve(
    listener: UnixListener,
    engine: Handle,
    feed: Feed,
    group: Option<Gid>,
    bounds: Bounds,
) -> Result<()> {
    let places = Arc::new(Semaphore::new(bounds.connections));
    let members = Arc::new(Semaphore::new(bounds.members));
    let observers = Arc::new(Semaphore::new(bounds.observers));
    let context = Arc::new(Context { engine, feed, bounds, observers });
    loop {
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                // Out of descriptors, most likely: others must end first.
                warn!(%error, "could not accept a connection on the control socket");
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        let place_of_member = match peer::standing(&stream, group) {
            Some(Standing::Owner) => None,
            Some(Standing::Member) => match Arc::clone(&members).try_acquire_owned() {
                Ok(place) => Some(place),
                Err(_) => {
                    warn!("too many connections of the group on the control socket: one more was refused");
                    continue;
                }
            },
            None => continue,
        };
        let Ok(place) = Arc::clone(&places).try_acquire_owned() else {
            warn!("too many connections on the control socket: one more was refused");
            continue;
        };
        let context = Arc::clone(&context);
        let client = stream.peer_cred().ok().and_then(|peer| peer.pid());
        tokio::spawn(async move {
            connection(stream, context, client).await;
            drop((place, place_of_member));
        });
    }
}

/// Answers one client that is known to be trusted, over whatever carries its bytes.
pub async fn attend(stream: impl AsyncRead + AsyncWrite + Unpin, engine: Handle, feed: Feed, bounds: Bounds) {
    let observers = Arc::new(Semaphore::new(bounds.observers));
    connection(stream, Arc::new(Context { engine, feed, bounds, observers }), None).await;
}

/// `client` is the process that asks, where that is known.
async fn connection(stream: impl AsyncRead + AsyncWrite + Unpin, context: Arc<Context>, client: Option<i32>) {
    let observing = Arc::new(tokio::sync::Notify::new());
    let (stream, reads) = Client::new(stream);
    let service =
        service_fn(|request| route::answer(request, Arc::clone(&context), client, Arc::clone(&observing)));
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(context.bounds.head)
        .keep_alive(false)
        .max_buf_size(64 << 10)
        .serve_connection(TokioIo::new(stream), service);
    tokio::pin!(connection);
    let limit = tokio::time::sleep(context.bounds.exchange);
    let ended = tokio::select! {
        ended = &mut connection => ended,
        () = limit => return debug!("a client of the control socket took too long"),
        () = observing.notified() => tokio::select! {
            // What was to be said before its end is said.
            biased;
            ended = &mut connection => ended,
            () = reads.ended() => return debug!("an observer has gone"),
        },
    };
    if let Err(error) = ended {
        debug!(%error, "a connection on the control socket ended early");
    }
}

/// Whether somebody answers at this socket already.
pub(super) fn answered(path: &Path) -> bool {
    std::os::unix::net::UnixStream::connect(path).is_ok()
}
