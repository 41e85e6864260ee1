//! Which request is answered by what.

use super::body::{Answer, Denied, document, line, read, read_or_default, stream};
use super::{Context, observe};
use crate::daemon::engine::{Message, Refused};
use crate::daemon::session::{self, Session};
use crate::protocol::{
    ApplyRequest, ExplainRequest, PostureRequest, QuarantineRequest, ReleaseRequest, RollbackRequest,
    StopRequest,
};
use hyper::body::Incoming;
use hyper::{Method, Request, StatusCode};
use percent_encoding::percent_decode_str;
use std::convert::Infallible;
use std::path::Path;
use std::sync::Arc;
use tokio::sync::{Notify, mpsc, oneshot};

/// Answers one request. `observing` lifts the time limit of its connection.
pub(super) async fn answer(
    request: Request<Incoming>,
    context: Arc<Context>,
    client: Option<i32>,
    observing: Arc<Notify>,
) -> Result<Answer, Infallible> {
    Ok(dispatch(request, &context, client, &observing).await.unwrap_or_else(Answer::from))
}

async fn dispatch(
    request: Request<Incoming>,
    context: &Context,
    client: Option<i32>,
    observing: &Notify,
) -> Result<Answer, Denied> {
    let (head, body) = request.into_parts();
    let bounds = &context.bounds;
    match (&head.method, head.uri.path()) {
        (&Method::GET, "/v1/status") => {
            let status = ask(context, Message::Status).await?;
            Ok(document(&status))
        }
        (&Method::POST, "/v1/apply") => {
            let request: ApplyRequest = read(body, bounds.policies, bounds.body).await?;
            let sessions = sessions(client, request.dry_run || !request.force).await;
            lines(context, |replies| Message::Apply { request, sessions, replies }).await
        }
        (&Method::POST, "/v1/rollback") => {
            let request: RollbackRequest = read_or_default(body, bounds.small, bounds.body).await?;
            let sessions = sessions(client, !request.force).await;
            lines(context, |replies| Message::Rollback { request, sessions, replies }).await
        }
        (&Method::POST, "/v1/confirm") => {
            let confirmed = ask(context, Message::Confirm).await?;
            confirmed.map(|reply| document(&reply)).map_err(refused)
        }
        (&Method::POST, "/v1/quarantine") => {
            let request: QuarantineRequest = read(body, bounds.small, bounds.body).await?;
            let done = ask(context, |reply| Message::Quarantine { request, reply }).await?;
            done.map(|reply| document(&reply)).map_err(refused)
        }
        (&Method::POST, "/v1/release") => {
            let request: ReleaseRequest = read(body, bounds.small, bounds.body).await?;
            let done = ask(context, |reply| Message::Release { request, reply }).await?;
            done.map(|reply| document(&reply)).map_err(refused)
        }
        (method @ (&Method::PUT | &Method::DELETE), path) if path.starts_with(POSTURE) => {
            let workload = workload(&path[POSTURE.len()..])?;
            let request: PostureRequest = match *method {
                Method::PUT => read(body, bounds.small, bounds.body).await?,
                _ => PostureRequest::default(),
            };
            let done = ask(context, |reply| Message::Posture { workload, request, reply }).await?;
            done.map(|reply| document(&reply)).map_err(refused)
        }
        (&Method::POST, "/v1/explain") => {
            let request: ExplainRequest = read(body, bounds.small, bounds.body).await?;
            let explained = ask(context, |reply| Message::Explain { request, reply }).await?;
            explained.map(|reply| document(&reply)).map_err(refused)
        }
        (&Method::GET, "/v1/policies") => {
            let set = ask(context, Message::Policies).await?;
            set.map(|set| document(&set)).map_err(refused)
        }
        (&Method::POST, "/v1/stop") => {
            let request: StopRequest = read(body, bounds.small, bounds.body).await?;
            let stopped = ask(context, |reply| Message::Stop { detach: request.detach, reply }).await?;
            stopped.map(|reply| document(&reply)).map_err(refused)
        }
        (&Method::GET, "/v1/observe") => {
            let query = observe::Query::parse(head.uri.query().unwrap_or_default())?;
            let answer = observe::start(context, query)?;
            observing.notify_one();
            Ok(answer)
        }
        (
            _,
            "/v1/status" | "/v1/apply" | "/v1/rollback" | "/v1/confirm" | "/v1/quarantine" | "/v1/release"
            | "/v1/explain" | "/v1/policies" | "/v1/stop" | "/v1/observe",
        ) => Err(Denied::new(StatusCode::METHOD_NOT_ALLOWED, "this is asked for in another way")),
        (_, path) if path.starts_with(POSTURE) => {
            Err(Denied::new(StatusCode::METHOD_NOT_ALLOWED, "this is asked for with `PUT` or `DELETE`"))
        }
        _ => Err(Denied::new(StatusCode::NOT_FOUND, "there is nothing of this name")),
    }
}

/// What of a workload is attested: its name follows.
const POSTURE: &str = "/v1/posture/";

/// A workload's name as the end of a path has it.
fn workload(text: &str) -> Result<String, Denied> {
    let name = percent_decode_str(text).decode_utf8();
    let name = name.ok().filter(|name| !name.is_empty());
    name.map(String::from).ok_or_else(|| Denied::new(StatusCode::BAD_REQUEST, "the path names no workload"))
}

/// The sessions behind the process that asks.
async fn sessions(client: Option<i32>, wanted: bool) -> Vec<Session> {
    let Some(pid) = client.filter(|_| wanted) else { return Vec::new() };
    // Not to know is no reason to refuse.
    let found = tokio::task::spawn_blocking(move || session::behind(Path::new("/proc"), pid)).await;
    found.unwrap_or_default()
}

fn refused(refused: Refused) -> Denied {
    Denied::new(StatusCode::UNPROCESSABLE_ENTITY, refused.message).help(refused.help)
}

/// One question to the engine, one answer.
async fn ask<T>(context: &Context, message: impl FnOnce(oneshot::Sender<T>) -> Message) -> Result<T, Denied> {
    let (sender, receiver) = oneshot::channel();
    context.engine.send(message(sender)).map_err(|_| Denied::ending())?;
    receiver.await.map_err(|_| Denied::ending())
}

/// A request that is answered by several documents, each as soon as it is there.
async fn lines<T: serde::Serialize + Send + 'static>(
    context: &Context,
    message: impl FnOnce(mpsc::UnboundedSender<T>) -> Message,
) -> Result<Answer, Denied> {
    let (sender, mut receiver) = mpsc::unbounded_channel();
    context.engine.send(message(sender)).map_err(|_| Denied::ending())?;
    let Some(first) = receiver.recv().await else { return Err(Denied::ending()) };
    let (mut body, answer) = stream(4);
    tokio::spawn(async move {
        let mut next = Some(first);
        while let Some(document) = next {
            if body.send_data(line(&document)).await.is_err() {
                return;
            }
            next = receiver.recv().await;
        }
    });
    Ok(answer)
}
