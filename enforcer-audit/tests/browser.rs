//! The page in a real browser. Without one these tests count as skipped, and say so.

mod chromium;
mod common;

use chromium::Tab;
use common::pages::{Made, crowd, hostile, services};
use enforcer_audit::render::html;
use libtest_mimic::{Arguments, Failed, Trial};
use serde_json::{Value, json};
use std::process::ExitCode;

type Test = fn();

const TESTS: [(&str, Test); 7] = [
    ("nothing_is_loaded_and_nothing_runs_but_the_pages_own_script", nothing_is_loaded),
    ("tables_sort_by_the_keyboard", tables_sort),
    ("tables_filter_by_the_keyboard_and_links_lead_to_what_is_hidden", tables_filter),
    ("without_scripts_all_of_it_is_there", without_scripts),
    ("everything_that_can_be_reached_has_a_name", everything_has_a_name),
    ("light_and_dark_have_contrast", light_and_dark),
    ("it_fits_a_telephone_and_paper", it_fits),
];

fn main() -> ExitCode {
    let there = chromium::find().is_some();
    if !there {
        println!(
            "SKIPPED: the page isn't tried in a browser: there is no `chromium` (apt-get install chromium)"
        );
    }
    let trials = TESTS.map(|(name, test)| {
        let run = move || {
            test();
            Ok::<(), Failed>(())
        };
        Trial::test(name, run).with_ignored_flag(!there)
    });
    libtest_mimic::run(&Arguments::from_args(), Vec::from(trials)).exit_code()
}

fn opened(made: &Made) -> Tab {
    let mut tab = Tab::start();
    tab.open(&html(&made.0, &made.1).unwrap());
    tab
}

fn strings(value: &Value) -> Vec<String> {
    let all = value.as_array().unwrap();
    all.iter().map(|one| one.as_str().unwrap().to_owned()).collect()
}

fn numbers(value: &Value) -> Vec<u64> {
    value.as_array().unwrap().iter().map(|one| one.as_u64().unwrap()).collect()
}

/// Requests beyond the page itself, complaints, errors and dialogs.
fn is_quiet(tab: &Tab) {
    assert_eq!(tab.told("Network.requestWillBeSent").len(), 1, "{:?}", tab.told("Network.requestWillBeSent"));
    for event in [
        "Log.entryAdded",
        "Runtime.exceptionThrown",
        "Runtime.consoleAPICalled",
        "Page.javascriptDialogOpening",
    ] {
        assert_eq!(tab.told(event), [] as [&Value; 0], "{event}");
    }
}

fn nothing_is_loaded() {
    let mut tab = opened(&hostile());
    assert_eq!(
        tab.evaluate("document.querySelector('.controls').hidden"),
        json!(false),
        "its own script runs"
    );
    assert_eq!(tab.evaluate("getComputedStyle(document.querySelector('.tiles')).display"), json!("grid"));
    tab.evaluate("document.querySelectorAll('a, button, input, tr').forEach((one) => { one.focus(); one.dispatchEvent(new Event('mouseover')); })");
    assert_eq!(tab.evaluate("typeof window.taken"), json!("undefined"));
    is_quiet(&tab);
    // Whatever got in all the same could do nothing.
    let refused = tab.evaluate(
        "new Promise((done) => {
          const seen = [];
          addEventListener('securitypolicyviolation', (event) => {
            seen.push(event.effectiveDirective);
            if (seen.length === 4) done(seen.sort());
          });
          const add = (name, change) => document.body.append(Object.assign(document.createElement(name), change));
          add('script', {textContent: 'window.taken = 1'});
          add('style', {textContent: 'body { display: none }'});
          add('img', {src: 'http://127.0.0.1:9/x.png'});
          fetch('http://127.0.0.1:9/').catch(() => {});
        })",
    );
    assert_eq!(strings(&refused), ["connect-src", "img-src", "script-src-elem", "style-src-elem"]);
    assert_eq!(tab.evaluate("typeof window.taken"), json!("undefined"));
}

