//! Load between two namespaces.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use enforcer_tests::Workload;
use rustix::thread::{CpuSet, sched_setaffinity};

/// How long one round lasts.
const ROUND: Duration = Duration::from_millis(250);
/// How long anything may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// Connections opened one after the other: the server closes, the client waits for that and resets, so that neither the queue of
/// the listener nor the client's ports run out.
pub(crate) fn connections_per_second(client: &Workload, server: &Workload, port: u16) -> Result<f64> {
    let target = SocketAddr::new(server.v4(), port);
    serving(client, server, target, drop, || {
        client.enter(|| {
            let start = Instant::now();
            let mut opened = 0_u32;
            while start.elapsed() < ROUND {
                let mut stream = TcpStream::connect_timeout(&target, PATIENCE).context("cannot connect")?;
                stream.read(&mut [0]).context("the server didn't close")?;
                socket2::SockRef::from(&stream)
                    .set_linger(Some(Duration::ZERO))
                    .context("cannot set linger")?;
                opened += 1;
            }
            Ok(f64::from(opened) / start.elapsed().as_secs_f64())
        })
    })
}

/// One stream, as fast as it goes.
pub(crate) fn bytes_per_second(client: &Workload, server: &Workload, port: u16) -> Result<f64> {
    let target = SocketAddr::new(server.v4(), port);
    let swallow = |mut stream: TcpStream| {
        let mut buffer = vec![0; 1 << 18];
        while stream.read(&mut buffer).is_ok_and(|count| count > 0) {}
    };
    serving(client, server, target, swallow, || {
        client.enter(|| {
            let mut stream = TcpStream::connect_timeout(&target, PATIENCE).context("cannot connect")?;
            stream.set_write_timeout(Some(PATIENCE)).context("cannot set a time-out")?;
            let (buffer, start) = (vec![0; 1 << 18], Instant::now());
            let mut sent = 0.0;
            while start.elapsed() < ROUND {
                sent += stream.write(&buffer).context("cannot send")? as f64;
            }
            Ok(sent / start.elapsed().as_secs_f64())
        })
    })
}

/// Keeps this thread on the first CPU, where the other end is too: the ratio is then what a connection costs in CPU time, not where the
/// scheduler put the ends, which moves the result more than anything measured here.
fn settle() {
    let mut set = CpuSet::new();
    set.set(0);
    let _ = sched_setaffinity(None, &set);
}

/// Runs `load` while `server` accepts at `address`.
fn serving<T: Send>(
    client: &Workload,
    server: &Workload,
    address: SocketAddr,
    serve: impl Fn(TcpStream) + Sync,
    load: impl FnOnce() -> Result<T> + Send,
) -> Result<T> {
    let listener = server.enter(|| TcpListener::bind(address)).context("cannot listen")?;
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            settle();
            while let Ok((stream, _)) = listener.accept() {
                if over.load(Ordering::Relaxed) {
                    break;
                }
                serve(stream);
            }
        });
        // On a thread of its own, so that no daemon started later inherits the place.
        let loading = scope.spawn(|| {
            settle();
            load()
        });
        let outcome = loading.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        over.store(true, Ordering::Relaxed);
        // One more connection, so that the server looks up.
        let _ = client.enter(|| TcpStream::connect_timeout(&address, PATIENCE));
        outcome
    })
}
