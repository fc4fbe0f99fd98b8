// SPDX-License-Identifier: GPL-2.0

//! Receive queues of a virtio-net device.

use ferrite_abi::cmd::QueueKind;
use ferrite_abi::desc::{
    RxCompletion,
    RxFlags, //
};
use ferrite_abi::event::QueueSyndrome;
use ferrite_abi::wire::{
    IntoBytes,
    U16, //
};

use super::queue::{
    Chain,
    Dma,
    Virtqueue, //
};
use super::spec::{
    feature,
    NetHdr,
    HDR_DATA_VALID,
    NET_HDR, //
};
use super::{
    Role,
    Virtio, //
};
use crate::backlog::Pool;
use crate::bus::bus;
use crate::device::Device;
use crate::function::Function;
use crate::host::{
    DmaFault,
    Host, //
};
use crate::packet::destination;
use crate::port::Port;
use crate::rx::Arrival;
use crate::slot::Slot;

/// What became of a packet.
enum Outcome {
    /// It is in buffers.
    Filled,
    /// There are no buffers for it.
    NoRoom,
    /// A buffer could not be written.
    DmaFault,
}

/// How a queue receives.
#[derive(Clone, Copy, Debug)]
struct Receiver {
    /// Whether a packet may take several buffers.
    mergeable: bool,
    /// Whether the driver wants to know of right checksums.
    checksums: bool,
}

impl Receiver {
    fn new(features: u64, offloads: u64) -> Self {
        Self {
            mergeable: features & feature::MRG_RXBUF != 0,
            checksums: offloads & feature::GUEST_CSUM != 0,
        }
    }

    /// Puts a packet into buffers, if there are any for it.
    fn receive(
        self,
        queue: &mut Virtqueue,
        dma: &mut Dma<'_, '_>,
        parts: [&[u8]; 2],
        about: &RxCompletion,
    ) -> Result<Outcome, QueueSyndrome> {
        let length = NET_HDR + parts[0].len() + parts[1].len();
        let Some(chains) = self.take_room(queue, dma, length)? else {
            return Ok(Outcome::NoRoom);
        };
        let right = RxFlags(about.flags.get()).contains(RxFlags::CSUM_OK);
        let header = NetHdr {
            flags: if right && self.checksums {
                HDR_DATA_VALID
            } else {
                0
            },
            // CAST: no more than the queue has entries.
            num_buffers: U16::new(chains.len() as u16),
            ..NetHdr::default()
        };
        let mut bytes = Vec::with_capacity(length);
        bytes.extend_from_slice(header.as_bytes());
        bytes.extend_from_slice(parts[0]);
        bytes.extend_from_slice(parts[1]);
        let mut rest = bytes.as_slice();
        let mut written = Vec::with_capacity(chains.len());
        for chain in &chains {
            match chain.scatter(dma, rest) {
                Ok(later) => {
                    written.push(rest.len() - later.len());
                    rest = later;
                }
                Err(DmaFault) => {
                    // All buffers go back, as packets without bytes.
                    for chain in &chains {
                        queue.give_back(chain, 0);
                    }
                    queue.stats.errors += 1;
                    return Ok(Outcome::DmaFault);
                }
            }
        }
        for (chain, length) in chains.iter().zip(written) {
            // CAST: no more than the length of a packet.
            queue.give_back(chain, length as u32);
        }
        queue.stats.packets += 1;
        queue.stats.bytes += (length - NET_HDR) as u64;
        Ok(Outcome::Filled)
    }

    /// Takes buffers for `length` bytes. If there are not enough, none is taken and the queue is
    /// starved: the driver will notify when it has put some in.
    fn take_room(
        self,
        queue: &mut Virtqueue,
        dma: &mut Dma<'_, '_>,
        length: usize,
    ) -> Result<Option<Vec<Chain>>, QueueSyndrome> {
        let start = queue.ring();
        let mut chains = Vec::new();
        let mut room = 0;
        // Whether the driver was told already that more are wanted.
        let mut parked = false;
        loop {
            let mut chain = Chain::default();
            if queue.pop(dma, &mut chain)? {
                let small = chains.is_empty() && chain.writable() < NET_HDR as u64;
                if chain.readable() > 0 || small {
                    return Err(QueueSyndrome::BAD_CHAIN);
                }
                room += chain.writable();
                chains.push(chain);
                if room >= length as u64 {
                    return Ok(Some(chains));
                }
                // A driver that takes packets whole gives buffers that are large enough.
                if !self.mergeable || chains.len() >= usize::from(queue.areas.size) {
                    return Err(QueueSyndrome::BAD_CHAIN);
                }
                continue;
            }
            let none = queue.park(dma)?;
            if none || parked {
                queue.rewind(start, chains.len());
                // If there are some after all, the next packet will find them.
                queue.starved = none;
                return Ok(None);
            }
            parked = true;
        }
    }

    /// Puts a packet into buffers or keeps it, and counts it.
    fn place(
        self,
        queue: &mut Virtqueue,
        dma: &mut Dma<'_, '_>,
        pool: &mut Pool,
        port: &mut Port,
        parts: [&[u8]; 2],
        about: RxCompletion,
    ) -> Result<(), QueueSyndrome> {
        let length = parts[0].len() + parts[1].len();
        let outcome = if queue.waiting.is_empty() && !queue.starved {
            self.receive(queue, dma, parts, &about)?
        } else {
            Outcome::NoRoom
        };
        match outcome {
            Outcome::Filled => port.count_received(destination(parts[0]), (1, length)),
            Outcome::DmaFault => port.stats.rx_dma_fault += 1,
            Outcome::NoRoom if queue.waiting.push(pool, parts, about) => {}
            Outcome::NoRoom => {
                queue.stats.dropped += 1;
                port.stats.rx_no_buffer += 1;
            }
        }
        if queue.has_batch() {
            queue.publish(dma)?;
        }
        Ok(())
    }

