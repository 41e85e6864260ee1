//! Who may use the control socket, also where somebody changed its mode.

use std::fs::{self, Permissions};
use std::io::{ErrorKind, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::thread;
use std::time::Duration;

use enforcer_tests::{DaemonOptions, world};
use rustix::fs::Uid;
use rustix::thread::set_thread_res_uid;

const ROOT: Uid = Uid::ROOT;
const NOBODY: u32 = 65_534;
const PATIENCE: Duration = Duration::from_secs(10);

/// What the daemon answers a request from this user, or why it can't be asked.
fn answer(socket: &Path, user: Uid) -> Result<String, ErrorKind> {
    // The user is this thread's alone, and ends with it.
    let ask = || {
        set_thread_res_uid(user, user, user).unwrap();
        let mut stream = UnixStream::connect(socket).map_err(|error| error.kind())?;
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        // Who is hung up on may be so before all of it is written.
        let _ = stream.write_all(b"GET /v1/status HTTP/1.1\r\nhost: x\r\n\r\n");
        let mut heard = String::new();
        match stream.read_to_string(&mut heard) {
            Err(error) if error.kind() != ErrorKind::ConnectionReset => {
                panic!("it isn't hung up on: {error}")
            }
            _ => Ok(heard),
        }
    };
    thread::scope(|scope| scope.spawn(ask).join().unwrap())
}

#[test]
fn only_root_is_answered_even_where_the_socket_is_open_to_all() {
    let mut world = world!();
    let daemon = world.start_daemon(DaemonOptions::default()).unwrap();
    let socket = daemon.socket();
    assert_eq!(
        answer(&socket, Uid::from_raw(NOBODY)),
        Err(ErrorKind::PermissionDenied),
        "the mode keeps others out"
    );
    fs::set_permissions(&socket, Permissions::from_mode(0o666)).unwrap();
    let refused = "refused a client of the control socket";
    assert!(!daemon.log_tail(usize::MAX).contains(refused));
    assert_eq!(answer(&socket, Uid::from_raw(NOBODY)), Ok(String::new()), "not one byte");
    assert!(daemon.log_tail(usize::MAX).contains(refused), "{}", daemon.log_tail(20));
    let told = answer(&socket, ROOT).unwrap();
    assert!(told.starts_with("HTTP/1.1 200") && told.contains("enforcer.status/v1"), "{told}");
}
