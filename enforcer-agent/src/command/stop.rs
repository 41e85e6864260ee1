//! `enforcer stop`.

use super::{Failure, SocketArgs, daemon};
use crate::client::call;
use crate::daemon::config::{Overrides, Settings};
use crate::exit::Exit;
use crate::kernel;
use crate::output::{Format, OutputArgs, Printer};
use crate::protocol::{StopReply, StopRequest};
use anyhow::bail;
use hyper::Method;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// The daemon writes down what is in force before it ends.
const PATIENCE: Duration = Duration::from_secs(10);

/// End the daemon; what it enforces stays enforced
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  enforcer stop\n  enforcer stop --detach")]
pub(super) struct Args {
    /// Take all programs, links and maps away: nothing is enforced afterwards. Works without a daemon too
    #[arg(long)]
    detach: bool,
    /// Directory of the pins that a daemon left which isn't there any more; with --detach
    #[arg(long, value_name = "DIR", env = "ENFORCER_BPFFS", requires = "detach")]
    bpffs: Option<PathBuf>,
    #[command(flatten)]
    output: OutputArgs,
    #[command(flatten)]
    socket: SocketArgs,
}

pub(super) fn run(args: Args) -> Result<Exit, Failure> {
    let socket = args.socket.path();
    let request = StopRequest { detach: args.detach };
    if args.detach && !answered(&socket) {
        let overrides = Overrides { bpffs: args.bpffs, ..Overrides::default() };
        let settings = Settings::load(None, overrides).map_err(anyhow::Error::from)?;
        return tell(args.output.format, &take_away(&settings.bpffs)?);
    }
    let reply: StopReply = daemon::converse(async {
        let reply = call(&socket, Method::POST, "/v1/stop", Some(&request)).await?;
        let began = Instant::now();
        while tokio::net::UnixStream::connect(&socket).await.is_ok() {
            if began.elapsed() > PATIENCE {
                bail!("the daemon was told to stop and still answers");
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        Ok(reply)
    })?;
    tell(args.output.format, &reply)
}

/// Whether somebody is there to be asked.
fn answered(socket: &Path) -> bool {
    match std::os::unix::net::UnixStream::connect(socket) {
        Ok(_) => true,
        // Whoever may not ask isn't told that nobody is there.
        Err(error) => !matches!(error.kind(), ErrorKind::NotFound | ErrorKind::ConnectionRefused),
    }
}

/// What a daemon left that isn't there any more. Where there are no pins, nothing is touched: not even a file system is mounted.
fn take_away(bpffs: &Path) -> Result<StopReply, Failure> {
    if bpffs.exists() {
        kernel::remove_pins(bpffs).map_err(|errors| {
            let told: Vec<String> = errors.iter().map(ToString::to_string).collect();
            let help = errors.iter().find_map(|error| error.help().map(str::to_owned));
            Failure { help, ..Failure::from(anyhow::anyhow!(told.join("; "))) }
        })?;
    }
    Ok(StopReply { schema: "enforcer.stop/v1".to_owned(), detached: true })
}

fn tell(format: Format, reply: &StopReply) -> Result<Exit, Failure> {
    let mut out = Printer::new(format);
    match format {
        Format::Human if reply.detached => out.line("stopped: nothing is enforced any more")?,
        Format::Human => out.line("stopped: what was enforced stays enforced")?,
        Format::Json | Format::Jsonl => out.document(reply)?,
    }
    out.flush()?;
    Ok(Exit::Yes)
}
