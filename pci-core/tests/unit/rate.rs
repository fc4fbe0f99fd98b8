// SPDX-License-Identifier: GPL-2.0

//! Rates, as users change them piece by piece.

use ferrite_abi::cmd::{Rate, TRAFFIC_CLASSES};
use ferrite_core_logic::rate::{changed, is_none, BadRate, Change};

fn classes(shares: &[u32]) -> Change {
    let mut all = [0; TRAFFIC_CLASSES];
    all[..shares.len()].copy_from_slice(shares);
    Change::Classes(all)
}

#[test]
fn pieces_add_up() {
    let changes = [
        Change::Max(1000),
        Change::Share(10),
        Change::Priority(7),
        Change::Weight(200),
        classes(&[20, 80]),
    ];
    let rate = changes.into_iter().fold(Rate::default(), |rate, change| {
        changed(&rate, change).unwrap()
    });
    assert_eq!((rate.tx_max.get(), rate.tx_share.get()), (1000, 10));
    assert_eq!((rate.priority.get(), rate.weight.get()), (7, 200));
    assert_eq!(rate.tc_bw.map(|share| share.get())[..3], [20, 80, 0]);
}

#[test]
fn what_cannot_be_is_refused() {
    let table = [
        (Change::Weight(201), BadRate::Weight(201)),
        (classes(&[20, 70]), BadRate::Classes(90)),
        (
            classes(&[u32::MAX; 8]),
            BadRate::Classes(8 * u64::from(u32::MAX)),
        ),
    ];
    for (change, why) in table {
        assert_eq!(
            changed(&Rate::default(), change).err(),
            Some(why),
            "{change:?}"
        );
    }
}

#[test]
fn zero_takes_a_limit_away() {
    let limited = changed(&Rate::default(), Change::Max(1000)).unwrap();
    let free = changed(&limited, Change::Max(0)).unwrap();
    assert!(is_none(&free) && !is_none(&limited));
    assert!(changed(&free, Change::Share(u64::MAX)).is_ok());
    assert!(changed(&limited, classes(&[])).is_ok());
}

#[test]
fn refusals_say_what_to_do() {
    assert!(BadRate::Weight(300).to_string().contains("use 1 to 200"));
    assert!(BadRate::Classes(90).to_string().contains("90 together"));
}
