// SPDX-License-Identifier: GPL-2.0

//! What becomes due, and when.

use std::collections::BTreeSet;

use crate::host::PciFn;
use crate::queue::Kind;
use crate::slot::Slot;

/// Something that becomes due.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Timer {
    /// A delayed completion of the admin queue.
    Admin(PciFn),
    /// The turn of a queue that shares by rates.
    Rates,
    /// A moderated interrupt of a queue.
    Interrupt(Slot, Kind, u16),
    /// Segments that wait for others in an RX queue.
    Coalesce(Slot, u16),
}

impl Timer {
    /// Returns the slot of the function whose timer this is.
    pub(crate) fn owner(&self) -> Option<Slot> {
        match *self {
            Self::Admin(function) => Slot::of_pci(function),
            Self::Rates => None,
            Self::Interrupt(slot, ..) | Self::Coalesce(slot, _) => Some(slot),
        }
    }
}

/// All that becomes due. There is at most one entry a queue and moment.
#[derive(Debug, Default)]
pub(crate) struct Timers(BTreeSet<(u64, Timer)>);

impl Timers {
    /// Adds an entry.
    pub(crate) fn add(&mut self, at: u64, timer: Timer) {
        self.0.insert((at, timer));
    }

    /// Takes an entry back.
    pub(crate) fn remove(&mut self, at: u64, timer: Timer) {
        self.0.remove(&(at, timer));
    }

    /// Takes the first entry that is due.
    pub(crate) fn take_due(&mut self, now: u64) -> Option<Timer> {
        let (at, timer) = *self.0.first()?;
        (at <= now).then(|| {
            self.0.pop_first();
            timer
        })
    }

    /// Returns when the next entry is due.
    pub(crate) fn next(&self) -> Option<u64> {
        self.0.first().map(|(at, _)| *at)
    }

    /// Forgets those that are not wanted any more.
    pub(crate) fn cancel(&mut self, unwanted: impl Fn(&Timer) -> bool) {
        self.0.retain(|(_, timer)| !unwanted(timer));
    }

    /// Forgets all.
    pub(crate) fn clear(&mut self) {
        self.0.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_become_due_in_the_order_of_time() {
        let mut timers = Timers::default();
        timers.add(30, Timer::Admin(PciFn(0)));
        timers.add(10, Timer::Admin(PciFn(1)));
        timers.add(20, Timer::Interrupt(Slot::PF, Kind::Rx, 0));
        timers.remove(30, Timer::Admin(PciFn(0)));
        assert_eq!(timers.take_due(9), None);
        assert_eq!(timers.next(), Some(10));
        assert_eq!(timers.take_due(25), Some(Timer::Admin(PciFn(1))));
        assert_eq!(
            timers.take_due(25),
            Some(Timer::Interrupt(Slot::PF, Kind::Rx, 0))
        );
        assert_eq!(timers.next(), None);
    }
}
