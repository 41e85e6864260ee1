//! The other end of the control socket: what the client commands ask the daemon.

use crate::protocol::Refusal;
use anyhow::{Context, Result, bail};
use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::io;
use std::path::{Path, PathBuf};
use tokio::net::UnixStream;

/// Longer lines than this don't come from our daemon.
const LONGEST_LINE: usize = 256 << 20;

/// The daemon refused, with its own words.
#[derive(Debug, thiserror::Error)]
#[error("{}", .0.message)]
pub struct Refused(pub Refusal);

/// Nobody answers at the socket.
#[derive(Debug, thiserror::Error)]
#[error("could not reach the daemon at `{}`", .socket.display())]
pub struct Unreachable {
    socket: PathBuf,
    source: io::Error,
}

impl Unreachable {
    /// Whether there is nobody, rather than somebody who can't be asked.
    #[must_use]
    pub fn is_nobody(&self) -> bool {
        matches!(self.source.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused)
    }

    /// The way out.
    #[must_use]
    pub fn help(&self) -> &'static str {
        match self.source.kind() {
            io::ErrorKind::PermissionDenied => {
                "only root may speak to the daemon, and the members of its `socketGroup`"
            }
            _ => "start it with `enforcer run`, or name its socket with --socket or ENFORCER_SOCKET",
        }
    }
}

/// Sends one request and returns the answer, whatever its status.
async fn send(socket: &Path, method: Method, path: &str, body: Vec<u8>) -> Result<Response<Incoming>> {
    let unreachable = |source| Unreachable { socket: socket.to_owned(), source };
    let stream = UnixStream::connect(socket).await.map_err(unreachable)?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
        .await
        .context("the daemon closed the connection")?;
    tokio::spawn(connection);
    let request = Request::builder()
        .method(method)
        .uri(path)
        .header("host", "enforcer")
        .header("content-type", "application/json")
        .body(Full::new(Bytes::from(body)))
        .context("could not make the request")?;
    sender.send_request(request).await.context("the daemon closed the connection")
}

/// One request, one document.
pub async fn call<T: DeserializeOwned>(
    socket: &Path,
    method: Method,
    path: &str,
    body: Option<&impl Serialize>,
) -> Result<T> {
    let mut lines = Lines::open(socket, method, path, body).await?;
    lines.next().await?.context("the daemon gave no answer")
}

/// An answer of JSON lines.
pub struct Lines {
    response: Response<Incoming>,
    buffer: Vec<u8>,
    at: usize,
}

impl Lines {
    /// Sends a request; a refusal becomes an error.
    pub async fn open(
        socket: &Path,
        method: Method,
        path: &str,
        body: Option<&impl Serialize>,
    ) -> Result<Self> {
        let body = match body {
            Some(body) => serde_json::to_vec(body).context("could not write the request as JSON")?,
            None => Vec::new(),
        };
        let response = send(socket, method, path, body).await?;
        let status = response.status();
        let mut lines = Self { response, buffer: Vec::new(), at: 0 };
        if status == StatusCode::OK {
            return Ok(lines);
        }
        match lines.next::<Refusal>().await {
            Ok(Some(refusal)) => Err(Refused(refusal).into()),
            Ok(None) | Err(_) => bail!("the daemon answered `{status}`"),
        }
    }

    /// The next document; `None` where the daemon has nothing more to say.
    pub async fn next<T: DeserializeOwned>(&mut self) -> Result<Option<T>> {
        self.line().await?.map(|line| parse(&line)).transpose()
    }

    /// The next line as it came, without its end.
    pub async fn line(&mut self) -> Result<Option<Vec<u8>>> {
        loop {
            if let Some(end) = self.buffer[self.at..].iter().position(|byte| *byte == b'\n') {
                let line = self.at..self.at + end;
                self.at = line.end + 1;
                return Ok(Some(self.buffer[line].to_vec()));
            }
            self.buffer.drain(..self.at);
            self.at = 0;
            match self.response.body_mut().frame().await {
                Some(frame) => {
                    let frame = frame.context("the daemon closed the connection")?;
                    self.buffer.extend_from_slice(frame.data_ref().map_or(&[], |data| data));
                    if self.buffer.len() > LONGEST_LINE {
                        bail!("the answer is too long");
                    }
                }
                None if self.buffer.is_empty() => return Ok(None),
                None => return Ok(Some(std::mem::take(&mut self.buffer))),
            }
        }
    }
}

fn parse<T: DeserializeOwned>(line: &[u8]) -> Result<T> {
    serde_json::from_slice(line).context("the daemon's answer isn't what this version understands")
}
