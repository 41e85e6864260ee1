//! What is shown, and from what.

use super::rows::{self, Row, Rows, RuleRow};
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

    /// What rows can be sorted by; the first is what they are at the start.
    pub(super) const fn orders(self) -> &'static [Order] {
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

/// Everything that is shown.
#[derive(Debug)]
pub(super) struct State {
    pub(super) view: View,
    /// Place in [`View::orders`], for each view.
    orders: [usize; 3],
    pub(super) reversed: bool,
    pub(super) paused: bool,
    pub(super) filter: Filter,
    /// What is being typed.
    pub(super) typing: Option<String>,
    /// Why that can't be.
    pub(super) error: Option<String>,
    /// The first row that is shown.
    pub(super) first: usize,
    rows: Rows,
    rules: Vec<RuleRow>,
    status: Option<(Status, Instant)>,
    pub(super) missed: Missed,
    /// Records while paused.
    pub(super) skipped: u64,
    /// Why the daemon isn't heard.
    pub(super) silent: Option<String>,
}

impl State {
    pub(super) fn new(filter: Filter) -> Self {
        Self {
            view: View::Flows,
            orders: [0; 3],
            reversed: false,
            paused: false,
            filter,
            typing: None,
            error: None,
            first: 0,
            rows: Rows::default(),
            rules: Vec::new(),
            status: None,
            missed: Missed::default(),
            skipped: 0,
            silent: None,
        }
    }

    /// Takes what an observer gets.
    pub(super) fn observed(&mut self, line: ObserveLine) {
        match line {
            ObserveLine::Missed { missed, .. } => self.missed.add(missed),
            ObserveLine::Flow(_) if self.paused => self.skipped += 1,
            ObserveLine::Flow(record) => self.rows.add(*record),
            // `status` counts them.
            ObserveLine::Tamper(_) | ObserveLine::Action(_) => {}
        }
    }

    /// Takes how things stand.
    pub(super) fn stands(&mut self, status: Status, at: Instant) {
        if self.paused {
            return;
        }
        let before = self.status.as_ref().map(|(status, at)| (status, *at));
        self.rules = rows::rules(&status, before, at);
        self.status = Some((status, at));
    }

    pub(super) fn status(&self) -> Option<&Status> {
        self.status.as_ref().map(|(status, _)| status)
    }

    /// Whether the live set is in force; `None` before anything was heard.
    pub(super) fn enforcing(&self) -> Option<bool> {
        self.status().map(|status| status.state == Enforcing::Enforcing)
    }

    fn place(&self) -> usize {
        View::ALL.iter().position(|view| *view == self.view).unwrap_or(0)
    }

    pub(super) fn order(&self) -> Order {
        let orders = self.view.orders();
        orders[self.orders[self.place()] % orders.len()]
    }

    pub(super) fn next_order(&mut self) {
        let place = self.place();
        self.orders[place] = (self.orders[place] + 1) % self.view.orders().len();
        self.reversed = false;
        self.first = 0;
    }

    pub(super) fn forget(&mut self) {
        self.rows.clear();
        (self.missed, self.skipped, self.first) = (Missed::default(), 0, 0);
    }

    /// How many rows the view has.
    pub(super) fn len(&self) -> usize {
        match self.view {
            View::Rules => self.rules.len(),
            View::Flows | View::Denies => self.rows.iter().filter(|row| self.shows(row)).count(),
        }
    }

    fn shows(&self, row: &Row) -> bool {
        (self.view != View::Denies || row.last.verdict != "allowed") && self.filter.wants(&row.last)
    }

    /// Rows of flows, in order.
    pub(super) fn flows(&self) -> Vec<&Row> {
        let mut rows: Vec<&Row> = self.rows.iter().filter(|row| self.shows(row)).collect();
        let order = self.order();
        let by = |a: &Row, b: &Row| match order {
            Order::Count | Order::Rate => a.records.cmp(&b.records),
            Order::Bytes => a.bytes.cmp(&b.bytes),
            Order::Source => rows::end(&a.last.source).cmp(&rows::end(&b.last.source)),
            Order::Destination => rows::end(&a.last.destination).cmp(&rows::end(&b.last.destination)),
            Order::Last | Order::Name => a.touched.cmp(&b.touched),
        };
        // Rows that are alike in this are in the order in which they came.
        rows.sort_by(|a, b| self.directed(by(a, b)).then(b.touched.cmp(&a.touched)));
        rows
    }

    /// Rows of rules, in order.
    pub(super) fn rules(&self) -> Vec<&RuleRow> {
        let mut rules: Vec<&RuleRow> = self.rules.iter().collect();
        let order = self.order();
        let by = |a: &RuleRow, b: &RuleRow| match order {
            Order::Rate => a.rate.total_cmp(&b.rate),
            Order::Bytes => a.rule.counts.bytes.cmp(&b.rule.counts.bytes),
            Order::Name => a.rule.rule.cmp(&b.rule.rule),
            _ => a.rule.counts.packets.cmp(&b.rule.counts.packets),
        };
        rules.sort_by(|a, b| self.directed(by(a, b)).then_with(|| a.rule.rule.cmp(&b.rule.rule)));
        rules
    }

    fn directed(&self, rising: Ordering) -> Ordering {
        if self.order().falls() != self.reversed { rising.reverse() } else { rising }
    }

    /// Whether large or late comes first.
    pub(super) fn falls(&self) -> bool {
        self.order().falls() != self.reversed
    }
}
