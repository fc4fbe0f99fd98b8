// SPDX-License-Identifier: GPL-2.0

//! The port of a function: its address, what it receives, its counters.

use ferrite_abi::cmd::{
    frame_class,
    FrameCounters,
    FrameStats,
    PortStats,
    RxMode,
    FRAME_CHECKSUM,
    MAX_RX_FILTER,
    MIN_FRAME, //
};
use ferrite_abi::ids::{
    MAX_MTU,
    MIN_MTU, //
};
use ferrite_abi::wire::U64;

use crate::mac::Mac;
use crate::packet::{
    destination,
    number,
    ETHERTYPE_CONTROL,
    ETH_HEADER,
    VLAN_TAG, //
};
use crate::save::{
    saved,
    LoadError, //
};
use crate::steering::Steering;

/// MTU of a port after a reset.
pub(crate) const DEFAULT_MTU: u16 = 1500;

/// The port of a function.
#[derive(Debug)]
pub(crate) struct Port {
    /// Whether packets pass.
    pub(crate) open: bool,
    /// Whether what it sends comes back to it, and nothing else comes.
    pub(crate) loops: bool,
    /// Address in use.
    pub(crate) mac: Mac,
    /// Largest packet in bytes of layer 3.
    pub(crate) mtu: u16,
    /// What is received beside its own address and broadcast.
    pub(crate) mode: RxMode,
    /// Further addresses to receive for.
    pub(crate) filter: Vec<Mac>,
    /// Which queue gets what.
    pub(crate) steering: Steering,
    /// Counters.
    pub(crate) stats: PortStats,
    /// Counters of frames.
    pub(crate) frames: FrameStats,
}

saved!(Port {
    open,
    loops,
    mac,
    mtu,
    mode,
    filter,
    steering,
    stats,
    frames
});

impl Port {
    /// Makes a closed port.
    pub(crate) fn new(mac: Mac) -> Self {
        Self {
            open: false,
            loops: false,
            mac,
            mtu: DEFAULT_MTU,
            mode: RxMode(0),
            filter: Vec::new(),
            steering: Steering::default(),
            stats: PortStats::default(),
            frames: FrameStats::default(),
        }
    }

    /// Returns to the state of a new port, but for the counters.
    pub(crate) fn reset(&mut self, mac: Mac) {
        *self = Self {
            stats: self.stats,
            frames: self.frames,
            ..Self::new(mac)
        };
    }

    /// Returns whether a frame is no longer than the MTU allows; `tagged` tells whether it
    /// carries a VLAN tag, which does not count.
    pub(crate) fn fits(&self, length: usize, tagged: bool) -> bool {
        let tag = if tagged { VLAN_TAG } else { 0 };
        length <= usize::from(self.mtu) + ETH_HEADER + tag
    }

    /// Returns whether it receives what is for an address.
    pub(crate) fn wants(&self, destination: Mac) -> bool {
        let asks_for = |mode| self.mode.contains(mode);
        destination == self.mac
            || destination == Mac::BROADCAST
            || asks_for(RxMode::PROMISCUOUS)
            || destination.is_multicast() && asks_for(RxMode::ALL_MULTICAST)
            || self.filter.contains(&destination)
    }

    /// Counts a frame that was sent.
    pub(crate) fn count_sent(&mut self, frame: &[u8]) {
        count_frame(&mut self.frames.tx, frame);
        let destination = destination(frame);
        let stats = &mut self.stats;
        stats.tx_packets += 1;
        stats.tx_bytes += frame.len() as u64;
        count_group(
            destination,
            &mut stats.tx_multicast,
            &mut stats.tx_broadcast,
        );
    }

    /// Counts a frame that came, whatever becomes of it.
    pub(crate) fn count_arrived(&mut self, frame: &[u8]) {
        count_frame(&mut self.frames.rx, frame);
    }

    /// Counts frames that were received: how many, and their bytes.
    pub(crate) fn count_received(&mut self, destination: Mac, (count, bytes): (u64, usize)) {
        let stats = &mut self.stats;
        stats.rx_packets += count;
        stats.rx_bytes += bytes as u64;
        for _ in 0..count {
            count_group(
                destination,
                &mut stats.rx_multicast,
                &mut stats.rx_broadcast,
            );
        }
    }

