// SPDX-License-Identifier: GPL-2.0

//! Transmit queue: descriptors of packets, and which packets a completion ends.
//!
//! The posting half is used where packets are handed in, the reaping half where interrupts are
//! served; they share nothing but [`Progress`](super::memory::Progress) and a FIFO of the packets
//! that are under way.

use super::memory::QueueMemory;
use super::ring::{
    BadTail,
    Poster,
    Reaper, //
};
use core::ops::Deref;
use ferrite_abi::desc::{
    TxCompletion,
    TxDesc,
    TxDone,
    TxFlags,
    TxStatus, //
};
use ferrite_abi::ring::{
    Depth,
    Index, //
};
use ferrite_abi::wire::{
    U16,
    U32,
    U64, //
};

/// Piece of a packet in memory that the device can read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Segment {
    /// Bus address.
    pub addr: u64,
    /// Length in bytes, not 0.
    pub len: u32,
}

/// What the device is to do to a packet before it sends it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Offload {
    /// Insert the Internet checksum.
    pub checksum: Option<Checksum>,
    /// Cut the payload into segments.
    pub segmentation: Option<Segmentation>,
    /// Insert a VLAN tag.
    pub vlan: Option<u16>,
    /// Tell when it was sent.
    pub timestamp: bool,
}

/// Where a checksum starts and where it goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Checksum {
    /// Offset from the start of the packet at which it starts.
    pub start: u16,
    /// Offset from there at which it is stored.
    pub offset: u16,
}

/// How a packet is cut into segments.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Segmentation {
    /// Payload bytes of each segment.
    pub mss: u16,
    /// Bytes of all headers.
    pub header_len: u16,
}

impl Offload {
    /// Returns the descriptor that starts a packet, without segment.
    fn descriptor(&self) -> TxDesc {
        let mut desc = TxDesc::default();
        let mut flags = TxFlags::default();
        if let Some(checksum) = self.checksum {
            flags = flags.with(TxFlags::CSUM);
            desc.csum_start = U16::new(checksum.start);
            desc.csum_offset = U16::new(checksum.offset);
        }
        if let Some(segmentation) = self.segmentation {
            flags = flags.with(TxFlags::TSO);
            desc.mss = U16::new(segmentation.mss);
            desc.header_len = U16::new(segmentation.header_len);
        }
        if let Some(vlan) = self.vlan {
            flags = flags.with(TxFlags::VLAN);
            desc.vlan = U16::new(vlan);
        }
        if self.timestamp {
            flags = flags.with(TxFlags::TIMESTAMP);
        }
        desc.flags = U16::new(flags.0);
        desc
    }
}

/// The posting half of a transmit queue.
pub struct TxPoster<M>(Poster<M>);

impl<M> TxPoster<M>
where
    M: Deref<Target: QueueMemory<Desc = TxDesc, Completion = TxCompletion>>,
{
    /// Returns the posting half of a queue that was just created.
    pub fn new(memory: M, depth: Depth) -> Self {
        Self(Poster::new(memory, depth))
    }

    /// Returns how many descriptors are free.
    pub fn free(&self) -> u32 {
        self.0.free()
    }

    /// Posts the descriptors of one packet, and returns the index after its last one.
    ///
    /// There must be as many free as there are segments, and one segment at least.
    pub fn post(&mut self, offload: &Offload, segments: impl Iterator<Item = Segment>) -> Index {
        let mut segments = segments.peekable();
        let mut desc = offload.descriptor();
        while let Some(segment) = segments.next() {
            desc.addr = U64::new(segment.addr);
            desc.len = U32::new(segment.len);
            if segments.peek().is_none() {
                desc.flags = U16::new(TxFlags(desc.flags.get()).with(TxFlags::END).0);
            }
            self.0.post(&desc);
            desc = TxDesc::default();
        }
        self.0.tail()
    }

    /// Shows the device what was posted, and returns whether it had to be told by doorbell.
    pub fn kick(&mut self) -> bool {
        self.0.kick()
    }
}

/// Why a transmit queue cannot go on: the device completes what it was not given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TxFault {
    /// More completions than descriptors.
    BadTail(BadTail),
    /// A completion's index lies outside of what was posted.
    BadIndex {
        /// The index in the completion.
        index: Index,
        /// Descriptors before this one were done before.
        head: Index,
        /// Descriptors from this one on were not posted.
        tail: Index,
    },
    /// A completion's index lies within a packet.
    SplitPacket {
        /// The index in the completion.
        index: Index,
    },
}

/// The packets that are under way, in order of posting.
pub trait InFlight {
    /// What is known of a packet.
    type Packet;

    /// Returns the index after the last descriptor of the oldest packet.
    fn front_end(&self) -> Option<Index>;

    /// Takes the oldest packet out.
    fn pop(&mut self) -> Option<Self::Packet>;
}

/// The reaping half of a transmit queue.
pub struct TxReaper<M> {
    reaper: Reaper<M>,
    /// Descriptors before this index are done.
    head: Index,
}

impl<M> TxReaper<M>
where
    M: Deref<Target: QueueMemory<Desc = TxDesc, Completion = TxCompletion>>,
{
    /// Returns the reaping half of a queue that was just created.
    pub fn new(memory: M, depth: Depth) -> Self {
        Self {
            reaper: Reaper::new(memory, depth),
            head: Index(0),
        }
    }

    /// Hands every packet whose transmission ended to `done`, with the time of sending if the device
    /// told that.
    ///
    /// # Errors
    ///
    /// What the device did wrong. The packets before are done, those after cannot be told from each
    /// other any more: the queue must be destroyed.
    pub fn reap<F: InFlight>(
        &mut self,
        in_flight: &mut F,
        mut done: impl FnMut(F::Packet, TxStatus, Option<u64>),
    ) -> Result<(), TxFault> {
        let head = self.head;
        let progress = self.reaper.memory().progress();
        let ready = self
            .reaper
            .ready(|| progress.tail().since(head))
            .map_err(TxFault::BadTail)?;
        for _ in 0..ready {
            let completion = self.reaper.read();
            self.complete(&completion, in_flight, &mut done)?;
        }
        Ok(())
    }

    fn complete<F: InFlight>(
        &mut self,
        completion: &TxCompletion,
        in_flight: &mut F,
        done: &mut impl FnMut(F::Packet, TxStatus, Option<u64>),
    ) -> Result<(), TxFault> {
        let index = Index(completion.index.get());
        let status = TxStatus(completion.status.get());
        let timestamp = TxDone(completion.flags.get())
            .contains(TxDone::TIMESTAMP)
            .then(|| completion.timestamp.get());
        // Completions that are read late may stand for descriptors posted after `reap` began.
        let tail = self.reaper.memory().progress().tail();
        let count = index.since(self.head);
        if count == 0 || count > tail.since(self.head) {
            return Err(TxFault::BadIndex {
                index,
                head: self.head,
                tail,
            });
        }
        while self.head != index {
            match in_flight.front_end() {
                Some(end) if end.since(self.head) <= index.since(self.head) => {
                    if let Some(packet) = in_flight.pop() {
                        // It is that of the last packet which the completion stands for.
                        done(packet, status, timestamp.filter(|_| end == index));
                    }
                    self.head = end;
                }
                _ => return Err(TxFault::SplitPacket { index }),
            }
        }
        self.reaper.memory().progress().set_head(self.head);
        Ok(())
    }
}
