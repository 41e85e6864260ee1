//! Sinks that are slow, gone or back again: what they were given and what they are told they missed is what there was.

use super::line::{Kind, Line};
use super::{Sink, Sinks, Taken};
use crate::daemon::events::Feed;
use crate::daemon::telemetry::SinkCounts;
use crate::protocol::{CountsRecord, Events, FlowRecord, Missed, ObserveLine};
use enforcer_common::event::FlowEvent;
use enforcer_policy::model::{RecordFile, Records};
use serde_json::Value;
use std::io;
use std::os::unix::net::UnixDatagram;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::runtime::Runtime;

pub(super) fn event(port: u16) -> FlowEvent {
    let cause = enforcer_common::Cause::reason(enforcer_common::Reason::NoRule).0;
    FlowEvent {
        cause,
        destination_port: port,
        protocol: 17,
        family: 4,
        word: 1,
        source: [u32::from_ne_bytes([10, 0, 0, 1]), 0, 0, 0],
        ..FlowEvent::default()
    }
}

pub(super) fn runtime() -> Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap()
}

fn counts() -> CountsRecord {
    CountsRecord {
        schema: "enforcer.counts/v1".to_owned(),
        time: "2026-01-01T00:00:00.000Z".to_owned(),
        epoch: 1,
        events: Events { sent: 1, lost: 2, suppressed: 3 },
        verdicts: Vec::new(),
        rules: Vec::new(),
    }
}

/// Takes what it may, and remembers it.
#[derive(Clone, Default)]
struct Fussy {
    taken: Arc<Mutex<Vec<Line>>>,
    room: Arc<Mutex<usize>>,
}

impl Sink for Fussy {
    fn name(&self) -> &'static str {
        "fussy"
    }
    fn take(&mut self, lines: &[Line]) -> Taken {
        let mut room = self.room.lock().unwrap();
        let written = lines.len().min(*room);
        *room -= written;
        self.taken.lock().unwrap().extend(lines[..written].iter().cloned());
        Taken { written, error: (written < lines.len()).then(|| io::ErrorKind::StorageFull.into()) }
    }
}

#[test]
fn what_does_not_fit_is_told_as_soon_as_something_fits_again() {
    let feed = Feed::default();
    let sink = Fussy::default();
    let mut writer = super::Writer::new(Box::new(sink.clone()), &feed);
    let mut give = |ports: std::ops::Range<u16>, room| {
        *sink.room.lock().unwrap() = room;
        ports.for_each(|port| feed.take(&[event(port)]));
        while let Some(item) = writer.subscription.at_once() {
            assert!(writer.add(item));
        }
        writer.flush();
    };
    give(0..3, 10);
    give(3..8, 2);
    assert_eq!(feed.tallies().troubles(), ["records can't be written to `fussy`: no storage space"]);
    give(8..10, 0);
    give(10..11, 10);
    assert!(feed.tallies().troubles().is_empty());
    let taken = sink.taken.lock().unwrap();
    let told: Vec<String> = taken
        .iter()
        .map(|line| match line.kind {
            Kind::Flow => line.document()["destination"]["port"].to_string(),
            _ => format!("{} {}", line.kind.word(), line.document()["lost"]),
        })
        .collect();
    assert_eq!(told, ["0", "1", "2", "3", "4", "missed 5", "10"]);
    assert_eq!(feed.tallies().sinks()["fussy"], SinkCounts { written: 7, lost: 5 });
}

#[test]
fn the_file_has_everything_when_the_daemon_ends() {
    let runtime = runtime();
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("records.jsonl");
    let feed = Feed::default();
    feed.counted(Missed { lost: 7, suppressed: 70 });
    let file = Some(RecordFile { path: path.clone(), size: 16 << 20, keep: 1 });
    let sinks = Sinks::start(&Records { file, ..Records::default() }, &feed, runtime.handle()).unwrap();
    assert!(feed.keeps_records());
    (0..5_000).for_each(|port| feed.take(&[event(port)]));
    feed.counted(Missed { lost: 9, suppressed: 75 });
    feed.totals(counts());
    sinks.finish(Duration::from_secs(20));
    let text = std::fs::read_to_string(&path).unwrap();
    let (mut seen, mut missed, mut counted) = (0, Missed::default(), 0);
    for line in text.lines() {
        let document: Value = serde_json::from_str(line).unwrap();
        match document["schema"].as_str().unwrap() {
            "enforcer.flow/v1" => seen += 1,
            "enforcer.counts/v1" => counted += 1,
            _ => {
                let ObserveLine::Missed { missed: more, .. } = serde_json::from_str(line).unwrap() else {
                    panic!("{line}")
                };
                missed.add(more);
            }
        }
    }
    // What was missed before it began is no part of it.
    assert_eq!((seen, missed, counted), (5_000, Missed { lost: 2, suppressed: 5 }, 1));
}

