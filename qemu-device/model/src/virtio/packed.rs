// SPDX-License-Identifier: GPL-2.0

//! Packed virtqueues (2.8 of the virtio specification).

use ferrite_abi::event::QueueSyndrome;
use ferrite_abi::wire::IntoBytes;

use super::queue::{
    passes,
    Areas,
    Chain,
    Dma,
    Used, //
};
use super::spec::{
    desc,
    event,
    PackedDesc, //
};
use crate::save::saved;

/// A place in the ring, in bits 14:0, and a wrap counter, in bit 15.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Position(u16);

const WRAP: u16 = 1 << 15;

impl Position {
    fn slot(self) -> u16 {
        self.0 & !WRAP
    }

    fn wrap(self) -> bool {
        self.0 & WRAP != 0
    }

    /// Moves on by no more entries than the ring has.
    fn advance(&mut self, slots: u16, size: u16) {
        let next = self.slot() + slots;
        let wrap = self.0 & WRAP;
        self.0 = if next >= size {
            (next - size) | (wrap ^ WRAP)
        } else {
            next | wrap
        };
    }
}

/// Where the device is in a packed ring, the size of which need not be a power of two.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Packed {
    /// Next entry to take.
    avail: u16,
    /// Next entry to return.
    used: u16,
    /// Entries returned since it was last decided whether to interrupt.
    since: Option<u16>,
}

saved!(Packed { avail, used, since });

/// Offset of the length in a descriptor.
const LEN: u64 = 8;
/// Offset of the word with id and flags in a descriptor.
const ID_FLAGS: u64 = 12;

impl Packed {
    pub(crate) fn new(avail: u16, used: u16) -> Self {
        Self {
            avail,
            used,
            since: None,
        }
    }

    /// Returns whether it is somewhere in the ring.
    pub(crate) fn is_possible(&self, areas: &Areas) -> bool {
        [self.avail, self.used]
            .iter()
            .all(|position| Position(*position).slot() < areas.size)
    }

    /// Returns size and alignment of the three areas.
    pub(crate) fn sizes(areas: &Areas) -> [(u64, u64); 3] {
        [(16 * u64::from(areas.size), 16), (4, 4), (4, 4)]
    }

    /// Returns where the device takes and returns the next buffer.
    pub(crate) fn position(&self) -> (u16, u16) {
        (self.avail, self.used)
    }

    /// Returns to where the device took buffers earlier.
    pub(crate) fn rewind(&mut self, then: &Self) {
        self.avail = then.avail;
    }

    /// Returns whether the next buffer is ready.
    fn is_ready(&self, areas: &Areas, dma: &mut Dma<'_, '_>) -> Result<bool, QueueSyndrome> {
        let avail = Position(self.avail);
        let addr = areas.descriptors + 16 * u64::from(avail.slot()) + ID_FLAGS;
        // ORDERING: the rest of the descriptors is read after their flags were.
        // CAST: the half that is wanted.
        let flags = (dma.load(addr)? >> 16) as u16;
        Ok((flags & desc::AVAIL != 0) == avail.wrap() && (flags & desc::USED != 0) != avail.wrap())
    }

    /// Takes the next buffer.
    pub(crate) fn pop(
        &mut self,
        areas: &Areas,
        dma: &mut Dma<'_, '_>,
        chain: &mut Chain,
    ) -> Result<bool, QueueSyndrome> {
        if !self.is_ready(areas, dma)? {
            return Ok(false);
        }
        let mut next = Position(self.avail);
        // No buffer has more descriptors than there are.
        while chain.slots < areas.size {
            let mut entry = PackedDesc::default();
            let addr = areas.descriptors + 16 * u64::from(next.slot());
            dma.read_ring(addr, entry.as_mut_bytes())?;
            next.advance(1, areas.size);
            chain.slots += 1;
            chain.id = entry.id.get();
            let flags = entry.flags.get();
            let last = flags & desc::NEXT == 0;
            if flags & desc::INDIRECT != 0 {
                if !areas.indirect || !last {
                    return Err(QueueSyndrome::BAD_CHAIN);
                }
                let table = (entry.addr.get(), entry.len.get());
                chain.with_table(dma, table, areas.size, walk_table)?;
            } else {
                chain.push(entry.addr.get(), entry.len.get(), flags)?;
            }
            if last {
                self.avail = next.0;
                return Ok(true);
            }
        }
        Err(QueueSyndrome::BAD_CHAIN)
    }

