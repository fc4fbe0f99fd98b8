// SPDX-License-Identifier: GPL-2.0

//! Filters: where they are put.

/// Where a filter is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// At this location.
    At(u32),
    /// At the first location that is free.
    First,
    /// At the last location that is free.
    Last,
}

/// Finds the location for a filter, below `size`. `taken` are the locations of those that there are, in
/// ascending order. [`None`] if there is none.
pub fn locate(place: Place, taken: impl DoubleEndedIterator<Item = u16>, size: u16) -> Option<u16> {
    match place {
        Place::At(at) => u16::try_from(at).ok().filter(|at| *at < size),
        Place::First => {
            // The first one that is not where it would be if there was no gap.
            let mut free = 0;
            for location in taken {
                if location != free {
                    break;
                }
                free += 1;
            }
            Some(free).filter(|at| *at < size)
        }
        Place::Last => {
            let mut free = size.checked_sub(1)?;
            for location in taken.rev() {
                if location != free {
                    break;
                }
                free = free.checked_sub(1)?;
            }
            Some(free)
        }
    }
}
