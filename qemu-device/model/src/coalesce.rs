// SPDX-License-Identifier: GPL-2.0

//! Joining of TCP segments in an RX queue.
//!
//! A segment that may be followed by more waits in [`Held`], where those that continue it are appended
//! to it, until one comes that ends the row, or its time is over. Rows are kept in the order in which
//! they began, so that what waits is handed over in that order.

use std::collections::VecDeque;

use ferrite_abi::desc::{
    RxCompletion,
    RxFlags,
    MAX_COALESCED, //
};
use ferrite_abi::wire::U16;

use crate::backlog::{
    Pool,
    Waiting, //
};
use crate::checksum::Sum;
use crate::packet::{
    Ip,
    Verdict,
    TCP,
    VLAN_TAG, //
};
use crate::save::{
    saved,
    LoadError,
    Reader,
    Saved,
    Writer, //
};

/// Rows that wait in one queue, at most.
const MAX_ROWS: usize = 1024;
/// Bytes that wait in one queue, at most.
const MAX_BYTES: usize = 1024 * 1024;

const TCP_HEADER: usize = 20;
const PSH: u8 = 0x08;
const ACK: u8 = 0x10;
const DONT_FRAGMENT: u16 = 0x4000;

/// What is seen of a frame by which segments are told apart.
#[derive(Clone, Copy)]
pub(crate) struct Segment<'a> {
    frame: &'a [u8],
    ip: Ip,
    /// Bytes of the VLAN tag that the driver does not see.
    tag: usize,
    /// Offset of the payload.
    payload: usize,
}

impl<'a> Segment<'a> {
    /// Returns a frame as a segment, if it is one of TCP.
    pub(crate) fn of(frame: &'a [u8], ip: &Ip, tagged: bool) -> Option<Self> {
        let header = frame[..ip.end].get(ip.payload..ip.payload + TCP_HEADER)?;
        let length = usize::from(header[12] >> 4) * 4;
        let payload = ip.payload + length;
        let is_segment = ip.protocol == TCP && !ip.fragment;
        (is_segment && length >= TCP_HEADER && payload <= ip.end).then_some(Self {
            frame,
            ip: *ip,
            tag: if tagged { VLAN_TAG } else { 0 },
            payload,
        })
    }

    fn payload(&self) -> &'a [u8] {
        &self.frame[self.payload..self.ip.end]
    }

    fn tcp(&self) -> &'a [u8] {
        &self.frame[self.ip.payload..self.payload]
    }

    fn network(&self) -> &'a [u8] {
        &self.frame[self.ip.start..self.ip.payload]
    }

    fn sequence(&self) -> u32 {
        number32(self.tcp(), 4)
    }

    fn pushes(&self) -> bool {
        self.tcp()[13] & PSH != 0
    }

    /// Returns whether it may be joined with others; `verdict` is that on its checksums.
    fn can_join(&self, verdict: Verdict) -> bool {
        let plain = self.ip.v6 || self.network().len() == 20;
        let flags = self.tcp()[13] & !PSH;
        verdict == Verdict::Right && plain && flags == ACK && !self.payload().is_empty()
    }

    /// Returns a number that is the same for all segments of a connection.
    fn key(&self) -> u64 {
        // FNV-1a. Whoever finds two connections with the same key can keep them from being joined.
        let ports = &self.tcp()[..4];
        let bytes = self.ip.addresses(self.frame).iter().chain(ports);
        bytes.fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
            (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3)
        })
    }

    fn id(&self) -> u16 {
        number16(self.network(), 4)
    }
}

/// Segments that were joined, as the driver gets them.
#[derive(Debug)]
struct Row {
    about: RxCompletion,
    bytes: Vec<u8>,
    key: u64,
    /// When it is to be handed over.
    due: u64,
    /// Offsets of IP header, TCP header and payload.
    l3: u16,
    l4: u16,
    payload: u16,
    v6: bool,
    /// Payload bytes of the first segment.
    mss: u16,
    segments: u16,
    /// Identification of the last segment's IPv4 header.
    id: u16,
    /// By how much that goes up, once two segments are there.
    step: Option<u16>,
}

saved!(Row {
    about,
    bytes,
    key,
    due,
    l3,
    l4,
    payload,
    v6,
    mss,
    segments,
    id,
    step
});

