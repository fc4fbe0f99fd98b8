// SPDX-License-Identifier: GPL-2.0

//! Segmentation of TCP and UDP packets.

use ferrite_abi::ids::MAX_MTU;

use crate::checksum::Sum;
use crate::packet::{
    network_header,
    ETH_HEADER,
    TCP,
    UDP,
    VLAN_TAG, //
};

/// Smallest payload of a segment that may be asked for, so that a packet makes no more segments
/// than a few thousand.
pub(crate) const MIN_MSS: usize = 16;

const TCP_SEQUENCE: usize = 4;
const TCP_FLAGS: usize = 13;
const FIN: u8 = 0x01;
const PSH: u8 = 0x08;
const CWR: u8 = 0x80;

/// A packet that is cut into segments.
#[derive(Debug)]
pub(crate) struct Segments<'a> {
    headers: &'a [u8],
    payload: &'a [u8],
    mss: usize,
    /// Offsets of the IP and of the TCP or UDP header.
    l3: usize,
    l4: usize,
    v6: bool,
    protocol: u8,
    /// Bytes of the payload that were cut off.
    cut: usize,
}

impl<'a> Segments<'a> {
    /// Prepares to cut `frame`, whose TCP or UDP header begins at `l4`, has its checksum at
    /// `checksum` from there, and ends at `headers`. Returns [`None`] for what cannot be cut like
    /// this.
    pub(crate) fn new(
        frame: &'a [u8],
        headers: usize,
        mss: usize,
        l4: usize,
        checksum: usize,
    ) -> Option<Self> {
        let (headers, payload) = frame.split_at_checked(headers)?;
        let (l3, v6) = network_header(headers)?;
        let protocol = match checksum {
            16 => TCP,
            6 => UDP,
            _ => return None,
        };
        let l4_header = headers.get(l4..)?;
        let network = headers.get(l3..l4)?;
        let fits = if v6 {
            network.len() >= 40 && network[0] >> 4 == 6
        } else {
            network.len() >= 20
                && network[0] >> 4 == 4
                && usize::from(network[0] & 0xf) * 4 == network.len()
                && network[9] == protocol
        };
        let whole = match protocol {
            TCP => l4_header.len() >= 20 && usize::from(l4_header[12] >> 4) * 4 == l4_header.len(),
            _ => l4_header.len() == 8,
        };
        let longest = headers.len() + mss;
        (fits
            && whole
            && !payload.is_empty()
            && mss >= MIN_MSS
            && longest <= usize::from(MAX_MTU) + ETH_HEADER + 2 * VLAN_TAG)
            .then_some(Self {
                headers,
                payload,
                mss,
                l3,
                l4,
                v6,
                protocol,
                cut: 0,
            })
    }

    /// Puts the next segment in place of what `out` holds, if there is one.
    pub(crate) fn next_into(&mut self, out: &mut Vec<u8>) -> bool {
        let rest = &self.payload[self.cut..];
        if rest.is_empty() {
            return false;
        }
        let payload = &rest[..rest.len().min(self.mss)];
        let (is_first, is_last) = (self.cut == 0, payload.len() == rest.len());
        out.clear();
        out.extend_from_slice(self.headers);
        out.extend_from_slice(payload);
        self.set_network_header(out);
        let (network, segment) = out.split_at_mut(self.l4);
        // CAST: a segment is no longer than the largest MTU.
        let length = segment.len() as u16;
        let checksum = if self.protocol == TCP {
            let sequence = number32(segment, TCP_SEQUENCE).wrapping_add(self.cut as u32);
            segment[TCP_SEQUENCE..TCP_SEQUENCE + 4].copy_from_slice(&sequence.to_be_bytes());
            if !is_last {
                segment[TCP_FLAGS] &= !(FIN | PSH);
            }
            if !is_first {
                segment[TCP_FLAGS] &= !CWR;
            }
            16
        } else {
            segment[4..6].copy_from_slice(&length.to_be_bytes());
            6
        };
        segment[checksum..checksum + 2].fill(0);
        let addresses = if self.v6 { 8..40 } else { 12..20 };
        let sum = Sum::default()
            .pseudo(&network[self.l3..][addresses], self.protocol, segment.len())
            .bytes(segment);
        segment[checksum..checksum + 2].copy_from_slice(&sum.checksum().to_be_bytes());
        self.cut += payload.len();
        true
    }

