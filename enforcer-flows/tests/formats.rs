//! Every format is told by its content, or not at all.

mod seen;

use enforcer_flows::{Format, Options, ReadError, detect};
use seen::{seen, seen_by};

const VPC: &str = "2 1 eni-1 10.0.0.1 10.0.0.2 40000 80 6 1 60 10 20 ACCEPT OK\n";
const CONNTRACK: &str = "tcp      6 431999 ESTABLISHED src=10.0.0.1 dst=10.0.0.2 sport=40000 dport=80 src=10.0.0.2 dst=10.0.0.1 sport=80 dport=40000 [ASSURED] mark=0 use=1\n";
const SS: &str = "tcp   ESTAB  0      0      10.0.0.1:22   10.0.0.2:51234\n";
const FLOW: &str = r#"{"schema":"enforcer.flow/v1","time":"2026-01-01T00:00:00Z","direction":"egress","verdict":"allowed","passes":true,"cause":{},"protocol":"tcp","source":{"ip":"10.0.0.1","port":40000},"destination":{"ip":"10.0.0.2","port":80},"packets":1,"bytes":60,"epoch":1,"ifindex":2,"new":true,"changed":false}
"#;
const HUBBLE: &str = r#"{"flow":{"time":"2026-01-01T00:00:00Z","verdict":"FORWARDED","IP":{"source":"10.0.0.1","destination":"10.0.0.2"},"l4":{"UDP":{"source_port":40000,"destination_port":53}}}}
"#;

#[test]
fn the_first_lines_tell() {
    let all = [
        (VPC, Format::Vpc),
        (CONNTRACK, Format::Conntrack),
        (SS, Format::Ss),
        (FLOW, Format::EnforcerJsonl),
        (HUBBLE, Format::Hubble),
    ];
    for (line, format) in all {
        assert_eq!(detect(line.as_bytes()), Some(format));
        let damaged = format!("\u{feff}\r\n% nonsense %\r\n{}\r\n", line.trim_end());
        assert_eq!(detect(damaged.as_bytes()), Some(format), "{line}");
        let (seen, summary) = seen(damaged.as_bytes());
        assert_eq!(
            (summary.format, summary.flows >= 1, summary.damaged),
            (format, true, 1),
            "{:?}",
            seen.damages
        );
        for other in Format::ALL {
            let (_, result) =
                seen_by(line.as_bytes(), &Options { format: Some(other), ..Options::default() });
            let summary = result.unwrap();
            assert_eq!(summary.flows > 0, other == format, "{line} as {other}");
        }
    }
}

#[test]
fn what_is_no_format_is_said_so() {
    let unknown = |input: &[u8]| seen_by(input, &Options::default()).1.unwrap_err();
    assert!(matches!(unknown(b""), ReadError::Empty));
    assert!(matches!(unknown(b"\x7fELF\x02\x01\x01"), ReadError::Unknown { .. }));
    assert_eq!(
        unknown(b"hello \x1b[31mworld\n").to_string(),
        "the format isn't one that is known; it begins with `hello \\u{1b}[31mworld\\n`"
    );
    assert_eq!(unknown(&[0xff, 0xfe, b'2', 0]).to_string(), "UTF-16 text isn't read");
    assert!(unknown(b"<?xml version=\"1.0\"?>").help().unwrap().contains("-o xml"));
    for length in [4, 1000, 100_000, 3_000_000] {
        for byte in [0, b'\n', b' ', b'{', b'x', 0xff] {
            assert!(matches!(
                unknown(&vec![byte; length]),
                ReadError::Unknown { .. } | ReadError::Unsupported { .. }
            ));
        }
    }
}

#[test]
fn an_empty_source_of_a_known_format_is_well() {
    for format in Format::ALL {
        if format.has_packets() {
            continue;
        }
        let (_, result) = seen_by(b"", &Options { format: Some(format), ..Options::default() });
        assert_eq!(result.unwrap().damaged, 0, "{format}");
    }
}
