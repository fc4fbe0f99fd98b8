// SPDX-License-Identifier: GPL-2.0

//! Transmit queues of a virtio-net device.

use ferrite_abi::cmd::QueueKind;
use ferrite_abi::desc::{
    TxStatus,
    MAX_TX_PACKET, //
};
use ferrite_abi::event::QueueSyndrome;
use ferrite_abi::wire::FromBytes;

use super::queue::{
    Chain,
    Virtqueue,
    MAX_DONE, //
};
use super::spec::{
    self,
    feature,
    gso,
    NetHdr,
    HDR_NEEDS_CSUM, //
};
use super::Virtio;
use crate::device::Device;
use crate::host::{
    DmaFault,
    Host, //
};
use crate::slot::Slot;
use crate::tx::{
    Offloads,
    Scratch,
    Turn,
    HEADROOM, //
};

/// Buffers of one queue after which it is another queue's turn.
const TURN: u32 = 128;

const _: () = assert!(spec::header(feature::HASH_REPORT) <= HEADROOM);

/// What was in a buffer.
enum Taken {
    /// A packet of this length, now in the scratch memory.
    Packet(NetHdr, usize),
    /// Something that the device does not send, for this reason.
    Refused(TxStatus),
}

impl Device {
    /// Transmits from a queue until it is empty or its turn is over, at the latest with the packet
    /// that reaches `limit` bytes.
    pub(crate) fn poll_virtio_tx(
        &mut self,
        host: &mut dyn Host,
        slot: Slot,
        index: u16,
        limit: u64,
    ) -> Turn {
        let Some(virtio) = self.virtio_mut(slot).filter(|virtio| virtio.runs()) else {
            return Turn::default();
        };
        let features = virtio.features;
        let Some(place) = virtio.queues.get_mut(usize::from(index)) else {
            return Turn::default();
        };
        // The queue is taken out while the packets that it sends move through the device.
        let Some(mut queue) = place.take_if(|queue| queue.runs()) else {
            return Turn::default();
        };
        let mut scratch = self.scratch.take().unwrap_or_default();
        scratch.begin(limit);
        let result = self.transmit_turn(host, slot, index, &mut queue, features, &mut scratch);
        self.scratch = Some(scratch);
        if let Some(virtio) = self.virtio_mut(slot) {
            virtio.queues[usize::from(index)] = Some(queue);
        }
        result.unwrap_or_else(|syndrome| {
            self.break_virtqueue(host, slot, index, syndrome);
            Turn::default()
        })
    }

    fn transmit_turn(
        &mut self,
        host: &mut dyn Host,
        slot: Slot,
        index: u16,
        queue: &mut Virtqueue,
        features: u64,
        scratch: &mut Scratch,
    ) -> Result<Turn, QueueSyndrome> {
        let mut turn = Turn {
            more: true,
            ..Turn::default()
        };
        let mut chain = Chain::default();
        while turn.done < TURN && !scratch.is_spent() {
            self.bus(host, slot.pci())
                .stops(slot.id(), QueueKind::VIRTIO, index)?;
            let mut taken = 0;
            let mut result = Ok(());
            while (taken as usize) < MAX_DONE && !scratch.is_spent() {
                match self.transmit_next(host, slot, (index, features), queue, &mut chain, scratch)
                {
                    Ok(true) => taken += 1,
                    Ok(false) => break,
                    Err(syndrome) => {
                        result = Err(syndrome);
                        break;
                    }
                }
            }
            // What was sent before an error is returned.
            self.with_dma(host, slot, index, |dma| queue.publish(dma))
                .unwrap_or(Ok(()))?;
            result?;
            if taken == 0 {
                // If more came by now, that is left to another turn, so that no driver can keep the
                // device here.
                let parked = self.with_dma(host, slot, index, |dma| queue.park(dma));
                turn.more = !parked.unwrap_or(Ok(true))?;
                break;
            }
            turn.done += taken;
        }
        turn.done = turn.done.max(scratch.frames());
        turn.bytes = scratch.bytes();
        Ok(turn)
    }

