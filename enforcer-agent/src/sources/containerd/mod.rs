//! containerd, through gRPC on a local socket.

mod messages;

use super::container::{Found, bounded, is_name};
use super::follow::{Engine, Hint, Lost};
use super::settings::SourceSettings;
use futures_util::future::BoxFuture;
use futures_util::stream::{BoxStream, StreamExt};
use hyper::http::uri::PathAndQuery;
use messages::{
    About, Described, Envelope, Exit, GetContainer, GetTask, GotContainer, GotTask, ListNamespaces,
    ListTasks, Namespaces, Nothing, Process, Subscribe, Tasks, Version,
};
use prost::Message;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tonic::client::Grpc;
use tonic::metadata::MetadataValue;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Request, Status, Streaming};
use tonic_prost::ProstCodec;

/// The header that says in which namespace a question is meant.
const NAMESPACE: &str = "containerd-namespace";
/// Docker's own namespace: its containers are Docker's to tell of.
const DOCKERS: &str = "moby";
/// An answer of more bytes than this is none: the largest is a list of everything that runs.
const ANSWER: usize = 16 << 20;
/// A question is there within this.
const HEARD: Duration = Duration::from_millis(20);
/// Topics that are a reason to look.
const TOPICS: [&str; 6] = [
    "/tasks/create",
    "/tasks/start",
    "/tasks/exit",
    "/tasks/delete",
    "/containers/update",
    "/containers/delete",
];

/// A containerd. Ids are `NAMESPACE/ID`.
pub(super) struct Containerd {
    socket: PathBuf,
    namespaces: Option<Vec<String>>,
    channel: Mutex<Option<Channel>>,
}

impl Containerd {
    pub(super) fn new(settings: &SourceSettings) -> Self {
        Self {
            socket: settings.socket.clone(),
            namespaces: settings.namespaces.clone(),
            channel: Mutex::new(None),
        }
    }

    async fn connect(&self) -> Result<Grpc<Channel>, Lost> {
        let endpoint = Endpoint::from_shared(format!("unix://{}", self.socket.display()));
        let endpoint = endpoint.map_err(|error| Lost(error.to_string()))?;
        let channel = endpoint.connect_timeout(Duration::from_secs(5)).connect().await;
        let channel = channel.map_err(|error| Lost(told(&error)))?;
        *self.channel.lock().unwrap_or_else(PoisonError::into_inner) = Some(channel.clone());
        Ok(Grpc::new(channel).max_decoding_message_size(ANSWER))
    }

    fn client(&self) -> Result<Grpc<Channel>, Lost> {
        let channel = self.channel.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let channel = channel.ok_or_else(|| Lost("it isn't connected".to_owned()))?;
        Ok(Grpc::new(channel).max_decoding_message_size(ANSWER))
    }

