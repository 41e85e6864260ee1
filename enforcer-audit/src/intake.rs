//! What recordings are read into.

use crate::audit::Audit;
use enforcer_flows::{Sink, Summary};

/// Takes in several recordings.
pub trait Intake: Sink {
    /// What follows is of another recording. Its name is shown as it is given.
    fn begin(&mut self, name: &str);

    /// What follows is of the recording that was begun as this one, counted from 0.
    fn turn(&mut self, recording: usize);

    /// The recording has been read to its end. Takes what its reader counted and didn't hand on.
    fn end(&mut self, summary: &Summary);
}

impl Intake for Audit {
    fn begin(&mut self, name: &str) {
        Self::begin(self, name);
    }

    fn turn(&mut self, recording: usize) {
        Self::turn(self, recording);
    }

    fn end(&mut self, summary: &Summary) {
        Self::end(self, summary);
    }
}
