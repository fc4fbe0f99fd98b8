// SPDX-License-Identifier: GPL-2.0

//! The VFIO device of a PCI function.

use crate::{
    bindings as own,
    log::{
        Dirty,
        Ranges, //
    },
    ops::Table,
    pci::IdTable,
    window::Window, //
};
use core::ptr::NonNull;
use kernel::{
    bindings,
    device::Core,
    error::{
        from_err_ptr,
        to_result, //
    },
    fs::File,
    pci,
    prelude::*,
    sync::aref::{
        ARef,
        AlwaysRefCounted, //
    },
    types::Opaque, //
};

/// A driver of PCI functions that user space drives through VFIO.
///
/// All functions but [`Driver::probe`] are called in process context, by any number of threads.
pub trait Driver: Sized + Send + Sync + 'static {
    /// Name of the driver, as VFIO calls it.
    const NAME: &'static CStr;

    /// The functions that there is a driver for. It gets only those that somebody chose it for.
    const ID_TABLE: IdTable;

    /// Which states there are beside those of every driver: of [`MIGRATION_P2P`](crate::MIGRATION_P2P) and
    /// its like.
    const MIGRATION: u32;

    /// BAR that user space may map, all of it, and that [`Device::close_window`] takes away from it.
    const WINDOW: u32;

    /// Makes what the driver has of a function, which is being probed.
    fn probe<'a>(pdev: &'a pci::Device<Core<'_>>) -> impl PinInit<Self, Error> + 'a;

    /// Returns whether the function can be migrated. It is asked once; nothing of the operations below
    /// happens to one that cannot.
    fn can_migrate(&self) -> bool;

    /// Returns whether user space may map a BAR that is not [`Driver::WINDOW`].
    fn is_mappable(bar: u32) -> bool;

    /// Returns how much of a BAR user space gets to see, [`None`] for all of it. What is behind that it neither finds, nor
    /// reads, writes or maps.
    fn visible(&self, bar: u32) -> Option<u64>;

    /// The first user has opened the device, which was reset.
    fn opened(device: &Device<Self>);

    /// The last user closes the device. It is reset after that, if possible.
    fn closing(device: &Device<Self>);

    /// The function was reset by somebody. What waits for this may hold locks that are taken inside of the
    /// lock of an address space: no lock may be waited for with which user memory is touched.
    fn was_reset(device: &Device<Self>);

    /// Takes the function to another state of `enum vfio_device_mig_state`; returns the file that the data are
    /// read from or written to, if one comes with it.
    fn set_state(device: &Device<Self>, state: u32) -> Result<Option<ARef<File>>>;

    /// Returns the state of `enum vfio_device_mig_state` that the function is in.
    fn state(device: &Device<Self>) -> Result<u32>;

    /// Returns how many bytes there will be to read after the function was stopped, more or less.
    fn data_size(device: &Device<Self>) -> Result<usize>;

    /// Has the function log what it writes to in `ranges`; returns the page size that it logs by, which should
    /// be near `page_size`. It may be logging already.
    fn log_start(device: &Device<Self>, ranges: Ranges<'_>, page_size: u64) -> Result<u64>;

    /// Stops the log, if there is one.
    fn log_stop(device: &Device<Self>) -> Result;

    /// Reports which of `length` bytes from `iova` were written to since the last report. There may be no log.
    fn log_report(
        device: &Device<Self>,
        iova: usize,
        length: usize,
        dirty: &mut Dirty<'_>,
    ) -> Result;
}

/// What belongs to the driver in the memory of a device.
#[pin_data]
pub(crate) struct Inner<T> {
    #[pin]
    pub(crate) window: Window,
    #[pin]
    data: T,
}

/// The VFIO device of a PCI function that a `T` is bound to, or was: user space may keep it.
///
/// # Invariants
///
/// It was made by [`Device::alloc`]: `core` is an initialized device at the start of the memory that VFIO
/// allocated, and `inner` is from a [`KBox`] and valid until the device is released.
#[repr(C)]
pub struct Device<T> {
    core: Opaque<own::vfio_pci_core_device>,
    inner: *mut Inner<T>,
}

// SAFETY: a VFIO device does not belong to a thread, and the data neither if `T` is this.
unsafe impl<T: Send + Sync> Send for Device<T> {}

// SAFETY: what can be done with a shared reference is safe for many threads at a time; so is `T` if it is this.
unsafe impl<T: Send + Sync> Sync for Device<T> {}

// SAFETY: VFIO devices are reference-counted, by the `struct device` in them, and freed with the last reference.
unsafe impl<T: Send + Sync> AlwaysRefCounted for Device<T> {
    fn inc_ref(&self) {
        // SAFETY: by the invariants of `Device`; that there is a reference says that it is still alive.
        unsafe { bindings::get_device(self.counted()) };
    }