    /// A question and its answer.
    async fn ask<Q, A>(&self, path: &'static str, namespace: Option<&str>, question: Q) -> Result<A, Status>
    where
        Q: Message + 'static,
        A: Message + Default + 'static,
    {
        let mut client = self.client().map_err(|lost| Status::unavailable(lost.to_string()))?;
        client.ready().await.map_err(|error| Status::unavailable(told(&error)))?;
        let request = within(namespace, question)?;
        let codec = ProstCodec::<Q, A>::default();
        Ok(client.unary(request, PathAndQuery::from_static(path), codec).await?.into_inner())
    }

    /// Whether containers of this namespace count.
    fn counts(&self, namespace: &str) -> bool {
        counts(self.namespaces.as_deref(), namespace)
    }

    /// The first process of a container.
    async fn process(&self, namespace: &str, id: &str) -> Result<Option<Process>, Lost> {
        const GET: &str = "/containerd.services.tasks.v1.Tasks/Get";
        let got: Result<GotTask, Status> =
            self.ask(GET, Some(namespace), GetTask { container: id.to_owned() }).await;
        Ok(unless_gone(got)?.and_then(|got| got.process).filter(Process::is_there))
    }

    async fn described(&self, namespace: &str, id: &str) -> Result<Option<Described>, Lost> {
        const GET: &str = "/containerd.services.containers.v1.Containers/Get";
        let got: Result<GotContainer, Status> =
            self.ask(GET, Some(namespace), GetContainer { id: id.to_owned() }).await;
        Ok(unless_gone(got)?.and_then(|got| got.container))
    }

    async fn found(&self, whole: &str) -> Result<Option<Found>, Lost> {
        let Some((namespace, id)) = whole.split_once('/') else { return Ok(None) };
        let (process, described) = (self.process(namespace, id).await?, self.described(namespace, id).await?);
        let (Some(process), Some(described)) = (process, described) else { return Ok(None) };
        Ok(Some(Found {
            id: whole.to_owned(),
            name: whole.to_owned(),
            image: described.image,
            labels: bounded(described.labels),
            pid: process.pid,
            joined: false,
            apart: false,
            addresses: None,
            began: None,
            early: process.is_created(),
        }))
    }
}

impl Engine for Containerd {
    fn hints(&self) -> BoxFuture<'_, Result<BoxStream<'static, Result<Hint, Lost>>, Lost>> {
        Box::pin(async {
            const SUBSCRIBE: &str = "/containerd.services.events.v1.Events/Subscribe";
            let mut client = self.connect().await?;
            client.ready().await.map_err(|error| Lost(told(&error)))?;
            let filters = TOPICS.map(|topic| format!("topic==\"{topic}\"")).to_vec();
            let (sender, receiver) = unbounded_channel();
            let namespaces = self.namespaces.clone();
            // The answer begins with the first event, which may be never: nobody waits for it.
            tokio::spawn(async move {
                let codec = ProstCodec::<Subscribe, Envelope>::default();
                let path = PathAndQuery::from_static(SUBSCRIBE);
                let asked = client.server_streaming(Request::new(Subscribe { filters }), path, codec);
                let answer = tokio::select! {
                    answer = asked => answer,
                    () = sender.closed() => return,
                };
                match answer {
                    Ok(answer) => forward(answer.into_inner(), namespaces.as_deref(), &sender).await,
                    Err(status) => drop(sender.send(Err(lost(&status)))),
                }
            });
            // It listens from when it has the question on.
            tokio::time::sleep(HEARD).await;
            let next =
                async |mut receiver: UnboundedReceiver<_>| receiver.recv().await.map(|hint| (hint, receiver));
            Ok(futures_util::stream::unfold(receiver, next).boxed())
        })
    }

    fn running(&self) -> BoxFuture<'_, Result<Vec<String>, Lost>> {
        Box::pin(async {
            const NAMESPACES: &str = "/containerd.services.namespaces.v1.Namespaces/List";
            const TASKS: &str = "/containerd.services.tasks.v1.Tasks/List";
            let all: Result<Namespaces, Status> = self.ask(NAMESPACES, None, ListNamespaces::default()).await;
            let mut ids = Vec::new();
            for namespace in all.map_err(|status| lost(&status))?.namespaces {
                let namespace = namespace.name;
                if !self.counts(&namespace) || !is_name(&namespace) {
                    continue;
                }
                let tasks: Result<Tasks, Status> =
                    self.ask(TASKS, Some(&namespace), ListTasks::default()).await;
                let tasks = tasks.map_err(|status| lost(&status))?.tasks;
                let there = tasks.into_iter().filter(Process::is_there).filter_map(|task| {
                    let id = if task.id.is_empty() { task.container } else { task.id };
                    whole(&namespace, &id)
                });
                ids.extend(there);
            }
            Ok(ids)
        })
    }

    fn look<'a>(&'a self, id: &'a str) -> BoxFuture<'a, Result<Option<Found>, Lost>> {
        Box::pin(self.found(id))
    }

    fn early<'a>(&'a self, id: &'a str) -> BoxFuture<'a, Result<Option<Found>, Lost>> {
        Box::pin(async move { Ok(self.found(id).await?.filter(|found| found.early)) })
    }

    fn sign(&self) -> BoxFuture<'_, Result<(), Lost>> {
        Box::pin(async {
            const VERSION: &str = "/containerd.services.version.v1.Version/Version";
            let version: Result<Version, Status> = self.ask(VERSION, None, Nothing {}).await;
            version.map(drop).map_err(|status| lost(&status))
        })
    }
}

/// Hands on what events hint at, until there are none or nobody wants any.
async fn forward(
    mut events: Streaming<Envelope>,
    namespaces: Option<&[String]>,
    sender: &UnboundedSender<Result<Hint, Lost>>,
) {
    loop {
        let event = tokio::select! {
            event = events.message() => event,
            () = sender.closed() => return,
        };
        let sent = match event {
            Ok(Some(event)) if counts(namespaces, &event.namespace) => {
                hints(&event).into_iter().try_for_each(|hint| sender.send(Ok(hint)))
            }
            Ok(Some(_)) => Ok(()),
            Ok(None) => return,
            Err(status) => return drop(sender.send(Err(lost(&status)))),
        };
        if sent.is_err() {
            return;
        }
    }
}

