//! What is shown, and from what.

use super::rows::{self, Key, Row, Rows, RuleRow};
use crate::filter::Filter;
use crate::protocol::{Missed, ObserveLine, State as Enforcing, Status};
use std::cmp::Ordering;
use std::time::Instant;

/// What the screen is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum View {
    Flows,
    Rules,
    Denies,
}

impl View {
    pub(super) const ALL: [Self; 3] = [Self::Flows, Self::Rules, Self::Denies];

    pub(super) const fn title(self) -> &'static str {
        match self {
            Self::Flows => "1 flows",
            Self::Rules => "2 rules",
            Self::Denies => "3 denies",
        }
    }

    /// The view behind it.
    pub(super) const fn next(self) -> Self {
        match self {
            Self::Flows => Self::Rules,
            Self::Rules => Self::Denies,
            Self::Denies => Self::Flows,
        }
    }

    /// What rows can be sorted by; the first is what they are at the start.
    const fn orders(self) -> &'static [Order] {
        match self {
            Self::Flows => &[Order::Last, Order::Count, Order::Bytes, Order::Source, Order::Destination],
            Self::Rules => &[Order::Count, Order::Rate, Order::Bytes, Order::Name],
            Self::Denies => &[Order::Count, Order::Last, Order::Source, Order::Destination],
        }
    }
}

/// What rows are sorted by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Order {
    Last,
    Count,
    Rate,
    Bytes,
    Source,
    Destination,
    Name,
}

impl Order {
    pub(super) const fn word(self) -> &'static str {
        match self {
            Self::Last => "last seen",
            Self::Count => "count",
            Self::Rate => "rate",
            Self::Bytes => "bytes",
            Self::Source => "source",
            Self::Destination => "destination",
            Self::Name => "name",
        }
    }

    /// Largest first for numbers, and from A for names.
    const fn falls(self) -> bool {
        matches!(self, Self::Last | Self::Count | Self::Rate | Self::Bytes)
    }
}

/// What was heard.
#[derive(Debug, Clone, Default)]
pub(super) struct Picture {
    pub(super) rows: Rows,
    rules: Vec<RuleRow>,
    status: Option<(Status, Instant)>,
    pub(super) missed: Missed,
}

/// Everything that is shown.
#[derive(Debug)]
pub(super) struct State {
    pub(super) view: View,
    /// Place in [`View::orders`], for each view.
    orders: [usize; View::ALL.len()],
    pub(super) reversed: bool,
    /// What the daemon is asked for.
    filter: Filter,
    /// What is being typed.
    pub(super) typing: Option<String>,
    /// Why that can't be.
    pub(super) error: Option<String>,
    /// The first row that is shown.
    pub(super) first: usize,
    /// Rows that there is room for.
    pub(super) room: usize,
    live: Picture,
    /// What is shown in place of it during a pause.
    held: Option<Picture>,
    /// Why the daemon isn't heard.
    pub(super) silent: Option<String>,
    /// Why no records come, where it is.
    pub(super) deaf: Option<String>,
}

impl State {
    pub(super) fn new(filter: Filter) -> Self {
        Self {
            view: View::Flows,
            orders: [0; View::ALL.len()],
            reversed: false,
            filter,
            typing: None,
            error: None,
            first: 0,
            room: 0,
            live: Picture::default(),
            held: None,
            silent: None,
            deaf: None,
        }
    }

    /// Records come from here on, the daemon's past first: what came before would be in them twice.
    pub(super) fn begins(&mut self) {
        self.deaf = None;
        (self.live.rows, self.live.missed) = (Rows::default(), Missed::default());
    }

    /// Takes what an observer gets.
    pub(super) fn observed(&mut self, line: ObserveLine) {
        match line {
            ObserveLine::Missed { missed, .. } => self.live.missed.add(missed),
            ObserveLine::Flow(record) => self.live.rows.add(*record),
            // `status` counts them.
            ObserveLine::Tamper(_) | ObserveLine::Action(_) => {}
        }
    }

    /// Takes how things stand.
    pub(super) fn stands(&mut self, status: Status, at: Instant) {
        self.silent = None;
        let since = self.live.status.as_ref().map(|(_, at)| *at);
        self.live.rules = rows::rules(&status, &self.live.rules, since, at);
        self.live.status = Some((status, at));
    }

    /// What is shown.
    pub(super) fn picture(&self) -> &Picture {
        self.held.as_ref().unwrap_or(&self.live)
    }

