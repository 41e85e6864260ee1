//! Lines to a syslog daemon, as RFC 5424 has them, through its local socket. The message is the document, as JSON.

use super::line::Line;
use super::{Sink, Taken};
use jiff::Timestamp;
use std::io;
use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;
use std::time::Duration;
use syslog_fmt::v5424::{Config, Formatter, Msg, Timestamp as When};
use syslog_fmt::{Facility, Severity};

/// A daemon that doesn't read for that long loses what it doesn't take.
pub(super) const PATIENCE: Duration = Duration::from_millis(500);

pub(super) struct Syslog {
    socket: PathBuf,
    open: Option<UnixDatagram>,
    formatter: Formatter,
}

impl Syslog {
    pub(super) fn new(socket: PathBuf) -> Self {
        let hostname = rustix::system::uname().nodename().to_string_lossy().into_owned();
        let process = std::process::id().to_string();
        let formatter = Config {
            facility: Facility::Daemon,
            hostname: Some(&hostname),
            app_name: Some("enforcer"),
            proc_id: Some(&process),
        }
        .into_formatter();
        Self { socket, open: None, formatter }
    }

    fn send(&mut self, line: &Line) -> io::Result<()> {
        let mut message = Vec::with_capacity(line.text.len() + 128);
        let severity = match line.severity() {
            3 => Severity::Err,
            4 => Severity::Warning,
            5 => Severity::Notice,
            _ => Severity::Info,
        };
        let now = format!("{:.6}", Timestamp::now());
        let id = Some(line.kind.word());
        self.formatter.write_without_data(
            &mut message,
            severity,
            When::PreformattedStr(&now),
            // As bytes: a mark before the text would be no JSON.
            Msg::NonUnicodeBytes(line.text.as_bytes()),
            id,
        )?;
        deliver(&mut self.open, &self.socket, &message)
    }
}

/// Sends one datagram, connecting first where that is still to be done. A daemon that was started anew is connected to anew.
pub(super) fn deliver(
    open: &mut Option<UnixDatagram>,
    path: &std::path::Path,
    message: &[u8],
) -> io::Result<()> {
    let connect = || {
        let socket = UnixDatagram::unbound()?;
        socket.set_write_timeout(Some(PATIENCE))?;
        socket.connect(path)?;
        Ok::<_, io::Error>(socket)
    };
    if let Some(socket) = open.as_ref() {
        match socket.send(message) {
            Ok(_) => return Ok(()),
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => {
                return Err(error);
            }
            Err(_) => *open = None,
        }
    }
    let socket = open.insert(connect()?);
    let sent = socket.send(message);
    if sent.is_err() {
        *open = None;
    }
    sent.map(drop)
}

impl Sink for Syslog {
    fn name(&self) -> &'static str {
        "syslog"
    }

    fn take(&mut self, lines: &[Line]) -> Taken {
        each(lines, |line| self.send(line))
    }
}

/// Sends lines until one can't be.
pub(super) fn each(lines: &[Line], mut send: impl FnMut(&Line) -> io::Result<()>) -> Taken {
    for (written, line) in lines.iter().enumerate() {
        if let Err(error) = send(line) {
            return Taken { written, error: Some(error) };
        }
    }
    Taken { written: lines.len(), error: None }
}
