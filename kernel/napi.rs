// SPDX-License-Identifier: GPL-2.0

//! NAPI: packets are received, and completions reaped, by polling after an interrupt.
//!
//! C header: [`include/linux/netdevice.h`](srctree/include/linux/netdevice.h)

use crate::{
    bindings,
    netdev::NetDevice,
    netdev_lock::Lock,
    skb::SkBuff, //
};
use core::{
    cell::UnsafeCell,
    mem::ManuallyDrop,
    ops::{
        Deref,
        DerefMut, //
    },
    sync::atomic::{
        AtomicPtr,
        Ordering, //
    }, //
};
use kernel::{
    ffi::c_void,
    prelude::*,
    sync::{
        aref::ARef,
        Arc,
        ArcBorrow, //
    },
    types::{
        NotThreadSafe,
        Opaque, //
    }, //
};

/// What a NAPI instance does when it runs.
pub trait Poller: Send + 'static {
    /// What asks the device for interrupts.
    type Rearm: Rearm;

    /// Receives up to [`Context::budget`] packets, does what else is to do, and returns how many
    /// packets were received.
    ///
    /// If that is the whole budget it is called again soon; else interrupts are asked for.
    fn poll(&mut self, cx: &Context<'_>) -> u32;
}

/// Asks a device for interrupts.
pub trait Rearm: Send + Sync + 'static {
    /// Asks for an interrupt when there is something to do, and returns whether there is something
    /// already, for which no interrupt may come.
    ///
    /// Runs after the instance stopped polling, so that the poll may run again at the same time.
    fn rearm(&self) -> bool;
}

impl<T: Rearm> Rearm for Arc<T> {
    #[inline]
    fn rearm(&self) -> bool {
        (**self).rearm()
    }
}

/// A NAPI instance, as seen from inside: it exists while what it does is set up, and while it polls.
///
/// # Invariants
///
/// It is in an [`Arc`]. `napi` was added to `device`. `owner` is the `Inner` that the instance
/// belongs to from before it is first enabled until it was deleted.
#[pin_data]
pub struct Instance {
    #[pin]
    napi: Opaque<bindings::napi_struct>,
    owner: AtomicPtr<c_void>,
    device: ARef<NetDevice>,
}

// SAFETY: a `napi_struct` is made to be used by several threads.
unsafe impl Send for Instance {}

// SAFETY: as above.
unsafe impl Sync for Instance {}

impl Instance {
    fn new(lock: &Lock, index: u16, poll: Poll) -> Result<Arc<Self>> {
        let device = lock.device();
        let raw = device.as_ptr();
        // INVARIANT: it is put in an `Arc`, and `napi` is added to `device`.
        Arc::pin_init(
            try_pin_init!(Self {
                napi <- Opaque::try_ffi_init(|napi: *mut bindings::napi_struct| {
                    // SAFETY: `napi` is zeroed and stays where it is, as it is pinned in an `Arc`;
                    // the device has a configuration for `index`, which the caller checked, and its
                    // lock is held; it exists for as long as the reference in `device`.
                    unsafe {
                        napi.write_bytes(0, 1);
                        bindings::ferrite_helper_netif_napi_add(raw, napi, Some(poll), index.into());
                    }
                    Ok::<(), Error>(())
                }),
                owner: AtomicPtr::new(core::ptr::null_mut()),
                device: device.into(),
            }? Error),
            GFP_KERNEL,
        )
    }

    pub(crate) fn as_ptr(&self) -> *mut bindings::napi_struct {
        self.napi.get()
    }

    /// Returns a reference that keeps the memory of the instance.
    pub(crate) fn to_arc(&self) -> Arc<Self> {
        // SAFETY: by the type's invariants `self` is in an `Arc`, of which a reference exists while
        // it is borrowed.
        unsafe { ArcBorrow::from_raw(self) }.into()
    }

    /// Returns the network device that it belongs to.
    #[inline]
    pub fn device(&self) -> &NetDevice {
        &self.device
    }
}

type Poll = unsafe extern "C" fn(*mut bindings::napi_struct, c_int) -> c_int;

