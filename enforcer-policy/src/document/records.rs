//! `records` of an `AgentConfig`: where records are written.

use super::agent_config::path;
use super::reader::Reader;
use crate::diagnostic::shown;
use crate::model::{RecordFile, Records};
use crate::yaml::Node;
use std::net::Ipv6Addr;
use std::path::PathBuf;

/// What a file may grow to, where nothing else is written.
const SIZE: u64 = 100 << 20;
/// A line has to fit, and a file of which thousands go by in a minute helps nobody.
const LEAST: u64 = 64 << 10;
/// Full files that are kept, where nothing else is written.
const KEEP: u32 = 5;
const MOST_KEPT: u32 = 1_000;
const UNITS: [(&str, u32); 4] = [("KiB", 10), ("MiB", 20), ("GiB", 30), ("", 0)];

pub(super) fn read(reader: &mut Reader<'_>, node: &Node<'_>) -> Option<Records> {
    let fields = reader.fields(node, "records", &["file", "syslog", "journald", "otlp"])?;
    let written = |name| fields.get(name).filter(|node: &&Node<'_>| !node.is_null());
    let file = written("file").and_then(|node| file(reader, node));
    let syslog = written("syslog").and_then(|node| socket(reader, node, "syslog", "/dev/log"));
    let journald =
        written("journald").and_then(|node| socket(reader, node, "journald", "/run/systemd/journal/socket"));
    let otlp = written("otlp").and_then(|node| collector(reader, node));
    Some(Records { file, syslog, journald, otlp })
}

/// `{}`, or another collector than one on this machine.
fn collector(reader: &mut Reader<'_>, node: &Node<'_>) -> Option<String> {
    const USUAL: &str = "http://127.0.0.1:4317";
    const HELP: &str = "as in `http://127.0.0.1:4317`, by gRPC and without TLS; a collector on this machine can hand records on as far as need be";
    let fields = reader.fields(node, "otlp", &["endpoint"])?;
    let Some(node) = fields.get("endpoint") else { return Some(USUAL.to_owned()) };
    let endpoint = reader.text(node, "endpoint")?;
    if is_endpoint(endpoint) {
        return Some(endpoint.to_owned());
    }
    reader.error_help(node.span, format!("`{}` is not an endpoint of OTLP", shown(endpoint)), HELP);
    None
}

fn is_endpoint(text: &str) -> bool {
    let Some((host, port)) = text.strip_prefix("http://").and_then(|rest| rest.rsplit_once(':')) else {
        return false;
    };
    let address = |text: &str| text.parse::<Ipv6Addr>().is_ok();
    let host = match host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        Some(six) => address(six),
        None => {
            let of_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_');
            !host.is_empty() && host.chars().all(of_name)
        }
    };
    host && port.parse::<u16>().is_ok_and(|port| port != 0)
}

fn file(reader: &mut Reader<'_>, node: &Node<'_>) -> Option<RecordFile> {
    const HELP: &str = "for example `{path: /var/log/enforcer/records.jsonl, size: 100MiB, keep: 5}`";
    let fields = reader.fields(node, "file", &["path", "size", "keep"])?;
    let place = reader.required(&fields, "path", HELP).and_then(|node| path(reader, node, "path"));
    let size = fields.get("size").map_or(Some(SIZE), |node| {
        number(
            reader,
            node,
            "size",
            "a size that a file may have",
            "for example `100MiB`; at least `64KiB`",
            |text| size(text).filter(|size| *size >= LEAST),
        )
    });
    let keep = fields.get("keep").map_or(Some(KEEP), |node| {
        number(reader, node, "keep", "a number of files that may be kept", "at most `1000`", |text| {
            text.parse().ok().filter(|keep| *keep <= MOST_KEPT)
        })
    });
    Some(RecordFile { path: place?, size: size?, keep: keep? })
}

/// `{}`, or another socket than the usual one.
fn socket(reader: &mut Reader<'_>, node: &Node<'_>, what: &str, usual: &str) -> Option<PathBuf> {
    let fields = reader.fields(node, what, &["socket"])?;
    fields.get("socket").map_or_else(|| Some(usual.into()), |node| path(reader, node, "socket"))
}

fn number<T>(
    reader: &mut Reader<'_>,
    node: &Node<'_>,
    what: &str,
    wanted: &str,
    help: &str,
    read: impl Fn(&str) -> Option<T>,
) -> Option<T> {
    // Numbers are written with quotes or without.
    let text = match node.text() {
        Some(text) => text,
        None => reader.text(node, what)?,
    };
    let number = read(text);
    if number.is_none() {
        reader.error_help(node.span, format!("`{}` is not {wanted}", shown(text)), help);
    }
    number
}

fn size(text: &str) -> Option<u64> {
    let (digits, shift) =
        UNITS.iter().find_map(|(unit, shift)| Some((text.strip_suffix(unit)?.trim_end(), *shift)))?;
    let number: u64 = digits.parse().ok()?;
    number.checked_mul(1 << shift)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endpoint_has_a_host_and_a_port_and_no_tls() {
        for good in ["http://127.0.0.1:4317", "http://otel-collector.obs:4317", "http://[::1]:1"] {
            assert!(is_endpoint(good), "{good}");
        }
        for bad in [
            "",
            "127.0.0.1:4317",
            "https://a:4317",
            "http://a",
            "http://:4317",
            "http://a:0",
            "http://a:4317/v1",
            "http://a b:1",
            "http://[x]:1",
        ] {
            assert!(!is_endpoint(bad), "{bad}");
        }
    }
}
