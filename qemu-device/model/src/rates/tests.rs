// SPDX-License-Identifier: GPL-2.0

//! Shares of functions that send without end, on a simulated clock.

use std::collections::BTreeMap;

use ferrite_abi::wire::{
    U32,
    U64, //
};

use super::*;

const MB: u64 = 1_000_000;

fn vf(n: u16) -> Slot {
    Slot::vf(n).unwrap()
}

fn rate() -> Rate {
    Rate::default()
}

fn limited(tx_max: u64) -> Rate {
    Rate {
        tx_max: U64::new(tx_max),
        ..rate()
    }
}

fn weighted(weight: u32) -> Rate {
    Rate {
        weight: U32::new(weight),
        ..rate()
    }
}

/// Has queues of functions send packets of 1000 bytes without end, for a second of a clock that
/// jumps to when something may happen; the device itself sends 100 MB/s. Returns the bytes of
/// each function and class.
fn run(rates: &mut Rates, queues: &[(Slot, u16, u8)]) -> BTreeMap<(Slot, u8), u64> {
    let mut sent = BTreeMap::new();
    let mut now = 1_000_000_000;
    let end = now + 1_000_000_000;
    for (slot, queue, class) in queues {
        rates.wait(*slot, *queue, *class);
    }
    while now < end {
        match rates.pick(now) {
            Pick::Queue(slot, queue) => {
                let find = |(s, q, _): &&(Slot, u16, u8)| (*s, *q) == (slot, queue);
                let (_, _, class) = *queues.iter().find(find).unwrap();
                rates.served(slot, queue, 1000, now);
                rates.wait(slot, queue, class);
                *sent.entry((slot, class)).or_default() += 1000;
                now += 10_000;
            }
            Pick::Wait(until) => {
                assert!(until > now, "a wait that is over");
                now = until;
            }
            Pick::Nobody => panic!("nobody, with queues that wait"),
        }
    }
    sent
}

/// Checks that what was sent is near what is expected, in MB a second.
#[track_caller]
fn near(sent: u64, expected: f64) {
    let sent = sent as f64 / MB as f64;
    assert!(
        (sent - expected).abs() <= expected * 0.03 + 0.1,
        "{sent} MB/s, not {expected}"
    );
}

#[test]
fn limit_holds_and_others_get_the_rest() {
    let mut rates = Rates::default();
    rates.set_leaf(vf(0), RATE_ROOT, &limited(20 * MB)).unwrap();
    let sent = run(&mut rates, &[(vf(0), 0, 0), (vf(1), 0, 0)]);
    near(sent[&(vf(0), 0)], 20.0);
    near(sent[&(vf(1), 0)], 80.0);
}

#[test]
fn slow_rates_are_kept_too() {
    let mut rates = Rates::default();
    rates.set_leaf(vf(0), RATE_ROOT, &limited(125_000)).unwrap();
    let sent = run(&mut rates, &[(vf(0), 0, 0)]);
    near(sent[&(vf(0), 0)], 0.125);
}

#[test]
fn weights_share_a_node() {
    let mut rates = Rates::default();
    let node = rates.create().unwrap();
    rates.set_node(node, RATE_ROOT, &limited(60 * MB)).unwrap();
    rates.set_leaf(vf(0), node, &weighted(1)).unwrap();
    rates.set_leaf(vf(1), node, &weighted(2)).unwrap();
    rates.set_leaf(vf(2), node, &weighted(3)).unwrap();
    let sent = run(
        &mut rates,
        &[(vf(0), 0, 0), (vf(1), 0, 0), (vf(2), 3, 0), (vf(3), 0, 0)],
    );
    near(sent[&(vf(0), 0)], 100.0 / 2.0 / 6.0);
    near(sent[&(vf(2), 0)], 100.0 / 2.0 / 2.0);
    // The node and the function beside it have the same weight.
    near(sent[&(vf(3), 0)], 50.0);
}

