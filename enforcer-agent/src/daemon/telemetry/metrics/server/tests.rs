//! Scrapers, and clients that are none.

use super::{Bounds, serve};
use crate::daemon::engine::{Handle, Message, Noticed};
use crate::daemon::telemetry::Tallies;
use crate::daemon::telemetry::metrics::Snapshot;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

const PATIENCE: Duration = Duration::from_secs(10);

fn tight() -> Bounds {
    Bounds {
        connections: 4,
        head: Duration::from_millis(300),
        exchange: Duration::from_secs(5),
        snapshot: Duration::from_millis(300),
        again: Duration::from_millis(20),
        ..Bounds::default()
    }
}

struct World {
    address: SocketAddr,
    tallies: Tallies,
    /// Snapshots that the engine was asked for.
    asked: Arc<AtomicUsize>,
}

/// A free port, and for how long nobody else takes it.
async fn free() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap()
}

impl World {
    /// A server whose engine answers at once, or never.
    async fn new(answers: bool) -> Self {
        let (address, tallies, asked) = (free().await, Tallies::default(), Arc::new(AtomicUsize::new(0)));
        let (handle, messages) = Handle::new();
        let count = Arc::clone(&asked);
        std::thread::spawn(move || {
            let mut kept = Vec::new();
            while let Ok(Noticed { message, .. }) = messages.recv() {
                let Message::Metrics(reply) = message else { panic!("it asks for metrics alone") };
                count.fetch_add(1, Ordering::Relaxed);
                match answers {
                    true => drop(reply.send(Snapshot { epoch: 41, ..Snapshot::default() })),
                    false => kept.push(reply),
                }
            }
        });
        tokio::spawn(serve(address, handle, tallies.clone(), tight()));
        Self { address, tallies, asked }
    }

    async fn connect(&self) -> TcpStream {
        let deadline = Instant::now() + PATIENCE;
        loop {
            match TcpStream::connect(self.address).await {
                Ok(stream) => return stream,
                Err(error) => assert!(Instant::now() < deadline, "{error}"),
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    async fn ask(&self, line: &str) -> String {
        let mut stream = self.connect().await;
        stream.write_all(format!("{line} HTTP/1.1\r\nhost: x\r\n\r\n").as_bytes()).await.unwrap();
        heard(stream).await
    }
}

async fn heard(mut stream: TcpStream) -> String {
    let mut text = Vec::new();
    let read = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut text)).await;
    // One that is let go may be reset.
    drop(read.expect("it never closed"));
    String::from_utf8_lossy(&text).into_owned()
}

#[tokio::test]
async fn the_page_is_at_its_path_and_nothing_else_is_anywhere() {
    let world = World::new(true).await;
    let page = world.ask("GET /metrics").await;
    assert!(page.starts_with("HTTP/1.1 200"), "{page}");
    assert!(page.contains("content-type: text/plain; version=0.0.4; charset=utf-8\r\n"), "{page}");
    assert!(page.contains("\nenforcer_epoch 41\n"), "{page}");
    assert!(world.ask("GET /").await.starts_with("HTTP/1.1 404"));
    assert!(world.ask("POST /metrics").await.starts_with("HTTP/1.1 405"));
    let head = world.ask("HEAD /metrics").await;
    assert!(head.starts_with("HTTP/1.1 200") && !head.contains("enforcer_epoch"), "{head}");
}

#[tokio::test]
async fn many_who_ask_at_once_cost_one_snapshot() {
    let world = World::new(true).await;
    let pages = futures_util::future::join_all((0..3).map(|_| world.ask("GET /metrics"))).await;
    assert!(pages.iter().all(|page| page.contains("enforcer_epoch 41")));
    assert_eq!(world.asked.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn clients_that_hang_delay_nobody_and_are_let_go() {
    let world = World::new(true).await;
    let mut hanging = Vec::new();
    for _ in 0..3 * tight().connections {
        let mut stream = world.connect().await;
        stream.write_all(b"GET /metrics HT").await.unwrap();
        hanging.push(stream);
    }
    assert!(world.ask("GET /metrics").await.contains("enforcer_epoch 41"));
    for stream in hanging {
        assert!(!heard(stream).await.contains("enforcer_epoch"));
    }
}

#[tokio::test]
async fn an_engine_that_is_busy_is_no_page() {
    let world = World::new(false).await;
    let page = world.ask("GET /metrics").await;
    assert!(page.starts_with("HTTP/1.1 503") && page.ends_with("the engine is busy"), "{page}");
}

#[tokio::test]
async fn an_address_that_is_taken_is_told_and_tried_again() {
    let (tallies, (handle, _messages)) = (Tallies::default(), Handle::new());
    let taken = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = taken.local_addr().unwrap();
    tokio::spawn(serve(address, handle, tallies.clone(), tight()));
    let deadline = Instant::now() + PATIENCE;
    while tallies.troubles().is_empty() {
        assert!(Instant::now() < deadline, "it isn't told");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let told = tallies.troubles().remove(0);
    assert!(told.starts_with(&format!("metrics can't be served at `{address}`: ")), "{told}");
    drop(taken);
    let world = World { address, tallies, asked: Arc::default() };
    world.connect().await;
    while !world.tallies.troubles().is_empty() {
        assert!(Instant::now() < deadline, "its end isn't told");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
