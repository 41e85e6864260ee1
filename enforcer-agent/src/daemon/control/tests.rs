//! Clients that mean no good, and what is left for the others.

use super::{Bounds, bind, serve};
use crate::client::{Lines, Refused, call};
use crate::daemon::engine::{Handle, Message, Noticed};
use crate::daemon::events::Feed;
use crate::daemon::names::Names;
use crate::protocol::{ApplyRequest, ExplainRequest, ObserveLine, PolicyFile, StopReply, StopRequest};
use enforcer_common::event::FlowEvent;
use hyper::Method;
use std::path::PathBuf;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;

struct World {
    _dir: tempfile::TempDir,
    socket: PathBuf,
    feed: Feed,
}

const TIGHT: Bounds = Bounds {
    connections: 4,
    members: 2,
    observers: 2,
    head: Duration::from_millis(200),
    body: Duration::from_millis(200),
    exchange: Duration::from_millis(600),
    policies: 64 << 10,
    small: 1 << 10,
};

impl World {
    /// A control socket whose engine answers `stop` and nothing else.
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let socket = dir.path().join("enforcer.sock");
        let listener = bind(&socket, None).unwrap();
        let (handle, messages) = Handle::new();
        std::thread::spawn(move || {
            let mut kept = Vec::new();
            while let Ok(Noticed { message, .. }) = messages.recv() {
                match message {
                    Message::Stop { detach, reply } => {
                        let _ = reply
                            .send(Ok(StopReply { schema: "enforcer.stop/v1".to_owned(), detached: detach }));
                    }
                    // Whoever asks anything else waits.
                    other => kept.push(other),
                }
            }
        });
        let feed = Feed::new(Names::default());
        tokio::spawn(serve(listener, handle, feed.clone(), None, TIGHT));
        Self { _dir: dir, socket, feed }
    }

    async fn connect(&self) -> UnixStream {
        UnixStream::connect(&self.socket).await.unwrap()
    }

    /// Everything the daemon says until it closes.
    async fn heard(stream: &mut UnixStream) -> String {
        let mut text = Vec::new();
        // A daemon that hangs up on half a request may reset the connection.
        let _ = tokio::time::timeout(Duration::from_secs(5), stream.read_to_end(&mut text))
            .await
            .expect("it never closed");
        String::from_utf8_lossy(&text).into_owned()
    }

    async fn answers(&self) -> bool {
        let reply: anyhow::Result<StopReply> =
            call(&self.socket, Method::POST, "/v1/stop", Some(&StopRequest::default())).await;
        reply.is_ok()
    }
}

fn event(epoch: u32) -> FlowEvent {
    let cause = enforcer_common::Cause::reason(enforcer_common::Reason::NoRule).0;
    FlowEvent { epoch, cause, protocol: 6, family: 4, word: 1, flags: FlowEvent::NEW, ..FlowEvent::default() }
}

#[tokio::test]
async fn what_is_not_asked_for_is_refused_in_words() {
    let world = World::new();
    for (method, path, status) in [
        (Method::GET, "/", "there is nothing"),
        (Method::GET, "/v1/stop", "in another way"),
        (Method::POST, "/v1/stop", "isn't what is asked for"),
    ] {
        let error = call::<StopReply>(&world.socket, method, path, Some(&["what"])).await.unwrap_err();
        let refused = error.downcast_ref::<Refused>().unwrap_or_else(|| panic!("{path}: {error:#}"));
        assert!(refused.0.message.contains(status), "{path}: {}", refused.0.message);
    }
    assert!(world.answers().await);
}

#[tokio::test]
async fn a_body_that_is_too_long_is_refused() {
    let world = World::new();
    let files = vec![PolicyFile { name: "a".to_owned(), text: "x".repeat(TIGHT.policies) }];
    let request = ApplyRequest { files, ..ApplyRequest::default() };
    let error = Lines::open(&world.socket, Method::POST, "/v1/apply", Some(&request)).await.err().unwrap();
    // The daemon may close before the whole of it was sent.
    let told = format!("{error:#}");
    assert!(told.contains("more than 65536 bytes") || told.contains("closed the connection"), "{told}");
    let long = ExplainRequest { from: "x".repeat(TIGHT.small), to: String::new(), port: String::new() };
    let error = call::<StopReply>(&world.socket, Method::POST, "/v1/explain", Some(&long)).await.unwrap_err();
    assert!(format!("{error:#}").contains("more than 1024 bytes"), "{error:#}");
    assert!(world.answers().await);
}

