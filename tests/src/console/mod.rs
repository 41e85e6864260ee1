//! Documents whose commands are run and whose outputs are compared, so that they can't come to say what isn't so.
//!
//! A fenced `console` block holds commands after `$ `, each followed by what it prints, both streams in one. A fenced `yaml` block that
//! begins with `# <name>.yaml` is that file, saved before what comes after it. `compare` says what may differ from run to run.
//!
//! `enforcer observe` and `enforcer status` tell what has happened meanwhile, and a busy machine takes its time: where they differ from what is
//! shown they are asked again, for [`PATIENCE`].
//!
//! A command that fails has to be followed by `$ echo $?`, so that the document says so.

mod compare;
mod document;
mod session;

use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

pub use compare::{Difference, compare};
pub use document::{Document, Step};
use session::Session;

/// How long what is counted may take to be told.
pub const PATIENCE: Duration = Duration::from_secs(10);
const AGAIN: Duration = Duration::from_millis(200);
const MEANWHILE: [&str; 2] = ["enforcer observe ", "enforcer status"];

/// How a document's steps came out.
#[derive(Debug)]
pub struct Outcome {
    /// Outputs that differ from what is shown, and commands that failed without a word: all of them, for people.
    pub faults: Vec<String>,
    /// The document with outputs that are true.
    pub text: String,
}

/// Runs all steps in one shell, in `desk`.
pub fn run(document: &Document, shell: Command, desk: &Path) -> Result<Outcome> {
    let mut session = Session::start(shell)?;
    let (mut faults, mut outputs) = (Vec::new(), Vec::new());
    let mut steps = document.steps().iter().peekable();
    while let Some(step) = steps.next() {
        let (line, command, expected) = match step {
            Step::File { name, text } => {
                std::fs::write(desk.join(name), text).with_context(|| format!("cannot write `{name}`"))?;
                continue;
            }
            Step::Command { line, command, output } => (*line, command, output),
        };
        let mut ask = || session.run(command).with_context(|| format!("line {line}: `{command}`"));
        let (mut came, mut code) = ask()?;
        let asked = Instant::now();
        while MEANWHILE.iter().any(|start| command.starts_with(start))
            && compare(expected, &came).is_err()
            && asked.elapsed() < PATIENCE
        {
            thread::sleep(AGAIN);
            (came, code) = ask()?;
        }
        if let Err(difference) = compare(expected, &came) {
            faults.push(format!("line {line}: `{command}`\n{difference}"));
        }
        let tells = matches!(steps.peek(), Some(Step::Command { command, .. }) if command == "echo $?");
        if code != 0 && !tells {
            let said = came.join("\n");
            faults.push(format!(
                "line {line}: `{command}` exits with {code}, and the document doesn't say so\n{said}"
            ));
        }
        outputs.push(came);
    }
    if outputs.is_empty() {
        bail!("the document has no command");
    }
    Ok(Outcome { faults, text: document.with_outputs(&outputs) })
}
