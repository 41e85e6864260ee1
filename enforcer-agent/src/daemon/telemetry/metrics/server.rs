//! HTTP for scrapers, on a TCP socket: one page, and nothing that could be asked for beside it.
//!
//! A client costs its connection at most, and no longer than [`Bounds::exchange`]; where there are too many, the oldest goes. Pages are
//! made at most so often, whoever asks, so that asking costs the engine no more than a snapshot now and then.

use super::page::page;
use super::snapshot::Snapshot;
use crate::daemon::engine::{Handle, Message};
use crate::daemon::telemetry::Tallies;
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::{ALLOW, CONTENT_TYPE, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use std::collections::VecDeque;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Mutex, oneshot};
use tokio::task::AbortHandle;
use tracing::{debug, info, warn};

const TEXT: HeaderValue = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
const PLAIN: HeaderValue = HeaderValue::from_static("text/plain; charset=utf-8");
/// Who says that metrics can't be served.
const WHO: &str = "metrics";

/// Bounds on what scrapers may cost.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    /// Connections at once.
    pub connections: usize,
    /// Time for a request's head.
    pub head: Duration,
    /// Time for everything.
    pub exchange: Duration,
    /// Time that the engine may take for a snapshot.
    pub snapshot: Duration,
    /// For how long a page is as good as new.
    pub fresh: Duration,
    /// Between two attempts to listen.
    pub again: Duration,
}

impl Default for Bounds {
    fn default() -> Self {
        Self {
            connections: 16,
            head: Duration::from_secs(5),
            exchange: Duration::from_secs(30),
            snapshot: Duration::from_secs(8),
            fresh: Duration::from_millis(250),
            again: Duration::from_secs(5),
        }
    }
}

/// The page that was made last.
struct Pages {
    engine: Handle,
    tallies: Tallies,
    bounds: Bounds,
    made: Mutex<Option<(Instant, Bytes)>>,
}

impl Pages {
    /// A page that is new enough. Who comes while one is being made waits for that.
    async fn page(&self) -> Result<Bytes, &'static str> {
        let mut made = self.made.lock().await;
        if let Some((_, page)) = made.as_ref().filter(|(at, _)| at.elapsed() < self.bounds.fresh) {
            return Ok(page.clone());
        }
        let snapshot = tokio::time::timeout(self.bounds.snapshot, self.snapshot()).await;
        let snapshot = snapshot.map_err(|_| "the engine is busy")??;
        let tallies = self.tallies.clone();
        let written = tokio::task::spawn_blocking(move || page(&snapshot, &tallies)).await;
        match written {
            Ok(Ok(text)) => Ok(made.insert((Instant::now(), text.into())).1.clone()),
            Ok(Err(error)) => {
                warn!(%error, "could not write the metrics");
                Err("the metrics could not be written")
            }
            Err(_) => Err("the metrics could not be written"),
        }
    }

    async fn snapshot(&self) -> Result<Snapshot, &'static str> {
        const ENDING: &str = "the daemon is stopping";
        let (sender, receiver) = oneshot::channel();
        self.engine.send(Message::Metrics(sender)).map_err(|_| ENDING)?;
        receiver.await.map_err(|_| ENDING)
    }
}

/// Serves metrics at `address` until the runtime ends. Where it can't listen there, it says so and tries again.
pub async fn serve(address: SocketAddr, engine: Handle, tallies: Tallies, bounds: Bounds) {
    let pages = Arc::new(Pages { engine, tallies: tallies.clone(), bounds, made: Mutex::default() });
    let listener = loop {
        match TcpListener::bind(address).await {
            Ok(listener) => break listener,
            Err(error) => {
                let told = format!("metrics can't be served at `{address}`: {error}");
                if tallies.trouble(WHO, Some(told)) {
                    warn!(%error, %address, "metrics can't be served");
                }
                tokio::time::sleep(bounds.again).await;
            }
        }
    };
    tallies.trouble(WHO, None);
    info!(%address, "serving metrics");
    accept(&listener, &pages).await;
}

async fn accept(listener: &TcpListener, pages: &Arc<Pages>) {
    let mut open: VecDeque<AbortHandle> = VecDeque::new();
    loop {
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                debug!(%error, "could not accept a scraper's connection");
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        open.retain(|task| !task.is_finished());
        if open.len() >= pages.bounds.connections
            && let Some(oldest) = open.pop_front()
        {
            oldest.abort();
        }
        open.push_back(tokio::spawn(connection(stream, Arc::clone(pages))).abort_handle());
    }
}

async fn connection(stream: TcpStream, pages: Arc<Pages>) {
    let bounds = pages.bounds;
    let service = service_fn(|request| answer(request, Arc::clone(&pages)));
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(bounds.head)
        .keep_alive(false)
        .max_buf_size(16 << 10)
        .serve_connection(TokioIo::new(stream), service);
    match tokio::time::timeout(bounds.exchange, connection).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => debug!(%error, "a scraper's connection ended early"),
        Err(_) => debug!("a scraper took too long"),
    }
}

async fn answer(request: Request<Incoming>, pages: Arc<Pages>) -> Result<Response<Full<Bytes>>, Infallible> {
    let told = |status, text: &'static str| reply(status, PLAIN, Bytes::from_static(text.as_bytes()));
    Ok(match (request.method(), request.uri().path()) {
        (&Method::GET | &Method::HEAD, "/metrics") => match pages.page().await {
            Ok(page) => reply(StatusCode::OK, TEXT, page),
            Err(why) => told(StatusCode::SERVICE_UNAVAILABLE, why),
        },
        (_, "/metrics") => {
            let mut response = told(StatusCode::METHOD_NOT_ALLOWED, "metrics are read with GET\n");
            response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
            response
        }
        _ => told(StatusCode::NOT_FOUND, "metrics are at /metrics\n"),
    })
}

fn reply(status: StatusCode, kind: HeaderValue, text: Bytes) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(text));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, kind);
    response
}

#[cfg(test)]
mod tests;
