// SPDX-License-Identifier: GPL-2.0

//! The admin queue of a PCI function: its registers, its rings, its completions.

use std::collections::VecDeque;

use ferrite_abi::admin::{
    Completion,
    ADMIN_DEPTH_LOG2, //
};
use ferrite_abi::desc::RING_ALIGN;
use ferrite_abi::regs::AdminError;
use ferrite_abi::ring::{
    available,
    Depth,
    Index, //
};

use crate::save::saved;

/// The admin queue: what its registers hold, and, while it is on, where it stands.
#[derive(Debug, Default)]
pub(crate) struct AdminQueue {
    /// Address of the submission ring.
    pub(crate) sq_addr: u64,
    /// Address of the completion ring.
    pub(crate) cq_addr: u64,
    /// `AdminSize`.
    pub(crate) size: u32,
    /// `AdminVector`.
    pub(crate) vector: u32,
    /// `AdminControl`.
    pub(crate) control: u32,
    /// Why it does not run.
    pub(crate) error: AdminError,
    /// Where it stands, while it runs.
    pub(crate) running: Option<Running>,
}

saved!(AdminQueue {
    sq_addr,
    cq_addr,
    size,
    vector,
    control,
    error,
    running
});

/// Where a running admin queue stands.
#[derive(Debug)]
pub(crate) struct Running {
    /// Depth of both rings.
    pub(crate) depth: Depth,
    /// Next submission that the device reads.
    pub(crate) sq_head: Index,
    /// Submissions before this are ready.
    pub(crate) sq_tail: Index,
    /// Completions before this were read by the driver.
    pub(crate) cq_head: Index,
    /// Next completion that the device writes.
    pub(crate) cq_tail: Index,
    /// Completions that wait for a slot of the ring.
    pub(crate) waiting: VecDeque<Completion>,
    /// Completions that wait for their time.
    pub(crate) delayed: Vec<(u64, Completion)>,
}

saved!(Running {
    depth,
    sq_head,
    sq_tail,
    cq_head,
    cq_tail,
    waiting,
    delayed
});

impl AdminQueue {
    /// Turns the queue on, with what the registers say.
    pub(crate) fn enable(&mut self) {
        let depth = u8::try_from(self.size)
            .ok()
            .filter(|log2| ADMIN_DEPTH_LOG2.contains(log2))
            .and_then(Depth::from_log2);
        let aligned = |addr: u64| addr != 0 && addr % RING_ALIGN == 0;
        match depth {
            Some(depth) if aligned(self.sq_addr) && aligned(self.cq_addr) => {
                self.error = AdminError::NONE;
                self.running = Some(Running {
                    depth,
                    sq_head: Index(0),
                    sq_tail: Index(0),
                    cq_head: Index(0),
                    cq_tail: Index(0),
                    waiting: VecDeque::new(),
                    delayed: Vec::new(),
                });
            }
            _ => self.error = AdminError::BAD_SETUP,
        }
    }

    /// Turns the queue off: commands under way are aborted.
    pub(crate) fn disable(&mut self) {
        self.running = None;
        self.error = AdminError::NONE;
    }

    /// Stops the queue after an error.
    pub(crate) fn fail(&mut self, error: AdminError) {
        self.running = None;
        self.error = error;
    }
}

impl Running {
    /// Moves the tail to where the driver says it is. Returns whether that can be.
    pub(crate) fn set_tail(&mut self, tail: Index) -> bool {
        let possible = available(self.depth, self.sq_head, tail).is_some();
        if possible {
            self.sq_tail = tail;
        }
        possible
    }

    /// Moves the completion head to where the driver says it is. Returns whether that can be.
    pub(crate) fn set_head(&mut self, head: Index) -> bool {
        let possible = self.cq_tail.since(head) <= self.cq_tail.since(self.cq_head);
        if possible {
            self.cq_head = head;
        }
        possible
    }
}
