//! Long work on a thread of its own, while the engine goes on with what can't wait: devices that come and go, and `status`.

use super::{Engine, Message, Noticed};
use crate::daemon::notify;
use std::sync::mpsc::RecvTimeoutError;
use std::thread;

/// The work ended without a result: it has a mistake of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the work on this set failed inside the enforcer itself, which is a mistake in it")]
pub(super) struct Broke;

impl Engine {
    /// Does `work` on a thread of its own. Messages that change what the work is about wait until it is done.
    pub(super) fn aside<T: Send + 'static>(
        &mut self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Broke> {
        /// Wakes the engine when the work ends, even by a panic.
        struct Bell(super::Handle);
        impl Drop for Bell {
            fn drop(&mut self) {
                // An engine that has ended waits for nothing.
                let _ = self.0.send(Message::Done);
            }
        }
        let bell = Bell(self.handle.clone());
        let worker = thread::Builder::new().name("work".to_owned()).spawn(move || {
            let _bell = bell;
            work()
        });
        let worker = worker.map_err(|_| Broke)?;
        loop {
            let patience = self.every.min(self.tampering.due_in());
            match self.messages.recv_timeout(patience) {
                Ok(Noticed { message: Message::Done, .. }) => break,
                Ok(Noticed {
                    message:
                        message @ (Message::LinkUp(_)
                        | Message::LinkGone(_)
                        | Message::Status(_)
                        | Message::Quarantine { .. }
                        | Message::Exceeded(_)
                        | Message::Release { .. }
                        | Message::Metrics(_)),
                    at,
                }) => {
                    let work = std::mem::replace(&mut self.noticed, at);
                    // None of them ends the engine.
                    let _ = self.take(message);
                    self.noticed = work;
                }
                Ok(later) => self.waiting.push_back(later),
                Err(RecvTimeoutError::Timeout) => notify::alive(),
                Err(RecvTimeoutError::Disconnected) => break,
            }
            self.inspect_in_time();
        }
        self.untidy = true;
        worker.join().map_err(|_| Broke)
    }
}
