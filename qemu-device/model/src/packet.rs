// SPDX-License-Identifier: GPL-2.0

//! What the device understands of a frame.

use crate::checksum::Sum;
use crate::mac::Mac;

/// Length of an Ethernet header without tag.
pub(crate) const ETH_HEADER: usize = 14;
/// Length of a VLAN tag.
pub(crate) const VLAN_TAG: usize = 4;
/// Protocol number of TCP.
pub(crate) const TCP: u8 = 6;
/// Protocol number of IPv4 in a tunnel.
pub(crate) const IPIP: u8 = 4;
/// Protocol number of IPv6 in a tunnel.
pub(crate) const IPV6: u8 = 41;
/// Protocol number of UDP.
pub(crate) const UDP: u8 = 17;
/// Length of a UDP header.
pub(crate) const UDP_HEADER: usize = 8;
/// Protocol number of SCTP.
pub(crate) const SCTP: u8 = 132;
/// Protocol number of ICMP for IPv4.
pub(crate) const ICMP: u8 = 1;
/// Protocol number of ICMP for IPv6.
pub(crate) const ICMP6: u8 = 58;

/// EtherType of MAC control.
pub(crate) const ETHERTYPE_CONTROL: u16 = 0x8808;
const ETHERTYPE_IPV4: u16 = 0x0800;
const ETHERTYPE_IPV6: u16 = 0x86dd;
const ETHERTYPE_VLAN: u16 = 0x8100;

/// Extension headers of IPv6 that are walked over.
const MAX_EXTENSIONS: usize = 8;

/// Returns the destination address of a frame, which must have an Ethernet header.
pub(crate) fn destination(frame: &[u8]) -> Mac {
    Mac(array(frame, 0).unwrap_or_default())
}

/// Returns the source address of a frame, which must have an Ethernet header.
pub(crate) fn source(frame: &[u8]) -> Mac {
    Mac(array(frame, 6).unwrap_or_default())
}

/// Returns the tag control information of a frame's outermost VLAN tag, if it has one.
pub(crate) fn vlan(frame: &[u8]) -> Option<u16> {
    (number(frame, 12)? == ETHERTYPE_VLAN).then(|| number(frame, 14))?
}

/// The bytes of an 802.1Q tag.
pub(crate) fn vlan_tag(tci: u16) -> [u8; VLAN_TAG] {
    let [a, b] = ETHERTYPE_VLAN.to_be_bytes();
    let [c, d] = tci.to_be_bytes();
    [a, b, c, d]
}

/// Where the IP packet of a frame is, and what it carries. All offsets lie within the frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ip {
    /// Whether it is IPv6.
    pub(crate) v6: bool,
    /// Offset of the IP header.
    pub(crate) start: usize,
    /// Offset of what follows the IP header and its extensions.
    pub(crate) payload: usize,
    /// Offset of the end of the IP packet; what follows is padding.
    pub(crate) end: usize,
    /// Protocol of the payload.
    pub(crate) protocol: u8,
    /// Whether this is a fragment.
    pub(crate) fragment: bool,
    /// Whether this is a fragment, and the first one.
    pub(crate) first_fragment: bool,
}

/// What can be said of the checksums of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// There are none that the device knows of.
    Unknown,
    /// All are right.
    Right,
    /// One is wrong.
    Wrong,
}

impl Ip {
    /// Finds the IP packet of a frame, behind at most two VLAN tags.
    pub(crate) fn find(frame: &[u8]) -> Option<Self> {
        match network_header(frame)? {
            (start, false) => Self::v4(frame, start),
            (start, true) => Self::v6(frame, start),
        }
    }

    fn v4(frame: &[u8], start: usize) -> Option<Self> {
        let header: [u8; 20] = array(frame, start)?;
        let length = usize::from(header[0] & 0xf) * 4;
        let total = usize::from(u16::from_be_bytes([header[2], header[3]]));
        let end = start + total;
        let well_formed = header[0] >> 4 == 4 && length >= 20 && total >= length;
        let piece = u16::from_be_bytes([header[6], header[7]]);
        // More fragments, or an offset.
        let fragment = piece & 0x3fff != 0;
        (well_formed && end <= frame.len()).then_some(Self {
            v6: false,
            start,
            payload: start + length,
            end,
            protocol: header[9],
            fragment,
            first_fragment: fragment && piece & 0x1fff == 0,
        })
    }

    fn v6(frame: &[u8], start: usize) -> Option<Self> {
        let header: [u8; 40] = array(frame, start)?;
        let mut payload = start + 40;
        let end = payload + usize::from(u16::from_be_bytes([header[4], header[5]]));
        if header[0] >> 4 != 6 || end > frame.len() {
            return None;
        }
        let mut protocol = header[6];
        let (mut fragment, mut first_fragment) = (false, false);
        for _ in 0..MAX_EXTENSIONS {
            let extension = match protocol {
                // Hop-by-hop options, routing, fragment, destination options.
                0 | 43 | 44 | 60 => array::<8>(&frame[..end], payload)?,
                _ => break,
            };
            let length = match protocol {
                44 => {
                    let piece = u16::from_be_bytes([extension[2], extension[3]]);
                    fragment |= piece & 0xfff9 != 0;
                    first_fragment = fragment && piece & 0xfff8 == 0;
                    8
                }
                _ => 8 * (1 + usize::from(extension[1])),
            };
            protocol = extension[0];
            payload += length;
        }
        (payload <= end).then_some(Self {
            v6: true,
            start,
            payload,
            end,
            protocol,
            fragment,
            first_fragment,
        })
    }

