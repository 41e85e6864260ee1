//! How it looks. Every text on the screen is escaped where it is made; what has no room ends with `…`.

use super::rows::{Key, Row, RuleRow};
use super::state::{State, View};
use crate::output::time_of_day;
use enforcer_policy::diagnostic::{shown, shown_within};
use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Cell, Paragraph, Row as TableRow, Table};

const KEYS: &str = "q quit  tab view  s sort  r reverse  / filter  p pause  c clear";
/// Lines around the rows: two above, the titles, the keys.
const AROUND: u16 = 4;
/// Narrower screens don't tell when a row was seen last.
const WIDE: u16 = 100;

/// Rows that a screen of this height has room for.
pub(super) fn room(height: u16) -> usize {
    height.saturating_sub(AROUND).into()
}

/// Draws everything. Colours only where they are wanted.
pub(super) fn draw(frame: &mut Frame<'_>, state: &State, colour: bool) {
    let one = Constraint::Length(1);
    let [top, tabs, table, bottom] =
        Layout::vertical([one, one, Constraint::Min(0), one]).areas(frame.area());
    let wide = usize::from(frame.area().width);
    frame.render_widget(Paragraph::new(fit(&head(state), wide)), top);
    frame.render_widget(Paragraph::new(views(state)), tabs);
    match state.view {
        View::Rules => rules(frame, table, state),
        View::Flows | View::Denies => flows(frame, table, state, colour),
    }
    frame.render_widget(Paragraph::new(foot(state, wide)), bottom);
}

/// How things stand, in a line.
fn head(state: &State) -> String {
    let mut told = vec!["enforcer".to_owned()];
    match (&state.silent, state.status(), state.enforcing()) {
        (Some(why), ..) => told.push(shown_within(why, 200)),
        (None, Some(status), Some(enforcing)) => {
            told.push(if enforcing { "enforcing" } else { "DEGRADED" }.to_owned());
            told.push(format!("epoch {}", status.epoch));
            if status.tamper.count > 0 {
                told.push(format!("tampered with {} times", status.tamper.count));
            }
        }
        (None, ..) => told.push("waiting for the daemon".to_owned()),
    }
    if let Some(why) = state.deaf.as_ref().filter(|_| state.silent.is_none()) {
        told.push(format!("NO RECORDS: {}", shown_within(why, 200)));
    }
    let missed = state.picture().missed;
    told.push(format!("{} lost, {} suppressed", missed.lost, missed.suppressed));
    if let Some(since) = state.paused() {
        told.push(format!("PAUSED, {since} records since"));
    }
    told.join("  ")
}

/// The views, and what this one shows in which order.
fn views(state: &State) -> Line<'static> {
    let mut spans: Vec<Span<'static>> = Vec::new();
    for view in View::ALL {
        let (title, style) = match view == state.view {
            true => (format!("[{}] ", view.title()), Style::new().add_modifier(Modifier::BOLD)),
            false => (format!(" {}  ", view.title()), Style::new()),
        };
        spans.push(Span::styled(title, style));
    }
    let arrow = if state.falls() { "down" } else { "up" };
    let (first, rows) = (state.first.min(state.last_page()), state.len());
    let from = if first > 0 { format!("from {} of ", first + 1) } else { String::new() };
    let rows = if rows == 1 { "1 row".to_owned() } else { format!("{rows} rows") };
    spans.push(Span::raw(format!(" {from}{rows}, by {} ({arrow})", state.order().word())));
    if !state.filter().is_empty() {
        spans.push(Span::raw(format!("  only {}", state.filter())));
    }
    Line::from(spans)
}

fn foot(state: &State, wide: usize) -> String {
    let Some(text) = &state.typing else { return fit(KEYS, wide) };
    let typed = format!("/{}_", shown_within(text, usize::MAX));
    if let Some(error) = &state.error {
        return fit(&format!("{typed}  {error}"), wide);
    }
    let hint = format!("{typed}  enter to filter, escape to leave it");
    if width(&hint) <= wide { hint } else { end_of(&typed, wide) }
}

fn width(text: &str) -> usize {
    Span::raw(text).width()
}

/// As much of the beginning as there is room for.
fn fit(text: &str, wide: usize) -> String {
    if width(text) <= wide {
        return text.to_owned();
    }
    let mut kept = String::new();
    for character in text.chars() {
        kept.push(character);
        if width(&kept) >= wide {
            kept.pop();
            break;
        }
    }
    if wide > 0 {
        kept.push('…');
    }
    kept
}

