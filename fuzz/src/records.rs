//! The reader of recorded flows: lines of `enforcer.flow/v1`, and the line for people that is made of each.

use enforcer_agent::flow_line::flow_line;
use enforcer_agent::protocol::ObserveLine;

/// Longest line for people: names and labels are bounded, paths aren't cut.
const DRAWN: usize = 16 << 10;

pub(crate) fn run(bytes: &[u8]) {
    for line in bytes.split(|byte| *byte == b'\n') {
        let Ok(read) = serde_json::from_slice::<ObserveLine>(line) else { continue };
        let written = serde_json::to_string(&read).unwrap();
        let again: ObserveLine = serde_json::from_str(&written).unwrap();
        assert_eq!(serde_json::to_string(&again).unwrap(), written, "what is written reads back as the same");
        let ObserveLine::Flow(record) = read else { continue };
        let shown = flow_line(&record, false);
        assert!(shown.len() <= DRAWN + 6 * line.len(), "{} bytes", shown.len());
        let acts = |c: char| c.is_control() || matches!(c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}');
        assert!(!shown.contains(acts), "{shown:?}");
    }
}
