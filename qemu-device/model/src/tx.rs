// SPDX-License-Identifier: GPL-2.0

//! TX queues: from descriptors to packets.

use ferrite_abi::cmd::{
    FaultKind,
    TrapCause, //
};
use ferrite_abi::desc::{
    TxCompletion,
    TxDesc,
    TxDone,
    TxFlags,
    TxStatus,
    MAX_TX_PACKET,
    MAX_TX_SEGMENTS, //
};
use ferrite_abi::event::QueueSyndrome;
use ferrite_abi::ids::MAX_MTU;
use ferrite_abi::mig::QueueRecord;
use ferrite_abi::wire::{
    U16,
    U32,
    U64, //
};

use crate::bus::Bus;
use crate::checksum::Sum;
use crate::device::Device;
use crate::function::Function;
use crate::host::{
    DmaFault,
    Host, //
};
use crate::packet::{
    source,
    vlan,
    vlan_tag,
    ETH_HEADER,
    VLAN_TAG, //
};
use crate::queue::{
    Kind,
    Queue, //
};
use crate::save::{
    saved,
    LoadError, //
};
use crate::slot::Slot;
use crate::switch::{
    Path,
    Vport, //
};
use crate::tso::Segments;

/// Descriptors that are read at a time: more than a packet may have.
const FETCH: usize = 64;
/// Descriptors of one queue after which it is another queue's turn.
const TURN: u32 = 128;
/// Frames of one queue after which it is another queue's turn, however few descriptors they are
/// segments of.
const MAX_FRAMES: u32 = 1024;

const _: () = assert!(FETCH > MAX_TX_SEGMENTS as usize);

/// Flags that a descriptor may have.
const KNOWN_FLAGS: TxFlags = TxFlags::END
    .with(TxFlags::CSUM)
    .with(TxFlags::TSO)
    .with(TxFlags::VLAN)
    .with(TxFlags::TIMESTAMP);

/// A TX queue.
#[derive(Debug)]
pub(crate) struct TxQueue {
    pub(crate) queue: Queue,
    /// Descriptors passed over so far of a packet that has too many.
    skipped: u32,
}

saved!(TxQueue { queue, skipped });

impl TxQueue {
    /// Makes a queue.
    pub(crate) fn new(queue: Queue) -> Self {
        Self { queue, skipped: 0 }
    }

    /// Returns where the queue stands, as a record of a stream.
    pub(crate) fn record(&self, now: u64) -> QueueRecord {
        QueueRecord {
            skipped: U32::new(self.skipped),
            ..self.queue.record(now)
        }
    }

    /// Makes a queue that stands where a record of a stream says.
    pub(crate) fn restore(queue: Queue, record: &QueueRecord) -> Self {
        Self {
            queue,
            skipped: record.skipped.get(),
        }
    }

    /// Checks a queue that was loaded, beyond what both kinds have in common.
    pub(crate) fn check(&self) -> Result<(), LoadError> {
        if self.skipped <= self.queue.depth.entries() {
            Ok(())
        } else {
            Err(LoadError::Invalid("number of descriptors"))
        }
    }
}

/// Room in front of a packet in scratch memory: for a VLAN tag, and for what a virtio driver puts
/// there.
pub(crate) const HEADROOM: usize = 32;

const _: () = assert!(VLAN_TAG <= HEADROOM);

/// What is done to a packet on its way out. Offsets count from its start.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Offloads {
    /// Tag control information of a VLAN tag to insert.
    pub(crate) vlan: Option<u16>,
    /// Where summing begins, and where from there the checksum is.
    pub(crate) checksum: Option<(usize, usize)>,
    /// Where the headers end, and the payload of each segment; needs `checksum`.
    pub(crate) segments: Option<(usize, usize)>,
}

/// Memory that sending needs, reused for all packets of all queues.
#[derive(Debug)]
pub(crate) struct Scratch {
    descs: Vec<TxDesc>,
    done: Vec<TxCompletion>,
    /// A packet, behind [`HEADROOM`].
    frame: Vec<u8>,
    /// A segment of it.
    segment: Vec<u8>,
    /// Frames that were sent in this turn.
    frames: u32,
    /// Their bytes.
    bytes: u64,
    /// Bytes after which the turn is over.
    limit: u64,
}

impl Default for Scratch {
    fn default() -> Self {
        Self {
            descs: Vec::with_capacity(FETCH),
            done: Vec::with_capacity(FETCH),
            frame: vec![0; HEADROOM + MAX_TX_PACKET as usize],
            segment: Vec::new(),
            frames: 0,
            bytes: 0,
            limit: u64::MAX,
        }
    }
}

