// SPDX-License-Identifier: GPL-2.0

//! Counters of a queue pair, which outlive the queues.

use kernel::sync::atomic::{
    Atomic,
    Relaxed, //
};
use kernel_ext::netdev::QueueStats;

/// A counter that one context writes at a time and any may read.
pub(crate) struct Counter(Atomic<u64>);

impl Counter {
    /// Adds to it.
    #[inline]
    pub(crate) fn add(&self, n: u64) {
        // There is one writer: no need for a locked addition.
        self.0.store(self.0.load(Relaxed).wrapping_add(n), Relaxed);
    }

    /// Returns it.
    pub(crate) fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

macro_rules! pair_stats {
    ($( $(#[doc = $doc:literal])* $name:ident; )*) => {
        /// The counters of a queue pair.
        pub(crate) struct PairStats {
            $( $(#[doc = $doc])* pub(crate) $name: Counter, )*
        }

        impl PairStats {
            /// Names of the counters in their order.
            pub(crate) const NAMES: &'static [&'static str] = &[$( stringify!($name) ),*];

            /// Returns the counters at zero.
            pub(crate) fn new() -> Self {
                Self { $( $name: Counter(Atomic::new(0)), )* }
            }

            /// Returns the counters in their order.
            pub(crate) fn values(&self) -> impl Iterator<Item = u64> {
                [$( self.$name.get() ),*].into_iter()
            }
        }
    };
}

pair_stats! {
    /// Packets received.
    rx_packets;
    /// Bytes of them.
    rx_bytes;
    /// Packets whose checksum the device verified.
    rx_csum_ok;
    /// Packets whose checksum it did not.
    rx_csum_none;
    /// Packets that the device joined of several.
    rx_hw_gro_packets;
    /// Packets that it joined them of.
    rx_hw_gro_wire_packets;
    /// Packets that were copied, so that their buffer was posted again at once.
    rx_copied;
    /// Buffers or packets for which there was no memory.
    rx_no_memory;
    /// Packets dropped because a completion was malformed.
    rx_bad_completion;
    /// Buffers that the device could not write to.
    rx_unwritten;
    /// Packets dropped because they were too short, or had too many parts.
    rx_dropped;
    /// Packets that an XDP program dropped.
    rx_xdp_drop;
    /// Packets that it sent back.
    rx_xdp_tx;
    /// Packets that it handed to others.
    rx_xdp_redirect;
    /// Packets that were dropped because of a mistake of the program.
    rx_xdp_aborted;
    /// Times that the moderation of interrupts was changed for what is received.
    rx_adapted;
    /// Packets sent, as many as there are on the wire.
    tx_packets;
    /// Bytes of them.
    tx_bytes;
    /// Packets that the device was to insert a checksum into.
    tx_csum;
    /// Packets that it was to cut into segments.
    tx_tso;
    /// Packets that these became.
    tx_tso_segments;
    /// Packets whose time of sending was told.
    tx_stamped;
    /// Packets of XDP programs handed to the device.
    tx_xdp;
    /// Packets of XDP programs for which there was no room.
    tx_xdp_full;
    /// Packets that could not be mapped for the device.
    tx_unmapped;
    /// Packets that the device refused.
    tx_refused;
    /// Times that the device was told of packets by doorbell.
    tx_doorbells;
    /// Times that the queue was stopped for want of room.
    tx_stopped;
    /// Times that it was woken.
    tx_woken;
    /// Times that the moderation of interrupts was changed for what is sent.
    tx_adapted;
    /// Malformed completions of sent packets.
    tx_bad_completion;
    /// Times that NAPI polled.
    polls;
    /// Interrupts that did not come although something was to do.
    lost_interrupts;
}

impl PairStats {
    /// Returns what netlink wants to know.
    pub(crate) fn queue(&self) -> QueueStats {
        QueueStats {
            rx_packets: self.rx_packets.get(),
            rx_bytes: self.rx_bytes.get(),
            rx_alloc_fail: self.rx_no_memory.get(),
            rx_csum_unnecessary: self.rx_csum_ok.get(),
            rx_csum_none: self.rx_csum_none.get(),
            rx_hw_gro_packets: self.rx_hw_gro_packets.get(),
            rx_hw_gro_wire_packets: self.rx_hw_gro_wire_packets.get(),
            tx_packets: self.tx_packets.get(),
            tx_bytes: self.tx_bytes.get(),
            tx_needs_csum: self.tx_csum.get(),
            tx_csum_none: self.tx_packets.get().saturating_sub(self.tx_csum.get()),
            tx_hw_gso_packets: self.tx_tso.get(),
            tx_hw_gso_wire_packets: self.tx_tso_segments.get(),
            tx_stop: self.tx_stopped.get(),
            tx_wake: self.tx_woken.get(),
        }
    }
}
