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
    TCP, //
};
use crate::save::{
    saved,
    LoadError,
    Reader,
    Saved,
    Writer, //
};
use crate::segment::{
    number16,
    number32,
    Segment,
    PSH,
    TCP_HEADER, //
};

/// Rows that wait in one queue, at most.
const MAX_ROWS: usize = 1024;
/// Bytes that wait in one queue, at most.
const MAX_BYTES: usize = 1024 * 1024;

/// How many times as long as in a quiet queue a row waits while other segments come.
const BUSY: u64 = 16;

/// An IP header in a row.
#[derive(Clone, Copy, Debug)]
struct Header {
    /// Its offset.
    at: u16,
    v6: bool,
    /// Identification of the last segment's, if it is IPv4.
    id: u16,
    /// By how much that goes up, once two segments are there.
    step: Option<u16>,
}

saved!(Header { at, v6, id, step });

impl Header {
    fn of(segment: &Segment<'_>, ip: &Ip) -> Self {
        Self {
            // CAST: an offset in a frame, which is no longer than the largest MTU.
            at: (ip.start - segment.tag) as u16,
            v6: ip.v6,
            id: identification(ip, segment.frame),
            step: None,
        }
    }

    /// Returns whether a segment's header goes on from this one, whose bytes are `own`.
    fn is_continued(&self, own: &[u8], segment: &Segment<'_>, ip: &Ip) -> bool {
        let other = ip.header(segment.frame);
        let lies_alike = ip.v6 == self.v6
            && ip.start - segment.tag == usize::from(self.at)
            && own.len() == other.len();
        if !lies_alike || self.v6 {
            // All but the length.
            return lies_alike && own[..4] == other[..4] && own[6..] == other[6..];
        }
        let step = number16(other, 4).wrapping_sub(self.id);
        let stays_or_grows = self.step.map_or(step <= 1, |before| step == before);
        // Version, length and type of service; flags, time to live and protocol; addresses.
        own[..2] == other[..2]
            && own[6..10] == other[6..10]
            && own[12..] == other[12..]
            && stays_or_grows
    }

    /// Takes note of the header of a segment that was appended.
    fn go_on(&mut self, segment: &Segment<'_>, ip: &Ip) {
        let id = identification(ip, segment.frame);
        self.step = Some(id.wrapping_sub(self.id));
        self.id = id;
    }

    /// Puts length and checksum right, for a packet that begins with this header.
    fn finish(&self, packet: &mut [u8]) {
        // CAST: at most `MAX_COALESCED`.
        let length = packet.len() as u16;
        if self.v6 {
            packet[4..6].copy_from_slice(&(length - 40).to_be_bytes());
        } else {
            packet[2..4].copy_from_slice(&length.to_be_bytes());
            packet[10..12].fill(0);
            let checksum = Sum::default().bytes(&packet[..20]).checksum();
            packet[10..12].copy_from_slice(&checksum.to_be_bytes());
        }
    }

    /// Returns the least length of such a header.
    fn length(&self) -> usize {
        if self.v6 {
            40
        } else {
            20
        }
    }
}

/// Segments that were joined, as the driver gets them.
#[derive(Debug)]
struct Row {
    about: RxCompletion,
    bytes: Vec<u8>,
    key: u64,
    /// When its first segment came.
    since: u64,
    /// The IP header that TCP follows, and the one of a tunnel around it.
    ip: Header,
    tunnel: Option<Header>,
    /// Offsets of TCP header and payload.
    l4: u16,
    payload: u16,
    /// Payload bytes of the first segment.
    mss: u16,
    segments: u16,
}

saved!(Row {
    about,
    bytes,
    key,
    since,
    ip,
    tunnel,
    l4,
    payload,
    mss,
    segments
});

impl Row {
    /// Returns the offset of layer 3.
    fn l3(&self) -> usize {
        usize::from(self.tunnel.map_or(self.ip.at, |tunnel| tunnel.at))
    }

