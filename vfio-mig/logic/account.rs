// SPDX-License-Identifier: GPL-2.0

//! How much of a stream there is to read, as user space is told while the function works.
//!
//! Positions count bytes from the beginning of the stream.

/// What was saved and read so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Account {
    /// The user read what is before this.
    read: u64,
    /// The device saved what is before this.
    saved: u64,
    /// What is before this is what is saved first.
    initial: u64,
}

impl Account {
    /// The device saved `bytes` more: what changed.
    pub fn save(&mut self, bytes: u64) {
        self.saved += bytes;
    }

    /// All that is to be read counts as what is saved first: it was just begun to save, or the function was set
    /// up anew.
    pub fn begin(&mut self) {
        self.initial = self.saved;
    }

    /// The user read `bytes` more.
    pub fn read(&mut self, bytes: u64) {
        // PANIC: nobody reads what was not saved.
        debug_assert!(bytes <= self.unread());
        self.read += bytes;
    }

    /// Returns how much there is to read.
    pub fn unread(&self) -> u64 {
        self.saved - self.read
    }

    /// Returns how much there is to read of what is saved first, and of what changed since, of which `pending`
    /// bytes are still to be saved.
    pub fn tell(&self, pending: u64) -> (u64, u64) {
        let initial = self.initial.saturating_sub(self.read);
        (initial, self.unread() - initial + pending)
    }
}
