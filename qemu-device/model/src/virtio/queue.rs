// SPDX-License-Identifier: GPL-2.0

//! Virtqueues: buffers are taken from them and returned, whatever the layout of their rings.
//!
//! The device keeps no buffer: what it took it returns before it takes the next, but for the used
//! entries of a few packets that are written together.

use ferrite_abi::cmd::{
    EnableVirtqueue,
    VirtqueueState,
    VirtqueueStats,
    VIRTIO_MAX_SIZE,
    VIRTIO_NO_VECTOR, //
};
use ferrite_abi::event::QueueSyndrome;
use ferrite_abi::wire::{
    FromBytes,
    U16, //
};

use super::datagrams::Datagrams;
use super::packed::Packed;
use super::space::Space;
use super::spec::{
    desc,
    feature, //
};
use super::split::Split;
use crate::backlog::{
    Backlog,
    Pool, //
};
use crate::bus::Bus;
use crate::coalesce::Held;
use crate::host::DmaFault;
use crate::save::{
    saved,
    LoadError,
    Reader,
    Saved,
    Writer, //
};

/// Used entries that may wait to be written.
pub(crate) const MAX_DONE: usize = 64;

/// How a queue gets at memory: its areas are in one address space, its buffers in another.
pub(crate) struct Dma<'a, 'b> {
    pub(crate) bus: &'a mut Bus<'b>,
    pub(crate) rings: &'a Space,
    pub(crate) data: &'a Space,
}

impl Dma<'_, '_> {
    /// Reads from an area.
    pub(crate) fn read_ring(&mut self, addr: u64, buf: &mut [u8]) -> Result<(), QueueSyndrome> {
        self.rings.read(self.bus, addr, buf).map_err(fault)
    }

    /// Writes to an area.
    pub(crate) fn write_ring(&mut self, addr: u64, buf: &[u8]) -> Result<(), QueueSyndrome> {
        self.rings.write(self.bus, addr, buf).map_err(fault)
    }

    /// Reads a word of an area that the driver publishes.
    pub(crate) fn load(&mut self, addr: u64) -> Result<u32, QueueSyndrome> {
        self.rings.load(self.bus, addr).map_err(fault)
    }

    /// Reads half a word of an area that the driver publishes.
    pub(crate) fn load16(&mut self, addr: u64) -> Result<u16, QueueSyndrome> {
        let word = self.load(addr & !3)?;
        // CAST: the half that is wanted.
        Ok(if addr & 2 == 0 { word } else { word >> 16 } as u16)
    }

    /// Publishes a word of an area.
    pub(crate) fn store(&mut self, addr: u64, value: u32) -> Result<(), QueueSyndrome> {
        self.rings.store(self.bus, addr, value).map_err(fault)
    }

    /// Reads from a buffer.
    pub(crate) fn read(&mut self, addr: u64, buf: &mut [u8]) -> Result<(), DmaFault> {
        self.data.read(self.bus, addr, buf)
    }

    /// Writes to a buffer.
    pub(crate) fn write(&mut self, addr: u64, buf: &[u8]) -> Result<(), DmaFault> {
        self.data.write(self.bus, addr, buf)
    }
}

/// What becomes of a queue whose memory cannot be accessed.
pub(crate) fn fault(_: DmaFault) -> QueueSyndrome {
    QueueSyndrome::DMA_FAULT
}

/// A piece of a buffer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Piece {
    pub(crate) addr: u64,
    pub(crate) len: u32,
}

/// A buffer as the driver described it: pieces to read, then pieces to write.
#[derive(Debug, Default)]
pub(crate) struct Chain {
    /// What the driver knows it by.
    pub(crate) id: u16,
    /// Entries that it takes up in a packed ring.
    pub(crate) slots: u16,
    pieces: Vec<Piece>,
    /// How many of the pieces are to be read.
    readable: usize,
    /// Bytes to read, and bytes to write.
    lengths: [u64; 2],
    /// Memory for an indirect table.
    table: Vec<u8>,
}

impl Chain {
    /// Begins a buffer anew.
    pub(crate) fn clear(&mut self) {
        self.pieces.clear();
        (self.id, self.slots, self.readable, self.lengths) = (0, 0, 0, [0; 2]);
    }

