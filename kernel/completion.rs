// SPDX-License-Identifier: GPL-2.0

//! Completions that can be waited for with a timeout and used again.
//!
//! C header: [`include/linux/completion.h`](srctree/include/linux/completion.h)

use kernel::{
    bindings,
    prelude::*,
    time::{
        msecs_to_jiffies,
        Msecs, //
    },
    types::Opaque, //
};

/// A counting completion: each [`Completion::complete`] lets one waiter pass.
#[pin_data]
pub struct Completion {
    #[pin]
    inner: Opaque<bindings::completion>,
}

// SAFETY: a `struct completion` does not belong to a thread.
unsafe impl Send for Completion {}

// SAFETY: the functions on a `struct completion` that are used here lock it.
unsafe impl Sync for Completion {}

impl Completion {
    /// Creates an initializer for a completion that is not done.
    pub fn new() -> impl PinInit<Self> {
        pin_init!(Self {
            inner <- Opaque::ffi_init(|slot: *mut bindings::completion| {
                // SAFETY: `slot` is valid for writes, and stays where it is: `Self` is pinned.
                unsafe { bindings::init_completion(slot) };
            }),
        })
    }

    /// Lets one waiter pass, now or in future. May be called in any context.
    pub fn complete(&self) {
        // SAFETY: `self.inner` was initialized by `new`.
        unsafe { bindings::complete(self.inner.get()) };
    }

    /// Lets all waiters pass, now and in future. May be called in any context.
    pub fn complete_all(&self) {
        // SAFETY: `self.inner` was initialized by `new`.
        unsafe { bindings::complete_all(self.inner.get()) };
    }

    /// Waits, uninterrupted and for `timeout` milliseconds at most; returns whether it was let
    /// pass.
    #[must_use]
    pub fn wait_timeout(&self, timeout: Msecs) -> bool {
        let jiffies = msecs_to_jiffies(timeout);
        // SAFETY: `self.inner` was initialized by `new`.
        unsafe { bindings::wait_for_completion_timeout(self.inner.get(), jiffies) != 0 }
    }

    /// Passes if that needs no waiting; returns whether it did. This uses up what a waiter that gave
    /// up left behind.
    pub fn try_wait(&self) -> bool {
        // SAFETY: `self.inner` was initialized by `new`.
        unsafe { bindings::try_wait_for_completion(self.inner.get()) }
    }
}

#[kunit_tests(ferrite_completion)]
mod tests {
    use super::*;
    use kernel::sync::Arc;

    #[test]
    fn nobody_passes_without_completion() -> Result {
        let done = Arc::pin_init(Completion::new(), GFP_KERNEL)?;
        assert!(!done.try_wait());
        assert!(!done.wait_timeout(1));
        Ok(())
    }

    #[test]
    fn one_completion_lets_one_pass() -> Result {
        let done = Arc::pin_init(Completion::new(), GFP_KERNEL)?;
        done.complete();
        assert!(done.wait_timeout(1));
        assert!(!done.try_wait());
        Ok(())
    }

    #[test]
    fn completion_for_all_lasts() -> Result {
        let done = Arc::pin_init(Completion::new(), GFP_KERNEL)?;
        done.complete_all();
        assert!(done.wait_timeout(1));
        assert!(done.wait_timeout(1));
        Ok(())
    }
}
