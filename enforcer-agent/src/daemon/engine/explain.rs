//! `explain` on the live set.

use super::{Engine, Refused};
use crate::daemon::clock::Instants;
use crate::protocol::{ExplainReply, ExplainRequest};
use crate::verdicts::{self, Question};

impl Engine {
    pub(super) fn explain(&self, request: &ExplainRequest) -> Result<ExplainReply, Refused> {
        let question = Question::parse(request)?;
        let Some(live) = &self.live else {
            return Err(Refused { message: "nothing is in force".to_owned(), help: None });
        };
        verdicts::explain(&question, &live.set, &live.compiled, &self.surroundings(), Instants::now())
    }
}