    unsafe fn dec_ref(this: NonNull<Self>) {
        // SAFETY: the caller gives a reference up.
        unsafe { bindings::put_device(this.as_ref().counted()) };
    }
}

impl<T> Device<T> {
    /// Returns VFIO's own device.
    pub(crate) fn core(&self) -> *mut own::vfio_pci_core_device {
        self.core.get()
    }

    fn counted(&self) -> *mut bindings::device {
        // SAFETY: by the invariants of this type; the address of a field is taken.
        unsafe { (&raw mut (*self.core()).vdev.device).cast() }
    }

    /// Returns the device in whose memory `vdev` is the first thing.
    ///
    /// # Safety
    ///
    /// `vdev` is of a [`Device<T>`], and there is a reference to it for `'a`.
    pub(crate) unsafe fn of<'a>(vdev: *mut own::vfio_device) -> &'a Self {
        // SAFETY: by the requirements of this function: `vdev` is the first field of the core device, which is
        // the first field of this.
        unsafe { &*vdev.cast() }
    }

    fn inner(&self) -> &Inner<T> {
        // SAFETY: by the invariants of this type.
        unsafe { &*self.inner }
    }

    pub(crate) fn window(&self) -> Pin<&Window> {
        // SAFETY: `Inner` was made by `KBox::pin_init`, is not moved, and its window is pinned with it.
        unsafe { Pin::new_unchecked(&self.inner().window) }
    }

    /// Returns the data of the driver.
    pub fn data(&self) -> Pin<&T> {
        // SAFETY: as for `window`.
        unsafe { Pin::new_unchecked(&self.inner().data) }
    }

    /// Returns whether the user said that it understands the second version of what the `ioctl` of a file for
    /// pre-copy answers.
    pub fn knows_precopy_v2(&self) -> bool {
        // SAFETY: by the invariants of this type. Whoever changes the byte meanwhile writes it whole.
        unsafe { (&raw const (*self.core()).vdev.precopy_info_v2).read_volatile() != 0 }
    }
}

impl<T: Driver> Device<T> {
    /// Makes the device of a function that is being probed.
    pub(crate) fn alloc(
        pdev: &pci::Device<Core<'_>>,
        data: impl PinInit<T, Error>,
    ) -> Result<ARef<Self>> {
        let inner = KBox::pin_init(
            try_pin_init!(Inner {
                window <- Window::new(),
                data <- data,
            }),
            GFP_KERNEL,
        )?;
        let size = size_of::<Self>();
        // CAST: `pci::Device` is a transparent wrapper of `struct pci_dev`.
        let raw: *mut bindings::pci_dev = core::ptr::from_ref(pdev).cast_mut().cast();
        // SAFETY: the size is that of memory which starts with a `struct vfio_device`; the table lives for ever,
        // and so does the parent for as long as it is bound, before which the device is unregistered.
        let vdev = unsafe {
            let parent = (&raw mut (*raw).dev).cast();
            from_err_ptr(own::_vfio_alloc_device(
                size,
                parent,
                Table::<T>::DEVICE_REF,
            ))?
        };
        let this: *mut Self = vdev.cast();
        // SAFETY: nobody is moved out of the box: it stays pinned. The device is nobody else's yet.
        unsafe { (*this).inner = KBox::into_raw(Pin::into_inner_unchecked(inner)) };
        // INVARIANT: VFIO initialized the device, and `inner` was just set.
        //
        // SAFETY: `this` is not null, and comes with a reference.
        let device = unsafe { ARef::from_raw(NonNull::new_unchecked(this)) };
        if device.data().can_migrate() {
            // SAFETY: the device is nobody else's until it is registered; the tables live for ever.
            unsafe {
                let vdev = &raw mut (*device.core()).vdev;
                (*vdev).migration_flags = T::MIGRATION;
                (*vdev).mig_ops = Table::<T>::MIGRATION_REF;
                (*vdev).log_ops = Table::<T>::LOG_REF;
            }
        }
        Ok(device)
    }

    /// Lets users have the device, which its function carries as driver data.
    pub(crate) fn register(&self) -> Result {
        // SAFETY: by the invariants of this type.
        to_result(unsafe { own::vfio_pci_core_register_device(self.core()) })
    }

    /// Frees what belongs to the driver. For the operation by which VFIO frees the device.
    ///
    /// # Safety
    ///
    /// Nobody uses the device any more.
    pub(crate) unsafe fn free(this: *mut Self) {
        // SAFETY: by the requirements of this function. Where `alloc` failed half-way there is nothing.
        unsafe {
            let inner = core::mem::replace(&mut (*this).inner, core::ptr::null_mut());
            if !inner.is_null() {
                drop(Pin::from(KBox::from_raw(inner)));
            }
        }
    }
}
