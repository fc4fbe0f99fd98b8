// SPDX-License-Identifier: GPL-2.0

//! MSI-X vectors of a PCI device, each of which can be reached and requested on its own, or shared.
//!
//! Handlers are those of [`kernel::irq`].

use core::marker::PhantomPinned;
use kernel::{
    bindings,
    device::{
        Bound,
        Device, //
    },
    devres::Devres,
    error::to_result,
    fmt,
    irq::{
        Handler,
        ThreadedHandler, //
    },
    new_mutex, pci,
    prelude::*,
    str::CString,
    sync::{
        aref::ARef,
        Arc,
        Mutex, //
    },
};

/// # Invariants
///
/// `pdev` has MSI-X vectors allocated, and none of them is requested when this is dropped.
struct Allocation {
    pdev: ARef<pci::Device>,
}

impl Allocation {
    /// Returns the Linux interrupt number of a vector that is allocated.
    fn irq(&self, vector: u16) -> Result<u32> {
        // SAFETY: by the invariants of this type.
        let irq = unsafe { bindings::pci_irq_vector(raw_pci(&self.pdev), vector.into()) };
        to_result(irq)?;
        // CAST: it is not negative.
        Ok(irq as u32)
    }
}

impl Drop for Allocation {
    fn drop(&mut self) {
        // SAFETY: by the invariants of this type; the cast is to the type that `pci::Device` wraps.
        unsafe { bindings::pci_free_irq_vectors(raw_pci(&self.pdev)) };
    }
}

fn raw_pci(pdev: &pci::Device) -> *mut bindings::pci_dev {
    // CAST: `pci::Device` is a transparent wrapper of `struct pci_dev`.
    core::ptr::from_ref(pdev).cast_mut().cast()
}

/// A vector that is given out, or was and is kept because it cannot be allocated anew.
struct Slot {
    index: u16,
    irq: u32,
    users: u32,
    /// Its user shares it with nobody.
    alone: bool,
}

/// The vectors of a device that are given out as they are asked for.
#[pin_data]
struct Pool {
    pdev: ARef<pci::Device>,
    /// First number that is none of the device's.
    limit: u16,
    /// Whether vectors are allocated as they are asked for; they all are from the start otherwise.
    dynamic: bool,
    #[pin]
    slots: Mutex<KVec<Slot>>,
}

impl Pool {
    /// Takes a vector that nobody has, for one user `alone` if that is asked for; or else, of those
    /// that can be shared, that of the fewest users.
    ///
    /// The device must have vectors allocated until what is returned is dropped.
    fn take(self: &Arc<Self>, alone: bool) -> Result<Share> {
        let mut slots = self.slots.lock();
        if self.dynamic {
            slots.reserve(1, GFP_KERNEL)?;
            if let Some(slot) = self.allocate() {
                slots.push(slot, GFP_KERNEL)?;
            }
        }
        let free = slots.iter_mut().filter(|slot| !slot.alone);
        let slot = free.min_by_key(|slot| slot.users).ok_or(ENOSPC)?;
        slot.alone = alone && slot.users == 0;
        slot.users += 1;
        Ok(Share {
            pool: self.clone(),
            index: slot.index,
            irq: slot.irq,
            alone: slot.alone,
        })
    }

    /// Allocates one more vector, unless the device has no more, or the system.
    fn allocate(&self) -> Option<Slot> {
        // CAST: any index, which is -1, as the function takes it.
        let any = bindings::MSI_ANY_INDEX as u32;
        // SAFETY: the device is valid; without MSI-X this fails.
        let map =
            unsafe { bindings::pci_msix_alloc_irq_at(raw_pci(&self.pdev), any, core::ptr::null()) };
        let index = u16::try_from(map.index).ok()?;
        if index >= self.limit {
            // SAFETY: it was just allocated, and nobody has requested it.
            unsafe { bindings::pci_msix_free_irq(raw_pci(&self.pdev), map) };
            return None;
        }
        Some(Slot {
            index,
            // CAST: it is positive where the index is not negative.
            irq: map.virq as u32,
            users: 0,
            alone: false,
        })
    }