impl Row {
    /// Returns whether a segment of the same connection can be appended.
    fn takes(&self, segment: &Segment<'_>) -> bool {
        let (l3, l4) = (usize::from(self.l3), usize::from(self.l4));
        let data = usize::from(self.payload);
        let (tag, ip) = (segment.tag, &segment.ip);
        let length = segment.payload().len();
        let lies_alike = ip.start - tag == l3
            && ip.payload - tag == l4
            && segment.payload - tag == data
            && ip.v6 == self.v6;
        lies_alike
            && length <= usize::from(self.mss)
            && self.bytes.len() - l3 + length <= MAX_COALESCED as usize
            && self.bytes[..12] == segment.frame[..12]
            && self.bytes[12..l3] == segment.frame[12 + tag..ip.start]
            && self.same_network(&self.bytes[l3..l4], segment)
            && self.same_tcp(&self.bytes[l4..data], segment)
    }

    fn same_network(&self, own: &[u8], segment: &Segment<'_>) -> bool {
        let other = segment.network();
        if self.v6 {
            return own[..4] == other[..4] && own[6..] == other[6..];
        }
        let step = segment.id().wrapping_sub(self.id);
        let stays_or_grows = match self.step {
            Some(before) => step == before,
            None => step == 1 || step == 0 && number16(own, 6) & DONT_FRAGMENT != 0,
        };
        // Version, length and type of service; flags, time to live and protocol; addresses.
        own[..2] == other[..2]
            && own[6..10] == other[6..10]
            && own[12..] == other[12..]
            && stays_or_grows
    }

    fn same_tcp(&self, own: &[u8], segment: &Segment<'_>) -> bool {
        let other = segment.tcp();
        // CAST: at most `MAX_COALESCED` and headers.
        let length = (self.bytes.len() - usize::from(self.payload)) as u32;
        let sequence = number32(own, 4).wrapping_add(length);
        // Ports; acknowledgement, length and flags; window; urgent pointer and options.
        own[..4] == other[..4]
            && own[8..13] == other[8..13]
            && (own[13] ^ other[13]) & !PSH == 0
            && own[14..16] == other[14..16]
            && own[18..] == other[18..]
            && sequence == segment.sequence()
    }

    /// Puts lengths and checksums right. Returns what is handed over.
    fn finish(mut self) -> Waiting {
        let (l3, l4) = (usize::from(self.l3), usize::from(self.l4));
        if self.segments > 1 {
            let length = self.bytes.len() - l3;
            let (network, segment) = self.bytes[l3..].split_at_mut(l4 - l3);
            // CAST: at most `MAX_COALESCED`.
            let addresses = if self.v6 {
                network[4..6].copy_from_slice(&((length - 40) as u16).to_be_bytes());
                8..40
            } else {
                network[2..4].copy_from_slice(&(length as u16).to_be_bytes());
                network[10..12].fill(0);
                let checksum = Sum::default().bytes(network).checksum();
                network[10..12].copy_from_slice(&checksum.to_be_bytes());
                12..20
            };
            segment[16..18].fill(0);
            let sum = Sum::default()
                .pseudo(&network[addresses], TCP, segment.len())
                .bytes(segment);
            segment[16..18].copy_from_slice(&sum.checksum().to_be_bytes());
            let flags = RxFlags(self.about.flags.get()).with(RxFlags::COALESCED);
            self.about.flags = U16::new(flags.0);
            self.about.mss = U16::new(self.mss);
            self.about.segments = U16::new(self.segments);
            self.about.l4_offset = U16::new(self.l4);
        }
        Waiting {
            about: self.about,
            bytes: self.bytes,
        }
    }
}

/// What waits in a queue to be joined with more.
#[derive(Debug, Default)]
pub(crate) struct Held {
    rows: VecDeque<Row>,
    /// What is to be handed over, in order.
    ready: VecDeque<Waiting>,
    bytes: usize,
    /// When the device was asked to look.
    timer: Option<u64>,
}

impl Held {
    /// Returns whether nothing waits.
    pub(crate) fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Offers a frame that came at `now`, of which `about` is said. Returns whether it is to be
    /// handed over as it is, after what is [ready](Self::pop); else it was kept.
    pub(crate) fn offer(
        &mut self,
        pool: &mut Pool,
        segment: &Segment<'_>,
        verdict: Verdict,
        about: &RxCompletion,
        (now, hold): (u64, u64),
    ) -> bool {
        let key = segment.key();
        let place = self.rows.iter().position(|row| row.key == key);
        if !segment.can_join(verdict) {
            if let Some(place) = place {
                self.release(place);
            }
            return true;
        }
        if let Some(place) = place {
            let payload = segment.payload();
            let row = &mut self.rows[place];
            if row.takes(segment) && pool.grow(&mut row.bytes, payload) {
                self.bytes += payload.len();
                row.step = Some(segment.id().wrapping_sub(row.id));
                row.id = segment.id();
                row.segments += 1;
                let (l4, is_last) = (
                    usize::from(row.l4),
                    segment.pushes() || payload.len() < usize::from(row.mss),
                );
                row.bytes[l4 + 13] |= segment.tcp()[13] & PSH;
                if is_last {
                    self.release(place);
                }
                return false;
            }
            self.release(place);
        }
        if !segment.pushes() && hold > 0 && self.start(pool, segment, about, key, now + hold) {
            return false;
        }
        // No segment overtakes one that waits.
        self.release_all();
        true
    }

