//! What the daemon tells of its work: metrics and records add up to what was sent, and nobody who reads them is in the way.
//!
//! One test has `promtool` read the page; where there is none, it counts as skipped.

mod telemetry;

use std::process::{Command, ExitCode};

use libtest_mimic::{Arguments, Failed, Trial};

fn main() -> ExitCode {
    let there = Command::new("promtool").arg("--version").output().is_ok();
    if !there {
        println!("SKIPPED: the page isn't read by `promtool` (apt-get install prometheus)");
    }
    let test = |name, run: fn()| {
        let body = move || {
            run();
            Ok::<(), Failed>(())
        };
        Trial::test(name, body)
    };
    let trials = vec![
        test("prometheus_takes_the_page", telemetry::metrics::prometheus_takes_the_page)
            .with_ignored_flag(!there),
        test("scrapers_that_hang_delay_nothing", telemetry::metrics::scrapers_that_hang_delay_nothing),
        test(
            "a_burst_of_denied_packets_loses_no_count",
            telemetry::records::a_burst_of_denied_packets_loses_no_count,
        ),
        test(
            "a_full_disk_costs_records_and_nothing_else",
            telemetry::records::a_full_disk_costs_records_and_nothing_else,
        ),
        test("observers_see_what_they_ask_for", telemetry::observe::observers_see_what_they_ask_for),
        test("a_filter_hides_no_loss", telemetry::observe::a_filter_hides_no_loss),
        test(
            "observers_that_have_gone_leave_their_places",
            telemetry::observe::observers_that_have_gone_leave_their_places,
        ),
        test("top_shows_what_happens", telemetry::top::top_shows_what_happens),
        test("top_outlives_the_daemon", telemetry::top::top_outlives_the_daemon),
        test("top_gives_the_terminal_back", telemetry::top::top_gives_the_terminal_back),
        test("one_look_for_programs", telemetry::top::one_look_for_programs),
        test(
            "the_hooks_of_sockets_are_on_the_page",
            telemetry::metrics::the_hooks_of_sockets_are_on_the_page,
        ),
        test("the_page_says_what_happened", telemetry::metrics::the_page_says_what_happened),
    ];
    libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
}
