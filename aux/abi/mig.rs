// SPDX-License-Identifier: GPL-2.0

//! The stream in which the state of a VF moves from one device to another: records, each with a tag,
//! a length and a checksum of its own.
//!
//! # Compatibility
//!
//! A device writes and reads the versions from [`OLDEST_STREAM`] to [`STREAM_VERSION`]. Within one
//! version nothing changes. A later version may add records and let known ones grow at their end: a
//! reader takes what a short record lacks as zero, and ignores what a long one has beyond what it
//! knows. A record that a reader does not know is skipped if its tag is [`OPTIONAL`], and refused if
//! not. [`StreamHeader::oldest_reader`] is the oldest version that may read a stream at all.

use crate::cmd::{
    Rate,
    RuleKey,
    RSS_FLOWS,
    RSS_KEY, //
};
use crate::desc::RxCompletion;
use crate::wire::*;

/// Version of the stream.
///
/// Version 1 had no `uuid` in [`IdentityRecord`] and no [`StreamTag::INTERRUPTS`]; version 2 no `loops` in
/// [`PortRecord`] and no [`StreamTag::FRAMES`].
pub const STREAM_VERSION: u16 = 3;
/// Oldest version of the stream that is written and read.
pub const OLDEST_STREAM: u16 = 1;
/// First bytes of the payload of a stream's first record.
pub const STREAM_MAGIC: [u8; 8] = *b"FERRIMIG";
/// Bit of a tag: a reader that does not know the record may skip it.
pub const OPTIONAL: u16 = 0x8000;
/// Bit of a tag: the record of this tag and instance that came before no longer holds. It has no
/// payload.
pub const REMOVED: u16 = 0x4000;
/// Largest payload of a record in bytes.
pub const MAX_RECORD: u32 = 0x2_0000;

codes! {
    /// What a record holds. Values from 0x8000 on have [`OPTIONAL`] set.
    pub struct StreamTag(u16) {
        /// [`StreamHeader`]: the first record.
        HEADER = 0x0001;
        /// [`IdentityRecord`].
        IDENTITY = 0x0002;
        /// [`PortRecord`].
        PORT = 0x0003;
        /// Further addresses that the port receives for, six bytes each.
        ADDRESSES = 0x0004;
        /// [`RssRecord`] and the table, two bytes an entry; the instance is the context.
        RSS_CONTEXT = 0x0005;
        /// [`FilterRecord`]; the instance is the location.
        FILTER = 0x0006;
        /// [`CreateQueue`](crate::cmd::CreateQueue); the instance is the index of the TX queue.
        TX_QUEUE = 0x0007;
        /// [`CreateQueue`](crate::cmd::CreateQueue); the instance is the index of the RX queue.
        RX_QUEUE = 0x0008;
        /// [`RegisterRecord`].
        REGISTERS = 0x0009;
        /// [`AdminRecord`], if the admin queue runs.
        ADMIN_QUEUE = 0x000a;
        /// [`Completion`](crate::admin::Completion) that waits for a slot; there may be several.
        ADMIN_COMPLETION = 0x000b;
        /// [`EventQueueRecord`], if there is an event queue.
        EVENT_QUEUE = 0x000c;
        /// [`QueueRecord`]; the instance is the index of the TX queue.
        TX_STATE = 0x000d;
        /// [`QueueRecord`]; the instance is the index of the RX queue.
        RX_STATE = 0x000e;
        /// [`PacketRecord`] and the packet, which waits for buffers of the RX queue that is the
        /// instance; there may be several, in their order.
        RX_PACKET = 0x000f;
        /// Vectors whose interrupt is owed, two bytes each.
        INTERRUPTS = 0x0010;
        /// [`PortStats`](crate::cmd::PortStats).
        STATS = 0x8011;
        /// [`FrameStats`](crate::cmd::FrameStats).
        FRAMES = 0x8013;
        /// [`StreamEnd`]: the last record.
        END = 0x0012;
    }
}

impl StreamTag {
    /// Returns the tag without [`REMOVED`].
    #[must_use]
    pub const fn kind(self) -> Self {
        Self(self.0 & !REMOVED)
    }

    /// Returns whether the record takes back another.
    pub const fn is_removed(self) -> bool {
        self.0 & REMOVED != 0
    }

    /// Returns whether a reader that does not know the record may skip it.
    pub const fn is_optional(self) -> bool {
        self.0 & OPTIONAL != 0
    }
}

