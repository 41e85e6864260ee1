//! The last good set back in force, from disk alone: what a machine that starts does before its network is up.

use super::{Engine, Link};
use crate::daemon::state::LastGood;
use crate::protocol::Finding;
use enforcer_policy::compile::Numbers;
use std::net::IpAddr;

impl Engine {
    /// Puts a set in force that was good, and looks at nothing else: no policy file, no source. Returns how many of the devices
    /// that are there are hooked.
    pub fn restore(
        &mut self,
        good: &LastGood<Numbers>,
        links: Vec<Link>,
        host: Vec<IpAddr>,
    ) -> Result<usize, Vec<Finding>> {
        for link in links {
            self.link_up(link);
        }
        self.host = host;
        self.go_on_from(good);
        self.put_back(good)?;
        // It is kept as it was: there is nothing new to keep.
        self.unkept = None;
        Ok(self.interfaces.attached())
    }
}
