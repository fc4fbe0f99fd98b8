// SPDX-License-Identifier: GPL-2.0

//! The doorbell latch: what a vCPU's write to a doorbell page leaves behind for the device.

use std::sync::atomic::{
    AtomicBool,
    AtomicU64,
    Ordering, //
};

use ferrite_abi::bar::{
    Doorbell,
    DOORBELL_NOTIFY,
    DOORBELL_PAGE, //
};
use ferrite_abi::ids::{
    FunctionId,
    MAX_QUEUES, //
};

use crate::host::PciFn;
use crate::slot::{
    Slot,
    SLOTS, //
};

const _: () = assert!(
    MAX_QUEUES <= 64,
    "a word has a bit for each queue of a kind"
);

/// Words of a bitmap with a bit for each slot.
const SUMMARY: usize = SLOTS.div_ceil(64);

/// Doorbells that were rung and not yet seen to, for all functions of a device.
///
/// Any thread may ring, without lock; only the device takes.
#[derive(Debug)]
pub struct Latch {
    /// Rings of the TX and RX queues of each slot.
    rung: Box<[[AtomicU64; 2]]>,
    /// Slots that have any.
    slots: [AtomicU64; SUMMARY],
    /// Whether the device was already asked to run.
    scheduled: AtomicBool,
}

impl Latch {
    pub(crate) fn new() -> Self {
        Self {
            rung: (0..SLOTS).map(|_| Default::default()).collect(),
            slots: [const { AtomicU64::new(0) }; SUMMARY],
            scheduled: AtomicBool::new(false),
        }
    }

    /// Notes a write of `value` at `offset` in the doorbell BAR of a PCI function. Returns whether
    /// [`Device::run`](crate::Device::run) has to be scheduled; otherwise it already is, or nothing
    /// was rung.
    ///
    /// The latch does not know what a function is, so that a write at the start of a page rings for a
    /// TX queue as well as for the virtqueue that the value tells. To look at a queue without need
    /// does no harm.
    #[must_use]
    pub fn ring(&self, function: PciFn, offset: u64, value: u32) -> bool {
        let Some((slot, doorbell)) = decode(function, offset) else {
            return false;
        };
        // CAST: the low half is the index.
        let notified = (doorbell.offset() == DOORBELL_NOTIFY).then_some(value as u16);
        let at = slot.index();
        let mut rang = false;
        for doorbell in [Some(doorbell), notified.map(Doorbell::Virtio)] {
            if let Some((word, queue)) = doorbell.and_then(place) {
                self.rung[at][word].fetch_or(1 << queue, Ordering::Relaxed);
                rang = true;
            }
        }
        if !rang {
            return false;
        }
        // ORDERING: publishes the bit above to `take`, which clears this one with acquire.
        self.slots[at / 64].fetch_or(1 << (at % 64), Ordering::Release);
        // ORDERING: publishes the bits above to `begin`, so that a run that begins after this
        // sees them, and one that began before is followed by another.
        !self.scheduled.swap(true, Ordering::AcqRel)
    }

    /// Begins a run: what is rung from now on schedules another.
    pub(crate) fn begin(&self) {
        // ORDERING: pairs with the swap in `ring`.
        self.scheduled.swap(false, Ordering::AcqRel);
    }

    /// Takes all rings: calls `rung` with a slot and the bitmaps of its TX and RX queues.
    pub(crate) fn take(&self, mut rung: impl FnMut(Slot, u64, u64)) {
        for (word, slots) in self.slots.iter().enumerate() {
            // Reading first saves an atomic write for each idle word.
            if slots.load(Ordering::Relaxed) == 0 {
                continue;
            }
            // ORDERING: pairs with the release in `ring`.
            let mut bits = slots.swap(0, Ordering::Acquire);
            while bits != 0 {
                let at = word * 64 + bits.trailing_zeros() as usize;
                bits &= bits - 1;
                let Some(slot) = Slot::from_index(at) else {
                    continue;
                };
                let [tx, rx] = &self.rung[at];
                rung(
                    slot,
                    tx.swap(0, Ordering::Relaxed),
                    rx.swap(0, Ordering::Relaxed),
                );
            }
        }
    }
}

/// Returns the word and the bit of a queue. Those of a virtio-net device are where the pair has its
/// TX and RX queue; its control queue has the place of the RX queue of the pair that would be next.
fn place(doorbell: Doorbell) -> Option<(usize, u16)> {
    let (word, queue) = match doorbell {
        Doorbell::Tx(queue) => (0, queue),
        Doorbell::Rx(queue) => (1, queue),
        Doorbell::Virtio(queue) => (usize::from(queue % 2 == 0), queue / 2),
    };
    (queue < MAX_QUEUES).then_some((word, queue))
}