codes! {
    /// Why a stream is refused.
    pub struct StreamFault(u16) {
        /// It is not.
        NONE = 0;
        /// It does not begin as a stream does.
        NOT_A_STREAM = 1;
        /// It is of a version that the device does not read.
        VERSION = 2;
        /// A checksum is wrong.
        CHECKSUM = 3;
        /// A record is missing, or comes where it must not.
        SEQUENCE = 4;
        /// A record that may not be skipped is not known.
        UNKNOWN_RECORD = 5;
        /// A record is too short or too long.
        LENGTH = 6;
        /// It was saved by a function with features that this one lacks.
        FEATURES = 7;
        /// It was saved by a function with more queues, or deeper ones.
        QUEUES = 8;
        /// It was saved by a function with another number of MSI-X vectors.
        VECTORS = 9;
        /// It was saved by a function with more contexts or filters, or larger tables.
        STEERING = 10;
        /// A value is impossible.
        INVALID_VALUE = 11;
        /// Records do not fit together.
        INCONSISTENT = 12;
        /// It ends too early.
        INCOMPLETE = 13;
        /// It goes on after its end.
        TRAILING = 14;
        /// It holds more than a function can have.
        TOO_MUCH = 15;
    }
}

/// What every record begins with; the payload follows.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(C)]
pub struct RecordHeader {
    /// [`StreamTag`], [`REMOVED`] if set.
    pub tag: U16,
    /// Which of several.
    pub instance: U16,
    /// Length of the payload in bytes.
    pub length: U32,
    /// Number of the record in the stream, from 0.
    pub number: U32,
    /// [`crc32c`] of the header, this field as zero, and the payload.
    pub checksum: U32,
}
layout!(RecordHeader: 16 { tag @ 0, instance @ 2, length @ 4, number @ 8, checksum @ 12 });

/// The first record: what the function that was saved is like. It never changes while a function is there, so
/// that who reads it knows at once whether the stream fits.
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct StreamHeader {
    /// [`STREAM_MAGIC`].
    pub magic: [u8; 8],
    /// Version of the stream.
    pub version: U16,
    /// Oldest version that a reader may have.
    pub oldest_reader: U16,
    /// [`crate::ABI_VERSION`] of the device.
    pub abi_version: U32,
    /// [`Features`](crate::regs::Features) of the function.
    pub features: U64,
    /// Largest number of TX queues, and of RX queues.
    pub max_queues: U16,
    /// MSI-X vectors of the function.
    pub vectors: U16,
    /// Entries of the RSS indirection table.
    pub rss_table: U16,
    /// Largest MTU that can be set.
    pub max_mtu: U16,
    /// Largest number of contexts beside context 0.
    pub max_contexts: U16,
    /// Largest number of filters.
    pub max_filters: U16,
    /// Largest logarithm of the depth of a queue.
    pub max_depth_log2: u8,
    /// Reserved.
    pub rsvd: [u8; 3],
}
layout!(StreamHeader: 40 {
    magic @ 0, version @ 8, oldest_reader @ 10, abi_version @ 12, features @ 16, max_queues @ 24,
    vectors @ 26, rss_table @ 28, max_mtu @ 30, max_contexts @ 32, max_filters @ 34,
    max_depth_log2 @ 36, rsvd @ 37,
});

/// What the function was provisioned with. What the destination was explicitly given wins.
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct IdentityRecord {
    /// MAC address that it was provisioned with.
    pub mac: [u8; 6],
    /// VLAN that it was put into, 0 for none.
    pub vlan: U16,
    /// [`FunctionCaps`](crate::cmd::FunctionCaps). For the reader's information.
    pub caps: U16,
    /// Completion vectors of its data path, at most. For the reader's information.
    pub max_eqs: U16,
    /// [`FunctionId`](crate::ids::FunctionId) that its driver knows it by, 0 if that is not told.
    pub function: U16,
    /// Reserved.
    pub rsvd: [u8; 2],
    /// Its rate. What it hung from does not move.
    pub rate: Rate,
    /// Its UUID; since version 2.
    pub uuid: [u8; 16],
}
layout!(IdentityRecord: 88 {
    mac @ 0, vlan @ 6, caps @ 8, max_eqs @ 10, function @ 12, rsvd @ 14, rate @ 16, uuid @ 72,
});

/// The port.
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct PortRecord {
    /// MAC address in use.
    pub mac: [u8; 6],
    /// MTU in use.
    pub mtu: U16,
    /// [`RxMode`](crate::cmd::RxMode).
    pub mode: U16,
    /// 1 if packets pass.
    pub open: u8,
    /// 1 if the port is turned around.
    pub loops: u8,
}
layout!(PortRecord: 12 { mac @ 0, mtu @ 6, mode @ 8, open @ 10, loops @ 11 });

