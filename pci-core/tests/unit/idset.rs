// SPDX-License-Identifier: GPL-2.0

//! Sets of numbers, against the one of the standard library.

use std::collections::BTreeSet;

use ferrite_core_logic::idset::IdSet;
use proptest::prelude::*;

type Set = IdSet<3>;
/// The first number that cannot be in it.
const END: u32 = 192;

proptest! {
    #[test]
    fn behaves_like_a_set(steps in prop::collection::vec((any::<bool>(), 0u32..200), 0..400)) {
        let mut set = Set::EMPTY;
        let mut model = BTreeSet::new();
        for (put, number) in steps {
            if put {
                let fits = number < END;
                prop_assert_eq!(set.insert(number), fits && model.insert(number));
            } else {
                prop_assert_eq!(set.remove(number), model.remove(&number));
            }
            prop_assert_eq!(set.len() as usize, model.len());
            prop_assert_eq!(set.is_empty(), model.is_empty());
            let missing = (0..END).find(|number| !model.contains(number));
            prop_assert_eq!(set.lowest_missing(), missing);
            for from in 0..END + 2 {
                prop_assert_eq!(set.next(from), model.range(from..).next().copied());
            }
        }
    }
}

#[test]
fn full_set_misses_nothing() {
    let mut set = Set::EMPTY;
    for number in 0..END {
        assert_eq!(set.lowest_missing(), Some(number));
        assert!(set.insert(number));
    }
    assert_eq!(set.lowest_missing(), None);
    assert_eq!(set.len(), END);
}
