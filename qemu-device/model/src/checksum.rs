// SPDX-License-Identifier: GPL-2.0

//! The Internet checksum (RFC 1071).

/// A sum under way, in the byte order of this machine, not yet folded.
///
/// Parts that are added must begin at an even offset of what is summed; an odd length is padded
/// with zero, so it can only be that of the last part.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Sum(u64);

impl Sum {
    /// Adds bytes.
    #[must_use]
    pub(crate) fn bytes(self, bytes: &[u8]) -> Self {
        let words = bytes.chunks_exact(4);
        let mut tail = [0; 4];
        tail[..words.remainder().len()].copy_from_slice(words.remainder());
        let sum = words
            .map(|word| u64::from(u32::from_ne_bytes([word[0], word[1], word[2], word[3]])))
            .sum::<u64>();
        self.word(sum).word(u32::from_ne_bytes(tail).into())
    }

    /// Adds a number, as its two bytes on the wire.
    #[must_use]
    pub(crate) fn number(self, number: u16) -> Self {
        self.word(u16::from_ne_bytes(number.to_be_bytes()).into())
    }

    /// Adds the pseudo-header of TCP and UDP: addresses as they are in the IP header, protocol,
    /// length of the segment with its header.
    #[must_use]
    pub(crate) fn pseudo(self, addresses: &[u8], protocol: u8, length: usize) -> Self {
        // CAST: the length of a packet; the sum of its halves, by which it may exceed 16 bits.
        let length = length as u32;
        self.bytes(addresses)
            .number(protocol.into())
            .number((length >> 16) as u16)
            .number(length as u16)
    }

    /// Returns the sum as two bytes of the wire: 0xffff for what carries a right checksum.
    pub(crate) fn folded(self) -> u16 {
        let mut sum = self.0;
        while sum > 0xffff {
            sum = (sum >> 16) + (sum & 0xffff);
        }
        // CAST: folded above.
        u16::from_be_bytes((sum as u16).to_ne_bytes())
    }

    /// Returns the checksum to store: the complement of the sum, 0xffff in place of zero, which
    /// means the same and which UDP keeps for "there is none".
    pub(crate) fn checksum(self) -> u16 {
        match !self.folded() {
            0 => 0xffff,
            checksum => checksum,
        }
    }

    /// Returns whether this is the sum of data that carries a right checksum.
    pub(crate) fn is_right(self) -> bool {
        self.folded() == 0xffff
    }

    /// Adds a word that is so far below 2^64 that the sum of a packet's cannot wrap.
    fn word(self, word: u64) -> Self {
        Self(self.0 + (word >> 32) + (word & 0xffff_ffff))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// RFC 1071, as written there.
    fn reference(bytes: &[u8]) -> u16 {
        let mut sum = 0u32;
        for pair in bytes.chunks(2) {
            sum += u32::from(pair[0]) << 8 | u32::from(*pair.get(1).unwrap_or(&0));
            sum = (sum >> 16) + (sum & 0xffff);
        }
        sum as u16
    }

    #[test]
    fn example_of_the_rfc() {
        let bytes = [0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7];
        assert_eq!(Sum::default().bytes(&bytes).folded(), 0xddf2);
    }

    #[test]
    fn zero_is_stored_as_its_other_form() {
        assert_eq!(Sum::default().number(0xffff).checksum(), 0xffff);
        assert_eq!(Sum::default().number(0x1234).checksum(), !0x1234);
    }

    proptest! {
        #[test]
        fn sum_is_that_of_the_reference(
            bytes in proptest::collection::vec(any::<u8>(), 0..3000),
            cut in 0..1500usize,
        ) {
            let cut = (cut * 2).min(bytes.len());
            let (head, tail) = bytes.split_at(cut);
            prop_assert_eq!(Sum::default().bytes(head).bytes(tail).folded(), reference(&bytes));
        }

        #[test]
        fn what_carries_its_checksum_is_right(
            mut bytes in proptest::collection::vec(any::<u8>(), 2..200),
            at in any::<proptest::sample::Index>(),
        ) {
            let at = at.index(bytes.len() / 2) * 2;
            bytes[at..at + 2].fill(0);
            let checksum = Sum::default().bytes(&bytes).checksum();
            bytes[at..at + 2].copy_from_slice(&checksum.to_be_bytes());
            prop_assert!(Sum::default().bytes(&bytes).is_right());
        }
    }
}
