//! The screen, to the letter.

use super::draw::draw;
use super::keys::press;
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
        "reasons": [], "events": {"sent": 0, "lost": 0, "suppressed": 0}, "tables": [],
        "not_yet_enforced": [], "warnings": []
    }))
    .unwrap()
}

fn state() -> State {
    let mut state = State::new(Filter::default());
    for _ in 0..3 {
        state.observed(ObserveLine::Flow(Box::new(record("denied", "web", "db", 22))));
    }
    state.observed(ObserveLine::Flow(Box::new(record("allowed", "web", "db", 5432))));
    state.observed(ObserveLine::Flow(Box::new(record("audited", "batch", "db", 5432))));
    state.observed(ObserveLine::missed(Missed { lost: 1, suppressed: 20 }));
    let now = Instant::now();
    state.stands(status(100), now);
    state.stands(status(150), now + Duration::from_secs(2));
    state
}

fn key(state: &mut State, code: KeyCode) -> bool {
    press(state, KeyEvent::new(code, KeyModifiers::NONE))
}

fn type_in(state: &mut State, text: &str) {
    text.chars().for_each(|character| assert!(key(state, KeyCode::Char(character))));
}

/// The screen's lines, without the blanks at their ends.
fn screen(state: &State, width: u16, height: u16) -> Vec<String> {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
    terminal.draw(|frame| draw(frame, state, false)).unwrap();
    let buffer = terminal.backend().buffer().clone();
    let line = |y| (0..width).map(|x| buffer[(x, y)].symbol()).collect::<String>().trim_end().to_owned();
    (0..height).map(line).collect()
}

#[track_caller]
fn shows(state: &State, (width, height): (u16, u16), expected: &str) {
    let clock = time_of_day(TIME)[..8].to_owned();
    let lines = screen(state, width, height);
    assert_eq!(lines.len(), usize::from(height));
    let told = lines.join("\n").replace(&clock, "HH:MM:SS");
    assert_eq!(told.trim_end(), expected.trim_matches('\n'), "\n{told}");
}

const KEYS: &str = "q quit  tab view  s sort  r reverse  / filter  p pause  c clear";

#[test]
fn flows_the_last_one_first() {
    shows(
        &state(),
        (80, 8),
        &format!(
            "
enforcer  enforcing  epoch 7  1 lost, 20 suppressed
[1 flows]  2 rules   3 denies   3 rows, by last seen (down)
RECORDS LAST     VERDICT SOURCE         DESTINATION    PORT        CAUSE
      1 HH:MM:SS audited batch 10.0.0.1 db 10.0.0.2    tcp/5432    no-rule
      1 HH:MM:SS allowed web 10.0.0.1   db 10.0.0.2    tcp/5432    shop#0
      3 HH:MM:SS denied  web 10.0.0.1   db 10.0.0.2    tcp/22      no-rule

{KEYS}"
        ),
    );
}

#[test]
fn rules_by_hits_with_their_rate() {
    let mut state = state();
    assert!(key(&mut state, KeyCode::Tab));
    shows(
        &state,
        (110, 6),
        &format!(
            "
enforcer  enforcing  epoch 7  1 lost, 20 suppressed
 1 flows  [2 rules]  3 denies   2 rows, by count (down)
RULE                             PACKETS PACKETS/S         BYTES     FLOWS   AUDITED WRITTEN AT
shop#0                               150      25.0         11100         2         0 shop.yaml:4
admin#1                                5       0.0           900         1         3 dir/admin.yaml:12
{KEYS}"
        ),
    );
    for code in ['s', 's', 's', 'r'] {
        key(&mut state, KeyCode::Char(code));
    }
    let lines = screen(&state, 110, 6);
    assert!(lines[1].ends_with("2 rows, by name (down)") && lines[3].starts_with("shop#0"), "{lines:?}");
}

