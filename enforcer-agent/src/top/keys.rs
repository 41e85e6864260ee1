//! What keys do.

use super::state::{State, View};
use crate::filter::Filter;
use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyEventKind, KeyModifiers};

/// Characters of a filter that is typed.
const LONGEST: usize = 1_000;
/// Rows that a page moves by.
const PAGE: usize = 10;

/// Does what a key says; whether to go on.
pub(super) fn press(state: &mut State, key: KeyEvent) -> bool {
    if key.kind == KeyEventKind::Release {
        return true;
    }
    if key.modifiers.contains(KeyModifiers::CONTROL) {
        return key.code != KeyCode::Char('c');
    }
    match state.typing.take() {
        Some(text) => typed(state, text, key.code),
        None => return command(state, key.code),
    }
    true
}

fn command(state: &mut State, key: KeyCode) -> bool {
    state.error = None;
    let last = state.len().saturating_sub(1);
    match key {
        KeyCode::Char('q') => return false,
        KeyCode::Char('1') => show(state, View::Flows),
        KeyCode::Char('2') => show(state, View::Rules),
        KeyCode::Char('3') => show(state, View::Denies),
        KeyCode::Tab => {
            let place = View::ALL.iter().position(|view| *view == state.view).unwrap_or(0);
            show(state, View::ALL[(place + 1) % View::ALL.len()]);
        }
        KeyCode::Char('s') => state.next_order(),
        KeyCode::Char('r') => state.reversed = !state.reversed,
        KeyCode::Char('p' | ' ') => {
            state.paused = !state.paused;
            state.skipped = 0;
        }
        KeyCode::Char('c') => state.forget(),
        KeyCode::Char('/') => state.typing = Some(state.filter.to_string()),
        KeyCode::Esc => (state.filter, state.first) = (Filter::default(), 0),
        KeyCode::Down | KeyCode::Char('j') => state.first = (state.first + 1).min(last),
        KeyCode::Up | KeyCode::Char('k') => state.first = state.first.saturating_sub(1),
        KeyCode::PageDown => state.first = (state.first + PAGE).min(last),
        KeyCode::PageUp => state.first = state.first.saturating_sub(PAGE),
        KeyCode::Home => state.first = 0,
        KeyCode::End => state.first = last,
        _ => {}
    }
    true
}

fn show(state: &mut State, view: View) {
    (state.view, state.first, state.reversed) = (view, 0, false);
}

fn typed(state: &mut State, mut text: String, key: KeyCode) {
    match key {
        KeyCode::Esc => {
            state.error = None;
            return;
        }
        KeyCode::Enter => match Filter::typed(&text) {
            Ok(filter) => {
                (state.filter, state.first, state.error) = (filter, 0, None);
                return;
            }
            Err(error) => state.error = Some(format!("{error}; {}", error.help())),
        },
        KeyCode::Backspace => drop(text.pop()),
        KeyCode::Char(character) if text.chars().count() < LONGEST => text.push(character),
        _ => {}
    }
    state.typing = Some(text);
}
