//! Why the packet path couldn't do what it was asked.

use std::error::Error;
use std::fmt::Display;

/// What went wrong, with what there is to do about it.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct DatapathError {
    message: String,
    help: Option<String>,
    #[source]
    source: Option<Box<dyn Error + Send + Sync>>,
}

impl DatapathError {
    /// With no cause below it.
    pub fn new(message: impl Display) -> Self {
        Self { message: message.to_string(), help: None, source: None }
    }

    /// With the error that caused it.
    pub fn caused(message: impl Display, source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self { message: message.to_string(), help: None, source: Some(source.into()) }
    }

    /// Says what to do about it.
    #[must_use]
    pub fn with_help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// What to do about it, where that is known.
    #[must_use]
    pub fn help(&self) -> Option<&str> {
        self.help.as_deref()
    }

    /// A table can't hold what it should.
    #[must_use]
    pub fn does_not_fit(what: &str, count: usize, limit: usize) -> Self {
        Self::new(format_args!("the policy set needs `{count}` {what}, and there is room for {limit}"))
            .with_help(
                "the generation in force stays; select with fewer, broader peers or split the address groups",
            )
    }
}