/// A context of receive side scaling; the table follows.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct RssRecord {
    /// [`RssTransform`](crate::cmd::RssTransform).
    pub transform: U16,
    /// [`RssFields`](crate::cmd::RssFields) for each [`RssFlow`](crate::cmd::RssFlow).
    pub fields: [u8; RSS_FLOWS],
    /// The key.
    pub key: [u8; RSS_KEY],
}
layout!(RssRecord: 48 { transform @ 0, fields @ 2, key @ 8 });

/// A filter.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct FilterRecord {
    /// [`FilterAction`](crate::cmd::FilterAction).
    pub action: U16,
    /// As in [`SetFilter`](crate::cmd::SetFilter).
    pub queue: U16,
    /// As in [`SetFilter`](crate::cmd::SetFilter).
    pub context: U16,
    /// Reserved.
    pub rsvd: [u8; 2],
    /// What the fields must be.
    pub key: RuleKey,
    /// The bits of them that count.
    pub mask: RuleKey,
}
layout!(FilterRecord: 136 { action @ 0, queue @ 2, context @ 4, rsvd @ 6, key @ 8, mask @ 72 });

/// The registers of the PCI function, as far as they can be written.
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct RegisterRecord {
    /// Address of the admin submission ring.
    pub sq_addr: U64,
    /// Address of the admin completion ring.
    pub cq_addr: U64,
    /// Register `AdminSize`.
    pub size: U32,
    /// Register `AdminVector`.
    pub vector: U32,
    /// Register `AdminControl`.
    pub control: U32,
    /// Register `Scratch`.
    pub scratch: U32,
    /// [`Syndrome`](crate::event::Syndrome).
    pub syndrome: U32,
    /// Nanoseconds that a reset goes on for, 0 if none is under way.
    pub reset_ns: U32,
    /// [`AdminError`](crate::regs::AdminError).
    pub error: u8,
    /// Reserved.
    pub rsvd: [u8; 7],
}
layout!(RegisterRecord: 48 {
    sq_addr @ 0, cq_addr @ 8, size @ 16, vector @ 20, control @ 24, scratch @ 28, syndrome @ 32,
    reset_ns @ 36, error @ 40, rsvd @ 41,
});

/// Where a running admin queue stands.
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct AdminRecord {
    /// Next submission that the device reads.
    pub sq_head: U32,
    /// Submissions before this are ready.
    pub sq_tail: U32,
    /// Completions before this were read by the driver.
    pub cq_head: U32,
    /// Next completion that the device writes.
    pub cq_tail: U32,
    /// Logarithm of the depth.
    pub depth_log2: u8,
    /// Reserved.
    pub rsvd: [u8; 7],
}
layout!(AdminRecord: 24 {
    sq_head @ 0, sq_tail @ 4, cq_head @ 8, cq_tail @ 12, depth_log2 @ 16, rsvd @ 17,
});

/// The event queue.
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct EventQueueRecord {
    /// Address of the ring.
    pub ring_addr: U64,
    /// MSI-X vector.
    pub vector: U16,
    /// Logarithm of the depth.
    pub depth_log2: u8,
    /// Reserved.
    pub rsvd: u8,
    /// Events before this were read by the driver.
    pub head: U32,
    /// Next event that the device writes.
    pub tail: U32,
    /// Number of the next event.
    pub sequence: U32,
}
layout!(EventQueueRecord: 24 {
    ring_addr @ 0, vector @ 8, depth_log2 @ 10, rsvd @ 11, head @ 12, tail @ 16, sequence @ 20,
});

codes! {
    /// What [`QueueRecord`] says beside numbers.
    pub struct QueueMarks(u8) {
        /// The RX queue waits for buffers: its doorbell was asked for.
        STARVED = 1 << 0;
    }
}

/// Where a TX or RX queue stands.
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct QueueRecord {
    /// Next descriptor that the device reads.
    pub head: U32,
    /// Next completion that the device writes.
    pub cq_tail: U32,
    /// `cq_tail` when it was last decided whether to interrupt.
    pub signalled: U32,
    /// Descriptors passed over so far of a packet that has too many; TX.
    pub skipped: U32,
    /// Nanoseconds since the last interrupt, all ones if there was none.
    pub since_interrupt: U64,
    /// [`QueueSyndrome`](crate::event::QueueSyndrome).
    pub syndrome: U16,
    /// [`QueueMarks`].
    pub marks: u8,
    /// Reserved.
    pub rsvd: [u8; 5],
}
layout!(QueueRecord: 32 {
    head @ 0, cq_tail @ 4, signalled @ 8, skipped @ 12, since_interrupt @ 16, syndrome @ 24,
    marks @ 26, rsvd @ 27,
});

