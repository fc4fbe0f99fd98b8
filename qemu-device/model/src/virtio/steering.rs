// SPDX-License-Identifier: GPL-2.0

//! Which queue pair of a virtio-net device receives a packet, and which hash is told with it.

use ferrite_abi::cmd::{
    RssFields,
    RssFlow,
    RssHash,
    RssTransform,
    RSS_FLOWS,
    RSS_KEY, //
};

use super::spec::hash;
use crate::packet::Ip;
use crate::rss::{
    Hashing,
    Rss,
    Scaled, //
};
use crate::save::{
    saved,
    LoadError, //
};

/// Longest key.
pub(crate) const MAX_KEY: u8 = RSS_KEY as u8;
/// Most entries of the indirection table.
pub(crate) const MAX_TABLE: u16 = 128;

/// Key by which the device itself spreads flows: the two directions of a flow have the same hash, as
/// it repeats itself after 16 bits.
const OWN_KEY: [u8; RSS_KEY] = {
    let mut key = [0; RSS_KEY];
    let mut at = 0;
    while at < RSS_KEY {
        key[at] = if at % 2 == 0 { 0x6d } else { 0x5a };
        at += 1;
    }
    key
};

/// How received packets are spread over queue pairs.
#[derive(Debug)]
pub(crate) struct Steering {
    /// Queue pairs that the driver uses.
    pairs: u16,
    /// What is hashed, and what it leads to. [`None`]: all go to the first pair.
    rss: Option<Rss>,
    /// Pair that receives what is not hashed.
    unclassified: u16,
    /// Whether the driver said what is hashed for that, and so knows what to make of the hash.
    by_driver: bool,
    /// What is hashed for the driver, if it wants another hash.
    hashes: Option<Rss>,
}

saved!(Steering {
    pairs,
    rss,
    unclassified,
    by_driver,
    hashes
});

impl Default for Steering {
    fn default() -> Self {
        Self {
            pairs: 1,
            rss: None,
            unclassified: 0,
            by_driver: false,
            hashes: None,
        }
    }
}

/// Returns what hashes of these types are over, if there are such types.
fn hashing(types: u32) -> Option<Hashing> {
    let addresses = RssFields::SRC_IP.with(RssFields::DST_IP);
    let ports = addresses
        .with(RssFields::SRC_PORT)
        .with(RssFields::DST_PORT);
    let of = |with_ports, plain| {
        if types & with_ports != 0 {
            ports.0
        } else if types & plain != 0 {
            addresses.0
        } else {
            0
        }
    };
    // In the order of `RssFlow`.
    let fields = [
        of(hash::TCPV4, hash::IPV4),
        of(hash::UDPV4, hash::IPV4),
        of(hash::TCPV6, hash::IPV6),
        of(hash::UDPV6, hash::IPV6),
        of(0, hash::IPV4),
        of(0, hash::IPV6),
    ];
    if types & !hash::ALL != 0 {
        return None;
    }
    Hashing::new(RssHash::FIELDS, fields, RssTransform::NONE)
}

impl Steering {
    /// Has the device itself spread packets over so many pairs.
    pub(crate) fn spread(&mut self, pairs: u16) -> Option<()> {
        let all = RssFields::SRC_IP
            .with(RssFields::DST_IP)
            .with(RssFields::SRC_PORT)
            .with(RssFields::DST_PORT);
        let mut fields = [all.0; RSS_FLOWS];
        for flow in [RssFlow::IP4, RssFlow::IP6] {
            fields[usize::from(flow.0)] = RssFields::SRC_IP.with(RssFields::DST_IP).0;
        }
        let hashing = Hashing::new(RssHash::FIELDS, fields, RssTransform::NONE)?;
        let table = (0..MAX_TABLE).map(|entry| entry % pairs.max(1)).collect();
        self.pairs = pairs;
        self.rss = (pairs > 1).then(|| Rss::new(hashing, OWN_KEY, table));
        self.unclassified = 0;
        self.by_driver = false;
        Some(())
    }

    /// Tells the driver hashes of these types, whatever packets are spread by.
    pub(crate) fn tell_hashes(&mut self, types: u32, key: [u8; RSS_KEY]) -> Option<()> {
        self.hashes = Some(Rss::new(hashing(types)?, key, vec![0]));
        Some(())
    }

    /// Spreads packets as the driver says: by hashes of these types, over a table whose length is
    /// a power of two and which names pairs that there are.
    pub(crate) fn by(
        types: u32,
        key: [u8; RSS_KEY],
        table: Vec<u16>,
        unclassified: u16,
        pairs: u16,
    ) -> Option<Self> {
        let hashing = hashing(types)?;
        let sized = table.len().is_power_of_two() && table.len() <= usize::from(MAX_TABLE);
        sized.then(|| Self {
            pairs,
            rss: Some(Rss::new(hashing, key, table)),
            unclassified,
            by_driver: true,
            hashes: None,
        })
    }

