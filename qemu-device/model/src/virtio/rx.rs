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
    U16,
    U32, //
};

use super::queue::{
    Chain,
    Dma,
    Virtqueue, //
};
use super::spec::{
    self,
    feature,
    gso,
    hash,
    HashHdr,
    NetHdr,
    HDR_DATA_VALID,
    HDR_NEEDS_CSUM, //
};
use super::Role;
use crate::backlog::Pool;
use crate::bus::bus;
use crate::checksum::Sum;
use crate::device::Device;
use crate::function::Function;
use crate::host::{
    DmaFault,
    Host, //
};
use crate::packet::{
    destination,
    tcp_headers,
    Ip,
    TCP,
    UDP,
    UDP_HEADER, //
};
use crate::port::Port;
use crate::rx::Arrival;
use crate::slot::Slot;

/// Offset of the checksum in a TCP header.
const TCP_CHECKSUM: usize = 16;
/// Offset of the checksum in a UDP header.
const UDP_CHECKSUM: usize = 6;

/// What became of a packet.
enum Outcome {
    /// It is in buffers.
    Filled,
    /// There are no buffers for it.
    NoRoom,
    /// It is longer than all buffers that the queue can hold.
    TooLong,
    /// A buffer could not be written.
    DmaFault,
}

/// What there is for a packet.
enum Room {
    /// These buffers.
    Enough(Vec<Chain>),
    /// No buffers yet.
    None,
    /// Not enough, and never will be.
    Never,
}

/// How a queue receives.
#[derive(Clone, Copy, Debug)]
struct Receiver {
    /// Length of the header in front of a packet.
    header: usize,
    /// Whether a packet may take several buffers.
    mergeable: bool,
    /// Whether the driver wants to know of right checksums.
    checksums: bool,
    /// Whether segments of TCP are joined that came by IPv4, by IPv6.
    segments: [bool; 2],
    /// Whether datagrams of UDP are.
    datagrams: [bool; 2],
}

impl Receiver {
    fn new(features: u64, offloads: u64) -> Self {
        let checksums = offloads & feature::GUEST_CSUM != 0;
        let joins = |feature| checksums && offloads & feature != 0;
        Self {
            header: spec::header(features),
            mergeable: features & feature::MRG_RXBUF != 0,
            checksums,
            segments: [joins(feature::GUEST_TSO4), joins(feature::GUEST_TSO6)],
            datagrams: [joins(feature::GUEST_USO4), joins(feature::GUEST_USO6)],
        }
    }

