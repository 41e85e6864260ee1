//! A browser without a window, driven through the DevTools protocol on a pair of pipes.

use serde_json::{Value, json};
use std::env;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// An answer that takes longer won't come.
const PATIENCE: Duration = Duration::from_secs(120);
/// Programs that are Chromium, and where they are looked for.
const NAMES: [&str; 3] = ["chromium", "chromium-browser", "google-chrome"];

/// Where the browser is, if there is one.
pub(crate) fn find() -> Option<PathBuf> {
    let path = env::var_os("PATH")?;
    let places = env::split_paths(&path).flat_map(|dir| NAMES.map(|name| dir.join(name)));
    places.into_iter().find(|place| place.is_file())
}

/// A page in a browser of its own.
pub(crate) struct Tab {
    child: Child,
    to: Option<ChildStdin>,
    from: Receiver<Value>,
    session: Option<String>,
    calls: u64,
    /// What the browser told without being asked.
    pub(crate) events: Vec<Value>,
    dir: TempDir,
}

impl Tab {
    /// Starts a browser with nothing in it.
    pub(crate) fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let log = fs::File::create(dir.path().join("log")).unwrap();
        let mut child = Command::new("sh")
            // It reads from descriptor 3 and writes to 4.
            .args(["-c", "exec \"$0\" \"$@\" 3<&0 4>&1 0</dev/null 1>/dev/null"])
            .arg(find().unwrap())
            .args(["--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"])
            .args(["--disable-background-networking", "--disable-extensions", "--no-first-run"])
            // Whatever it asks for by name goes nowhere.
            .args(["--host-resolver-rules=MAP * ~NOTFOUND", "--remote-debugging-pipe"])
            .arg(format!("--user-data-dir={}", dir.path().join("profile").display()))
            .arg("about:blank")
            .env("HOME", dir.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .unwrap();
        let stdout = child.stdout.take().unwrap();
        let (send, from) = channel();
        thread::spawn(move || {
            for message in BufReader::new(stdout).split(0).map_while(Result::ok) {
                if send.send(serde_json::from_slice(&message).unwrap()).is_err() {
                    break;
                }
            }
        });
        let to = child.stdin.take();
        let mut tab = Self { child, to, from, session: None, calls: 0, events: Vec::new(), dir };
        let target = tab.call("Target.createTarget", &json!({"url": "about:blank"}));
        let attach = json!({"targetId": target["targetId"], "flatten": true});
        tab.session =
            Some(tab.call("Target.attachToTarget", &attach)["sessionId"].as_str().unwrap().to_owned());
        for domain in ["Page", "Network", "Log", "Runtime"] {
            tab.call(&format!("{domain}.enable"), &json!({}));
        }
        tab
    }

    /// Asks for something and waits for the answer.
    pub(crate) fn call(&mut self, method: &str, parameters: &Value) -> Value {
        self.calls += 1;
        let mut call = json!({"id": self.calls, "method": method, "params": parameters});
        if let Some(session) = &self.session {
            call["sessionId"] = json!(session);
        }
        let to = self.to.as_mut().unwrap();
        to.write_all(call.to_string().as_bytes()).and_then(|()| to.write_all(&[0])).unwrap();
        loop {
            let message = self.next(method);
            if message["id"] != json!(self.calls) {
                self.events.push(message);
            } else if message["error"].is_null() {
                return message["result"].clone();
            } else {
                panic!("{method}: {}", message["error"]);
            }
        }
    }

    fn next(&mut self, awaited: &str) -> Value {
        self.from.recv_timeout(PATIENCE).unwrap_or_else(|error| {
            let log = fs::read_to_string(self.dir.path().join("log")).unwrap_or_default();
            panic!("{awaited}: {error}; the browser said:\n{log}")
        })
    }

    /// Opens this text as a file and waits until it is loaded.
    pub(crate) fn open(&mut self, page: &str) {
        let path = self.dir.path().join("page.html");
        fs::write(&path, page).unwrap();
        self.events.clear();
        self.call("Page.navigate", &json!({"url": format!("file://{}", path.display())}));
        while self.told("Page.loadEventFired").is_empty() {
            let message = self.next("the page's load");
            self.events.push(message);
        }
    }

    /// Events with this name so far.
    pub(crate) fn told(&self, method: &str) -> Vec<&Value> {
        self.events.iter().filter(|event| event["method"] == method).map(|event| &event["params"]).collect()
    }

    /// The value of an expression in the page.
    pub(crate) fn evaluate(&mut self, expression: &str) -> Value {
        let asked = json!({"expression": expression, "returnByValue": true, "awaitPromise": true});
        let answer = self.call("Runtime.evaluate", &asked);
        assert!(answer["exceptionDetails"].is_null(), "{expression}: {}", answer["exceptionDetails"]);
        answer["result"]["value"].clone()
    }

    /// Presses and releases a key.
    pub(crate) fn press(&mut self, key: &str) {
        let (code, text) = match key {
            "Tab" => (9, ""),
            "Enter" => (13, "\r"),
            " " => (32, " "),
            other => panic!("no key `{other}` here"),
        };
        let name = if key == " " { "Space" } else { key };
        let mut event = json!({"type": "keyDown", "key": key, "code": name, "windowsVirtualKeyCode": code});
        if !text.is_empty() {
            event["text"] = json!(text);
        }
        self.call("Input.dispatchKeyEvent", &event);
        event["type"] = json!("keyUp");
        self.call("Input.dispatchKeyEvent", &event);
    }

    /// Moves on with the Tab key until this holds of `at`, the element that has the focus.
    pub(crate) fn tab_to(&mut self, condition: &str) {
        for _ in 0..200 {
            self.press("Tab");
            if self.evaluate(&format!("(at => {condition})(document.activeElement)")) == json!(true) {
                return;
            }
        }
        panic!("the Tab key never comes to where {condition}");
    }

    /// A picture for people, where `ENFORCER_SCREENSHOTS` names a directory.
    pub(crate) fn picture(&mut self, name: &str) {
        use base64::Engine;
        let Some(dir) = env::var_os("ENFORCER_SCREENSHOTS") else { return };
        let asked = json!({"format": "png", "captureBeyondViewport": true});
        let data = self.call("Page.captureScreenshot", &asked)["data"].as_str().unwrap().to_owned();
        let bytes = base64::engine::general_purpose::STANDARD.decode(data).unwrap();
        fs::write(Path::new(&dir).join(name), bytes).unwrap();
    }
}

impl Drop for Tab {
    fn drop(&mut self) {
        // It ends when nobody drives it any more.
        drop(self.to.take());
        let end = Instant::now() + Duration::from_secs(10);
        while Instant::now() < end {
            if matches!(self.child.try_wait(), Ok(Some(_))) {
                return;
            }
            thread::sleep(Duration::from_millis(20));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
