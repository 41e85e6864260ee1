//! Text as the page shows it.

use enforcer_policy::diagnostic::shown;

/// Text of any origin with nothing in it that acts on a reader, at most this many characters.
pub(super) fn visible(text: &str, limit: usize) -> String {
    let characters: Vec<char> = text.chars().take(limit + 1).collect();
    let kept = &characters[..characters.len().min(limit)];
    // `shown` cuts at 64 characters, and each piece has no more.
    let mut out: String = kept.chunks(64).map(|piece| shown(&piece.iter().collect::<String>())).collect();
    if characters.len() > limit {
        out.push('…');
    }
    out
}

/// A number with its thousands set apart.
pub(super) fn number(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            out.push('\u{202f}');
        }
        out.push(digit);
    }
    out
}

/// A verdict's sign, for those who see no colours.
pub(super) fn mark(verdict: &str) -> &'static str {
    match verdict {
        "allowed" => "✓",
        "denied" => "✕",
        "audited" => "!",
        _ => "?",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thousands_are_set_apart() {
        assert_eq!(
            [0, 999, 1_000, 1_234_567].map(number),
            ["0", "999", "1\u{202f}000", "1\u{202f}234\u{202f}567"]
        );
    }

    #[test]
    fn long_text_is_cut_and_marks_are_spelled_out() {
        assert_eq!(visible("a\u{202e}b\u{7}", 10), "a\\u{202e}b\\u{7}");
        assert_eq!(visible(&"x".repeat(200), 130), format!("{}…", "x".repeat(130)));
        assert_eq!(visible(&"x".repeat(130), 130), "x".repeat(130));
    }
}
