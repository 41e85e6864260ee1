//! `--flows live`: what the daemon sees from now on, as an input like any other.

use crate::client::Lines;
use crate::command::{Failure, daemon};
use anyhow::Context;
use hyper::Method;
use std::future;
use std::io::{self, Read};
use std::path::Path;
use std::time::Duration;
use tokio::runtime::Runtime;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::{Instant, sleep_until};

/// The lines that the daemon writes for observers. They end when the daemon does, when interrupted, or after as long as was asked.
pub(super) struct Live {
    runtime: Runtime,
    lines: Lines,
    interrupted: Signal,
    until: Option<Instant>,
    line: Vec<u8>,
    taken: usize,
}

impl Live {
    pub(super) fn open(socket: &Path, listen: Option<Duration>) -> Result<Self, Failure> {
        let runtime = daemon::runtime()?;
        let opened = runtime.block_on(async {
            let interrupted =
                signal(SignalKind::interrupt()).context("could not wait for being interrupted")?;
            let path = "/v1/observe?follow=true";
            anyhow::Ok((Lines::open(socket, Method::GET, path, None::<&()>).await?, interrupted))
        });
        let (lines, interrupted) = opened.map_err(daemon::failure)?;
        let until = listen.and_then(|listen| Instant::now().checked_add(listen));
        Ok(Self { runtime, lines, interrupted, until, line: Vec::new(), taken: 0 })
    }

    /// The next whole line.
    fn next(&mut self) -> anyhow::Result<Option<Vec<u8>>> {
        let Self { runtime, lines, interrupted, until, .. } = self;
        runtime.block_on(async {
            let over = async {
                match until {
                    Some(until) => sleep_until(*until).await,
                    None => future::pending().await,
                }
            };
            tokio::select! {
                line = lines.line() => line,
                _ = interrupted.recv() => Ok(None),
                () = over => Ok(None),
            }
        })
    }
}

impl Read for Live {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.taken == self.line.len() {
            let line = self.next().map_err(|error| io::Error::other(format!("{error:#}")))?;
            let Some(line) = line else { return Ok(0) };
            (self.line, self.taken) = (line, 0);
            self.line.push(b'\n');
        }
        let count = buffer.len().min(self.line.len() - self.taken);
        buffer[..count].copy_from_slice(&self.line[self.taken..self.taken + count]);
        self.taken += count;
        Ok(count)
    }
}
