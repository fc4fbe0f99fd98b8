// SPDX-License-Identifier: GPL-2.0

//! Receive side scaling: the Toeplitz hash and the indirection table.

use ferrite_abi::cmd::{
    RssHash,
    RSS_KEY, //
};

use crate::packet::{
    Ip,
    TCP,
    UDP, //
};
use crate::save::{
    LoadError,
    Reader,
    Saved,
    Writer, //
};

/// Longest input of the hash: IPv6 addresses and ports.
const MAX_INPUT: usize = 36;

/// Receive side scaling as it was set.
#[derive(Clone, Debug)]
pub(crate) struct Rss {
    hash: RssHash,
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

impl Rss {
    /// Sets up scaling. `queues` has a power of two of entries.
    pub(crate) fn new(hash: RssHash, key: [u8; RSS_KEY], queues: Vec<u16>) -> Self {
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
            hash,
            key,
            queues,
            table,
        }
    }

    /// Returns the queues that the table names.
    pub(crate) fn queues(&self) -> &[u16] {
        &self.queues
    }

    /// Decides on a packet.
    pub(crate) fn scale(&self, ip: Option<&Ip>, frame: &[u8]) -> Scaled {
        let Some(ip) = ip else {
            return Scaled::default();
        };
        if !self
            .hash
            .contains(if ip.v6 { RssHash::IPV6 } else { RssHash::IPV4 })
        {
            return Scaled::default();
        }
        let with_ports = match ip.protocol {
            TCP => self.hash.contains(RssHash::TCP),
            UDP => self.hash.contains(RssHash::UDP),
            _ => false,
        };
        let ports = if with_ports { ip.ports(frame) } else { None };
        let input = ip.addresses(frame).iter().chain(ports.unwrap_or_default());
        let hash = self.toeplitz(input.copied());
        // CAST: the mask is less than the largest table.
        let entry = hash as usize & (self.queues.len().max(1) - 1);
        Scaled {
            queue: self.queues.get(entry).copied().unwrap_or_default(),
            hash: Some(hash),
            ports: ports.is_some(),
        }
    }

    fn toeplitz(&self, input: impl Iterator<Item = u8>) -> u32 {
        self.table
            .chunks_exact(2)
            .zip(input)
            .fold(0, |hash, (halves, byte)| {
                hash ^ halves[0][usize::from(byte >> 4)] ^ halves[1][usize::from(byte & 0xf)]
            })
    }
}

/// Returns the 32 bits of the key that begin at `bit`, zeros past its end.
fn window(key: &[u8; RSS_KEY], bit: usize) -> u32 {
    let byte = |at: usize| u64::from(key.get(bit / 8 + at).copied().unwrap_or_default());
    let bits = (0..5).fold(0, |bits, at| bits << 8 | byte(at));
    // CAST: the wanted 32 of the 40 bits.
    (bits >> (8 - bit % 8)) as u32
}

impl Saved for Rss {
    fn save(&self, writer: &mut Writer) {
        self.hash.save(writer);
        self.key.save(writer);
        self.queues.save(writer);
    }

    fn load(reader: &mut Reader<'_>) -> Result<Self, LoadError> {
        let (hash, key) = (Saved::load(reader)?, Saved::load(reader)?);
        let queues: Vec<u16> = Saved::load(reader)?;
        if !queues.len().is_power_of_two() {
            return Err(LoadError::Invalid("size of the RSS table"));
        }
        Ok(Self::new(hash, key, queues))
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

    const ALL: RssHash = RssHash::IPV4
        .with(RssHash::IPV6)
        .with(RssHash::TCP)
        .with(RssHash::UDP);

    fn rss(hash: RssHash) -> Rss {
        Rss::new(hash, KEY, (0..128).collect())
    }

    /// Bit by bit, as the definition says.
    fn reference(key: &[u8; RSS_KEY], input: &[u8]) -> u32 {
        let mut hash = 0;
        for bit in 0..8 * input.len() {
            if input[bit / 8] & 0x80 >> (bit % 8) != 0 {
                for wanted in 0..32 {
                    let at = bit + wanted;
                    let set = key
                        .get(at / 8)
                        .is_some_and(|byte| byte & 0x80 >> (at % 8) != 0);
                    hash ^= u32::from(set) << (31 - wanted);
                }
            }
        }
        hash
    }

    #[test]
    fn vectors_of_the_verification_suite() {
        // 66.9.149.187:2794 to 161.142.100.80:1766.
        let input = [66, 9, 149, 187, 161, 142, 100, 80, 0x0a, 0xea, 0x06, 0xe6];
        let rss = rss(ALL);
        assert_eq!(rss.toeplitz(input[..8].iter().copied()), 0x323e_8fc2);
        assert_eq!(rss.toeplitz(input.iter().copied()), 0x51cc_c178);
    }

    #[test]
    fn ports_count_where_asked_for() {
        let bytes = frame::tcp4(b"x");
        let ip = Ip::find(&bytes);
        let both = rss(ALL).scale(ip.as_ref(), &bytes);
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

    proptest! {
        #[test]
        fn table_hashes_as_the_definition(
            key in proptest::array::uniform(any::<u8>()),
            input in proptest::collection::vec(any::<u8>(), 0..=MAX_INPUT),
        ) {
            let rss = Rss::new(ALL, key, vec![0]);
            prop_assert_eq!(rss.toeplitz(input.iter().copied()), reference(&key, &input));
        }
    }
}
