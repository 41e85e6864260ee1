//! What a scalar without quotes means: YAML 1.2's core schema, and the words of YAML 1.1 that would bite.

/// The reading of a scalar without quotes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Plain {
    Null,
    /// `true` or `false`.
    Boolean(bool),
    /// `yes`, `no`, `on`, `off`: text in YAML 1.2, a boolean to readers of YAML 1.1 (Kubernetes among them).
    OldBoolean(bool),
    Number,
    Text,
}

pub(crate) fn resolve(text: &str) -> Plain {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => Plain::Null,
        "true" | "True" | "TRUE" => Plain::Boolean(true),
        "false" | "False" | "FALSE" => Plain::Boolean(false),
        "yes" | "Yes" | "YES" | "on" | "On" | "ON" => Plain::OldBoolean(true),
        "no" | "No" | "NO" | "off" | "Off" | "OFF" => Plain::OldBoolean(false),
        _ if is_number(text) => Plain::Number,
        _ => Plain::Text,
    }
}

fn is_number(text: &str) -> bool {
    if !text.starts_with(|c: char| c.is_ascii_digit() || matches!(c, '-' | '+' | '.')) {
        return false;
    }
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    if matches!(digits, ".inf" | ".Inf" | ".INF") || matches!(text, ".nan" | ".NaN" | ".NAN") {
        return true;
    }
    if let Some(hex) = text.strip_prefix("0x") {
        return !hex.is_empty() && hex.bytes().all(|b| b.is_ascii_hexdigit());
    }
    if let Some(octal) = text.strip_prefix("0o") {
        return !octal.is_empty() && octal.bytes().all(|b| matches!(b, b'0'..=b'7'));
    }
    digits.starts_with(|c: char| c.is_ascii_digit() || c == '.')
        && digits.bytes().any(|b| b.is_ascii_digit())
        && digits.bytes().all(|b| b.is_ascii_digit() || matches!(b, b'.' | b'e' | b'E' | b'-' | b'+'))
        && digits.parse::<f64>().is_ok()
}

#[cfg(test)]
mod tests {
    use super::{Plain, resolve};

    #[test]
    fn core_schema() {
        for number in [
            "1", "-1", "+1", "0", "007", "1.10", ".5", "5.", "1e3", "-2.5E-3", "0x1F", "0o17", "-.inf",
            ".nan",
        ] {
            assert_eq!(resolve(number), Plain::Number, "{number}");
        }
        for text in [
            "1.2.3",
            "10.0.0.1",
            "tcp/443",
            "-",
            ".",
            "0x",
            "0o8",
            "1e",
            "e3",
            "--1",
            "::1",
            "2027-01-31",
            "y",
        ] {
            assert_eq!(resolve(text), Plain::Text, "{text}");
        }
        assert_eq!(resolve(""), Plain::Null);
        assert_eq!(resolve("off"), Plain::OldBoolean(false));
        assert_eq!(resolve("true"), Plain::Boolean(true));
        assert_eq!(resolve("tRue"), Plain::Text);
    }
}