impl Scratch {
    /// Begins a turn, which is over after so many bytes.
    pub(crate) fn begin(&mut self, limit: u64) {
        (self.frames, self.bytes, self.limit) = (0, 0, limit);
    }

    /// Returns how many frames were sent in this turn.
    pub(crate) fn frames(&self) -> u32 {
        self.frames
    }

    /// Returns their bytes.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Returns the memory for a packet, with `header` bytes in front of it.
    pub(crate) fn with_header(&mut self, header: usize) -> &mut [u8] {
        &mut self.frame[HEADROOM - header.min(HEADROOM)..]
    }

    /// Returns the packet of this length.
    pub(crate) fn frame(&self, length: usize) -> &[u8] {
        self.frame
            .get(HEADROOM..HEADROOM + length)
            .unwrap_or_default()
    }

    /// Returns whether what was sent ends the turn.
    pub(crate) fn is_spent(&self) -> bool {
        self.frames >= MAX_FRAMES || self.bytes >= self.limit
    }
}

/// What a look at a queue came to.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Turn {
    /// Descriptors that were done, or frames that were sent, whichever are more.
    pub(crate) done: u32,
    /// Bytes of the frames that were sent.
    pub(crate) bytes: u64,
    /// Whether there are more.
    pub(crate) more: bool,
}

impl Device {
    /// Sends from a TX queue until it is empty or its turn is over, at the latest with the packet
    /// that reaches `limit` bytes.
    pub(crate) fn poll_tx(
        &mut self,
        host: &mut dyn Host,
        slot: Slot,
        index: u16,
        limit: u64,
    ) -> Turn {
        let has_link = |function: &Function| function.has_link() || function.port.loops;
        if !self.function(slot).is_some_and(has_link) {
            return Turn::default();
        }
        if self.virtio(slot).is_some() {
            return self.poll_virtio_tx(host, slot, 2 * index + 1, limit);
        }
        // A closed port moves no packet; opening it looks at all queues again.
        let function = self.state.functions[slot.index()].as_deref_mut();
        let Some(function) = function.filter(|function| function.port.open) else {
            return Turn::default();
        };
        let Some(place) = function.tx.get_mut(usize::from(index)) else {
            return Turn::default();
        };
        // The queue is taken out while the packets that it sends move through the device.
        let Some(mut tx) = place.take_if(|tx| tx.queue.runs()) else {
            return Turn::default();
        };
        let mut scratch = self.scratch.take().unwrap_or_default();
        scratch.begin(limit);
        let result = self.take_turn(host, &mut tx, &mut scratch);
        self.scratch = Some(scratch);
        if let Some(function) = self.state.functions[slot.index()].as_deref_mut() {
            function.tx[usize::from(index)] = Some(tx);
        }
        result.unwrap_or_else(|syndrome| {
            self.stop_queue(host, slot, Kind::Tx, index, syndrome);
            Turn::default()
        })
    }

    fn take_turn(
        &mut self,
        host: &mut dyn Host,
        tx: &mut TxQueue,
        scratch: &mut Scratch,
    ) -> Result<Turn, QueueSyndrome> {
        let pci = tx.queue.slot.pci();
        let mut turn = Turn {
            done: 0,
            bytes: 0,
            more: true,
        };
        while turn.done < TURN && !scratch.is_spent() {
            let mut bus = self.bus(host, pci);
            tx.queue.may_stop(&mut bus)?;
            let (tail, ready) = tx.queue.ready(&mut bus)?;
            // CAST: less than either.
            scratch
                .descs
                .resize((ready as usize).min(FETCH), TxDesc::default());
            tx.queue.fetch(&mut bus, &mut scratch.descs)?;
            let descs = std::mem::take(&mut scratch.descs);
            scratch.done.clear();
            let result = self.send_all(host, tx, &descs, scratch);
            scratch.descs = descs;
            // What was sent before an error is completed.
            let mut bus = self.bus(host, pci);
            for completion in &mut scratch.done {
                if let Some(param) = bus.strikes(FaultKind::TX_WRONG_INDEX) {
                    completion.index = U32::new(completion.index.get().wrapping_add(param));
                }
            }
            tx.queue.publish(&mut bus, &scratch.done)?;
            let used = result?;
            if used == 0 {
                // Empty, or the rest of a packet is to come. If more came by now, that is left to
                // another turn, so that no driver can keep the device here.
                turn.more = !tx.queue.park(&mut bus, tail)?;
                break;
            }
            turn.done += used;
        }
        turn.done = turn.done.max(scratch.frames);
        turn.bytes = scratch.bytes;
        Ok(turn)
    }

