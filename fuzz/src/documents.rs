//! The document parser, the checks, and the compiler for what passes them.
//!
//! An input is up to four files, with a byte 0x1c between them.

use enforcer_policy::check::parse;
use enforcer_policy::compile::{Clock, Inputs, Numbers, compile};
use enforcer_policy::diagnostic::{Colour, Label};
use enforcer_policy::model::SegmentMode;
use enforcer_policy::source::Source;
use jiff::Timestamp;

const NOW: Timestamp = Timestamp::constant(1_767_225_600, 0);
/// How much may be said about an input: findings per byte, and bytes of drawn text per finding.
const FINDINGS: usize = 2;
const DRAWN: usize = 4096;

pub(crate) fn run(bytes: &[u8]) {
    let texts = bytes.splitn(4, |byte| *byte == 0x1c).map(String::from_utf8_lossy);
    let sources: Vec<Source> =
        texts.enumerate().map(|(index, text)| Source::new(format!("{index}.yaml"), text.as_ref())).collect();
    let checked = parse(&sources, NOW);
    assert!(checked.diagnostics.len() <= FINDINGS * (bytes.len() + 1), "too many findings");
    for diagnostic in &checked.diagnostics {
        inside(&diagnostic.primary, &sources);
        diagnostic.related.iter().for_each(|label| inside(label, &sources));
        let plain = diagnostic.render(Colour::Never);
        assert!(plain.len() <= DRAWN, "{} bytes are drawn for one finding", plain.len());
        assert!(!plain.contains(|c: char| c.is_control() && c != '\n'), "{plain:?}");
        serde_json::to_string(diagnostic).unwrap();
    }
    if let Ok((set, _warnings)) = checked.into_result() {
        let clock = Clock { now: NOW, boot_ns: 0 };
        let inputs = Inputs { set: &set, host: &[], default_mode: SegmentMode::Enforce, clock };
        // Too large a set is refused; nothing else may go wrong with one that passed the checks.
        let _ = compile(&inputs, &mut Numbers::default());
    }
}

/// A place is in its file, and its line and column are those of its first byte.
pub(crate) fn inside(label: &Label, sources: &[Source]) {
    assert!(sources.contains(&label.source));
    let (text, span) = (&label.source.text, label.span);
    let (start, end) = (span.start as usize, span.end as usize);
    assert!(start <= end && end <= text.len(), "{span:?} of {}", text.len());
    assert!(text.is_char_boundary(start) && text.is_char_boundary(end), "{span:?}");
    assert!(span.line >= 1 && span.column >= 1, "{span:?}");
}