#[test]
fn denies_by_count_and_what_a_filter_leaves() {
    let mut state = state();
    key(&mut state, KeyCode::Char('3'));
    shows(
        &state,
        (80, 7),
        &format!(
            "
enforcer  enforcing  epoch 7  1 lost, 20 suppressed
 1 flows   2 rules  [3 denies]  2 rows, by count (down)
RECORDS LAST     VERDICT SOURCE         DESTINATION    PORT        CAUSE
      3 HH:MM:SS denied  web 10.0.0.1   db 10.0.0.2    tcp/22      no-rule
      1 HH:MM:SS audited batch 10.0.0.1 db 10.0.0.2    tcp/5432    no-rule

{KEYS}"
        ),
    );
    key(&mut state, KeyCode::Char('/'));
    type_in(&mut state, "not port=tcp/22x");
    key(&mut state, KeyCode::Enter);
    assert!(
        screen(&state, 80, 7)[6].starts_with("/not port=tcp/22x_  `tcp/22x`"),
        "{:?}",
        screen(&state, 80, 7)
    );
    key(&mut state, KeyCode::Backspace);
    key(&mut state, KeyCode::Enter);
    shows(
        &state,
        (80, 7),
        &format!(
            "
enforcer  enforcing  epoch 7  1 lost, 20 suppressed
 1 flows   2 rules  [3 denies]  1 rows, by count (down)  only not port=tcp/22
RECORDS LAST     VERDICT SOURCE         DESTINATION    PORT        CAUSE
      1 HH:MM:SS audited batch 10.0.0.1 db 10.0.0.2    tcp/5432    no-rule


{KEYS}"
        ),
    );
    key(&mut state, KeyCode::Esc);
    assert_eq!(state.len(), 2);
}

#[test]
fn a_pause_holds_everything_and_counts_what_passes_by() {
    let mut state = state();
    key(&mut state, KeyCode::Char('p'));
    state.observed(ObserveLine::Flow(Box::new(record("denied", "late", "db", 1))));
    state.stands(status(900), Instant::now());
    let lines = screen(&state, 80, 8);
    assert_eq!(lines[0], "enforcer  enforcing  epoch 7  1 lost, 20 suppressed  PAUSED, 1 passed by");
    assert!(!lines.join("\n").contains("late"));
    assert_eq!(state.rules()[0].rule.counts.packets, 150);
    key(&mut state, KeyCode::Char('p'));
    state.observed(ObserveLine::Flow(Box::new(record("denied", "later", "db", 1))));
    assert!(screen(&state, 80, 8).join("\n").contains("later"));
    key(&mut state, KeyCode::Char('c'));
    assert_eq!(state.len(), 0);
}

#[test]
fn names_of_attackers_drive_no_terminal_and_every_size_can_be_drawn() {
    let mut state = state();
    state.observed(ObserveLine::Flow(Box::new(record(
        "denied",
        "a\u{1b}[2J\u{202e}\n",
        &"long".repeat(100),
        1,
    ))));
    state.silent = Some("could not reach `\u{1b}`".to_owned());
    for (width, height) in [(1, 1), (5, 3), (20, 4), (80, 24), (200, 50), (400, 5)] {
        for view in ['1', '2', '3'] {
            key(&mut state, KeyCode::Char(view));
            let text = screen(&state, width, height).concat();
            assert!(
                text.chars().all(|character| !character.is_control() && character != '\u{202e}'),
                "{text:?}"
            );
        }
    }
    let lines = screen(&state, 200, 10);
    assert!(lines[0].starts_with("enforcer  could not reach `\\u{1b}`"), "{}", lines[0]);
    assert!(lines[3..].iter().any(|line| line.contains("a\\u{1b}[2J\\u{202e}\\n 10.0.0.1")), "{lines:?}");
}

#[test]
fn rows_are_bounded_and_those_seen_last_stay() {
    let mut state = State::new(Filter::default());
    for port in 1..=12_000 {
        state.observed(ObserveLine::Flow(Box::new(record("denied", "web", "db", port))));
    }
    assert!(state.len() <= 10_000, "{}", state.len());
    assert!(state.flows()[0].last.destination.port == Some(12_000));
    key(&mut state, KeyCode::End);
    assert!(screen(&state, 80, 5)[3].contains("tcp/"));
}

#[test]
fn q_and_an_interrupt_end_it() {
    let mut state = state();
    assert!(!key(&mut state, KeyCode::Char('q')));
    assert!(!press(&mut state, KeyEvent::new(KeyCode::Char('c'), KeyModifiers::CONTROL)));
    key(&mut state, KeyCode::Char('/'));
    assert!(key(&mut state, KeyCode::Char('q')), "it is typed");
}
