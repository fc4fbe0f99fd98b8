// SPDX-License-Identifier: GPL-2.0

//! Fields of a frame as rules and filters see them, and what they must be.

use ferrite_abi::cmd::{
    Fragment,
    RuleKey, //
};
use ferrite_abi::wire::{
    IntoBytes,
    U16, //
};
use zerocopy::FromZeros;

use crate::packet::{
    destination,
    number,
    source,
    vlan,
    Ip,
    ETH_HEADER,
    ICMP,
    ICMP6,
    SCTP,
    TCP,
    UDP,
    VLAN_TAG, //
};
use crate::save::{
    LoadError,
    Reader,
    Saved,
    Writer, //
};

/// Words of a [`RuleKey`].
const WORDS: usize = size_of::<RuleKey>() / 8;

/// Fields of a frame, and which of them it has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Flow {
    words: [u64; WORDS],
    /// All bits of the fields that the frame has.
    present: [u64; WORDS],
}

impl Flow {
    /// Takes the fields of a frame, which must have an Ethernet header; `ip` is the IP packet in it.
    pub(crate) fn of(frame: &[u8], ip: Option<&Ip>) -> Self {
        let mut key = RuleKey::new_zeroed();
        let mut present = RuleKey::new_zeroed();
        key.dst_mac = destination(frame).0;
        key.src_mac = source(frame).0;
        present.dst_mac = [0xff; 6];
        present.src_mac = [0xff; 6];
        present.eth_type = ALL;
        present.tagged = 0xff;
        let mut eth_type = 12;
        if let Some(tci) = vlan(frame) {
            key.tagged = 1;
            key.vlan_tci = U16::new(tci);
            present.vlan_tci = ALL;
            eth_type += VLAN_TAG;
        }
        key.eth_type = U16::new(number(frame, eth_type).unwrap_or_default());
        // Behind one tag at most.
        let ip = ip.filter(|ip| ip.start <= ETH_HEADER + VLAN_TAG);
        if let Some(ip) = ip {
            network(frame, ip, &mut key, &mut present);
        }
        Self {
            words: words(&key),
            present: words(&present),
        }
    }

    /// Returns what of this some patterns look at.
    #[must_use]
    pub(crate) fn only(mut self, counted: &Counted) -> Self {
        let fields = self.words.iter_mut().zip(&mut self.present);
        for ((word, present), counted) in fields.zip(&counted.0) {
            *word &= counted;
            *present &= counted;
        }
        self
    }

    /// Returns a number that differs for different flows most of the time.
    pub(crate) fn hash(&self) -> u64 {
        self.words.iter().fold(0, |hash, word| {
            (hash.rotate_left(23) ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15)
        })
    }
}

const ALL: U16 = U16::new(0xffff);

/// Takes the fields of layers 3 and 4.
fn network(frame: &[u8], ip: &Ip, key: &mut RuleKey, present: &mut RuleKey) {
    key.ip_proto = ip.protocol;
    key.tos = ip.traffic_class(frame);
    key.ttl = frame
        .get(ip.start + if ip.v6 { 7 } else { 8 })
        .copied()
        .unwrap_or_default();
    present.ip_proto = 0xff;
    present.tos = 0xff;
    present.ttl = 0xff;
    present.fragment = 0xff;
    if ip.fragment {
        key.fragment |= Fragment::FRAGMENT.0;
    }
    if ip.first_fragment {
        key.fragment |= Fragment::FIRST.0;
    }
    let addresses = ip.addresses(frame);
    let (src, dst) = addresses.split_at(addresses.len() / 2);
    key.src_ip[..src.len()].copy_from_slice(src);
    key.dst_ip[..dst.len()].copy_from_slice(dst);
    present.src_ip[..src.len()].fill(0xff);
    present.dst_ip[..dst.len()].fill(0xff);
    if ip.fragment && !ip.first_fragment {
        return;
    }
    let segment = &frame[ip.payload..ip.end];
    let header = match ip.protocol {
        TCP => 20,
        UDP | ICMP => 8,
        SCTP => 12,
        ICMP6 => 4,
        _ => return,
    };
    if segment.len() < header {
        return;
    }
    let word = |at| U16::new(number(segment, at).unwrap_or_default());
    key.src_port = word(0);
    present.src_port = ALL;
    if [ICMP, ICMP6].contains(&ip.protocol) {
        return;
    }
    key.dst_port = word(2);
    present.dst_port = ALL;
    if ip.protocol == TCP {
        key.tcp_flags = U16::new(word(12).get() & TCP_FLAGS);
        present.tcp_flags = ALL;
    }
}

