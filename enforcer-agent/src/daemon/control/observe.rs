//! `GET /v1/observe`: recent verdicts, and those to come.

use super::Context;
use super::body::{Answer, Denied, line, stream};
use crate::daemon::events::{Item, Observed, Subscription};
use crate::daemon::telemetry::Tallies;
use crate::filter::Filter;
use crate::protocol::{ActionRecord, Missed, ObserveLine, TamperRecord};
use http_body_util::channel::Sender;
use hyper::StatusCode;
use hyper::body::Bytes;
use std::sync::Arc;
use std::time::Duration;

/// Lines that may wait to be written; beyond them the observer loses.
const WAITING: usize = 256;

/// How long an observer that has gone may keep its place.
const NUDGE: Duration = Duration::from_secs(1);

/// A record is on its way from the kernel for no longer than this, unless the machine is very busy.
const UNDER_WAY: Duration = Duration::from_millis(60);

/// What an observer wants to see.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Query {
    follow: bool,
    filter: Filter,
}

impl Query {
    pub(super) fn parse(query: &str) -> Result<Self, Denied> {
        let bad = |message: String| Denied::new(StatusCode::BAD_REQUEST, message);
        let pairs: Vec<_> = form_urlencoded::parse(query.as_bytes()).collect();
        let (own, tests): (Vec<_>, Vec<_>) = pairs.iter().partition(|(name, _)| name == "follow");
        let mut follow = false;
        for (_, value) in own {
            follow = match &**value {
                "true" => true,
                "false" => false,
                _ => return Err(bad("the query isn't what is asked for".to_owned())),
            };
        }
        let filter = Filter::read(tests.into_iter().map(|(name, value)| (&**name, &**value)));
        let filter = filter.map_err(|error| bad(error.to_string()).help(Some(error.help().to_owned())))?;
        Ok(Self { follow, filter })
    }

    /// The line for what was observed, if it is wanted.
    fn line(&self, observed: &Observed, subscription: &Subscription) -> Option<ObserveLine> {
        match observed {
            Observed::Judged(judged) => {
                let record = subscription.resolve(judged);
                self.filter.wants(&record).then(|| ObserveLine::Flow(Box::new(record)))
            }
            Observed::Acted(record) => self
                .filter
                .names(record.workload.as_deref())
                .then(|| ObserveLine::Action(Box::new(ActionRecord::clone(record)))),
            Observed::Tampered(record) => self
                .filter
                .wants_tamper(record)
                .then(|| ObserveLine::Tamper(Box::new(TamperRecord::clone(record)))),
            Observed::Counted(_) | Observed::End => None,
        }
    }
}

pub(super) fn start(context: &Context, query: Query) -> Result<Answer, Denied> {
    let Ok(place) = Arc::clone(&context.observers).try_acquire_owned() else {
        return Err(Denied::new(StatusCode::TOO_MANY_REQUESTS, "there are too many observers already"));
    };
    let feed = context.feed.clone();
    let following = query.follow.then(|| feed.subscribe());
    let (body, answer) = stream(WAITING);
    tokio::spawn(async move {
        let subscription = match following {
            Some(subscription) => subscription,
            None => {
                // Who asks for the past expects what just happened to be in it.
                tokio::time::sleep(UNDER_WAY).await;
                feed.subscribe()
            }
        };
        // An observer that has gone ends this, and nothing else does.
        let _ = write(body, subscription, query, feed.tallies()).await;
        drop(place);
    });
    Ok(answer)
}

async fn write(
    mut body: Sender<Bytes>,
    mut subscription: Subscription,
    query: Query,
    tallies: &Tallies,
) -> Result<(), http_body_util::channel::SendError> {
    for observed in subscription.recent() {
        if let Some(told) = query.line(&observed, &subscription) {
            body.send_data(line(&told)).await?;
        }
    }
    if !query.follow {
        // Whatever the filter: nobody knows what it was.
        let missed = subscription.missed_before();
        return match missed == Missed::default() {
            true => Ok(()),
            false => body.send_data(line(&ObserveLine::missed(missed))).await,
        };
    }
    // Runs whatever comes: of records that aren't wanted nothing is written, and who has gone would keep its place.
    let mut nudge = tokio::time::interval(NUDGE);
    loop {
        let item = tokio::select! {
            item = subscription.next() => item,
            // An observer that has gone is only noticed by writing to it; nothing is sent for this.
            _ = nudge.tick() => {
                body.send_data(Bytes::new()).await?;
                continue;
            }
        };
        match item {
            Some(Item::Record(observed)) => {
                if let Some(told) = query.line(&observed, &subscription) {
                    body.send_data(line(&told)).await?;
                }
            }
            Some(Item::Missed(more)) => {
                tallies.observer_lost(subscription.take_lagged());
                body.send_data(line(&ObserveLine::missed(more))).await?;
            }
            None => return Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queries() {
        let parsed = Query::parse("follow=true&verdict=denied&not.port=udp%2F53").ok().unwrap();
        let filter = Filter::typed("verdict=denied not port=udp/53").unwrap();
        assert_eq!(parsed, Query { follow: true, filter });
        assert_eq!(Query::parse("").ok().unwrap(), Query::default());
        for wrong in ["verdict=maybe", "else=1", "follow=perhaps", "not.follow=true", "not.not.port=1"] {
            assert!(Query::parse(wrong).is_err(), "{wrong}");
        }
    }
}
