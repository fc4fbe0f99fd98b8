// SPDX-License-Identifier: GPL-2.0

//! Packets that wait for the driver to post buffers.

use std::collections::VecDeque;

use ferrite_abi::desc::{
    RxCompletion,
    RxFlags, //
};

use crate::packet::{
    Ip,
    UDP,
    UDP_HEADER,
    VLAN_TAG, //
};
use crate::save::{
    saved,
    LoadError,
    Reader,
    Saved,
    Writer, //
};

/// Packets that wait in one queue, at most.
const MAX_PACKETS: usize = 256;
/// Bytes of packets that wait in one queue, at most.
const MAX_BYTES: usize = 256 * 1024;
/// Bytes of packets that wait in all queues, at most.
const MAX_KEPT: usize = 16 * 1024 * 1024;
/// Buffers that are kept for reuse.
const MAX_FREE: usize = 512;

/// A packet that waits.
#[derive(Debug)]
pub(crate) struct Waiting {
    /// What is said of the packet.
    pub(crate) about: RxCompletion,
    /// The bytes that the driver gets.
    pub(crate) bytes: Vec<u8>,
}

saved!(Waiting { about, bytes });

impl Waiting {
    /// Returns how many packets it was on the wire, and how many bytes they had.
    pub(crate) fn on_wire(&self) -> (u64, usize) {
        let flags = RxFlags(self.about.flags.get());
        let tag = if flags.contains(RxFlags::VLAN) {
            VLAN_TAG
        } else {
            0
        };
        if !flags.contains(RxFlags::COALESCED) {
            return (1, self.bytes.len() + tag);
        }
        // All but the first brought their headers for nothing.
        let l4 = usize::from(self.about.l4_offset.get());
        let length = match Ip::find(&self.bytes) {
            Some(ip) if ip.protocol == UDP => UDP_HEADER,
            _ => usize::from(self.bytes.get(l4 + 12).map_or(0, |byte| byte >> 4)) * 4,
        };
        let headers = l4 + length + tag;
        let count = usize::from(self.about.segments.get()).max(1);
        let bytes = self.bytes.len() + tag + (count - 1) * headers;
        (count as u64, bytes)
    }
}

/// The packets that wait in a queue, in their order.
#[derive(Debug, Default)]
pub(crate) struct Backlog {
    packets: VecDeque<Waiting>,
    bytes: usize,
}

impl Backlog {
    /// Returns whether nothing waits.
    pub(crate) fn is_empty(&self) -> bool {
        self.packets.is_empty()
    }

    /// Lets a packet wait. Returns whether there is room for it.
    pub(crate) fn push(&mut self, pool: &mut Pool, parts: [&[u8]; 2], about: RxCompletion) -> bool {
        let length = parts[0].len() + parts[1].len();
        if self.packets.len() >= MAX_PACKETS || self.bytes + length > MAX_BYTES {
            return false;
        }
        let Some(bytes) = pool.keep(parts) else {
            return false;
        };
        self.bytes += length;
        self.packets.push_back(Waiting { about, bytes });
        true
    }

    /// Returns the packets, in their order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Waiting> {
        self.packets.iter()
    }

    /// Makes a backlog of packets that came in a stream; [`None`] if they are too many.
    pub(crate) fn restore(packets: impl Iterator<Item = Waiting>) -> Option<Self> {
        let packets: VecDeque<Waiting> = packets.take(MAX_PACKETS + 1).collect();
        let bytes = packets.iter().map(|packet| packet.bytes.len()).sum();
        let possible = packets.len() <= MAX_PACKETS && bytes <= MAX_BYTES;
        possible.then_some(Self { packets, bytes })
    }

    /// Returns the bytes of the first packet, if any waits.
    pub(crate) fn first(&self) -> Option<&[u8]> {
        self.packets.front().map(|packet| packet.bytes.as_slice())
    }

    /// Takes the first packet.
    pub(crate) fn pop(&mut self) -> Option<Waiting> {
        let packet = self.packets.pop_front()?;
        self.bytes -= packet.bytes.len();
        Some(packet)
    }

    /// Puts a packet back that was the first.
    pub(crate) fn put_back(&mut self, packet: Waiting) {
        self.bytes += packet.bytes.len();
        self.packets.push_front(packet);
    }

    /// Drops all packets. Returns how many there were.
    pub(crate) fn clear(&mut self, pool: &mut Pool) -> u64 {
        let count = self.packets.len() as u64;
        while let Some(packet) = self.pop() {
            pool.give_back(packet.bytes);
        }
        count
    }
}