/// Whether containers of a namespace count, where these are asked for.
fn counts(asked: Option<&[String]>, namespace: &str) -> bool {
    match asked {
        Some(asked) => asked.iter().any(|one| one == namespace),
        None => namespace != DOCKERS,
    }
}

/// A container's id with its namespace, if containerd can have given both.
fn whole(namespace: &str, id: &str) -> Option<String> {
    (is_name(namespace) && is_name(id)).then(|| format!("{namespace}/{id}"))
}

/// What an event is about.
fn hints(event: &Envelope) -> Vec<Hint> {
    let Some(body) = &event.event else { return Vec::new() };
    let about = About::decode(body.value.as_slice()).ok();
    let Some(id) = about.and_then(|about| whole(&event.namespace, &about.container)) else {
        return Vec::new();
    };
    let changed = |began| Hint::Changed { id: id.clone(), began };
    match event.topic.as_str() {
        "/tasks/create" => vec![Hint::Starting(id.clone())],
        "/tasks/start" => vec![changed(event.at.and_then(messages::Instant::nanoseconds))],
        // The end of anything that was started beside its first process is none of its own.
        "/tasks/exit" => {
            let exit = Exit::decode(body.value.as_slice()).unwrap_or_default();
            Vec::from_iter((exit.id.is_empty() || exit.id == exit.container).then(|| changed(None)))
        }
        "/containers/update" => vec![Hint::Described(id)],
        _ => vec![changed(None)],
    }
}

fn within<Q>(namespace: Option<&str>, question: Q) -> Result<Request<Q>, Status> {
    let mut request = Request::new(question);
    if let Some(namespace) = namespace {
        let value = MetadataValue::try_from(namespace);
        let value = value.map_err(|_| Status::invalid_argument("this is no namespace"))?;
        request.metadata_mut().insert(NAMESPACE, value);
    }
    Ok(request)
}

/// What isn't there is an answer too.
fn unless_gone<T>(answer: Result<T, Status>) -> Result<Option<T>, Lost> {
    match answer {
        Ok(answer) => Ok(Some(answer)),
        // A process that has just ended is unknown to whoever ran it.
        Err(status) if matches!(status.code(), Code::NotFound | Code::Unknown | Code::FailedPrecondition) => {
            Ok(None)
        }
        Err(status) => Err(lost(&status)),
    }
}

fn lost(status: &Status) -> Lost {
    Lost(format!("{:?}: {}", status.code(), status.message()).chars().take(200).collect())
}

fn told(error: &dyn std::error::Error) -> String {
    let mut told = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        told = format!("{told}: {error}");
        cause = error.source();
    }
    told.chars().take(200).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use messages::{Any, Instant};

    fn event(topic: &str, body: &impl Message) -> Envelope {
        Envelope {
            at: Some(Instant { seconds: 1, nanos: 7 }),
            namespace: "default".to_owned(),
            topic: topic.to_owned(),
            event: Some(Any { url: String::new(), value: body.encode_to_vec() }),
        }
    }

    #[test]
    fn what_starts_and_ends_is_looked_at() {
        let about = About { container: "web".to_owned() };
        let changed = |began| vec![Hint::Changed { id: "default/web".to_owned(), began }];
        assert_eq!(hints(&event("/tasks/start", &about)), changed(Some(1_000_000_007)));
        assert_eq!(hints(&event("/tasks/create", &about)), [Hint::Starting("default/web".to_owned())]);
        assert_eq!(hints(&event("/containers/update", &about)), [Hint::Described("default/web".to_owned())]);
        assert_eq!(hints(&event("/tasks/delete", &about)), changed(None));
        let exit = |id: &str| Exit { container: "web".to_owned(), id: id.to_owned() };
        assert_eq!(hints(&event("/tasks/exit", &exit("web"))), changed(None));
        assert_eq!(hints(&event("/tasks/exit", &exit("a-shell"))), []);
        assert_eq!(hints(&event("/tasks/start", &About { container: "../x".to_owned() })), []);
    }

    #[test]
    fn dockers_own_containers_are_left_to_docker_unless_asked_for() {
        assert!(counts(None, "default") && !counts(None, DOCKERS));
        let asked = [DOCKERS.to_owned()];
        assert!(counts(Some(&asked), DOCKERS) && !counts(Some(&asked), "default"));
    }
}
