// SPDX-License-Identifier: GPL-2.0

//! Receive side scaling: which queue a hash leads to.

use ferrite_abi::cmd::MAX_RSS_TABLE;

/// Returns the number of entries of the indirection table, given what the device says it has:
/// a power of two that fits in the command. [`None`] if the device has no usable table.
pub fn entries(device: u16) -> Option<u16> {
    let count = usize::from(device).min(MAX_RSS_TABLE);
    if count == 0 {
        return None;
    }
    Some(1 << count.ilog2())
}

/// Returns the default queue of entry `index` when `queues` are in use.
pub fn spread(index: usize, queues: u16) -> u16 {
    (index % usize::from(queues.max(1))) as u16
}