impl Saved for Backlog {
    fn save(&self, writer: &mut Writer) {
        self.packets.save(writer);
    }

    fn load(reader: &mut Reader<'_>) -> Result<Self, LoadError> {
        let packets: VecDeque<Waiting> = Saved::load(reader)?;
        let bytes = packets.iter().map(|packet| packet.bytes.len()).sum();
        if packets.len() > MAX_PACKETS || bytes > MAX_BYTES {
            return Err(LoadError::Invalid("number of waiting packets"));
        }
        Ok(Self { packets, bytes })
    }
}

/// Buffers of waiting packets, reused, and how much waits in all queues.
#[derive(Debug, Default)]
pub(crate) struct Pool {
    free: Vec<Vec<u8>>,
    kept: usize,
}

impl Pool {
    /// Copies a packet, if there is room.
    pub(crate) fn keep(&mut self, parts: [&[u8]; 2]) -> Option<Vec<u8>> {
        let length = parts[0].len() + parts[1].len();
        if self.kept + length > MAX_KEPT {
            return None;
        }
        self.kept += length;
        let mut bytes = self.free.pop().unwrap_or_default();
        bytes.clear();
        bytes.extend_from_slice(parts[0]);
        bytes.extend_from_slice(parts[1]);
        Some(bytes)
    }

    /// Appends to a packet that is kept, if there is room.
    pub(crate) fn grow(&mut self, bytes: &mut Vec<u8>, more: &[u8]) -> bool {
        let fits = self.kept + more.len() <= MAX_KEPT;
        if fits {
            self.kept += more.len();
            bytes.extend_from_slice(more);
        }
        fits
    }

    /// Takes the buffer of a packet back.
    pub(crate) fn give_back(&mut self, bytes: Vec<u8>) {
        self.kept = self.kept.saturating_sub(bytes.len());
        if self.free.len() < MAX_FREE {
            self.free.push(bytes);
        }
    }

    /// Forgets how much waits.
    pub(crate) fn clear(&mut self) {
        self.kept = 0;
    }

    /// Counts what waits in a queue that was loaded.
    pub(crate) fn adopt(&mut self, backlog: &Backlog) {
        self.kept += backlog.bytes;
    }

    /// Counts further bytes that wait in it.
    pub(crate) fn adopt_bytes(&mut self, bytes: usize) {
        self.kept += bytes;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn push(backlog: &mut Backlog, pool: &mut Pool, length: usize) -> bool {
        backlog.push(pool, [&vec![0; length], &[]], RxCompletion::default())
    }

    #[test]
    fn packets_and_bytes_are_bounded() {
        let (mut backlog, mut pool) = (Backlog::default(), Pool::default());
        assert!((0..MAX_PACKETS).all(|_| push(&mut backlog, &mut pool, 60)));
        assert!(!push(&mut backlog, &mut pool, 60));
        backlog.clear(&mut pool);
        assert!(push(&mut backlog, &mut pool, MAX_BYTES));
        assert!(!push(&mut backlog, &mut pool, 1));
    }

    #[test]
    fn all_queues_together_are_bounded() {
        let mut pool = Pool::default();
        let mut backlogs: Vec<Backlog> = (0..=MAX_KEPT / MAX_BYTES)
            .map(|_| Backlog::default())
            .collect();
        let (last, others) = backlogs.split_last_mut().unwrap();
        assert!(others
            .iter_mut()
            .all(|backlog| push(backlog, &mut pool, MAX_BYTES)));
        assert!(!push(last, &mut pool, 1));
        others[0].clear(&mut pool);
        assert!(push(last, &mut pool, 1));
    }

    #[test]
    fn buffers_are_reused() {
        let (mut backlog, mut pool) = (Backlog::default(), Pool::default());
        push(&mut backlog, &mut pool, 1000);
        let packet = backlog.pop().unwrap();
        let memory = packet.bytes.as_ptr();
        pool.give_back(packet.bytes);
        push(&mut backlog, &mut pool, 900);
        assert_eq!(backlog.pop().unwrap().bytes.as_ptr(), memory);
        assert!(backlog.is_empty());
    }
}
