// SPDX-License-Identifier: GPL-2.0

//! Receiving: buffers of a page pool go to the device and come back as packets.

use crate::{
    logic::{
        geometry::{
            RxGeometry,
            COPY_BREAK, //
        },
        ring::BadTail,
        rx::{
            PacketInfo,
            Refill,
            RxBuffer,
            RxFault,
            RxRing,
            Step, //
        },
    },
    memory::RxMemory,
    stats::PairStats, //
};
use core::fmt::{
    Debug,
    Formatter, //
};
use ferrite_abi::ring::Depth;
use ferrite_aux::Function;
use kernel::{
    prelude::*,
    sync::Arc, //
};
use kernel_ext::{
    napi::{
        Context,
        Instance, //
    },
    netdev::Features,
    page_pool::{
        Buffer,
        Layout,
        PagePool, //
    },
    skb::{
        SkBuff,
        MAX_SEGMENTS, //
    },
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

/// A receive queue.
pub(crate) struct Receiver {
    ring: RxRing<Arc<RxMemory>, KVVec<Option<Buffer>>>,
    // Buffers are put back before the pool goes.
    spare: KVec<Buffer>,
    pool: PagePool,
    /// The packet that is being put together.
    packet: Option<SkBuff>,
    /// The last malformed completion, and how many there were since a packet was right.
    fault: Option<RxFault>,
    faults: u32,
    depth: Depth,
    index: u16,
    stats: Arc<PairStats>,
}

impl Receiver {
    /// Makes receive queue `index`, which `napi` serves.
    ///
    /// # Errors
    ///
    /// `ENOMEM`, `ENODEV` if the device is gone.
    pub(crate) fn new(
        function: &Function,
        napi: &Instance,
        index: u16,
        memory: &Arc<RxMemory>,
        depth: Depth,
        geometry: RxGeometry,
        stats: &Arc<PairStats>,
    ) -> Result<Self> {
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
        // CAST: a few.
        let max_chain = MAX_SEGMENTS as u32;
        Ok(Self {
            ring: RxRing::new(memory.clone(), depth, slots, max_chain).ok_or(EINVAL)?,
            spare: KVec::with_capacity(entries, GFP_KERNEL)?,
            pool: PagePool::new(
                &*function.dma_device()?,
                napi,
                index,
                depth.entries(),
                layout,
            )?,
            packet: None,
            fault: None,
            faults: 0,
            depth,
            index,
            stats: stats.clone(),
        })
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
        let features = cx.device().features();
        let budget = cx.budget();
        let mut packets = 0;
        let mut bytes = 0;
        let ready = self.ring.ready().map_err(Broken::Tail)?;
        for _ in 0..ready {
            if packets == budget {
                break;
            }
            let Some(step) = self.ring.step() else {
                break;
            };
            if self.take(step, cx, features, &mut bytes)? {
                packets += 1;
            }
        }
        if packets > 0 {
            self.stats.rx_bytes.add(bytes);
        }
        Ok(packets)
    }

    /// Makes what is to be made of a buffer. Returns whether that ended a packet.
    fn take(
        &mut self,
        step: Step<Buffer>,
        cx: &Context<'_>,
        features: Features,
        bytes: &mut u64,
    ) -> Result<bool, Broken> {
        let end = match step {
            Step::Start {
                buffer,
                len,
                info,
                end,
            } => {
                self.start(buffer, len, end, cx);
                self.describe(&info, features);
                end
            }
            Step::More { buffer, len, end } => {
                self.append(buffer, len);
                end
            }
            Step::Drop { buffer, fault } => {
                self.packet = None;
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
        if let Some(skb) = self.packet.take() {
            let len = u64::from(skb.len());
            if cx.receive(skb, self.index) {
                self.stats.rx_packets.add(1);
                *bytes += len;
            } else {
                self.stats.rx_dropped.add(1);
            }
        }
        Ok(true)
    }

    fn start(&mut self, buffer: Buffer, len: u32, end: bool, cx: &Context<'_>) {
        let received = buffer.received(len);
        self.packet = if end && len <= COPY_BREAK {
            let skb = received.copy(cx);
            let _ = self.spare.push_within_capacity(received.recycle());
            self.stats.rx_copied.add(1);
            skb
        } else {
            received.into_packet(cx)
        };
        if self.packet.is_none() {
            self.stats.rx_no_memory.add(1);
        }
    }

    fn append(&mut self, buffer: Buffer, len: u32) {
        // Without packet there was no memory for it: the rest goes the same way.
        if let Some(mut skb) = self.packet.take() {
            if buffer.received(len).append_to(&mut skb) {
                self.packet = Some(skb);
            } else {
                self.stats.rx_dropped.add(1);
            }
        }
    }

    /// Tells the stack what the device said of a packet, as far as the user wants that.
    fn describe(&mut self, info: &PacketInfo, features: Features) {
        let Some(skb) = &mut self.packet else {
            return;
        };
        if info.checksum_ok && features.contains(Features::RXCSUM) {
            skb.set_checksum_ok();
            self.stats.rx_csum_ok.add(1);
        } else {
            self.stats.rx_csum_none.add(1);
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
