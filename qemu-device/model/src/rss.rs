// SPDX-License-Identifier: GPL-2.0

//! Receive side scaling: the Toeplitz hash and the indirection table.

use ferrite_abi::cmd::{
    RssFields,
    RssFlow,
    RssHash,
    RssTransform,
    RSS_FLOWS,
    RSS_KEY, //
};

use ferrite_abi::mig::RssRecord;
use ferrite_abi::wire::U16;

use crate::packet::{
    Ip,
    TCP, //
};
use crate::save::{
    LoadError,
    Reader,
    Saved,
    Writer, //
};

/// Longest input of the hash: IPv6 addresses, ports and flow label.
const MAX_INPUT: usize = 40;

/// What is hashed, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Hashing {
    /// By [`RssFlow`].
    fields: [RssFields; RSS_FLOWS],
    transform: RssTransform,
}

const ADDRESSES: RssFields = RssFields::SRC_IP.with(RssFields::DST_IP);
const PORTS: RssFields = RssFields::SRC_PORT.with(RssFields::DST_PORT);

impl Hashing {
    /// Returns what `hash` stands for, `fields` being what counts with [`RssHash::FIELDS`]; [`None`]
    /// if that makes no sense.
    pub(crate) fn new(
        hash: RssHash,
        fields: [u8; RSS_FLOWS],
        transform: RssTransform,
    ) -> Option<Self> {
        let fields = if hash == RssHash::FIELDS {
            fields.map(RssFields)
        } else {
            if !KINDS.contains(hash) || fields != [0; RSS_FLOWS] {
                return None;
            }
            let of = |ip, ports| match (hash.contains(ip), hash.contains(ports)) {
                (true, true) => ADDRESSES.with(PORTS),
                (true, false) => ADDRESSES,
                (false, _) => RssFields(0),
            };
            // In the order of `RssFlow`.
            [
                of(RssHash::IPV4, RssHash::TCP),
                of(RssHash::IPV4, RssHash::UDP),
                of(RssHash::IPV6, RssHash::TCP),
                of(RssHash::IPV6, RssHash::UDP),
                of(RssHash::IPV4, RssHash::FIELDS),
                of(RssHash::IPV6, RssHash::FIELDS),
            ]
        };
        let this = Self { fields, transform };
        this.is_possible().then_some(this)
    }

    fn is_possible(&self) -> bool {
        let both = |fields: RssFields, a, b| fields.contains(a) == fields.contains(b);
        let symmetric = match self.transform {
            RssTransform::NONE => false,
            RssTransform::XOR | RssTransform::OR_XOR => true,
            _ => return false,
        };
        (0..).map(RssFlow).zip(self.fields).all(|(flow, fields)| {
            let label = match flow {
                RssFlow::TCP6 | RssFlow::UDP6 | RssFlow::IP6 => RssFields::FLOW_LABEL,
                _ => RssFields(0),
            };
            let ports = match flow {
                RssFlow::IP4 | RssFlow::IP6 => RssFields(0),
                _ => PORTS,
            };
            let paired = both(fields, RssFields::SRC_IP, RssFields::DST_IP)
                && both(fields, RssFields::SRC_PORT, RssFields::DST_PORT);
            ADDRESSES.with(ports).with(label).contains(fields) && (paired || !symmetric)
        })
    }
}

/// All that a hash without fields can say.
const KINDS: RssHash = RssHash::IPV4
    .with(RssHash::IPV6)
    .with(RssHash::TCP)
    .with(RssHash::UDP);

/// A context of receive side scaling as it was set.
#[derive(Clone, Debug)]
pub(crate) struct Rss {
    hashing: Hashing,
    key: [u8; RSS_KEY],
    /// RX queue for each value of the low bits of the hash; a power of two of them.
    queues: Vec<u16>,
    /// What each half byte of the input contributes, by position and value.
    table: Box<[[u32; 16]; 2 * MAX_INPUT]>,
}

/// What scaling makes of a packet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Scaled {
    /// RX queue.
    pub(crate) queue: u16,
    /// The hash, if the packet is of a kind that is hashed.
    pub(crate) hash: Option<u32>,
    /// Whether the hash is over ports as well.
    pub(crate) ports: bool,
}

