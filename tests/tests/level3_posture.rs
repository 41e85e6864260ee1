//! Labels that are attested for a time, with real traffic: what they allow stops when the time is over, whether the daemon runs or not.

use std::io::{Read, Write};
use std::net::SocketAddr;
use std::os::unix::net::UnixStream;
use std::thread;
use std::time::{Duration, Instant};

use enforcer_tests::{DaemonOptions, Stream, StreamKind, World, documents, policy, world};
use serde_json::{Value, json};

const OK: &str = "{labels: {posture.ok: \"yes\"}}";
const PATIENCE: Duration = Duration::from_secs(30);

/// What an attestation tool does: one request, and the answer's status and document.
fn ask(world: &mut World, method: &str, workload: &str, body: &Value) -> (u16, Value) {
    let mut stream = UnixStream::connect(world.daemon().socket()).unwrap();
    let body = body.to_string();
    write!(
        stream,
        "{method} /v1/posture/{workload} HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )
    .unwrap();
    let mut heard = String::new();
    stream.read_to_string(&mut heard).unwrap();
    let (head, body) = heard.split_once("\r\n\r\n").unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    let document = body.lines().find_map(|line| serde_json::from_str(line).ok());
    (status, document.unwrap_or(Value::Null))
}

#[track_caller]
fn attest(world: &mut World, workload: &str, ttl: &str) {
    let body = json!({"labels": {"posture.ok": "yes"}, "ttl": ttl});
    let (status, told) = ask(world, "PUT", workload, &body);
    assert_eq!((status, &told["schema"]), (200, &"enforcer.posture/v1".into()), "{told}");
}

/// web may talk to checkout, by TCP and by UDP, while its posture is ok.
fn shop(world: &mut World) -> impl Fn() -> std::io::Result<[Stream; 2]> + use<> {
    let (web, checkout) = (world.workload("web", 10), world.workload("checkout", 20));
    let flows = [format!("{OK} -> checkout tcp/443"), format!("{OK} -> checkout udp/443")];
    let rules = policy("shop", "", &[&flows[0], &flows[1]]);
    let options = DaemonOptions::with_policy(&documents(&[&web, &checkout], &[rules]));
    world.start_daemon(options).unwrap();
    move || {
        let tcp = Stream::open(&web, &checkout, false, StreamKind::Tcp, 443)?;
        Ok([tcp, Stream::open(&web, &checkout, true, StreamKind::Udp, 443)?])
    }
}

#[test]
fn e54_what_is_attested_ends_by_its_time_without_the_daemon() {
    let mut world = world!();
    let open = shop(&mut world);
    assert!(open().is_err(), "nothing is attested yet");
    let began = Instant::now();
    attest(&mut world, "web", "8s");
    let streams = open().unwrap();
    let status = world.daemon().status().unwrap();
    let posture = &status["postures"][0];
    assert_eq!((&posture["workload"], &posture["labels"]["posture.ok"]), (&"web".into(), &"yes".into()));
    world.daemon().kill().unwrap();
    Stream::wait(&streams, true, "with no daemon");
    assert!(began.elapsed() < Duration::from_secs(8), "too slow to tell");
    Stream::wait(&streams, false, "past the time, with no daemon");
    assert!(began.elapsed() >= Duration::from_millis(7_900));
    world.daemon().restart().unwrap();
    let status = world.daemon().status().unwrap();
    assert!(status["postures"].is_null(), "{}", status["postures"]);
    Stream::wait(&streams, false, "after the restart");
    attest(&mut world, "web", "1h");
    Stream::wait(&streams, true, "once it is attested again");
    let (status, told) = ask(&mut world, "DELETE", "web", &Value::Null);
    assert_eq!((status, told["until"].is_null()), (200, true), "{told}");
    Stream::wait(&streams, false, "taken away at once");
}

#[test]
fn renewals_disturb_nothing() {
    let mut world = world!();
    let open = shop(&mut world);
    let ttl = Duration::from_secs(6);
    attest(&mut world, "web", "6s");
    let streams = open().unwrap();
    let began = Instant::now();
    let lost = streams[0].lost();
    while began.elapsed() < 2 * ttl {
        let said =
            world.daemon().enforcer(&["posture", "web", "--set", "posture.ok=yes", "--for", "6s"]).unwrap();
        assert_eq!(said.code, Some(0), "{said:?}");
        Stream::wait(&streams, true, "between renewals");
    }
    assert_eq!(streams[0].lost(), lost, "segments were lost on the way");
    let records = world.daemon().records().unwrap();
    let denied: Vec<&Value> = records.iter().filter(|record| record["verdict"] == "denied").collect();
    assert!(denied.is_empty(), "{denied:#?}");
    let shown: Vec<&Value> = records.iter().filter(|one| one["source"]["workload"] == "web").collect();
    assert!(!shown.is_empty() && shown.iter().all(|one| one["source"]["labels"]["posture.ok"] == "yes"));
    let said = world.daemon().enforcer(&["posture", "web", "--clear"]).unwrap();
    assert!(said.stdout.starts_with("nothing is attested of `web`, epoch "), "{said:?}");
    Stream::wait(&streams, false, "cleared");
}

/// At their sockets, and at both ends of a flow.
#[test]
fn what_is_attested_of_services_ends_without_the_daemon() {
    let mut world = world!();
    let unit = |name: &str| {
        format!(
            "---\napiVersion: enforcer.dev/v1alpha1\nkind: Workload\nmetadata: {{name: {name}}}\n\
             spec: {{labels: {{app: {name}}}, match: [{{unit: {name}.service}}]}}\n"
        )
    };
    let mut services = ["a", "b"].map(|name| world.resident(&format!("system.slice/{name}.service")));
    let to: SocketAddr = "127.0.0.1:5000".parse().unwrap();
    services[1].serve(to);
    let rule =
        policy("attested", "", &[&format!("{OK} -> {OK} tcp/5000"), &format!("{OK} -> {OK} udp/5000")]);
    let text = ["a", "b"].map(unit).concat() + &rule;
    world.start_daemon(DaemonOptions::with_policy(&text)).unwrap();
    let [a, _b] = &mut services;
    assert!(!a.tcp(to) && !a.udp(to), "nothing is attested");
    attest(&mut world, "a", "1h");
    assert!(!a.tcp(to) && !a.udp(to), "the other end isn't attested");
    attest(&mut world, "b", "6s");
    let until = Instant::now() + Duration::from_secs(6);
    assert!(a.tcp(to) && a.udp(to), "both ends are");
    world.daemon().kill().unwrap();
    while a.tcp(to) || a.udp(to) {
        assert!(Instant::now() < until + PATIENCE, "it doesn't end");
        thread::sleep(Duration::from_millis(100));
    }
    assert!(Instant::now() >= until - Duration::from_millis(100), "it ended early");
    world.daemon().restart().unwrap();
    assert!(!a.tcp(to), "after the restart");
    attest(&mut world, "b", "1h");
    assert!(a.tcp(to) && a.udp(to), "a's posture outlived the restart");
}

#[test]
fn what_is_no_posture_is_refused() {
    let mut world = world!();
    let _open = shop(&mut world);
    let ok = json!({"labels": {"posture.ok": "yes"}, "ttl": "1m"});
    for (method, workload, body, status, message) in [
        ("PUT", "wev", ok.clone(), 422, "there is no workload `wev`"),
        (
            "PUT",
            "web",
            json!({"labels": {"app": "checkout"}, "ttl": "1m"}),
            422,
            "`app` isn't below `posture.`",
        ),
        (
            "PUT",
            "web",
            json!({"labels": {"posture.ok": "yes"}}),
            422,
            "labels without a `ttl` would hold for good",
        ),
        ("PUT", "web", json!({"labels": {"posture.ok": "yes"}, "ttl": "2d"}), 422, "`2d` is no time to live"),
        ("PUT", "web", json!(7), 400, "the request's body isn't what is asked for"),
        ("PUT", "", ok.clone(), 400, "the path names no workload"),
        ("POST", "web", ok, 405, "this is asked for with `PUT` or `DELETE`"),
    ] {
        let (code, told) = ask(&mut world, method, workload, &body);
        assert_eq!(code, status, "{told}");
        assert!(told["message"].as_str().unwrap().starts_with(message), "{told}");
    }
    let said =
        world.daemon().enforcer(&["posture", "wev", "--set", "posture.ok=yes", "--for", "1m"]).unwrap();
    assert_eq!(said.code, Some(2));
    assert!(said.stderr.contains("did you mean `web`?"), "{}", said.stderr);
}