fn tables_sort() {
    let made = services();
    let mut tab = opened(&made);
    let packets = "[...document.querySelectorAll('#flow-table tbody tr')].map((row) => Number(row.cells[7].dataset.key))";
    let before = numbers(&tab.evaluate(packets));
    let mut sorted = before.clone();
    sorted.sort_unstable();
    assert_ne!(before, sorted, "nothing to sort");
    tab.tab_to(
        "at.tagName === 'BUTTON' && at.textContent === 'Packets' && at.closest('#flow-table') !== null",
    );
    tab.press("Enter");
    assert_eq!(tab.evaluate("document.activeElement.parentElement.ariaSort"), json!("descending"));
    assert!(numbers(&tab.evaluate(packets)).into_iter().rev().eq(sorted.iter().copied()));
    tab.press(" ");
    assert_eq!(tab.evaluate("document.activeElement.parentElement.ariaSort"), json!("ascending"));
    assert_eq!(numbers(&tab.evaluate(packets)), sorted);
    assert_eq!(tab.evaluate("document.querySelectorAll('#flow-table [aria-sort]').length"), json!(1));
    is_quiet(&tab);
}

fn tables_filter() {
    let made = services();
    let mut tab = opened(&made);
    let shown = "[...document.querySelectorAll('#flow-table tbody tr')].filter((row) => row.offsetParent !== null).map((row) => row.dataset.verdict)";
    tab.tab_to("at.type === 'search'");
    tab.call("Input.insertText", &json!({"text": "LEDGER 5432"}));
    // The nearest rule's port is among a row's words as well.
    assert_eq!(strings(&tab.evaluate(shown)), ["denied", "denied", "allowed", "allowed"]);
    let said = tab.evaluate("document.querySelector('[data-for=flow-table] output').textContent");
    assert_eq!(said, json!(format!("4 of {} rows", made.0.groups.len())));
    tab.tab_to("at.type === 'checkbox' && at.value === 'allowed'");
    tab.press(" ");
    assert_eq!(strings(&tab.evaluate(shown)), ["denied", "denied"]);
    // From the map to a row that the filter hides.
    let hidden = made.0.groups.iter().position(|group| group.verdict == "allowed").unwrap() + 1;
    tab.evaluate(&format!("document.querySelector('.map a[href=\"#flow-{hidden}\"]').focus()"));
    tab.press("Enter");
    let arrived = "new Promise((done) => { const look = () => document.activeElement.tagName === 'TR' ? done(document.activeElement.id) : setTimeout(look, 10); look(); })";
    assert_eq!(tab.evaluate(arrived), json!(format!("flow-{hidden}")));
    assert_eq!(strings(&tab.evaluate(shown)).len(), made.0.groups.len());
    is_quiet(&tab);
}

fn without_scripts() {
    let made = services();
    let mut tab = Tab::start();
    tab.call("Emulation.setScriptExecutionDisabled", &json!({"value": true}));
    tab.open(&html(&made.0, &made.1).unwrap());
    let rows =
        "[...document.querySelectorAll('#flow-table tbody tr')].filter((row) => row.offsetHeight > 0).length";
    assert_eq!(tab.evaluate(rows), json!(made.0.groups.len()));
    assert_eq!(tab.evaluate("document.querySelectorAll('th button').length"), json!(0));
    let offered = "[...document.querySelectorAll('.controls')].filter((one) => one.offsetHeight > 0).length";
    assert_eq!(tab.evaluate(offered), json!(0));
    is_quiet(&tab);
}

fn everything_has_a_name() {
    for made in [services(), crowd(60)] {
        let mut tab = opened(&made);
        let tree = tab.call("Accessibility.getFullAXTree", &json!({}));
        let mut counted = 0;
        for node in tree["nodes"].as_array().unwrap().iter().filter(|node| node["ignored"] == json!(false)) {
            let role = node["role"]["value"].as_str().unwrap_or_default();
            if ["link", "button", "searchbox", "checkbox", "region", "table", "navigation", "group"]
                .contains(&role)
            {
                assert!(!node["name"]["value"].as_str().unwrap_or_default().is_empty(), "{role}: {node}");
                counted += 1;
            }
        }
        assert!(counted > 40, "{counted}");
    }
}

