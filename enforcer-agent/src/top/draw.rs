//! How it looks.

use super::rows::{self, Row};
use super::state::{State, View};
use crate::output::time_of_day;
use enforcer_policy::diagnostic::{shown, shown_path};
use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Cell, Paragraph, Row as TableRow, Table};

const KEYS: &str = "q quit  tab view  s sort  r reverse  / filter  p pause  c clear";

/// Draws everything. Colours only where they are wanted.
pub(super) fn draw(frame: &mut Frame<'_>, state: &State, colour: bool) {
    let parts = Layout::vertical([
        Constraint::Length(1),
        Constraint::Length(1),
        Constraint::Min(0),
        Constraint::Length(1),
    ])
    .split(frame.area());
    frame.render_widget(Paragraph::new(head(state)), parts[0]);
    frame.render_widget(Paragraph::new(tabs(state)), parts[1]);
    match state.view {
        View::Rules => rules(frame, parts[2], state),
        View::Flows | View::Denies => flows(frame, parts[2], state, colour),
    }
    frame.render_widget(Paragraph::new(foot(state)), parts[3]);
}

/// How things stand, in a line.
fn head(state: &State) -> String {
    let mut told = vec!["enforcer".to_owned()];
    match (&state.silent, state.status(), state.enforcing()) {
        (Some(why), ..) => told.push(shown(why)),
        (None, Some(status), Some(enforcing)) => {
            told.push(if enforcing { "enforcing" } else { "DEGRADED" }.to_owned());
            told.push(format!("epoch {}", status.epoch));
            if status.tamper.count > 0 {
                told.push(format!("tampered with {} times", status.tamper.count));
            }
        }
        (None, ..) => told.push("waiting for the daemon".to_owned()),
    }
    told.push(format!("{} lost, {} suppressed", state.missed.lost, state.missed.suppressed));
    if state.paused {
        told.push(format!("PAUSED, {} passed by", state.skipped));
    }
    told.join("  ")
}

fn tabs(state: &State) -> Line<'static> {
    let mut spans = Vec::new();
    for view in View::ALL {
        let title =
            if view == state.view { format!("[{}] ", view.title()) } else { format!(" {}  ", view.title()) };
        let style = if view == state.view { Style::new().add_modifier(Modifier::BOLD) } else { Style::new() };
        spans.push(Span::styled(title, style));
    }
    let arrow = if state.falls() { "down" } else { "up" };
    spans.push(Span::raw(format!(" {} rows, by {} ({arrow})", state.len(), state.order().word())));
    if !state.filter.is_empty() && state.view != View::Rules {
        spans.push(Span::raw(format!("  only {}", state.filter)));
    }
    Line::from(spans)
}

fn foot(state: &State) -> String {
    match (&state.typing, &state.error) {
        (Some(text), Some(error)) => format!("/{text}_  {error}"),
        (Some(text), None) => format!("/{text}_  enter to filter, escape to leave it"),
        (None, _) => KEYS.to_owned(),
    }
}

fn header(titles: &[&'static str]) -> TableRow<'static> {
    TableRow::new(titles.iter().map(|title| Cell::from(*title)))
        .style(Style::new().add_modifier(Modifier::BOLD))
}

fn flows(frame: &mut Frame<'_>, area: Rect, state: &State, colour: bool) {
    let room = usize::from(area.height).saturating_sub(1);
    let row = |row: &Row| {
        let record = &row.last;
        let style = match record.verdict.as_str() {
            "denied" if colour => Style::new().fg(Color::Red),
            "audited" if colour => Style::new().fg(Color::Yellow),
            _ => Style::new(),
        };
        let time = time_of_day(&record.time);
        let cells = [
            format!("{:>7}", row.records),
            time.get(..8).unwrap_or(&time).to_owned(),
            shown(&record.verdict),
            rows::end(&record.source),
            rows::end(&record.destination),
            rows::port(record),
            rows::cause(&record.cause),
        ];
        TableRow::new(cells).style(style)
    };
    let rows = state.flows();
    let rows: Vec<TableRow<'_>> = rows.into_iter().skip(state.first).take(room).map(row).collect();
    let widths = [
        Constraint::Length(7),
        Constraint::Length(8),
        Constraint::Length(7),
        Constraint::Fill(3),
        Constraint::Fill(3),
        Constraint::Length(11),
        Constraint::Fill(2),
    ];
    let titles = ["RECORDS", "LAST", "VERDICT", "SOURCE", "DESTINATION", "PORT", "CAUSE"];
    frame.render_widget(Table::new(rows, widths).header(header(&titles)), area);
}

fn rules(frame: &mut Frame<'_>, area: Rect, state: &State) {
    let room = usize::from(area.height).saturating_sub(1);
    let rows = state.rules().into_iter().skip(state.first).take(room).map(|row| {
        let counts = &row.rule.counts;
        TableRow::new([
            shown(&row.rule.rule),
            format!("{:>11}", counts.packets),
            format!("{:>9.1}", row.rate),
            format!("{:>13}", counts.bytes),
            format!("{:>9}", counts.flows),
            format!("{:>9}", counts.audited),
            format!("{}:{}", shown_path(&row.rule.file), row.rule.line),
        ])
    });
    let rows: Vec<TableRow<'_>> = rows.collect();
    let widths = [
        Constraint::Fill(2),
        Constraint::Length(11),
        Constraint::Length(9),
        Constraint::Length(13),
        Constraint::Length(9),
        Constraint::Length(9),
        Constraint::Fill(1),
    ];
    let titles =
        ["RULE", "    PACKETS", "PACKETS/S", "        BYTES", "    FLOWS", "  AUDITED", "WRITTEN AT"];
    frame.render_widget(Table::new(rows, widths).header(header(&titles)), area);
}