    fn give_back(&self, index: u16) {
        let mut slots = self.slots.lock();
        let Some(at) = slots.iter().position(|slot| slot.index == index) else {
            return;
        };
        slots[at].users -= 1;
        slots[at].alone = false;
        if slots[at].users > 0 || !self.dynamic {
            return;
        }
        let Ok(slot) = slots.remove(at) else {
            return;
        };
        let map = bindings::msi_map {
            index: index.into(),
            // CAST: it was one.
            virq: slot.irq as i32,
        };
        // SAFETY: the device is valid and its vectors are still allocated, by `Pool::take`; nobody has
        // requested this one any more.
        unsafe { bindings::pci_msix_free_irq(raw_pci(&self.pdev), map) };
    }
}

/// A vector from a [`Pool`], perhaps shared.
struct Share {
    pool: Arc<Pool>,
    index: u16,
    irq: u32,
    alone: bool,
}

impl Drop for Share {
    fn drop(&mut self) {
        self.pool.give_back(self.index);
    }
}

/// The MSI-X vectors of a PCI device, from 0.
///
/// Some are fixed: there from the start, to be requested by number. The others are taken from the
/// system as they are requested, and given back then; when none is left, requests share them.
///
/// They are freed when the device is unbound, or when this and all [`Registration`]s are dropped.
pub struct Vectors {
    allocation: Devres<Allocation>,
    pool: Arc<Pool>,
    fixed: u16,
}

impl Vectors {
    /// Allocates `fixed` vectors; up to `limit` in all can be had.
    ///
    /// # Errors
    ///
    /// `ENOSPC` if there are fewer, `EINVAL` if `fixed` is 0 or more than `limit`, `ENOMEM`.
    pub fn alloc(pdev: &pci::Device<Bound>, fixed: u16, limit: u16) -> Result<Arc<Self>> {
        if fixed == 0 || fixed > limit {
            return Err(EINVAL);
        }
        // SAFETY: `pdev` is a valid device.
        let dynamic = unsafe { bindings::pci_msix_can_alloc_dyn(raw_pci(pdev)) };
        let most = if dynamic { fixed } else { limit };
        // SAFETY: `pdev` is a valid device that is bound to the caller's driver.
        let count = unsafe {
            bindings::pci_alloc_irq_vectors(
                raw_pci(pdev),
                fixed.into(),
                most.into(),
                bindings::PCI_IRQ_MSIX,
            )
        };
        to_result(count)?;
        // INVARIANT: the vectors were just allocated, and what requests one, a `Registration`, holds
        // an `Arc` of `Vectors` and is released by devres before this, because it was added later.
        let allocation = Allocation { pdev: pdev.into() };
        let mut slots = KVec::new();
        for index in fixed..count.try_into()? {
            let irq = allocation.irq(index)?;
            let slot = Slot {
                index,
                irq,
                users: 0,
                alone: false,
            };
            slots.push(slot, GFP_KERNEL)?;
        }
        let pool = Arc::pin_init(
            pin_init!(Pool {
                pdev: pdev.into(),
                limit,
                dynamic,
                slots <- new_mutex!(slots, "ferrite_vectors"),
            }),
            GFP_KERNEL,
        )?;
        let vectors = Self {
            allocation: Devres::new(pdev.as_ref(), Ok::<_, Error>(allocation))?,
            pool,
            fixed,
        };
        Ok(Arc::new(vectors, GFP_KERNEL)?)
    }

