//! A shell that takes commands one by one.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

/// No command of a document takes nearly as long.
const LONGEST: Duration = Duration::from_secs(120);
/// No command prints a line that begins like this.
const MARK: &str = "\u{1}exit code ";

/// A running shell. Ended on drop.
#[derive(Debug)]
pub(super) struct Session {
    child: Child,
    stdin: ChildStdin,
    lines: Receiver<String>,
}

impl Session {
    pub(super) fn start(mut shell: Command) -> Result<Self> {
        let mut child = shell
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .context("cannot run the shell")?;
        let mut stdin = child.stdin.take().context("the shell has no stdin")?;
        let stdout = child.stdout.take().context("the shell has no stdout")?;
        // Both streams in one, in the order in which they are written, as on a terminal.
        writeln!(stdin, "exec 2>&1").context("cannot write to the shell")?;
        let (sender, lines) = channel();
        thread::spawn(move || {
            BufReader::new(stdout).lines().map_while(Result::ok).all(|line| sender.send(line).is_ok())
        });
        Ok(Self { child, stdin, lines })
    }

    /// Runs a command; returns what it printed, and its exit code.
    pub(super) fn run(&mut self, command: &str) -> Result<(Vec<String>, i32)> {
        // What the command prints may end within a line. `$?` is left as it was.
        writeln!(self.stdin, "{command}\ncode=$?; printf '\\n{MARK}%s\\n' $code; (exit $code)")
            .context("cannot write to the shell")?;
        let start = Instant::now();
        let mut printed: Vec<String> = Vec::new();
        loop {
            let Ok(line) = self.lines.recv_timeout(LONGEST.saturating_sub(start.elapsed())) else {
                bail!("the shell has ended or takes more than {LONGEST:?}; so far:\n{}", printed.join("\n"));
            };
            if let Some(code) = line.strip_prefix(MARK) {
                if printed.last().is_some_and(String::is_empty) {
                    printed.pop();
                }
                return Ok((printed, code.parse().context("an exit code is a number")?));
            }
            printed.push(line.trim_end().to_owned());
        }
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _gone = self.child.kill();
        let _reaped = self.child.wait();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_share_a_shell_and_have_their_output_and_code() {
        let mut session = Session::start(Command::new("bash")).unwrap();
        assert_eq!(
            session.run("x=7; echo one; echo two >&2").unwrap(),
            (vec!["one".into(), "two".into()], 0)
        );
        assert_eq!(session.run("printf $x; false").unwrap(), (vec!["7".into()], 1));
        assert_eq!(session.run("echo $?").unwrap(), (vec!["1".into()], 0));
        assert_eq!(session.run("echo; echo").unwrap(), (vec![String::new(), String::new()], 0));
        assert_eq!(session.run("true").unwrap(), (Vec::new(), 0));
    }
}
