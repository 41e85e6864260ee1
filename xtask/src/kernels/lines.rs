//! Lines of kernels: which there are to test, and which version of each.

use std::fmt;
use std::str::FromStr;

/// A kernel's version, as far as it is numbers.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Version(Vec<u32>);

impl Version {
    /// Of a package's version such as `6.12.117-1`.
    pub(super) fn of(text: &str) -> Option<Self> {
        let upstream = text.split(['-', '~', '+']).next()?;
        upstream.split('.').map(|part| part.parse().ok()).collect::<Option<_>>().map(Self)
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parts: Vec<_> = self.0.iter().map(u32::to_string).collect();
        f.write_str(&parts.join("."))
    }
}

/// Kernels whose versions begin alike.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Line {
    prefix: Vec<u32>,
    /// Where the archive has dropped it: a later one with the same first number.
    or_later: bool,
}

/// What is tested where nothing else is asked for, oldest first.
pub(super) fn all() -> Vec<Line> {
    let line = |prefix: &[u32], or_later| Line { prefix: prefix.to_vec(), or_later };
    vec![
        line(&[5, 10], false),
        line(&[6, 1], false),
        line(&[6, 12], false),
        line(&[6, 18], true),
        line(&[7], false),
    ]
}

impl Line {
    /// The newest of what begins as this line does.
    pub(super) fn choose<'a, T>(&self, from: &'a [T], version: impl Fn(&T) -> &Version) -> Option<&'a T> {
        let exact = from.iter().filter(|one| version(one).0.starts_with(&self.prefix));
        let later = from.iter().filter(|one| {
            let version = version(one);
            self.or_later && version.0.first() == self.prefix.first() && version.0 > self.prefix
        });
        exact.max_by_key(|one| version(one)).or_else(|| later.max_by_key(|one| version(one)))
    }
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", Version(self.prefix.clone()))
    }
}

impl FromStr for Line {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let known = all().into_iter().find(|line| line.to_string() == text);
        let other = || Version::of(text).map(|version| Self { prefix: version.0, or_later: false });
        known.or_else(other).ok_or_else(|| format!("`{text}` isn't the beginning of a kernel's version"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chosen(line: &str, from: &[&str]) -> Option<String> {
        let versions: Vec<_> = from.iter().map(|text| Version::of(text).unwrap()).collect();
        line.parse::<Line>().unwrap().choose(&versions, |version| version).map(Version::to_string)
    }

    #[test]
    fn the_newest_of_a_line_is_taken_by_number() {
        let archive = ["6.1.99-1", "6.1.192-2", "6.12.9-1", "6.19.14-1~bpo13+1", "7.3.4-1~bpo13+1"];
        assert_eq!(chosen("6.1", &archive).unwrap(), "6.1.192");
        assert_eq!(chosen("7", &archive).unwrap(), "7.3.4");
        assert_eq!(chosen("5.10", &archive), None);
        assert_eq!(chosen("6.18", &archive).unwrap(), "6.19.14", "or later");
        assert_eq!(chosen("6.17", &archive), None, "that only holds for the line that says so");
    }

    #[test]
    fn what_is_no_version_is_refused() {
        assert!("newest".parse::<Line>().is_err());
        assert_eq!("6.1".parse::<Line>().unwrap().to_string(), "6.1");
    }
}
