// SPDX-License-Identifier: GPL-2.0

//! Sending: packets in at [`Sender`], out at [`Cleaner`].

use crate::{
    logic::{
        geometry::{
            Watermarks,
            MAX_SKB_SEGMENTS, //
        },
        memory::QueueMemory,
        tx::{
            Checksum,
            InFlight,
            Offload,
            Segment,
            Segmentation,
            TxFault,
            TxPoster,
            TxReaper, //
        },
    },
    memory::TxMemory,
    stats::PairStats, //
};
use ferrite_abi::{
    desc::{
        TxStatus,
        MAX_TX_SEGMENTS, //
    },
    ring::{
        Depth,
        Index, //
    },
};
use ferrite_aux::Function;
use kernel::{
    prelude::*,
    sync::Arc, //
};
use kernel_ext::{
    napi::Context,
    netdev::TxQueue,
    skb::{
        self,
        SkBuff, //
    },
};

// Any packet of the stack fits where the watermarks say so, and the device takes it. A kernel with a
// larger CONFIG_MAX_SKB_FRAGS would have to make its packets linear.
const _: () = assert!(skb::MAX_SEGMENTS <= MAX_SKB_SEGMENTS as usize);
const _: () = assert!(MAX_SKB_SEGMENTS <= MAX_TX_SEGMENTS);

/// Makes both ends of a transmit queue.
///
/// # Errors
///
/// `ENOMEM`, `ENODEV` if the device is gone.
pub(crate) fn ends(
    function: &Function,
    memory: &Arc<TxMemory>,
    depth: Depth,
    stats: &Arc<PairStats>,
) -> Result<(Sender, Cleaner)> {
    let (departures, arrivals) = skb::flight(&*function.dma_device()?, depth.entries() as usize)?;
    let watermarks = Watermarks::of(depth);
    let sender = Sender {
        poster: TxPoster::new(memory.clone(), depth),
        departures,
        watermarks,
        stats: stats.clone(),
    };
    let cleaner = Cleaner {
        reaper: TxReaper::new(memory.clone(), depth),
        under_way: UnderWay(arrivals),
        memory: memory.clone(),
        depth,
        watermarks,
        stats: stats.clone(),
    };
    Ok((sender, cleaner))
}

/// The end of a transmit queue where packets are handed to the device.
pub(crate) struct Sender {
    poster: TxPoster<Arc<TxMemory>>,
    // Dropped with the last end: packets under way are freed then.
    departures: skb::Departures,
    watermarks: Watermarks,
    stats: Arc<PairStats>,
}

impl Sender {
    /// Hands a packet to the device.
    ///
    /// # Errors
    ///
    /// The packet, if there is no room for it.
    #[inline]
    pub(crate) fn send(&mut self, queue: TxQueue<'_>, mut skb: SkBuff) -> Result<(), SkBuff> {
        if self.poster.free() < self.watermarks.stop {
            // The queue is stopped before it comes to this, but may be woken early: the cleaner does
            // not see packets of which the device was not told yet.
            self.kick();
            queue.maybe_stop(
                || self.poster.free(),
                self.watermarks.stop,
                self.watermarks.wake,
            );
            return Err(skb);
        }
        let offload = self.offload(&skb);
        let len = skb.len();
        skb.tx_timestamp();
        let Self {
            poster, departures, ..
        } = self;
        let sent = departures.send(skb, |segments| {
            let segments = segments.map(|segment| Segment {
                addr: segment.addr,
                len: segment.len,
            });
            poster.post(&offload, segments).0
        });
        if let Err(skb) = sent {
            drop(skb);
            self.stats.tx_unmapped.add(1);
            // Packets before this one may wait for it to be the last in a row.
            self.kick();
            return Ok(());
        }
        let Watermarks { stop, wake } = self.watermarks;
        if queue.maybe_stop(|| self.poster.free(), stop, wake) {
            self.stats.tx_stopped.add(1);
        }
        if queue.sent(len) {
            self.kick();
        }
        Ok(())
    }

    fn kick(&mut self) {
        if self.poster.kick() {
            self.stats.tx_doorbells.add(1);
        }
    }

    fn offload(&self, skb: &SkBuff) -> Offload {
        let checksum = skb
            .checksum_wanted()
            .map(|(start, offset)| Checksum { start, offset });
        let segmentation = skb.segmentation().map(|segmentation| Segmentation {
            mss: segmentation.mss,
            header_len: segmentation.header_len,
        });
        if checksum.is_some() {
            self.stats.tx_csum.add(1);
        }
        if segmentation.is_some() {
            self.stats.tx_tso.add(1);
        }
        Offload {
            checksum,
            segmentation,
            vlan: skb.vlan_wanted(),
        }
    }
}

/// The packets that the device has.
struct UnderWay(skb::Arrivals);

impl InFlight for UnderWay {
    type Packet = SkBuff;

    #[inline]
    fn front_end(&self) -> Option<Index> {
        self.0.front_end().map(Index)
    }

    #[inline]
    fn pop(&mut self) -> Option<SkBuff> {
        self.0.pop()
    }
}

/// The end of a transmit queue where the device gives packets back.
pub(crate) struct Cleaner {
    reaper: TxReaper<Arc<TxMemory>>,
    under_way: UnderWay,
    memory: Arc<TxMemory>,
    depth: Depth,
    watermarks: Watermarks,
    stats: Arc<PairStats>,
}

impl Cleaner {
    /// Frees all packets that were sent, and wakes the queue if there is room again.
    ///
    /// # Errors
    ///
    /// What the device did wrong: the queue is of no use any more.
    pub(crate) fn clean(&mut self, cx: &Context<'_>, index: u16) -> Result<(), TxFault> {
        let (mut packets, mut bytes) = (0, 0);
        let (mut good_packets, mut good_bytes, mut refused) = (0, 0, 0);
        let result = self.reaper.reap(&mut self.under_way, |skb, status| {
            let len = skb.len();
            packets += 1;
            bytes += len;
            if status == TxStatus::OK {
                good_packets += 1;
                good_bytes += u64::from(len);
                skb.consume(cx);
            } else {
                refused += 1;
                drop(skb);
            }
        });
        if packets > 0 {
            self.stats.tx_packets.add(good_packets);
            self.stats.tx_bytes.add(good_bytes);
            self.stats.tx_refused.add(refused);
            if let Some(queue) = cx.device().tx_queue(index) {
                if queue.completed(packets, bytes, || self.free(), self.watermarks.wake) {
                    self.stats.tx_woken.add(1);
                }
            }
        }
        result
    }

    /// Returns how many descriptors are free, as far as this end knows.
    fn free(&self) -> u32 {
        let progress = self.memory.progress();
        self.depth.entries() - progress.tail().since(progress.head())
    }
}
