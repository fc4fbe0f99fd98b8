// SPDX-License-Identifier: GPL-2.0

//! RX queues: from packets to buffers.

use ferrite_abi::cmd::{
    FaultKind,
    ModifyQueue,
    QueueFlags,
    SuspendLevel,
    TrapCause, //
};
use ferrite_abi::desc::{
    RxCompletion,
    RxDesc,
    RxFlags,
    HEADER_PLACE, //
};
use ferrite_abi::event::QueueSyndrome;
use ferrite_abi::mig::{
    QueueMarks,
    QueueRecord, //
};
use ferrite_abi::wire::{
    U16,
    U32,
    U64, //
};

use crate::backlog::{
    Backlog,
    Pool,
    Waiting, //
};
use crate::bus::{
    bus,
    Bus, //
};
use crate::coalesce::Held;
use crate::device::Device;
use crate::function::Function;
use crate::host::{
    DmaFault,
    Host, //
};
use crate::packet::{
    destination,
    tcp_headers,
    vlan,
    Ip,
    Verdict,
    IPIP,
    IPV6,
    TCP,
    VLAN_TAG, //
};
use crate::port::Port;
use crate::queue::{
    Kind,
    Queue, //
};
use crate::save::{
    LoadError,
    Reader,
    Saved,
    Writer, //
};
use crate::segment::Segment;
use crate::slot::Slot;
use crate::switch::Vport;
use crate::timers::Timer;

/// Descriptors that are read at a time.
const FETCH: u32 = 64;
/// Completions that are written at a time, at least, when there are so many.
const BATCH: usize = 64;
/// Bits of the tag control information that are the number of the VLAN.
const VLAN_ID: u16 = 0x0fff;

/// A frame on its way to a function.
pub(crate) struct Arrival<'a> {
    frame: &'a [u8],
    ip: Option<Ip>,
    verdict: Verdict,
    vlan: Option<u16>,
    /// Whether it comes back to who sent it.
    back: bool,
}

impl<'a> Arrival<'a> {
    /// Looks at a frame.
    pub(crate) fn new(frame: &'a [u8]) -> Self {
        let ip = Ip::find(frame);
        let verdict = ip.map_or(Verdict::Unknown, |ip| ip.verdict(frame));
        Self {
            frame,
            ip,
            verdict,
            vlan: vlan(frame),
            back: false,
        }
    }

    /// Looks at a frame that comes back to who sent it.
    pub(crate) fn back(frame: &'a [u8]) -> Self {
        Self {
            back: true,
            ..Self::new(frame)
        }
    }

    /// Returns the frame.
    pub(crate) fn frame(&self) -> &'a [u8] {
        self.frame
    }

    /// Returns its IP packet.
    pub(crate) fn ip(&self) -> Option<&Ip> {
        self.ip.as_ref()
    }

    /// Returns its VLAN tag.
    pub(crate) fn vlan(&self) -> Option<u16> {
        self.vlan
    }

    /// Returns whether its checksums are right.
    pub(crate) fn is_right(&self) -> bool {
        self.verdict == Verdict::Right
    }

    /// Returns the verdict on its checksums.
    pub(crate) fn verdict(&self) -> Verdict {
        self.verdict
    }

    /// Returns it as a segment, if it is one of TCP; `bare` says that it is to be given without its tag.
    pub(crate) fn segment(&self, bare: bool) -> Option<Segment<'a>> {
        Segment::of(self.frame, self.ip.as_ref()?, bare && self.vlan.is_some())
    }

    /// Returns whether it may belong to a connection although it is not seen as a segment of it: as
    /// a fragment, or in a tunnel.
    fn may_be_of_connection(&self) -> bool {
        self.ip
            .is_some_and(|ip| [TCP, IPIP, IPV6].contains(&ip.protocol))
    }

    /// Returns the bytes that the driver gets: all but the VLAN tag.
    pub(crate) fn parts(&self) -> [&'a [u8]; 2] {
        match self.vlan {
            Some(_) => [&self.frame[..12], &self.frame[12 + VLAN_TAG..]],
            None => [self.frame, &[]],
        }
    }
}