    /// Keeps a segment or datagram for others that go on from it, which are likely to come before the device has done what
    /// it has to do now. Returns whether the frame is to be handed over as it is, after what is ready.
    fn join(
        self,
        queue: &mut Virtqueue,
        pool: &mut Pool,
        (arrival, bare): (&Arrival<'_>, bool),
        about: &RxCompletion,
        now: u64,
    ) -> bool {
        let Some(ip) = arrival.ip() else {
            return true;
        };
        let v6 = usize::from(ip.v6);
        if self.datagrams[v6] && ip.protocol == UDP {
            return queue.datagrams.offer(pool, arrival, bare, about);
        }
        if !self.segments[v6] {
            return true;
        }
        let joined = arrival
            .segment(bare)
            .filter(|segment| segment.tunnel.is_none() && !segment.is_congested());
        match joined {
            // Any time will do: it is over when the device has nothing more to do.
            Some(segment) => (queue.held).offer(pool, &segment, arrival.verdict(), about, (now, 1)),
            None => {
                // It may be of a connection of which something waits.
                queue.held.release_all();
                true
            }
        }
    }

    /// Puts joined segments and datagrams that are ready into buffers.
    fn hand_over(
        self,
        queue: &mut Virtqueue,
        dma: &mut Dma<'_, '_>,
        pool: &mut Pool,
        port: &mut Port,
    ) -> Result<(), QueueSyndrome> {
        let mut result = Ok(());
        while let Some(packet) = queue.held.pop().or_else(|| queue.datagrams.pop()) {
            if result.is_ok() {
                let told = (packet.about, packet.on_wire());
                result = self.place(queue, dma, pool, port, [&packet.bytes, &[]], told);
            }
            pool.give_back(packet.bytes);
        }
        result
    }

    /// Hands over what still waits for others, and writes the used entries.
    fn finish(
        self,
        queue: &mut Virtqueue,
        dma: &mut Dma<'_, '_>,
        pool: &mut Pool,
        port: &mut Port,
    ) -> Result<(), QueueSyndrome> {
        queue.held.release_all();
        queue.datagrams.release();
        self.hand_over(queue, dma, pool, port)?;
        queue.publish(dma)
    }

    /// Writes the header in front of a packet of which `about` is said and which takes so many buffers.
    fn describe(self, bytes: &mut [u8], about: &RxCompletion, buffers: u16) {
        let (header, frame) = bytes.split_at_mut(self.header);
        let flags = RxFlags(about.flags.get());
        let ip = Ip::find(frame);
        let mut whole = HashHdr::default();
        whole.plain.num_buffers = U16::new(buffers);
        match &ip {
            Some(ip) if flags.contains(RxFlags::COALESCED) => {
                let (kind, headers, checksum) = match (ip.protocol, ip.v6) {
                    (UDP, _) => (gso::UDP_L4, ip.payload + UDP_HEADER, UDP_CHECKSUM),
                    (_, v6) => {
                        let headers = tcp_headers(frame).unwrap_or(ip.payload);
                        let kind = if v6 { gso::TCPV6 } else { gso::TCPV4 };
                        (kind, headers, TCP_CHECKSUM)
                    }
                };
                whole.plain = NetHdr {
                    flags: HDR_NEEDS_CSUM,
                    gso_type: kind,
                    // CAST: offsets in the headers of a packet.
                    hdr_len: U16::new(headers as u16),
                    gso_size: about.mss,
                    csum_start: U16::new(ip.payload as u16),
                    csum_offset: U16::new(checksum as u16),
                    ..whole.plain
                };
                leave_checksum(frame, ip, checksum);
            }
            _ if flags.contains(RxFlags::CSUM_OK) && self.checksums => {
                whole.plain.flags = HDR_DATA_VALID;
            }
            _ => {}
        }
        if flags.contains(RxFlags::HASH) {
            whole.value = about.hash;
            whole.report = U16::new(ip.map_or(0, |ip| report(&ip, flags)));
        }
        header.copy_from_slice(&whole.as_bytes()[..self.header]);
    }

    /// Puts a packet into buffers, if there are any for it.
    fn receive(
        self,
        queue: &mut Virtqueue,
        dma: &mut Dma<'_, '_>,
        parts: [&[u8]; 2],
        about: &RxCompletion,
    ) -> Result<Outcome, QueueSyndrome> {
        let length = self.header + parts[0].len() + parts[1].len();
        let chains = match self.take_room(queue, dma, length)? {
            Room::Enough(chains) => chains,
            Room::None => return Ok(Outcome::NoRoom),
            Room::Never => return Ok(Outcome::TooLong),
        };
        let mut bytes = Vec::with_capacity(length);
        bytes.resize(self.header, 0);
        bytes.extend_from_slice(parts[0]);
        bytes.extend_from_slice(parts[1]);
        // CAST: no more than the queue has entries.
        self.describe(&mut bytes, about, chains.len() as u16);
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
        queue.stats.bytes += (length - self.header) as u64;
        Ok(Outcome::Filled)
    }

    /// Takes buffers for `length` bytes. If there are not enough, none is taken and the queue is
    /// starved: the driver will notify when it has put some in.
    fn take_room(
        self,
        queue: &mut Virtqueue,
        dma: &mut Dma<'_, '_>,
        length: usize,
    ) -> Result<Room, QueueSyndrome> {
        let start = queue.ring();
        let mut chains = Vec::new();
        let mut room = 0;
        // Whether the driver was told already that more are wanted.
        let mut parked = false;
        loop {
            let mut chain = Chain::default();
            if queue.pop(dma, &mut chain)? {
                let small = chains.is_empty() && chain.writable() < self.header as u64;
                if chain.readable() > 0 || small {
                    return Err(QueueSyndrome::BAD_CHAIN);
                }
                room += chain.writable();
                chains.push(chain);
                if room >= length as u64 {
                    return Ok(Room::Enough(chains));
                }
                // A driver that takes packets whole gives buffers that are large enough.
                if !self.mergeable {
                    return Err(QueueSyndrome::BAD_CHAIN);
                }
                if chains.len() >= usize::from(queue.areas.size) {
                    queue.rewind(start, chains.len());
                    return Ok(Room::Never);
                }
                continue;
            }
            let none = queue.park(dma)?;
            if none || parked {
                queue.rewind(start, chains.len());
                // If there are some after all, the next packet will find them.
                queue.starved = none;
                return Ok(Room::None);
            }
            parked = true;
        }
    }

    /// Puts a packet into buffers or keeps it, and counts it; it was `wire` packets and bytes.
    fn place(
        self,
        queue: &mut Virtqueue,
        dma: &mut Dma<'_, '_>,
        pool: &mut Pool,
        port: &mut Port,
        parts: [&[u8]; 2],
        (about, wire): (RxCompletion, (u64, usize)),
    ) -> Result<(), QueueSyndrome> {
        let outcome = if queue.waiting.is_empty() && !queue.starved {
            self.receive(queue, dma, parts, &about)?
        } else {
            Outcome::NoRoom
        };
        match outcome {
            Outcome::Filled => port.count_received(destination(parts[0]), wire),
            Outcome::DmaFault => port.stats.rx_dma_fault += wire.0,
            Outcome::NoRoom if queue.waiting.push(pool, parts, about) => {}
            Outcome::NoRoom | Outcome::TooLong => {
                queue.stats.dropped += wire.0;
                port.stats.rx_no_buffer += wire.0;
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
                    port.count_received(destination(&packet.bytes), packet.on_wire());
                }
                Ok(Outcome::DmaFault) => port.stats.rx_dma_fault += packet.on_wire().0,
                Ok(Outcome::TooLong) => {
                    queue.stats.dropped += packet.on_wire().0;
                    port.stats.rx_no_buffer += packet.on_wire().0;
                }
                Err(_) => port.stats.rx_no_buffer += packet.on_wire().0,
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

/// Returns which hash a packet has of which so much is said.
fn report(ip: &Ip, flags: RxFlags) -> u16 {
    let kind = match (flags.contains(RxFlags::HASH_L4), ip.protocol) {
        (false, _) => hash::report::IP,
        (true, TCP) => hash::report::TCP,
        (true, _) => hash::report::UDP,
    };
    kind + if ip.v6 { hash::report::V6 } else { 0 }
}

/// Leaves the checksum of a packet to its receiver: puts the sum of the pseudo-header in its place, so far behind the IP
/// header.
fn leave_checksum(frame: &mut [u8], ip: &Ip, offset: usize) {
    let sum = Sum::default()
        .pseudo(ip.addresses(frame), ip.protocol, ip.end - ip.payload)
        .folded();
    let at = ip.payload + offset;
    if let Some(field) = frame.get_mut(at..at + 2) {
        field.copy_from_slice(&sum.to_be_bytes());
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
        let decided = virtio.steering.decide(arrival.ip(), arrival.frame());
        let index = 2 * decided.queue;
        let receiver = Receiver::new(virtio.features, virtio.offloads);
        let Some((rings, data, queue)) = virtio.parts(index).filter(|(_, _, q)| q.runs()) else {
            port.stats.rx_no_buffer += 1;
            return;
        };
        let mut flags = RxFlags(0);
        for (flag, counts) in [
            (RxFlags::CSUM_OK, arrival.is_right()),
            (RxFlags::HASH, decided.hash.is_some()),
            (RxFlags::HASH_L4, decided.ports),
        ] {
            if counts {
                flags = flags.with(flag);
            }
        }
        let about = RxCompletion {
            hash: U32::new(decided.hash.unwrap_or_default()),
            flags: U16::new(flags.0),
            ..RxCompletion::default()
        };
        self.pending.add(slot, 0, 1 << (index / 2));
        let mut bus = bus!(self, host, slot.pci());
        let mut dma = Dma {
            bus: &mut bus,
            rings,
            data,
        };
        let pool = &mut self.pool;
        let pass = receiver.join(queue, pool, (arrival, bare), &about, self.now);
        let mut result = receiver.hand_over(queue, &mut dma, pool, port);
        if pass && result.is_ok() {
            let told = (about, (1, parts[0].len() + parts[1].len()));
            result = receiver.place(queue, &mut dma, pool, port, parts, told);
        }
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

    /// Hands over the segments of a queue that wait for others, and writes the used entries that are due.
    pub(crate) fn publish_virtqueue(&mut self, host: &mut dyn Host, slot: Slot, index: u16) {
        self.with_queue(host, slot, index, Receiver::finish);
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
