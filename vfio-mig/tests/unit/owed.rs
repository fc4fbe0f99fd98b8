// SPDX-License-Identifier: GPL-2.0

use ferrite_vfio_logic::owed::{
    common,
    rest, //
};
use proptest::prelude::*;

#[test]
fn ends_of_the_address_space_are_no_special_case() {
    let all = 0..=u64::MAX;
    assert_eq!(common(&all, &(5..=9)), Some(5..=9));
    assert_eq!(rest(&all, &(0..=9)), [None, Some(10..=u64::MAX)]);
    assert_eq!(rest(&all, &(9..=u64::MAX)), [Some(0..=8), None]);
    assert_eq!(rest(&all, &all), [None, None]);
}

proptest! {
    #[test]
    fn what_is_reported_and_what_is_left_are_what_was_owed(
        a in 0u64..40, len in 0u64..20, b in 0u64..40, other in 0u64..20,
    ) {
        let (owed, reported) = (a..=a + len, b..=b + other);
        for address in 0..64 {
            let now = common(&owed, &reported).is_some_and(|now| now.contains(&address));
            let later = rest(&owed, &reported)
                .into_iter()
                .flatten()
                .any(|later| later.contains(&address));
            prop_assert_eq!(now || later, owed.contains(&address));
            prop_assert!(!(now && later));
        }
    }
}