/// An RX queue.
#[derive(Debug)]
pub(crate) struct RxQueue {
    pub(crate) queue: Queue,
    /// Whether it ran out of buffers and waits for a doorbell.
    starved: bool,
    /// Buffers that were read from the ring; those before `next` are used up.
    buffers: Vec<RxDesc>,
    next: usize,
    /// Completions that are not written yet.
    done: Vec<RxCompletion>,
    /// Packets that wait for buffers.
    waiting: Backlog,
    /// Segments that wait for others.
    held: Held,
}

impl Saved for RxQueue {
    fn save(&self, writer: &mut Writer) {
        self.queue.save(writer);
        self.starved.save(writer);
        self.done.save(writer);
        self.waiting.save(writer);
        self.held.save(writer);
    }

    fn load(reader: &mut Reader<'_>) -> Result<Self, LoadError> {
        let mut rx = Self::new(Queue::load(reader)?);
        rx.starved = Saved::load(reader)?;
        rx.done = Saved::load(reader)?;
        rx.waiting = Saved::load(reader)?;
        rx.held = Saved::load(reader)?;
        if rx.done.len() > BATCH + rx.queue.depth.entries() as usize {
            return Err(LoadError::Invalid("number of completions"));
        }
        Ok(rx)
    }
}

/// What became of a packet.
enum Outcome {
    /// It is in buffers.
    Filled,
    /// It waits for buffers.
    Waits,
    /// There is no buffer for it and no room to wait.
    NoBuffer,
    /// A buffer could not be written.
    DmaFault,
}

impl RxQueue {
    /// Makes a queue without buffers.
    pub(crate) fn new(queue: Queue) -> Self {
        Self {
            queue,
            starved: false,
            buffers: Vec::new(),
            next: 0,
            done: Vec::new(),
            waiting: Backlog::default(),
            held: Held::default(),
        }
    }

    /// Returns where the queue stands, as a record of a stream.
    pub(crate) fn record(&self, now: u64) -> QueueRecord {
        let marks = if self.starved {
            QueueMarks::STARVED
        } else {
            QueueMarks(0)
        };
        QueueRecord {
            marks: marks.0,
            ..self.queue.record(now)
        }
    }

    /// Returns the packets that wait for buffers, in their order.
    pub(crate) fn waiting(&self) -> impl Iterator<Item = &Waiting> {
        self.waiting.iter()
    }

    /// Makes a queue that stands where a record of a stream says; [`None`] if none can.
    pub(crate) fn restore(queue: Queue, record: &QueueRecord, waiting: Backlog) -> Option<Self> {
        let marks = QueueMarks(record.marks);
        let possible = QueueMarks::STARVED.contains(marks) && record.skipped.get() == 0;
        possible.then(|| Self {
            starved: marks.contains(QueueMarks::STARVED),
            waiting,
            ..Self::new(queue)
        })
    }

    /// Counts what waits in a queue that was loaded, and returns when segments are due.
    pub(crate) fn adopt(&self, pool: &mut Pool) -> Option<u64> {
        pool.adopt(&self.waiting);
        pool.adopt_bytes(self.held.bytes());
        self.held.timer()
    }

    /// Drops the packets that wait. Returns how many there were.
    pub(crate) fn drop_waiting(&mut self, pool: &mut Pool) -> u64 {
        self.waiting.clear(pool) + self.held.clear(pool)
    }

    /// Drops the packets that wait, and completions that were not written. Returns how many
    /// packets waited.
    pub(crate) fn discard(&mut self, pool: &mut Pool) -> u64 {
        self.done.clear();
        self.drop_waiting(pool)
    }

