//! What `explain` is asked.

use crate::daemon::engine::Refused;
use crate::protocol::ExplainRequest;
use crate::selection;
use enforcer_policy::explain::single_port;
use enforcer_policy::model::{Endpoint, PortSpec};

/// A flow that is asked about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Question {
    /// Who opens it.
    pub(crate) from: Endpoint,
    /// Who is reached.
    pub(crate) to: Endpoint,
    /// IP protocol number.
    pub(crate) protocol: u8,
    /// Port; `type * 256 + code` for ICMP.
    pub(crate) port: u16,
}

impl Question {
    /// Reads what was asked.
    pub(crate) fn parse(request: &ExplainRequest) -> Result<Self, Refused> {
        let end = |text: &str| {
            selection::parse(text)
                .map_err(|error| Refused { message: error.to_string(), help: Some(error.help().to_owned()) })
        };
        let spec = request.port.parse::<PortSpec>();
        let spec = spec.map_err(|error| Refused { message: error.message, help: Some(error.help) })?;
        let Some((protocol, port)) = single_port(&spec) else {
            let message = format!("`{spec}` is more than one port");
            return Err(Refused { message, help: Some("a flow has one: for example `tcp/5432`".to_owned()) });
        };
        Ok(Self { from: end(&request.from)?, to: end(&request.to)?, protocol, port })
    }
}