    /// Returns how many pairs the driver uses.
    pub(crate) fn pairs(&self) -> u16 {
        self.pairs
    }

    /// Decides on a packet: which pair receives it, and which hash is told.
    pub(crate) fn decide(&self, ip: Option<&Ip>, frame: &[u8]) -> Scaled {
        let spread = self.rss.as_ref().map(|rss| rss.scale(ip, frame));
        let queue = match &spread {
            Some(spread) if spread.hash.is_some() => spread.queue,
            Some(_) => self.unclassified,
            None => 0,
        };
        let told = match &self.hashes {
            Some(hashes) => hashes.scale(ip, frame),
            None => spread.filter(|_| self.by_driver).unwrap_or_default(),
        };
        Scaled { queue, ..told }
    }

    /// Returns the highest pair that it leads to.
    pub(crate) fn highest(&self) -> u16 {
        let rss = self.rss.as_ref().map_or(0, Rss::highest_queue);
        rss.max(self.unclassified)
    }

    /// Checks what was loaded into a device with so many pairs.
    pub(crate) fn check(&self, pairs: u16) -> Result<(), LoadError> {
        let table = self.rss.as_ref().map_or(1, Rss::entries);
        let hashes = self.hashes.as_ref().map_or(1, Rss::entries);
        if (1..=pairs).contains(&self.pairs)
            && self.highest() < pairs
            && table <= usize::from(MAX_TABLE)
            && hashes == 1
        {
            Ok(())
        } else {
            Err(LoadError::Invalid("steering of a virtio device"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::frame;

    fn pair(steering: &Steering, bytes: &[u8]) -> u16 {
        steering.decide(Ip::find(bytes).as_ref(), bytes).queue
    }

    /// Exchanges addresses and ports of UDP over IPv4.
    fn reversed(bytes: &[u8]) -> Vec<u8> {
        let mut bytes = bytes.to_vec();
        let (src, dst) = bytes[26..34].split_at_mut(4);
        src.swap_with_slice(dst);
        let (src, dst) = bytes[34..38].split_at_mut(2);
        src.swap_with_slice(dst);
        bytes
    }

    #[test]
    fn flows_are_spread_and_both_directions_meet() {
        let mut steering = Steering::default();
        steering.spread(4).unwrap();
        let mut hit = [false; 4];
        for port in 0..64u16 {
            let mut bytes = frame::udp4(b"x");
            bytes[34..36].copy_from_slice(&(1000 + port * 7).to_be_bytes());
            let one = pair(&steering, &bytes);
            assert_eq!(pair(&steering, &reversed(&bytes)), one);
            hit[usize::from(one)] = true;
        }
        assert_eq!(hit, [true; 4]);
    }

    #[test]
    fn what_is_not_hashed_is_unclassified() {
        let steering = Steering::by(hash::TCPV4, [7; RSS_KEY], vec![0, 1], 3, 4).unwrap();
        assert_eq!(pair(&steering, &frame::udp4(b"x")), 3);
        assert!(pair(&steering, &frame::tcp4(b"x")) < 2);
        assert_eq!(steering.highest(), 3);
        assert!(Steering::by(hash::TCPV4, [7; RSS_KEY], vec![0; 3], 0, 1).is_none());
        assert_eq!(
            steering.decide(Ip::find(&frame::udp4(b"x")).as_ref(), &frame::udp4(b"x")),
            Scaled {
                queue: 3,
                ..Scaled::default()
            }
        );
        assert!(Steering::by(1 << 6, [7; RSS_KEY], vec![0], 0, 1).is_none());
    }
    #[test]
    fn hash_is_told_only_of_what_the_driver_chose() {
        let bytes = frame::tcp4(b"x");
        let ip = Ip::find(&bytes);
        let told = |steering: &Steering| steering.decide(ip.as_ref(), &bytes);
        let mut steering = Steering::default();
        steering.spread(4).unwrap();
        assert_eq!(told(&steering).hash, None);
        steering.tell_hashes(hash::IPV4, [7; RSS_KEY]).unwrap();
        let addresses = told(&steering);
        assert!(addresses.hash.is_some() && !addresses.ports);
        // Whatever is told, packets stay where they were.
        steering.tell_hashes(hash::TCPV4, [7; RSS_KEY]).unwrap();
        let ports = told(&steering);
        assert!(ports.hash != addresses.hash && ports.ports);
        assert_eq!(ports.queue, addresses.queue);
        steering.tell_hashes(hash::UDPV4, [7; RSS_KEY]).unwrap();
        assert_eq!(told(&steering).hash, None);
        assert!(steering.tell_hashes(1 << 6, [7; RSS_KEY]).is_none());
        let steering = Steering::by(hash::TCPV4, [7; RSS_KEY], vec![0; 2], 0, 1).unwrap();
        assert_eq!(told(&steering).hash, ports.hash);
    }
}