    /// Puts a packet into buffers, or keeps it.
    fn receive(
        &mut self,
        bus: &mut Bus<'_>,
        pool: &mut Pool,
        parts: [&[u8]; 2],
        about: RxCompletion,
    ) -> Result<Outcome, QueueSyndrome> {
        let pieces = self.in_buffers(parts);
        if self.waiting.is_empty() && !self.starved && self.has_room(bus, pieces)? {
            return Ok(match self.fill(bus, parts, about) {
                Ok(()) => Outcome::Filled,
                Err(DmaFault) => Outcome::DmaFault,
            });
        }
        Ok(if self.waiting.push(pool, parts, about) {
            Outcome::Waits
        } else {
            Outcome::NoBuffer
        })
    }

    /// Returns the lengths of the pieces of a packet, each of which begins with a buffer of its own; the
    /// second is empty unless it is split.
    fn pieces(&self, parts: [&[u8]; 2]) -> [usize; 2] {
        let length = parts[0].len() + parts[1].len();
        let splits = self.queue.flags.contains(QueueFlags::SPLIT);
        if !splits || length <= usize::from(self.queue.split_above) {
            return [length, 0];
        }
        let headers = if parts[1].is_empty() {
            tcp_headers(parts[0])
        } else {
            tcp_headers(&parts.concat())
        };
        headers.map_or([length, 0], |headers| [headers, length - headers])
    }

    /// Returns whether headers are put in places of their own.
    fn has_places(&self) -> bool {
        self.queue.flags.contains(QueueFlags::HEADERS)
    }

    /// Returns how many bytes of a packet are put in the place for its headers: those of its headers if it is
    /// split, and what there is room for if not.
    fn placed(&self, parts: [&[u8]; 2]) -> usize {
        let place = HEADER_PLACE as usize;
        match self.pieces(parts) {
            [headers, data] if data > 0 && headers <= place => headers,
            [length, data] => (length + data).min(place),
        }
    }

    /// Returns the lengths of the pieces of a packet that are put in buffers, at least one.
    fn in_buffers(&self, parts: [&[u8]; 2]) -> [usize; 2] {
        if self.has_places() {
            let length = parts[0].len() + parts[1].len();
            [(length - self.placed(parts)).max(1), 0]
        } else {
            self.pieces(parts)
        }
    }

    /// Returns whether there are buffers for pieces of these lengths, having read their descriptors. If not,
    /// the queue is starved: the driver will ring when it has put buffers in.
    fn has_room(&mut self, bus: &mut Bus<'_>, pieces: [usize; 2]) -> Result<bool, QueueSyndrome> {
        let mut must_grow = false;
        loop {
            let mut rest = pieces;
            for desc in &self.buffers[self.next..] {
                let room = desc.len.get() as usize;
                if room == 0 {
                    return Err(QueueSyndrome::BAD_CHAIN);
                }
                let piece = if rest[0] > 0 {
                    &mut rest[0]
                } else {
                    &mut rest[1]
                };
                *piece = piece.saturating_sub(room);
                if rest == [0, 0] {
                    return Ok(true);
                }
            }
            let read = (self.buffers.len() - self.next) as u32;
            let (tail, ready) = self.queue.ready(bus)?;
            if ready > read {
                let count = ready.min((2 * read).max(FETCH));
                self.buffers.clear();
                self.buffers.resize(count as usize, RxDesc::default());
                self.next = 0;
                if let Err(syndrome) = self.queue.fetch(bus, &mut self.buffers) {
                    self.buffers.clear();
                    return Err(syndrome);
                }
            } else if ready == self.queue.depth.entries() {
                // All that the ring can hold is not enough.
                return Err(QueueSyndrome::BAD_CHAIN);
            } else if must_grow {
                // The tail moved, but not forward.
                return Err(QueueSyndrome::BAD_TAIL);
            } else if self.queue.park(bus, tail)? {
                self.starved = true;
                return Ok(false);
            } else {
                must_grow = true;
                continue;
            }
            must_grow = false;
        }
    }