/// The input of a hash, as it grows.
struct Input {
    bytes: [u8; MAX_INPUT],
    length: usize,
}

impl Input {
    fn push(&mut self, bytes: &[u8]) {
        // What is pushed fits: each field once.
        if let Some(to) = self.bytes.get_mut(self.length..self.length + bytes.len()) {
            to.copy_from_slice(bytes);
            self.length += bytes.len();
        }
    }

    /// Pushes those of source and destination that are wanted.
    fn push_pair(&mut self, pair: &[u8], wanted: [bool; 2], transform: RssTransform) {
        let (src, dst) = pair.split_at(pair.len() / 2);
        let (mut first, mut second) = ([0; 16], [0; 16]);
        let fields = src.iter().zip(dst);
        for ((src, dst), (first, second)) in fields.zip(first.iter_mut().zip(&mut second)) {
            (*first, *second) = match transform {
                RssTransform::XOR => (src ^ dst, src ^ dst),
                RssTransform::OR_XOR => (src | dst, src ^ dst),
                _ => (*src, *dst),
            };
        }
        for (bytes, wanted) in [first, second].iter().zip(wanted) {
            if wanted {
                self.push(&bytes[..src.len().min(bytes.len())]);
            }
        }
    }
}

impl Rss {
    /// Sets up scaling. `queues` has a power of two of entries.
    pub(crate) fn new(hashing: Hashing, key: [u8; RSS_KEY], queues: Vec<u16>) -> Self {
        let mut table = Box::new([[0; 16]; 2 * MAX_INPUT]);
        for (position, values) in table.iter_mut().enumerate() {
            for (value, contribution) in values.iter_mut().enumerate() {
                for bit in 0..4 {
                    if value & 8 >> bit != 0 {
                        *contribution ^= window(&key, 4 * position + bit);
                    }
                }
            }
        }
        Self {
            hashing,
            key,
            queues,
            table,
        }
    }

    /// Returns the context as a record of a stream, and its table.
    pub(crate) fn record(&self) -> (RssRecord, &[u16]) {
        let record = RssRecord {
            transform: U16::new(self.hashing.transform.0),
            fields: self.hashing.fields.map(|fields| fields.0),
            key: self.key,
        };
        (record, &self.queues)
    }

    /// Makes the context that a record of a stream tells of, if there can be such a context.
    pub(crate) fn restore(record: &RssRecord, queues: Vec<u16>) -> Option<Self> {
        let transform = RssTransform(record.transform.get());
        let hashing = Hashing::new(RssHash::FIELDS, record.fields, transform)?;
        let possible = queues.len().is_power_of_two();
        possible.then(|| Self::new(hashing, record.key, queues))
    }

    /// Returns the number of entries of the table.
    pub(crate) fn entries(&self) -> usize {
        self.queues.len()
    }

    /// Returns the highest queue that the table names.
    pub(crate) fn highest_queue(&self) -> u16 {
        self.queues.iter().copied().max().unwrap_or_default()
    }

    /// Decides on a packet. One that is not hashed goes where a hash of zero leads to.
    pub(crate) fn scale(&self, ip: Option<&Ip>, frame: &[u8]) -> Scaled {
        let input = ip.and_then(|ip| self.input(ip, frame));
        let hash = input
            .as_ref()
            .map(|(input, _)| self.toeplitz(&input.bytes[..input.length]));
        // CAST: the mask is less than the largest table.
        let entry = hash.unwrap_or_default() as usize & (self.queues.len().max(1) - 1);
        Scaled {
            queue: self.queues.get(entry).copied().unwrap_or_default(),
            hash,
            ports: input.is_some_and(|(_, ports)| ports),
        }
    }

