//! Debug lines of the kernel programs, in builds whose programs have them (feature `kernel-log`).

use std::thread;
use std::time::Duration;

use aya::Ebpf;
use aya_log::EbpfLogger;

use crate::datapath::DatapathError;

/// How often the lines are fetched.
const PERIOD: Duration = Duration::from_millis(100);

/// Carries the lines into the daemon's log for as long as the process lives. Has to be called before the programs are loaded.
pub(super) fn forward(ebpf: &mut Ebpf) -> Result<(), DatapathError> {
    let logger = EbpfLogger::init(ebpf);
    let mut logger = logger
        .map_err(|error| DatapathError::caused("cannot read the kernel programs' debug lines", error))?;
    let reader = thread::Builder::new().name("kernel-log".into());
    let started = reader.spawn(move || {
        loop {
            logger.flush();
            thread::sleep(PERIOD);
        }
    });
    started.map(drop).map_err(|error| DatapathError::caused("cannot start the reader of debug lines", error))
}