#[test]
fn queues_of_one_function_share_what_it_gets() {
    let mut rates = Rates::default();
    rates.set_leaf(vf(0), RATE_ROOT, &weighted(1)).unwrap();
    let sent = run(&mut rates, &[(vf(0), 0, 0), (vf(0), 1, 0), (vf(1), 0, 0)]);
    near(sent[&(vf(0), 0)], 50.0);
}

#[test]
fn priority_comes_first_with_all_that_it_has() {
    let mut rates = Rates::default();
    let high = Rate {
        priority: U32::new(1),
        ..limited(70 * MB)
    };
    rates.set_leaf(vf(0), RATE_ROOT, &high).unwrap();
    rates.set_leaf(vf(1), RATE_ROOT, &weighted(200)).unwrap();
    let sent = run(&mut rates, &[(vf(0), 0, 0), (vf(1), 0, 0)]);
    near(sent[&(vf(0), 0)], 70.0);
    near(sent[&(vf(1), 0)], 30.0);
}

#[test]
fn guaranteed_share_comes_before_weights() {
    let mut rates = Rates::default();
    let guaranteed = Rate {
        tx_share: U64::new(40 * MB),
        ..rate()
    };
    rates.set_leaf(vf(0), RATE_ROOT, &guaranteed).unwrap();
    rates.set_leaf(vf(1), RATE_ROOT, &weighted(200)).unwrap();
    let sent = run(&mut rates, &[(vf(0), 0, 0), (vf(1), 0, 0)]);
    assert!(sent[&(vf(0), 0)] >= 39 * MB, "{sent:?}");
    assert!(sent[&(vf(1), 0)] >= 55 * MB, "{sent:?}");
}

#[test]
fn classes_share_as_told_and_take_what_others_leave() {
    let mut rates = Rates::default();
    let mut classes = limited(50 * MB);
    classes.tc_bw[3] = U32::new(20);
    classes.tc_bw[4] = U32::new(80);
    rates.set_leaf(vf(0), RATE_ROOT, &classes).unwrap();
    assert!(rates.has_classes());
    let queues = [(vf(0), 0, 3), (vf(0), 1, 4), (vf(0), 2, 0)];
    let sent = run(&mut rates, &queues);
    near(sent[&(vf(0), 3)], 10.0);
    near(sent[&(vf(0), 4)], 40.0);
    assert_eq!(sent.get(&(vf(0), 0)), None, "class without share");
    let mut rates = Rates::default();
    rates.set_leaf(vf(0), RATE_ROOT, &classes).unwrap();
    let sent = run(&mut rates, &queues[..1]);
    near(sent[&(vf(0), 3)], 50.0);
}

#[test]
fn classes_of_a_node_are_those_of_all_its_leaves() {
    let mut rates = Rates::default();
    let node = rates.create().unwrap();
    let mut classes = limited(50 * MB);
    classes.tc_bw[0] = U32::new(30);
    classes.tc_bw[5] = U32::new(70);
    rates.set_node(node, RATE_ROOT, &classes).unwrap();
    rates.set_leaf(vf(0), node, &rate()).unwrap();
    rates.set_leaf(vf(1), node, &rate()).unwrap();
    let sent = run(&mut rates, &[(vf(0), 0, 0), (vf(1), 0, 5), (vf(1), 1, 0)]);
    near(sent[&(vf(1), 5)], 35.0);
    near(
        sent[&(vf(0), 0)] + sent.get(&(vf(1), 0)).unwrap_or(&0),
        15.0,
    );
}

