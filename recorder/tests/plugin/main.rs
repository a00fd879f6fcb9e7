//! `kubectl flowtape` against a scripted API server: real processes on loopback, from the first question to the last object
//! removed. What the pods hold are the committed tapes, and what is executed in them is the real `flowtape-recorder`.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod case_end;
mod case_nodes;
mod case_start;
mod stage;

use clap::Parser as _;
use libtest_mimic::{Arguments, Trial};

fn main() {
    // The API server is this program under another name, because a test is not told where another crate's program is.
    let mut arguments: Vec<String> = std::env::args().collect();
    if arguments.get(1).is_some_and(|first| first == stage::SERVER) {
        arguments.remove(1);
        let served = flowtape_apiserver::cli::run(flowtape_apiserver::cli::Cli::parse_from(arguments));
        served.unwrap();
        return;
    }
    let case = |name: &str, run: fn()| {
        Trial::test(name, move || {
            run();
            Ok(())
        })
    };
    let trials = vec![
        case("a_window_becomes_one_tape", case_end::a_window_becomes_one_tape),
        case(
            "ctrl_c_ends_the_window_and_collects",
            case_end::ctrl_c_ends_the_window_and_collects,
        ),
        case(
            "a_stream_that_breaks_twice_goes_on",
            case_end::a_stream_that_breaks_twice_goes_on,
        ),
        case(
            "namespaces_limit_the_metadata_and_nothing_else",
            case_end::namespaces_limit_the_metadata_and_nothing_else,
        ),
        case(
            "printed_manifests_are_collected_and_left",
            case_end::printed_manifests_are_collected_and_left,
        ),
        case(
            "ctrl_c_before_the_window_leaves_nothing",
            case_start::ctrl_c_before_the_window_leaves_nothing,
        ),
        case(
            "a_second_ctrl_c_says_what_is_left",
            case_start::a_second_ctrl_c_says_what_is_left,
        ),
        case(
            "without_permission_nothing_is_created",
            case_start::without_permission_nothing_is_created,
        ),
        case(
            "a_foreign_namespace_is_left_alone",
            case_start::a_foreign_namespace_is_left_alone,
        ),
        case(
            "an_error_in_the_middle_leaves_nothing",
            case_start::an_error_in_the_middle_leaves_nothing,
        ),
        case(
            "when_no_node_records_it_says_why",
            case_start::when_no_node_records_it_says_why,
        ),
        case(
            "nodes_that_do_not_record_are_named",
            case_nodes::nodes_that_do_not_record_are_named,
        ),
        case("nodes_that_leave_are_named", case_nodes::nodes_that_leave_are_named),
        case(
            "a_node_that_joins_is_named_and_collected",
            case_nodes::a_node_that_joins_is_named_and_collected,
        ),
        case(
            "a_pod_that_must_go_is_collected_first",
            case_nodes::a_pod_that_must_go_is_collected_first,
        ),
        case(
            "a_crash_keeps_what_was_finished",
            case_nodes::a_crash_keeps_what_was_finished,
        ),
        case("a_node_speaks_for_no_other", case_nodes::a_node_speaks_for_no_other),
    ];
    libtest_mimic::run(&Arguments::from_args(), trials).exit();
}
