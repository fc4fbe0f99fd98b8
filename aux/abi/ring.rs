// SPDX-License-Identifier: GPL-2.0

//! Ring arithmetic: free-running indices, depths, phase bits, event suppression.

use core::num::Wrapping;

/// Number of entries of a ring, a power of two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Depth(u8);

impl Depth {
    /// Smallest and largest logarithm that any ring may have.
    pub const LOG2_RANGE: core::ops::RangeInclusive<u8> = 4..=13;

    /// Returns the depth of `2^log2` entries, or [`None`] if that is outside [`Self::LOG2_RANGE`].
    pub const fn from_log2(log2: u8) -> Option<Self> {
        if log2 >= 4 && log2 <= 13 {
            Some(Self(log2))
        } else {
            None
        }
    }

    /// Returns the smallest legal depth of at least `entries`, or [`None`] if there is none.
    pub fn at_least(entries: u32) -> Option<Self> {
        let log2 = entries.checked_next_power_of_two()?.trailing_zeros() as u8;
        Self::from_log2(log2.max(*Self::LOG2_RANGE.start()))
    }

    /// Returns the logarithm, as commands carry it.
    pub const fn log2(self) -> u8 {
        self.0
    }

    /// Returns the number of entries.
    pub const fn entries(self) -> u32 {
        1 << self.0
    }

    /// Returns the slot that `index` falls on.
    pub const fn slot(self, index: Index) -> usize {
        (index.0 & (self.entries() - 1)) as usize
    }

    /// Returns the phase bit of the entry at `index`: 1 in the first pass over the ring, 0 in the
    /// second, and so on. Rings start zeroed, so that no entry seems valid.
    pub const fn phase(self, index: Index) -> bool {
        (index.0 >> self.0) & 1 == 0
    }
}

/// Free-running index of a ring entry.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Index(pub u32);

impl Index {
    /// Returns the index `n` entries further.
    #[must_use]
    pub const fn plus(self, n: u32) -> Self {
        Self(self.0.wrapping_add(n))
    }

    /// Returns how many entries `self` is ahead of `earlier`, modulo 2^32.
    pub const fn since(self, earlier: Self) -> u32 {
        self.0.wrapping_sub(earlier.0)
    }
}

/// Returns whether moving an index from `old` to `new` passes `event`, that is, whether the side
/// that wrote `event` asked to be told: by doorbell in one direction, by interrupt in the other.
///
/// The entry at index `event` is the one that is waited for, as in virtio 1.3, section 2.7.7.
pub fn need_event(event: Index, new: Index, old: Index) -> bool {
    let moved = Wrapping(new.0) - Wrapping(old.0);
    let past = Wrapping(new.0) - Wrapping(event.0) - Wrapping(1);
    past < moved
}

/// Returns the number of entries that a peer made available between `head` and the `tail` that it
/// claims, or [`None`] if that is more than the ring holds, so that the claim must be false.
pub const fn available(depth: Depth, head: Index, tail: Index) -> Option<u32> {
    let count = tail.since(head);
    if count <= depth.entries() {
        Some(count)
    } else {
        None
    }
}