    /// Puts a packet into buffers, which suffice. The buffers of a packet that cannot be written
    /// are given back empty, each as a packet without bytes.
    fn fill(
        &mut self,
        bus: &mut Bus<'_>,
        parts: [&[u8]; 2],
        about: RxCompletion,
    ) -> Result<(), DmaFault> {
        let first = self.done.len();
        let mut rest = parts;
        let mut result = Ok(());
        let mut about = about;
        // What is left of the headers, if they are to be in a buffer of their own.
        let mut headers = 0;
        if self.has_places() {
            let mut place = Vec::with_capacity(HEADER_PLACE as usize);
            let length = self.placed(parts);
            for part in &mut rest {
                let (now, later) = part.split_at(part.len().min(length - place.len()));
                place.extend_from_slice(now);
                *part = later;
            }
            // CAST: no more than a place holds.
            about.header_len = U16::new(length as u16);
            result = self.queue.write_headers(bus, first, &place);
        } else {
            let [length, data] = self.pieces(parts);
            if data > 0 {
                headers = length;
            }
        }
        // At least one, by which the driver is told.
        while self.done.len() == first
            || result.is_ok() && !(rest[0].is_empty() && rest[1].is_empty())
        {
            let Some(desc) = self.buffers.get(self.next).copied() else {
                break;
            };
            self.next += 1;
            self.queue.head = self.queue.head.plus(1);
            let mut room = desc.len.get() as usize;
            if headers > 0 {
                room = room.min(headers);
                headers -= room;
            }
            let mut written = 0;
            for part in &mut rest {
                let (now, later) = part.split_at(part.len().min(room - written));
                if !now.is_empty() && result.is_ok() {
                    result = bus.write(desc.addr.get().wrapping_add(written as u64), now);
                }
                written += now.len();
                *part = later;
            }
            self.done.push(RxCompletion {
                cookie: desc.cookie,
                // CAST: no more than the length of a packet.
                len: U32::new(written as u32),
                ..RxCompletion::default()
            });
        }
        let completions = &mut self.done[first..];
        match result {
            Ok(()) => {
                if let Some(completion) = completions.first_mut() {
                    *completion = RxCompletion {
                        cookie: completion.cookie,
                        len: completion.len,
                        ..about
                    };
                }
                if let Some(completion) = completions.last_mut() {
                    let flags = RxFlags(completion.flags.get()).with(RxFlags::END);
                    completion.flags = U16::new(flags.0);
                }
            }
            Err(DmaFault) => {
                for completion in completions.iter_mut() {
                    completion.len = U32::new(0);
                    completion.flags = U16::new(RxFlags::END.0);
                }
            }
        }
        for completion in completions {
            if let Some(param) = bus.strikes(FaultKind::RX_WRONG_COOKIE) {
                completion.cookie = U32::new(param);
            }
            if let Some(param) = bus.strikes(FaultKind::RX_WRONG_LENGTH) {
                completion.len = U32::new(param);
            }
        }
        result
    }

    /// Moves packets that wait into buffers, as far as there are any; tells `moved` of each.
    fn drain(
        &mut self,
        bus: &mut Bus<'_>,
        pool: &mut Pool,
        mut moved: impl FnMut(&Waiting, Result<(), DmaFault>),
    ) -> Result<(), QueueSyndrome> {
        self.starved = false;
        while let Some(bytes) = self.waiting.first() {
            let pieces = self.in_buffers([bytes, &[]]);
            if !self.has_room(bus, pieces)? {
                break;
            }
            let Some(packet) = self.waiting.pop() else {
                break;
            };
            moved(&packet, self.fill(bus, [&packet.bytes, &[]], packet.about));
            pool.give_back(packet.bytes);
            if self.done.len() >= BATCH {
                self.publish(bus)?;
            }
        }
        self.publish(bus)
    }

    /// Returns whether segments are joined.
    fn joins(&self) -> bool {
        self.queue.flags.contains(QueueFlags::COALESCE) || !self.held.is_empty()
    }

