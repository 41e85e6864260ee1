//! The screen, to the letter.

use super::draw::{draw, room};
use super::keys::{Then, press};
use super::state::State;
use crate::filter::Filter;
use crate::output::time_of_day;
use crate::protocol::{FlowRecord, Missed, ObserveLine, Status};
use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use serde_json::json;
use std::time::{Duration, Instant};

const TIME: &str = "2026-01-01T12:53:39.168Z";

fn record(verdict: &str, source: &str, destination: &str, port: u16) -> FlowRecord {
    let cause = match verdict {
        "allowed" => json!({"rule": "shop#0", "file": "shop.yaml", "line": 4}),
        _ => json!({"reason": "no-rule"}),
    };
    serde_json::from_value(json!({
        "schema": "enforcer.flow/v1", "time": TIME, "direction": "egress", "verdict": verdict,
        "passes": verdict != "denied", "cause": cause, "protocol": "tcp",
        "source": {"ip": "10.0.0.1", "port": 40000, "workload": source},
        "destination": {"ip": "10.0.0.2", "port": port, "workload": destination},
        "packets": 1, "bytes": 74, "epoch": 7, "ifindex": 3, "new": true, "changed": false
    }))
    .unwrap()
}

fn status(packets: u64) -> Status {
    serde_json::from_value(json!({
        "schema": "enforcer.status/v1", "version": "0", "state": "enforcing", "started": TIME, "epoch": 7,
        "generation": 1, "documents": {}, "policies": 1, "applied_files": 0, "workloads": [],
        "rules": [
            {"rule": "shop#0", "file": "shop.yaml", "line": 4, "packets": packets, "bytes": 74 * packets, "flows": 2, "audited": 0},
            {"rule": "admin#1", "file": "dir/admin.yaml", "line": 12, "packets": 5, "bytes": 900, "flows": 1, "audited": 3}
        ],
        "reasons": [{"reason": "no-rule", "detail": "no-rule", "packets": 40, "bytes": 2960, "flows": 0, "audited": 0}], "events": {"sent": 0, "lost": 0, "suppressed": 0}, "tables": [],
        "not_yet_enforced": [], "warnings": []
    }))
    .unwrap()
}

/// A record, as it comes.
fn hear(state: &mut State, record: FlowRecord) {
    state.observed(ObserveLine::Flow(Box::new(record)));
}

fn state() -> State {
    let mut state = State::new(Filter::default());
    for _ in 0..3 {
        hear(&mut state, record("denied", "web", "db", 22));
    }
    hear(&mut state, record("allowed", "web", "db", 5432));
    hear(&mut state, FlowRecord { direction: "ingress".to_owned(), ..record("allowed", "web", "db", 5432) });
    hear(&mut state, record("audited", "batch", "db", 5432));
    state.observed(ObserveLine::missed(Missed { lost: 1, suppressed: 20 }));
    let now = Instant::now();
    state.stands(status(100), now);
    state.stands(status(150), now + Duration::from_secs(2));
    state
}

fn key(state: &mut State, code: KeyCode) -> Then {
    press(state, KeyEvent::new(code, KeyModifiers::NONE))
}

#[track_caller]
fn keys(state: &mut State, text: &str) {
    text.chars().for_each(|character| assert_eq!(key(state, KeyCode::Char(character)), Then::Go));
}

/// The screen's lines, without the blanks at their ends.
fn screen(state: &mut State, width: u16, height: u16) -> Vec<String> {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
    state.room = room(height);
    terminal.draw(|frame| draw(frame, state, false)).unwrap();
    let buffer = terminal.backend().buffer().clone();
    let line = |y| (0..width).map(|x| buffer[(x, y)].symbol()).collect::<String>().trim_end().to_owned();
    (0..height).map(line).collect()
}

#[track_caller]
fn shows(state: &mut State, (width, height): (u16, u16), expected: &str) {
    let clock = time_of_day(TIME)[..8].to_owned();
    let lines = screen(state, width, height);
    assert_eq!(lines.len(), usize::from(height));
    let told = lines.join("\n").replace(&clock, "HH:MM:SS");
    assert_eq!(told.trim_end(), expected.trim_matches('\n'), "\n{told}");
}

