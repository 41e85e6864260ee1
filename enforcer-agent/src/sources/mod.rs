//! Where identities come from beside documents: container engines on this host.
//!
//! Each engine is followed by a task of its own ([`follow`]), which tells what it finds as [`Report`]s. What an engine says is only ever
//! a reason to look: what is reported is what was found there, so that events may come late, twice, or in any order. Who a container
//! *is* ([`join()`]) is decided later, from documents and settings.
//!
//! Architecture Invariant: only `docker` knows Docker's client, and only `containerd` gRPC.

mod container;
mod containerd;
mod docker;
mod follow;
mod join;
mod place;
mod process;
mod roster;
mod settings;
mod window;

pub use container::{Container, Generation, Key, Kind, Network};
pub(crate) use join::join_set;
pub use join::{CgroupOf, Documents, Joined, Refusal, Surroundings, Why, join};
pub use roster::{Engine, Roster, Silence};
pub use settings::{SourceSettings, Sources};
pub use window::{WindowStatistics, Windows};

use std::sync::Arc;

/// What a source has found out.
#[derive(Debug, Clone)]
pub enum Report {
    /// Everything that runs. What isn't among it doesn't.
    Everything(Kind, Vec<Container>),
    /// This one runs, or what is known of it changed.
    Runs(Box<Container>),
    /// This instance of it doesn't run any more.
    Gone(Key, Generation),
    /// It is about to run: a device that nobody knows may be its.
    Starting(Key),
    /// It isn't about to run any more, because it does, or failed to.
    Started(Key),
    /// Nothing is heard from the engine, and why.
    Silent(Kind, String),
    /// What was asked for too often to be looked at each time.
    Skipped(Kind, u64),
}

/// Whether the run of a container that was known before goes on.
#[must_use]
pub fn goes_on(container: &Container) -> bool {
    process::Process { pid: container.pid, began: container.generation.ticks }.runs()
}

/// Takes reports; whether anybody still wants them.
pub type Sink = Arc<dyn Fn(Report) -> bool + Send + Sync>;

/// Follows every engine that the settings name, from what was known of its containers before. Must be called inside a tokio runtime.
pub fn start(sources: &Sources, known: &[Container], sink: &Sink) {
    let known = |kind| known.iter().filter(|one| one.key.kind == kind).cloned().collect::<Vec<_>>();
    if let Some(settings) = &sources.docker {
        let (engine, sink) = (docker::Docker::new(settings), Arc::clone(sink));
        tokio::spawn(follow::follow(Kind::Docker, engine, known(Kind::Docker), sink));
    }
    if let Some(settings) = &sources.containerd {
        let (engine, sink) = (containerd::Containerd::new(settings), Arc::clone(sink));
        tokio::spawn(follow::follow(Kind::Containerd, engine, known(Kind::Containerd), sink));
    }
}
