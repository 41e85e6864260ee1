//! The terminal, from beginning to end.

use super::draw::{draw, room};
use super::keys::{Then, press};
use super::state::State;
use crate::client::{Lines, Refused, call};
use crate::filter::Filter;
use crate::protocol::{ObserveLine, Status};
use anyhow::{Context, Result};
use crossterm::event::{Event, EventStream};
use futures_util::StreamExt;
use hyper::Method;
use ratatui::DefaultTerminal;
use ratatui::layout::{Position, Rect};
use std::path::Path;
use std::time::{Duration, Instant};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc::{Receiver, Sender, channel};
use tokio::sync::watch;
use tokio::time::MissedTickBehavior;

/// Between two frames, where something changed.
const FRAME: Duration = Duration::from_millis(200);
/// Between two looks at how things stand, or ten times as long as a look takes.
const LOOK: Duration = Duration::from_secs(2);
/// Between two attempts to hear of records.
const AGAIN: Duration = Duration::from_secs(1);
/// What the daemon has told and nobody has looked at yet. Then the daemon waits, and counts what it can't tell.
const WAITING: usize = 1_024;

/// What comes from the daemon.
enum News {
    /// Records come from here on, the past first.
    Begins,
    Line(ObserveLine),
    Status(Box<Status>),
    /// It can't be reached.
    Silent(String),
    /// It gives no records.
    Deaf(String),
}

/// Shows what happens until somebody quits. The terminal is given back also where this panics or is asked to end.
pub(crate) async fn run(socket: &Path, filter: Filter, colour: bool) -> Result<()> {
    // Who can't be reached from the start is told of in the ordinary way.
    let _: Status = call(socket, Method::GET, "/v1/status", None::<&()>).await?;
    let listen = |kind| signal(kind).context("could not listen for signals");
    let ends = [SignalKind::terminate(), SignalKind::hangup(), SignalKind::interrupt()];
    let [terminate, hangup, interrupt] = ends.map(listen);
    let ends = [terminate?, hangup?, interrupt?];
    let (news, heard) = channel(WAITING);
    let (ask, asked) = watch::channel(filter.clone());
    // It also makes a panic give the terminal back before it is told.
    let terminal =
        ratatui::try_init().inspect_err(|_| ratatui::restore()).context("could not take the terminal")?;
    let screen = Screen { terminal, state: State::new(filter), ask, colour };
    // All in one task: a panic anywhere ends it.
    let ended = tokio::select! {
        ended = screen.show(heard, ends) => ended,
        () = observe(socket, &news, asked) => Ok(()),
        () = look(socket, &news) => Ok(()),
    };
    ratatui::try_restore().context("could not give the terminal back")?;
    ended
}

struct Screen {
    terminal: DefaultTerminal,
    state: State,
    /// Which records are wanted.
    ask: watch::Sender<Filter>,
    colour: bool,
}

impl Screen {
    async fn show(mut self, mut heard: Receiver<News>, mut ends: [Signal; 3]) -> Result<()> {
        let [terminate, hangup, interrupt] = &mut ends;
        let mut events = EventStream::new();
        let mut frames = tokio::time::interval(FRAME);
        frames.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut changed = true;
        loop {
            tokio::select! {
                // Keys come before what is shown, and what is shown before what more there is to show.
                biased;
                _ = terminate.recv() => return Ok(()),
                _ = hangup.recv() => return Ok(()),
                _ = interrupt.recv() => return Ok(()),
                event = events.next() => match event {
                    Some(Ok(Event::Key(key))) => {
                        match press(&mut self.state, key) {
                            Then::Go => {}
                            Then::Redraw => self.begin_anew()?,
                            Then::End => return Ok(()),
                        }
                        self.ask.send_if_modified(|asked| {
                            let other = asked != self.state.filter();
                            if other {
                                asked.clone_from(self.state.filter());
                            }
                            other
                        });
                        self.draw()?;
                    }
                    // Also where it is as large as before by now: what was on it may be gone.
                    Some(Ok(Event::Resize(..))) => {
                        self.begin_anew()?;
                        changed = true;
                    }
                    Some(Ok(_)) => {}
                    Some(Err(error)) => return Err(error).context("could not read from the terminal"),
                    None => return Ok(()),
                },
                _ = frames.tick() => {
                    if std::mem::take(&mut changed) {
                        self.draw()?;
                    }
                }
                news = heard.recv() => {
                    let Some(news) = news else { return Ok(()) };
                    take(&mut self.state, news);
                    changed = true;
                }
            }
        }
    }

    /// Has the next frame drawn as a whole. `Terminal::clear` would ask the terminal where its cursor is, and its answer would be taken for keys.
    fn begin_anew(&mut self) -> Result<()> {
        let size = self.terminal.size().context("could not draw")?;
        self.terminal.resize(Rect::from((Position::ORIGIN, size))).context("could not draw")
    }

    fn draw(&mut self) -> Result<()> {
        let Self { terminal, state, colour, .. } = self;
        let drawn = terminal.draw(|frame| {
            state.room = room(frame.area().height);
            draw(frame, state, *colour);
        });
        drawn.map(drop).context("could not draw")
    }
}

fn take(state: &mut State, news: News) {
    match news {
        News::Begins => state.begins(),
        News::Line(line) => state.observed(line),
        News::Status(status) => state.stands(*status, Instant::now()),
        News::Silent(why) => state.silent = Some(why),
        News::Deaf(why) => state.deaf = Some(why),
    }
}

/// Follows what is judged; where the daemon goes, waits for the next. Ends when nobody listens.
async fn observe(socket: &Path, news: &Sender<News>, mut asked: watch::Receiver<Filter>) {
    loop {
        let request = asked.borrow_and_update().request(true);
        let ended = tokio::select! {
            changed = asked.changed() => match changed {
                Ok(()) => continue,
                Err(_) => return,
            },
            ended = follow(socket, news, &request) => ended,
        };
        let told = match ended {
            // That it has gone is told by who looks how things stand.
            Ok(()) => Ok(()),
            Err(error) if error.is::<Refused>() => news.send(News::Deaf(format!("{error:#}"))).await,
            Err(_) => Ok(()),
        };
        if told.is_err() {
            return;
        }
        tokio::time::sleep(AGAIN).await;
    }
}

async fn follow(socket: &Path, news: &Sender<News>, request: &str) -> Result<()> {
    let mut lines = Lines::open(socket, Method::GET, request, None::<&()>).await?;
    news.send(News::Begins).await?;
    while let Some(line) = lines.next().await? {
        news.send(News::Line(line)).await?;
    }
    Ok(())
}

async fn look(socket: &Path, news: &Sender<News>) {
    loop {
        let began = Instant::now();
        let told = match call::<Status>(socket, Method::GET, "/v1/status", None::<&()>).await {
            Ok(status) => News::Status(Box::new(status)),
            Err(error) => News::Silent(format!("{error:#}")),
        };
        if news.send(told).await.is_err() {
            return;
        }
        tokio::time::sleep(LOOK.max(began.elapsed() * 10)).await;
    }
}
