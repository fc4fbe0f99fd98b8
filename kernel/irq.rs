// SPDX-License-Identifier: GPL-2.0

//! MSI-X vectors of a PCI device, each of which can be reached and requested on its own.
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
    pci,
    prelude::*,
    str::CString,
    sync::{
        aref::ARef,
        Arc, //
    },
};

/// # Invariants
///
/// `pdev` has MSI-X vectors allocated, and none of them is requested when this is dropped.
struct Allocation {
    pdev: ARef<pci::Device>,
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

/// The MSI-X vectors of a PCI device, from 0.
///
/// They are freed when the device is unbound, or when this and all [`Registration`]s are dropped.
pub struct Vectors {
    allocation: Devres<Allocation>,
    count: u16,
}

impl Vectors {
    /// Allocates as many vectors as can be had, `min` at least and `max` at most.
    ///
    /// # Errors
    ///
    /// `ENOSPC` if there are fewer than `min`, `EINVAL` for an empty range, `ENOMEM`.
    pub fn alloc(pdev: &pci::Device<Bound>, min: u16, max: u16) -> Result<Arc<Self>> {
        if min == 0 || min > max {
            return Err(EINVAL);
        }
        // SAFETY: `pdev` is a valid device that is bound to the caller's driver.
        let count = unsafe {
            bindings::pci_alloc_irq_vectors(
                raw_pci(pdev),
                min.into(),
                max.into(),
                bindings::PCI_IRQ_MSIX,
            )
        };
        to_result(count)?;
        // INVARIANT: the vectors were just allocated, and what requests one, a `Registration`, holds
        // an `Arc` of this and is released by devres before this, because it was added later.
        let allocation = Allocation { pdev: pdev.into() };
        let vectors = Self {
            allocation: Devres::new(pdev.as_ref(), Ok::<_, Error>(allocation))?,
            count: count.try_into()?,
        };
        Ok(Arc::new(vectors, GFP_KERNEL)?)
    }

    /// Returns the number of vectors.
    pub fn count(&self) -> u16 {
        self.count
    }

    /// Lets `handler` handle the interrupts of a vector in hard interrupt context; `name` is for
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
        self.register(device, vector, name, Target::Hard(handler))
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
        self.register(device, vector, name, Target::Threaded(handler))
    }

    fn register(
        self: &Arc<Self>,
        device: &Device<Bound>,
        vector: u16,
        name: fmt::Arguments<'_>,
        target: Target,
    ) -> Result<Registration> {
        let allocation = self.allocation.access(device)?;
        if vector >= self.count {
            return Err(EINVAL);
        }
        // SAFETY: by the invariants of `Allocation`, `pdev` has vectors allocated.
        let irq = unsafe { bindings::pci_irq_vector(raw_pci(&allocation.pdev), vector.into()) };
        to_result(irq)?;
        // CAST: it is not negative.
        let irq = irq as u32;
        let name = CString::try_from_fmt(name)?;
        let line = Devres::new(device, Line::new(irq, device.into(), name, target))?;
        Ok(Registration {
            line,
            irq,
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
    #[pin]
    _pin: PhantomPinned,
}

impl Line {
    fn new(
        irq: u32,
        device: ARef<Device>,
        name: CString,
        target: Target,
    ) -> impl PinInit<Self, Error> {
        // INVARIANT: the last initializer requests `irq`. `device` is bound until the drop because
        // a `Line` is only ever made for a `Devres` of it.
        try_pin_init!(&this in Self {
            irq,
            device,
            name,
            target,
            _pin: PhantomPinned,
            _: {
                // SAFETY: `this` points to the fields initialized above.
                let line = unsafe { this.as_ref() };
                let (hard, thread): (bindings::irq_handler_t, bindings::irq_handler_t) =
                    match line.target {
                        Target::Hard(_) => (Some(Self::hard), None),
                        Target::Threaded(_) => (Some(Self::hard), Some(Self::thread)),
                    };
                // SAFETY: the handlers may be called with `this` as cookie from now on: all that
                // they read is initialized. The drop frees the interrupt before the fields go, and
                // nothing after this can fail.
                to_result(unsafe {
                    bindings::request_threaded_irq(
                        *irq,
                        hard,
                        thread,
                        0,
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
    irq: u32,
    // Dropped last: vectors are freed when nobody has requested them.
    _vectors: Arc<Vectors>,
}

impl Registration {
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
