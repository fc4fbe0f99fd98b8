// SPDX-License-Identifier: GPL-2.0

//! Prints the stream in which the state of a VF moves, as `Documentation/hw/stream.md` has it: a line for each
//! record with its tag, instance and length, and below it what it holds. Every checksum is verified, and
//! that no record is missing.

#![warn(missing_docs)]

use std::fmt::{
    self,
    Write, //
};

use ferrite_abi::cmd::{
    CreateQueue,
    FilterAction,
    FrameStats,
    PortStats,
    QueueFlags,
    RssTransform,
    RxMode, //
};
use ferrite_abi::event::{
    QueueSyndrome,
    Syndrome, //
};
use ferrite_abi::mig::{
    AdminRecord,
    EventQueueRecord,
    FilterRecord,
    IdentityRecord,
    PacketRecord,
    PortRecord,
    QueueRecord,
    Record,
    RegisterRecord,
    RssRecord,
    StreamEnd,
    StreamFault,
    StreamHeader,
    StreamTag,
    STREAM_MAGIC, //
};
use ferrite_abi::regs::{
    AdminError,
    Features, //
};

/// Why what was given is no good stream, and where that is found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadStream {
    /// What is wrong.
    pub fault: StreamFault,
    /// Number of the record that is at fault.
    pub record: u32,
    /// Offset of that record in bytes.
    pub offset: usize,
}

impl fmt::Display for BadStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = match self.fault {
            StreamFault::NOT_A_STREAM => "this is not the stream of a VF",
            StreamFault::CHECKSUM => "the checksum is wrong",
            StreamFault::SEQUENCE => "a record is missing, or comes where it must not",
            StreamFault::LENGTH => "the record is too short or too long",
            StreamFault::INCOMPLETE => "the stream ends too early",
            StreamFault::TRAILING => "the stream goes on after its end",
            fault => return write!(f, "record {} at {:#x}: {fault}", self.record, self.offset),
        };
        write!(f, "record {} at {:#x}: {what}", self.record, self.offset)
    }
}

impl std::error::Error for BadStream {}

/// Returns a stream as text.
///
/// # Errors
///
/// Refuses what is no stream, or a damaged one, with what could be printed up to there.
pub fn print(stream: &[u8]) -> Result<String, (String, BadStream)> {
    let mut text = String::new();
    match print_records(stream, &mut text) {
        Ok(()) => Ok(text),
        Err(bad) => Err((text, bad)),
    }
}

fn print_records(stream: &[u8], text: &mut String) -> Result<(), BadStream> {
    let (mut rest, mut number, mut ended) = (stream, 0, false);
    loop {
        let offset = stream.len() - rest.len();
        let bad = |fault| BadStream {
            fault,
            record: number,
            offset,
        };
        // Garbage is called that, and not a record that is too long.
        if number == 0 && !stream[stream.len().min(16)..].starts_with(&STREAM_MAGIC) {
            return Err(bad(StreamFault::NOT_A_STREAM));
        }
        if rest.is_empty() && ended {
            return Ok(());
        }
        let Some((record, after)) = Record::split(rest).map_err(bad)? else {
            return Err(bad(if ended {
                StreamFault::TRAILING
            } else {
                StreamFault::INCOMPLETE
            }));
        };
        if ended {
            return Err(bad(StreamFault::TRAILING));
        }
        let tag = record.header.tag();
        if record.header.number.get() != number || (tag == StreamTag::HEADER) != (number == 0) {
            return Err(bad(StreamFault::SEQUENCE));
        }
        print_record(&record, offset, text).map_err(bad)?;
        if tag == StreamTag::END {
            let (end, _) = record.read::<StreamEnd>(0).map_err(bad)?;
            if end.records.get() != number {
                return Err(bad(StreamFault::SEQUENCE));
            }
            ended = true;
        }
        rest = after;
        number += 1;
    }
}

/// Appends a line to what is printed.
macro_rules! line {
    ($text:expr, $($arg:tt)*) => {
        // A string takes whatever is written.
        let _ = writeln!($text, $($arg)*);
    };
}

