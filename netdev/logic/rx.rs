// SPDX-License-Identifier: GPL-2.0

//! Receive queue: buffers given to the device, and packets put together from what it returns.

use super::memory::QueueMemory;
use super::ring::{
    BadTail,
    Poster,
    Reaper, //
};
use core::ops::{
    Deref,
    DerefMut, //
};
use ferrite_abi::desc::{
    RxCompletion,
    RxDesc,
    RxFlags,
    HEADER_PLACE, //
};
use ferrite_abi::ring::{
    Depth,
    Index, //
};
use ferrite_abi::wire::{
    U32,
    U64, //
};

/// Memory that a packet, or a part of it, is received into.
pub trait RxBuffer {
    /// Returns its bus address.
    fn addr(&self) -> u64;

    /// Returns how many bytes the device may write.
    fn size(&self) -> u32;
}

/// What the device says of a packet as a whole.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PacketInfo {
    /// Whether transport and IPv4 header checksums were found right.
    pub checksum_ok: bool,
    /// RSS hash, and whether it covers ports.
    pub hash: Option<(u32, bool)>,
    /// VLAN tag that was stripped.
    pub vlan: Option<u16>,
    /// TCP segments that were joined.
    pub joined: Option<Joined>,
    /// When it came, in nanoseconds of the device clock.
    pub timestamp: Option<u64>,
}

/// What the device says of TCP segments that it joined into one packet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Joined {
    /// How many they were.
    pub segments: u16,
    /// Payload bytes of each but the last.
    pub mss: u16,
    /// Offset of the TCP header.
    pub l4_offset: u16,
}

impl PacketInfo {
    /// Reads what the first completion of a packet says.
    fn of(completion: &RxCompletion) -> Self {
        let flags = RxFlags(completion.flags.get());
        Self {
            checksum_ok: flags.contains(RxFlags::CSUM_OK),
            hash: flags
                .contains(RxFlags::HASH)
                .then(|| (completion.hash.get(), flags.contains(RxFlags::HASH_L4))),
            vlan: flags.contains(RxFlags::VLAN).then(|| completion.vlan.get()),
            joined: flags.contains(RxFlags::COALESCED).then(|| Joined {
                segments: completion.segments.get(),
                mss: completion.mss.get(),
                l4_offset: completion.l4_offset.get(),
            }),
            timestamp: flags
                .contains(RxFlags::TIMESTAMP)
                .then(|| completion.timestamp.get()),
        }
    }
}

/// What is wrong with a completion. The packet that it belongs to is dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RxFault {
    /// It does not carry the cookie of the buffer that was next.
    WrongCookie {
        /// What it carries.
        cookie: u32,
        /// What it should carry.
        expected: u32,
    },
    /// The device gives a buffer back that it could not write to.
    Unwritten,
    /// It claims nothing, or more than the buffer holds.
    WrongLength {
        /// What it claims.
        len: u32,
        /// Size of the buffer.
        size: u32,
    },
    /// The packet has more buffers than a packet can have.
    ChainTooLong,
    /// It claims more headers than their place holds, none for a packet of a queue with such places, or some where there
    /// are none.
    WrongHeaders {
        /// What it claims.
        len: u16,
    },
}

/// Headers of a packet that are not in its buffers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Headers {
    /// The place that they are in.
    pub slot: usize,
    /// Bytes in it.
    pub len: u16,
}

/// What became of the next buffer.
#[derive(Debug, PartialEq, Eq)]
pub enum Step<B> {
    /// It holds the start of a packet.
    Start {
        /// The buffer.
        buffer: B,
        /// Bytes in it, 0 if the packet is nothing but headers.
        len: u32,
        /// What of the packet comes before, if that is in a place of its own.
        headers: Option<Headers>,
        /// What is said of the packet.
        info: PacketInfo,
        /// Whether it is the whole packet.
        end: bool,
    },
    /// It holds the next part of the packet.
    More {
        /// The buffer.
        buffer: B,
        /// Bytes in it.
        len: u32,
        /// Whether it is the last part.
        end: bool,
    },
    /// What is in it, and what came of the packet before it, is of no use.
    Drop {
        /// The buffer.
        buffer: B,
        /// What is wrong; [`None`] if it is the rest of a packet that was dropped before.
        fault: Option<RxFault>,
    },
}

/// How far the packet is that is being put together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Chain {
    /// The next buffer starts a packet.
    Idle,
    /// So many buffers of a packet have come.
    Open(u32),
    /// The rest of the packet is dropped.
    Discard,
}

/// What [`RxRing::refill`] achieved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refill {
    /// The device has all buffers that the ring has room for, or enough to wait for a batch.
    Done,
    /// There was no memory; the device has what there was.
    OutOfMemory,
}

/// A receive queue. `S` is a slice of as many slots for buffers as the ring is deep.
pub struct RxRing<M, S> {
    poster: Poster<M>,
    reaper: Reaper<M>,
    slots: S,
    /// The descriptor that is completed next.
    head: Index,
    chain: Chain,
    max_chain: u32,
    /// Headers have places of their own.
    has_places: bool,
}

