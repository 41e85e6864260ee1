//! A terminal with a program on it: what it shows, keys, and how the program leaves it.

use std::fs::File;
use std::io::{self, Read, Write};
use std::num::NonZero;
use std::os::fd::OwnedFd;
use std::process::{Child, Command, ExitStatus};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use rustix::fs::{Mode, OFlags, open};
use rustix::process::{Pid, Signal, kill_process};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{LocalModes, Termios, Winsize, tcgetattr, tcsetwinsize};
use vt100::Parser;

/// What has to come may take this long.
const PATIENCE: Duration = Duration::from_secs(30);

/// A terminal, its program, and whoever sits before it.
pub struct Terminal {
    child: Child,
    keyboard: Option<File>,
    /// Held, so that it can be asked also after the program.
    program_side: OwnedFd,
    screen: Arc<Mutex<Parser>>,
    before: Termios,
}

impl Terminal {
    /// Starts `command` on a terminal of this size.
    pub fn start(command: &Command, columns: u16, rows: u16) -> io::Result<Self> {
        let keyboard = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC)?;
        grantpt(&keyboard)?;
        unlockpt(&keyboard)?;
        let name = ptsname(&keyboard, Vec::new())?;
        let program_side = open(&name, OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC, Mode::empty())?;
        tcsetwinsize(&program_side, size(columns, rows))?;
        let before = tcgetattr(&program_side)?;
        // It becomes the program, and the terminal is told of: without that nobody hears of another size.
        let mut on_it = Command::new("setsid");
        on_it.arg("--ctty").arg(command.get_program()).args(command.get_args()).env("TERM", "xterm-256color");
        for (name, value) in command.get_envs() {
            if let Some(value) = value {
                on_it.env(name, value);
            }
        }
        let side = || program_side.try_clone();
        let child = on_it.stdin(side()?).stdout(side()?).stderr(side()?).spawn()?;
        let screen = Arc::new(Mutex::new(Parser::new(at_least_one(rows), at_least_one(columns), 0)));
        let (mut written, seen) = (File::from(keyboard.try_clone()?), Arc::clone(&screen));
        thread::spawn(move || {
            let mut bytes = [0; 4_096];
            // Ends with the program's side.
            while let Ok(count @ 1..) = written.read(&mut bytes) {
                seen.lock().unwrap_or_else(PoisonError::into_inner).process(&bytes[..count]);
            }
        });
        Ok(Self { child, keyboard: Some(keyboard.into()), program_side, screen, before })
    }

    /// Presses keys.
    ///
    /// # Panics
    ///
    /// Where the terminal doesn't take them.
    pub fn press(&mut self, keys: &str) {
        let keyboard = self.keyboard.as_mut().expect("there is somebody before it");
        keyboard.write_all(keys.as_bytes()).expect("the terminal takes keys");
    }

    /// Gives it another size.
    ///
    /// # Panics
    ///
    /// Where that can't be.
    pub fn resize(&self, columns: u16, rows: u16) {
        let mut screen = self.screen.lock().unwrap_or_else(PoisonError::into_inner);
        screen.screen_mut().set_size(at_least_one(rows), at_least_one(columns));
        tcsetwinsize(&self.program_side, size(columns, rows)).expect("the terminal takes a size");
    }

    /// What it shows.
    #[must_use]
    pub fn screen(&self) -> String {
        self.screen.lock().unwrap_or_else(PoisonError::into_inner).screen().contents()
    }

    /// Waits until what it shows `holds`, and returns that.
    ///
    /// # Panics
    ///
    /// Where it never does.
    #[track_caller]
    pub fn shows(&mut self, what: &str, holds: impl Fn(&str) -> bool) -> String {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let screen = self.screen();
            if holds(&screen) {
                return screen;
            }
            let ended = self.child.try_wait();
            assert!(Instant::now() < deadline, "never: {what} (ended: {ended:?})\n{screen}");
            thread::sleep(Duration::from_millis(50));
        }
    }

    /// Whether the program has the keys to itself, on a screen of its own.
    #[must_use]
    pub fn is_taken(&self) -> bool {
        let own_screen = {
            let parser = self.screen.lock().unwrap_or_else(PoisonError::into_inner);
            parser.screen().alternate_screen()
        };
        let modes = tcgetattr(&self.program_side).map(|termios| termios.local_modes);
        own_screen && modes.is_ok_and(|modes| !modes.intersects(LocalModes::ICANON | LocalModes::ECHO))
    }

    /// Whether everything is as it was before the program.
    #[must_use]
    pub fn is_given_back(&self) -> bool {
        let parser = self.screen.lock().unwrap_or_else(PoisonError::into_inner);
        let (screen, now) = (parser.screen(), tcgetattr(&self.program_side));
        let modes = |termios: &Termios| {
            (termios.local_modes, termios.input_modes, termios.output_modes, termios.control_modes)
        };
        !screen.alternate_screen()
            && !screen.hide_cursor()
            && now.is_ok_and(|now| modes(&now) == modes(&self.before))
    }

    /// Sends the program a signal.
    ///
    /// # Panics
    ///
    /// Where it can't be.
    pub fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(self.child.id().cast_signed()).expect("it has an id");
        kill_process(pid, signal).expect("it can be signalled");
    }

    /// Waits for the program's end.
    ///
    /// # Panics
    ///
    /// Where it doesn't end.
    #[track_caller]
    pub fn ends(&mut self) -> ExitStatus {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.child.try_wait().expect("it can be waited for") {
                return status;
            }
            assert!(Instant::now() < deadline, "it doesn't end:\n{}", self.screen());
            thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // It may have ended.
        drop((self.child.kill(), self.child.wait()));
    }
}

fn at_least_one(cells: u16) -> NonZero<u16> {
    NonZero::new(cells).unwrap_or(NonZero::<u16>::MIN)
}

fn size(columns: u16, rows: u16) -> Winsize {
    Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 }
}