fn listening(dir: &tempfile::TempDir) -> (UnixDatagram, std::path::PathBuf) {
    let path = dir.path().join("socket");
    let socket = UnixDatagram::bind(&path).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    (socket, path)
}

fn heard(socket: &UnixDatagram) -> Vec<u8> {
    let mut room = vec![0; 64 << 10];
    let count = socket.recv(&mut room).unwrap();
    room.truncate(count);
    room
}

#[test]
fn syslog_gets_the_document_behind_its_own_header() {
    let runtime = runtime();
    let dir = tempfile::tempdir().unwrap();
    let (socket, path) = listening(&dir);
    let feed = Feed::default();
    let records = Records { syslog: Some(path), ..Records::default() };
    let sinks = Sinks::start(&records, &feed, runtime.handle()).unwrap();
    feed.take(&[event(53)]);
    let message = String::from_utf8(heard(&socket)).unwrap();
    let parts: Vec<&str> = message.splitn(8, ' ').collect();
    let [head, time, _host, name, process, id, data, document] = parts[..] else { panic!("{message}") };
    // Facility 3, severity 4.
    assert_eq!((head, name, id, data), ("<28>1", "enforcer", "flow", "-"));
    assert_eq!(process, std::process::id().to_string());
    assert!(time.parse::<jiff::Timestamp>().is_ok(), "{time}");
    let record: FlowRecord = serde_json::from_str(document).unwrap();
    assert_eq!((record.destination.port, record.verdict.as_str()), (Some(53), "denied"));
    sinks.finish(Duration::from_secs(10));
}

#[test]
fn the_journal_gets_fields_and_a_name_in_one_can_not_make_another() {
    let runtime = runtime();
    let dir = tempfile::tempdir().unwrap();
    let (socket, path) = listening(&dir);
    let feed = Feed::default();
    let records = Records { journald: Some(path), ..Records::default() };
    let sinks = Sinks::start(&records, &feed, runtime.handle()).unwrap();
    feed.take(&[event(53)]);
    let entry = heard(&socket);
    let mut fields = std::collections::BTreeMap::new();
    let mut rest = &entry[..];
    while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
        let name = String::from_utf8(rest[..end].to_vec()).unwrap();
        let size = u64::from_le_bytes(rest[end + 1..end + 9].try_into().unwrap()) as usize;
        let value = String::from_utf8(rest[end + 9..end + 9 + size].to_vec()).unwrap();
        assert_eq!(rest[end + 9 + size], b'\n');
        rest = &rest[end + 10 + size..];
        fields.insert(name, value);
    }
    assert!(rest.is_empty());
    for (name, value) in [
        ("PRIORITY", "4"),
        ("SYSLOG_IDENTIFIER", "enforcer"),
        ("ENFORCER_RECORD", "flow"),
        ("ENFORCER_VERDICT", "denied"),
        ("ENFORCER_REASON", "no-rule"),
        ("ENFORCER_SOURCE_IP", "10.0.0.1"),
        ("ENFORCER_DESTINATION_PORT", "53"),
        ("ENFORCER_SCHEMA", "enforcer.flow/v1"),
    ] {
        assert_eq!(fields.get(name).map(String::as_str), Some(value), "{name} of {fields:?}");
    }
    assert!(serde_json::from_str::<FlowRecord>(&fields["MESSAGE"]).is_ok());
    sinks.finish(Duration::from_secs(10));
}

#[test]
fn a_daemon_that_is_not_there_loses_and_one_that_comes_is_told() {
    let runtime = runtime();
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("socket");
    let feed = Feed::default();
    let records = Records { syslog: Some(path), ..Records::default() };
    let sinks = Sinks::start(&records, &feed, runtime.handle()).unwrap();
    feed.take(&[event(1)]);
    while feed.tallies().sinks()["syslog"].lost == 0 {
        std::thread::sleep(Duration::from_millis(5));
    }
    assert_eq!(feed.tallies().troubles().len(), 1);
    let (socket, _) = listening(&dir);
    feed.take(&[event(2)]);
    assert!(String::from_utf8(heard(&socket)).unwrap().contains("enforcer.missed/v1\",\"lost\":1,"));
    assert!(String::from_utf8(heard(&socket)).unwrap().contains("\"port\":2"));
    sinks.finish(Duration::from_secs(10));
}