    /// Writes used descriptors. Returns whether the driver wants to be interrupted.
    pub(crate) fn publish(
        &mut self,
        areas: &Areas,
        dma: &mut Dma<'_, '_>,
        done: &[Used],
    ) -> Result<bool, QueueSyndrome> {
        let mut first = None;
        for used in done {
            let at = Position(self.used);
            let both = if at.wrap() {
                desc::AVAIL | desc::USED
            } else {
                0
            };
            let written = if used.len > 0 { desc::WRITE } else { 0 };
            let word = u32::from(used.id) | u32::from(both | written) << 16;
            let addr = areas.descriptors + 16 * u64::from(at.slot());
            if first.is_none() {
                dma.write_ring(addr + LEN, &used.len.to_le_bytes())?;
                first = Some((addr + ID_FLAGS, word));
            } else {
                let mut bytes = [0; 8];
                bytes[..4].copy_from_slice(&used.len.to_le_bytes());
                bytes[4..].copy_from_slice(&word.to_le_bytes());
                dma.write_ring(addr + LEN, &bytes)?;
            }
            let mut next = at;
            next.advance(used.slots, areas.size);
            self.used = next.0;
            self.since = self.since.map(|since| since.saturating_add(used.slots));
        }
        if let Some((addr, word)) = first {
            // ORDERING: the driver looks at the first before the others, so that it publishes them
            // all; the full fence that follows pairs with the driver's between its write of the event
            // and its look at this word.
            dma.store(addr, word)?;
        }
        self.is_interrupt_wanted(areas, dma)
    }

    fn is_interrupt_wanted(
        &mut self,
        areas: &Areas,
        dma: &mut Dma<'_, '_>,
    ) -> Result<bool, QueueSyndrome> {
        let word = dma.load(areas.driver)?;
        // CAST: its halves.
        let (wanted, flags) = (Position(word as u16), (word >> 16) as u16);
        let since = self.since.replace(0);
        if !areas.event_idx || flags & 3 != event::DESC {
            return Ok(flags & 3 != event::DISABLE);
        }
        let used = Position(self.used);
        let new = used.slot();
        let lap = if wanted.wrap() == used.wrap() {
            0
        } else {
            areas.size
        };
        let at = wanted.slot().wrapping_sub(lap);
        Ok(since.is_none_or(|since| passes(at, new, new.wrapping_sub(since))))
    }

    /// Asks to be notified of the next buffer. Returns whether there is none yet.
    pub(crate) fn park(
        &mut self,
        areas: &Areas,
        dma: &mut Dma<'_, '_>,
    ) -> Result<bool, QueueSyndrome> {
        let word = if areas.event_idx {
            u32::from(self.avail) | u32::from(event::DESC) << 16
        } else {
            0
        };
        // ORDERING: the full fence that follows is the one by which either the device sees the next
        // descriptor here or the driver sees the event.
        dma.store(areas.device, word)?;
        Ok(!self.is_ready(areas, dma)?)
    }
}

/// Goes through the descriptors of a table, all of which belong to the buffer.
fn walk_table(
    chain: &mut Chain,
    entry: &dyn Fn(usize) -> Option<PackedDesc>,
) -> Result<(), QueueSyndrome> {
    let mut at = 0;
    while let Some(found) = entry(at) {
        let flags = found.flags.get();
        if flags & desc::INDIRECT != 0 {
            return Err(QueueSyndrome::BAD_CHAIN);
        }
        chain.push(found.addr.get(), found.len.get(), flags)?;
        at += 1;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counter_wraps_with_the_ring_also_when_all_of_it_is_passed() {
        let mut position = Position(WRAP);
        position.advance(5, 5);
        assert_eq!(position, Position(0));
        position.advance(4, 5);
        assert_eq!(position, Position(4));
        position.advance(2, 5);
        assert_eq!(position, Position(1 | WRAP));
    }
}