    /// Returns the IP packet that this one carries, if it is that of a tunnel. Its own header has
    /// neither options nor extensions.
    pub(crate) fn inner(&self, frame: &[u8]) -> Option<Self> {
        let header = if self.v6 { 40 } else { 20 };
        if self.fragment || self.payload - self.start != header {
            return None;
        }
        match self.protocol {
            IPIP => Self::v4(&frame[..self.end], self.payload),
            IPV6 => Self::v6(&frame[..self.end], self.payload),
            _ => None,
        }
    }

    /// Returns the bytes of the header, with its options or extensions.
    pub(crate) fn header<'a>(&self, frame: &'a [u8]) -> &'a [u8] {
        &frame[self.start..self.payload]
    }

    /// Returns the bytes of both addresses.
    pub(crate) fn addresses<'a>(&self, frame: &'a [u8]) -> &'a [u8] {
        let (offset, length) = if self.v6 { (8, 32) } else { (12, 8) };
        frame
            .get(self.start + offset..self.start + offset + length)
            .unwrap_or_default()
    }

    /// Returns the type of service of IPv4, or the traffic class of IPv6.
    pub(crate) fn traffic_class(&self, frame: &[u8]) -> u8 {
        let [first, second] = array(frame, self.start).unwrap_or_default();
        if self.v6 {
            first << 4 | second >> 4
        } else {
            second
        }
    }

    /// Returns the flow label of IPv6, in network order.
    pub(crate) fn flow_label(&self, frame: &[u8]) -> [u8; 4] {
        let [_, a, b, c] = array(frame, self.start).unwrap_or_default();
        [0, a & 0xf, b, c]
    }

    /// Returns the bytes of both ports, of TCP or UDP that is not a fragment.
    pub(crate) fn ports<'a>(&self, frame: &'a [u8]) -> Option<&'a [u8]> {
        let has_ports = !self.fragment && [TCP, UDP].contains(&self.protocol);
        has_ports.then(|| frame[..self.end].get(self.payload..self.payload + 4))?
    }

    /// Checks the checksum of the IPv4 header and that of TCP or UDP.
    pub(crate) fn verdict(&self, frame: &[u8]) -> Verdict {
        if !self.v6
            && !Sum::default()
                .bytes(&frame[self.start..self.payload])
                .is_right()
        {
            return Verdict::Wrong;
        }
        let segment = &frame[self.payload..self.end];
        let field = match self.protocol {
            TCP if segment.len() >= 20 => 16,
            UDP if segment.len() >= 8 => 6,
            _ => return Verdict::Unknown,
        };
        if self.fragment {
            return Verdict::Unknown;
        }
        if self.protocol == UDP && segment[field..field + 2] == [0, 0] {
            // UDP over IPv4 may go without; over IPv6 it may not.
            return if self.v6 {
                Verdict::Wrong
            } else {
                Verdict::Unknown
            };
        }
        let sum = Sum::default()
            .pseudo(self.addresses(frame), self.protocol, segment.len())
            .bytes(segment);
        if sum.is_right() {
            Verdict::Right
        } else {
            Verdict::Wrong
        }
    }
}

/// Returns the length of all headers of a TCP segment that has data.
pub(crate) fn tcp_headers(frame: &[u8]) -> Option<usize> {
    let ip = Ip::find(frame).filter(|ip| ip.protocol == TCP && !ip.fragment)?;
    let words = frame[..ip.end].get(ip.payload + 12)? >> 4;
    let headers = ip.payload + usize::from(words) * 4;
    (words >= 5 && headers < ip.end).then_some(headers)
}

/// Returns the offset of the IP header, behind at most two VLAN tags, and whether it is IPv6, going
/// by the Ethernet header alone.
pub(crate) fn network_header(frame: &[u8]) -> Option<(usize, bool)> {
    let mut start = ETH_HEADER;
    for _ in 0..2 {
        if number(frame, start - 2)? == ETHERTYPE_VLAN {
            start += VLAN_TAG;
        }
    }
    match number(frame, start - 2)? {
        ETHERTYPE_IPV4 => Some((start, false)),
        ETHERTYPE_IPV6 => Some((start, true)),
        _ => None,
    }
}

/// Reads a big-endian number.
pub(crate) fn number(bytes: &[u8], at: usize) -> Option<u16> {
    array(bytes, at).map(u16::from_be_bytes)
}