    /// Appends a piece.
    pub(crate) fn push(&mut self, addr: u64, len: u32, flags: u16) -> Result<(), QueueSyndrome> {
        let write = flags & desc::WRITE != 0;
        let in_order = write || self.readable == self.pieces.len();
        if !in_order || addr.checked_add(len.into()).is_none() {
            return Err(QueueSyndrome::BAD_CHAIN);
        }
        self.pieces.push(Piece { addr, len });
        self.readable += usize::from(!write);
        self.lengths[usize::from(write)] += u64::from(len);
        Ok(())
    }

    /// Returns the number of bytes to read.
    pub(crate) fn readable(&self) -> u64 {
        self.lengths[0]
    }

    /// Returns the number of bytes to write.
    pub(crate) fn writable(&self) -> u64 {
        self.lengths[1]
    }

    /// Reads as many bytes as `buf` has, which must not be more than there are.
    pub(crate) fn gather(&self, dma: &mut Dma<'_, '_>, mut buf: &mut [u8]) -> Result<(), DmaFault> {
        for piece in &self.pieces[..self.readable] {
            let (now, later) = buf.split_at_mut(buf.len().min(piece.len as usize));
            dma.read(piece.addr, now)?;
            buf = later;
        }
        if buf.is_empty() {
            Ok(())
        } else {
            Err(DmaFault)
        }
    }

    /// Writes as many of the bytes as there is room for. Returns the rest.
    pub(crate) fn scatter<'c>(
        &self,
        dma: &mut Dma<'_, '_>,
        mut bytes: &'c [u8],
    ) -> Result<&'c [u8], DmaFault> {
        for piece in &self.pieces[self.readable..] {
            let (now, later) = bytes.split_at(bytes.len().min(piece.len as usize));
            dma.write(piece.addr, now)?;
            bytes = later;
        }
        Ok(bytes)
    }

    /// Reads the indirect table that a descriptor names, as entries of one kind, for `with` to go
    /// through; it has one entry at least and no more than `most`.
    pub(crate) fn with_table<D: FromBytes>(
        &mut self,
        dma: &mut Dma<'_, '_>,
        (addr, len): (u64, u32),
        most: u16,
        with: impl FnOnce(&mut Self, &dyn Fn(usize) -> Option<D>) -> Result<(), QueueSyndrome>,
    ) -> Result<(), QueueSyndrome> {
        let entries = len as usize / size_of::<D>();
        let whole = len as usize % size_of::<D>() == 0;
        if !whole || entries == 0 || entries > usize::from(most) {
            return Err(QueueSyndrome::BAD_CHAIN);
        }
        let mut table = std::mem::take(&mut self.table);
        table.resize(len as usize, 0);
        let result = dma.read(addr, &mut table).map_err(fault).and_then(|()| {
            with(self, &|at| {
                let bytes = table.chunks_exact(size_of::<D>()).nth(at)?;
                D::read_from_bytes(bytes).ok()
            })
        });
        self.table = table;
        result
    }
}

/// A buffer that goes back to the driver.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Used {
    pub(crate) id: u16,
    pub(crate) slots: u16,
    /// Bytes that were written.
    pub(crate) len: u32,
}

saved!(Used { id, slots, len });

/// Where a queue is in memory, and how it is used.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Areas {
    pub(crate) descriptors: u64,
    pub(crate) driver: u64,
    pub(crate) device: u64,
    /// Number of entries.
    pub(crate) size: u16,
    /// Whether descriptors may lead to tables.
    pub(crate) indirect: bool,
    /// Whether both sides say with which entry they want to be told.
    pub(crate) event_idx: bool,
}

saved!(Areas {
    descriptors,
    driver,
    device,
    size,
    indirect,
    event_idx
});

/// The layout of the rings, and where the device is in them.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Ring {
    Split(Split),
    Packed(Packed),
}

impl Saved for Ring {
    fn save(&self, writer: &mut Writer) {
        match self {
            Self::Split(split) => {
                false.save(writer);
                split.save(writer);
            }
            Self::Packed(packed) => {
                true.save(writer);
                packed.save(writer);
            }
        }
    }

    fn load(reader: &mut Reader<'_>) -> Result<Self, LoadError> {
        Ok(if bool::load(reader)? {
            Self::Packed(Saved::load(reader)?)
        } else {
            Self::Split(Saved::load(reader)?)
        })
    }
}