    /// Starts a row. Returns whether there is room for it.
    fn start(
        &mut self,
        pool: &mut Pool,
        segment: &Segment<'_>,
        about: &RxCompletion,
        key: u64,
        due: u64,
    ) -> bool {
        let (tag, ip) = (segment.tag, &segment.ip);
        if self.bytes + ip.end > MAX_BYTES {
            return false;
        }
        if self.rows.len() >= MAX_ROWS {
            self.release(0);
        }
        let parts = if tag > 0 {
            [&segment.frame[..12], &segment.frame[12 + tag..ip.end]]
        } else {
            [&segment.frame[..ip.end], &[]]
        };
        let Some(bytes) = pool.keep(parts) else {
            return false;
        };
        self.bytes += bytes.len();
        // CAST: offsets in a frame, which is no longer than the largest MTU.
        self.rows.push_back(Row {
            about: *about,
            bytes,
            key,
            due,
            l3: (ip.start - tag) as u16,
            l4: (ip.payload - tag) as u16,
            payload: (segment.payload - tag) as u16,
            v6: ip.v6,
            mss: segment.payload().len() as u16,
            segments: 1,
            id: segment.id(),
            step: None,
        });
        true
    }

    /// Makes the row at `place` ready.
    fn release(&mut self, place: usize) {
        if let Some(row) = self.rows.remove(place) {
            self.bytes -= row.bytes.len();
            self.ready.push_back(row.finish());
        }
    }

    /// Makes all rows ready.
    pub(crate) fn release_all(&mut self) {
        while !self.rows.is_empty() {
            self.release(0);
        }
    }

    /// Makes the rows ready whose time is over.
    pub(crate) fn release_due(&mut self, now: u64) {
        self.timer = None;
        while self.rows.front().is_some_and(|row| row.due <= now) {
            self.release(0);
        }
    }

    /// Takes what is to be handed over.
    pub(crate) fn pop(&mut self) -> Option<Waiting> {
        self.ready.pop_front()
    }

    /// Returns when the device is to look next, if it was not asked for that before.
    pub(crate) fn new_timer(&mut self) -> Option<u64> {
        let due = self.rows.front()?.due;
        // An earlier look sets the next.
        if self.timer.is_some_and(|timer| timer <= due) {
            return None;
        }
        self.timer = Some(due);
        self.timer
    }

    /// Returns when the device looks next.
    pub(crate) fn timer(&self) -> Option<u64> {
        self.timer
    }

    /// Drops all that waits. Returns how many packets that were.
    pub(crate) fn clear(&mut self, pool: &mut Pool) -> u64 {
        let segments: u64 = self.rows.iter().map(|row| u64::from(row.segments)).sum();
        self.release_all();
        while let Some(waiting) = self.pop() {
            pool.give_back(waiting.bytes);
        }
        segments
    }

    /// Returns how many bytes wait.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }
}

impl Saved for Held {
    fn save(&self, writer: &mut Writer) {
        self.rows.save(writer);
        self.timer.save(writer);
    }

    fn load(reader: &mut Reader<'_>) -> Result<Self, LoadError> {
        let rows: VecDeque<Row> = Saved::load(reader)?;
        let timer = Saved::load(reader)?;
        let bytes = rows.iter().map(|row| row.bytes.len()).sum();
        if rows.len() > MAX_ROWS || bytes > MAX_BYTES + MAX_COALESCED as usize {
            return Err(LoadError::Invalid("number of joined segments"));
        }
        for row in &rows {
            let (l3, l4) = (usize::from(row.l3), usize::from(row.l4));
            let payload = usize::from(row.payload);
            let network = if row.v6 { 40 } else { 20 };
            let sound = l3 >= 14
                && l4 >= l3 + network
                && (row.v6 || l4 == l3 + network)
                && payload >= l4 + TCP_HEADER
                && row.bytes.len() > payload
                && row.bytes.len() - l3 <= MAX_COALESCED as usize
                && row.segments > 0;
            if !sound {
                return Err(LoadError::Invalid("joined segments"));
            }
        }
        Ok(Self {
            rows,
            ready: VecDeque::new(),
            bytes,
            timer,
        })
    }
}

fn number16(bytes: &[u8], at: usize) -> u16 {
    u16::from_be_bytes([bytes[at], bytes[at + 1]])
}

fn number32(bytes: &[u8], at: usize) -> u32 {
    u32::from_be_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}
