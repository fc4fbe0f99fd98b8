// SPDX-License-Identifier: GPL-2.0

//! Receiving: buffers of a page pool go to the device and come back as packets.

use crate::{
    logic::{
        geometry::COPY_BREAK,
        ring::BadTail,
        rx::{
            Headers,
            PacketInfo,
            Refill,
            RxBuffer,
            RxFault,
            RxRing,
            Step, //
        },
    },
    memory::RxMemory,
    pair::Setup,
    port::Port,
    stats::PairStats,
    xdp::Stage, //
};
use core::fmt::{
    Debug,
    Formatter, //
};
use ferrite_abi::ring::Depth;
use kernel::{
    prelude::*,
    sync::Arc, //
};
use kernel_ext::{
    napi::{
        Context,
        Instance, //
    },
    netdev::{
        Device,
        Features,
        Lock, //
    },
    page_pool::{
        Buffer,
        Layout,
        PagePool,
        Purpose, //
    },
    skb::{
        SkBuff,
        MAX_SEGMENTS, //
    },
    xdp::Runner, //
};

impl RxBuffer for Buffer {
    #[inline]
    fn addr(&self) -> u64 {
        Buffer::addr(self)
    }

    #[inline]
    fn size(&self) -> u32 {
        Buffer::size(self)
    }
}

/// Malformed completions in a row after which the device is taken to have lost its way.
const PATIENCE: u32 = 64;

/// Why a receive queue cannot go on.
#[derive(Clone, Copy)]
pub(crate) enum Broken {
    /// The device claims completions that it cannot have written.
    Tail(BadTail),
    /// One malformed completion after the other came; this was the last.
    Completions(RxFault),
}

impl Debug for Broken {
    fn fmt(&self, f: &mut Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Tail(tail) => tail.fmt(f),
            Self::Completions(fault) => fault.fmt(f),
        }
    }
}

/// What holds for one poll.
pub(crate) struct Pass<'a> {
    /// What the user wants of the device.
    pub(crate) features: Features,
    /// The XDP program that sees packets first.
    pub(crate) program: Option<Runner<'a>>,
    /// Bytes that were received.
    bytes: u64,
}

/// A receive queue. It can be used once it is [attached](Receiver::attach) to the NAPI instance that serves it.
pub(crate) struct Receiver {
    memory: Arc<RxMemory>,
    ring: RxRing<Arc<RxMemory>, KVVec<Option<Buffer>>>,
    // Buffers are put back before the pool goes.
    spare: KVec<Buffer>,
    pool: PagePool,
    /// The packet that is being put together.
    packet: Option<SkBuff>,
    /// What the device said of it.
    info: PacketInfo,
    /// What its buffers are for.
    purpose: Purpose,
    /// Where XDP programs run, if one may.
    stage: Option<Stage>,
    /// The last malformed completion, and how many there were since a packet was right.
    fault: Option<RxFault>,
    faults: u32,
    depth: Depth,
    index: u16,
    stats: Arc<PairStats>,
}

impl Receiver {
    /// Makes receive queue `index`.
    ///
    /// # Errors
    ///
    /// `ENOMEM`, `ENODEV` if the device is gone, and what the stack fails with if its memory comes from a provider.
    pub(crate) fn new(
        device: &Device<Port>,
        lock: &Lock,
        index: u16,
        memory: &Arc<RxMemory>,
        setup: &Setup,
    ) -> Result<Self> {
        let Setup {
            rx_depth: depth,
            geometry,
            purpose,
            ..
        } = *setup;
        let entries = depth.entries() as usize;
        let mut slots = KVVec::with_capacity(entries, GFP_KERNEL)?;
        for _ in 0..entries {
            slots.push(None, GFP_KERNEL)?;
        }
        let layout = Layout {
            size: geometry.size,
            headroom: geometry.headroom,
            data: geometry.data,
        };
        let port = device.data().get_ref();
        let stats = port.stats.get(usize::from(index)).ok_or(EINVAL)?;
        let parent = port.function.dma_device()?;
        let pool = PagePool::new(lock, &parent, index, depth.entries(), layout, purpose)?;
        // CAST: a few.
        let max_chain = MAX_SEGMENTS as u32;
        let ring = RxRing::new(memory.clone(), depth, slots, max_chain).ok_or(EINVAL)?;
        Ok(Self {
            memory: memory.clone(),
            ring: ring.with_places(setup.has_places()),
            spare: KVec::with_capacity(entries, GFP_KERNEL)?,
            pool,
            packet: None,
            info: PacketInfo::default(),
            purpose,
            stage: None,
            fault: None,
            faults: 0,
            depth,
            index,
            stats: stats.clone(),
        })
    }