/// For each text the contrast with what is behind it; those that have less than WCAG's level AA asks for.
const FAINT: &str = "(() => {
  const parse = (colour) => colour.match(/[\\d.]+/g).map(Number);
  const light = (colour) => {
    const [r, g, b] = colour.slice(0, 3).map((c) => (c /= 255) <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const behind = (element) => {
    for (; element !== null; element = element.parentElement) {
      const colour = parse(getComputedStyle(element).backgroundColor);
      if (colour.length === 3 || colour[3] === 1) return colour;
    }
    return [255, 255, 255];
  };
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  const faint = [];
  let seen = 0;
  while (walker.nextNode()) {
    const element = walker.currentNode.parentElement;
    if (!walker.currentNode.data.trim() || ['SCRIPT', 'STYLE', 'title'].includes(element.tagName)) continue;
    const style = getComputedStyle(element);
    // In the map boxes are drawn, not laid out.
    const ground = element.closest('.box') ? parse(getComputedStyle(element.closest('.box').querySelector('rect')).fill) : behind(element);
    const text = parse(element.tagName === 'text' ? style.fill : style.color);
    const [high, low] = [light(text), light(ground)].sort((a, b) => b - a);
    const ratio = (high + 0.05) / (low + 0.05);
    seen += 1;
    if (ratio < 4.5) faint.push(`${ratio.toFixed(2)} ${element.tagName}.${element.className} ${walker.currentNode.data}`);
  }
  return seen < 100 ? ['too little text'] : faint;
})()";

fn light_and_dark() {
    let mut tab = opened(&services());
    let mut grounds = Vec::new();
    for scheme in ["light", "dark"] {
        let wanted = json!({"features": [{"name": "prefers-color-scheme", "value": scheme}]});
        tab.call("Emulation.setEmulatedMedia", &wanted);
        grounds.push(tab.evaluate("getComputedStyle(document.body).backgroundColor"));
        assert_eq!(strings(&tab.evaluate(FAINT)), [] as [&str; 0], "{scheme}");
        for width in [1280, 400] {
            resize(&mut tab, width);
            tab.picture(&format!("{scheme}-{width}.png"));
        }
    }
    assert_ne!(grounds[0], grounds[1]);
}

fn resize(tab: &mut Tab, width: u32) {
    let size = json!({"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": false});
    tab.call("Emulation.setDeviceMetricsOverride", &size);
}

fn it_fits() {
    for (name, made) in [("services", services()), ("crowd", crowd(60)), ("hostile", hostile())] {
        let mut tab = opened(&made);
        tab.picture(&format!("{name}.png"));
        for width in [1280, 400] {
            resize(&mut tab, width);
            let wide = tab.evaluate("document.documentElement.scrollWidth").as_u64().unwrap();
            assert!(wide <= u64::from(width), "{name}: {wide} pixels wide in a window of {width}");
        }
        tab.call("Emulation.clearDeviceMetricsOverride", &json!({}));
        let dark = json!([{"name": "prefers-color-scheme", "value": "dark"}]);
        tab.call("Emulation.setEmulatedMedia", &json!({"media": "print", "features": dark}));
        // Paper stays white, and has nothing to type into.
        assert_eq!(
            tab.evaluate("getComputedStyle(document.body).backgroundColor"),
            json!("rgb(255, 255, 255)")
        );
        assert_eq!(tab.evaluate("document.querySelector('.controls').offsetHeight"), json!(0));
        // What A4 across has between its margins.
        resize(&mut tab, 1032);
        tab.picture(&format!("{name}-print.png"));
        let wide = tab.evaluate("document.documentElement.scrollWidth").as_u64().unwrap();
        assert!(wide <= 1032, "{name}: {wide} pixels wide on paper of 1032");
        let cut = "[...document.querySelectorAll('.scroll')].filter((one) => getComputedStyle(one).overflowX !== 'visible').length";
        assert_eq!(tab.evaluate(cut), json!(0));
        let paper = tab.call("Page.printToPDF", &json!({"preferCSSPageSize": true}));
        assert!(paper["data"].as_str().unwrap().starts_with("JVBERi0"));
    }
}
