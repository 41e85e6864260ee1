//! Diagnostics on stderr.

use crate::output::{note, wants_colour};
use crate::protocol::Finding;
use std::io;

/// Draws what was found, a blank line between two.
pub(super) fn show<'a>(findings: impl IntoIterator<Item = &'a Finding>) {
    let colour = wants_colour(&io::stderr());
    for finding in findings {
        note(format_args!("{}\n", paint(finding, colour)));
    }
}

fn paint(finding: &Finding, colour: bool) -> String {
    let word = finding.severity.as_str();
    match finding.rendered.strip_prefix(word) {
        Some(rest) if colour => {
            let code = if finding.is_error() { "1;31" } else { "1;33" };
            format!("\u{1b}[{code}m{word}\u{1b}[0m{rest}")
        }
        Some(_) | None => finding.rendered.clone(),
    }
}
