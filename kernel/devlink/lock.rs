// SPDX-License-Identifier: GPL-2.0

//! The memory of an instance, and its lock.

use crate::bindings;
use core::{
    any::TypeId,
    marker::PhantomData,
    ops::Deref,
    ptr::NonNull, //
};
use kernel::{
    sync::{
        atomic::{
            Atomic,
            Relaxed, //
        },
        Arc,
        ArcBorrow, //
    },
    task::Task, //
};

/// The memory of an instance. Nothing of the driver's belongs to it, so that its module can go
/// while a port is kept.
///
/// # Invariants
///
/// `devlink` is an allocated instance. A thread that finds its own [`this_thread`] in `holder` holds
/// the lock of the instance.
pub(crate) struct Memory {
    devlink: NonNull<bindings::devlink>,
    holder: Atomic<usize>,
    /// Ids of the parameters that the instance has, as bits. Written with the lock held.
    pub(super) params: Atomic<u64>,
    /// Whether the instance has resources. Written with the lock held.
    pub(super) resources: Atomic<bool>,
    /// What operates the instance, if its ports can have rates.
    pub(super) rates: Option<TypeId>,
}

// SAFETY: a `struct devlink` does not belong to a thread.
unsafe impl Send for Memory {}

// SAFETY: the functions on a `struct devlink` that are used lock it.
unsafe impl Sync for Memory {}

/// Returns what differs between any two threads that are alive, and is not 0.
fn this_thread() -> usize {
    Task::current_raw().addr()
}

impl Memory {
    /// # Safety
    ///
    /// `devlink` was just allocated and nobody else frees it.
    pub(super) unsafe fn new(devlink: NonNull<bindings::devlink>, rates: Option<TypeId>) -> Self {
        // INVARIANT: by the requirements of this function; no thread has 0.
        Self {
            devlink,
            holder: Atomic::new(0),
            params: Atomic::new(0),
            resources: Atomic::new(false),
            rates,
        }
    }

    pub(crate) fn as_raw(&self) -> *mut bindings::devlink {
        self.devlink.as_ptr()
    }

    /// Returns whether this thread holds the lock.
    pub(super) fn is_locked_here(&self) -> bool {
        self.holder.load(Relaxed) == this_thread()
    }

    /// Locks the instance, unless this thread has done so already.
    pub(super) fn lock(self: &Arc<Self>) -> Guard<'_> {
        let outermost = !self.is_locked_here();
        if outermost {
            // SAFETY: by the invariants of this type.
            unsafe { bindings::devl_lock(self.as_raw()) };
            // INVARIANT: the lock was just taken.
            self.holder.store(this_thread(), Relaxed);
        }
        // INVARIANT: it was just taken, or held by this thread before.
        Guard {
            locked: Locked {
                memory: self.as_arc_borrow(),
                _not_send: PhantomData,
            },
            outermost,
        }
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        // SAFETY: by the invariants of this type. Whoever registered it, or a port of it, held a
        // reference to this and has unregistered that.
        unsafe { bindings::devlink_free(self.as_raw()) };
    }
}

/// Shows that this thread holds the lock of an instance.
///
/// Operations are passed one. What comes and goes under the lock, such as a port, can be added with
/// it, and may be dropped at any time: dropping takes the lock if the thread does not have it.
///
/// # Invariants
///
/// The thread that has this holds the lock of the instance.
pub struct Locked<'a> {
    memory: ArcBorrow<'a, Memory>,
    _not_send: PhantomData<*mut ()>,
}

impl Locked<'_> {
    pub(super) fn as_raw(&self) -> *mut bindings::devlink {
        self.memory.as_raw()
    }

    pub(super) fn memory(&self) -> &Memory {
        &self.memory
    }

    pub(super) fn keep(&self) -> Arc<Memory> {
        self.memory.into()
    }

    /// Returns whether this is the lock of the instance that `memory` is of.
    pub(super) fn is_of(&self, memory: &Arc<Memory>) -> bool {
        self.as_raw() == memory.as_raw()
    }
}

/// The lock of an instance, which a thread has taken.
pub struct Guard<'a> {
    locked: Locked<'a>,
    /// Whether the lock is given back when this goes.
    outermost: bool,
}

impl<'a> Deref for Guard<'a> {
    type Target = Locked<'a>;

    fn deref(&self) -> &Locked<'a> {
        &self.locked
    }
}

impl Drop for Guard<'_> {
    fn drop(&mut self) {
        if self.outermost {
            self.locked.memory.holder.store(0, Relaxed);
            // SAFETY: `Memory::lock` took the lock in this thread, since this is not `Send`.
            unsafe { bindings::devl_unlock(self.locked.as_raw()) };
        }
    }
}

/// An operation that devlink called with the lock held. Keeps the memory until it is over, whatever
/// the operation drops.
pub(super) struct Operation {
    memory: Arc<Memory>,
    before: usize,
    _not_send: PhantomData<*mut ()>,
}

impl Operation {
    /// # Safety
    ///
    /// This thread holds the lock of the instance until what is returned is dropped.
    pub(super) unsafe fn begin(memory: Arc<Memory>) -> Self {
        // INVARIANT: by the requirements of this function.
        let before = memory.holder.xchg(this_thread(), Relaxed);
        Self {
            memory,
            before,
            _not_send: PhantomData,
        }
    }

    pub(super) fn locked(&self) -> Locked<'_> {
        // INVARIANT: by the requirements of `begin`.
        Locked {
            memory: self.memory.as_arc_borrow(),
            _not_send: PhantomData,
        }
    }
}

impl Drop for Operation {
    fn drop(&mut self) {
        self.memory.holder.store(self.before, Relaxed);
    }
}
