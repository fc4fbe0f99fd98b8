// SPDX-License-Identifier: GPL-2.0

//! Joining of UDP datagrams in a receive queue, for drivers that take them so.
//!
//! Datagrams of one flow and of one length, that come one after the other, become a packet that the driver may
//! cut again: what another function's packet was cut into comes like this. The last may be shorter.

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
    UDP,
    UDP_HEADER,
    VLAN_TAG, //
};
use crate::rx::Arrival;
use crate::save::{
    saved,
    LoadError, //
};
use crate::segment::number16;

/// Datagrams in a packet, at most: what Linux cuts a packet into.
const MAX_DATAGRAMS: u16 = 64;

/// Datagrams that were joined.
#[derive(Debug)]
struct Row {
    about: RxCompletion,
    bytes: Vec<u8>,
    v6: bool,
    /// Offsets of the IP and of the UDP header.
    l3: u16,
    l4: u16,
    /// Payload bytes of all but the last.
    size: u16,
    count: u16,
}

saved!(Row {
    about,
    bytes,
    v6,
    l3,
    l4,
    size,
    count
});

/// A datagram that may be joined with others.
struct Datagram<'a> {
    parts: [&'a [u8]; 2],
    ip: Ip,
    /// Bytes of the tag that the driver does not see.
    tag: usize,
    payload: &'a [u8],
}

impl<'a> Datagram<'a> {
    fn of(arrival: &Arrival<'a>, bare: bool) -> Option<Self> {
        let (frame, ip) = (arrival.frame(), *arrival.ip()?);
        let tag = if bare && arrival.vlan().is_some() {
            VLAN_TAG
        } else {
            0
        };
        let plain = ip.v6 || ip.payload - ip.start == 20;
        let payload = frame[..ip.end].get(ip.payload + UDP_HEADER..)?;
        let length = usize::from(number16(frame, ip.payload + 4));
        let whole = length == ip.end - ip.payload && !payload.is_empty();
        let single = ip.protocol == UDP && !ip.fragment && plain && whole && arrival.is_right();
        single.then(|| Self {
            parts: if tag > 0 {
                [&frame[..12], &frame[12 + tag..ip.end]]
            } else {
                [&frame[..ip.end], &[]]
            },
            ip,
            tag,
            payload,
        })
    }

    /// Returns its headers as the driver gets them.
    fn headers(&self) -> Vec<u8> {
        let mut headers = self.parts.concat();
        headers.truncate(self.ip.payload + UDP_HEADER - self.tag);
        headers
    }
}

impl Row {
    fn takes(&self, datagram: &Datagram<'_>, about: &RxCompletion) -> bool {
        let headers = datagram.headers();
        let (l3, l4) = (usize::from(self.l3), usize::from(self.l4));
        let own = &self.bytes[..(l4 + UDP_HEADER).min(self.bytes.len())];
        let length = datagram.payload.len();
        own.len() == headers.len()
            && self.v6 == datagram.ip.v6
            && length <= usize::from(self.size)
            && self.bytes.len() - l3 + length <= MAX_COALESCED as usize
            && about.hash == self.about.hash
            && own[..l3] == headers[..l3]
            // Ports.
            && own[l4..l4 + 4] == headers[l4..l4 + 4]
            && if self.v6 {
                // All but the length.
                own[l3..l3 + 4] == headers[l3..l3 + 4] && own[l3 + 6..l4] == headers[l3 + 6..l4]
            } else {
                // All but length, identification and checksum.
                own[l3..l3 + 2] == headers[l3..l3 + 2]
                    && own[l3 + 6..l3 + 10] == headers[l3 + 6..l3 + 10]
                    && own[l3 + 12..l4] == headers[l3 + 12..l4]
            }
    }

