//! The control socket: whatever bytes a client sends, it is answered or hung up on.
//!
//! An input is what the client sends before it says no more. Server, client and a stand-in for the engine run on one thread over a pipe in
//! memory, turn by turn, so that a run is the same every time and nothing waits for a clock.

use enforcer_agent::daemon::control::{Bounds, attend};
use enforcer_agent::daemon::engine::{ApplyLine, Handle, Message, Noticed, Refused};
use enforcer_agent::daemon::events::Feed;
use enforcer_agent::protocol::{ApplyReply, ExplainReply, Outcome, StopReply};
use enforcer_common::event::FlowEvent;
use enforcer_common::{Cause, Reason};
use serde_json::Value;
use std::sync::mpsc::Receiver;
use std::task::Poll;
use tokio::io::{AsyncRead, AsyncWriteExt, DuplexStream, ReadBuf};
use tokio::runtime::Builder;

/// Turns without a byte after which nothing more is to be expected.
const QUIET: usize = 64;
/// Turns after which a connection counts as held on to.
const TURNS: usize = 20_000;
const PIPE: usize = 256 << 10;

pub(crate) fn run(bytes: &[u8]) {
    let runtime = Builder::new_current_thread().enable_time().build().unwrap();
    let heard = runtime.block_on(converse(bytes));
    understood(&heard);
}

/// What the server says to `bytes`.
async fn converse(bytes: &[u8]) -> Vec<u8> {
    let (handle, messages) = Handle::new();
    let feed = Feed::default();
    let cause = Cause::reason(Reason::NoRule).0;
    let event = FlowEvent { epoch: 1, cause, protocol: 6, family: 4, word: 1, ..FlowEvent::default() };
    feed.take(&[event; 3]);
    let (mut client, server) = tokio::io::duplex(PIPE);
    let bounds = Bounds { policies: 2048, small: 256, ..Bounds::default() };
    let served = tokio::spawn(attend(server, handle, feed, bounds));
    client.write_all(bytes).await.unwrap();
    let mut heard = Vec::new();
    listen(&mut client, &messages, &mut heard).await;
    client.shutdown().await.unwrap();
    listen(&mut client, &messages, &mut heard).await;
    drop(client);
    for _ in 0..TURNS {
        if served.is_finished() {
            break;
        }
        messages.try_iter().for_each(answer);
        tokio::task::yield_now().await;
    }
    assert!(served.is_finished(), "the connection is held on to after its client has gone");
    served.await.expect("nothing panics");
    heard
}

/// Lets everybody have their turn until nothing more comes.
async fn listen(client: &mut DuplexStream, messages: &Receiver<Noticed>, heard: &mut Vec<u8>) {
    let mut quiet = 0;
    for _ in 0..TURNS {
        let before = heard.len();
        messages.try_iter().for_each(answer);
        take(client, heard).await;
        quiet = if heard.len() == before { quiet + 1 } else { 0 };
        if quiet == QUIET {
            return;
        }
        tokio::task::yield_now().await;
    }
    panic!("the answer has no end: {} bytes", heard.len());
}

/// Takes what is there, without waiting.
async fn take(client: &mut DuplexStream, heard: &mut Vec<u8>) {
    let mut room = [0; 4096];
    let read = std::future::poll_fn(|task| {
        let mut buffer = ReadBuf::new(&mut room);
        match std::pin::Pin::new(&mut *client).poll_read(task, &mut buffer) {
            Poll::Ready(Ok(())) => Poll::Ready(buffer.filled().len()),
            Poll::Ready(Err(_)) | Poll::Pending => Poll::Ready(0),
        }
    });
    let count = read.await;
    heard.extend(&room[..count]);
}

/// Plays the engine.
fn answer(noticed: Noticed) {
    let gone = match noticed.message {
        Message::Explain { request, reply } if request.port.is_empty() => {
            let refused = Refused { message: request.from, help: Some(request.to) };
            reply.send(Err(refused)).is_err()
        }
        Message::Explain { request, reply } => {
            let reply_with = ExplainReply {
                verdict: request.port,
                passes: false,
                explanation: Value::from(request.from),
                text: request.to,
            };
            reply.send(Ok(reply_with)).is_err()
        }
        Message::Stop { detach, reply } => {
            reply.send(Ok(StopReply { schema: "enforcer.stop/v1".to_owned(), detached: detach })).is_err()
        }
        Message::Apply { replies, .. } | Message::Rollback { replies, .. } => {
            let reply = ApplyReply {
                schema: "enforcer.apply/v1".to_owned(),
                outcome: Outcome::DryRun,
                epoch: 1,
                diagnostics: Vec::new(),
                tests: None,
                until: None,
            };
            (0..3).any(|_| replies.send(ApplyLine::Reply(Box::new(reply.clone()))).is_err())
        }
        // An engine that ends answers nobody.
        Message::Status(reply) => {
            drop(reply);
            false
        }
        Message::Confirm(reply) => {
            drop(reply);
            false
        }
        Message::Quarantine { reply, .. } | Message::Release { reply, .. } => {
            drop(reply);
            false
        }
        Message::Posture { reply, .. } => {
            drop(reply);
            false
        }
        other => panic!("a client made the server ask for {other:?}"),
    };
    // A client that has gone needs no answer.
    let _ = gone;
}

/// Nothing at all, or an HTTP answer whose documents are whole.
fn understood(heard: &[u8]) {
    if heard.is_empty() {
        return;
    }
    let text = std::str::from_utf8(heard).expect("answers are text");
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no head: {text:?}"));
    let status = head.strip_prefix("HTTP/1.1 ").or_else(|| head.strip_prefix("HTTP/1.0 "));
    let status = status.unwrap_or_else(|| panic!("no status: {head:?}"));
    assert!(status.as_bytes()[..3].iter().all(u8::is_ascii_digit), "{head:?}");
    let head = head.to_ascii_lowercase();
    if head.contains("transfer-encoding") || !head.contains("content-type: application/json") {
        return;
    }
    for line in body.lines() {
        serde_json::from_str::<Value>(line).unwrap_or_else(|error| panic!("{error}: {line:?}"));
    }
}