#[test]
fn nodes_hold_what_hangs_from_them_together() {
    let mut rates = Rates::default();
    let (upper, lower) = (rates.create().unwrap(), rates.create().unwrap());
    rates.set_node(upper, RATE_ROOT, &limited(30 * MB)).unwrap();
    rates.set_node(lower, upper, &limited(20 * MB)).unwrap();
    rates.set_leaf(vf(0), lower, &rate()).unwrap();
    rates.set_leaf(vf(1), lower, &rate()).unwrap();
    rates.set_leaf(vf(2), upper, &limited(5 * MB)).unwrap();
    let sent = run(&mut rates, &[(vf(0), 0, 0), (vf(1), 0, 0), (vf(2), 0, 0)]);
    near(sent[&(vf(0), 0)], 10.0);
    near(sent[&(vf(1), 0)], 10.0);
    near(sent[&(vf(2), 0)], 5.0);
}

#[test]
fn burst_is_that_of_the_slowest_above() {
    let mut rates = Rates::default();
    let node = rates.create().unwrap();
    rates.set_node(node, RATE_ROOT, &limited(2 * MB)).unwrap();
    rates.set_leaf(vf(0), node, &limited(8 * MB)).unwrap();
    rates.set_leaf(vf(1), RATE_ROOT, &limited(100)).unwrap();
    assert_eq!([0, 1, 2].map(|n| rates.burst(vf(n))), [10_000, 1, u64::MAX]);
}

#[test]
fn tree_stays_a_tree() {
    let mut rates = Rates::default();
    let (a, b) = (rates.create().unwrap(), rates.create().unwrap());
    rates.set_node(b, a, &rate()).unwrap();
    assert_eq!(rates.set_node(a, b, &rate()), Err(Status::INVALID_FIELD));
    assert_eq!(rates.set_node(a, a, &rate()), Err(Status::INVALID_FIELD));
    assert_eq!(rates.set_node(9, a, &rate()), Err(Status::BAD_STATE));
    assert_eq!(rates.set_node(a, 9, &rate()), Err(Status::BAD_STATE));
    assert_eq!(rates.set_leaf(vf(0), 9, &rate()), Err(Status::BAD_STATE));
    assert_eq!(
        rates.set_leaf(vf(0), RATE_ROOT, &weighted(201)),
        Err(Status::INVALID_FIELD)
    );
    let mut half = rate();
    half.tc_bw[0] = U32::new(50);
    assert_eq!(
        rates.set_leaf(vf(0), RATE_ROOT, &half),
        Err(Status::INVALID_FIELD)
    );
    rates.set_leaf(vf(0), b, &rate()).unwrap();
    assert_eq!(rates.destroy(a), Err(Status::IN_USE));
    assert_eq!(rates.destroy(b), Err(Status::IN_USE));
    assert_eq!(rates.destroy(RATE_ROOT), Err(Status::BAD_STATE));
    rates.remove(vf(0));
    rates.destroy(b).unwrap();
    rates.destroy(a).unwrap();
    assert_eq!(rates.destroy(a), Err(Status::BAD_STATE));
    assert!(!rates.is_active());
    for _ in 0..MAX_NODES {
        rates.create().unwrap();
    }
    assert_eq!(rates.create(), Err(Status::NO_RESOURCE));
}

#[test]
fn what_was_saved_shares_as_before() {
    let mut rates = Rates::default();
    let (a, b) = (rates.create().unwrap(), rates.create().unwrap());
    rates.set_node(b, RATE_ROOT, &limited(30 * MB)).unwrap();
    rates.destroy(a).unwrap();
    rates.set_leaf(vf(0), b, &weighted(2)).unwrap();
    rates.set_leaf(vf(1), b, &rate()).unwrap();
    let mut writer = Writer::default();
    rates.save(&mut writer);
    let bytes = writer.finish();
    let mut rates = Rates::load(&mut Reader::new(&bytes)).unwrap();
    let sent = run(&mut rates, &[(vf(0), 0, 0), (vf(1), 0, 0)]);
    near(sent[&(vf(0), 0)], 20.0);
    near(sent[&(vf(1), 0)], 10.0);
    assert_eq!(rates.create(), Ok(a), "the gap is still there");
}
