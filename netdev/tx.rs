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
    port::Port,
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
use kernel::{
    prelude::*,
    sync::{
        aref::ARef,
        atomic::Relaxed,
        Arc, //
    },
};
use kernel_ext::{
    napi::Context,
    netdev::{
        Device,
        TxQueue, //
    },
    skb::{
        self,
        Packet,
        SkBuff, //
    },
    xdp::Frame, //
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
    device: &Device<Port>,
    memory: &Arc<TxMemory>,
    depth: Depth,
    stats: &Arc<PairStats>,
) -> Result<(Sender, Cleaner)> {
    let parent = device.data().get_ref().function.dma_device()?;
    let (departures, arrivals) = skb::flight(&parent, depth.entries() as usize)?;
    drop(parent);
    let watermarks = Watermarks::of(depth);
    let sender = Sender {
        poster: TxPoster::new(memory.clone(), depth),
        departures,
        watermarks,
        device: device.into(),
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
    device: ARef<Device<Port>>,
    stats: Arc<PairStats>,
}

impl Sender {
    /// Returns whether packets that ask for it are stamped.
    #[inline]
    fn stamps(&self) -> bool {
        self.device.data().tx_stamps.load(Relaxed)
    }

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
        let offload = self.offload(&mut skb);
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

    /// Hands a packet of an XDP program's to the device; [`Self::kick`] is to follow. The stack keeps
    /// the room that it needs.
    ///
    /// # Errors
    ///
    /// The packet, if there is no room for it, or it cannot be mapped.
    #[inline]
    pub(crate) fn send_frame(&mut self, frame: Frame) -> Result<(), Frame> {
        let Self {
            poster, departures, ..
        } = self;
        let sent = if poster.free() < self.watermarks.stop {
            Err(frame)
        } else {
            departures.send_frame(frame, |segments| {
                let segments = segments.map(|segment| Segment {
                    addr: segment.addr,
                    len: segment.len,
                });
                poster.post(&Offload::default(), segments).0
            })
        };
        match sent {
            Ok(()) => self.stats.tx_xdp.add(1),
            Err(_) => self.stats.tx_xdp_full.add(1),
        }
        sent
    }

    /// Shows the device what was sent.
    pub(crate) fn kick(&mut self) {
        if self.poster.kick() {
            self.stats.tx_doorbells.add(1);
        }
    }

    fn offload(&self, skb: &mut SkBuff) -> Offload {
        let checksum = skb
            .checksum_wanted()
            .map(|(start, offset)| Checksum { start, offset });
        let segmentation = skb.segmentation().map(|segmentation| Segmentation {
            mss: segmentation.mss,
            header_len: segmentation.header_len,
        });
        let segments = u64::from(skb.segments().max(1));
        if checksum.is_some() {
            self.stats.tx_csum.add(segments);
        }
        if segmentation.is_some() {
            self.stats.tx_tso.add(1);
            self.stats.tx_tso_segments.add(segments);
        }
        Offload {
            checksum,
            segmentation,
            vlan: skb.vlan_wanted(),
            timestamp: self.stamps() && skb.timestamp_wanted(),
        }
    }
}

/// The packets that the device has.
struct UnderWay(skb::Arrivals);

impl InFlight for UnderWay {
    type Packet = Packet;

    #[inline]
    fn front_end(&self) -> Option<Index> {
        self.0.front_end().map(Index)
    }

    #[inline]
    fn pop(&mut self) -> Option<Packet> {
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
        let mut done = 0;
        // What the stack counts.
        let (mut packets, mut bytes) = (0, 0);
        let (mut good_packets, mut good_bytes, mut refused) = (0, 0, 0);
        let stats = &self.stats;
        let result = self
            .reaper
            .reap(&mut self.under_way, |packet, status, timestamp| {
                done += 1;
                let good = status == TxStatus::OK;
                let (len, segments) = match packet {
                    Packet::Skb(mut skb) => {
                        let len = skb.len();
                        let segments = u64::from(skb.segments().max(1));
                        if let Some(timestamp) = timestamp {
                            skb.timestamp_done(timestamp);
                            stats.tx_stamped.add(1);
                        }
                        packets += 1;
                        bytes += len;
                        if good {
                            skb.consume(cx);
                        }
                        (len, segments)
                    }
                    Packet::Frame(frame) => (frame.len(), 1),
                };
                if good {
                    good_packets += segments;
                    good_bytes += u64::from(len);
                } else {
                    refused += 1;
                }
            });
        if done > 0 {
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