    /// Sets length, identification and checksum of the IP header.
    fn set_network_header(&self, out: &mut [u8]) {
        let length = out.len() - self.l3;
        let header = &mut out[self.l3..self.l4];
        if self.v6 {
            // CAST: a segment is no longer than the largest MTU.
            header[4..6].copy_from_slice(&((length - 40) as u16).to_be_bytes());
        } else {
            header[2..4].copy_from_slice(&(length as u16).to_be_bytes());
            let nth = (self.cut / self.mss) as u16;
            let id = u16::from_be_bytes([header[4], header[5]]).wrapping_add(nth);
            header[4..6].copy_from_slice(&id.to_be_bytes());
            header[10..12].fill(0);
            let checksum = Sum::default().bytes(header).checksum();
            header[10..12].copy_from_slice(&checksum.to_be_bytes());
        }
    }
}

fn number32(bytes: &[u8], at: usize) -> u32 {
    u32::from_be_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::packet::{
        Ip,
        Verdict, //
    };
    use crate::testing::frame;

    /// Cuts a frame made by [`frame`] and returns the segments.
    fn cut(bytes: &[u8], mss: usize) -> Option<Vec<Vec<u8>>> {
        let ip = Ip::find(bytes).unwrap();
        let (header, checksum) = if ip.protocol == TCP { (20, 16) } else { (8, 6) };
        let mut segments = Segments::new(bytes, ip.payload + header, mss, ip.payload, checksum)?;
        let (mut all, mut out) = (Vec::new(), Vec::new());
        while segments.next_into(&mut out) {
            all.push(out.clone());
        }
        Some(all)
    }

    #[test]
    fn sequence_flags_and_identification_go_on() {
        let mut bytes = frame::tcp4(&[7; 100]);
        bytes[34 + TCP_FLAGS] |= FIN | PSH | CWR;
        let all = cut(&bytes, 40).unwrap();
        let lengths: Vec<_> = all.iter().map(|segment| segment.len() - 54).collect();
        assert_eq!(lengths, [40, 40, 20]);
        let flags: Vec<_> = all
            .iter()
            .map(|segment| segment[34 + TCP_FLAGS] & (FIN | PSH | CWR))
            .collect();
        assert_eq!(flags, [CWR, 0, FIN | PSH]);
        let start = number32(&bytes, 34 + TCP_SEQUENCE);
        let sequences: Vec<_> = all
            .iter()
            .map(|segment| number32(segment, 34 + TCP_SEQUENCE) - start)
            .collect();
        assert_eq!(sequences, [0, 40, 80]);
        let ids: Vec<_> = all.iter().map(|segment| segment[19] - bytes[19]).collect();
        assert_eq!(ids, [0, 1, 2]);
    }

    #[test]
    fn what_cannot_be_cut_is_refused() {
        let bytes = frame::tcp4(&[7; 100]);
        let new = |headers, mss, l4, checksum| {
            Segments::new(&bytes, headers, mss, l4, checksum).is_some()
        };
        assert!(new(54, 40, 34, 16));
        for (headers, mss, l4, checksum) in [
            (54, MIN_MSS - 1, 34, 16),
            (54, usize::from(MAX_MTU), 34, 16),
            (53, 40, 34, 16),
            (58, 40, 34, 16),
            (154, 40, 34, 16),
            (155, 40, 34, 16),
            (54, 40, 35, 16),
            (54, 40, 14, 16),
            (54, 40, 54, 16),
            (54, 40, 400, 16),
            (42, 40, 34, 6),
            (54, 40, 34, 10),
            (10, 40, 0, 16),
        ] {
            assert!(
                !new(headers, mss, l4, checksum),
                "{headers} {mss} {l4} {checksum}"
            );
        }
    }

    proptest! {
        #[test]
        fn segments_are_right_and_make_up_the_payload(
            payload in proptest::collection::vec(any::<u8>(), 1..5000),
            mss in MIN_MSS..2000,
            kind in 0..4usize,
        ) {
            let make = [frame::tcp4, frame::tcp6, frame::udp4, frame::udp6][kind];
            let bytes = make(&payload);
            let all = cut(&bytes, mss).unwrap();
            prop_assert_eq!(all.len(), payload.len().div_ceil(mss));
            let mut joined = Vec::new();
            for segment in &all {
                let ip = Ip::find(segment).unwrap();
                prop_assert_eq!(ip.end, segment.len());
                prop_assert_eq!(ip.verdict(segment), Verdict::Right);
                let header = if ip.protocol == TCP { 20 } else { 8 };
                joined.extend_from_slice(&segment[ip.payload + header..]);
            }
            prop_assert_eq!(joined, payload);
        }
    }
}