/// As much of the end as there is room for: where somebody types.
fn end_of(text: &str, wide: usize) -> String {
    let mut kept = text;
    while width(kept) > wide {
        let mut rest = kept.chars();
        rest.next();
        kept = rest.as_str();
    }
    kept.to_owned()
}

fn bold(titles: impl IntoIterator<Item = &'static str>) -> TableRow<'static> {
    TableRow::new(titles.into_iter().map(Cell::from)).style(Style::new().add_modifier(Modifier::BOLD))
}

/// One column of a table of `T`.
struct Column<T> {
    title: &'static str,
    width: Constraint,
    text: fn(&T) -> String,
}

/// A table of the rows that there is room for.
fn table<T>(
    columns: &[Column<T>],
    area: Rect,
    state: &State,
    rows: &[T],
    style: impl Fn(&T) -> Style,
) -> Table<'static> {
    let widths: Vec<Constraint> = columns.iter().map(|column| column.width).collect();
    let places = Layout::horizontal(&widths).spacing(1).split(area);
    let cells = |row: &T| {
        let cells = columns.iter().zip(places.iter());
        TableRow::new(
            cells.map(|(column, place)| fit(&(column.text)(row), place.width.into())).collect::<Vec<_>>(),
        )
    };
    let first = state.first.min(state.last_page());
    let seen = rows.iter().skip(first).take(area.height.saturating_sub(1).into());
    let seen: Vec<TableRow<'static>> = seen.map(|row| cells(row).style(style(row))).collect();
    let lengths = places.iter().map(|place| Constraint::Length(place.width));
    Table::new(seen, lengths).column_spacing(1).header(bold(columns.iter().map(|column| column.title)))
}

type Flow<'a> = (&'a Key, &'a Row);

fn flows(frame: &mut Frame<'_>, area: Rect, state: &State, colour: bool) {
    let (length, fill) = (Constraint::Length, Constraint::Fill);
    let last = |(_, row): &Flow<'_>| {
        let time = time_of_day(&row.last.time);
        time.get(..8).map_or_else(|| shown(&time), str::to_owned)
    };
    let mut columns: Vec<Column<Flow<'_>>> = vec![
        Column { title: "RECORDS", width: length(7), text: |(_, row)| format!("{:>7}", row.records) },
        Column { title: "VERDICT", width: length(7), text: |(key, _)| key.verdict.clone() },
        Column { title: "HOOK", width: length(7), text: |(key, _)| key.direction.clone() },
        Column { title: "SOURCE", width: fill(3), text: |(key, _)| key.source.clone() },
        Column { title: "DESTINATION", width: fill(3), text: |(key, _)| key.destination.clone() },
        Column { title: "PORT", width: length(12), text: |(key, _)| key.port.clone() },
        Column { title: "CAUSE", width: fill(2), text: |(key, _)| key.cause.clone() },
    ];
    if area.width >= WIDE {
        columns.insert(1, Column { title: "LAST", width: length(8), text: last });
    }
    let style = |(_, row): &Flow<'_>| match row.last.verdict.as_str() {
        "denied" if colour => Style::new().fg(Color::Red),
        "audited" if colour => Style::new().fg(Color::Yellow),
        _ => Style::new(),
    };
    frame.render_widget(table(&columns, area, state, &state.flows(), style), area);
}

fn rules(frame: &mut Frame<'_>, area: Rect, state: &State) {
    let (length, fill) = (Constraint::Length, Constraint::Fill);
    let columns: [Column<&RuleRow>; 7] = [
        Column { title: "RULE OR REASON", width: fill(2), text: |row| row.name.clone() },
        Column { title: "   PACKETS", width: length(10), text: |row| format!("{:>10}", row.counts.packets) },
        Column { title: "    /S", width: length(6), text: |row| format!("{:>6.0}", row.rate) },
        Column { title: "       BYTES", width: length(12), text: |row| format!("{:>12}", row.counts.bytes) },
        Column { title: "   FLOWS", width: length(8), text: |row| format!("{:>8}", row.counts.flows) },
        Column { title: " AUDITED", width: length(8), text: |row| format!("{:>8}", row.counts.audited) },
        Column { title: "WRITTEN AT", width: fill(1), text: |row| row.place.clone() },
    ];
    frame.render_widget(table(&columns, area, state, &state.rules(), |_| Style::new()), area);
}
