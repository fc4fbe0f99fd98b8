// SPDX-License-Identifier: GPL-2.0

//! Which queues have work, and whose turn it is.

use crate::slot::{
    Slot,
    SLOTS, //
};

const WORDS: usize = SLOTS.div_ceil(64);

/// Queues to look at: a bit for each. Slots take turns.
#[derive(Debug)]
pub(crate) struct Work {
    /// TX and RX queues of each slot.
    queues: Box<[[u64; 2]]>,
    /// Slots that have any.
    slots: [u64; WORDS],
    /// Where the search for the next slot begins.
    next: usize,
}

impl Default for Work {
    fn default() -> Self {
        Self {
            queues: vec![[0; 2]; SLOTS].into_boxed_slice(),
            slots: [0; WORDS],
            next: 0,
        }
    }
}

impl Work {
    /// Adds TX and RX queues of a slot.
    pub(crate) fn add(&mut self, slot: Slot, tx: u64, rx: u64) {
        if tx | rx != 0 {
            let at = slot.index();
            self.queues[at][0] |= tx;
            self.queues[at][1] |= rx;
            self.slots[at / 64] |= 1 << (at % 64);
        }
    }

    /// Takes the queues of the slot whose turn it is.
    pub(crate) fn take(&mut self) -> Option<(Slot, u64, u64)> {
        let at = self.first_from(self.next).or_else(|| self.first_from(0))?;
        self.next = at + 1;
        self.slots[at / 64] &= !(1 << (at % 64));
        let [tx, rx] = std::mem::take(&mut self.queues[at]);
        Some((Slot::from_index(at)?, tx, rx))
    }

    /// Forgets all queues of a slot.
    pub(crate) fn remove(&mut self, slot: Slot) {
        let at = slot.index();
        self.slots[at / 64] &= !(1 << (at % 64));
        self.queues[at] = [0; 2];
    }

    /// Returns whether there is nothing to do.
    pub(crate) fn is_empty(&self) -> bool {
        self.slots.iter().all(|word| *word == 0)
    }

    /// Returns the first slot with work at or after an index.
    fn first_from(&self, start: usize) -> Option<usize> {
        let first = start / 64;
        self.slots
            .iter()
            .enumerate()
            .skip(first)
            .find_map(|(word, bits)| {
                let skipped = if word == first { start % 64 } else { 0 };
                let bits = bits >> skipped << skipped;
                (bits != 0).then(|| word * 64 + bits.trailing_zeros() as usize)
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slot(at: usize) -> Slot {
        Slot::from_index(at).unwrap()
    }

    #[test]
    fn slots_take_turns() {
        let mut work = Work::default();
        for at in [0, 5, 64, SLOTS - 1] {
            work.add(slot(at), 1, 0);
        }
        let mut turns = Vec::new();
        for _ in 0..6 {
            let (turn, tx, rx) = work.take().unwrap();
            turns.push(turn.index());
            work.add(turn, tx, rx);
        }
        assert_eq!(turns, [0, 5, 64, SLOTS - 1, 0, 5]);
    }

    #[test]
    fn queues_of_a_slot_come_together_and_once() {
        let mut work = Work::default();
        work.add(slot(3), 0b01, 0);
        work.add(slot(3), 0b10, 0b100);
        work.add(slot(4), 0, 0);
        assert_eq!(work.take(), Some((slot(3), 0b11, 0b100)));
        assert_eq!(work.take(), None);
        assert!(work.is_empty());
    }

    #[test]
    fn removed_slot_has_no_turn() {
        let mut work = Work::default();
        work.add(slot(3), 1, 1);
        work.remove(slot(3));
        assert!(work.is_empty());
        assert_eq!(work.take(), None);
    }
}
