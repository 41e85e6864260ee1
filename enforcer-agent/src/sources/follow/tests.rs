//! An engine that says what it is told to, about processes of this test's own.

use super::*;
use crate::sources::Generation;
use std::process::{Child, Command};
use std::sync::Mutex;
use tokio::sync::mpsc;

/// Reports come within milliseconds; this is for machines that are busy.
const SOON: Duration = Duration::from_secs(20);

#[derive(Default)]
struct State {
    running: Vec<Found>,
    hints: Option<mpsc::UnboundedSender<Result<Hint, Lost>>>,
    /// It refuses connections.
    away: bool,
    looks: u64,
}

#[derive(Clone, Default)]
struct Double(Arc<Mutex<State>>);

impl Double {
    fn with<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        change(&mut self.0.lock().unwrap())
    }

    fn hint(&self, hint: Hint) {
        self.with(|state| state.hints.as_ref().unwrap().send(Ok(hint)).unwrap());
    }

    fn find(&self, id: &str) -> Option<Found> {
        self.with(|state| {
            state.looks += 1;
            state.running.iter().find(|one| one.id == id).cloned()
        })
    }
}

impl Engine for Double {
    fn hints(&self) -> BoxFuture<'_, Result<BoxStream<'static, Result<Hint, Lost>>, Lost>> {
        Box::pin(async {
            self.with(|state| {
                if state.away {
                    return Err(Lost("away".to_owned()));
                }
                let (sender, receiver) = mpsc::unbounded_channel();
                state.hints = Some(sender);
                let next = async |mut receiver: mpsc::UnboundedReceiver<_>| {
                    receiver.recv().await.map(|hint| (hint, receiver))
                };
                Ok(futures_util::stream::unfold(receiver, next).boxed())
            })
        })
    }
    fn running(&self) -> BoxFuture<'_, Result<Vec<String>, Lost>> {
        Box::pin(async { Ok(self.with(|state| state.running.iter().map(|one| one.id.clone()).collect())) })
    }
    fn look<'a>(&'a self, id: &'a str) -> BoxFuture<'a, Result<Option<Found>, Lost>> {
        Box::pin(async move { Ok(self.find(id).filter(|found| !found.early)) })
    }
    fn early<'a>(&'a self, id: &'a str) -> BoxFuture<'a, Result<Option<Found>, Lost>> {
        Box::pin(async move { Ok(self.find(id).filter(|found| found.early)) })
    }
    fn sign(&self) -> BoxFuture<'_, Result<(), Lost>> {
        Box::pin(async { Ok(()) })
    }
}

/// A process that is there until it is dropped.
struct Sleeper(Child);

impl Sleeper {
    fn start() -> Self {
        Self(Command::new("sleep").arg("600").spawn().unwrap())
    }
    fn found(&self, id: &str) -> Found {
        Found { id: id.to_owned(), name: id.to_owned(), pid: self.0.id(), ..Found::default() }
    }
}

