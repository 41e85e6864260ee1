//! Filters as the query of a request: `verdict=denied&not.port=udp%2F53`.

use super::{Filter, FilterError, Kind, Test};
use enforcer_policy::diagnostic::shown;
use form_urlencoded::Serializer;

/// Before the kind of a test that takes away.
const NOT: &str = "not.";

impl Filter {
    /// What to ask the control socket for: these records of the past, and those to come as well where `follow` says so.
    #[must_use]
    pub fn request(&self, follow: bool) -> String {
        let path = "/v1/observe?";
        let mut query = Serializer::for_suffix(path.to_owned(), path.len());
        query.append_pair("follow", if follow { "true" } else { "false" });
        for test in &self.tests {
            let not = if test.not { NOT } else { "" };
            query.append_pair(&format!("{not}{}", test.kind.word()), &test.text);
        }
        query.finish()
    }

    /// Reads the tests of a query.
    pub fn read<'a>(pairs: impl Iterator<Item = (&'a str, &'a str)>) -> Result<Self, FilterError> {
        let tests = pairs.map(|(name, value)| {
            let (not, word) = name.strip_prefix(NOT).map_or((false, name), |word| (true, word));
            let Some(kind) = Kind::of(word) else {
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
