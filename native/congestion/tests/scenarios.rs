//! RFC 8867's test cases, and what else paths do: how much of them is used, how long packets wait, how fast that is so again after
//! a change. What is asserted leaves room beside the figures of the README; each run is the same every time.

mod support;

use std::time::Duration;

use congestion::Bitrate;
use simulation::Loss;
use support::record::fairness;
use support::scenarios::{self, Outcome};
use support::tcp::Algorithm;
use support::{MS, SECOND};

fn assert_used(outcome: &Outcome, flow: Option<usize>, from: u64, to: u64, least: f64) {
    let used = outcome.utilisation(flow, from, to);
    assert!(used >= least, "{used:.2} used of the path from {from} s to {to} s");
}

fn assert_waited(outcome: &Outcome, from: u64, to: u64, most: Duration) {
    let waited = outcome.p95(from, to);
    assert!(waited <= most, "{waited:?} waited from {from} s to {to} s");
}

/// Each change, and the longest it may take to recover from it.
fn assert_recovers(outcome: &Outcome, flow: Option<usize>, within: &[u64]) {
    let recoveries = outcome.recoveries(flow);
    assert_eq!(recoveries.len(), within.len());
    for ((at, recovered), within) in recoveries.iter().zip(within) {
        let soon = recovered.is_some_and(|recovered| recovered <= Duration::from_secs(*within));
        assert!(soon, "recovered from the change at {at} s after {recovered:?}");
    }
}

#[test]
fn one_flow_follows_a_capacity_that_varies() {
    let outcome = scenarios::variable_capacity_single_flow();
    assert_used(&outcome, None, 0, 100, 0.75);
    assert_used(&outcome, None, 5, 40, 0.85);
    assert_waited(&outcome, 0, 100, 80 * MS);
    assert_recovers(&outcome, None, &[10, 3, 10]);
}

#[test]
fn jitter_of_thirty_milliseconds_is_not_taken_for_a_queue() {
    let outcome = scenarios::variable_capacity_with_jitter();
    assert_used(&outcome, None, 5, 40, 0.8);
    // Up to 30 ms of it are the jitter.
    assert_waited(&outcome, 0, 100, 110 * MS);
    assert_recovers(&outcome, None, &[12, 3, 10]);
}

#[test]
fn two_flows_follow_a_capacity_that_varies() {
    let outcome = scenarios::variable_capacity_two_flows();
    assert_used(&outcome, None, 0, 125, 0.8);
    assert_waited(&outcome, 0, 125, 100 * MS);
    assert_recovers(&outcome, None, &[4, 13, 4, 10]);
    let shares = [0, 1].map(|flow| outcome.record.rate(Some(flow), 30, 125));
    assert!(fairness(&shares) > 0.9, "{shares:?}");
}

#[test]
fn feedback_over_a_congested_path_is_enough() {
    let outcome = scenarios::congested_feedback();
    assert_used(&outcome, Some(0), 0, 100, 0.7);
    assert_waited(&outcome, 0, 100, 100 * MS);
    // From a quarter of the path to all of it, without a probe that stands for it, by growth alone.
    assert_recovers(&outcome, Some(0), &[4, 4, 25]);
}

#[test]
fn media_flows_that_join_later_get_their_share() {
    let outcome = scenarios::competing_media();
    assert_used(&outcome, None, 5, 120, 0.8);
    assert_waited(&outcome, 5, 120, 100 * MS);
    let shares = [0, 1, 2].map(|flow| outcome.record.rate(Some(flow), 80, 120));
    assert!(fairness(&shares) > 0.9, "{shares:?}");
}

#[test]
fn flows_with_other_round_trip_times_get_similar_shares() {
    let outcome = scenarios::round_trip_fairness(180);
    assert_used(&outcome, None, 5, 180, 0.8);
    assert_waited(&outcome, 45, 180, 110 * MS);
    let shares = [0, 1, 2, 3, 4].map(|flow| outcome.record.rate(Some(flow), 80, 180));
    assert!(fairness(&shares) > 0.85, "{shares:?}");
}

/// The RFC asks for a fair share, which a controller that keeps queues short cannot have of a path whose queue TCP keeps full:
/// the README compares. It must neither be starved to nothing nor hurt the TCP flow.
#[test]
fn beside_a_long_tcp_flow_media_goes_on_with_little() {
    for algorithm in [Algorithm::Cubic, Algorithm::Reno] {
        let outcome = scenarios::long_tcp(300 * MS, algorithm);
        assert_used(&outcome, None, 10, 115, 0.95);
        let media = outcome.record.rate(Some(0), 60, 115);
        assert!((Bitrate::kbps(120)..=Bitrate::kbps(1000)).contains(&media), "{media}");
    }
}

