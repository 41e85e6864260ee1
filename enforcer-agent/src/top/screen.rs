//! The terminal, from beginning to end.

use super::draw::draw;
use super::keys::press;
use super::state::State;
use crate::client::{Lines, call};
use crate::filter::Filter;
use crate::protocol::{ObserveLine, Status};
use anyhow::{Context, Result};
use crossterm::event::{Event, EventStream};
use futures_util::StreamExt;
use hyper::Method;
use ratatui::DefaultTerminal;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc::{Receiver, Sender, channel};

/// Between two frames, where something changed.
const FRAME: Duration = Duration::from_millis(200);
/// Between two looks at how things stand.
const LOOK: Duration = Duration::from_secs(2);
/// Between two attempts to reach the daemon.
const AGAIN: Duration = Duration::from_secs(1);

/// What comes from the daemon.
enum News {
    Line(ObserveLine),
    Status(Box<Status>),
    Silent(String),
}

/// Shows what happens until somebody quits. The terminal is given back also where this panics or is asked to end.
pub(crate) async fn run(socket: &Path, filter: Filter, colour: bool) -> Result<()> {
    // Who can't be reached from the start is told of in the ordinary way.
    let _: Status = call(socket, Method::GET, "/v1/status", None::<&()>).await?;
    let listen = |kind| signal(kind).context("could not listen for signals");
    let ends = [listen(SignalKind::terminate())?, listen(SignalKind::hangup())?];
    let (news, heard) = channel(1_024);
    let tasks =
        [tokio::spawn(observe(socket.to_owned(), news.clone())), tokio::spawn(look(socket.to_owned(), news))];
    // It also makes a panic give the terminal back before it is told.
    let terminal = ratatui::try_init().context("could not take the terminal")?;
    let ended = show(terminal, State::new(filter), heard, ends, colour).await;
    ratatui::try_restore().context("could not give the terminal back")?;
    tasks.iter().for_each(tokio::task::JoinHandle::abort);
    ended
}

async fn show(
    mut terminal: DefaultTerminal,
    mut state: State,
    mut heard: Receiver<News>,
    [mut terminate, mut hangup]: [Signal; 2],
    colour: bool,
) -> Result<()> {
    let mut events = EventStream::new();
    let mut frames = tokio::time::interval(FRAME);
    frames.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut changed = true;
    loop {
        tokio::select! {
            // Keys come before what is shown, and what is shown before what more there is to show.
            biased;
            _ = terminate.recv() => return Ok(()),
            _ = hangup.recv() => return Ok(()),
            event = events.next() => match event {
                Some(Ok(Event::Key(key))) => {
                    if !press(&mut state, key) {
                        return Ok(());
                    }
                    terminal.draw(|frame| draw(frame, &state, colour)).context("could not draw")?;
                }
                // The terminal has other measures: the next frame has them too.
                Some(Ok(_)) => changed = true,
                Some(Err(error)) => return Err(error).context("could not read from the terminal"),
                None => return Ok(()),
            },
            _ = frames.tick() => {
                if std::mem::take(&mut changed) {
                    terminal.draw(|frame| draw(frame, &state, colour)).context("could not draw")?;
                }
            }
            news = heard.recv() => {
                let Some(news) = news else { return Ok(()) };
                take(&mut state, news);
                changed = true;
            }
        }
    }
}

fn take(state: &mut State, news: News) {
    match news {
        News::Line(line) => state.observed(line),
        News::Status(status) => {
            state.silent = None;
            state.stands(*status, Instant::now());
        }
        News::Silent(why) => state.silent = Some(why),
    }
}

/// Follows what is judged; where the daemon goes, waits for the next.
async fn observe(socket: PathBuf, news: Sender<News>) {
    loop {
        let mut lines = Lines::open(&socket, Method::GET, "/v1/observe?follow=true", None::<&()>).await;
        while let Ok(open) = &mut lines {
            match open.next().await {
                Ok(Some(line)) => {
                    if news.send(News::Line(line)).await.is_err() {
                        return;
                    }
                }
                Ok(None) | Err(_) => break,
            }
        }
        tokio::time::sleep(AGAIN).await;
    }
}

async fn look(socket: PathBuf, news: Sender<News>) {
    loop {
        let told = match call::<Status>(&socket, Method::GET, "/v1/status", None::<&()>).await {
            Ok(status) => News::Status(Box::new(status)),
            Err(error) => News::Silent(format!("{error:#}")),
        };
        if news.send(told).await.is_err() {
            return;
        }
        tokio::time::sleep(LOOK).await;
    }
}