    /// Returns whether a segment of the same connection can be appended, of which `about` is said.
    fn takes(&self, segment: &Segment<'_>, about: &RxCompletion) -> bool {
        let (l3, l4) = (self.l3(), usize::from(self.l4));
        let data = usize::from(self.payload);
        let tag = segment.tag;
        let length = segment.payload().len();
        let outer = segment.tunnel.unwrap_or(segment.ip);
        let same_tunnel = match (&self.tunnel, &segment.tunnel) {
            (None, None) => true,
            (Some(own), Some(ip)) => {
                own.is_continued(&self.bytes[l3..usize::from(self.ip.at)], segment, ip)
            }
            _ => false,
        };
        let vlan = |about: &RxCompletion| {
            let flags = RxFlags(about.flags.get());
            flags.contains(RxFlags::VLAN).then(|| about.vlan.get())
        };
        same_tunnel
            && segment.ip.payload - tag == l4
            && segment.data - tag == data
            && length <= usize::from(self.mss)
            && self.bytes.len() - l3 + length <= MAX_COALESCED as usize
            && vlan(&self.about) == vlan(about)
            && self.bytes[..12] == segment.frame[..12]
            && self.bytes[12..l3] == segment.frame[12 + tag..outer.start]
            && (self.ip).is_continued(
                &self.bytes[usize::from(self.ip.at)..l4],
                segment,
                &segment.ip,
            )
            && self.same_tcp(&self.bytes[l4..data], segment)
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

    /// Takes note of a segment whose payload was appended. Returns whether it is the last.
    fn go_on(&mut self, segment: &Segment<'_>) -> bool {
        self.ip.go_on(segment, &segment.ip);
        if let (Some(own), Some(ip)) = (&mut self.tunnel, &segment.tunnel) {
            own.go_on(segment, ip);
        }
        self.segments += 1;
        self.bytes[usize::from(self.l4) + 13] |= segment.tcp()[13] & PSH;
        segment.pushes() || segment.payload().len() < usize::from(self.mss)
    }

    /// Puts lengths and checksums right. Returns what is handed over.
    fn finish(mut self) -> Waiting {
        if self.segments > 1 {
            if let Some(tunnel) = &self.tunnel {
                tunnel.finish(&mut self.bytes[usize::from(tunnel.at)..]);
            }
            let packet = &mut self.bytes[usize::from(self.ip.at)..];
            self.ip.finish(packet);
            let addresses = if self.ip.v6 { 8..40 } else { 12..20 };
            let (network, segment) = packet.split_at_mut(usize::from(self.l4 - self.ip.at));
            segment[16..18].fill(0);
            let sum = Sum::default()
                .pseudo(&network[addresses], TCP, segment.len())
                .bytes(segment);
            segment[16..18].copy_from_slice(&sum.checksum().to_be_bytes());
            let flags = RxFlags(self.about.flags.get())
                .with(RxFlags::COALESCED)
                .with(RxFlags::CSUM_OK);
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

    /// Returns whether a row that was loaded makes sense.
    fn is_sound(&self) -> bool {
        let (l3, ip, l4) = (self.l3(), usize::from(self.ip.at), usize::from(self.l4));
        let payload = usize::from(self.payload);
        let tunnel_ends = self.tunnel.is_none_or(|own| l3 + own.length() == ip);
        let first = ip + self.ip.length();
        let network_ends = l4 == first || self.ip.v6 && l4 > first;
        l3 >= 14
            && tunnel_ends
            && network_ends
            && payload >= l4 + TCP_HEADER
            && self.bytes.len() > payload
            && self.bytes.len() - l3 <= MAX_COALESCED as usize
            && self.segments > 0
    }
}

/// What waits in a queue to be joined with more.
#[derive(Debug, Default)]
pub(crate) struct Held {
    rows: VecDeque<Row>,
    /// What is to be handed over, in order.
    ready: VecDeque<Waiting>,
    bytes: usize,
    /// When the last segment came that may be joined.
    last: u64,
    /// When the device was asked to look.
    timer: Option<u64>,
}

impl Held {
    /// Returns whether nothing waits.
    pub(crate) fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Offers a frame that came at `now`, of which `about` is said; rows wait until the queue was
    /// quiet for `hold`. Returns whether it is to be handed over as it is, after what is
    /// [ready](Self::pop); else it was kept.
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
        self.last = now;
        if let Some(place) = place {
            let payload = segment.payload();
            let row = &mut self.rows[place];
            if row.takes(segment, about) && pool.grow(&mut row.bytes, payload) {
                self.bytes += payload.len();
                if row.go_on(segment) {
                    self.release(place);
                }
                return false;
            }
            self.release(place);
        }
        if !segment.pushes() && hold > 0 && self.start(pool, segment, about, key, now) {
            return false;
        }
        // No segment overtakes one that waits.
        self.release_all();
        true
    }

    /// Returns when the first row is to be handed over.
    fn due(&self, hold: u64) -> Option<u64> {
        let first = self.rows.front()?;
        let quiet = self.last.saturating_add(hold);
        Some(quiet.min(first.since.saturating_add(hold * BUSY)))
    }

    /// Starts a row. Returns whether there is room for it.
    fn start(
        &mut self,
        pool: &mut Pool,
        segment: &Segment<'_>,
        about: &RxCompletion,
        key: u64,
        now: u64,
    ) -> bool {
        let (tag, ip) = (segment.tag, &segment.ip);
        if self.bytes + ip.end > MAX_BYTES {
            return false;
        }
        if self.rows.len() >= MAX_ROWS {
            self.release(0);
        }
        let Some(bytes) = pool.keep(segment.parts()) else {
            return false;
        };
        self.bytes += bytes.len();
        // CAST: offsets in a frame, which is no longer than the largest MTU.
        self.rows.push_back(Row {
            about: *about,
            bytes,
            key,
            since: now,
            ip: Header::of(segment, ip),
            tunnel: (segment.tunnel.as_ref()).map(|tunnel| Header::of(segment, tunnel)),
            l4: (ip.payload - tag) as u16,
            payload: (segment.data - tag) as u16,
            mss: segment.payload().len() as u16,
            segments: 1,
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
    pub(crate) fn release_due(&mut self, now: u64, hold: u64) {
        self.timer = self.timer.filter(|timer| *timer > now);
        while self.due(hold).is_some_and(|due| due <= now) {
            self.release(0);
        }
    }

    /// Takes what is to be handed over.
    pub(crate) fn pop(&mut self) -> Option<Waiting> {
        self.ready.pop_front()
    }

    /// Returns when the device is to look, and when it was asked to look before, if that is too late
    /// or not at all. An earlier look sets the next.
    pub(crate) fn new_timer(&mut self, hold: u64) -> Option<(u64, Option<u64>)> {
        let due = self.due(hold)?;
        if self.timer.is_some_and(|timer| timer <= due) {
            return None;
        }
        Some((due, self.timer.replace(due)))
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
        self.last.save(writer);
        self.timer.save(writer);
    }

    fn load(reader: &mut Reader<'_>) -> Result<Self, LoadError> {
        let rows: VecDeque<Row> = Saved::load(reader)?;
        let last = Saved::load(reader)?;
        let timer = Saved::load(reader)?;
        let bytes = rows.iter().map(|row| row.bytes.len()).sum();
        if rows.len() > MAX_ROWS || bytes > MAX_BYTES + MAX_COALESCED as usize {
            return Err(LoadError::Invalid("number of joined segments"));
        }
        if !rows.iter().all(Row::is_sound) {
            return Err(LoadError::Invalid("joined segments"));
        }
        Ok(Self {
            rows,
            ready: VecDeque::new(),
            bytes,
            last,
            timer,
        })
    }
}

/// Returns the identification of a packet, 0 for IPv6.
fn identification(ip: &Ip, frame: &[u8]) -> u16 {
    if ip.v6 {
        0
    } else {
        number16(ip.header(frame), 4)
    }
}