#[test]
fn flows_the_last_one_first_each_hook_for_itself() {
    shows(
        &mut state(),
        (80, 9),
        "
enforcer  enforcing  epoch 7  1 lost, 20 suppressed
[1 flows]  2 rules   3 denies   4 rows, by last seen (down)
RECORDS VERDICT HOOK    SOURCE          DESTINATION      PORT         CAUSE
      1 audited egress  batch 10.0.0.1  db 10.0.0.2      tcp/5432     no-rule
      1 allowed ingress web 10.0.0.1    db 10.0.0.2      tcp/5432     shop#0
      1 allowed egress  web 10.0.0.1    db 10.0.0.2      tcp/5432     shop#0
      3 denied  egress  web 10.0.0.1    db 10.0.0.2      tcp/22       no-rule

q quit  tab view  s sort  r reverse  / filter  p pause  c clear",
    );
    shows(
        &mut state(),
        (60, 6),
        "
enforcer  enforcing  epoch 7  1 lost, 20 suppressed
[1 flows]  2 rules   3 denies   4 rows, by last seen (down)
RECORDS VERDICT HOOK    SOURCE   DESTINAT PORT         CAUSE
      1 audited egress  batch 1… db 10.0… tcp/5432     no-r…
      1 allowed ingress web 10.… db 10.0… tcp/5432     shop…
q quit  tab view  s sort  r reverse  / filter  p pause  c c…",
    );
    let lines = screen(&mut state(), 100, 9);
    let last = format!("      3 {} denied  egress  web 10.0.0.1", &time_of_day(TIME)[..8]);
    assert!(
        lines[2].starts_with("RECORDS LAST     VERDICT HOOK") && lines[6].starts_with(&last),
        "{lines:?}"
    );
}

#[test]
fn rules_and_reasons_by_hits_with_their_rate() {
    let mut state = state();
    assert_eq!(key(&mut state, KeyCode::Tab), Then::Go);
    shows(
        &mut state,
        (100, 7),
        "
enforcer  enforcing  epoch 7  1 lost, 20 suppressed
 1 flows  [2 rules]  3 denies   3 rows, by count (down)
RULE OR REASON                       PACKETS     /S        BYTES    FLOWS  AUDITED WRITTEN AT
shop#0                                   150     25        11100        2        0 shop.yaml:4
no-rule                                   40      0         2960        0        0 -
admin#1                                    5      0          900        1        3 dir/admin.yaml:12
q quit  tab view  s sort  r reverse  / filter  p pause  c clear",
    );
    keys(&mut state, "sssr");
    let lines = screen(&mut state, 100, 7);
    assert!(lines[1].ends_with("3 rows, by name (down)") && lines[3].starts_with("shop#0"), "{lines:?}");
    keys(&mut state, "r");
    assert!(screen(&mut state, 100, 7)[3].starts_with("admin#1"));
    keys(&mut state, "/not rule=admin");
    key(&mut state, KeyCode::Enter);
    let lines = screen(&mut state, 100, 7);
    assert!(
        lines[3].starts_with("no-rule") && lines[4].starts_with("shop#0") && lines[5].is_empty(),
        "{lines:?}"
    );
}

#[test]
fn denies_by_count() {
    let mut state = state();
    keys(&mut state, "3");
    shows(
        &mut state,
        (80, 7),
        "
enforcer  enforcing  epoch 7  1 lost, 20 suppressed
 1 flows   2 rules  [3 denies]  2 rows, by count (down)
RECORDS VERDICT HOOK    SOURCE          DESTINATION      PORT         CAUSE
      3 denied  egress  web 10.0.0.1    db 10.0.0.2      tcp/22       no-rule
      1 audited egress  batch 10.0.0.1  db 10.0.0.2      tcp/5432     no-rule

q quit  tab view  s sort  r reverse  / filter  p pause  c clear",
    );
}

