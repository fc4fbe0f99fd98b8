// SPDX-License-Identifier: GPL-2.0

//! Clocks of devices, by which they stamp packets. They can be read, and not be set.
//!
//! C header: [`include/linux/ptp_clock_kernel.h`](srctree/include/linux/ptp_clock_kernel.h)

use crate::bindings;
use core::{
    marker::PhantomPinned,
    ptr::NonNull, //
};
use kernel::{
    device::{
        Bound,
        Device, //
    },
    error::{
        from_err_ptr,
        from_result, //
    },
    prelude::*,
    types::Opaque, //
};

/// A clock.
pub trait Clock: Send + Sync + 'static {
    /// Returns the time in nanoseconds. May sleep.
    fn now(&self) -> Result<u64>;
}

/// What the core knows of a clock. `raw` comes first, so that a pointer to it is one to this.
#[repr(C)]
struct Inner<T: Clock> {
    raw: Opaque<bindings::ferrite_ptp>,
    clock: T,
    _pin: PhantomPinned,
}

/// Users can read a clock for as long as this lives.
///
/// # Invariants
///
/// `registered` is null, or the clock that was registered with `inner`, which does not move.
pub struct Registration<T: Clock> {
    registered: Option<NonNull<bindings::ptp_clock>>,
    _inner: Pin<KBox<Inner<T>>>,
}

// SAFETY: a clock does not belong to a thread, and `T` is `Send`.
unsafe impl<T: Clock> Send for Registration<T> {}

// SAFETY: nothing but its number can be asked of a shared registration.
unsafe impl<T: Clock> Sync for Registration<T> {}

impl<T: Clock> Registration<T> {
    /// Registers `clock` as that of `device`. A kernel without such clocks shows none.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub fn new(device: &Device<Bound>, clock: T) -> Result<Self> {
        let raw = bindings::ferrite_ptp {
            now: Some(Self::now),
            ..pin_init::zeroed()
        };
        let inner = KBox::pin(
            Inner {
                raw: Opaque::new(raw),
                clock,
                _pin: PhantomPinned,
            },
            GFP_KERNEL,
        )?;
        // SAFETY: `inner` does not move and lives until the clock is unregistered; the device exists.
        let registered = from_err_ptr(unsafe {
            bindings::ferrite_helper_ptp_register(
                inner.raw.get(),
                // CAST: `Device` is a transparent wrapper of `struct device`.
                core::ptr::from_ref(device).cast_mut().cast(),
            )
        })?;
        // INVARIANT: it was just registered, unless it is null.
        Ok(Self {
            registered: NonNull::new(registered),
            _inner: inner,
        })
    }

    /// Returns the number by which users find the clock, -1 if there is none.
    pub fn index(&self) -> i32 {
        self.registered.map_or(-1, |clock| {
            // SAFETY: the clock is registered.
            unsafe { bindings::ferrite_helper_ptp_index(clock.as_ptr()) }
        })
    }

    /// # Safety
    ///
    /// Called by the helpers only, with the `raw` of an [`Inner`] of `T`, and a valid pointer.
    unsafe extern "C" fn now(ptp: *mut bindings::ferrite_ptp, to: *mut u64) -> c_int {
        // SAFETY: `raw` is the first field of an `Inner`, which exists while the clock is
        // registered; only `clock` is borrowed, which nobody changes.
        let clock = unsafe { &(*ptp.cast::<Inner<T>>()).clock };
        from_result(|| {
            let time = clock.now()?;
            // SAFETY: by the requirements of this function.
            unsafe { to.write(time) };
            Ok(0)
        })
    }
}

impl<T: Clock> Drop for Registration<T> {
    fn drop(&mut self) {
        if let Some(clock) = self.registered {
            // SAFETY: the clock is registered, and this is the end of it. No operation of it runs
            // afterwards, so that `inner` may go.
            unsafe { bindings::ferrite_helper_ptp_unregister(clock.as_ptr()) };
        }
    }
}
