//! A collector that takes what it likes.

use super::super::Sinks;
use super::super::tests::{event, runtime};
use crate::daemon::events::Feed;
use crate::daemon::telemetry::SinkCounts;
use enforcer_policy::model::Records;
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use opentelemetry_proto::tonic::collector::logs::v1::logs_service_server::{LogsService, LogsServiceServer};
use opentelemetry_proto::tonic::collector::logs::v1::{
    ExportLogsPartialSuccess, ExportLogsServiceRequest, ExportLogsServiceResponse,
};
use opentelemetry_proto::tonic::common::v1::any_value::Value as Any;
use opentelemetry_proto::tonic::logs::v1::{LogRecord, ResourceLogs};
use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};
use tokio::runtime::Runtime;
use tonic::codegen::Service;
use tonic::{Request, Response, Status};

#[derive(Clone, Default)]
struct Collector {
    taken: Arc<Mutex<Vec<ResourceLogs>>>,
    refuses: Arc<AtomicI64>,
}

#[tonic::async_trait]
impl LogsService for Collector {
    async fn export(
        &self,
        request: Request<ExportLogsServiceRequest>,
    ) -> Result<Response<ExportLogsServiceResponse>, Status> {
        self.taken.lock().unwrap().extend(request.into_inner().resource_logs);
        let rejected_log_records = self.refuses.swap(0, Ordering::Relaxed);
        let error_message = "too\nmany".to_owned();
        let partial_success = (rejected_log_records > 0)
            .then_some(ExportLogsPartialSuccess { rejected_log_records, error_message });
        Ok(Response::new(ExportLogsServiceResponse { partial_success }))
    }
}

impl Collector {
    fn listen(&self, runtime: &Runtime, at: SocketAddr) {
        let listener = TcpListener::bind(at).unwrap();
        listener.set_nonblocking(true).unwrap();
        let collector = LogsServiceServer::new(self.clone());
        runtime.spawn(async move {
            let listener = tokio::net::TcpListener::from_std(listener).unwrap();
            while let Ok((stream, _)) = listener.accept().await {
                let collector = collector.clone();
                let answer = service_fn(move |request| collector.clone().call(request));
                let connection = http2::Builder::new(TokioExecutor::new());
                tokio::spawn(connection.serve_connection(TokioIo::new(stream), answer));
            }
        });
    }

    fn records(&self) -> Vec<LogRecord> {
        let taken = self.taken.lock().unwrap();
        taken.iter().flat_map(|one| &one.scope_logs).flat_map(|one| one.log_records.clone()).collect()
    }
}

/// An address that nobody listens at.
fn free() -> SocketAddr {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap()
}

fn start(feed: &Feed, runtime: &Runtime, at: SocketAddr) -> Sinks {
    let records = Records { otlp: Some(format!("http://{at}")), ..Records::default() };
    Sinks::start(&records, feed, runtime.handle()).unwrap()
}

fn until(what: &str, mut done: impl FnMut() -> bool) {
    let start = Instant::now();
    while !done() {
        assert!(start.elapsed() < Duration::from_secs(20), "{what}");
        thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn a_collector_gets_the_document_with_attributes() {
    let (runtime, feed, collector, at) = (runtime(), Feed::default(), Collector::default(), free());
    collector.listen(&runtime, at);
    let sinks = start(&feed, &runtime, at);
    feed.take(&[event(53)]);
    sinks.finish(Duration::from_secs(20));
    let records = collector.records();
    let [record] = &records[..] else { panic!("{records:?}") };
    assert_eq!((record.severity_number, record.event_name.as_str()), (13, "enforcer.flow"));
    assert!(record.time_unix_nano > 0 && record.observed_time_unix_nano > 0);
    let attributes: BTreeMap<&str, Any> = record
        .attributes
        .iter()
        .filter_map(|one| Some((one.key.as_str(), one.value.clone()?.value?)))
        .collect();
    let text = |text: &str| Any::StringValue(text.to_owned());
    for (name, value) in [
        ("enforcer.verdict", text("denied")),
        ("enforcer.reason", text("no-rule")),
        ("source.address", text("10.0.0.1")),
        ("destination.port", Any::IntValue(53)),
        ("enforcer.schema", text("enforcer.flow/v1")),
    ] {
        assert_eq!(attributes.get(name), Some(&value), "{name} of {attributes:?}");
    }
    let Some(Any::StringValue(body)) = record.body.clone().and_then(|body| body.value) else {
        panic!("{record:?}")
    };
    let document: serde_json::Value = serde_json::from_str(&body).unwrap();
    assert_eq!(document["destination"]["port"], 53);
    let taken = collector.taken.lock().unwrap();
    let resource = taken[0].resource.clone().unwrap();
    assert_eq!(resource.attributes[0].key, "service.name");
}

#[test]
fn a_collector_that_is_not_there_loses_and_one_that_comes_is_told() {
    let (runtime, feed, collector, at) = (runtime(), Feed::default(), Collector::default(), free());
    let sinks = start(&feed, &runtime, at);
    feed.take(&[event(1)]);
    until("it is lost", || feed.tallies().sinks()["otlp"].lost == 1);
    assert_eq!(feed.tallies().troubles().len(), 1);
    collector.listen(&runtime, at);
    let mut given = 1;
    until("one is taken", || {
        feed.take(&[event(2)]);
        given += 1;
        thread::sleep(Duration::from_millis(20));
        !collector.records().is_empty()
    });
    sinks.finish(Duration::from_secs(20));
    let SinkCounts { written, lost } = feed.tallies().sinks()["otlp"];
    let records = collector.records();
    let flows = records.iter().filter(|record| record.event_name == "enforcer.flow").count() as u64;
    assert_eq!(records[0].event_name, "enforcer.missed");
    assert_eq!((written, flows + lost), (records.len() as u64, given), "{lost} lost");
}

#[test]
fn what_a_collector_refuses_is_lost_and_told() {
    let (runtime, feed, collector, at) = (runtime(), Feed::default(), Collector::default(), free());
    collector.refuses.store(1, Ordering::Relaxed);
    collector.listen(&runtime, at);
    let sinks = start(&feed, &runtime, at);
    feed.take(&[event(1)]);
    until("it is lost", || feed.tallies().sinks()["otlp"].lost == 1);
    let troubles = feed.tallies().troubles();
    assert_eq!(troubles, ["records can't be written to `otlp`: the collector refused 1: too\\nmany"]);
    sinks.finish(Duration::from_secs(20));
}
