// SPDX-License-Identifier: GPL-2.0

//! The event queue of a PCI function.

use ferrite_abi::ring::{
    Depth,
    Index, //
};

use crate::save::saved;

/// The event queue.
#[derive(Debug)]
pub(crate) struct EventQueue {
    /// Address of the ring.
    pub(crate) addr: u64,
    /// MSI-X vector raised after events were written.
    pub(crate) vector: u16,
    /// Depth of the ring.
    pub(crate) depth: Depth,
    /// Events before this were read by the driver.
    pub(crate) head: Index,
    /// Next event that the device writes.
    pub(crate) tail: Index,
    /// Number of the next event, lost ones counted.
    pub(crate) sequence: u32,
}

saved!(EventQueue {
    addr,
    vector,
    depth,
    head,
    tail,
    sequence
});

impl EventQueue {
    /// Moves the head to where the driver says it is. Returns whether that can be.
    pub(crate) fn set_head(&mut self, head: Index) -> bool {
        let possible = self.tail.since(head) <= self.tail.since(self.head);
        if possible {
            self.head = head;
        }
        possible
    }
}