impl<M, S, B> RxRing<M, S>
where
    M: Deref<Target: QueueMemory<Desc = RxDesc, Completion = RxCompletion>> + Clone,
    S: DerefMut<Target = [Option<B>]>,
    B: RxBuffer,
{
    /// Returns a queue that was just created. A packet may have `max_chain` buffers at most.
    ///
    /// [`None`] if `slots` has not as many entries as the ring.
    pub fn new(memory: M, depth: Depth, slots: S, max_chain: u32) -> Option<Self> {
        (slots.len() == depth.entries() as usize).then(|| Self {
            poster: Poster::new(memory.clone(), depth),
            reaper: Reaper::new(memory, depth),
            slots,
            head: Index(0),
            chain: Chain::Idle,
            max_chain,
            has_places: false,
        })
    }

    /// Says whether headers are in places of their own.
    #[must_use]
    pub fn with_places(self, has_places: bool) -> Self {
        Self { has_places, ..self }
    }

    /// Lets go of all buffers: the queue is about to be created anew, with its memory as it was at first.
    pub fn reset(&mut self) {
        let memory = self.reaper.memory_handle().clone();
        let depth = self.poster.depth();
        self.slots.iter_mut().for_each(|slot| *slot = None);
        self.poster = Poster::new(memory.clone(), depth);
        self.reaper = Reaper::new(memory, depth);
        self.head = Index(0);
        self.chain = Chain::Idle;
    }

    /// Returns how many buffers the device has.
    pub fn outstanding(&self) -> u32 {
        self.poster.tail().since(self.head)
    }

    /// Gives the device buffers from `alloc`, in batches of an eighth of the ring, so that the
    /// device is not told of every single one.
    pub fn refill(&mut self, mut alloc: impl FnMut() -> Option<B>) -> Refill {
        let depth = self.poster.depth();
        let room = depth.entries() - self.outstanding();
        if room < depth.entries() / 8 {
            return Refill::Done;
        }
        let mut result = Refill::Done;
        for _ in 0..room {
            let Some(buffer) = alloc() else {
                result = Refill::OutOfMemory;
                break;
            };
            let index = self.poster.tail();
            self.poster.post(&RxDesc {
                addr: U64::new(buffer.addr()),
                len: U32::new(buffer.size()),
                cookie: U32::new(index.0),
            });
            self.slots[depth.slot(index)] = Some(buffer);
        }
        self.poster.kick();
        result
    }

    /// Returns how many buffers came back.
    ///
    /// # Errors
    ///
    /// [`BadTail`] if the device claims more than it has: the queue must be destroyed.
    pub fn ready(&self) -> Result<u32, BadTail> {
        self.reaper.ready(|| self.outstanding())
    }

    /// Takes the next buffer of those that [`Self::ready`] counted; [`None`] if the device has
    /// none.
    pub fn step(&mut self) -> Option<Step<B>> {
        if self.outstanding() == 0 {
            return None;
        }
        let completion = self.reaper.read();
        let index = self.head;
        let buffer = self.slots[self.poster.depth().slot(index)].take()?;
        self.head = index.plus(1);
        self.reaper.memory().progress().set_head(self.head);
        Some(self.assemble(index, &completion, buffer))
    }

    fn assemble(&mut self, index: Index, completion: &RxCompletion, buffer: B) -> Step<B> {
        let end = RxFlags(completion.flags.get()).contains(RxFlags::END);
        let before = self.chain;
        let after = |chain| if end { Chain::Idle } else { chain };
        if before == Chain::Discard {
            self.chain = after(Chain::Discard);
            return Step::Drop {
                buffer,
                fault: None,
            };
        }
        if let Some(fault) = self.fault(index, completion, &buffer) {
            self.chain = after(Chain::Discard);
            return Step::Drop {
                buffer,
                fault: Some(fault),
            };
        }
        let len = completion.len.get();
        match before {
            Chain::Open(count) => {
                self.chain = after(Chain::Open(count + 1));
                Step::More { buffer, len, end }
            }
            _ => {
                self.chain = after(Chain::Open(1));
                Step::Start {
                    buffer,
                    len,
                    headers: self.has_places.then(|| Headers {
                        slot: self.poster.depth().slot(index),
                        len: completion.header_len.get(),
                    }),
                    info: PacketInfo::of(completion),
                    end,
                }
            }
        }
    }

    fn fault(&self, index: Index, completion: &RxCompletion, buffer: &B) -> Option<RxFault> {
        let cookie = completion.cookie.get();
        let len = completion.len.get();
        if cookie != index.0 {
            return Some(RxFault::WrongCookie {
                cookie,
                expected: index.0,
            });
        }
        let end = RxFlags(completion.flags.get()).contains(RxFlags::END);
        let is_first = self.chain == Chain::Idle;
        let headers = completion.header_len.get();
        if len == 0 && headers == 0 && end && is_first {
            return Some(RxFault::Unwritten);
        }
        let has_some = headers > 0;
        if has_some != (self.has_places && is_first) || u32::from(headers) > HEADER_PLACE {
            return Some(RxFault::WrongHeaders { len: headers });
        }
        let may_be_empty = has_some && end;
        if len == 0 && !may_be_empty || len > buffer.size() {
            return Some(RxFault::WrongLength {
                len,
                size: buffer.size(),
            });
        }
        matches!(self.chain, Chain::Open(count) if count >= self.max_chain)
            .then_some(RxFault::ChainTooLong)
    }
}
