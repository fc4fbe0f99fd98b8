// SPDX-License-Identifier: GPL-2.0

//! Rates: users name them in Mbit/s, the device has them in bytes a second.

const BYTES: u64 = 1_000_000 / 8;

/// Returns how many bytes a second a rate in Mbit/s is.
pub fn bytes(megabits: u32) -> u64 {
    u64::from(megabits) * BYTES
}

/// Returns a rate in Mbit/s. One that is set is never shown as none.
pub fn megabits(bytes: u64) -> u32 {
    u32::try_from(bytes.div_ceil(BYTES)).unwrap_or(u32::MAX)
}
