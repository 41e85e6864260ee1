//! Questions about the live set: `explain`, and the set itself.

use super::{Engine, Refused, load};
use crate::daemon::clock::Instants;
use crate::protocol::{ExplainReply, ExplainRequest, LiveSet};
use crate::verdicts::{self, Question};

impl Engine {
    pub(super) fn explain(&self, request: &ExplainRequest) -> Result<ExplainReply, Refused> {
        let question = Question::parse(request)?;
        let Some(live) = &self.live else { return Err(nothing()) };
        let (set, open) = ((&live.set, &*live.compiled), &self.settings.failsafe);
        verdicts::explain(&question, set, open, &self.surroundings(), Instants::now())
    }

    pub(super) fn live_set(&self) -> Result<LiveSet, Refused> {
        let Some(live) = &self.live else { return Err(nothing()) };
        Ok(LiveSet {
            schema: "enforcer.policies/v1".to_owned(),
            epoch: self.datapath.current().unwrap_or(0),
            files: load::policy_files(&live.files),
            host: self.host.clone(),
            default_mode: self.settings.default_mode.word().to_owned(),
        })
    }
}

pub(super) fn nothing() -> Refused {
    Refused { message: "nothing is in force".to_owned(), help: None }
}
