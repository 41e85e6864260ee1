//! The page, parsed as a browser parses it.

mod common;

use common::pages::{HOSTILE, crowd, hostile, services};
use enforcer_audit::Report;
use enforcer_audit::render::html;
use enforcer_policy::source::Source;
use html5ever::tendril::TendrilSink;
use html5ever::{ParseOpts, parse_document};
use markup5ever_rcdom::{Handle, NodeData, RcDom};
use std::collections::{BTreeMap, BTreeSet};

/// An element with its text.
struct Element {
    name: String,
    attributes: BTreeMap<String, String>,
    text: String,
}

impl Element {
    fn get(&self, name: &str) -> &str {
        self.attributes.get(name).map_or("", String::as_str)
    }

    fn has_class(&self, class: &str) -> bool {
        self.get("class").split_whitespace().any(|one| one == class)
    }
}

struct Page {
    text: String,
    elements: Vec<Element>,
}

impl Page {
    fn of((report, sources): &(Report, Vec<Source>)) -> Self {
        let text = html(report, sources).unwrap();
        let dom: RcDom = parse_document(RcDom::default(), ParseOpts::default()).one(text.as_str());
        assert_eq!(dom.errors.borrow().as_slice(), [] as [&str; 0]);
        let mut elements = Vec::new();
        collect(&dom.document, &mut elements);
        Self { text, elements }
    }

    fn named<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a Element> {
        self.elements.iter().filter(move |element| element.name == name)
    }

    fn with_class<'a>(&'a self, class: &'a str) -> impl Iterator<Item = &'a Element> {
        self.elements.iter().filter(move |element| element.has_class(class))
    }
}

fn collect(node: &Handle, elements: &mut Vec<Element>) -> String {
    let mut text = String::new();
    let at = elements.len();
    if let NodeData::Element { name, attrs, .. } = &node.data {
        let attributes =
            attrs.borrow().iter().map(|one| (one.name.local.to_string(), one.value.to_string())).collect();
        elements.push(Element { name: name.local.to_string(), attributes, text: String::new() });
    }
    if let NodeData::Text { contents } = &node.data {
        text += &contents.borrow();
    }
    for child in node.children.borrow().iter() {
        text += &collect(child, elements);
    }
    if let NodeData::Element { .. } = &node.data {
        elements[at].text.clone_from(&text);
    }
    text
}

/// What holds of every page.
fn is_sound(page: &Page) {
    let ids: Vec<&str> = page.elements.iter().map(|one| one.get("id")).filter(|id| !id.is_empty()).collect();
    let known: BTreeSet<&str> = ids.iter().copied().collect();
    assert_eq!(ids.len(), known.len(), "an id stands twice");
    for element in &page.elements {
        for (name, value) in &element.attributes {
            // Nothing is loaded, linked outside or run from an attribute.
            let name = name.as_str();
            assert!(
                !name.starts_with("on") && !["src", "style", "action", "srcset"].contains(&name),
                "{name}={value}"
            );
            if name == "href" {
                let target = value.strip_prefix('#').unwrap_or_else(|| panic!("{value} leads away"));
                assert!(known.contains(target), "{value} leads nowhere");
            }
            if ["aria-labelledby", "aria-describedby", "data-for"].contains(&name) {
                assert!(known.contains(value.as_str()), "{name}={value} names nothing");
            }
        }
    }
    for name in ["link", "img", "iframe", "object", "embed", "form", "base", "image", "use", "foreignObject"]
    {
        assert_eq!(page.named(name).count(), 0, "<{name}>");
    }
    assert_eq!((page.named("script").count(), page.named("style").count()), (1, 1));
    let security =
        page.named("meta").find(|meta| meta.get("http-equiv") == "Content-Security-Policy").unwrap();
    let policy = security.get("content");
    assert!(policy.starts_with("default-src 'none';") && !policy.contains("unsafe"), "{policy}");
    assert_eq!(page.named("table").count(), page.named("caption").count());
    assert!(page.named("th").all(|th| ["col", "row"].contains(&th.get("scope"))));
    // Headings go down a step at a time.
    let levels: Vec<u32> = page
        .elements
        .iter()
        .filter(|one| one.name.len() == 2 && one.name.starts_with('h') && one.name != "hr")
        .filter_map(|one| one.name[1..].parse().ok())
        .collect();
    assert_eq!(levels.iter().filter(|level| **level == 1).count(), 1);
    assert!(levels.windows(2).all(|pair| pair[1] <= pair[0] + 1), "{levels:?}");
    // What scrolls can be scrolled with keys.
    assert!(page.with_class("scroll").all(|one| one.get("tabindex") == "0" && one.get("role") == "region"));
}

#[test]
fn every_figure_of_the_report_is_there() {
    let made = services();
    let page = Page::of(&made);
    is_sound(&page);
    let tiles: Vec<&str> =
        page.with_class("tile").map(|tile| tile.text.split('\n').next().unwrap()).collect();
    let verdicts = &made.0.verdicts;
    let expected: Vec<String> = [verdicts.denied, verdicts.audited, verdicts.allowed, verdicts.unjudged]
        .iter()
        .map(|figures| figures.flows.to_string())
        .collect();
    assert_eq!(tiles.iter().map(|text| text.replace('\u{202f}', "")).collect::<Vec<_>>(), expected);
    assert!(verdicts.audited.flows > 0 && verdicts.unjudged.flows > 0, "{verdicts:?}");
    let rows =
        |prefix: &'static str| page.named("tr").filter(move |row| row.get("id").starts_with(prefix)).count();
    assert_eq!(rows("flow-"), made.0.groups.len());
    assert_eq!(page.with_class("left-out").count(), 0);
}