/// Bits of [`RuleKey::tcp_flags`].
const TCP_FLAGS: u16 = 0xfff;

/// What a frame must look like.
#[derive(Clone, Debug)]
pub(crate) struct Pattern {
    key: RuleKey,
    mask: RuleKey,
    /// The bits of `key` that count.
    wanted: [u64; WORDS],
    /// The bits of `mask`.
    counted: [u64; WORDS],
}

impl Pattern {
    /// Makes a pattern of the fields and of the bits of them that count. [`None`] if reserved bytes
    /// are not zero.
    pub(crate) fn new(key: RuleKey, mask: RuleKey) -> Option<Self> {
        let clean = |key: &RuleKey| key.rsvd == [0; 3] && key.rsvd2 == [0; 2];
        if !clean(&key) || !clean(&mask) {
            return None;
        }
        let counted = words(&mask);
        let mut wanted = words(&key);
        for (word, mask) in wanted.iter_mut().zip(counted) {
            *word &= mask;
        }
        Some(Self {
            key,
            mask,
            wanted,
            counted,
        })
    }

    /// Returns what the fields must be.
    pub(crate) fn key(&self) -> &RuleKey {
        &self.key
    }

    /// Returns the bits of the fields that count.
    pub(crate) fn mask(&self) -> &RuleKey {
        &self.mask
    }

    /// Returns whether a frame has all fields of which a bit counts, and they are as they must be.
    pub(crate) fn fits(&self, flow: &Flow) -> bool {
        let words = flow.words.iter().zip(&flow.present);
        let pattern = self.wanted.iter().zip(&self.counted);
        words
            .zip(pattern)
            .all(|((word, present), (wanted, counted))| {
                (word ^ wanted) & counted == 0 && counted & !present == 0
            })
    }
}

/// The bits that count for any of some patterns.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Counted([u64; WORDS]);

impl Counted {
    /// Adds those of a pattern.
    pub(crate) fn add(&mut self, pattern: &Pattern) {
        for (all, counted) in self.0.iter_mut().zip(pattern.counted) {
            *all |= counted;
        }
    }
}

impl Saved for Pattern {
    fn save(&self, writer: &mut Writer) {
        writer.bytes(self.key.as_bytes());
        writer.bytes(self.mask.as_bytes());
    }

    fn load(reader: &mut Reader<'_>) -> Result<Self, LoadError> {
        let (key, mask) = (Saved::load(reader)?, Saved::load(reader)?);
        Self::new(key, mask).ok_or(LoadError::Invalid("pattern"))
    }
}

/// Returns the fields as words. Their order does not matter, but that it is always the same.
fn words(key: &RuleKey) -> [u64; WORDS] {
    let mut words = [0; WORDS];
    for (word, bytes) in words.iter_mut().zip(key.as_bytes().chunks_exact(8)) {
        // PANIC: the chunks are that long.
        *word = u64::from_ne_bytes(bytes.try_into().expect("eight bytes"));
    }
    words
}

#[cfg(test)]
mod tests {
    use ferrite_abi::wire::FromBytes;
    use proptest::prelude::*;

    use super::*;
    use crate::packet::vlan_tag;
    use crate::testing::frame;

    fn flow(frame: &[u8]) -> Flow {
        Flow::of(frame, Ip::find(frame).as_ref())
    }

