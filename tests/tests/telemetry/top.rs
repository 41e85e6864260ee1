//! `enforcer top`, on a terminal.

use enforcer_tests::{Terminal, World, world};
use rustix::process::Signal;
use serde_json::Value;

use super::records::wait;
use super::{ALLOWED, FORBIDDEN, send, shop};

fn top(world: &mut World, arguments: &[&str]) -> Terminal {
    let command = world.daemon().command_here(&[&["top"], arguments].concat());
    Terminal::start(&command, 120, 30).unwrap()
}

/// The line of the screen that has all of these.
fn line<'a>(screen: &'a str, words: &[&str]) -> Option<&'a str> {
    screen.lines().find(|line| words.iter().all(|word| line.contains(word)))
}

pub(crate) fn top_shows_what_happens() {
    let mut world = world!();
    let (web, db) = shop(&mut world, &[]);
    send(&web, &db, FORBIDDEN, 3);
    send(&web, &db, ALLOWED, 30);
    let mut terminal = top(&mut world, &[]);
    let (web4, db4) = (format!("web {}", web.v4()), format!("db {}", db.v4()));
    let denied = ["denied", "egress", &web4, &db4, "udp/8126", "no-rule"];
    let screen = terminal.shows("flows", |screen| {
        let allowed = |hook| line(screen, &["allowed", hook, &web4, &db4, "udp/8125", "shop#0"]).is_some();
        allowed("egress") && allowed("ingress") && line(screen, &denied).is_some()
    });
    assert!(screen.starts_with("enforcer  enforcing  epoch "), "{screen}");
    assert!(line(&screen, &denied).unwrap().starts_with("      3 "), "{screen}");
    assert!(terminal.is_taken());

    send(&web, &db, FORBIDDEN, 4);
    terminal
        .shows("what comes", |screen| line(screen, &denied).is_some_and(|line| line.starts_with("      7 ")));
    terminal.press("2");
    let screen = terminal.shows("rules", |screen| screen.contains("[2 rules]"));
    let rule: Vec<&str> = line(&screen, &["shop#0"]).unwrap().split_whitespace().collect();
    // 30 datagrams at two hooks, of two flows.
    assert_eq!((rule[1], rule[4]), ("60", "2"), "{screen}");
    terminal.press("3");
    terminal.shows("denies", |screen| screen.contains("[3 denies]") && line(screen, &["shop#0"]).is_none());

    terminal.press("1/verdict=allowed port=udp\r");
    let screen = terminal.shows("a filter", |screen| {
        screen.contains("only verdict=allowed port=udp") && line(screen, &["shop#0"]).is_some()
    });
    assert!(!screen.contains("denied "), "{screen}");
    terminal.press("/ port=tcp/x\r");
    terminal.shows("what is wrong with it", |screen| screen.contains("`tcp/x` is not a port"));
    terminal.press("\u{1b}");
    terminal.shows("that it was left", |screen| screen.contains("q quit"));

    for (columns, rows) in [(1, 1), (2, 40), (300, 2), (20, 5), (120, 30)] {
        terminal.resize(columns, rows);
        terminal.shows("another size", |screen| {
            let first = screen.lines().next().unwrap_or_default();
            let longest = usize::from(columns);
            (columns > 8 && first.starts_with("enforcer") || !first.is_empty())
                && first.chars().count() <= longest
        });
    }
    terminal.press("\u{c}");
    terminal.shows("everything again", |screen| screen.contains("q quit  tab view"));
    terminal.press("q");
    assert_eq!(terminal.ends().code(), Some(0));
    wait("the terminal is as it was", || terminal.is_given_back());
}

pub(crate) fn top_outlives_the_daemon() {
    let mut world = world!();
    let (web, db) = shop(&mut world, &[]);
    send(&web, &db, FORBIDDEN, 3);
    let mut terminal = top(&mut world, &["--verdict", "denied"]);
    let denied = ["denied", "egress", "udp/8126"];
    terminal.shows("a flow", |screen| line(screen, &denied).is_some());
    world.daemon().kill().unwrap();
    let screen = terminal.shows("that it has gone", |screen| screen.contains("could not reach the daemon"));
    assert!(line(&screen, &denied).is_some(), "what it told stays: {screen}");
    world.daemon().restart().unwrap();
    terminal.shows("another, which remembers nothing", |screen| {
        screen.starts_with("enforcer  enforcing") && line(screen, &denied).is_none()
    });
    send(&web, &db, FORBIDDEN, 2);
    terminal.shows("what it tells, once", |screen| {
        line(screen, &denied).is_some_and(|line| line.starts_with("      2 "))
    });
    terminal.press("\u{3}");
    assert_eq!(terminal.ends().code(), Some(0));
    wait("the terminal is as it was", || terminal.is_given_back());
}

pub(crate) fn top_gives_the_terminal_back() {
    let mut world = world!();
    let _shop = shop(&mut world, &[]);
    for signal in [Signal::TERM, Signal::INT, Signal::HUP] {
        let mut terminal = top(&mut world, &[]);
        terminal.shows("the screen", |screen| screen.contains("q quit"));
        assert!(terminal.is_taken());
        terminal.signal(signal);
        assert_eq!(terminal.ends().code(), Some(0), "{signal:?}");
        wait("the terminal is as it was", || terminal.is_given_back());
    }
    world.daemon().terminate().unwrap();
    let mut terminal = top(&mut world, &[]);
    assert_eq!(terminal.ends().code(), Some(2));
    terminal.shows("why", |screen| screen.contains("error: could not reach the daemon"));
    assert!(terminal.is_given_back());
}

pub(crate) fn one_look_for_programs() {
    let mut world = world!();
    let (web, db) = shop(&mut world, &[]);
    send(&web, &db, FORBIDDEN, 3);
    send(&web, &db, ALLOWED, 30);
    let look = |world: &mut World, filter: &[&str]| -> Value {
        let output = world.daemon().enforcer(&[&["top", "-o", "json"], filter].concat()).unwrap();
        assert_eq!(output.code, Some(0), "{}", output.stderr);
        serde_json::from_str(&output.stdout).unwrap()
    };
    wait("everything is remembered", || {
        let seen = look(&mut world, &["--port", "udp"]);
        let records: u64 =
            seen["flows"].as_array().unwrap().iter().filter_map(|row| row["records"].as_u64()).sum();
        records == 5
    });
    let seen = look(&mut world, &["--port", "udp", "--not", "--verdict", "allowed"]);
    let flows = seen["flows"].as_array().unwrap();
    assert_eq!(flows.len(), 1, "{seen:#}");
    assert_eq!((&flows[0]["records"], &flows[0]["bytes"]), (&3.into(), &(3 * 142).into()));
    assert_eq!(flows[0]["last"]["cause"]["reason"], "no-rule");
    assert_eq!((&seen["rules"][0]["rule"], &seen["rules"][0]["packets"]), (&"shop#0".into(), &60.into()));
    let seen = look(&mut world, &["--not", "--rule", "shop", "--reason", "no-rule"]);
    assert_eq!(seen["rules"], Value::Array(Vec::new()), "{seen:#}");
    assert_eq!(
        (&seen["reasons"][0]["reason"], &seen["reasons"][0]["packets"]),
        (&"no-rule".into(), &3.into())
    );
}