    /// Returns what of a packet is hashed, if anything, and whether ports are in it.
    fn input(&self, ip: &Ip, frame: &[u8]) -> Option<(Input, bool)> {
        let ports = ip.ports(frame);
        let flow = match (ip.v6, ports.is_some(), ip.protocol == TCP) {
            (false, true, true) => RssFlow::TCP4,
            (false, true, false) => RssFlow::UDP4,
            (true, true, true) => RssFlow::TCP6,
            (true, true, false) => RssFlow::UDP6,
            (false, false, _) => RssFlow::IP4,
            (true, false, _) => RssFlow::IP6,
        };
        let fields = self.hashing.fields[usize::from(flow.0)];
        let transform = self.hashing.transform;
        let wants = |field| fields.contains(field);
        let mut input = Input {
            bytes: [0; MAX_INPUT],
            length: 0,
        };
        let addresses = [wants(RssFields::SRC_IP), wants(RssFields::DST_IP)];
        input.push_pair(ip.addresses(frame), addresses, transform);
        let wanted_ports = [wants(RssFields::SRC_PORT), wants(RssFields::DST_PORT)];
        if let Some(ports) = ports {
            input.push_pair(ports, wanted_ports, transform);
        }
        if wants(RssFields::FLOW_LABEL) {
            input.push(&ip.flow_label(frame));
        }
        let has_ports = ports.is_some() && wanted_ports != [false; 2];
        (input.length > 0).then_some((input, has_ports))
    }

    fn toeplitz(&self, input: &[u8]) -> u32 {
        self.table
            .chunks_exact(2)
            .zip(input)
            .fold(0, |hash, (halves, byte)| {
                hash ^ halves[0][usize::from(byte >> 4)] ^ halves[1][usize::from(byte & 0xf)]
            })
    }
}

/// Returns the 32 bits of the key that begin at `bit`; behind its end it begins again.
fn window(key: &[u8; RSS_KEY], bit: usize) -> u32 {
    let byte = |at: usize| u64::from(key[(bit / 8 + at) % RSS_KEY]);
    let bits = (0..5).fold(0, |bits, at| bits << 8 | byte(at));
    // CAST: the wanted 32 of the 40 bits.
    (bits >> (8 - bit % 8)) as u32
}

impl Saved for Rss {
    fn save(&self, writer: &mut Writer) {
        self.hashing.fields.map(|fields| fields.0).save(writer);
        self.hashing.transform.save(writer);
        self.key.save(writer);
        self.queues.save(writer);
    }