fn print_record(record: &Record<'_>, offset: usize, text: &mut String) -> Result<(), StreamFault> {
    let header = &record.header;
    let (tag, instance) = (header.tag(), header.instance.get());
    let kind = tag.kind();
    let known = kind.name();
    let name = known.map_or_else(|| format!("{:#06x}", kind.0), str::to_owned);
    let mark = match (tag.is_removed(), tag.is_optional(), known.is_some()) {
        (true, ..) => ", removed",
        (_, true, true) => ", optional",
        (_, true, false) => ", optional, not known",
        (_, false, false) => ", not known",
        _ => "",
    };
    let length = header.length.get();
    let number = header.number.get();
    line!(
        text,
        "{offset:#08x} {number:5} {name} {instance}{mark}, {length} bytes"
    );
    if tag.is_removed() || known.is_none() {
        return Ok(());
    }
    print_payload(kind, record, text)
}

fn print_payload(
    kind: StreamTag,
    record: &Record<'_>,
    text: &mut String,
) -> Result<(), StreamFault> {
    match kind {
        StreamTag::HEADER => {
            let (header, _) = record.read::<StreamHeader>(size_of::<StreamHeader>())?;
            let (version, oldest) = (header.version.get(), header.oldest_reader.get());
            line!(text, "    version {version}, for readers from {oldest} on");
            let abi = header.abi_version.get();
            let features = flags(Features::NAMED, header.features.get());
            line!(
                text,
                "    contract {}.{}, features {features}",
                abi >> 16,
                abi & 0xffff
            );
            line!(
                text,
                "    {} queues of 2^{}, {} vectors, RSS table of {}, {} contexts, {} filters, MTU {}",
                header.max_queues.get(),
                header.max_depth_log2,
                header.vectors.get(),
                header.rss_table.get(),
                header.max_contexts.get(),
                header.max_filters.get(),
                header.max_mtu.get()
            );
        }
        StreamTag::IDENTITY => {
            let (identity, _) = record.read::<IdentityRecord>(72)?;
            let (mac, vlan) = (mac(&identity.mac), identity.vlan.get());
            line!(
                text,
                "    mac {mac}, vlan {vlan}, caps {:#x}",
                identity.caps.get()
            );
            let (most, share) = (identity.rate.tx_max.get(), identity.rate.tx_share.get());
            line!(text, "    tx_max {most}, tx_share {share}");
            if record.payload.len() > 72 {
                line!(text, "    uuid {}", hex(&identity.uuid));
            }
        }
        StreamTag::PORT => {
            let (port, _) = record.read::<PortRecord>(size_of::<PortRecord>())?;
            let state = if port.open == 1 { "open" } else { "closed" };
            let mode = flags(RxMode::NAMED, port.mode.get().into());
            let mtu = port.mtu.get();
            let way = if port.loops == 1 {
                ", turned around"
            } else {
                ""
            };
            line!(
                text,
                "    {state}, mac {}, mtu {mtu}, mode {mode}{way}",
                mac(&port.mac)
            );
        }
        StreamTag::ADDRESSES => {
            for address in record.payload.chunks(6) {
                line!(text, "    {}", mac(address));
            }
        }
        StreamTag::RSS_CONTEXT => {
            let (rss, table) = record.read::<RssRecord>(size_of::<RssRecord>())?;
            let transform = RssTransform(rss.transform.get());
            line!(
                text,
                "    fields {}, transform {transform}",
                hex(&rss.fields)
            );
            line!(text, "    key {}", hex(&rss.key));
            line!(text, "    table {}", numbers(table));
        }
        StreamTag::FILTER => {
            let (filter, _) = record.read::<FilterRecord>(size_of::<FilterRecord>())?;
            let action = FilterAction(filter.action.get());
            let (queue, context) = (filter.queue.get(), filter.context.get());
            line!(text, "    {action}, queue {queue}, context {context}");
        }
        StreamTag::TX_QUEUE | StreamTag::RX_QUEUE => {
            let (queue, _) = record.read::<CreateQueue>(size_of::<CreateQueue>())?;
            line!(
                text,
                "    ring {:#x}, completions {:#x}, state {:#x}, 2^{} entries, vector {}",
                queue.ring_addr.get(),
                queue.cq_addr.get(),
                queue.state_addr.get(),
                queue.depth_log2,
                queue.vector.get()
            );
            line!(
                text,
                "    moderation {} us, {} packets; coalescing {} us; flags {}",
                queue.moderation_usecs.get(),
                queue.moderation_packets.get(),
                queue.coalesce_usecs.get(),
                flags(QueueFlags::NAMED, queue.flags.into())
            );
        }
        StreamTag::REGISTERS => {
            let (registers, _) = record.read::<RegisterRecord>(size_of::<RegisterRecord>())?;
            let on = if registers.control.get() & 1 == 1 {
                "on"
            } else {
                "off"
            };
            line!(
                text,
                "    admin queue {on}, submissions {:#x}, completions {:#x}, size {}, vector {:#x}, error {}",
                registers.sq_addr.get(),
                registers.cq_addr.get(),
                registers.size.get(),
                registers.vector.get(),
                AdminError(registers.error)
            );
            let syndrome = Syndrome(registers.syndrome.get());
            let (scratch, reset) = (registers.scratch.get(), registers.reset_ns.get());
            line!(
                text,
                "    scratch {scratch:#x}, syndrome {syndrome}, in reset for {reset} ns"
            );
        }
        StreamTag::ADMIN_QUEUE => {
            let (admin, _) = record.read::<AdminRecord>(size_of::<AdminRecord>())?;
            line!(
                text,
                "    2^{} entries, submissions {} to {}, completions {} to {}",
                admin.depth_log2,
                admin.sq_head.get(),
                admin.sq_tail.get(),
                admin.cq_head.get(),
                admin.cq_tail.get()
            );
        }
        StreamTag::EVENT_QUEUE => {
            let (events, _) = record.read::<EventQueueRecord>(size_of::<EventQueueRecord>())?;
            line!(
                text,
                "    ring {:#x}, 2^{} entries, vector {}, {} to {}, next is event {}",
                events.ring_addr.get(),
                events.depth_log2,
                events.vector.get(),
                events.head.get(),
                events.tail.get(),
                events.sequence.get()
            );
        }
        StreamTag::TX_STATE | StreamTag::RX_STATE => {
            let (state, _) = record.read::<QueueRecord>(size_of::<QueueRecord>())?;
            let syndrome = QueueSyndrome(state.syndrome.get());
            line!(
                text,
                "    head {}, cq_tail {}, signalled {}, syndrome {syndrome}, marks {:#x}",
                state.head.get(),
                state.cq_tail.get(),
                state.signalled.get(),
                state.marks
            );
        }
        StreamTag::RX_PACKET => {
            let (_, packet) = record.read::<PacketRecord>(size_of::<PacketRecord>())?;
            line!(
                text,
                "    packet of {} bytes: {}",
                packet.len(),
                hex(&packet[..packet.len().min(32)])
            );
        }
        StreamTag::INTERRUPTS => {
            line!(text, "    vectors {}", numbers(record.payload));
        }
        StreamTag::STATS => {
            let (stats, _) = record.read::<PortStats>(0)?;
            for (name, value) in PortStats::NAMES.iter().zip(stats.values()) {
                if value != 0 {
                    line!(text, "    {name} {value}");
                }
            }
        }
        StreamTag::FRAMES => {
            let (stats, _) = record.read::<FrameStats>(size_of::<FrameStats>())?;
            for (way, counters) in [("sent", stats.tx), ("arrived", stats.rx)] {
                let (frames, octets) = (counters.frames.get(), counters.octets.get());
                line!(text, "    {way} {frames} frames of {octets} bytes");
            }
        }
        StreamTag::END => {
            let (end, _) = record.read::<StreamEnd>(size_of::<StreamEnd>())?;
            line!(text, "    after {} records", end.records.get());
        }
        _ => {}
    }
    Ok(())
}

fn mac(bytes: &[u8]) -> String {
    let bytes: Vec<String> = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    bytes.join(":")
}

fn hex(bytes: &[u8]) -> String {
    let bytes: Vec<String> = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    bytes.concat()
}

/// Returns numbers of two bytes each.
fn numbers(bytes: &[u8]) -> String {
    if bytes.is_empty() {
        return "none".to_owned();
    }
    let number = |pair: &[u8]| {
        pair.iter()
            .rev()
            .fold(0, |n, byte| n << 8 | u32::from(*byte))
    };
    let numbers: Vec<String> = bytes
        .chunks(2)
        .map(|pair| number(pair).to_string())
        .collect();
    numbers.join(" ")
}

/// Returns the names of the flags that are set.
fn flags<T: Copy + Into<u64>>(named: &[(&str, T)], bits: u64) -> String {
    let set = named.iter().filter(|(_, bit)| bits & (*bit).into() != 0);
    let names: Vec<&str> = set.map(|(name, _)| *name).collect();
    if names.is_empty() {
        "none".to_owned()
    } else {
        names.join(" ")
    }
}