/// A virtqueue that is ready.
#[derive(Debug)]
pub(crate) struct Virtqueue {
    pub(crate) areas: Areas,
    ring: Ring,
    vector: u16,
    /// Why it stopped, if it did.
    pub(crate) syndrome: QueueSyndrome,
    /// Whether it ran out of buffers and waits to be notified.
    pub(crate) starved: bool,
    /// Used entries that are not written yet.
    done: Vec<Used>,
    /// Packets that wait for buffers.
    pub(crate) waiting: Backlog,
    /// Segments that wait for others, until the device has done what it has to do now.
    pub(crate) held: Held,
    /// As `held`, for datagrams.
    pub(crate) datagrams: Datagrams,
    pub(crate) stats: VirtqueueStats,
}

saved!(Virtqueue {
    areas,
    ring,
    vector,
    syndrome,
    starved,
    done,
    waiting,
    held,
    datagrams,
    stats
});

impl Virtqueue {
    /// Makes a queue as `command` asks for, if there can be such one; its vector was checked.
    pub(crate) fn new(command: &EnableVirtqueue, features: u64) -> Option<Self> {
        let areas = Areas {
            descriptors: command.descriptors.get(),
            driver: command.driver.get(),
            device: command.device.get(),
            size: command.size.get(),
            indirect: features & feature::INDIRECT_DESC != 0,
            event_idx: features & feature::EVENT_IDX != 0,
        };
        let (avail, used) = (command.avail.get(), command.used.get());
        let ring = if features & feature::RING_PACKED == 0 {
            Ring::Split(Split::new(avail, used))
        } else {
            Ring::Packed(Packed::new(avail, used))
        };
        let queue = Self {
            areas,
            ring,
            vector: command.vector.get(),
            syndrome: QueueSyndrome::NONE,
            starved: false,
            done: Vec::new(),
            waiting: Backlog::default(),
            held: Held::default(),
            datagrams: Datagrams::default(),
            stats: VirtqueueStats::default(),
        };
        queue.is_possible().then_some(queue)
    }

    fn is_possible(&self) -> bool {
        let areas = &self.areas;
        if areas.size == 0 || areas.size > VIRTIO_MAX_SIZE {
            return false;
        }
        let (fits, sizes) = match &self.ring {
            Ring::Split(_) => (areas.size.is_power_of_two(), Split::sizes(areas)),
            Ring::Packed(packed) => (packed.is_possible(areas), Packed::sizes(areas)),
        };
        fits && [areas.descriptors, areas.driver, areas.device]
            .iter()
            .zip(sizes)
            .all(|(addr, (size, align))| addr % align == 0 && addr.checked_add(size).is_some())
    }

    /// Checks a queue that was loaded.
    pub(crate) fn check(&self, vectors: u16, packed: bool) -> Result<(), LoadError> {
        let kind = matches!(self.ring, Ring::Packed(_)) == packed;
        let vector = self.vector < vectors || self.vector == VIRTIO_NO_VECTOR;
        let done = self.done.len() <= MAX_DONE + usize::from(VIRTIO_MAX_SIZE);
        // A packed ring has room for no more than its size, and each takes at least one.
        let slots = self.done.iter().all(|used| used.slots <= self.areas.size);
        // So far below the end that nothing can count beyond it.
        let stats = self
            .stats
            .values()
            .iter()
            .all(|value| *value <= u64::MAX / 2);
        self.datagrams.check()?;
        if self.is_possible() && kind && vector && done && slots && stats {
            Ok(())
        } else {
            Err(LoadError::Invalid("virtqueue"))
        }
    }

    /// Drops the packets that wait. Returns how many there were.
    pub(crate) fn drop_waiting(&mut self, pool: &mut Pool) -> u64 {
        self.waiting.clear(pool) + self.held.clear(pool) + self.datagrams.clear(pool)
    }

    /// Returns whether the queue works.
    pub(crate) fn runs(&self) -> bool {
        self.syndrome == QueueSyndrome::NONE
    }

    /// Has another vector raised.
    pub(crate) fn set_vector(&mut self, vector: u16) {
        self.vector = vector;
    }

