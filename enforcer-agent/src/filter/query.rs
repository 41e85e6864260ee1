//! Filters as the query of a request: `verdict=denied&not.port=udp%2F53`.

use super::{Filter, FilterError, Kind, Test};
use enforcer_policy::diagnostic::shown;
use form_urlencoded::Serializer;

/// Before the kind of a test that takes away.
const NOT: &str = "not.";

impl Filter {
    /// Adds the tests to a query.
    pub fn write(&self, query: &mut Serializer<'_, String>) {
        for test in &self.tests {
            let not = if test.not { NOT } else { "" };
            query.append_pair(&format!("{not}{}", test.kind.word()), &test.text);
        }
    }

    /// Reads the tests of a query.
    pub fn read<'a>(pairs: impl Iterator<Item = (&'a str, &'a str)>) -> Result<Self, FilterError> {
        let tests = pairs.map(|(name, value)| {
            let (not, word) = name.strip_prefix(NOT).map_or((false, name), |word| (true, word));
            let Some(kind) = Kind::ALL.into_iter().find(|kind| kind.word() == word) else {
                return Err(FilterError::new(
                    format!("the query asks for `{}`, which isn't known", shown(name)),
                    "the daemon may be older than this command",
                ));
            };
            Test::parse(kind, not, value)
        });
        Self::new(tests.collect::<Result<_, _>>()?)
    }
}
