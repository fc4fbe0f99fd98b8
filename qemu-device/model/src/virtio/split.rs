// SPDX-License-Identifier: GPL-2.0

//! Split virtqueues (2.7 of the virtio specification).

use ferrite_abi::event::QueueSyndrome;
use ferrite_abi::wire::{
    IntoBytes,
    U32, //
};

use super::queue::{
    passes,
    Areas,
    Chain,
    Dma,
    Used, //
};
use super::spec::{
    desc,
    SplitDesc,
    UsedElem,
    AVAIL_NO_INTERRUPT, //
};
use crate::save::saved;

/// Where the device is in the rings of a split queue. Indices run freely through all of `u16`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Split {
    /// Next entry of the available ring to take.
    avail: u16,
    /// How far the driver was when the device last looked.
    seen: u16,
    /// Next entry of the used ring to write.
    used: u16,
    /// `used` when it was last decided whether to interrupt.
    signalled: Option<u16>,
}

saved!(Split {
    avail,
    seen,
    used,
    signalled
});

/// Bytes before the entries of either ring: flags and index.
const RING_HEADER: u64 = 4;

impl Split {
    pub(crate) fn new(avail: u16, used: u16) -> Self {
        Self {
            avail,
            seen: avail,
            used,
            signalled: None,
        }
    }

    /// Returns size and alignment of the three areas.
    pub(crate) fn sizes(areas: &Areas) -> [(u64, u64); 3] {
        let size = u64::from(areas.size);
        [
            (16 * size, 16),
            (RING_HEADER + 2 * size + 2, 2),
            (RING_HEADER + 8 * size + 2, 4),
        ]
    }

    /// Returns where the device takes and returns the next buffer.
    pub(crate) fn position(&self) -> (u16, u16) {
        (self.avail, self.used)
    }

    /// Returns to where the device took buffers earlier.
    pub(crate) fn rewind(&mut self, then: &Self) {
        self.avail = then.avail;
    }

    /// Looks how far the driver is. Returns how many buffers are ready.
    fn look(&mut self, areas: &Areas, dma: &mut Dma<'_, '_>) -> Result<u16, QueueSyndrome> {
        self.seen = dma.load16(areas.driver.wrapping_add(2))?;
        let ready = self.seen.wrapping_sub(self.avail);
        if ready <= areas.size {
            Ok(ready)
        } else {
            Err(QueueSyndrome::BAD_TAIL)
        }
    }

    /// Takes the next buffer.
    pub(crate) fn pop(
        &mut self,
        areas: &Areas,
        dma: &mut Dma<'_, '_>,
        chain: &mut Chain,
    ) -> Result<bool, QueueSyndrome> {
        if self.seen == self.avail && self.look(areas, dma)? == 0 {
            return Ok(false);
        }
        let at = u64::from(self.avail % areas.size);
        let mut head = [0; 2];
        dma.read_ring(areas.driver + RING_HEADER + 2 * at, &mut head)?;
        chain.id = u16::from_le_bytes(head);
        chain.slots = 1;
        walk(areas, dma, chain)?;
        self.avail = self.avail.wrapping_add(1);
        Ok(true)
    }

    /// Writes used entries. Returns whether the driver wants to be interrupted.
    pub(crate) fn publish(
        &mut self,
        areas: &Areas,
        dma: &mut Dma<'_, '_>,
        done: &[Used],
    ) -> Result<bool, QueueSyndrome> {
        for used in done {
            let elem = UsedElem {
                id: U32::new(used.id.into()),
                len: U32::new(used.len),
            };
            let at = u64::from(self.used % areas.size);
            dma.write_ring(areas.device + RING_HEADER + 8 * at, elem.as_bytes())?;
            self.used = self.used.wrapping_add(1);
        }
        // ORDERING: publishes the entries; the full fence that follows pairs with the driver's between
        // its write of the event, or of the flags, and its look at this index.
        dma.store(areas.device, u32::from(self.used) << 16)?;
        if !areas.event_idx {
            return Ok(dma.load16(areas.driver)? & AVAIL_NO_INTERRUPT == 0);
        }
        let event = dma.load16(areas.driver + RING_HEADER + 2 * u64::from(areas.size))?;
        let old = self.signalled.replace(self.used);
        Ok(old.is_none_or(|old| passes(event, self.used, old)))
    }

    /// Asks to be notified of the next buffer. Returns whether there is none yet.
    pub(crate) fn park(
        &mut self,
        areas: &Areas,
        dma: &mut Dma<'_, '_>,
    ) -> Result<bool, QueueSyndrome> {
        if areas.event_idx {
            let event = areas.device + RING_HEADER + 8 * u64::from(areas.size);
            dma.write_ring(event, &self.avail.to_le_bytes())?;
        }
        // ORDERING: the word is what it was; storing it brings the full fence by which either the
        // device sees the driver's new index here or the driver sees the event above.
        dma.store(areas.device, u32::from(self.used) << 16)?;
        Ok(self.look(areas, dma)? == 0)
    }
}

/// Follows the descriptors of a buffer from that with the number `chain.id` on.
fn walk(areas: &Areas, dma: &mut Dma<'_, '_>, chain: &mut Chain) -> Result<(), QueueSyndrome> {
    let mut at = chain.id;
    // No buffer has more descriptors than there are, so that a loop ends here, too.
    for _ in 0..areas.size {
        if at >= areas.size {
            return Err(QueueSyndrome::BAD_CHAIN);
        }
        let mut entry = SplitDesc::default();
        dma.read_ring(areas.descriptors + 16 * u64::from(at), entry.as_mut_bytes())?;
        let flags = entry.flags.get();
        if flags & desc::INDIRECT != 0 {
            if !areas.indirect || flags & desc::NEXT != 0 {
                return Err(QueueSyndrome::BAD_CHAIN);
            }
            let table = (entry.addr.get(), entry.len.get());
            return chain.with_table(dma, table, areas.size, walk_table);
        }
        chain.push(entry.addr.get(), entry.len.get(), flags)?;
        if flags & desc::NEXT == 0 {
            return Ok(());
        }
        at = entry.next.get();
    }
    Err(QueueSyndrome::BAD_CHAIN)
}

/// Follows the descriptors of a table.
fn walk_table(
    chain: &mut Chain,
    entry: &dyn Fn(usize) -> Option<SplitDesc>,
) -> Result<(), QueueSyndrome> {
    let mut at = 0;
    let mut steps = 0;
    while let Some(found) = entry(at) {
        // A step for each entry that there is; any more go in a circle.
        if entry(steps).is_none() {
            break;
        }
        steps += 1;
        let flags = found.flags.get();
        if flags & desc::INDIRECT != 0 {
            break;
        }
        chain.push(found.addr.get(), found.len.get(), flags)?;
        if flags & desc::NEXT == 0 {
            return Ok(());
        }
        at = usize::from(found.next.get());
    }
    Err(QueueSyndrome::BAD_CHAIN)
}
