//! Lines to a collector, as logs of OTLP over gRPC. The body is the document; attributes have the names of OpenTelemetry's conventions where there are some.

use super::line::{Kind, Line};
use super::syslog::PATIENCE;
use super::{Sink, Taken};
use anyhow::{Context, Result};
use jiff::Timestamp;
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::logs::v1::logs_service_client::LogsServiceClient;
use opentelemetry_proto::tonic::common::v1::any_value::Value as Any;
use opentelemetry_proto::tonic::common::v1::{AnyValue, InstrumentationScope, KeyValue};
use opentelemetry_proto::tonic::logs::v1::{LogRecord, ResourceLogs, ScopeLogs, SeverityNumber};
use opentelemetry_proto::tonic::resource::v1::Resource;
use serde_json::Value;
use std::io;
use tokio::runtime::Handle;
use tonic::transport::{Channel, Endpoint};

/// An attribute, and where its value is in a document.
const ATTRIBUTES: [(&str, &str); 15] = [
    ("source.address", "/source/ip"),
    ("source.port", "/source/port"),
    ("destination.address", "/destination/ip"),
    ("destination.port", "/destination/port"),
    ("network.transport", "/protocol"),
    ("enforcer.verdict", "/verdict"),
    ("enforcer.direction", "/direction"),
    ("enforcer.rule", "/cause/rule"),
    ("enforcer.reason", "/cause/reason"),
    ("enforcer.source.workload", "/source/workload"),
    ("enforcer.destination.workload", "/destination/workload"),
    ("enforcer.tamper", "/tamper"),
    ("enforcer.action", "/action"),
    ("enforcer.epoch", "/epoch"),
    ("enforcer.schema", "/schema"),
];

pub(super) struct Otlp {
    client: LogsServiceClient<Channel>,
    runtime: Handle,
    resource: Resource,
}

impl Otlp {
    pub(super) fn new(endpoint: &str, runtime: &Handle) -> Result<Self> {
        let endpoint = Endpoint::from_shared(endpoint.to_owned())
            .with_context(|| format!("`{}` is no endpoint of OTLP", endpoint.escape_debug()))?;
        // Its connection is a task of the runtime's. It is made with the first records, and anew whenever it was lost.
        let _entered = runtime.enter();
        let channel = endpoint.connect_timeout(PATIENCE).timeout(PATIENCE).connect_lazy();
        let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
        let attributes = [
            ("service.name", "enforcer"),
            ("service.version", env!("CARGO_PKG_VERSION")),
            ("host.name", host.as_str()),
        ];
        let attributes =
            attributes.map(|(key, value)| attribute(key, Any::StringValue(value.to_owned()))).into();
        let resource = Resource { attributes, ..Resource::default() };
        Ok(Self { client: LogsServiceClient::new(channel), runtime: runtime.clone(), resource })
    }
}

impl Sink for Otlp {
    fn name(&self) -> &'static str {
        "otlp"
    }

    /// All in one call. A collector doesn't say which ones it refuses, only how many.
    fn take(&mut self, lines: &[Line]) -> Taken {
        let scope = InstrumentationScope { name: "enforcer".to_owned(), ..InstrumentationScope::default() };
        let log_records = lines.iter().map(record).collect();
        let scope_logs = vec![ScopeLogs { scope: Some(scope), log_records, ..ScopeLogs::default() }];
        let resource = Some(self.resource.clone());
        let logs = ResourceLogs { resource, scope_logs, ..ResourceLogs::default() };
        let request = ExportLogsServiceRequest { resource_logs: vec![logs] };
        match self.runtime.block_on(self.client.export(request)) {
            Err(status) => Taken { written: 0, error: Some(io::Error::other(status)) },
            Ok(response) => {
                let partial = response.into_inner().partial_success.unwrap_or_default();
                let refused = usize::try_from(partial.rejected_log_records).unwrap_or(0).min(lines.len());
                let why = || {
                    let said: String = partial.error_message.chars().take(200).collect();
                    io::Error::other(format!("the collector refused {refused}: {}", said.escape_debug()))
                };
                Taken { written: lines.len() - refused, error: (refused > 0).then(why) }
            }
        }
    }
}

fn attribute(key: &str, value: Any) -> KeyValue {
    KeyValue { key: key.to_owned(), value: Some(AnyValue { value: Some(value) }), ..KeyValue::default() }
}

fn record(line: &Line) -> LogRecord {
    let severity = match line.severity() {
        3 => SeverityNumber::Error,
        4 => SeverityNumber::Warn,
        5 => SeverityNumber::Info2,
        _ => SeverityNumber::Info,
    };
    let document = line.document();
    let nanoseconds = |time: Timestamp| u64::try_from(time.as_nanosecond()).unwrap_or(0);
    let time = document.get("time").and_then(Value::as_str).and_then(|time| time.parse().ok());
    // What is counted is a document of lists: it has no attributes.
    let places = if line.kind == Kind::Counts { &[][..] } else { &ATTRIBUTES[..] };
    let found = places.iter().filter_map(|(key, place)| {
        let value = match document.pointer(place)? {
            Value::String(text) => Any::StringValue(text.clone()),
            Value::Number(number) => Any::IntValue(number.as_i64()?),
            _ => return None,
        };
        Some(attribute(key, value))
    });
    LogRecord {
        // 0 says that it isn't known.
        time_unix_nano: time.map_or(0, nanoseconds),
        observed_time_unix_nano: nanoseconds(Timestamp::now()),
        severity_number: severity.into(),
        event_name: format!("enforcer.{}", line.kind.word()),
        body: Some(AnyValue { value: Some(Any::StringValue(line.text.clone())) }),
        attributes: found.collect(),
        ..LogRecord::default()
    }
}

#[cfg(test)]
mod tests;