/// The instance is polling.
pub struct Context<'a> {
    instance: &'a Instance,
    budget: i32,
    _not_send: NotThreadSafe,
}

impl Context<'_> {
    /// Returns how many packets may be received.
    pub fn budget(&self) -> u32 {
        self.budget.max(0) as u32
    }

    pub(crate) fn budget_raw(&self) -> i32 {
        self.budget
    }

    /// Hands a packet that came in on receive queue `queue` to the network stack. Returns whether
    /// it was long enough to be one.
    #[inline]
    pub fn receive(&self, skb: SkBuff, queue: u16) -> bool {
        // SAFETY: the instance is polling, and the packet is given away.
        unsafe {
            bindings::ferrite_helper_napi_receive(self.as_ptr(), skb.into_raw().as_ptr(), queue)
        }
    }
}

impl Context<'_> {
    /// Hands a packet that was built for its queue to the network stack, as those are that a program
    /// let pass.
    #[inline]
    pub fn receive_built(&self, skb: SkBuff) {
        // SAFETY: the instance is polling, and the packet is given away.
        unsafe {
            bindings::ferrite_helper_napi_receive_built(self.as_ptr(), skb.into_raw().as_ptr())
        };
    }
}

impl Deref for Context<'_> {
    type Target = Instance;

    fn deref(&self) -> &Instance {
        self.instance
    }
}

/// # Invariants
///
/// `poller` is only accessed by the poll, which does not run twice at a time, or, while the
/// instance is disabled, by the owner.
struct Inner<P: Poller> {
    poller: UnsafeCell<P>,
    rearm: P::Rearm,
}

impl<P: Poller> Inner<P> {
    /// # Safety
    ///
    /// Called by the NAPI core only, with the `napi` of an [`Instance`] whose owner is a `Self`.
    unsafe extern "C" fn poll(napi: *mut bindings::napi_struct, budget: c_int) -> c_int {
        // SAFETY: `napi` is that of an `Instance`. It and its owner exist for as long as it polls:
        // deleting the instance waits for this function to return.
        let (instance, this) = unsafe {
            let instance: &Instance =
                &*kernel::container_of!(Opaque::cast_from(napi), Instance, napi);
            (
                instance,
                &*instance.owner.load(Ordering::Relaxed).cast::<Self>(),
            )
        };
        let work = {
            // SAFETY: the instance polls in one thread at a time, and is not disabled.
            let poller = unsafe { &mut *this.poller.get() };
            poller.poll(&Context {
                instance,
                budget,
                _not_send: NotThreadSafe,
            })
        };
        // CAST: it is at most `budget`.
        let work = work.min(budget.max(0) as u32) as c_int;
        // SAFETY: the instance polls. From here on it may do so in another thread, which is why
        // `poller` is not used any more.
        let complete = work < budget && unsafe { bindings::napi_complete_done(napi, work) };
        if complete && this.rearm.rearm() {
            // SAFETY: `napi` is valid until this function returns.
            unsafe { bindings::ferrite_helper_napi_schedule(napi) };
        }
        work
    }
}

/// Makes a NAPI instance run. May be cloned and kept; does nothing once the instance is disabled.
#[derive(Clone)]
pub struct Scheduler(Arc<Instance>);

impl Scheduler {
    /// Makes the instance run soon. May be called in any context.
    #[inline]
    pub fn schedule(&self) {
        // SAFETY: the instance was initialized. While it is disabled, or deleted, this does
        // nothing.
        unsafe { bindings::ferrite_helper_napi_schedule(self.0.as_ptr()) };
    }
}

/// A NAPI instance, owned. It starts disabled, and is to end with [`Napi::delete`].
///
/// # Invariants
///
/// The instance is enabled if and only if `enabled`, and bound to the queues in `bound`. `inner` is
/// the owner that `instance` names; it does not move.
pub struct Napi<P: Poller> {
    inner: ManuallyDrop<KBox<Inner<P>>>,
    instance: ManuallyDrop<Arc<Instance>>,
    enabled: bool,
    bound: Option<u16>,
}

// SAFETY: `inner.poller` is accessed by one thread at a time, by the invariants of `Inner`, and can
// be sent, as can the rest.
unsafe impl<P: Poller> Send for Napi<P> {}

