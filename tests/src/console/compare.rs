//! Whether an output is the one that is shown.
//!
//! What may differ, and nothing else:
//!
//! - `…` as a line stands for any lines; at the end of a line, for the rest of it;
//! - times of day and dates with times;
//! - the port that a connection comes from (`10.77.0.10:41822 ->`);
//! - numbers that count what was seen (`214 flows`), and numbers that fill a column of a table, as long as they aren't 0: nothing never
//!   stands for something;
//! - the number of an epoch or generation, the ids of processes in a directory's name;
//! - how many blanks stand between columns.

use std::fmt;
use std::sync::LazyLock;

use regex::{Captures, Regex};

/// Something is left out here.
pub(super) const ELLIPSIS: &str = "…";

/// What is replaced before lines are compared, and by what.
static VARYING: LazyLock<Vec<(Regex, &str)>> = LazyLock::new(|| {
    [
        (r"\b\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z", "<time>"),
        (r"\b\d\d:\d\d:\d\d(\.\d+)?Z?\b", "<time>"),
        (r"\b\d{4}-\d\d-\d\d\b", "<date>"),
        (r":\d{4,5} ->", ":<port> ->"),
        (r"\b(epoch|generation) [1-9]\d*", "$1 <n>"),
        (r"\b[1-9]\d* (recorded flow|flow|packet|byte|record|address|event|denied packet)(e?s)?\b", "<n> $1"),
        (r"\b[1-9]\d* ((newly )?(allowed|denied|audited)|sent|passed)\b", "<n> $1"),
        (r"(captured twice): [1-9]\d*", "$1: <n>"),
    ]
    .map(|(pattern, with)| (Regex::new(pattern).expect("a written pattern"), with))
    .into()
});
static GAPS: LazyLock<Regex> = LazyLock::new(|| Regex::new(r" {2,}").expect("a written pattern"));
/// A whole cell of a table; the cell before it stays for the next match.
static CELL: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"(  )([1-9]\d*)(  |$)").expect("a written pattern"));

/// Where an output leaves what is shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    shown: Option<String>,
    came: Option<String>,
    whole: Vec<String>,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let line = |line: &Option<String>| line.clone().unwrap_or_else(|| "(the end)".to_owned());
        writeln!(f, "  shown: {}\n  came:  {}\n  the whole of it:", line(&self.shown), line(&self.came))?;
        self.whole.iter().try_for_each(|line| writeln!(f, "    {line}"))
    }
}

/// Holds an output against what is shown.
pub fn compare(shown: &[String], came: &[String]) -> Result<(), Difference> {
    // For each prefix of `shown`, which prefixes of `came` it can stand for.
    let mut ends = vec![false; came.len() + 1];
    ends[0] = true;
    let mut furthest = (shown.first(), came.first());
    for (index, line) in shown.iter().enumerate() {
        let mut next = vec![false; came.len() + 1];
        if line == ELLIPSIS {
            let mut open = false;
            for (at, end) in ends.iter().enumerate() {
                open |= end;
                next[at] = open;
            }
        } else {
            for at in (0..came.len()).filter(|at| ends[*at]) {
                next[at + 1] = lines_match(line, &came[at]);
            }
        }
        if !next.contains(&true) {
            let at = ends.iter().position(|end| *end).unwrap_or_default();
            return Err(Difference {
                shown: Some(line.clone()),
                came: came.get(at).cloned(),
                whole: came.to_vec(),
            });
        }
        let at = next.iter().rposition(|end| *end).unwrap_or_default();
        furthest = (shown.get(index + 1), came.get(at));
        ends = next;
    }
    if ends[came.len()] {
        return Ok(());
    }
    Err(Difference { shown: furthest.0.cloned(), came: furthest.1.cloned(), whole: came.to_vec() })
}

