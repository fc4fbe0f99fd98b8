// SPDX-License-Identifier: GPL-2.0

//! What a log that overflowed owes: everything that it was to log counts as written until it was reported.
//!
//! Reports are for parts of that, one after the other.

use core::ops::RangeInclusive;

/// The least and the last address of a range.
pub type Range = RangeInclusive<u64>;

/// Returns what two ranges have in common.
pub fn common(one: &Range, other: &Range) -> Option<Range> {
    let start = *one.start().max(other.start());
    let last = *one.end().min(other.end());
    (start <= last).then_some(start..=last)
}

/// Returns what of `owed` is left on both sides when `reported` was.
pub fn rest(owed: &Range, reported: &Range) -> [Option<Range>; 2] {
    if common(owed, reported).is_none() {
        return [Some(owed.clone()), None];
    }
    let below = (owed.start() < reported.start()).then(|| *owed.start()..=reported.start() - 1);
    let above = (owed.end() > reported.end()).then(|| reported.end() + 1..=*owed.end());
    [below, above]
}