    fn fields(frame: &[u8]) -> RuleKey {
        let mut bytes = Vec::new();
        for word in flow(frame).words {
            bytes.extend(word.to_ne_bytes());
        }
        RuleKey::read_from_bytes(&bytes).unwrap()
    }

    /// Returns whether a frame fits one byte of a pattern.
    fn fits(frame: &[u8], set: impl Fn(&mut RuleKey, u8), value: u8, mask: u8) -> bool {
        let (mut key, mut counted) = (RuleKey::new_zeroed(), RuleKey::new_zeroed());
        set(&mut key, value);
        set(&mut counted, mask);
        Pattern::new(key, counted).unwrap().fits(&flow(frame))
    }

    #[test]
    fn fields_are_those_of_the_frame() {
        let mut bytes = frame::tcp4(b"x");
        bytes[15] = 0xb8;
        bytes[47] = 0x12;
        bytes[46] = 0x51;
        bytes.splice(12..12, vlan_tag(0x2005));
        let key = fields(&bytes);
        assert_eq!(key.dst_mac, frame::DESTINATION);
        assert_eq!(key.src_mac, frame::SOURCE);
        assert_eq!((key.tagged, key.vlan_tci.get()), (1, 0x2005));
        assert_eq!((key.eth_type.get(), key.ip_proto), (0x0800, 6));
        assert_eq!((key.tos, key.ttl, key.fragment), (0xb8, 64, 0));
        assert_eq!(key.src_ip[..5], [192, 0, 2, 1, 0]);
        assert_eq!(key.dst_ip[..5], [192, 0, 2, 2, 0]);
        assert_eq!((key.src_port.get(), key.dst_port.get()), (40000, 80));
        assert_eq!(key.tcp_flags.get(), 0x112);
    }

    #[test]
    fn fields_of_ipv6_are_found() {
        let mut bytes = frame::udp6(b"x");
        bytes[14..18].copy_from_slice(&[0x6b, 0x8f, 0xff, 0xff]);
        let key = fields(&bytes);
        assert_eq!((key.eth_type.get(), key.ip_proto), (0x86dd, 17));
        assert_eq!((key.tos, key.ttl, key.tagged), (0xb8, 64, 0));
        assert_eq!(key.src_ip[..4], [0x20, 0x01, 0x0d, 0xb8]);
        assert_eq!((key.src_ip[15], key.dst_ip[15]), (1, 2));
        assert_eq!((key.src_port.get(), key.dst_port.get()), (40000, 53));
    }

    #[test]
    fn fragments_have_ports_in_the_first_piece_only() {
        let mut bytes = frame::udp4(b"x");
        bytes[20..22].copy_from_slice(&0x2000u16.to_be_bytes());
        let first = fields(&bytes);
        assert_eq!((first.fragment, first.dst_port.get()), (3, 53));
        bytes[20..22].copy_from_slice(&0x2001u16.to_be_bytes());
        let second = fields(&bytes);
        assert_eq!((second.fragment, second.dst_port.get()), (1, 0));
    }

    #[test]
    fn fields_behind_two_tags_are_not_seen() {
        let mut bytes = frame::udp4(b"x");
        bytes.splice(12..12, vlan_tag(7));
        bytes.splice(12..12, vlan_tag(9));
        let key = fields(&bytes);
        assert_eq!((key.vlan_tci.get(), key.eth_type.get()), (9, 0x8100));
        assert_eq!((key.ip_proto, key.dst_port.get()), (0, 0));
    }

    #[test]
    fn header_that_is_cut_has_no_ports() {
        let whole = frame::tcp4(b"");
        for missing in [0, 1, 17] {
            let mut bytes = whole[..whole.len() - missing].to_vec();
            bytes[17] -= missing as u8;
            let expected = if missing == 0 { 80 } else { 0 };
            assert_eq!(fields(&bytes).dst_port.get(), expected);
        }
    }