impl<P: Poller> Napi<P> {
    /// Adds instance `index` to a network device. `setup` makes what it does, for which the
    /// instance is known already.
    ///
    /// # Errors
    ///
    /// `EINVAL` if the device has not as many queues, `ENOMEM`, and what `setup` fails with.
    pub fn new(
        lock: &Lock,
        index: u16,
        setup: impl FnOnce(&Instance) -> Result<(P, P::Rearm)>,
    ) -> Result<New<'_, P>> {
        let device = lock.device();
        if index >= device.tx_queues().max(device.rx_queues()) {
            return Err(EINVAL);
        }
        let added = Added(Instance::new(lock, index, Inner::<P>::poll)?, lock);
        let (poller, rearm) = setup(&added.0)?;
        let inner = KBox::new(
            Inner {
                poller: UnsafeCell::new(poller),
                rearm,
            },
            GFP_KERNEL,
        )?;
        let owner: *const Inner<P> = &*inner;
        added
            .0
            .owner
            .store(owner.cast_mut().cast(), Ordering::Relaxed);
        // INVARIANT: a new instance is disabled and bound to no queue.
        let napi = Self {
            inner: ManuallyDrop::new(inner),
            instance: ManuallyDrop::new(added.keep()),
            enabled: false,
            bound: None,
        };
        Ok(New {
            napi: ManuallyDrop::new(napi),
            lock,
        })
    }

    /// Returns what makes the instance run.
    pub fn scheduler(&self) -> Scheduler {
        Scheduler((*self.instance).clone())
    }

    /// Returns whether `lock` is that of the instance's device; without it nothing is done.
    fn is_held(&self, lock: &Lock) -> bool {
        let device = self.instance.device();
        let is_held = lock.is_of(device);
        if !is_held {
            kernel::dev_err!(device, "the lock of another device is held\n");
        }
        is_held
    }

    /// Lets the instance run. May sleep.
    pub fn enable(&mut self, lock: &Lock) {
        if !self.enabled && self.is_held(lock) {
            // SAFETY: the instance is disabled, by the type's invariants, and the lock of its device is
            // held.
            unsafe { bindings::napi_enable_locked(self.instance.as_ptr()) };
            self.enabled = true;
        }
    }

    /// Keeps the instance from running and waits until it does not. May sleep.
    pub fn disable(&mut self, lock: &Lock) {
        if self.enabled && self.is_held(lock) {
            // SAFETY: the instance is enabled, by the type's invariants, and the lock of its device is
            // held.
            unsafe { bindings::napi_disable_locked(self.instance.as_ptr()) };
            self.enabled = false;
        }
    }

    /// As [`Self::disable`]; waits for [`Rearm::rearm`] as well, which may run yet after a poll.
    pub fn quiesce(&mut self, lock: &Lock) {
        self.disable(lock);
        // SAFETY: no requirements but that this may sleep. A poll is a reading side of RCU from its
        // beginning to its end.
        unsafe { bindings::synchronize_net() };
    }

    /// Passes what the instance does to `f`, if it is disabled; returns what that returns.
    pub fn with_poller<R>(&mut self, f: impl FnOnce(&mut P, &Instance) -> R) -> Option<R> {
        if self.enabled {
            return None;
        }
        // `self.instance` stands for a disabled instance: nobody else runs on its behalf.
        Some(f(self.inner.poller.get_mut(), &self.instance))
    }

    /// Tells user space that the instance runs after interrupt `irq`.
    pub fn set_irq(&mut self, lock: &Lock, irq: u32) {
        // CAST: the numbers of interrupts are small.
        self.tell_irq(lock, irq as c_int);
    }

    /// Forgets what [`Self::set_irq`] told. To be called before that interrupt is released.
    pub fn clear_irq(&mut self, lock: &Lock) {
        self.tell_irq(lock, -1);
    }

    fn tell_irq(&self, lock: &Lock, irq: c_int) {
        if self.is_held(lock) {
            // SAFETY: the instance was added, and the lock of its device is held.
            unsafe { bindings::netif_napi_set_irq_locked(self.instance.as_ptr(), irq) };
        }
    }

    /// Tells user space that the instance serves transmit and receive queue `queue`.
    ///
    /// # Errors
    ///
    /// `EINVAL` if there is no such queue.
    pub fn bind(&mut self, lock: &Lock, queue: u16) -> Result {
        let device = self.instance.device();
        if queue >= device.tx_queues().min(device.rx_queues()) || !self.is_held(lock) {
            return Err(EINVAL);
        }
        self.set_queue(queue, self.instance.as_ptr());
        self.bound = Some(queue);
        Ok(())
    }

    fn set_queue(&self, queue: u16, napi: *mut bindings::napi_struct) {
        let device = self.instance.device().as_ptr();
        for kind in [
            bindings::netdev_queue_type_NETDEV_QUEUE_TYPE_RX,
            bindings::netdev_queue_type_NETDEV_QUEUE_TYPE_TX,
        ] {
            // SAFETY: the callers hold the lock of the device and have checked `queue`; `napi` is an
            // instance of this device, or null. One that is bound is not freed.
            unsafe { bindings::netif_queue_set_napi(device, queue.into(), kind, napi) };
        }
    }

    /// Disables the instance and deletes it, and what it does with it.
    pub fn delete(mut self, lock: &Lock) {
        if !self.is_held(lock) {
            return;
        }
        self.disable(lock);
        if let Some(queue) = self.bound.take() {
            self.set_queue(queue, core::ptr::null_mut());
        }
        let mut this = ManuallyDrop::new(self);
        // SAFETY: `this` is not used any more, so that the reference is moved out of it.
        let instance = unsafe { ManuallyDrop::take(&mut this.instance) };
        // Waits for polls that are about to return.
        drop(Added(instance, lock));
        // SAFETY: this is the only drop, and the instance, which was deleted, does not use it any more.
        unsafe { ManuallyDrop::drop(&mut this.inner) };
    }
}