/// With a second of queue there is nothing to be had: the source stays at what it sends at least.
#[test]
fn beside_tcp_in_a_queue_of_a_second_the_estimate_keeps_to_its_minimum() {
    let outcome = scenarios::long_tcp(SECOND, Algorithm::Cubic);
    let (least, most) = outcome.record.extremes(0, 60, 115);
    assert!(least >= Bitrate::kbps(30) && most <= Bitrate::kbps(300), "{least} to {most}");
}

#[test]
fn short_tcp_flows_are_yielded_to_and_what_they_leave_is_taken_again() {
    let outcome = scenarios::short_tcp(150);
    assert_used(&outcome, None, 5, 150, 0.65);
    let p50 = outcome.record.waited(None, 0.5, 5, 150);
    assert!(p50 < 60 * MS, "{p50:?}");
    for flow in [0, 1] {
        let rate = outcome.record.rate(Some(flow), 5, 150);
        assert!(rate > Bitrate::kbps(300), "{rate}");
    }
}

#[test]
fn a_flow_that_pauses_leaves_its_share_and_comes_back_to_it() {
    let outcome = scenarios::pause_and_resume();
    assert_used(&outcome, None, 5, 120, 0.8);
    assert_used(&outcome, None, 45, 60, 0.8);
    assert_waited(&outcome, 5, 120, 100 * MS);
    assert_eq!(outcome.record.rate(Some(0), 41, 60), Bitrate::ZERO);
    // What the others have taken is given back slowly (the late-comer's lot).
    let back = outcome.record.rate(Some(0), 100, 120);
    assert!(back > Bitrate::kbps(500), "{back}");
}

#[test]
fn a_queue_of_a_second_is_kept_short_and_drained_after_a_drop_to_a_fifth() {
    let outcome = scenarios::bufferbloat();
    assert_waited(&outcome, 0, 30, 80 * MS);
    assert_waited(&outcome, 35, 60, 100 * MS);
    assert_recovers(&outcome, None, &[5, 10]);
}

#[test]
fn loss_of_two_and_five_percent_does_not_slow_it_down() {
    for share in [0.02, 0.05] {
        let outcome = scenarios::random_loss(Loss::Uniform(share));
        assert_used(&outcome, None, 5, 60, 0.8);
        assert_waited(&outcome, 5, 60, 80 * MS);
    }
}

#[test]
fn loss_in_bursts_of_five_percent_slows_it_down_little() {
    let outcome = scenarios::random_loss(Loss::bursts(0.05, 5.0));
    assert_used(&outcome, None, 5, 60, 0.65);
}

/// By the draft alone the rate would fall to nothing; that the loss does not follow the rate is found out instead.
#[test]
fn loss_of_ten_percent_that_does_not_follow_the_rate_is_put_up_with() {
    let outcome = scenarios::random_loss(Loss::Uniform(0.10));
    assert_used(&outcome, None, 25, 60, 0.7);
    assert_waited(&outcome, 5, 60, 80 * MS);
}

#[test]
fn simulcast_layers_go_down_at_once_and_up_again_within_seconds() {
    let outcome = scenarios::layers();
    assert!(outcome.record.rate(Some(0), 5, 30) > Bitrate::kbps(1900));
    let waits = outcome.record.calms(100 * MS, 30).unwrap();
    assert!(waits < 3 * SECOND, "{waits:?}");
    let down = outcome.record.rate(Some(0), 33, 50);
    assert!((Bitrate::kbps(480)..Bitrate::kbps(700)).contains(&down), "{down}");
    let up = outcome.record.reaches(Some(0), Bitrate::kbps(1900), 50).unwrap();
    assert!(up < 12 * SECOND, "{up:?}");
}

#[test]
fn sending_less_than_it_may_neither_lowers_nor_inflates_the_estimate() {
    let outcome = scenarios::application_limited();
    let (least, most) = outcome.record.extremes(0, 5, 60);
    // 2 Mb/s are useful.
    assert!(least >= Bitrate::kbps(2000) && most <= Bitrate::kbps(2500), "{least} to {most}");
}

#[test]
fn an_outage_takes_the_estimate_down_and_is_over_soon_after_its_end() {
    let outcome = scenarios::outage();
    let (least, _) = outcome.record.extremes(0, 20, 24);
    assert!(least < Bitrate::kbps(1000), "{least}");
    let back = outcome.record.reaches(Some(0), Bitrate::kbps(1500), 25).unwrap();
    assert!(back < 10 * SECOND, "{back:?}");
}

#[test]
fn a_start_finds_what_the_path_carries_within_a_second_or_two() {
    for kbps in [2500, 10_000] {
        let outcome = scenarios::start(kbps, 10);
        let found = outcome.record.reaches(Some(0), Bitrate::kbps(kbps).scale(0.8), 0).unwrap();
        assert!(found < 2 * SECOND, "{found:?}");
        assert_waited(&outcome, 0, 10, 100 * MS);
    }
}
