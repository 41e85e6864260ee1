//! Bodies in and out.

use crate::protocol::Refusal;
use http_body_util::channel::{Channel, Sender};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::{Response, StatusCode};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::convert::Infallible;
use std::time::Duration;

pub(super) type Body = BoxBody<Bytes, Infallible>;
pub(super) type Answer = Response<Body>;

/// Why a request got no answer.
pub(super) struct Denied {
    status: StatusCode,
    refusal: Refusal,
}

impl Denied {
    pub(super) fn new(status: StatusCode, message: impl Into<String>) -> Self {
        Self { status, refusal: Refusal::new(message) }
    }

    /// The engine has ended or is ending.
    pub(super) fn ending() -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "the daemon is stopping")
    }

    pub(super) fn help(mut self, help: Option<String>) -> Self {
        self.refusal.help = help;
        self
    }
}

impl From<Denied> for Answer {
    fn from(denied: Denied) -> Self {
        answer(denied.status, line(&denied.refusal))
    }
}

/// The JSON in a request's body; at most `limit` bytes within `time`.
pub(super) async fn read<T: DeserializeOwned>(
    body: Incoming,
    limit: usize,
    time: Duration,
) -> Result<T, Denied> {
    parse(&gather(body, limit, time).await?)
}

/// As [`read`], where nothing at all is a request as well.
pub(super) async fn read_or_default<T: DeserializeOwned + Default>(
    body: Incoming,
    limit: usize,
    time: Duration,
) -> Result<T, Denied> {
    let collected = gather(body, limit, time).await?;
    if collected.is_empty() { Ok(T::default()) } else { parse(&collected) }
}

fn parse<T: DeserializeOwned>(text: &[u8]) -> Result<T, Denied> {
    serde_json::from_slice(text).map_err(|error| {
        Denied::new(StatusCode::BAD_REQUEST, format!("the request's body isn't what is asked for: {error}"))
    })
}

/// The whole of a body.
async fn gather(body: Incoming, limit: usize, time: Duration) -> Result<Bytes, Denied> {
    match tokio::time::timeout(time, Limited::new(body, limit).collect()).await {
        Err(_) => Err(Denied::new(StatusCode::REQUEST_TIMEOUT, "the request's body took too long")),
        Ok(Err(error)) if error.is::<http_body_util::LengthLimitError>() => {
            let message = format!("the request's body has more than {limit} bytes");
            Err(Denied::new(StatusCode::PAYLOAD_TOO_LARGE, message))
        }
        Ok(Err(_)) => Err(Denied::new(StatusCode::BAD_REQUEST, "the request's body broke off")),
        Ok(Ok(collected)) => Ok(collected.to_bytes()),
    }
}

/// One document.
pub(super) fn document(value: &impl Serialize) -> Answer {
    answer(StatusCode::OK, line(value))
}

/// A stream of documents, at most `waiting` of them not yet written.
pub(super) fn stream(waiting: usize) -> (Sender<Bytes>, Answer) {
    let (sender, channel) = Channel::new(waiting);
    (sender, with(StatusCode::OK, "application/jsonl", channel.boxed()))
}

/// A value as a JSON line.
pub(super) fn line(value: &impl Serialize) -> Bytes {
    let mut text = serde_json::to_vec(value).unwrap_or_else(|error| {
        let refusal = Refusal::new(format!("the answer could not be written: {error}"));
        serde_json::to_vec(&refusal).unwrap_or_default()
    });
    text.push(b'\n');
    text.into()
}

fn answer(status: StatusCode, text: Bytes) -> Answer {
    with(status, "application/json", Full::new(text).boxed())
}

fn with(status: StatusCode, kind: &'static str, body: Body) -> Answer {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    response.headers_mut().insert("content-type", hyper::header::HeaderValue::from_static(kind));
    response
}