#[tokio::test]
async fn slow_clients_are_hung_up_on() {
    let world = World::new();
    let began = Instant::now();
    let mut silent = world.connect().await;
    let mut half = world.connect().await;
    half.write_all(b"POST /v1/stop HTTP/1.1\r\nhost: x\r\n").await.unwrap();
    let mut stalled = world.connect().await;
    stalled.write_all(b"POST /v1/stop HTTP/1.1\r\nhost: x\r\ncontent-length: 9\r\n\r\n{").await.unwrap();
    assert!(world.answers().await, "others are served meanwhile");
    World::heard(&mut silent).await;
    World::heard(&mut half).await;
    let told = World::heard(&mut stalled).await;
    assert!(told.starts_with("HTTP/1.1 408"), "{told}");
    assert!(began.elapsed() < Duration::from_secs(3));
}

#[tokio::test]
async fn a_client_whose_answer_never_comes_is_let_go() {
    let world = World::new();
    let began = Instant::now();
    let asked = call::<serde_json::Value>(&world.socket, Method::GET, "/v1/status", None::<&()>).await;
    assert!(asked.is_err());
    assert!(began.elapsed() < Duration::from_secs(3));
    assert!(world.answers().await);
}

#[tokio::test]
async fn too_many_connections_cost_the_newest() {
    let world = World::new();
    let mut held = Vec::new();
    for _ in 0..TIGHT.connections {
        held.push(world.connect().await);
    }
    tokio::time::sleep(Duration::from_millis(50)).await;
    let mut extra = world.connect().await;
    assert_eq!(World::heard(&mut extra).await, "");
    drop(held);
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert!(world.answers().await);
}

#[tokio::test]
async fn garbage_is_no_request() {
    let world = World::new();
    let mut stream = world.connect().await;
    stream.write_all(&[0xff; 4096]).await.unwrap();
    let told = World::heard(&mut stream).await;
    assert!(told.is_empty() || told.starts_with("HTTP/1.1 400"), "{told}");
    assert!(world.answers().await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_observer_that_does_not_read_is_told_what_it_lost_and_hurts_nobody() {
    const EVENTS: u64 = 60_000;
    let world = World::new();
    let path = "/v1/observe?follow=true";
    let mut slow = Lines::open(&world.socket, Method::GET, path, None::<&()>).await.unwrap();
    tokio::time::sleep(Duration::from_millis(50)).await;
    for epoch in 0..EVENTS as u32 {
        world.feed.take(&[event(epoch)]);
    }
    // Longer than an exchange may take: observing has no end.
    tokio::time::sleep(TIGHT.exchange + Duration::from_millis(200)).await;
    assert!(world.answers().await);
    let (mut seen, mut lost) = (0, 0);
    while seen + lost < EVENTS {
        match tokio::time::timeout(Duration::from_secs(5), slow.next())
            .await
            .expect("more is to come")
            .unwrap()
        {
            Some(ObserveLine::Flow(_)) => seen += 1,
            Some(ObserveLine::Missed { missed, .. }) => lost += missed.lost,
            Some(ObserveLine::Action(record)) => panic!("nothing was asked for: {record:?}"),
            Some(ObserveLine::Tamper(record)) => panic!("nobody tampers: {record:?}"),
            None => panic!("it ended after {seen} seen and {lost} lost"),
        }
    }
    assert_eq!(seen + lost, EVENTS);
    assert!(lost > 0, "nothing was lost, so nothing was shown");
}

#[tokio::test]
async fn observers_are_bounded_and_one_that_has_gone_makes_room() {
    let world = World::new();
    let path = "/v1/observe?follow=true";
    let open = || Lines::open(&world.socket, Method::GET, path, None::<&()>);
    let first = open().await.unwrap();
    let _second = open().await.unwrap();
    let error = open().await.err().unwrap();
    assert!(format!("{error:#}").contains("too many observers"), "{error:#}");
    drop(first);
    let deadline = Instant::now() + Duration::from_secs(5);
    while open().await.is_err() {
        assert!(Instant::now() < deadline, "its place was not given back");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

#[tokio::test]
async fn an_observer_that_has_gone_makes_room_although_it_had_more_to_say() {
    let world = World::new();
    for _ in 0..=TIGHT.observers {
        let mut talkative = world.connect().await;
        let asked = "GET /v1/observe?follow=true HTTP/1.1\r\nhost: x\r\n\r\nGET /v1/status HTTP/1.1\r\n";
        talkative.write_all(asked.as_bytes()).await.unwrap();
        let mut begun = [0; 12];
        let deadline = Instant::now() + Duration::from_secs(5);
        talkative.read_exact(&mut begun).await.unwrap();
        while &begun != b"HTTP/1.1 200" {
            assert!(Instant::now() < deadline, "its place was not given back");
            tokio::time::sleep(Duration::from_millis(100)).await;
            talkative = world.connect().await;
            talkative.write_all(asked.as_bytes()).await.unwrap();
            talkative.read_exact(&mut begun).await.unwrap();
        }
    }
}
