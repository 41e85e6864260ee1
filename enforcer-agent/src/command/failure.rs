//! A command that could not answer: why, and what helps.

use crate::exit::Exit;
use std::fmt;

/// Ends a command.
#[derive(Debug)]
pub struct Failure {
    /// What the shell is told.
    pub exit: Exit,
    /// What went wrong, outermost first.
    pub error: anyhow::Error,
    /// The way out.
    pub help: Option<String>,
}

impl Failure {
    /// Adds the way out.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }
}

impl From<anyhow::Error> for Failure {
    fn from(error: anyhow::Error) -> Self {
        Self { exit: Exit::Unanswered, error, help: None }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "error: {:#}", self.error)?;
        self.help.iter().try_for_each(|help| write!(f, "\nhelp: {help}"))
    }
}
