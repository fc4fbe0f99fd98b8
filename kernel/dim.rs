// SPDX-License-Identifier: GPL-2.0

//! Dynamic interrupt moderation: the kernel's library that finds out from the traffic of a queue how its
//! interrupts are best moderated.
//!
//! A [`Moderator`] is fed with counters after each poll, and tells its [`Apply`] of what is to change.
//!
//! C header: [`include/linux/dim.h`](srctree/include/linux/dim.h)

use crate::bindings;
use kernel::{
    prelude::*,
    sync::Arc,
    types::Opaque, //
};

/// Which way the packets of a queue go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// They are received.
    Rx,
    /// They are sent.
    Tx,
}

/// How the interrupts of a queue are to be moderated.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Decision {
    /// Least time between two in microseconds.
    pub usecs: u16,
    /// Packets after which one does not wait any longer.
    pub packets: u16,
}

/// Carries out what a [`Moderator`] decided.
pub trait Apply: Send + Sync + 'static {
    /// Moderates the interrupts as decided. May sleep.
    fn apply(&self, decision: Decision);
}

/// # Invariants
///
/// `dim` was initialized with [`Inner::work`], and is changed by [`Moderator::sample`] alone but for what
/// the work does: `net_dim` queues it and from then on only looks at the state, until the work, as its
/// last access, sets that.
#[pin_data]
struct Inner<T: Apply> {
    #[pin]
    dim: Opaque<bindings::dim>,
    direction: Direction,
    target: Arc<T>,
}

impl<T: Apply> Inner<T> {
    /// # Safety
    ///
    /// Called by the workqueue only, with the work in the `dim` of an `Inner<T>`, which exists until this
    /// returns: [`Moderator::drop`] waits for it.
    unsafe extern "C" fn work(work: *mut bindings::work_struct) {
        // SAFETY: by the requirements of this function.
        let (dim, this) = unsafe {
            let dim = kernel::container_of!(work, bindings::dim, work);
            let this: &Self = &*kernel::container_of!(Opaque::cast_from(dim), Self, dim);
            (dim, this)
        };
        // SAFETY: while the work runs nobody changes `dim`, by the type's invariants.
        let (mode, index) = unsafe { ((*dim).mode, (*dim).profile_ix) };
        this.target.apply(decision(this.direction, mode, index));
        // SAFETY: `dim` is initialized, and this is the work's last access.
        unsafe { bindings::ferrite_helper_dim_applied(dim) };
    }
}

/// Returns what a profile stands for.
fn decision(direction: Direction, mode: u8, index: u8) -> Decision {
    const PROFILES: u8 = bindings::NET_DIM_PARAMS_NUM_PROFILES as u8;
    const MODES: u8 = bindings::dim_cq_period_mode_DIM_CQ_PERIOD_NUM_MODES as u8;
    let (mode, index) = (mode.min(MODES - 1), index.min(PROFILES - 1));
    // SAFETY: both are within the library's table.
    let moderation = unsafe {
        match direction {
            Direction::Rx => bindings::net_dim_get_rx_moderation(mode, index.into()),
            Direction::Tx => bindings::net_dim_get_tx_moderation(mode, index.into()),
        }
    };
    Decision {
        usecs: moderation.usec,
        packets: moderation.pkts,
    }
}

/// Moderates the interrupts of a queue by its traffic.
///
/// Dropping it waits until [`Apply::apply`] does not run; that is not to be done with a lock that this
/// takes. May sleep.
pub struct Moderator<T: Apply>(Pin<KBox<Inner<T>>>);

// SAFETY: a `dim` does not belong to a thread; `T` is `Send` and `Sync`.
unsafe impl<T: Apply> Send for Moderator<T> {}

impl<T: Apply> Moderator<T> {
    /// Returns one that has seen no traffic yet.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub fn new(direction: Direction, target: Arc<T>) -> Result<Self> {
        // INVARIANT: `dim` is initialized with the work of this very type.
        let inner = KBox::pin_init(
            pin_init!(Inner {
                dim <- Opaque::ffi_init(|dim: *mut bindings::dim| {
                    // SAFETY: `dim` is memory for one, which is pinned.
                    unsafe { bindings::ferrite_helper_dim_init(dim, Some(Inner::<T>::work)) };
                }),
                direction,
                target,
            }),
            GFP_KERNEL,
        )?;
        Ok(Self(inner))
    }

    /// Takes note of the traffic so far: interrupts, packets and their bytes, all of which only grow and
    /// may wrap. May be called in atomic context.
    #[inline]
    pub fn sample(&mut self, events: u16, packets: u64, bytes: u64) {
        // SAFETY: `dim` is initialized, and `&mut self` makes this the only call.
        unsafe { bindings::ferrite_helper_dim_sample(self.0.dim.get(), events, packets, bytes) };
    }
}

impl<T: Apply> Drop for Moderator<T> {
    fn drop(&mut self) {
        // CAST: both sets of bindings describe the same type.
        //
        // SAFETY: the work is initialized, and is not queued any more: only `sample` does that.
        unsafe {
            let work = &raw mut (*self.0.dim.get()).work;
            kernel::bindings::cancel_work_sync(work.cast());
        }
    }
}

#[kunit_tests(ferrite_dim)]
mod tests {
    use super::*;
    use crate::completion::Completion;
    use kernel::sync::atomic::{
        Atomic,
        Relaxed, //
    };

    /// Notes the last decision.
    #[pin_data]
    struct Last {
        usecs: Atomic<u32>,
        #[pin]
        decided: Completion,
    }

    impl Apply for Last {
        fn apply(&self, decision: Decision) {
            self.usecs.store(decision.usecs.into(), Relaxed);
            self.decided.complete_all();
        }
    }

    #[test]
    fn profiles_have_longer_and_longer_intervals() {
        for direction in [Direction::Rx, Direction::Tx] {
            let usecs = |index| decision(direction, 0, index).usecs;
            for index in 1..5 {
                assert!(usecs(index - 1) < usecs(index));
            }
            // What is out of range is the last.
            assert_eq!(usecs(200), usecs(4));
        }
    }
    #[test]
    fn traffic_leads_to_a_decision() -> Result {
        let last = Arc::pin_init(
            pin_init!(Last {
                usecs: Atomic::new(0),
                decided <- Completion::new(),
            }),
            GFP_KERNEL,
        )?;
        let mut moderator = Moderator::new(Direction::Rx, last.clone())?;
        for n in 1..=100 {
            moderator.sample(n * 64, u64::from(n) * 1000, u64::from(n) * 1_000_000);
        }
        assert!(last.decided.wait_timeout(10_000));
        drop(moderator);
        let usecs = last.usecs.load(Relaxed);
        assert!((0..5).any(|index| u32::from(decision(Direction::Rx, 0, index).usecs) == usecs));
        Ok(())
    }
}