#[test]
fn rules_lead_to_their_lines() {
    let made = services();
    let page = Page::of(&made);
    let rule = made.0.rules.iter().find(|rule| rule.rule == "shop#3").unwrap();
    let link = page.named("a").find(|a| a.text == format!("shop.yaml:{}", rule.line)).unwrap();
    let line = page.named("li").find(|li| format!("#{}", li.get("id")) == link.get("href")).unwrap();
    assert!(
        line.text.contains("orders are booked") && line.text.contains("decided 180 flows"),
        "{}",
        line.text
    );
    assert_eq!(
        page.named("li").filter(|li| li.get("id").starts_with("file-1-")).count(),
        made.1[0].text.lines().count()
    );
}

#[test]
fn the_map_draws_each_pair_once_a_verdict_and_not_by_colour_alone() {
    let made = services();
    let page = Page::of(&made);
    let identities: BTreeSet<String> = made
        .0
        .groups
        .iter()
        .flat_map(|group| [format!("{:?}", group.source), format!("{:?}", group.destination)])
        .collect();
    assert_eq!(page.with_class("box").count(), identities.len());
    let pairs: BTreeSet<String> = made
        .0
        .groups
        .iter()
        .map(|group| format!("{:?} {:?} {}", group.source, group.destination, group.verdict))
        .collect();
    // Four more are the legend's.
    let lines: Vec<&Element> = page.with_class("line").collect();
    assert_eq!(lines.len(), pairs.len() + 4);
    for line in lines {
        let verdict =
            ["allowed", "denied", "audited", "unjudged"].into_iter().find(|one| line.has_class(one)).unwrap();
        assert_eq!(line.get("marker-end"), format!("url(#end-{verdict})"));
        assert!(line.get("d").starts_with('M') && !line.get("d").contains("NaN"));
    }
    for verdict in ["denied", "audited", "unjudged"] {
        assert!(page.text.contains(&format!(".line.{verdict} {{ stroke-dasharray")), "{verdict}");
    }
    assert_eq!(page.with_class("matrix").count(), 0);
}

#[test]
fn the_same_report_makes_the_same_page() {
    assert_eq!(Page::of(&services()).text, Page::of(&services()).text);
}

#[test]
fn names_that_mean_harm_are_only_text() {
    let page = Page::of(&hostile());
    is_sound(&page);
    let plain = Page::of(&services());
    let kinds = |page: &Page| page.elements.iter().map(|one| one.name.clone()).collect::<BTreeSet<_>>();
    let added: Vec<String> = kinds(&page).difference(&kinds(&plain)).cloned().collect();
    assert_eq!(added, [] as [&str; 0]);
    let attributes = |page: &Page| {
        page.elements.iter().flat_map(|one| one.attributes.keys().cloned()).collect::<BTreeSet<String>>()
    };
    let added: Vec<String> = attributes(&page).difference(&attributes(&plain)).cloned().collect();
    assert_eq!(added, [] as [&str; 0]);
    // They can be read nonetheless.
    for name in &HOSTILE[..8] {
        assert!(page.named("td").any(|cell| cell.text.contains(name)), "{name}");
    }
    assert!(page.text.chars().all(|c| c == '\n' || !c.is_control()), "a control character");
    assert!(!page.text.contains(['\u{202e}', '\u{200b}']));
    assert!(page.named("td").any(|cell| cell.text.contains("\\u{202e}gpj\\u{0}\\u{1b}[2J\\n")));
}

#[test]
fn many_identities_get_a_matrix_and_size_is_bounded() {
    let made = crowd(1_200);
    assert_eq!(made.0.groups.len(), 3_600);
    let page = Page::of(&made);
    is_sound(&page);
    assert_eq!((page.with_class("matrix").count(), page.with_class("map").count()), (1, 0));
    assert_eq!(page.named("tr").filter(|row| row.get("id").starts_with("flow-")).count(), 1_000);
    let left: Vec<&str> = page.with_class("left-out").map(|one| one.text.as_str()).collect();
    assert!(left.iter().any(|text| text.starts_with("2\u{202f}600 more groups of flows")), "{left:?}");
    assert!(left.iter().any(|text| text.contains("more identities")), "{left:?}");
    assert!(left.iter().any(|text| text.contains("more lines of this file")), "{left:?}");
    assert!(page.text.len() < 6_000_000, "{} bytes", page.text.len());
    // Up to 40 identities are drawn.
    let few = Page::of(&crowd(33));
    assert_eq!((few.with_class("matrix").count(), few.with_class("map").count()), (0, 1));
}

#[test]
fn a_recording_without_flows_makes_a_page_too() {
    let report = common::audit(common::SHOP).report().unwrap();
    let page = Page::of(&(report, Vec::new()));
    is_sound(&page);
    assert!(page.text.contains("The recording holds no flow."));
}