    /// Puts a packet into buffers or keeps it, and counts it; it was `wire` packets and bytes.
    fn place(
        &mut self,
        bus: &mut Bus<'_>,
        pool: &mut Pool,
        port: &mut Port,
        parts: [&[u8]; 2],
        (about, wire): (RxCompletion, (u64, usize)),
    ) -> Result<(), QueueSyndrome> {
        let outcome = self.receive(bus, pool, parts, about)?;
        match outcome {
            Outcome::Filled => port.count_received(destination(parts[0]), wire),
            Outcome::Waits => {}
            Outcome::NoBuffer => port.stats.rx_no_buffer += wire.0,
            Outcome::DmaFault => port.stats.rx_dma_fault += wire.0,
        }
        if self.done.len() >= BATCH {
            self.publish(bus)?;
        }
        Ok(())
    }

    /// Puts joined segments that are ready into buffers, and sees to those that still wait.
    fn hand_over(
        &mut self,
        bus: &mut Bus<'_>,
        pool: &mut Pool,
        port: &mut Port,
        slot: Slot,
    ) -> Result<(), QueueSyndrome> {
        let mut result = Ok(());
        while let Some(packet) = self.held.pop() {
            if result.is_ok() {
                let wire = packet.on_wire();
                result = self.place(bus, pool, port, [&packet.bytes, &[]], (packet.about, wire));
            }
            pool.give_back(packet.bytes);
        }
        if let Some((due, before)) = self.held.new_timer(self.queue.coalesce_ns) {
            let timer = Timer::Coalesce(slot, self.queue.index);
            if let Some(before) = before {
                bus.timers.remove(before, timer);
            }
            bus.timers.add(due, timer);
        }
        result
    }

    /// Writes the completions that are due.
    fn publish(&mut self, bus: &mut Bus<'_>) -> Result<(), QueueSyndrome> {
        let entries = self.queue.depth.entries() as usize;
        for batch in self.done.chunks(entries) {
            self.queue.publish(bus, batch)?;
        }
        self.done.clear();
        Ok(())
    }
}

