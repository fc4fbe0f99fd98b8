// SPDX-License-Identifier: GPL-2.0

//! How often queues are reset before the device is given up.

/// Resets within [`WINDOW_MS`] that are tried.
pub const LIMIT: u32 = 8;
/// The time over which resets are counted.
pub const WINDOW_MS: u64 = 10_000;

/// Counts resets of a device that does not make sense.
#[derive(Clone, Copy, Debug, Default)]
pub struct Resets {
    since_ms: u64,
    count: u32,
}

impl Resets {
    /// Counts a reset at `now_ms` and returns whether it is worth trying.
    pub fn allow(&mut self, now_ms: u64) -> bool {
        if self.count == 0 || now_ms.saturating_sub(self.since_ms) >= WINDOW_MS {
            *self = Self {
                since_ms: now_ms,
                count: 0,
            };
        }
        self.count = self.count.saturating_add(1);
        self.count <= LIMIT
    }
}