/// Finds out whose doorbell is at `offset` of a PCI function's doorbell BAR.
fn decode(function: PciFn, offset: u64) -> Option<(Slot, Doorbell)> {
    let page = u16::try_from(offset / u64::from(DOORBELL_PAGE)).ok()?;
    let doorbell = Doorbell::decode((offset % u64::from(DOORBELL_PAGE)) as u32)?;
    let id = match (function.vf_index(), page) {
        (None, page) => FunctionId::of_pf_page(page)?,
        (Some(vf), 0) => FunctionId::vf(vf)?,
        (Some(_), _) => return None,
    };
    Some((Slot::of(id)?, doorbell))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken(latch: &Latch) -> Vec<(Slot, u64, u64)> {
        let mut all = Vec::new();
        latch.take(|slot, tx, rx| all.push((slot, tx, rx)));
        all
    }

    #[test]
    fn first_ring_schedules_and_later_ones_do_not() {
        let latch = Latch::new();
        assert!(latch.ring(PciFn::PF, 0x0, 0));
        assert!(!latch.ring(PciFn::PF, 0x4, 0));
        assert!(!latch.ring(PciFn::vf(3), 0x400, 0));
        latch.begin();
        assert_eq!(
            taken(&latch),
            [(Slot::PF, 0b11, 1), (Slot::vf(3).unwrap(), 0, 1)]
        );
        assert!(latch.ring(PciFn::PF, 0x0, 0));
    }

    #[test]
    fn ring_during_a_run_schedules_another() {
        let latch = Latch::new();
        assert!(latch.ring(PciFn::PF, 0x0, 0));
        latch.begin();
        assert!(latch.ring(PciFn::PF, 0x0, 0));
    }

    #[test]
    fn pages_of_the_pf_beyond_the_first_are_those_of_sfs() {
        let latch = Latch::new();
        assert!(latch.ring(PciFn::PF, 0x1000 * 1024 + 0x400 + 4 * 63, 0));
        assert_eq!(
            taken(&latch),
            [(Slot::of(FunctionId::sf(1023).unwrap()).unwrap(), 0, 1 << 63)]
        );
    }

    #[test]
    fn virtqueues_ring_where_their_pair_does() {
        let latch = Latch::new();
        let vf = Slot::vf(1).unwrap();
        for (index, tx, rx) in [(0u32, 0, 0b1), (1, 0b1, 0), (2, 0, 0b10), (127, 1 << 63, 0)] {
            assert!(latch.ring(PciFn::vf(1), 0x800 + 4 * u64::from(index), 0));
            latch.begin();
            assert_eq!(taken(&latch), [(vf, tx, rx)]);
            // By value, with notification data above the index, and for the TX queue there.
            assert!(latch.ring(PciFn::vf(1), 0, 0xabcd_0000 | index));
            latch.begin();
            assert_eq!(taken(&latch), [(vf, tx | 1, rx)]);
        }
    }

    #[test]
    fn what_rings_nothing_schedules_nothing() {
        let latch = Latch::new();
        for (function, offset) in [
            (PciFn::PF, 0x2),
            (PciFn::PF, 4 * 64),
            (PciFn::PF, 0x400 + 4 * 64),
            (PciFn::PF, 0x800 + 4 * 128),
            (PciFn::PF, 0x1000 * 4096),
            (PciFn::PF, u64::MAX - 3),
            (PciFn::vf(0), 0x1000),
            (PciFn::vf(64), 0),
            (PciFn(u16::MAX), 0),
        ] {
            assert!(!latch.ring(function, offset, 0), "{function:?} {offset:#x}");
        }
        assert_eq!(taken(&latch), []);
    }

    #[test]
    fn no_ring_is_lost_between_threads() {
        let latch = std::sync::Arc::new(Latch::new());
        let rings = 64;
        let ringers: Vec<_> = (0..4u16)
            .map(|vf| {
                let latch = latch.clone();
                std::thread::spawn(move || {
                    for queue in 0..rings {
                        let _ = latch.ring(PciFn::vf(vf), 4 * queue, 0);
                    }
                })
            })
            .collect();
        let mut seen = [0u64; 4];
        while seen != [u64::MAX; 4] {
            let done = ringers.iter().all(|ringer| ringer.is_finished());
            latch.begin();
            latch.take(|slot, tx, _| seen[slot.index() - 1] |= tx);
            assert!(!done || seen == [u64::MAX; 4], "lost: {seen:x?}");
        }
        for ringer in ringers {
            ringer.join().unwrap();
        }
    }
}