    /// Returns where the queue stands.
    pub(crate) fn state(&self) -> VirtqueueState {
        let (avail, used) = match &self.ring {
            Ring::Split(split) => split.position(),
            Ring::Packed(packed) => packed.position(),
        };
        VirtqueueState {
            avail: U16::new(avail),
            used: U16::new(used),
            syndrome: U16::new(self.syndrome.0),
            ready: 1,
            rsvd: 0,
        }
    }

    /// Takes the next buffer, if there is one.
    pub(crate) fn pop(
        &mut self,
        dma: &mut Dma<'_, '_>,
        chain: &mut Chain,
    ) -> Result<bool, QueueSyndrome> {
        chain.clear();
        let taken = match &mut self.ring {
            Ring::Split(split) => split.pop(&self.areas, dma, chain),
            Ring::Packed(packed) => packed.pop(&self.areas, dma, chain),
        }?;
        self.stats.received_desc += u64::from(taken);
        Ok(taken)
    }

    /// Takes back that buffers were taken since the queue was like `ring`.
    pub(crate) fn rewind(&mut self, ring: Ring, count: usize) {
        match (&mut self.ring, ring) {
            (Ring::Split(now), Ring::Split(then)) => now.rewind(&then),
            (Ring::Packed(now), Ring::Packed(then)) => now.rewind(&then),
            _ => {}
        }
        self.stats.received_desc -= count as u64;
    }

    /// Returns where the device is in the rings, for [`Self::rewind`].
    pub(crate) fn ring(&self) -> Ring {
        self.ring
    }

    /// Returns a buffer, having written `len` bytes to it. The driver sees it with
    /// [`Self::publish`].
    pub(crate) fn give_back(&mut self, chain: &Chain, len: u32) {
        self.done.push(Used {
            id: chain.id,
            slots: chain.slots,
            len,
        });
    }

    /// Returns whether so many buffers were returned that the driver should see them.
    pub(crate) fn has_batch(&self) -> bool {
        self.done.len() >= MAX_DONE
    }

    /// Writes used entries, and interrupts if the driver waits for one of them.
    pub(crate) fn publish(&mut self, dma: &mut Dma<'_, '_>) -> Result<(), QueueSyndrome> {
        if self.done.is_empty() {
            return Ok(());
        }
        let wanted = match &mut self.ring {
            Ring::Split(split) => split.publish(&self.areas, dma, &self.done),
            Ring::Packed(packed) => packed.publish(&self.areas, dma, &self.done),
        }?;
        self.stats.completed_desc += self.done.len() as u64;
        self.done.clear();
        if wanted && self.vector != VIRTIO_NO_VECTOR {
            self.stats.interrupts += 1;
            dma.bus.raise(self.vector);
        }
        Ok(())
    }

    /// Asks to be notified of the next buffer. Returns whether there is none yet, so that a
    /// notification will come.
    pub(crate) fn park(&mut self, dma: &mut Dma<'_, '_>) -> Result<bool, QueueSyndrome> {
        match &mut self.ring {
            Ring::Split(split) => split.park(&self.areas, dma),
            Ring::Packed(packed) => packed.park(&self.areas, dma),
        }
    }
}

/// Returns whether moving an index from `old` to `new` passes `event`, where the other side asked to
/// be told.
pub(crate) fn passes(event: u16, new: u16, old: u16) -> bool {
    new.wrapping_sub(event).wrapping_sub(1) < new.wrapping_sub(old)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn event_is_passed_once() {
        assert!(passes(5, 6, 5));
        assert!(!passes(6, 6, 5));
        assert!(!passes(4, 6, 5));
        assert!(passes(0xffff, 0, 0xffff));
        assert!(passes(0xfffe, 3, 0xfff0));
        assert!(!passes(3, 3, 0xfff0));
    }

    #[test]
    fn pieces_to_read_come_before_those_to_write() {
        let mut chain = Chain::default();
        assert_eq!(chain.push(0x1000, 10, 0), Ok(()));
        assert_eq!(chain.push(0x2000, 20, desc::WRITE), Ok(()));
        assert_eq!(chain.push(0x3000, 1, 0), Err(QueueSyndrome::BAD_CHAIN));
        assert_eq!(
            chain.push(u64::MAX, 1, desc::WRITE),
            Err(QueueSyndrome::BAD_CHAIN)
        );
        assert_eq!((chain.readable(), chain.writable()), (10, 20));
    }
}
