//! Exit codes of the command line, one meaning each.

use std::process::{ExitCode, Termination};

/// What a finished command says to the shell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// Yes, or clean.
    Yes = 0,
    /// The answer is no: denied, test failed, difference found.
    No = 1,
    /// Could not answer: usage, I/O, kernel, daemon unreachable.
    Unanswered = 2,
    /// The policy is invalid.
    Invalid = 3,
    /// Refused because it would lock the operator out.
    LocksOut = 4,
}

impl Termination for Exit {
    fn report(self) -> ExitCode {
        ExitCode::from(self as u8)
    }
}