/// A packet that waits for buffers; its bytes follow.
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct PacketRecord {
    /// What its first completion will say.
    pub about: RxCompletion,
}
layout!(PacketRecord: 32 { about @ 0 });

/// The last record.
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct StreamEnd {
    /// Number of records before this one.
    pub records: U32,
    /// Reserved.
    pub rsvd: [u8; 4],
}
layout!(StreamEnd: 8 { records @ 0 });

/// A record of a stream.
#[derive(Clone, Copy, Debug)]
pub struct Record<'a> {
    /// What it begins with.
    pub header: RecordHeader,
    /// What it holds.
    pub payload: &'a [u8],
}

impl RecordHeader {
    /// Returns the header of a record, checksum included.
    pub fn new(tag: StreamTag, instance: u16, number: u32, payload: &[u8]) -> Self {
        let mut header = Self {
            tag: U16::new(tag.0),
            instance: U16::new(instance),
            // CAST: no longer than MAX_RECORD, or no reader takes it.
            length: U32::new(payload.len() as u32),
            number: U32::new(number),
            checksum: U32::new(0),
        };
        header.checksum = U32::new(header.sum(payload));
        header
    }

    /// Returns the checksum that the record should have.
    fn sum(&self, payload: &[u8]) -> u32 {
        let zero = Self {
            checksum: U32::new(0),
            ..*self
        };
        crc32c(crc32c(0, zero.as_bytes()), payload)
    }

    /// Returns the tag.
    pub fn tag(&self) -> StreamTag {
        StreamTag(self.tag.get())
    }
}

impl<'a> Record<'a> {
    /// Takes the record that `stream` begins with. Returns it and what follows; [`None`] if it is not
    /// there to its end.
    ///
    /// # Errors
    ///
    /// Refuses a record that is too long, or whose checksum is wrong.
    pub fn split(stream: &'a [u8]) -> Result<Option<(Self, &'a [u8])>, StreamFault> {
        let Ok((header, rest)) = RecordHeader::read_from_prefix(stream) else {
            return Ok(None);
        };
        if header.length.get() > MAX_RECORD {
            return Err(StreamFault::LENGTH);
        }
        // CAST: a length of 32 bits.
        let Some((payload, rest)) = rest.split_at_checked(header.length.get() as usize) else {
            return Ok(None);
        };
        if header.sum(payload) != header.checksum.get() {
            return Err(StreamFault::CHECKSUM);
        }
        Ok(Some((Self { header, payload }, rest)))
    }

    /// Returns the payload as `T`, of which at least `least` bytes must be there, and what follows.
    /// What is missing at the end of a short payload is zero.
    ///
    /// # Errors
    ///
    /// Refuses a payload that is shorter.
    pub fn read<T: Wire>(&self, least: usize) -> Result<(T, &'a [u8]), StreamFault> {
        if self.payload.len() < least {
            return Err(StreamFault::LENGTH);
        }
        let (known, rest) = self
            .payload
            .split_at(self.payload.len().min(size_of::<T>()));
        let mut value = T::new_zeroed();
        value.as_mut_bytes()[..known.len()].copy_from_slice(known);
        Ok((value, rest))
    }
}

/// Polynomial of CRC-32C (Castagnoli), bits reversed.
const POLYNOMIAL: u32 = 0x82f6_3b78;

/// What each byte contributes.
static CRC_TABLE: [u32; 256] = {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        // CAST: less than 256.
        let mut crc = byte as u32;
        let mut bit = 0;
        while bit < 8 {
            crc = (crc >> 1) ^ if crc & 1 == 1 { POLYNOMIAL } else { 0 };
            bit += 1;
        }
        table[byte] = crc;
        byte += 1;
    }
    table
};

/// Returns the CRC-32C of what `before` is that of, followed by `bytes`. Begins with 0.
pub fn crc32c(before: u32, bytes: &[u8]) -> u32 {
    let step = |crc: u32, byte: &u8| {
        // CAST: the low byte.
        (crc >> 8) ^ CRC_TABLE[usize::from(crc as u8 ^ byte)]
    };
    !bytes.iter().fold(!before, step)
}
