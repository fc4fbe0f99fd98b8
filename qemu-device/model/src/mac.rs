// SPDX-License-Identifier: GPL-2.0

//! MAC addresses.

use std::fmt;

use ferrite_abi::ids::FunctionId;

/// A MAC address.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Mac(pub(crate) [u8; 6]);

impl Mac {
    /// The broadcast address.
    pub(crate) const BROADCAST: Self = Self([0xff; 6]);

    /// Returns whether this is a group address; broadcast is one.
    pub(crate) const fn is_multicast(self) -> bool {
        self.0[0] & 1 == 1
    }

    /// Returns whether a station can have this address: neither zero nor a group.
    pub(crate) fn is_station(self) -> bool {
        !self.is_multicast() && self != Self::default()
    }

    /// Returns the address as a number, first byte highest.
    pub(crate) const fn number(self) -> u64 {
        let [a, b, c, d, e, f] = self.0;
        u64::from_be_bytes([0, 0, a, b, c, d, e, f])
    }

    /// Returns the address `n` further within the vendor's 24 bits, locally administered.
    #[must_use]
    pub(crate) const fn derived(self, n: u16) -> Self {
        let [a, b, c, d, e, f] = self.0;
        let [_, d, e, f] = (u32::from_be_bytes([0, d, e, f]) + n as u32).to_be_bytes();
        Self([a | 2, b, c, d, e, f])
    }

    /// Returns the address of an SF, if this is that of the PF.
    #[must_use]
    pub(crate) const fn of_sf(self, id: FunctionId) -> Self {
        self.with_id(id, 1 << 2)
    }

    /// Returns the address of a representor, if this is that of the PF.
    #[must_use]
    pub(crate) const fn of_representor(self, id: FunctionId) -> Self {
        self.with_id(id, 1 << 3)
    }

    /// Puts an id into the vendor's bytes, locally administered, apart from this one by `flipped`.
    const fn with_id(self, id: FunctionId, flipped: u8) -> Self {
        let [a, _, _, d, e, f] = self.0;
        let [b, c] = id.0.to_be_bytes();
        Self([(a | 2) ^ flipped, b, c, d, e, f])
    }
}

impl fmt::Display for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn derived_address_stays_with_the_vendor_and_is_local() {
        let mac = Mac([0x00, 0x1b, 0x21, 0xff, 0xff, 0xff]);
        assert_eq!(mac.derived(2), Mac([0x02, 0x1b, 0x21, 0x00, 0x00, 0x01]));
    }

    #[test]
    fn addresses_of_sfs_and_representors_differ_in_all_but_the_last_bytes() {
        let mac = Mac([0x00, 0x1b, 0x21, 0xaa, 0xbb, 0xcc]);
        assert_eq!(
            mac.of_sf(FunctionId(0x0102)),
            Mac([0x06, 0x01, 0x02, 0xaa, 0xbb, 0xcc])
        );
        assert_eq!(
            mac.of_representor(FunctionId(0x8102)),
            Mac([0x0a, 0x81, 0x02, 0xaa, 0xbb, 0xcc])
        );
        assert!(Mac([0x06, 0, 0, 0, 0, 1])
            .of_sf(FunctionId(0x0100))
            .is_station());
    }

    #[test]
    fn stations_are_neither_zero_nor_groups() {
        assert!(Mac([2, 0, 0, 0, 0, 1]).is_station());
        assert!(!Mac([0; 6]).is_station());
        assert!(!Mac([1, 0, 0x5e, 0, 0, 1]).is_station());
        assert!(!Mac::BROADCAST.is_station());
    }

    #[test]
    fn number_has_the_first_byte_highest() {
        assert_eq!(Mac([1, 2, 3, 4, 5, 6]).number(), 0x0102_0304_0506);
    }
}