    pub(super) fn status(&self) -> Option<&Status> {
        self.picture().status.as_ref().map(|(status, _)| status)
    }

    /// Whether the live set is in force; `None` before anything was heard.
    pub(super) fn enforcing(&self) -> Option<bool> {
        self.status().map(|status| status.state == Enforcing::Enforcing)
    }

    /// Holds what is shown, or lets it go on. Counting goes on all the while.
    pub(super) fn pause(&mut self) {
        self.held = match self.held {
            Some(_) => None,
            None => Some(self.live.clone()),
        };
    }

    /// Records since the pause began.
    pub(super) fn paused(&self) -> Option<u64> {
        let held = self.held.as_ref()?;
        // The connection may have begun anew.
        Some(self.live.rows.taken.saturating_sub(held.rows.taken))
    }

    /// Begins to count anew.
    pub(super) fn forget(&mut self) {
        (self.held, self.first) = (None, 0);
        (self.live.rows, self.live.missed) = (Rows::default(), Missed::default());
    }

    pub(super) fn filter(&self) -> &Filter {
        &self.filter
    }

    /// Asks for other records.
    pub(super) fn set_filter(&mut self, filter: Filter) {
        if self.filter != filter {
            self.filter = filter;
            self.forget();
        }
    }

    pub(super) fn show(&mut self, view: View) {
        (self.view, self.first, self.reversed) = (view, 0, false);
    }

    pub(super) fn order(&self) -> Order {
        let orders = self.view.orders();
        orders[self.orders[self.view as usize] % orders.len()]
    }

    pub(super) fn next_order(&mut self) {
        self.orders[self.view as usize] += 1;
        (self.reversed, self.first) = (false, 0);
    }

    /// How many rows the view has.
    pub(super) fn len(&self) -> usize {
        match self.view {
            View::Rules => {
                self.picture().rules.iter().filter(|row| self.filter.wants_cause(&row.cause)).count()
            }
            View::Flows => self.picture().rows.iter().count(),
            View::Denies => self.picture().rows.iter().filter(|(_, row)| is_denied(row)).count(),
        }
    }

    /// Shows other rows of the view: those from `first` on, or the last ones that fill the room.
    pub(super) fn scroll_to(&mut self, first: usize) {
        self.first = first.min(self.last_page());
    }

    /// The first row of the last page.
    pub(super) fn last_page(&self) -> usize {
        self.len().saturating_sub(self.room.max(1))
    }

    /// Rows of flows, in order.
    pub(super) fn flows(&self) -> Vec<(&Key, &Row)> {
        let rows = self.picture().rows.iter();
        let mut rows: Vec<_> = rows.filter(|(_, row)| self.view != View::Denies || is_denied(row)).collect();
        let order = self.order();
        let by = |(a, x): &(&Key, &Row), (b, y): &(&Key, &Row)| match order {
            Order::Count | Order::Rate => x.records.cmp(&y.records),
            Order::Bytes => x.bytes.cmp(&y.bytes),
            Order::Source => a.source.cmp(&b.source),
            Order::Destination => a.destination.cmp(&b.destination),
            Order::Last | Order::Name => x.touched.cmp(&y.touched),
        };
        // Of rows that are alike in this, the one seen last comes first.
        rows.sort_unstable_by(|a, b| self.directed(by(a, b)).then(b.1.touched.cmp(&a.1.touched)));
        rows
    }

    /// Rows of rules and reasons, in order.
    pub(super) fn rules(&self) -> Vec<&RuleRow> {
        let rules = self.picture().rules.iter();
        let mut rules: Vec<&RuleRow> = rules.filter(|row| self.filter.wants_cause(&row.cause)).collect();
        let order = self.order();
        let by = |a: &RuleRow, b: &RuleRow| match order {
            Order::Rate => a.rate.total_cmp(&b.rate),
            Order::Bytes => a.counts.bytes.cmp(&b.counts.bytes),
            Order::Name => a.name.cmp(&b.name),
            _ => a.counts.packets.cmp(&b.counts.packets),
        };
        rules.sort_by(|a, b| self.directed(by(a, b)).then_with(|| a.name.cmp(&b.name)));
        rules
    }

    fn directed(&self, rising: Ordering) -> Ordering {
        if self.falls() { rising.reverse() } else { rising }
    }

    /// Whether large or late comes first.
    pub(super) fn falls(&self) -> bool {
        self.order().falls() != self.reversed
    }
}

/// Denied, or audited: what would have been denied.
fn is_denied(row: &Row) -> bool {
    row.last.verdict != "allowed"
}