    #[test]
    fn icmp_has_type_and_code() {
        let mut bytes = frame::udp4(b"x");
        bytes[23] = ICMP;
        bytes[34..36].copy_from_slice(&[3, 1]);
        let key = fields(&bytes);
        assert_eq!((key.src_port.get(), key.dst_port.get()), (0x0301, 0));
    }

    #[test]
    fn only_bits_that_count_are_compared() {
        let bytes = frame::udp4(b"x");
        let host = |key: &mut RuleKey, byte| key.src_ip[3] = byte;
        assert!(fits(&bytes, host, 1, 0xff));
        assert!(!fits(&bytes, host, 2, 0xff));
        assert!(fits(&bytes, host, 0xf1, 0x0f));
        assert!(fits(&bytes, host, 0xee, 0));
    }

    #[test]
    fn field_that_the_frame_does_not_have_fits_no_pattern() {
        let tci = |key: &mut RuleKey, byte: u8| key.vlan_tci = U16::new(byte.into());
        let port = |key: &mut RuleKey, byte: u8| key.dst_port = U16::new(byte.into());
        let flags = |key: &mut RuleKey, byte: u8| key.tcp_flags = U16::new(byte.into());
        let address = |key: &mut RuleKey, byte| key.dst_ip[15] = byte;
        let piece = |key: &mut RuleKey, byte| key.fragment = byte;
        let (udp, plain) = (frame::udp4(b"x"), frame::plain([2; 6], [4; 6], &[0; 46]));
        assert!(!fits(&udp, tci, 0, 1));
        assert!(!fits(&udp, flags, 0, 1));
        assert!(!fits(&udp, address, 0, 1));
        assert!(fits(&udp, piece, 0, 3));
        assert!(!fits(&plain, piece, 0, 3));
        assert!(!fits(&plain, port, 0, 1));
        assert!(fits(&frame::tcp4(b""), flags, 0, 2));
    }

    #[test]
    fn reserved_bytes_make_no_pattern() {
        let zero = RuleKey::new_zeroed();
        let (mut one, mut other) = (zero, zero);
        one.rsvd[2] = 1;
        other.rsvd2[0] = 1;
        for bad in [one, other] {
            assert!(Pattern::new(bad, zero).is_none());
            assert!(Pattern::new(zero, bad).is_none());
        }
    }

    proptest! {
        #[test]
        fn every_frame_fits_what_it_has(
            mut bytes in proptest::collection::vec(any::<u8>(), 14..120),
            known in 0..5u8,
            mask in proptest::array::uniform::<_, 60>(any::<u8>()),
            flipped in 0..480usize,
        ) {
            bytes = match known {
                0 => frame::tcp4(&bytes),
                1 => frame::udp6(&bytes),
                2 => {
                    let mut bytes = frame::tcp6(&bytes);
                    bytes.splice(12..12, vlan_tag(7));
                    bytes
                }
                _ => bytes,
            };
            let found = flow(&bytes);
            let mut counted = RuleKey::new_zeroed();
            counted.as_mut_bytes()[..60].copy_from_slice(&mask);
            counted.rsvd = [0; 3];
            let present = {
                let mut bytes = Vec::new();
                for (mask, present) in words(&counted).iter().zip(found.present) {
                    bytes.extend((mask & present).to_ne_bytes());
                }
                RuleKey::read_from_bytes(&bytes).unwrap()
            };
            let key = fields(&bytes);
            prop_assert!(Pattern::new(key, present).unwrap().fits(&found));
            // A bit more or less: it fits exactly if the bit does not count.
            let mut other = key;
            other.as_mut_bytes()[flipped / 8] ^= 1 << (flipped % 8);
            if other.rsvd == [0; 3] {
                let counts = present.as_bytes()[flipped / 8] & 1 << (flipped % 8) != 0;
                prop_assert_eq!(Pattern::new(other, present).unwrap().fits(&found), !counts);
            }
        }
    }
}