#[test]
fn a_filter_is_typed_and_asked_of_the_daemon() {
    let mut state = state();
    keys(&mut state, "/not port=tcp/22x");
    key(&mut state, KeyCode::Enter);
    let lines = screen(&mut state, 80, 7);
    assert!(lines[6].starts_with("/not port=tcp/22x_  `tcp/22x`"), "{lines:?}");
    assert_eq!(state.filter(), &Filter::default());
    key(&mut state, KeyCode::Backspace);
    let lines = screen(&mut state, 80, 7);
    assert_eq!(lines[6], "/not port=tcp/22_  enter to filter, escape to leave it");
    key(&mut state, KeyCode::Enter);
    assert_eq!(state.filter(), &Filter::typed("not port=tcp/22").unwrap());
    // What was shown is of another filter: the daemon is asked anew.
    let lines = screen(&mut state, 80, 7);
    assert_eq!(lines[1], "[1 flows]  2 rules   3 denies   0 rows, by last seen (down)  only not port=tcp/2");
    assert_eq!(lines[0], "enforcer  enforcing  epoch 7  0 lost, 0 suppressed");
    keys(&mut state, "/ rule=x");
    key(&mut state, KeyCode::Esc);
    assert_eq!(state.filter(), &Filter::typed("not port=tcp/22").unwrap(), "escape leaves it");
    key(&mut state, KeyCode::Esc);
    assert!(state.filter().is_empty());
}

#[test]
fn the_end_of_a_long_filter_is_seen_and_its_length_is_bounded() {
    let mut state = state();
    keys(&mut state, &format!("/{}here", "x".repeat(120)));
    let lines = screen(&mut state, 40, 7);
    assert_eq!(lines[6], format!("{}here_", "x".repeat(35)));
    keys(&mut state, &"y".repeat(2_000));
    assert_eq!(state.typing.as_ref().unwrap().chars().count(), 1_000);
}

#[test]
fn a_pause_holds_everything_and_loses_nothing() {
    let mut state = state();
    keys(&mut state, "p");
    hear(&mut state, record("denied", "late", "db", 1));
    state.observed(ObserveLine::missed(Missed { lost: 7, suppressed: 0 }));
    state.stands(status(900), Instant::now());
    let lines = screen(&mut state, 80, 8);
    assert_eq!(lines[0], "enforcer  enforcing  epoch 7  1 lost, 20 suppressed  PAUSED, 1 records since");
    assert!(!lines.join("\n").contains("late"));
    assert_eq!(state.rules()[0].counts.packets, 150);
    keys(&mut state, "p");
    let lines = screen(&mut state, 80, 8);
    assert_eq!(lines[0], "enforcer  enforcing  epoch 7  8 lost, 20 suppressed");
    assert!(lines[3].contains("late") && state.rules()[0].counts.packets == 900, "{lines:?}");
    keys(&mut state, "c");
    assert_eq!((state.len(), state.picture().missed), (0, Missed::default()));
}

#[test]
fn a_daemon_that_goes_is_told_of_and_what_it_told_stays_until_another_tells_its_own() {
    let mut state = state();
    state.silent = Some("could not reach the daemon at `/run/x`: gone".to_owned());
    let lines = screen(&mut state, 80, 9);
    assert_eq!(lines[0], "enforcer  could not reach the daemon at `/run/x`: gone  1 lost, 20 suppressed");
    assert_eq!(state.len(), 4);
    state.begins();
    state.stands(status(1), Instant::now());
    assert_eq!(state.len(), 0);
    hear(&mut state, record("denied", "web", "db", 22));
    let lines = screen(&mut state, 80, 9);
    assert_eq!(lines[0], "enforcer  enforcing  epoch 7  0 lost, 0 suppressed");
    state.deaf = Some("there are too many observers already".to_owned());
    let lines = screen(&mut state, 100, 9);
    assert!(lines[0].contains("  NO RECORDS: there are too many observers already  "), "{lines:?}");
    state.begins();
    assert!(!screen(&mut state, 100, 9)[0].contains("NO RECORDS"));
}