    /// Lets `handler` handle the interrupts of a fixed vector in hard interrupt context; `name` is for
    /// `/proc/interrupts`.
    ///
    /// # Errors
    ///
    /// `EINVAL` if there is no such vector or `device` is not the one that has the vectors, `EBUSY`
    /// if it is taken, `ENOMEM`.
    pub fn request(
        self: &Arc<Self>,
        device: &Device<Bound>,
        vector: u16,
        name: fmt::Arguments<'_>,
        handler: Arc<dyn Handler + Send>,
    ) -> Result<Registration> {
        self.request_fixed(device, vector, name, Target::Hard(handler))
    }

    /// As [`Vectors::request`], for a handler most of which runs in a thread.
    ///
    /// # Errors
    ///
    /// Those of [`Vectors::request`].
    pub fn request_threaded(
        self: &Arc<Self>,
        device: &Device<Bound>,
        vector: u16,
        name: fmt::Arguments<'_>,
        handler: Arc<dyn ThreadedHandler + Send>,
    ) -> Result<Registration> {
        self.request_fixed(device, vector, name, Target::Threaded(handler))
    }

    /// Lets `handler` handle the interrupts of a vector that nobody else has, or if there is none, of
    /// one that the fewest others have: it may then be called for interrupts that are not its own.
    /// [`Registration::vector`] tells which one it is. With `alone` nobody else gets a vector that nobody
    /// had; [`Registration::is_alone`] tells whether that came true.
    ///
    /// # Errors
    ///
    /// `EINVAL` if `device` is not the one that has the vectors, `ENOSPC` if there is none to share,
    /// `ENOMEM`.
    pub fn request_any(
        self: &Arc<Self>,
        device: &Device<Bound>,
        alone: bool,
        name: fmt::Arguments<'_>,
        handler: Arc<dyn Handler + Send>,
    ) -> Result<Registration> {
        let _allocation = self.allocation.access(device)?;
        let share = self.pool.take(alone)?;
        let (vector, irq) = (share.index, share.irq);
        let target = Target::Hard(handler);
        self.register(device, vector, irq, Some(share), name, target)
    }

    fn request_fixed(
        self: &Arc<Self>,
        device: &Device<Bound>,
        vector: u16,
        name: fmt::Arguments<'_>,
        target: Target,
    ) -> Result<Registration> {
        let allocation = self.allocation.access(device)?;
        if vector >= self.fixed {
            return Err(EINVAL);
        }
        let irq = allocation.irq(vector)?;
        self.register(device, vector, irq, None, name, target)
    }

    fn register(
        self: &Arc<Self>,
        device: &Device<Bound>,
        vector: u16,
        irq: u32,
        share: Option<Share>,
        name: fmt::Arguments<'_>,
        target: Target,
    ) -> Result<Registration> {
        let name = CString::try_from_fmt(name)?;
        let alone = share.as_ref().is_none_or(|share| share.alone);
        let line = Devres::new(device, Line::new(irq, device.into(), name, target, share))?;
        Ok(Registration {
            line,
            vector,
            irq,
            alone,
            _vectors: self.clone(),
        })
    }
}

enum Target {
    Hard(Arc<dyn Handler + Send>),
    Threaded(Arc<dyn ThreadedHandler + Send>),
}

/// A requested interrupt.
///
/// # Invariants
///
/// Between the end of the initialization and the drop, `irq` is requested with the address of this
/// as cookie. `device` is bound during that time.
#[pin_data(PinnedDrop)]
struct Line {
    irq: u32,
    device: ARef<Device>,
    name: CString,
    target: Target,
    /// Given back when the interrupt is freed.
    share: Option<Share>,
    #[pin]
    _pin: PhantomPinned,
}