    /// Makes it that of a queue that is about to be created and which `napi`, that does not run, serves.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub(crate) fn attach(&mut self, device: &Device<Port>, napi: &Instance) -> Result {
        self.pool.attach(napi);
        if self.purpose == Purpose::Programs && self.stage.is_none() {
            let stage = Stage::new(device, napi, self.index, &self.pool, &self.stats)?;
            self.stage = Some(stage);
        }
        self.memory.reset();
        self.ring.reset();
        self.packet = None;
        if let Some(stage) = &mut self.stage {
            stage.abandon();
        }
        Ok(())
    }

    /// Takes it from `napi`, which does not run.
    pub(crate) fn detach(&mut self, napi: &Instance) {
        self.pool.detach(napi);
    }

    /// Gives the device buffers. Returns whether it has enough to go on; if not, this must be called
    /// again soon, because it may have none that would cause an interrupt.
    pub(crate) fn refill(&mut self, napi: &Instance) -> bool {
        let Self {
            ring, spare, pool, ..
        } = self;
        match ring.refill(|| spare.pop().or_else(|| pool.alloc(napi))) {
            Refill::Done => true,
            Refill::OutOfMemory => {
                self.stats.rx_no_memory.add(1);
                self.ring.outstanding() >= self.depth.entries() / 8
            }
        }
    }

    /// Receives packets until there are no more or the budget is used up. Returns how many.
    ///
    /// # Errors
    ///
    /// What the device did wrong: the queue is of no use any more.
    pub(crate) fn receive(&mut self, cx: &Context<'_>) -> Result<u32, Broken> {
        let mut pass = Pass {
            features: cx.device().features(),
            program: self.stage.as_ref().and_then(|stage| stage.program(cx)),
            bytes: 0,
        };
        let budget = cx.budget();
        let mut packets = 0;
        let ready = self.ring.ready().map_err(Broken::Tail)?;
        for _ in 0..ready {
            if packets == budget {
                break;
            }
            let Some(step) = self.ring.step() else {
                break;
            };
            if self.take(step, cx, &mut pass)? {
                packets += 1;
            }
        }
        if packets > 0 {
            self.stats.rx_bytes.add(pass.bytes);
        }
        Ok(packets)
    }

    /// Ends a poll, after [`Self::receive`]: sees to what an XDP program did with packets.
    #[inline]
    pub(crate) fn finish(&mut self, cx: &Context<'_>) {
        if let Some(stage) = &mut self.stage {
            stage.finish(cx);
        }
    }

    /// Makes what is to be made of a buffer. Returns whether that ended a packet.
    fn take(
        &mut self,
        step: Step<Buffer>,
        cx: &Context<'_>,
        pass: &mut Pass<'_>,
    ) -> Result<bool, Broken> {
        let end = match step {
            Step::Start {
                buffer,
                len,
                headers,
                info,
                end,
            } => {
                match &mut self.stage {
                    Some(stage) if pass.program.is_some() => {
                        stage.start(buffer.received(len), &info);
                    }
                    _ => {
                        self.packet = match headers {
                            Some(headers) => self.start_behind(headers, buffer, len, cx),
                            None => self.start(buffer, len, end, cx),
                        };
                        self.info = info;
                    }
                }
                end
            }
            Step::More { buffer, len, end } => {
                self.append(buffer, len);
                end
            }
            Step::Drop { buffer, fault } => {
                self.packet = None;
                if let Some(stage) = &mut self.stage {
                    stage.abandon();
                }
                // There is room for as many as the ring has.
                let _ = self.spare.push_within_capacity(buffer);
                if let Some(fault) = fault {
                    self.note(fault, cx)?;
                }
                return Ok(fault.is_some());
            }
        };
        if !end {
            return Ok(false);
        }
        self.faults = 0;
        if let Some(mut skb) = self.packet.take() {
            describe(&mut skb, &self.info, pass.features, &self.stats);
            let segments = self.info.joined.map_or(1, |joined| joined.segments.max(1));
            let len = u64::from(skb.len());
            if cx.receive(skb, self.index) {
                self.stats.rx_packets.add(segments.into());
                pass.bytes += len;
            } else {
                self.stats.rx_dropped.add(1);
            }
        } else if let Some(stage) = &mut self.stage {
            pass.bytes += stage.end(cx, pass);
        }
        Ok(true)
    }

    fn start(&mut self, buffer: Buffer, len: u32, end: bool, cx: &Context<'_>) -> Option<SkBuff> {
        let received = buffer.received(len);
        let packet = if end && len <= COPY_BREAK {
            let skb = received.copy(cx);
            let _ = self.spare.push_within_capacity(received.recycle());
            self.stats.rx_copied.add(1);
            skb
        } else {
            received.into_packet(cx)
        };
        if packet.is_none() {
            self.stats.rx_no_memory.add(1);
        }
        packet
    }

    /// Starts a packet whose headers are not in its buffers. What is there need not be read.
    fn start_behind(
        &mut self,
        headers: Headers,
        buffer: Buffer,
        len: u32,
        cx: &Context<'_>,
    ) -> Option<SkBuff> {
        let headers = self.memory.headers(headers);
        let mut packet = headers.and_then(|headers| SkBuff::copy_of(headers, cx));
        if len == 0 {
            let _ = self.spare.push_within_capacity(buffer);
        } else if let Some(skb) = &mut packet {
            // A packet that was just made has room.
            buffer.received(len).append_to(skb);
        }
        if packet.is_none() {
            self.stats.rx_no_memory.add(1);
        }
        packet
    }

    fn append(&mut self, buffer: Buffer, len: u32) {
        // Without packet there was no memory for it: the rest goes the same way.
        if let Some(mut skb) = self.packet.take() {
            if buffer.received(len).append_to(&mut skb) {
                self.packet = Some(skb);
            } else {
                self.stats.rx_dropped.add(1);
            }
        } else if let Some(stage) = &mut self.stage {
            stage.append(buffer.received(len));
        }
    }

    /// Takes note of a malformed completion.
    fn note(&mut self, fault: RxFault, cx: &Context<'_>) -> Result<(), Broken> {
        if fault == RxFault::Unwritten {
            self.stats.rx_unwritten.add(1);
            return Ok(());
        }
        self.stats.rx_bad_completion.add(1);
        self.faults += 1;
        // Once for a kind of fault, and then as often as the log can bear.
        let is_new = self.fault.replace(fault).is_none();
        if is_new || cx.device().may_report() {
            dev_err!(
                cx.device(),
                "rx queue {}: dropped a packet: {:?}\n",
                self.index,
                fault
            );
        }
        if self.faults >= PATIENCE {
            return Err(Broken::Completions(fault));
        }
        Ok(())
    }
}

/// Tells the stack what the device said of a packet, as far as the user wants that.
#[inline]
pub(crate) fn describe(skb: &mut SkBuff, info: &PacketInfo, features: Features, stats: &PairStats) {
    if let Some(timestamp) = info.timestamp {
        skb.set_timestamp(timestamp);
    }
    let is_joined = info.joined.is_some_and(|joined| {
        stats.rx_hw_gro_packets.add(1);
        stats.rx_hw_gro_wire_packets.add(joined.segments.into());
        skb.set_joined(joined.segments, joined.mss, joined.l4_offset)
    });
    if is_joined {
        stats.rx_csum_ok.add(1);
    } else if info.checksum_ok && features.contains(Features::RXCSUM) {
        skb.set_checksum_ok();
        stats.rx_csum_ok.add(1);
    } else {
        stats.rx_csum_none.add(1);
    }
    if let Some((hash, l4)) = info.hash {
        if features.contains(Features::RXHASH) {
            skb.set_hash(hash, l4);
        }
    }
    if let Some(tag) = info.vlan {
        skb.set_vlan(tag);
    }
}
