//! Filters as they are typed on a screen: `verdict=denied not port=udp/53`.

use super::{Filter, FilterError, Kind, Test};
use enforcer_policy::diagnostic::shown;
use std::fmt;

/// Turns the test behind it around.
const NOT: &str = "not";
const EXAMPLE: &str = "for example `verdict=denied not port=udp/53`";

impl Filter {
    /// Reads tests between blanks.
    pub fn typed(text: &str) -> Result<Self, FilterError> {
        let (mut tests, mut not) = (Vec::new(), false);
        for word in text.split_whitespace() {
            if word == NOT && !not {
                not = true;
                continue;
            }
            let Some((kind, value)) = word.split_once('=') else {
                return Err(FilterError::new(format!("`{}` is no test", shown(word)), EXAMPLE));
            };
            let Some(kind) = Kind::of(kind) else {
                let known: Vec<&str> = Kind::ALL.iter().map(|kind| kind.word()).collect();
                let message = format!("nothing is known as `{}`", shown(kind));
                return Err(FilterError::new(message, format!("known: {}", known.join(", "))));
            };
            tests.push(Test::parse(kind, std::mem::take(&mut not), value)?);
        }
        if not {
            return Err(FilterError::new(format!("`{NOT}` is followed by no test"), EXAMPLE));
        }
        Self::new(tests)
    }
}

impl fmt::Display for Filter {
    /// As [`Filter::typed`] reads it, safe to show.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, test) in self.tests.iter().enumerate() {
            let space = if place == 0 { "" } else { " " };
            let not = if test.not { "not " } else { "" };
            write!(f, "{space}{not}{}={}", test.kind.word(), shown(&test.text))?;
        }
        Ok(())
    }
}