    /// Sends the packets that `descs` holds whole, as far as the turn goes. Returns how many
    /// descriptors that were.
    fn send_all(
        &mut self,
        host: &mut dyn Host,
        tx: &mut TxQueue,
        descs: &[TxDesc],
        scratch: &mut Scratch,
    ) -> Result<u32, QueueSyndrome> {
        let mut rest = descs;
        let mut used = 0;
        while !rest.is_empty() && !scratch.is_spent() {
            let is_end = |desc: &TxDesc| TxFlags(desc.flags.get()).contains(TxFlags::END);
            let end = rest.iter().position(is_end);
            let count = end.map_or(rest.len(), |last| last + 1);
            let too_many = tx.skipped > 0 || count > MAX_TX_SEGMENTS as usize;
            if end.is_none() && !too_many && rest.len() < MAX_TX_SEGMENTS as usize {
                break;
            }
            let (packet, later) = rest.split_at(count);
            rest = later;
            // CAST: no more than are fetched at a time.
            used += count as u32;
            tx.queue.head = tx.queue.head.plus(count as u32);
            let status = if too_many || end.is_none() {
                tx.skipped += count as u32;
                if tx.skipped > tx.queue.depth.entries() {
                    return Err(QueueSyndrome::BAD_CHAIN);
                }
                TxStatus::BAD_DESCRIPTOR
            } else {
                self.send(host, tx.queue.slot, packet, scratch)
            };
            if end.is_none() {
                continue;
            }
            tx.skipped = 0;
            self.count_refused(tx.queue.slot, status);
            let mut completion = TxCompletion {
                index: U32::new(tx.queue.head.0),
                status: U16::new(status.0),
                ..TxCompletion::default()
            };
            let wants_time = packet
                .first()
                .is_some_and(|desc| TxFlags(desc.flags.get()).contains(TxFlags::TIMESTAMP));
            if wants_time && status == TxStatus::OK {
                completion.flags = U16::new(TxDone::TIMESTAMP.0);
                completion.timestamp = U64::new(host.now_ns());
            }
            match scratch.done.last_mut() {
                Some(last)
                    if status == TxStatus::OK
                        && last.status.get() == status.0
                        && last.flags.get() == 0 =>
                {
                    *last = completion;
                }
                _ => scratch.done.push(completion),
            }
        }
        Ok(used)
    }

    /// Sends one packet, whose descriptors are at least one and no more than there may be.
    fn send(
        &mut self,
        host: &mut dyn Host,
        slot: Slot,
        descs: &[TxDesc],
        scratch: &mut Scratch,
    ) -> TxStatus {
        let Some((first, length)) = check(descs) else {
            return TxStatus::BAD_DESCRIPTOR;
        };
        let flags = TxFlags(first.flags.get());
        let frame = &mut scratch.with_header(0)[..length];
        if gather(&mut self.bus(host, slot.pci()), descs, frame).is_err() {
            return TxStatus::DMA_FAULT;
        }
        let asks = |flag| flags.contains(flag);
        let checksum = (
            first.csum_start.get().into(),
            first.csum_offset.get().into(),
        );
        let segments = (first.header_len.get().into(), first.mss.get().into());
        let offloads = Offloads {
            vlan: asks(TxFlags::VLAN).then(|| first.vlan.get()),
            checksum: (asks(TxFlags::CSUM) || asks(TxFlags::TSO)).then_some(checksum),
            segments: asks(TxFlags::TSO).then_some(segments),
        };
        self.transmit(host, slot, length, &offloads, scratch)
    }

