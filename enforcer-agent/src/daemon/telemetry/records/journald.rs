//! Lines to systemd's journal in its own protocol, so that `journalctl ENFORCER_VERDICT=denied` finds them. `MESSAGE` is the document.
//!
//! Written by hand because libraries for it have no say in where the socket is, which tests need and containers too; it is names and values.

use super::line::{Kind, Line};
use super::syslog::{deliver, each};
use super::{Sink, Taken};
use serde_json::Value;
use std::io;
use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;

/// A field of the journal, and where its value is in a flow's document.
const FIELDS: [(&str, &str); 14] = [
    ("ENFORCER_VERDICT", "/verdict"),
    ("ENFORCER_DIRECTION", "/direction"),
    ("ENFORCER_RULE", "/cause/rule"),
    ("ENFORCER_REASON", "/cause/reason"),
    ("ENFORCER_PROTOCOL", "/protocol"),
    ("ENFORCER_SOURCE_IP", "/source/ip"),
    ("ENFORCER_SOURCE_PORT", "/source/port"),
    ("ENFORCER_SOURCE_WORKLOAD", "/source/workload"),
    ("ENFORCER_DESTINATION_IP", "/destination/ip"),
    ("ENFORCER_DESTINATION_PORT", "/destination/port"),
    ("ENFORCER_DESTINATION_WORKLOAD", "/destination/workload"),
    ("ENFORCER_TAMPER", "/tamper"),
    ("ENFORCER_EPOCH", "/epoch"),
    ("ENFORCER_SCHEMA", "/schema"),
];

pub(super) struct Journal {
    socket: PathBuf,
    open: Option<UnixDatagram>,
}

impl Journal {
    pub(super) fn new(socket: PathBuf) -> Self {
        Self { socket, open: None }
    }
}

impl Sink for Journal {
    fn name(&self) -> &'static str {
        "journald"
    }

    fn take(&mut self, lines: &[Line]) -> Taken {
        each(lines, |line| self.send(line))
    }
}

impl Journal {
    fn send(&mut self, line: &Line) -> io::Result<()> {
        deliver(&mut self.open, &self.socket, &entry(line))
    }
}

fn entry(line: &Line) -> Vec<u8> {
    let mut entry = Vec::with_capacity(2 * line.text.len());
    put(&mut entry, "MESSAGE", &line.text);
    put(&mut entry, "PRIORITY", &line.severity().to_string());
    put(&mut entry, "SYSLOG_IDENTIFIER", "enforcer");
    put(&mut entry, "ENFORCER_RECORD", line.kind.word());
    // What is counted is a document of lists: it has no fields.
    if line.kind != Kind::Counts {
        let document = line.document();
        for (name, place) in FIELDS {
            match document.pointer(place) {
                Some(Value::String(text)) => put(&mut entry, name, text),
                Some(Value::Number(number)) => put(&mut entry, name, &number.to_string()),
                _ => {}
            }
        }
    }
    entry
}

/// A field whose value can't be taken for the next field's name, whatever is in it.
fn put(entry: &mut Vec<u8>, name: &str, value: &str) {
    entry.extend_from_slice(name.as_bytes());
    entry.push(b'\n');
    entry.extend_from_slice(&(value.len() as u64).to_le_bytes());
    entry.extend_from_slice(value.as_bytes());
    entry.push(b'\n');
}