impl Device {
    /// Delivers a frame to a function. Returns whether its port is open.
    pub(crate) fn deliver(
        &mut self,
        host: &mut dyn Host,
        slot: Slot,
        arrival: &Arrival<'_>,
    ) -> bool {
        let (now, pci) = (self.now, slot.pci());
        let usable = self.is_usable(slot);
        let legacy = self.is_legacy();
        let level = self.level(slot);
        if level == SuspendLevel::FULL {
            // Nothing of it changes, its counters neither.
            return false;
        }
        let Some(function) = self.state.functions[slot.index()].as_deref_mut() else {
            return false;
        };
        let usable = usable && (function.has_link() || arrival.back);
        let Function {
            port,
            rx,
            provision,
            virtio,
            ..
        } = function;
        let access = if legacy { provision.vlan } else { 0 };
        // In a VLAN of its own, the function sees nothing of any tag.
        let vlan = match arrival.vlan {
            tag if access == 0 => tag,
            Some(tag) if tag & VLAN_ID == access => None,
            _ => {
                let to = Vport::Function(slot);
                self.drop_frame(host, TrapCause::VLAN_FILTER, to, arrival.frame);
                return false;
            }
        };
        // Representors and the PF receive all that rules or their absence bring them.
        let filters = !legacy && (slot.is_vf() || slot.is_sf());
        if filters && !port.wants(destination(arrival.frame)) {
            let to = Vport::Function(slot);
            self.drop_frame(host, TrapCause::DESTINATION, to, arrival.frame);
            return true;
        }
        if !port.open || !usable || port.loops != arrival.back {
            port.stats.rx_closed += 1;
            return false;
        }
        let length = arrival.frame.len();
        if !port.fits(length, arrival.vlan.is_some()) {
            port.stats.rx_too_long += 1;
            return true;
        }
        port.count_arrived(arrival.frame);
        if arrival.verdict == Verdict::Wrong {
            port.stats.rx_bad_checksum += 1;
        }
        if virtio.is_some() {
            self.deliver_virtio(host, slot, arrival, access != 0);
            return true;
        }
        let mut flags = RxFlags(0);
        if arrival.is_right() {
            flags = flags.with(RxFlags::CSUM_OK);
        }
        let decided = port.steering.decide(arrival.ip.as_ref(), arrival.frame);
        let Some(scaled) = decided else {
            port.stats.rx_filtered += 1;
            return true;
        };
        if scaled.hash.is_some() {
            flags = flags.with(RxFlags::HASH);
        }
        if scaled.ports {
            flags = flags.with(RxFlags::HASH_L4);
        }
        if vlan.is_some() {
            flags = flags.with(RxFlags::VLAN);
        }
        let Some(queue) = rx
            .get_mut(usize::from(scaled.queue))
            .and_then(Option::as_deref_mut)
            .filter(|queue| queue.queue.runs())
        else {
            port.stats.rx_no_buffer += 1;
            return true;
        };
        let mut timestamp = 0;
        if queue.queue.flags.contains(QueueFlags::TIMESTAMP) {
            flags = flags.with(RxFlags::TIMESTAMP);
            timestamp = now;
        }
        let about = RxCompletion {
            timestamp: U64::new(timestamp),
            hash: U32::new(scaled.hash.unwrap_or_default()),
            flags: U16::new(flags.0),
            vlan: U16::new(vlan.unwrap_or_default()),
            ..RxCompletion::default()
        };
        if level != SuspendLevel::RUNNING {
            // It waits with those that wait for buffers, until the function may write to them.
            if !queue.waiting.push(&mut self.pool, arrival.parts(), about) {
                port.stats.rx_no_buffer += 1;
            }
            return true;
        }
        let mut bus = bus!(self, host, pci);
        self.pending.add(slot, 0, 1 << queue.queue.index);
        let pool = &mut self.pool;
        let mut result = Ok(());
        let mut pass = true;
        if queue.joins() {
            if let Some(segment) = arrival.segment(true) {
                let time = (now, queue.queue.coalesce_ns);
                pass = (queue.held).offer(pool, &segment, arrival.verdict, &about, time);
            } else if arrival.may_be_of_connection() {
                queue.held.release_all();
            }
            result = queue.hand_over(&mut bus, pool, port, slot);
        }
        if pass && result.is_ok() {
            let wire = (1, length);
            result = queue.place(&mut bus, pool, port, arrival.parts(), (about, wire));
        }
        if let Err(syndrome) = result {
            port.stats.rx_no_buffer += 1;
            self.stop_queue(host, slot, Kind::Rx, scaled.queue, syndrome);
        }
        true
    }

    /// Hands over the segments of an RX queue whose time to wait for others is over.
    pub(crate) fn coalescing_is_due(&mut self, host: &mut dyn Host, slot: Slot, index: u16) {
        let (now, usable) = (self.now, self.can_move_packets(slot));
        let Some(Function { port, rx, .. }) = self.state.functions[slot.index()].as_deref_mut()
        else {
            return;
        };
        let queue = rx
            .get_mut(usize::from(index))
            .and_then(Option::as_deref_mut);
        let Some(queue) = queue.filter(|queue| queue.queue.runs()) else {
            return;
        };
        queue.held.release_due(now, queue.queue.coalesce_ns);
        if !usable {
            port.stats.rx_closed += queue.held.clear(&mut self.pool);
            return;
        }
        let mut bus = bus!(self, host, slot.pci());
        let result = queue
            .hand_over(&mut bus, &mut self.pool, port, slot)
            .and_then(|()| queue.publish(&mut bus));
        if let Err(syndrome) = result {
            self.stop_queue(host, slot, Kind::Rx, index, syndrome);
        }
    }

