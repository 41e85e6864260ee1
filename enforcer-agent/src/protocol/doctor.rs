//! `enforcer.doctor/v1`.

use serde::{Deserialize, Serialize};

/// What a check came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Word {
    /// As it should be.
    Ok,
    /// Works; worth knowing.
    Note,
    /// Has to be mended.
    Missing,
    /// Couldn't be looked at.
    Unknown,
}

impl Word {
    /// As it is shown.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Note => "note",
            Self::Missing => "missing",
            Self::Unknown => "unknown",
        }
    }
}

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DoctorCheck {
    /// What, in one stable word.
    pub check: String,
    /// What it came to.
    pub word: Word,
    /// What was found.
    pub found: String,
    /// One by one, where there are several.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub each: Vec<String>,
    /// How it is mended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mend: Option<String>,
}

/// Whether a machine is fit for the enforcer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DoctorReport {
    /// `enforcer.doctor/v1`.
    pub schema: String,
    /// The worst of the words: `ok` where there is nothing to mend, `missing`, or `unknown` where something couldn't be looked at.
    pub state: Word,
    /// Everything that was looked at.
    pub checks: Vec<DoctorCheck>,
}

impl DoctorReport {
    /// Of these checks.
    #[must_use]
    pub fn of(checks: Vec<DoctorCheck>) -> Self {
        let any = |word| checks.iter().any(|check| check.word == word);
        let state = [Word::Missing, Word::Unknown].into_iter().find(|word| any(*word)).unwrap_or(Word::Ok);
        Self { schema: "enforcer.doctor/v1".to_owned(), state, checks }
    }
}

impl DoctorCheck {
    fn new(check: &str, word: Word, found: impl Into<String>) -> Self {
        Self { check: check.to_owned(), word, found: found.into(), each: Vec::new(), mend: None }
    }

    pub(crate) fn ok(check: &str, found: impl Into<String>) -> Self {
        Self::new(check, Word::Ok, found)
    }

    pub(crate) fn note(check: &str, found: impl Into<String>) -> Self {
        Self::new(check, Word::Note, found)
    }

    pub(crate) fn missing(check: &str, found: impl Into<String>, mend: impl Into<String>) -> Self {
        Self::new(check, Word::Missing, found).mend(mend)
    }

    pub(crate) fn unknown(check: &str, found: impl Into<String>) -> Self {
        Self::new(check, Word::Unknown, found)
    }

    pub(crate) fn mend(mut self, mend: impl Into<String>) -> Self {
        self.mend = Some(mend.into());
        self
    }

    pub(crate) fn each(mut self, each: Vec<String>) -> Self {
        self.each = each;
        self
    }
}
