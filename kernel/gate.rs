// SPDX-License-Identifier: GPL-2.0

//! A device resource that may be used while sleeping.
//!
//! [`Devres`] protects its users by RCU, so that they cannot sleep. A [`Gate`] counts its users and
//! waits for them when the device is unbound.

use core::ops::Deref;
use kernel::{
    device::{
        Bound,
        Device, //
    },
    devres::Devres,
    prelude::*,
    sync::{
        aref::ARef,
        static_lock_class,
        Arc,
        Completion,
        LockClassKey,
        SpinLock, //
    },
};

/// Returns name and key of the lock class of all gates.
///
/// Lockdep wants one name for one key, and compares addresses. In the generic [`Gate::new`] the key
/// would be one for all modules, but the name a literal of each that uses it.
#[inline(never)]
fn lock_class() -> (&'static CStr, Pin<&'static LockClassKey>) {
    (c"ferrite_gate", static_lock_class!())
}

struct Users<T: ?Sized> {
    value: Option<Arc<T>>,
    inside: usize,
}

/// # Invariants
///
/// Once `users.value` is `None` it stays so, and `users.inside` does not grow. When both are `None`
/// and zero, `empty` is or is about to be completed, if it ever was not so.
#[pin_data]
struct State<T: ?Sized> {
    device: ARef<Device>,
    #[pin]
    users: SpinLock<Users<T>>,
    #[pin]
    empty: Completion,
}

impl<T: ?Sized> State<T> {
    fn close(&self) {
        let (value, inside) = {
            let mut users = self.users.lock();
            (users.value.take(), users.inside)
        };
        if inside > 0 {
            self.empty.wait_for_completion();
        }
        drop(value);
    }
}

struct Closer<T: ?Sized>(Arc<State<T>>);

impl<T: ?Sized> Drop for Closer<T> {
    fn drop(&mut self) {
        self.0.close();
    }
}

/// Access to a `T` for as long as a device is bound.
///
/// # Invariants
///
/// When the device is unbound, `State::close` returns before the unbinding ends.
pub struct Gate<T: ?Sized + Send + Sync + 'static> {
    state: Arc<State<T>>,
    _closer: Devres<Closer<T>>,
}

impl<T: ?Sized + Send + Sync + 'static> Gate<T> {
    /// Gives access to `value` for as long as `device` is bound.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub fn new(device: &Device<Bound>, value: Arc<T>) -> Result<Self> {
        let (name, key) = lock_class();
        let state = Arc::pin_init(
            try_pin_init!(State {
                device: device.into(),
                users <- SpinLock::new(Users { value: Some(value), inside: 0 }, name, key),
                empty <- Completion::new(),
            }),
            GFP_KERNEL,
        )?;
        // INVARIANT: the drop of `Closer` calls `State::close`, and devres does the drop before the
        // device is unbound.
        Ok(Self {
            _closer: Devres::new(device, Ok::<_, Error>(Closer(state.clone())))?,
            state,
        })
    }

    /// Goes in, unless the gate is closed.
    ///
    /// Whoever is inside holds up the unbinding of the device, and [`Gate::close`].
    pub fn enter(&self) -> Option<Inside<'_, T>> {
        let mut users = self.state.users.lock();
        let value = users.value.clone()?;
        users.inside += 1;
        Some(Inside {
            state: &self.state,
            value: Some(value),
        })
    }

    /// Closes the gate for good and waits until nobody is inside. The value is dropped, unless
    /// there are other references to it. Must not be called from inside.
    pub fn close(&self) {
        self.state.close();
    }
}

/// Somebody inside a [`Gate`].
///
/// # Invariants
///
/// `value` is `Some` until the drop, and until then this is counted in `state.users.inside`.
pub struct Inside<'a, T: ?Sized> {
    state: &'a State<T>,
    value: Option<Arc<T>>,
}

impl<T: ?Sized> Inside<'_, T> {
    /// Returns the device of the gate, which stays bound.
    pub fn device(&self) -> &Device<Bound> {
        // SAFETY: by the invariants of `Gate`, `State::close` returns before the device is unbound;
        // it waits until `users.inside` is zero, and by the invariants of this type it is not for
        // as long as the returned reference lives.
        unsafe { self.state.device.as_bound() }
    }
}

impl<T: ?Sized> Deref for Inside<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        // PANIC: `value` is `Some` until the drop.
        self.value.as_deref().unwrap()
    }
}

impl<T: ?Sized> Drop for Inside<'_, T> {
    fn drop(&mut self) {
        // Before the closing side goes on, so that it finds no reference left behind.
        drop(self.value.take());
        let mut users = self.state.users.lock();
        users.inside -= 1;
        if users.inside == 0 && users.value.is_none() {
            self.state.empty.complete_all();
        }
    }
}

#[kunit_tests(ferrite_gate)]
mod tests {
    use super::*;
    use crate::testing::TestDevice;
    use kernel::sync::atomic::{
        Atomic,
        Relaxed, //
    };

    /// How long a test waits for what must not happen, and for what must, in milliseconds.
    const SHORT: u32 = 20;
    const LONG: u32 = 10_000;

    struct Value(Arc<Atomic<u32>>);

    impl Drop for Value {
        fn drop(&mut self) {
            self.0.fetch_add(1, Relaxed);
        }
    }

    fn drops() -> Result<Arc<Atomic<u32>>> {
        Ok(Arc::new(Atomic::new(0), GFP_KERNEL)?)
    }

    #[test]
    fn closed_gate_lets_nobody_in() -> Result {
        let device = TestDevice::new(c"ferrite-gate")?;
        let drops = drops()?;
        let value = Arc::new(Value(drops.clone()), GFP_KERNEL)?;
        let gate = Gate::new(device.device(), value)?;
        assert!(gate.enter().is_some());
        gate.close();
        assert!(gate.enter().is_none());
        assert_eq!(drops.load(Relaxed), 1);
        gate.close();
        Ok(())
    }

    #[test]
    fn unbinding_closes_the_gate() -> Result {
        let device = TestDevice::new(c"ferrite-gate")?;
        let drops = drops()?;
        let value = Arc::new(Value(drops.clone()), GFP_KERNEL)?;
        let gate = Gate::new(device.device(), value)?;
        drop(device);
        assert!(gate.enter().is_none());
        assert_eq!(drops.load(Relaxed), 1);
        Ok(())
    }

    #[test]
    fn closing_waits_until_nobody_is_inside() -> Result {
        let device = TestDevice::new(c"ferrite-gate")?;
        let value = Arc::new(Value(drops()?), GFP_KERNEL)?;
        let gate = Arc::new(Gate::new(device.device(), value)?, GFP_KERNEL)?;
        let closed = Arc::pin_init(crate::completion::Completion::new(), GFP_KERNEL)?;

        let inside = gate.enter().ok_or(EINVAL)?;
        let (closer, signal) = (gate.clone(), closed.clone());
        crate::work::queue().try_spawn(GFP_KERNEL, move || {
            closer.close();
            drop(closer);
            signal.complete();
        })?;
        assert!(!closed.wait_timeout(SHORT));
        assert_eq!(inside.0.load(Relaxed), 0);
        drop(inside);
        assert!(closed.wait_timeout(LONG));
        Ok(())
    }
}
