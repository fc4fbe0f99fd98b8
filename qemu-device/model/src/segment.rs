// SPDX-License-Identifier: GPL-2.0

//! A TCP segment in a frame: what segments are told apart by.

use crate::packet::{
    Ip,
    Verdict,
    TCP,
    VLAN_TAG, //
};

/// Length of a TCP header without options.
pub(crate) const TCP_HEADER: usize = 20;
/// The flag by which a sender says that it has no more for now.
pub(crate) const PSH: u8 = 0x08;

const ACK: u8 = 0x10;
/// Congestion flags; they do not keep segments apart that all have them.
const ECE: u8 = 0x40;
const CWR: u8 = 0x80;

/// A frame as a segment.
#[derive(Clone, Copy)]
pub(crate) struct Segment<'a> {
    pub(crate) frame: &'a [u8],
    /// The IP packet that it is in.
    pub(crate) ip: Ip,
    /// The one around that, if it came through a tunnel.
    pub(crate) tunnel: Option<Ip>,
    /// Bytes of the VLAN tag that the driver does not see.
    pub(crate) tag: usize,
    /// Offset of the payload.
    pub(crate) data: usize,
}

impl<'a> Segment<'a> {
    /// Returns a frame as a segment, if it is one of TCP.
    pub(crate) fn of(frame: &'a [u8], outer: &Ip, tagged: bool) -> Option<Self> {
        // What follows the inner packet would come between segments that are joined.
        let inner = outer.inner(frame).filter(|inner| inner.end == outer.end);
        let (ip, tunnel) = inner.map_or((*outer, None), |inner| (inner, Some(*outer)));
        let header = frame[..ip.end].get(ip.payload..ip.payload + TCP_HEADER)?;
        let length = usize::from(header[12] >> 4) * 4;
        let data = ip.payload + length;
        let is_segment = ip.protocol == TCP && !ip.fragment;
        (is_segment && length >= TCP_HEADER && data <= ip.end).then_some(Self {
            frame,
            ip,
            tunnel,
            tag: if tagged { VLAN_TAG } else { 0 },
            data,
        })
    }

    /// Returns its data.
    pub(crate) fn payload(&self) -> &'a [u8] {
        &self.frame[self.data..self.ip.end]
    }

    /// Returns the TCP header.
    pub(crate) fn tcp(&self) -> &'a [u8] {
        &self.frame[self.ip.payload..self.data]
    }

    /// Returns the frame without padding and tag.
    pub(crate) fn parts(&self) -> [&'a [u8]; 2] {
        if self.tag > 0 {
            [&self.frame[..12], &self.frame[12 + self.tag..self.ip.end]]
        } else {
            [&self.frame[..self.ip.end], &[]]
        }
    }

    /// Returns the sequence number.
    pub(crate) fn sequence(&self) -> u32 {
        number32(self.tcp(), 4)
    }

    /// Returns whether the sender has no more for now.
    pub(crate) fn pushes(&self) -> bool {
        self.tcp()[13] & PSH != 0
    }

    /// Returns whether the sender says that it slowed down: of segments that are joined only the first may.
    pub(crate) fn is_congested(&self) -> bool {
        self.tcp()[13] & CWR != 0
    }

    /// Returns whether it may be joined with others; `verdict` is that on the checksums of its frame.
    pub(crate) fn can_join(&self, verdict: Verdict) -> bool {
        let is_right = match self.tunnel {
            None => verdict == Verdict::Right,
            // That of the frame is on the header of the tunnel alone.
            Some(_) => verdict != Verdict::Wrong && self.ip.verdict(self.frame) == Verdict::Right,
        };
        let plain = self.ip.v6 || self.ip.header(self.frame).len() == 20;
        let flags = self.tcp()[13] & !(PSH | ECE | CWR);
        is_right && plain && flags == ACK && !self.payload().is_empty()
    }

    /// Returns a number that is the same for all segments of a connection.
    pub(crate) fn key(&self) -> u64 {
        // FNV-1a. Whoever finds two connections with the same key can keep them from being joined.
        let tunnel = self.tunnel.map(|ip| ip.addresses(self.frame));
        let addresses = self.ip.addresses(self.frame);
        let bytes = tunnel.unwrap_or_default().iter().chain(addresses);
        bytes
            .chain(&self.tcp()[..4])
            .fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
                (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3)
            })
    }
}

/// Reads a big-endian number of 16 bits.
pub(crate) fn number16(bytes: &[u8], at: usize) -> u16 {
    u16::from_be_bytes([bytes[at], bytes[at + 1]])
}

/// Reads a big-endian number of 32 bits.
pub(crate) fn number32(bytes: &[u8], at: usize) -> u32 {
    u32::from_be_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}
