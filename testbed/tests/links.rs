//! What the agent does on a link, in the lab.
#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "a test that cannot go on says so by failing")]

mod common;

fn play(case: &str) {
    if let Some((well, said)) = common::play(&["link", case]) {
        assert!(well, "{said}");
    }
}

#[test]
fn gateways_answer_fall_silent_and_come_back() {
    play("gateway");
}

#[test]
fn a_node_without_servers_is_the_last_resort() {
    play("backends");
}

#[test]
fn interfaces_and_addresses_that_come_late_go_and_come_again_are_used() {
    play("comes");
}

#[test]
fn a_master_that_is_started_again_keeps_its_address_unless_it_was_followed() {
    play("adopt");
}

#[test]
fn nobody_moves_when_a_control_process_is_killed() {
    play("control");
}

#[test]
fn routes_and_rules_stay_until_what_has_begun_is_served() {
    play("routes");
}