    /// Moves packets that wait into buffers, as far as there are any.
    fn drain(
        self,
        queue: &mut Virtqueue,
        dma: &mut Dma<'_, '_>,
        pool: &mut Pool,
        port: &mut Port,
    ) -> Result<(), QueueSyndrome> {
        queue.starved = false;
        while let Some(packet) = queue.waiting.pop() {
            let result = self.receive(queue, dma, [&packet.bytes, &[]], &packet.about);
            match result {
                Ok(Outcome::NoRoom) => {
                    queue.waiting.put_back(packet);
                    break;
                }
                Ok(Outcome::Filled) => {
                    port.count_received(destination(&packet.bytes), (1, packet.bytes.len()));
                }
                Ok(Outcome::DmaFault) => port.stats.rx_dma_fault += 1,
                Err(_) => port.stats.rx_no_buffer += 1,
            }
            pool.give_back(packet.bytes);
            result?;
            if queue.has_batch() {
                queue.publish(dma)?;
            }
        }
        queue.publish(dma)
    }
}

impl Virtio {
    /// Returns the receive queue that a packet goes to.
    fn receiving(&self, arrival: &Arrival<'_>) -> u16 {
        2 * self.steering.pair(arrival.ip(), arrival.frame())
    }
}

impl Device {
    /// Delivers a frame to a virtio-net device whose port is open; `bare` says that it is to be
    /// given without its tag.
    pub(crate) fn deliver_virtio(
        &mut self,
        host: &mut dyn Host,
        slot: Slot,
        arrival: &Arrival<'_>,
        bare: bool,
    ) {
        let Some(function) = self.state.functions[slot.index()].as_deref_mut() else {
            return;
        };
        let Function { port, virtio, .. } = function;
        let Some(virtio) = virtio.as_deref_mut() else {
            return;
        };
        let (parts, vlan) = if bare {
            (arrival.parts(), None)
        } else {
            ([arrival.frame(), &[][..]], arrival.vlan())
        };
        if !virtio.filter.passes(destination(arrival.frame()), vlan) {
            port.stats.rx_filtered += 1;
            return;
        }
        let index = virtio.receiving(arrival);
        let receiver = Receiver::new(virtio.features, virtio.offloads);
        let Some((rings, data, queue)) = virtio.parts(index).filter(|(_, _, q)| q.runs()) else {
            port.stats.rx_no_buffer += 1;
            return;
        };
        let mut about = RxCompletion::default();
        if arrival.is_right() {
            about.flags = U16::new(RxFlags::CSUM_OK.0);
        }
        self.pending.add(slot, 0, 1 << (index / 2));
        let mut bus = bus!(self, host, slot.pci());
        let mut dma = Dma {
            bus: &mut bus,
            rings,
            data,
        };
        let result = receiver.place(queue, &mut dma, &mut self.pool, port, parts, about);
        if let Err(syndrome) = result {
            port.stats.rx_no_buffer += 1;
            self.break_virtqueue(host, slot, index, syndrome);
        }
    }

    /// Looks at the receive queue or the control queue that a notification was for.
    pub(crate) fn poll_virtio_rx(&mut self, host: &mut dyn Host, slot: Slot, index: u16) {
        let Some(virtio) = self.virtio(slot).filter(|virtio| virtio.runs()) else {
            return;
        };
        match virtio.role(index) {
            Some(Role::Rx(_)) => self.drain_virtqueue(host, slot, index),
            Some(Role::Control) => self.poll_control(host, slot, index),
            _ => {}
        }
    }

    fn drain_virtqueue(&mut self, host: &mut dyn Host, slot: Slot, index: u16) {
        self.with_queue(host, slot, index, |receiver, queue, dma, pool, port| {
            dma.bus.stops(slot.id(), QueueKind::VIRTIO, index)?;
            receiver.drain(queue, dma, pool, port)
        });
    }

    /// Writes the used entries of a queue that are due.
    pub(crate) fn publish_virtqueue(&mut self, host: &mut dyn Host, slot: Slot, index: u16) {
        self.with_queue(host, slot, index, |_, queue, dma, _, _| queue.publish(dma));
    }

    /// Writes the used entries of all queues that are due.
    pub(crate) fn publish_all_virtio(&mut self, host: &mut dyn Host, slot: Slot) {
        let queues = self.virtio(slot).map_or(0, |virtio| virtio.queues.len());
        for index in 0..queues {
            // CAST: a device has few queues.
            self.publish_virtqueue(host, slot, index as u16);
        }
    }

    /// Does something with a queue that works, and breaks it if that goes wrong.
    fn with_queue(
        &mut self,
        host: &mut dyn Host,
        slot: Slot,
        index: u16,
        with: impl FnOnce(
            Receiver,
            &mut Virtqueue,
            &mut Dma<'_, '_>,
            &mut Pool,
            &mut Port,
        ) -> Result<(), QueueSyndrome>,
    ) {
        let Some(function) = self.state.functions[slot.index()].as_deref_mut() else {
            return;
        };
        let Function { port, virtio, .. } = function;
        let Some(virtio) = virtio.as_deref_mut() else {
            return;
        };
        let receiver = Receiver::new(virtio.features, virtio.offloads);
        let Some((rings, data, queue)) = virtio.parts(index).filter(|(_, _, q)| q.runs()) else {
            return;
        };
        let mut bus = bus!(self, host, slot.pci());
        let mut dma = Dma {
            bus: &mut bus,
            rings,
            data,
        };
        if let Err(syndrome) = with(receiver, queue, &mut dma, &mut self.pool, port) {
            self.break_virtqueue(host, slot, index, syndrome);
        }
    }
}
