//! A command that could not answer: why, and what helps.

use crate::datapath::DatapathError;
use crate::exit::Exit;
use crate::filter::FilterError;
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

impl From<FilterError> for Failure {
    fn from(error: FilterError) -> Self {
        let help = error.help().to_owned();
        Self::from(anyhow::Error::from(error)).help(help)
    }
}

/// A failure of the packet path, with its own way out.
pub(super) fn of_kernel(error: anyhow::Error) -> Failure {
    let help = error.downcast_ref::<DatapathError>().and_then(|error| error.help().map(str::to_owned));
    Failure { help, ..Failure::from(error) }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "error: {:#}", self.error)?;
        self.help.iter().try_for_each(|help| write!(f, "\nhelp: {help}"))
    }
}
