//! What keys do.

use super::state::{State, View};
use crate::filter::Filter;
use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyEventKind, KeyModifiers};

/// Characters of a filter that is typed.
const LONGEST: usize = 1_000;

/// What comes of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Then {
    /// It goes on.
    Go,
    /// The whole screen is to be drawn: something else may have written to it.
    Redraw,
    /// It ends.
    End,
}

/// Does what a key says.
pub(super) fn press(state: &mut State, key: KeyEvent) -> Then {
    if key.kind == KeyEventKind::Release {
        return Then::Go;
    }
    if key.modifiers.contains(KeyModifiers::CONTROL) {
        return match key.code {
            KeyCode::Char('c') => Then::End,
            KeyCode::Char('l') => Then::Redraw,
            _ => Then::Go,
        };
    }
    match state.typing.take() {
        Some(text) => typed(state, text, key.code),
        None if key.code == KeyCode::Char('q') => return Then::End,
        None => command(state, key.code),
    }
    Then::Go
}

fn command(state: &mut State, key: KeyCode) {
    let page = state.room.max(1);
    match key {
        KeyCode::Char('1') => state.show(View::Flows),
        KeyCode::Char('2') => state.show(View::Rules),
        KeyCode::Char('3') => state.show(View::Denies),
        KeyCode::Tab => state.show(state.view.next()),
        KeyCode::Char('s') => state.next_order(),
        KeyCode::Char('r') => state.reversed = !state.reversed,
        KeyCode::Char('p' | ' ') => state.pause(),
        KeyCode::Char('c') => state.forget(),
        KeyCode::Char('/') => state.typing = Some(state.filter().to_string()),
        KeyCode::Esc => state.set_filter(Filter::default()),
        KeyCode::Down | KeyCode::Char('j') => state.scroll_to(state.first + 1),
        KeyCode::Up | KeyCode::Char('k') => state.scroll_to(state.first.saturating_sub(1)),
        KeyCode::PageDown => state.scroll_to(state.first + page),
        KeyCode::PageUp => state.scroll_to(state.first.saturating_sub(page)),
        KeyCode::Home => state.first = 0,
        KeyCode::End => state.first = state.last_page(),
        _ => {}
    }
}

/// A filter is being typed.
fn typed(state: &mut State, mut text: String, key: KeyCode) {
    // What was wrong is looked at again with the next enter.
    state.error = None;
    match key {
        KeyCode::Esc => return,
        KeyCode::Enter => match Filter::typed(&text) {
            Ok(filter) => return state.set_filter(filter),
            Err(error) => state.error = Some(format!("{error}: {}", error.help())),
        },
        KeyCode::Backspace => drop(text.pop()),
        KeyCode::Char(character) if text.chars().count() < LONGEST => text.push(character),
        _ => {}
    }
    state.typing = Some(text);
}