impl Line {
    fn new(
        irq: u32,
        device: ARef<Device>,
        name: CString,
        target: Target,
        share: Option<Share>,
    ) -> impl PinInit<Self, Error> {
        // INVARIANT: the last initializer requests `irq`. `device` is bound until the drop because
        // a `Line` is only ever made for a `Devres` of it.
        try_pin_init!(&this in Self {
            irq,
            device,
            name,
            target,
            share,
            _pin: PhantomPinned,
            _: {
                // SAFETY: `this` points to the fields initialized above.
                let line = unsafe { this.as_ref() };
                let (hard, thread): (bindings::irq_handler_t, bindings::irq_handler_t) =
                    match line.target {
                        Target::Hard(_) => (Some(Self::hard), None),
                        Target::Threaded(_) => (Some(Self::hard), Some(Self::thread)),
                    };
                let flags = if line.share.is_some() {
                    // CAST: a flag of 32 bits.
                    bindings::IRQF_SHARED as usize
                } else {
                    0
                };
                // SAFETY: the handlers may be called with `this` as cookie from now on: all that
                // they read is initialized. The drop frees the interrupt before the fields go, and
                // nothing after this can fail.
                to_result(unsafe {
                    bindings::request_threaded_irq(
                        *irq,
                        hard,
                        thread,
                        flags,
                        line.name.as_char_ptr(),
                        this.as_ptr().cast(),
                    )
                })?;
            },
        })
    }

    /// # Safety
    ///
    /// `cookie` is the address of a `Line` for which the invariants hold until the return.
    unsafe extern "C" fn hard(_irq: i32, cookie: *mut c_void) -> u32 {
        // SAFETY: by the requirements of this function.
        let line = unsafe { &*cookie.cast::<Self>() };
        // SAFETY: by the invariants of `Line`, and `free_irq` waits for handlers to return.
        let device = unsafe { line.device.as_bound() };
        // CAST: the enums hold the values of `irqreturn_t`.
        match &line.target {
            Target::Hard(handler) => handler.handle(device) as u32,
            Target::Threaded(handler) => handler.handle(device) as u32,
        }
    }

    /// # Safety
    ///
    /// As for [`Line::hard`].
    unsafe extern "C" fn thread(_irq: i32, cookie: *mut c_void) -> u32 {
        // SAFETY: by the requirements of this function.
        let line = unsafe { &*cookie.cast::<Self>() };
        // SAFETY: by the invariants of `Line`, and `free_irq` waits for handlers to return.
        let device = unsafe { line.device.as_bound() };
        match &line.target {
            Target::Hard(_) => bindings::irqreturn_IRQ_NONE,
            // CAST: the enum holds the values of `irqreturn_t`.
            Target::Threaded(handler) => handler.handle_threaded(device) as u32,
        }
    }
}

#[pinned_drop]
impl PinnedDrop for Line {
    fn drop(self: Pin<&mut Self>) {
        let cookie = core::ptr::from_ref(&*self).cast_mut().cast();
        // SAFETY: by the invariants of this type. This waits for handlers to return. The name that
        // is returned belongs to `self`.
        unsafe { bindings::free_irq(self.irq, cookie) };
    }
}

/// A vector that is handled for as long as this lives and the device is bound.
///
/// Dropping it waits for the handler to return.
pub struct Registration {
    line: Devres<Line>,
    vector: u16,
    irq: u32,
    alone: bool,
    // Dropped last: vectors are freed when nobody has requested them.
    _vectors: Arc<Vectors>,
}

impl Registration {
    /// Returns the number of the vector, as the device knows it.
    pub fn vector(&self) -> u16 {
        self.vector
    }

    /// Returns whether nobody else has the vector, nor will while this lives.
    pub fn is_alone(&self) -> bool {
        self.alone
    }

    /// Returns the Linux interrupt number.
    pub fn irq(&self) -> u32 {
        self.irq
    }

    /// Waits for handlers that run to return. May sleep.
    ///
    /// # Errors
    ///
    /// `EINVAL` if `device` is not the one that has the vectors.
    pub fn synchronize(&self, device: &Device<Bound>) -> Result {
        let line = self.line.access(device)?;
        // SAFETY: by the invariants of `Line`, it is a requested interrupt.
        unsafe { bindings::synchronize_irq(line.irq) };
        Ok(())
    }
}