    /// Hands over the segments of an RX queue that wait for others, and writes the completions that are
    /// due; drops the segments if the queue is not usable.
    pub(crate) fn quiesce_rx(&mut self, host: &mut dyn Host, slot: Slot, index: u16, usable: bool) {
        let Some(Function { port, rx, .. }) = self.state.functions[slot.index()].as_deref_mut()
        else {
            return;
        };
        let queue = rx
            .get_mut(usize::from(index))
            .and_then(Option::as_deref_mut);
        let Some(queue) = queue.filter(|queue| queue.queue.runs()) else {
            return;
        };
        if !usable {
            port.stats.rx_closed += queue.held.clear(&mut self.pool);
            queue.done.clear();
            return;
        }
        queue.held.release_all();
        let mut bus = bus!(self, host, slot.pci());
        let result = queue
            .hand_over(&mut bus, &mut self.pool, port, slot)
            .and_then(|()| queue.publish(&mut bus));
        if let Err(syndrome) = result {
            self.stop_queue(host, slot, Kind::Rx, index, syndrome);
        }
    }

    /// Changes a queue that is there. What it would not keep any more is handed over.
    pub(crate) fn modify_queue(
        &mut self,
        host: &mut dyn Host,
        slot: Slot,
        kind: Kind,
        command: &ModifyQueue,
    ) {
        let index = command.index.get();
        let Some(function) = self.state.functions[slot.index()].as_deref_mut() else {
            return;
        };
        let mut bus = bus!(self, host, slot.pci());
        let mut result = Ok(());
        if kind == Kind::Rx {
            let Function { port, rx, .. } = function;
            if let Some(Some(queue)) = rx.get_mut(usize::from(index)) {
                if queue.queue.runs() {
                    queue.held.release_all();
                    result = queue
                        .hand_over(&mut bus, &mut self.pool, port, slot)
                        .and_then(|()| queue.publish(&mut bus));
                }
            }
        }
        if let Some(queue) = function.queue_mut(kind, index) {
            queue.modify(command);
            if queue.runs() && result.is_ok() {
                result = queue.reconsider(&mut bus);
            }
        }
        if let Err(syndrome) = result {
            self.stop_queue(host, slot, kind, index, syndrome);
        }
    }

    /// Looks at an RX queue whose doorbell was rung: moves packets that wait into new buffers.
    pub(crate) fn poll_rx(&mut self, host: &mut dyn Host, slot: Slot, index: u16) {
        if self.virtio(slot).is_some() {
            return self.poll_virtio_rx(host, slot, 2 * index);
        }
        let Some(Function { port, rx, .. }) = self.state.functions[slot.index()].as_deref_mut()
        else {
            return;
        };
        let Some(queue) = rx
            .get_mut(usize::from(index))
            .and_then(Option::as_deref_mut)
        else {
            return;
        };
        if !queue.queue.runs() {
            return;
        }
        let mut bus = bus!(self, host, slot.pci());
        let result = queue.drain(&mut bus, &mut self.pool, |packet, result| match result {
            Ok(()) => port.count_received(destination(&packet.bytes), packet.on_wire()),
            Err(DmaFault) => port.stats.rx_dma_fault += 1,
        });
        if let Err(syndrome) = queue.queue.may_stop(&mut bus).and(result) {
            self.stop_queue(host, slot, Kind::Rx, index, syndrome);
        }
    }

    /// Writes the completions that are due in all RX queues.
    pub(crate) fn publish_received(&mut self, host: &mut dyn Host) {
        while let Some((slot, _, mut queues)) = self.pending.take() {
            while queues != 0 {
                // CAST: a bit number.
                let index = queues.trailing_zeros() as u16;
                queues &= queues - 1;
                if self.virtio(slot).is_some() {
                    self.publish_virtqueue(host, slot, 2 * index);
                    continue;
                }
                let Some(function) = self.state.functions[slot.index()].as_deref_mut() else {
                    break;
                };
                let queue = function
                    .rx
                    .get_mut(usize::from(index))
                    .and_then(Option::as_deref_mut);
                let Some(queue) = queue.filter(|queue| queue.queue.runs()) else {
                    continue;
                };
                let mut bus = bus!(self, host, slot.pci());
                if let Err(syndrome) = queue.publish(&mut bus) {
                    self.stop_queue(host, slot, Kind::Rx, index, syndrome);
                }
            }
        }
    }
}