    /// Sends the packet of this length that is in the scratch memory.
    pub(crate) fn transmit(
        &mut self,
        host: &mut dyn Host,
        slot: Slot,
        length: usize,
        offloads: &Offloads,
        scratch: &mut Scratch,
    ) -> TxStatus {
        if length < ETH_HEADER {
            return TxStatus::BAD_DESCRIPTOR;
        }
        let whole = &mut scratch.frame[HEADROOM - VLAN_TAG..HEADROOM + length];
        let access = self.access_vlan(slot);
        let asked = offloads.vlan;
        if access != 0 && (asked.is_some() || vlan(&whole[VLAN_TAG..]).is_some()) {
            let (cause, from) = (TrapCause::VLAN_MISMATCH, Vport::Function(slot));
            self.drop_frame(host, cause, from, &whole[VLAN_TAG..]);
            return TxStatus::NOT_PERMITTED;
        }
        let tci = asked.or((access != 0).then_some(access));
        let tag = if let Some(tci) = tci {
            whole.copy_within(VLAN_TAG..VLAN_TAG + 12, 0);
            whole[12..12 + VLAN_TAG].copy_from_slice(&vlan_tag(tci));
            VLAN_TAG
        } else {
            0
        };
        let frame = &mut whole[VLAN_TAG - tag..];
        if !self.may_send_as(slot, source(frame)) {
            self.drop_frame(host, TrapCause::SPOOFED, Vport::Function(slot), frame);
            return TxStatus::NOT_PERMITTED;
        }
        if let Some((headers, mss)) = offloads.segments {
            let frame = &*frame;
            let (l4, checksum) = offloads.checksum.unwrap_or_default();
            let segments = Segments::new(frame, headers + tag, mss, l4 + tag, checksum);
            let Some(mut segments) = segments else {
                return TxStatus::BAD_DESCRIPTOR;
            };
            // All segments take the way of the packet.
            let path = self.path(Vport::Function(slot), frame);
            while segments.next_into(&mut scratch.segment) {
                self.send_frame(host, slot, &path, &scratch.segment);
                scratch.frames += 1;
                scratch.bytes += scratch.segment.len() as u64;
            }
            return TxStatus::OK;
        }
        if frame.len() > usize::from(MAX_MTU) + ETH_HEADER + 2 * VLAN_TAG {
            return TxStatus::BAD_DESCRIPTOR;
        }
        if let Some((l4, checksum)) = offloads.checksum {
            if !insert_checksum(frame, l4 + tag, checksum) {
                return TxStatus::BAD_DESCRIPTOR;
            }
        }
        let path = self.path(Vport::Function(slot), frame);
        let length = frame.len() as u64;
        self.send_frame(host, slot, &path, frame);
        scratch.frames += 1;
        scratch.bytes += length;
        TxStatus::OK
    }

    /// Sends a frame that is complete.
    fn send_frame(&mut self, host: &mut dyn Host, slot: Slot, path: &Path, frame: &[u8]) {
        let taken = self.pass(host, Vport::Function(slot), path, frame);
        if let Some(function) = self.state.functions[slot.index()].as_deref_mut() {
            let port = &mut function.port;
            if taken {
                port.count_sent(frame);
            } else {
                port.stats.tx_dropped += 1;
            }
        }
    }

    /// Counts a packet that was not sent.
    pub(crate) fn count_refused(&mut self, slot: Slot, status: TxStatus) {
        let Some(function) = self.state.functions[slot.index()].as_deref_mut() else {
            return;
        };
        let stats = &mut function.port.stats;
        match status {
            TxStatus::BAD_DESCRIPTOR => stats.tx_bad_descriptor += 1,
            TxStatus::DMA_FAULT => stats.tx_dma_fault += 1,
            TxStatus::NOT_PERMITTED => stats.tx_not_permitted += 1,
            _ => {}
        }
    }

    /// Returns whether a function may send from an address.
    fn may_send_as(&self, slot: Slot, address: crate::mac::Mac) -> bool {
        self.function(slot).is_some_and(|function| {
            !self.is_legacy() || !function.checks_source() || function.port.mac == address
        })
    }
}

/// Checks the descriptors of a packet. Returns the first and the length of the packet.
fn check(descs: &[TxDesc]) -> Option<(&TxDesc, usize)> {
    let first = descs.first()?;
    let flags = TxFlags(first.flags.get());
    let mut length = 0u64;
    for desc in descs {
        if desc.len.get() == 0 || desc.rsvd != [0; 8] {
            return None;
        }
        length += u64::from(desc.len.get());
    }
    let length = usize::try_from(length).ok()?;
    let possible =
        KNOWN_FLAGS.contains(flags) && (ETH_HEADER..=MAX_TX_PACKET as usize).contains(&length);
    possible.then_some((first, length))
}

/// Reads the segments of a packet.
fn gather(bus: &mut Bus<'_>, descs: &[TxDesc], mut frame: &mut [u8]) -> Result<(), DmaFault> {
    for desc in descs {
        // The lengths were added up to that of the frame.
        let (segment, rest) = frame
            .split_at_mut_checked(desc.len.get() as usize)
            .ok_or(DmaFault)?;
        bus.read(desc.addr.get(), segment)?;
        frame = rest;
    }
    Ok(())
}

/// Inserts a checksum over `frame` from `start` on, at `offset` from there, where the driver put
/// the sum of what is to be added. Returns whether there is such a place.
fn insert_checksum(frame: &mut [u8], start: usize, offset: usize) -> bool {
    let Some(summed) = frame.get_mut(start..) else {
        return false;
    };
    let checksum = Sum::default().bytes(summed).checksum();
    match summed.get_mut(offset..offset + 2) {
        Some(field) => {
            field.copy_from_slice(&checksum.to_be_bytes());
            true
        }
        None => false,
    }
}