/// Whether one line is as shown, but for what may differ.
pub(super) fn lines_match(shown: &str, came: &str) -> bool {
    let came = plain(came);
    match shown.strip_suffix(ELLIPSIS) {
        Some(begin) => came.starts_with(plain(begin).as_str()),
        None => came == plain(shown),
    }
}

/// A line with words for everything that may differ.
fn plain(line: &str) -> String {
    let mut text = GAPS.replace_all(line.trim(), "  ").into_owned();
    for (pattern, with) in VARYING.iter() {
        text = pattern.replace_all(&text, *with).into_owned();
    }
    // Neighbouring cells share a gap: twice.
    for _ in 0..2 {
        text = CELL
            .replace_all(&text, |found: &Captures<'_>| format!("{}<n>{}", &found[1], &found[3]))
            .into_owned();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(text: &str) -> Vec<String> {
        text.lines().map(str::to_owned).collect()
    }

    fn alike(shown: &str, came: &str) -> bool {
        compare(&lines(shown), &lines(came)).is_ok()
    }

    #[test]
    fn what_may_differ_does() {
        for (shown, came) in [
            ("", ""),
            ("ok: 2 files", "ok: 2 files"),
            (
                "12:53:39.168 web 10.0.0.1:40001 -> db 10.0.0.2:22/tcp",
                "01:02:03.4 web 10.0.0.1:51234 -> db 10.0.0.2:22/tcp",
            ),
            ("in force since 2026-01-01T00:00:00Z", "in force since 2027-11-30T12:13:14.5Z"),
            ("web  09:14:38Z  09:14:42Z  no-rule", "web  01:02:03Z  04:05:06Z  no-rule"),
            ("214 flows: 209 allowed, 5 denied", "1 flow: 1 allowed, 88 denied"),
            ("web-to-db#0  20  1368  2  0  shop.yaml:17", "web-to-db#0  7     99       12   0  shop.yaml:17"),
            ("12 recorded flows: 3 newly denied", "1 recorded flow: 89 newly denied"),
            ("in force as epoch 2", "in force as epoch 14"),
            ("a\n…\nz", "a\nz"),
            ("a\n…\nz", "a\nb\nc\nz"),
            ("…", ""),
            ("first …", "first and last"),
        ] {
            assert!(alike(shown, came), "{shown:?} {came:?}");
        }
    }

    #[test]
    fn a_changed_line_is_a_difference() {
        for (shown, came) in [
            ("ok: 2 files", "ok: 3 files"),
            ("5 flows: 5 allowed, 0 denied", "5 flows: 5 allowed, 2 denied"),
            ("web-to-db#0  20  1368  2  0  shop.yaml:17", "web-to-db#0  20  1368  2  3  shop.yaml:17"),
            ("web-to-db#0  20  1368  2  0  shop.yaml:17", "web-to-db#0  20  1368  2  0  shop.yaml:18"),
            (
                "web 10.0.0.1:40001 -> db 10.0.0.2:22/tcp  DENIED",
                "web 10.0.0.1:40001 -> db 10.0.0.2:23/tcp  DENIED",
            ),
            (
                "web 10.0.0.1:40001 -> db 10.0.0.2:22/tcp  DENIED",
                "web 10.0.0.1:40001 -> db 10.0.0.2:22/tcp  ALLOWED",
            ),
            ("a", "a\nb"),
            ("a\nb", "a"),
            ("a\n…\nz", "a\nb"),
            ("first …", "second and last"),
            ("…\nb", "b\nc"),
        ] {
            assert!(!alike(shown, came), "{shown:?} {came:?}");
        }
    }

    #[test]
    fn a_difference_names_both_lines() {
        let difference = compare(&lines("a\nb\nc"), &lines("a\nx\nc")).unwrap_err();
        assert_eq!((difference.shown.as_deref(), difference.came.as_deref()), (Some("b"), Some("x")));
        let difference = compare(&lines("a"), &lines("a\nx")).unwrap_err();
        assert_eq!((difference.shown.as_deref(), difference.came.as_deref()), (None, Some("x")));
    }
}
