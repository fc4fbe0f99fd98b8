// SPDX-License-Identifier: GPL-2.0

//! What a queue needs of its surroundings: memory shared with the device, and a doorbell.

use core::sync::atomic::{
    AtomicU32,
    Ordering, //
};
use ferrite_abi::ring::Index;

/// What the two halves of a queue in the driver tell each other.
///
/// Each word has one writer; the others read it.
#[derive(Debug, Default)]
pub struct Progress {
    /// Descriptors before this index were given to the device. Written by the posting half.
    tail: AtomicU32,
    /// Descriptors before this index are done with. Written by the reaping half.
    head: AtomicU32,
    /// Completions before this index were read. Written by the reaping half.
    cq_head: AtomicU32,
}

impl Progress {
    /// Returns the progress of a queue that was just created.
    pub const fn new() -> Self {
        Self {
            tail: AtomicU32::new(0),
            head: AtomicU32::new(0),
            cq_head: AtomicU32::new(0),
        }
    }

    /// Makes it that of a queue that is about to be created anew. Neither half is at work.
    pub fn reset(&self) {
        self.set_tail(Index(0));
        self.set_head(Index(0));
        self.set_cq_head(Index(0));
    }

    /// Returns the index before which the device was given all descriptors.
    pub fn tail(&self) -> Index {
        // ORDERING: acquire, with the release in `set_tail`: who sees the tail sees what the
        // posting half recorded of the packets before it.
        Index(self.tail.load(Ordering::Acquire))
    }

    /// Returns the index before which all descriptors are done with.
    pub fn head(&self) -> Index {
        // ORDERING: acquire, with the release in `set_head`: who sees the head may use the slots
        // before it again.
        Index(self.head.load(Ordering::Acquire))
    }

    /// Returns the index before which all completions were read.
    pub fn cq_head(&self) -> Index {
        // ORDERING: relaxed; a value that is out of date arms too early, which costs one poll.
        Index(self.cq_head.load(Ordering::Relaxed))
    }

    pub(super) fn set_tail(&self, index: Index) {
        // ORDERING: release, see `tail`.
        self.tail.store(index.0, Ordering::Release);
    }

    pub(super) fn set_head(&self, index: Index) {
        // ORDERING: release, see `head`.
        self.head.store(index.0, Ordering::Release);
    }

    pub(super) fn set_cq_head(&self, index: Index) {
        // ORDERING: relaxed, see `cq_head`.
        self.cq_head.store(index.0, Ordering::Relaxed);
    }
}

/// Memory of a queue, shared with the device.
pub trait QueueMemory {
    /// Entry of the descriptor ring.
    type Desc;
    /// Entry of the completion ring.
    type Completion;

    /// Returns what the halves of the queue share.
    fn progress(&self) -> &Progress;

    /// Stores a descriptor.
    fn write(&self, slot: usize, desc: &Self::Desc);

    /// Stores `tail` for the device, after all descriptors that were written before.
    fn publish_tail(&self, tail: Index);

    /// Loads the index at which the device wants a doorbell. A full fence comes first, so that
    /// either this sees what the device wrote, or the device sees the tail.
    fn doorbell_event(&self) -> Index;

    /// Rings the doorbell.
    fn ring(&self);

    /// Loads the index before which the device wrote all completions. Completions that are read
    /// after it are at least as new.
    fn cq_tail(&self) -> Index;

    /// Loads a completion.
    fn read(&self, slot: usize) -> Self::Completion;

    /// Stores the index of the completion that an interrupt is wanted for. A full fence follows, so
    /// that either the device sees it, or a later [`Self::cq_tail`] sees what the device wrote.
    fn publish_arm(&self, index: Index);
}

/// Asks for an interrupt at the next completion of the queue, and returns whether completions are
/// waiting already, for which none may come.
///
/// May race with the reaping half: an index that is out of date finds completions waiting, and the
/// poll that follows arms again.
pub fn rearm(memory: &impl QueueMemory) -> bool {
    let head = memory.progress().cq_head();
    memory.publish_arm(head);
    memory.cq_tail() != head
}

/// Finds queues that stand still although there is something to do: an interrupt was lost.
#[derive(Clone, Copy, Debug, Default)]
pub struct Stall {
    /// Where the queue stood at the last look, if completions were waiting.
    waiting_at: Option<Index>,
}

impl Stall {
    /// Looks at a queue, and returns whether completions are waiting that were waiting at the last
    /// look already, with none read since.
    pub fn look(&mut self, memory: &impl QueueMemory) -> bool {
        let head = memory.progress().cq_head();
        let waiting_at = Some(head).filter(|head| memory.cq_tail() != *head);
        let before = core::mem::replace(&mut self.waiting_at, waiting_at);
        waiting_at.is_some() && waiting_at == before
    }
}