    /// Puts lengths and the checksum of the IP header right. That of UDP is left to who gets the packet.
    fn finish(mut self) -> Waiting {
        if self.count > 1 {
            let (l3, l4) = (usize::from(self.l3), usize::from(self.l4));
            let (network, datagram) = self.bytes.split_at_mut(l4);
            // CAST: at most `MAX_COALESCED`.
            let length = datagram.len() as u16;
            datagram[4..6].copy_from_slice(&length.to_be_bytes());
            let header = &mut network[l3..];
            if self.v6 {
                let length = length + (l4 - l3 - 40) as u16;
                header[4..6].copy_from_slice(&length.to_be_bytes());
            } else {
                let length = length + (l4 - l3) as u16;
                header[2..4].copy_from_slice(&length.to_be_bytes());
                header[10..12].fill(0);
                let checksum = Sum::default().bytes(header).checksum();
                header[10..12].copy_from_slice(&checksum.to_be_bytes());
            }
            let flags = RxFlags(self.about.flags.get()).with(RxFlags::COALESCED);
            self.about.flags = U16::new(flags.0);
            self.about.mss = U16::new(self.size);
            self.about.segments = U16::new(self.count);
            self.about.l4_offset = U16::new(self.l4);
        }
        Waiting {
            about: self.about,
            bytes: self.bytes,
        }
    }

    /// Returns whether a row that was loaded makes sense.
    fn is_sound(&self) -> bool {
        let (l3, l4) = (usize::from(self.l3), usize::from(self.l4));
        let least = if self.v6 { 40 } else { 20 };
        l3 >= 14
            && l4 >= l3 + least
            && self.bytes.len() > l4 + UDP_HEADER
            && self.bytes.len() - l3 <= MAX_COALESCED as usize
    }
}

/// What waits in a queue to be joined with more, and what is ready.
#[derive(Debug, Default)]
pub(crate) struct Datagrams {
    row: Option<Row>,
    ready: Option<Waiting>,
}

saved!(Datagrams { row, ready });

impl Datagrams {
    /// Offers a frame of which `about` is said, nothing of which is [ready](Self::pop). Returns whether it is to be handed over
    /// as it is, after what is ready then; else it was kept.
    pub(crate) fn offer(
        &mut self,
        pool: &mut Pool,
        arrival: &Arrival<'_>,
        bare: bool,
        about: &RxCompletion,
    ) -> bool {
        let Some(datagram) = Datagram::of(arrival, bare) else {
            self.release();
            return true;
        };
        if let Some(row) = &mut self.row {
            if row.takes(&datagram, about) && pool.grow(&mut row.bytes, datagram.payload) {
                row.count += 1;
                if datagram.payload.len() < usize::from(row.size) || row.count == MAX_DATAGRAMS {
                    self.release();
                }
                return false;
            }
        }
        self.release();
        let Some(bytes) = pool.keep(datagram.parts) else {
            return true;
        };
        let Datagram {
            ip, tag, payload, ..
        } = datagram;
        // CAST: offsets and lengths in a frame, which is no longer than the largest MTU.
        self.row = Some(Row {
            about: *about,
            bytes,
            v6: ip.v6,
            l3: (ip.start - tag) as u16,
            l4: (ip.payload - tag) as u16,
            size: payload.len() as u16,
            count: 1,
        });
        false
    }

    /// Makes ready what waits.
    pub(crate) fn release(&mut self) {
        if let Some(row) = self.row.take() {
            self.ready = Some(row.finish());
        }
    }

    /// Takes what is to be handed over.
    pub(crate) fn pop(&mut self) -> Option<Waiting> {
        self.ready.take()
    }

    /// Drops what waits. Returns how many packets that were.
    pub(crate) fn clear(&mut self, pool: &mut Pool) -> u64 {
        let count = self.row.as_ref().map_or(0, |row| row.count.into());
        self.release();
        if let Some(waiting) = self.pop() {
            pool.give_back(waiting.bytes);
        }
        count
    }

    /// Returns how many bytes wait.
    pub(crate) fn bytes(&self) -> usize {
        self.row.as_ref().map_or(0, |row| row.bytes.len())
    }

    /// Checks what was loaded.
    pub(crate) fn check(&self) -> Result<(), LoadError> {
        if self.ready.is_none() && self.row.as_ref().is_none_or(Row::is_sound) {
            Ok(())
        } else {
            Err(LoadError::Invalid("joined datagrams"))
        }
    }
}