#[test]
fn names_of_attackers_drive_no_terminal_and_every_size_can_be_drawn() {
    let mut state = state();
    hear(&mut state, record("denied", "a\u{1b}[2J\u{202e}\n", &"long".repeat(100), 1));
    hear(
        &mut state,
        record("denied\u{7}", "\u{5927}\u{5927}\u{5927}\u{5927}\u{5927}", "e\u{301}\u{200b}", 2),
    );
    state.silent = Some("could not reach `\u{1b}`".to_owned());
    state.deaf = Some("\u{9b}".repeat(300));
    let sizes = [(0, 0), (1, 1), (0, 5), (5, 0), (2, 2), (5, 3), (20, 4), (80, 24), (200, 50), (400, 5)];
    for (width, height) in sizes {
        for view in ["1", "2", "3", "/\u{202e}\u{1b}"] {
            keys(&mut state, view);
            let text = screen(&mut state, width, height).concat();
            let drives =
                |character: char| character.is_control() || ('\u{202a}'..='\u{202e}').contains(&character);
            assert!(!text.chars().any(drives), "{width}x{height} {text:?}");
            if state.typing.is_some() {
                key(&mut state, KeyCode::Esc);
            }
        }
    }
    keys(&mut state, "1");
    state.deaf = None;
    let lines = screen(&mut state, 200, 10);
    assert!(lines[0].starts_with("enforcer  could not reach `\\u{1b}`"), "{}", lines[0]);
    assert!(lines[3..].iter().any(|line| line.contains("a\\u{1b}[2J\\u{202e}\\n 10.0.0.1")), "{lines:?}");
    assert!(lines[3..].iter().any(|line| line.contains("long…")), "{lines:?}");
}

#[test]
fn rows_are_bounded_and_those_seen_last_stay() {
    let mut state = State::new(Filter::default());
    for port in 1..=12_000 {
        hear(&mut state, record("denied", "web", "db", port));
    }
    assert!(state.len() <= 10_000, "{}", state.len());
    assert!(state.flows()[0].1.last.destination.port == Some(12_000));
}

#[test]
fn one_can_look_at_every_row() {
    let mut state = State::new(Filter::default());
    for port in 1..=30 {
        hear(&mut state, record("denied", "web", "db", port));
    }
    let seen = |state: &mut State| -> Vec<String> {
        let lines = screen(state, 80, 14);
        let port =
            |line: &String| line.split_whitespace().find(|word| word.starts_with("tcp/")).map(str::to_owned);
        lines.iter().filter_map(port).collect()
    };
    let ports = |from: u16, to: u16| (to..=from).rev().map(|port| format!("tcp/{port}")).collect::<Vec<_>>();
    assert_eq!(seen(&mut state), ports(30, 21));
    key(&mut state, KeyCode::PageDown);
    assert_eq!(seen(&mut state), ports(20, 11));
    assert!(screen(&mut state, 80, 14)[1].contains(" from 11 of 30 rows"));
    key(&mut state, KeyCode::Down);
    assert_eq!(seen(&mut state), ports(19, 10));
    key(&mut state, KeyCode::PageDown);
    assert_eq!(seen(&mut state), ports(10, 1), "no further than the last page");
    key(&mut state, KeyCode::Home);
    key(&mut state, KeyCode::Up);
    assert_eq!(seen(&mut state), ports(30, 21));
    key(&mut state, KeyCode::End);
    assert_eq!(seen(&mut state), ports(10, 1));
    // Rows that went take the screen along.
    state.forget();
    hear(&mut state, record("denied", "web", "db", 99));
    state.first = 20;
    assert_eq!(seen(&mut state), ["tcp/99"]);
}

#[test]
fn q_and_an_interrupt_end_it() {
    let mut state = state();
    let control = |code| KeyEvent::new(KeyCode::Char(code), KeyModifiers::CONTROL);
    assert_eq!(key(&mut state, KeyCode::Char('q')), Then::End);
    assert_eq!(press(&mut state, control('l')), Then::Redraw);
    assert_eq!(press(&mut state, control('z')), Then::Go);
    keys(&mut state, "/q");
    assert_eq!(state.typing.as_deref(), Some("q"), "it is typed");
    assert_eq!(press(&mut state, control('c')), Then::End);
}
