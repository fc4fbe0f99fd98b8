// SPDX-License-Identifier: GPL-2.0

//! The lock of network configuration.
//!
//! C header: [`include/linux/rtnetlink.h`](srctree/include/linux/rtnetlink.h)

use crate::bindings;
use core::{
    marker::PhantomData,
    ops::Deref, //
};
use kernel::types::NotThreadSafe;

/// Proof that the current thread holds the RTNL.
///
/// # Invariants
///
/// A reference to one exists only while the thread that has it holds the RTNL.
pub struct Rtnl(PhantomData<NotThreadSafe>);

impl Rtnl {
    /// Returns the proof.
    ///
    /// # Safety
    ///
    /// The current thread holds the RTNL for all of `'a`.
    pub(crate) unsafe fn assume<'a>() -> &'a Self {
        // INVARIANT: the caller promises it.
        &Self(PhantomData)
    }

    /// As [`Self::assume`], for a proof that is kept with others.
    ///
    /// # Safety
    ///
    /// The current thread holds the RTNL for as long as what is returned exists.
    pub(crate) unsafe fn held() -> Self {
        // INVARIANT: the caller promises it.
        Self(PhantomData)
    }
}

/// Takes the RTNL, until what is returned is dropped. May sleep.
pub fn lock_rtnl() -> RtnlGuard {
    // SAFETY: no requirements; taking it twice deadlocks, which is no matter of safety.
    unsafe { bindings::rtnl_lock() };
    RtnlGuard(PhantomData)
}

/// The RTNL is held for as long as this lives.
pub struct RtnlGuard(PhantomData<NotThreadSafe>);

impl Deref for RtnlGuard {
    type Target = Rtnl;

    fn deref(&self) -> &Rtnl {
        // SAFETY: `lock_rtnl` took the RTNL in this thread, which the guard does not leave, and it is
        // released only by the drop.
        unsafe { Rtnl::assume() }
    }
}

impl Drop for RtnlGuard {
    fn drop(&mut self) {
        // SAFETY: `lock_rtnl` took it in this thread.
        unsafe { bindings::rtnl_unlock() };
    }
}
