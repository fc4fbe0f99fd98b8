// SPDX-License-Identifier: GPL-2.0

//! The two halves of a queue: one posts descriptors, the other reaps completions.

use super::memory::QueueMemory;
use core::ops::Deref;
use ferrite_abi::ring::{
    available,
    need_event,
    Depth,
    Index, //
};

/// The half that posts descriptors and rings the doorbell.
pub struct Poster<M> {
    memory: M,
    depth: Depth,
    /// Where the next descriptor goes.
    tail: Index,
    /// The tail that the device knows.
    published: Index,
}

impl<M: Deref<Target: QueueMemory>> Poster<M> {
    /// Returns the posting half of a queue that was just created.
    pub fn new(memory: M, depth: Depth) -> Self {
        Self {
            memory,
            depth,
            tail: Index(0),
            published: Index(0),
        }
    }

    /// Returns the depth of the queue.
    pub fn depth(&self) -> Depth {
        self.depth
    }

    /// Returns where the next descriptor goes.
    pub fn tail(&self) -> Index {
        self.tail
    }

    /// Returns how many descriptors can be posted.
    pub fn free(&self) -> u32 {
        self.depth.entries() - self.tail.since(self.memory.progress().head())
    }

    /// Posts a descriptor; [`Self::kick`] shows it to the device. There must be a free one.
    pub fn post(&mut self, desc: &<M::Target as QueueMemory>::Desc) {
        debug_assert!(self.free() > 0);
        self.memory.write(self.depth.slot(self.tail), desc);
        self.tail = self.tail.plus(1);
    }

    /// Shows the device what was posted, and returns whether it had to be told by doorbell.
    pub fn kick(&mut self) -> bool {
        if self.tail == self.published {
            return false;
        }
        // The reaping half must know of a descriptor before the device can complete it.
        self.memory.progress().set_tail(self.tail);
        self.memory.publish_tail(self.tail);
        let wanted = need_event(self.memory.doorbell_event(), self.tail, self.published);
        self.published = self.tail;
        if wanted {
            self.memory.ring();
        }
        wanted
    }
}

/// The device claims to have written completions that it cannot have written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadTail {
    /// What the device claims.
    pub cq_tail: Index,
    /// How far completions were read.
    pub cq_head: Index,
    /// How many descriptors can still be completed.
    pub outstanding: u32,
}

/// The half that reaps completions.
pub struct Reaper<M> {
    memory: M,
    depth: Depth,
    /// The completion that is read next.
    head: Index,
}

impl<M: Deref<Target: QueueMemory>> Reaper<M> {
    /// Returns the reaping half of a queue that was just created.
    pub fn new(memory: M, depth: Depth) -> Self {
        Self {
            memory,
            depth,
            head: Index(0),
        }
    }

    /// Returns the memory of the queue.
    pub fn memory(&self) -> &M::Target {
        &self.memory
    }

    /// Returns what holds the memory.
    pub fn memory_handle(&self) -> &M {
        &self.memory
    }

    /// Returns how many completions can be read. A completion stands for one descriptor at least, so that there are no
    /// more of them than descriptors that are `outstanding`: which is asked after the device was, for descriptors that
    /// are posted meanwhile may be done meanwhile.
    pub fn ready(&self, outstanding: impl FnOnce() -> u32) -> Result<u32, BadTail> {
        let cq_tail = self.memory.cq_tail();
        let outstanding = outstanding();
        match available(self.depth, self.head, cq_tail) {
            Some(count) if count <= outstanding => Ok(count),
            _ => Err(BadTail {
                cq_tail,
                cq_head: self.head,
                outstanding,
            }),
        }
    }

    /// Reads the next completion, of those that [`Self::ready`] counted.
    pub fn read(&mut self) -> <M::Target as QueueMemory>::Completion {
        let completion = self.memory.read(self.depth.slot(self.head));
        self.head = self.head.plus(1);
        self.memory.progress().set_cq_head(self.head);
        completion
    }
}