    /// Checks a port that was loaded; `queues` is the function's number of RX queues.
    pub(crate) fn check(&self, queues: usize) -> Result<(), LoadError> {
        if !self.mac.is_station() {
            return Err(LoadError::Invalid("MAC address"));
        }
        if !(MIN_MTU..=MAX_MTU).contains(&self.mtu) {
            return Err(LoadError::Invalid("MTU"));
        }
        // So far below the end that nothing can count beyond it.
        if self.stats.values().any(|value| value > u64::MAX / 2) {
            return Err(LoadError::Invalid("counter"));
        }
        if [&self.frames.tx, &self.frames.rx]
            .into_iter()
            .flat_map(counts)
            .any(|value| value > u64::MAX / 2)
        {
            return Err(LoadError::Invalid("counter of frames"));
        }
        if self.filter.len() > MAX_RX_FILTER {
            return Err(LoadError::Invalid("number of addresses"));
        }
        self.steering.check(queues)
    }
}

/// Counts a frame, as it would be on a wire.
fn count_frame(counters: &mut FrameCounters, frame: &[u8]) {
    let length = (frame.len() as u64 + u64::from(FRAME_CHECKSUM)).max(MIN_FRAME.into());
    counters.frames += 1;
    counters.octets += length;
    counters.classes[frame_class(length)] += 1;
    if number(frame, 12) == Some(ETHERTYPE_CONTROL) {
        counters.control += 1;
    }
    count_group(
        destination(frame),
        &mut counters.multicast,
        &mut counters.broadcast,
    );
}

/// Returns all counters of a direction.
fn counts(counters: &FrameCounters) -> impl Iterator<Item = u64> + '_ {
    let FrameCounters {
        frames,
        octets,
        multicast,
        broadcast,
        control,
        classes,
    } = counters;
    [frames, octets, multicast, broadcast, control]
        .into_iter()
        .chain(classes)
        .map(|counter| counter.get())
}

fn count_group(destination: Mac, multicast: &mut U64, broadcast: &mut U64) {
    if destination == Mac::BROADCAST {
        *broadcast += 1;
    } else if destination.is_multicast() {
        *multicast += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A frame of this length.
    fn to(destination: Mac, length: usize) -> Vec<u8> {
        let mut frame = vec![0; length];
        frame[..6].copy_from_slice(&destination.0);
        frame
    }

    #[test]
    fn tag_does_not_count_towards_the_mtu() {
        let port = Port::new(Mac([2, 0, 0, 0, 0, 1]));
        assert!(port.fits(1514, false));
        assert!(!port.fits(1515, false));
        assert!(port.fits(1518, true));
        assert!(!port.fits(1519, true));
    }

    #[test]
    fn groups_are_counted_apart() {
        let mut port = Port::new(Mac([2, 0, 0, 0, 0, 1]));
        port.count_sent(&to(Mac::BROADCAST, 60));
        port.count_sent(&to(Mac([1, 0, 0x5e, 0, 0, 1]), 61));
        port.count_received(Mac([2, 0, 0, 0, 0, 1]), (1, 62));
        let values: Vec<_> = PortStats::NAMES.iter().zip(port.stats.values()).collect();
        let counted: Vec<_> = values
            .into_iter()
            .filter(|(_, value)| *value != 0)
            .collect();
        assert_eq!(
            counted,
            [
                (&"tx_packets", 2),
                (&"tx_bytes", 121),
                (&"tx_multicast", 1),
                (&"tx_broadcast", 1),
                (&"rx_packets", 1),
                (&"rx_bytes", 62),
            ]
        );
    }

    #[test]
    fn reset_keeps_the_counters() {
        let mut port = Port::new(Mac([2, 0, 0, 0, 0, 1]));
        port.open = true;
        port.count_sent(&to(Mac::BROADCAST, 60));
        port.reset(Mac([2, 0, 0, 0, 0, 2]));
        assert!(!port.open);
        assert_eq!(port.mac, Mac([2, 0, 0, 0, 0, 2]));
        assert_eq!(port.stats.tx_packets.get(), 1);
    }
}