    fn load(reader: &mut Reader<'_>) -> Result<Self, LoadError> {
        let (fields, transform) = (Saved::load(reader)?, Saved::load(reader)?);
        let hashing = Hashing::new(RssHash::FIELDS, fields, transform)
            .ok_or(LoadError::Invalid("choice of RSS fields"))?;
        let key = Saved::load(reader)?;
        let queues: Vec<u16> = Saved::load(reader)?;
        if !queues.len().is_power_of_two() {
            return Err(LoadError::Invalid("size of the RSS table"));
        }
        Ok(Self::new(hashing, key, queues))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::testing::frame;

    /// The key of Microsoft's verification suite, which everyone's is checked with.
    const KEY: [u8; RSS_KEY] = [
        0x6d, 0x5a, 0x56, 0xda, 0x25, 0x5b, 0x0e, 0xc2, 0x41, 0x67, 0x25, 0x3d, 0x43, 0xa3, 0x8f,
        0xb0, 0xd0, 0xca, 0x2b, 0xcb, 0xae, 0x7b, 0x30, 0xb4, 0x77, 0xcb, 0x2d, 0xa3, 0x80, 0x30,
        0xf2, 0x0c, 0x6a, 0x42, 0xb7, 0x3b, 0xbe, 0xac, 0x01, 0xfa,
    ];

    const NOTHING: [u8; RSS_FLOWS] = [0; RSS_FLOWS];

    fn rss(hash: RssHash) -> Rss {
        let hashing = Hashing::new(hash, NOTHING, RssTransform::NONE).unwrap();
        Rss::new(hashing, KEY, (0..128).collect())
    }

    /// Scaling of these kinds of packets over these fields.
    fn over(fields: RssFields, flows: &[RssFlow], transform: RssTransform) -> Option<Rss> {
        let mut all = NOTHING;
        for flow in flows {
            all[usize::from(flow.0)] = fields.0;
        }
        let hashing = Hashing::new(RssHash::FIELDS, all, transform)?;
        Some(Rss::new(hashing, KEY, (0..128).collect()))
    }

    /// Bit by bit, as the definition says.
    fn reference(key: &[u8; RSS_KEY], input: &[u8]) -> u32 {
        let mut hash = 0;
        for bit in 0..8 * input.len() {
            if input[bit / 8] & 0x80 >> (bit % 8) != 0 {
                for wanted in 0..32 {
                    let at = bit + wanted;
                    let set = key[at / 8 % key.len()] & 0x80 >> (at % 8) != 0;
                    hash ^= u32::from(set) << (31 - wanted);
                }
            }
        }
        hash
    }

    fn hash(rss: &Rss, bytes: &[u8]) -> Option<u32> {
        rss.scale(Ip::find(bytes).as_ref(), bytes).hash
    }

    #[test]
    fn vectors_of_the_verification_suite() {
        // 66.9.149.187:2794 to 161.142.100.80:1766.
        let input = [66, 9, 149, 187, 161, 142, 100, 80, 0x0a, 0xea, 0x06, 0xe6];
        let rss = rss(KINDS);
        assert_eq!(rss.toeplitz(&input[..8]), 0x323e_8fc2);
        assert_eq!(rss.toeplitz(&input), 0x51cc_c178);
    }

    #[test]
    fn ports_count_where_asked_for() {
        let bytes = frame::tcp4(b"x");
        let ip = Ip::find(&bytes);
        let both = rss(KINDS).scale(ip.as_ref(), &bytes);
        let addresses = rss(RssHash::IPV4.with(RssHash::UDP)).scale(ip.as_ref(), &bytes);
        assert!(both.ports && !addresses.ports);
        assert_eq!(addresses.hash, Some(reference(&KEY, &bytes[26..34])));
        assert_eq!(both.hash, Some(reference(&KEY, &bytes[26..38])));
        assert_eq!(u32::from(both.queue), both.hash.unwrap() % 128);
        assert_eq!(
            rss(RssHash::IPV6).scale(ip.as_ref(), &bytes),
            Scaled::default()
        );
    }

    #[test]
    fn each_field_is_hashed_alone_and_in_order() {
        let bytes = {
            let mut bytes = frame::udp6(b"x");
            // A flow label, and a traffic class that is none of it.
            bytes[14..18].copy_from_slice(&[0x6f, 0xf5, 0x43, 0x21]);
            bytes
        };
        let label = [0, 0x05, 0x43, 0x21];
        let parts: [(RssFields, &[u8]); 5] = [
            (RssFields::SRC_IP, &bytes[22..38]),
            (RssFields::DST_IP, &bytes[38..54]),
            (RssFields::SRC_PORT, &bytes[54..56]),
            (RssFields::DST_PORT, &bytes[56..58]),
            (RssFields::FLOW_LABEL, &label),
        ];
        for chosen in 1..32u8 {
            let fields = RssFields(chosen);
            let rss = over(fields, &[RssFlow::UDP6], RssTransform::NONE).unwrap();
            let input: Vec<u8> = parts
                .iter()
                .filter(|(field, _)| fields.contains(*field))
                .flat_map(|(_, bytes)| bytes.iter().copied())
                .collect();
            assert_eq!(hash(&rss, &bytes), Some(reference(&KEY, &input)));
        }
    }

    #[test]
    fn kinds_are_told_apart_and_fragments_are_plain_ip() {
        let frames = [
            frame::tcp4(b"x"),
            frame::udp4(b"x"),
            frame::tcp6(b"x"),
            frame::udp6(b"x"),
        ];
        for (index, bytes) in (0..).zip(&frames) {
            for flow in (0..6).map(RssFlow) {
                let rss = over(RssFields::SRC_IP, &[flow], RssTransform::NONE).unwrap();
                assert_eq!(hash(&rss, bytes).is_some(), flow.0 == index, "{flow}");
            }
        }
        let mut fragment = frames[0].clone();
        fragment[20] |= 0x20;
        let rss = over(RssFields::DST_IP, &[RssFlow::IP4], RssTransform::NONE).unwrap();
        assert_eq!(
            hash(&rss, &fragment),
            Some(reference(&KEY, &fragment[30..34]))
        );
    }

    #[test]
    fn transformed_fields_are_the_definition() {
        let bytes = frame::tcp4(b"x");
        let (src, dst) = (&bytes[26..30], &bytes[30..34]);
        let xor = |a: &[u8], b: &[u8]| a.iter().zip(b).map(|(a, b)| a ^ b).collect::<Vec<_>>();
        let or = |a: &[u8], b: &[u8]| a.iter().zip(b).map(|(a, b)| a | b).collect::<Vec<_>>();
        let (from, to) = (&bytes[34..36], &bytes[36..38]);
        for (transform, input) in [
            (
                RssTransform::XOR,
                [xor(src, dst), xor(src, dst), xor(from, to), xor(from, to)],
            ),
            (
                RssTransform::OR_XOR,
                [or(src, dst), xor(src, dst), or(from, to), xor(from, to)],
            ),
        ] {
            let rss = over(ADDRESSES.with(PORTS), &[RssFlow::TCP4], transform).unwrap();
            assert_eq!(hash(&rss, &bytes), Some(reference(&KEY, &input.concat())));
        }
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        let none = RssTransform::NONE;
        assert!(over(RssFields::SRC_PORT, &[RssFlow::IP4], none).is_none());
        assert!(over(RssFields::FLOW_LABEL, &[RssFlow::TCP4], none).is_none());
        assert!(over(RssFields(0x20), &[RssFlow::TCP6], none).is_none());
        assert!(over(ADDRESSES, &[RssFlow::TCP4], RssTransform(3)).is_none());
        for transform in [RssTransform::XOR, RssTransform::OR_XOR] {
            assert!(over(RssFields::SRC_IP, &[RssFlow::IP4], transform).is_none());
            let odd = ADDRESSES.with(RssFields::DST_PORT);
            assert!(over(odd, &[RssFlow::UDP6], transform).is_none());
            assert!(over(ADDRESSES, &[RssFlow::UDP6], transform).is_some());
        }
        let kinds = |hash| Hashing::new(hash, [1; RSS_FLOWS], none);
        assert!(kinds(RssHash::IPV4).is_none());
        assert!(kinds(RssHash::FIELDS.with(RssHash::IPV4)).is_none());
        assert!(kinds(RssHash::FIELDS).is_some());
    }

    proptest! {
        #[test]
        fn table_hashes_as_the_definition(
            key in proptest::array::uniform(any::<u8>()),
            input in proptest::collection::vec(any::<u8>(), 0..=MAX_INPUT),
        ) {
            let hashing = Hashing::new(KINDS, NOTHING, RssTransform::NONE).unwrap();
            let rss = Rss::new(hashing, key, vec![0]);
            prop_assert_eq!(rss.toeplitz(&input), reference(&key, &input));
        }

        #[test]
        fn both_directions_of_a_connection_have_one_hash(
            ends in proptest::array::uniform12(any::<u8>()),
            transform in prop_oneof![Just(RssTransform::XOR), Just(RssTransform::OR_XOR)],
        ) {
            let rss = over(ADDRESSES.with(PORTS), &[RssFlow::UDP4], transform).unwrap();
            let mut there = frame::udp4(b"x");
            there[26..38].copy_from_slice(&ends);
            let mut back = there.clone();
            back[26..30].copy_from_slice(&ends[4..8]);
            back[30..34].copy_from_slice(&ends[..4]);
            back[34..36].copy_from_slice(&ends[10..]);
            back[36..38].copy_from_slice(&ends[8..10]);
            prop_assert_eq!(hash(&rss, &there), hash(&rss, &back));
        }

        #[test]
        fn no_frame_upsets_scaling(
            bytes in proptest::collection::vec(any::<u8>(), 14..200),
            tcp in any::<bool>(),
            fields in proptest::array::uniform6(0..32u8),
            transform in 0..3u16,
        ) {
            let Some(hashing) = Hashing::new(RssHash::FIELDS, fields, RssTransform(transform)) else {
                return Ok(());
            };
            let rss = Rss::new(hashing, KEY, (0..4).collect());
            let mut known = if tcp { frame::tcp6(&bytes) } else { frame::udp4(&bytes) };
            known[14 + bytes.len() % 40..][..14].copy_from_slice(&bytes[..14]);
            for bytes in [bytes, known] {
                let scaled = rss.scale(Ip::find(&bytes).as_ref(), &bytes);
                prop_assert!(scaled.queue < 4);
            }
        }
    }
}