    /// Transmits the next packet, if there is one.
    fn transmit_next(
        &mut self,
        host: &mut dyn Host,
        slot: Slot,
        (index, features): (u16, u64),
        queue: &mut Virtqueue,
        chain: &mut Chain,
        scratch: &mut Scratch,
    ) -> Result<bool, QueueSyndrome> {
        let header = spec::header(features);
        let frame = scratch.with_header(header);
        let taken = self.with_dma(host, slot, index, |dma| {
            if !queue.pop(dma, chain)? {
                return Ok(None);
            }
            if chain.writable() > 0 || chain.readable() < header as u64 {
                return Err(QueueSyndrome::BAD_CHAIN);
            }
            // CAST: compared before it is used.
            let length = (chain.readable() - header as u64) as usize;
            if chain.readable() > u64::from(MAX_TX_PACKET) {
                return Ok(Some(Taken::Refused(TxStatus::BAD_DESCRIPTOR)));
            }
            let whole = &mut frame[..header + length];
            Ok(Some(match chain.gather(dma, whole) {
                Err(DmaFault) => Taken::Refused(TxStatus::DMA_FAULT),
                Ok(()) => match NetHdr::read_from_prefix(whole) {
                    Ok((header, _)) => Taken::Packet(header, length),
                    Err(_) => Taken::Refused(TxStatus::BAD_DESCRIPTOR),
                },
            }))
        });
        let (status, length) = match taken.unwrap_or(Ok(None))? {
            None => return Ok(false),
            Some(Taken::Refused(status)) => (status, 0),
            Some(Taken::Packet(header, length)) => {
                let frame = scratch.frame(length);
                let status = match offloads(&header, features, frame) {
                    Some(offloads) => self.transmit(host, slot, length, &offloads, scratch),
                    None => TxStatus::BAD_DESCRIPTOR,
                };
                (status, length)
            }
        };
        if status == TxStatus::OK {
            queue.stats.packets += 1;
            queue.stats.bytes += length as u64;
        } else {
            queue.stats.errors += 1;
            self.count_refused(slot, status);
        }
        queue.give_back(chain, 0);
        Ok(true)
    }
}

/// Returns what a header asks for, or [`None`] if that is nothing that the driver may ask for.
fn offloads(header: &NetHdr, features: u64, frame: &[u8]) -> Option<Offloads> {
    let (start, offset) = (
        usize::from(header.csum_start.get()),
        usize::from(header.csum_offset.get()),
    );
    let has = |feature: u64| features & feature == feature;
    let checksum = header.flags & HDR_NEEDS_CSUM != 0;
    if checksum && !has(feature::CSUM) {
        return None;
    }
    let kind = header.gso_type & !gso::ECN;
    if header.gso_type & gso::ECN != 0 && !has(feature::HOST_ECN) {
        return None;
    }
    let headers = match kind {
        gso::NONE => None,
        gso::TCPV4 if has(feature::HOST_TSO4) => Some(tcp_headers(frame, start)?),
        gso::TCPV6 if has(feature::HOST_TSO6) => Some(tcp_headers(frame, start)?),
        gso::UDP_L4 if has(feature::HOST_USO) => Some(start + 8),
        _ => return None,
    };
    // The segments have checksums, which the driver left to the device.
    if headers.is_some() && !checksum {
        return None;
    }
    Some(Offloads {
        vlan: None,
        checksum: checksum.then_some((start, offset)),
        segments: headers.map(|headers| (headers, header.gso_size.get().into())),
    })
}

/// Returns where the TCP header that begins at `start` ends.
fn tcp_headers(frame: &[u8], start: usize) -> Option<usize> {
    let offset = frame.get(start.checked_add(12)?)?;
    Some(start + usize::from(offset >> 4) * 4)
}

impl Virtio {
    /// Returns whether the queue of this index is a transmit queue that works.
    pub(crate) fn can_transmit(&self, index: u16) -> bool {
        self.role(index) == Some(super::Role::Tx) && self.queue(index).is_some_and(Virtqueue::runs)
    }
}