/// Copies bytes out.
fn array<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..)?.first_chunk().copied()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::testing::frame;

    #[test]
    fn tcp_over_ipv4_is_found_and_right() {
        let bytes = frame::tcp4(b"payload");
        let ip = Ip::find(&bytes).unwrap();
        assert_eq!(
            ip,
            Ip {
                v6: false,
                start: 14,
                payload: 34,
                end: 61,
                protocol: TCP,
                fragment: false,
                first_fragment: false
            }
        );
        assert_eq!(ip.verdict(&bytes), Verdict::Right);
    }

    #[test]
    fn headers_of_tcp_end_where_its_data_begins() {
        assert_eq!(tcp_headers(&frame::tcp4(b"payload")), Some(54));
        assert_eq!(tcp_headers(&frame::tcp6(b"payload")), Some(74));
        // Without data, and without TCP.
        assert_eq!(tcp_headers(&frame::tcp4(b"")), None);
        assert_eq!(tcp_headers(&frame::udp4(b"payload")), None);
        // A header that ends behind the packet, and one that is too short.
        for words in [0xf0, 0x40] {
            let mut bytes = frame::tcp4(b"payload");
            bytes[34 + 12] = words;
            assert_eq!(tcp_headers(&bytes), None);
        }
    }

    #[test]
    fn padding_is_not_summed() {
        let mut bytes = frame::udp4(b"x");
        bytes.extend([0xaa; 17]);
        assert_eq!(Ip::find(&bytes).unwrap().verdict(&bytes), Verdict::Right);
    }

    #[test]
    fn every_flipped_bit_behind_the_header_is_noticed() {
        let good = frame::tcp6(b"some payload");
        let ip = Ip::find(&good).unwrap();
        for at in ip.payload * 8..ip.end * 8 {
            let mut bad = good.clone();
            bad[at / 8] ^= 1 << (at % 8);
            assert_eq!(ip.verdict(&bad), Verdict::Wrong, "bit {at}");
        }
    }

    #[test]
    fn udp_without_checksum_is_unknown_over_ipv4_and_wrong_over_ipv6() {
        for (mut bytes, verdict) in [
            (frame::udp4(b"x"), Verdict::Unknown),
            (frame::udp6(b"x"), Verdict::Wrong),
        ] {
            let at = Ip::find(&bytes).unwrap().payload + 6;
            bytes[at..at + 2].fill(0);
            assert_eq!(Ip::find(&bytes).unwrap().verdict(&bytes), verdict);
        }
    }

    #[test]
    fn packet_behind_a_tag_is_found() {
        let mut bytes = frame::tcp4(b"payload");
        bytes.splice(12..12, vlan_tag(0x2005));
        assert_eq!(vlan(&bytes), Some(0x2005));
        let ip = Ip::find(&bytes).unwrap();
        assert_eq!(ip.start, 18);
        assert_eq!(ip.verdict(&bytes), Verdict::Right);
    }

    #[test]
    fn extension_headers_are_walked_and_fragments_seen() {
        let mut bytes = frame::udp6(b"abc");
        // Destination options of 8 bytes, then a fragment header, both in front of UDP.
        bytes.splice(54..54, [44, 0, 1, 4, 0, 0, 0, 0, UDP, 0, 0, 1, 0, 0, 0, 7]);
        bytes[20] = 60;
        let length = u16::from_be_bytes([bytes[18], bytes[19]]) + 16;
        bytes[18..20].copy_from_slice(&length.to_be_bytes());
        let ip = Ip::find(&bytes).unwrap();
        assert_eq!((ip.payload, ip.protocol, ip.fragment), (70, UDP, true));
        assert_eq!(ip.verdict(&bytes), Verdict::Unknown);
        assert_eq!(ip.ports(&bytes), None);
    }

    proptest! {
        #[test]
        fn no_bytes_upset_the_parser(
            mut bytes in proptest::collection::vec(any::<u8>(), 14..120),
            ethertype in prop_oneof![Just(0x0800u16), Just(0x86dd), Just(0x8100), any::<u16>()],
            version in prop_oneof![Just(0x45u8), Just(0x60), any::<u8>()],
        ) {
            bytes[12..14].copy_from_slice(&ethertype.to_be_bytes());
            if let Some(byte) = bytes.get_mut(14) {
                *byte = version;
            }
            if let Some(ip) = Ip::find(&bytes) {
                for ip in [Some(ip), ip.inner(&bytes)].into_iter().flatten() {
                    prop_assert!(ip.start < ip.payload && ip.payload <= ip.end);
                    prop_assert!(ip.end <= bytes.len());
                    let _ = ip.verdict(&bytes);
                }
                prop_assert!(ip.end <= bytes.len());
                let _ = (ip.verdict(&bytes), ip.ports(&bytes));
                prop_assert!(!ip.addresses(&bytes).is_empty());
            }
            prop_assert!(tcp_headers(&bytes).is_none_or(|length| length < bytes.len()));
            let _ = vlan(&bytes);
        }
    }
}