impl Drop for Sleeper {
    fn drop(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

struct Scene {
    reports: mpsc::UnboundedReceiver<Report>,
}

impl Scene {
    fn start(engine: Double, known: Vec<Container>) -> Self {
        let (sender, reports) = mpsc::unbounded_channel();
        let sink: Sink = Arc::new(move |report| sender.send(report).is_ok());
        tokio::spawn(follow(Kind::Docker, engine, known, sink));
        Self { reports }
    }

    async fn next(&mut self) -> Report {
        timeout(SOON, self.reports.recv()).await.expect("a report").expect("somebody follows")
    }

    async fn everything(&mut self) -> Vec<Container> {
        match self.next().await {
            Report::Everything(Kind::Docker, all) => all,
            other => panic!("{other}"),
        }
    }

    async fn runs(&mut self) -> Container {
        match self.next().await {
            Report::Runs(container) => *container,
            other => panic!("{other}"),
        }
    }
}

fn changed(id: &str, began: Option<i64>) -> Hint {
    Hint::Changed { id: id.to_owned(), began }
}

#[tokio::test]
async fn everything_comes_first_then_what_starts_and_ends() {
    let (old, new) = (Sleeper::start(), Sleeper::start());
    let engine = Double::default();
    engine.with(|state| state.running = vec![old.found("old")]);
    let mut scene = Scene::start(engine.clone(), Vec::new());
    let all = scene.everything().await;
    assert_eq!(all.iter().map(|one| (one.name.as_str(), one.pid)).collect::<Vec<_>>(), [("old", old.0.id())]);
    assert_eq!(all[0].network, Network::Host, "it is in this process's own namespace");

    engine.with(|state| state.running.push(new.found("new")));
    engine.hint(changed("new", Some(7)));
    let container = scene.runs().await;
    assert_eq!((container.pid, container.began), (new.0.id(), Some(7)));
    assert!(container.generation > Generation::default());
    assert!(matches!(scene.next().await, Report::Started(_)));

    engine.with(|state| state.running.retain(|one| one.id != "old"));
    let (key, generation) = (all[0].key.clone(), all[0].generation);
    drop(old);
    engine.hint(changed("old", None));
    assert!(matches!(scene.next().await, Report::Gone(gone, of) if gone == key && of == generation));
}

#[tokio::test]
async fn another_run_of_a_container_is_another_generation() {
    let engine = Double::default();
    let first = Sleeper::start();
    engine.with(|state| state.running = vec![first.found("web")]);
    let mut scene = Scene::start(engine.clone(), Vec::new());
    let before = scene.everything().await.remove(0);
    // Nothing is new: nothing is told but that it isn't about to run.
    engine.hint(changed("web", None));
    assert!(matches!(scene.next().await, Report::Started(_)));
    let second = Sleeper::start();
    engine.with(|state| state.running = vec![second.found("web")]);
    engine.hint(changed("web", None));
    let after = scene.runs().await;
    assert!(after.generation > before.generation, "{:?} {:?}", after.generation, before.generation);
}

#[tokio::test]
async fn what_is_about_to_run_is_found_before_it_does() {
    let (engine, web) = (Double::default(), Sleeper::start());
    let mut scene = Scene::start(engine.clone(), Vec::new());
    scene.everything().await;
    engine.hint(Hint::Starting("web".to_owned()));
    assert!(matches!(scene.next().await, Report::Starting(_)));
    engine.with(|state| state.running = vec![Found { early: true, ..web.found("web") }]);
    let early = scene.runs().await;
    assert_eq!((early.pid, early.began), (web.0.id(), None));
    // A late answer from before it began doesn't take it away.
    engine.hint(changed("web", None));
    engine.with(|state| state.running = vec![web.found("web")]);
    engine.hint(changed("web", Some(9)));
    let mut told = scene.next().await;
    while let Report::Started(_) = told {
        told = scene.next().await;
    }
    let Report::Runs(started) = told else { panic!("{told}") };
    assert_eq!((started.generation, started.began), (early.generation, Some(9)));
}

#[tokio::test]
async fn an_engine_that_is_lost_is_told_of_once_and_followed_again() {
    let (engine, web) = (Double::default(), Sleeper::start());
    engine.with(|state| state.away = true);
    let mut scene = Scene::start(engine.clone(), Vec::new());
    assert!(matches!(scene.next().await, Report::Silent(Kind::Docker, why) if why == "away"));
    // It comes only now.
    engine.with(|state| (state.away, state.running) = (false, vec![web.found("web")]));
    assert_eq!(scene.everything().await.len(), 1);
    engine.with(|state| state.hints = None);
    assert!(matches!(scene.next().await, Report::Silent(..)));
    assert_eq!(scene.everything().await.len(), 1);
}

#[tokio::test]
async fn e94_a_storm_of_changes_is_bounded_and_counted() {
    const STORM: u64 = 10_000;
    let (engine, web) = (Double::default(), Sleeper::start());
    engine.with(|state| state.running = vec![web.found("web")]);
    let mut scene = Scene::start(engine.clone(), Vec::new());
    scene.everything().await;
    for number in 0..STORM {
        engine.with(|state| state.running[0].name = format!("web{number}"));
        engine.hint(Hint::Described("web".to_owned()));
    }
    let (mut skipped, mut last) = (0, String::new());
    let looks = || engine.with(|state| state.looks);
    while last != format!("web{}", STORM - 1) || skipped + looks() < STORM {
        match scene.next().await {
            Report::Skipped(_, count) => skipped += count,
            Report::Runs(container) => last = container.name,
            _ => {}
        }
    }
    assert!(looks() < STORM / 10, "{} looks", looks());
}
