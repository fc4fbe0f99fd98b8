// SPDX-License-Identifier: GPL-2.0

//! Text as the contract has it.

/// Returns text padded with zeros, cut if it is too long.
pub(crate) fn padded<const N: usize>(text: &str) -> [u8; N] {
    let mut bytes = [0; N];
    let length = text.len().min(N);
    bytes[..length].copy_from_slice(&text.as_bytes()[..length]);
    bytes
}