impl<P: Poller> Drop for Napi<P> {
    fn drop(&mut self) {
        // The instance stays, and so does what it does.
        kernel::dev_err!(
            self.instance.device(),
            "a NAPI instance was not deleted; it is leaked\n"
        );
    }
}

/// A NAPI instance that was just made, and is deleted again unless it is kept.
pub struct New<'a, P: Poller> {
    napi: ManuallyDrop<Napi<P>>,
    lock: &'a Lock,
}

impl<P: Poller> New<'_, P> {
    /// Returns the instance, to be kept.
    pub fn keep(self) -> Napi<P> {
        let mut this = ManuallyDrop::new(self);
        // SAFETY: `this` is not used any more, so that the instance is moved out of it.
        unsafe { ManuallyDrop::take(&mut this.napi) }
    }
}

impl<P: Poller> Deref for New<'_, P> {
    type Target = Napi<P>;

    fn deref(&self) -> &Napi<P> {
        &self.napi
    }
}

impl<P: Poller> DerefMut for New<'_, P> {
    fn deref_mut(&mut self) -> &mut Napi<P> {
        &mut self.napi
    }
}

impl<P: Poller> Drop for New<'_, P> {
    fn drop(&mut self) {
        // SAFETY: this is the drop: the instance is moved out once.
        unsafe { ManuallyDrop::take(&mut self.napi) }.delete(self.lock);
    }
}

/// An instance that is to be deleted.
struct Added<'a>(Arc<Instance>, &'a Lock);

impl Added<'_> {
    fn keep(self) -> Arc<Instance> {
        let this = ManuallyDrop::new(self);
        // SAFETY: `this` is not used any more, so that the reference is moved out of it.
        unsafe { core::ptr::read(&this.0) }
    }
}

impl Drop for Added<'_> {
    fn drop(&mut self) {
        debug_assert!(self.1.is_of(self.0.device()));
        // SAFETY: the instance was added, was never enabled or is disabled, and is deleted once:
        // either this is the guard that `Napi::new` drops early, or the one of `Napi::delete`. Both have
        // the lock of its device.
        unsafe { bindings::ferrite_helper_netif_napi_del(self.0.as_ptr()) };
    }
}
