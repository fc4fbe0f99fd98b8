// SPDX-License-Identifier: GPL-2.0

//! PCI drivers with SR-IOV, error recovery, sleep and shutdown.
//!
//! A driver implements [`kernel::pci::Driver`] and, on top of it, [`Driver`]; it registers a
//! [`kernel::driver::Registration`] of the [`Adapter`] here instead of the one there.
//!
//! C header: [`include/linux/pci.h`](srctree/include/linux/pci.h)

mod vf;

pub use vf::{
    attach_vf,
    attach_vf_to,
    disable_sriov_held,
    forget_driver,
    hold_devices,
    is_vf_of,
    release_own_vf,
    release_vf,
    try_enable_sriov,
    Held, //
};

use crate::optional::optional;
use core::{
    marker::PhantomData,
    pin::Pin, //
};
use kernel::{
    bindings,
    device::{
        Bound,
        Core,
        CoreInternal, //
    },
    device_id::RawDeviceIdIndex,
    driver,
    error::{
        from_result,
        to_result, //
    },
    pci,
    prelude::*,
    types::Opaque, //
};

/// What happened to the link of a device, as its driver is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChannelState {
    /// The device can still be reached.
    Normal,
    /// No access reaches the device.
    Frozen,
    /// The device is gone for good.
    PermanentFailure,
}

/// What a driver wants after an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Recovery {
    /// The device is well; [`Driver::resume`] follows.
    Recovered,
    /// The device is to be reset; [`Driver::slot_reset`] follows.
    NeedReset,
    /// The device is given up.
    Disconnect,
}

impl Recovery {
    const fn raw(self) -> bindings::pci_ers_result_t {
        match self {
            Self::Recovered => bindings::pci_ers_result_PCI_ERS_RESULT_RECOVERED,
            Self::NeedReset => bindings::pci_ers_result_PCI_ERS_RESULT_NEED_RESET,
            Self::Disconnect => bindings::pci_ers_result_PCI_ERS_RESULT_DISCONNECT,
        }
    }
}

/// What a PCI driver may do beside probing and unbinding. Each is called with the device locked and
/// bound to the driver, in process context.
#[vtable]
pub trait Driver: pci::Driver {
    /// Number of bits of the bus addresses that the device can use, 24 to 64.
    const DMA_BITS: u32;

    /// The driver takes care of the IOMMU domain of its devices, as one does that lets user space
    /// own them.
    const DRIVER_MANAGED_DMA: bool = false;

    /// Enables `vfs` VFs, or disables them all if that is zero; returns how many there are now.
    fn sriov_configure<'bound>(
        pdev: &'bound pci::Device<Core<'_>>,
        data: Pin<&'bound Self::Data<'bound>>,
        vfs: u16,
    ) -> Result<u16> {
        let _ = (pdev, data, vfs);
        build_error!(kernel::error::VTABLE_DEFAULT_ERROR)
    }

    /// Returns the number of MSI-X vectors that VFs can be given in all.
    fn sriov_total_vectors<'bound>(
        pdev: &'bound pci::Device<Core<'_>>,
        data: Pin<&'bound Self::Data<'bound>>,
    ) -> u32 {
        let _ = (pdev, data);
        build_error!(kernel::error::VTABLE_DEFAULT_ERROR)
    }

    /// Gives the VF with this index, which no driver has, as many MSI-X vectors; 0 for as many as it
    /// came with.
    fn sriov_set_vectors<'bound>(
        pdev: &'bound pci::Device<Core<'_>>,
        data: Pin<&'bound Self::Data<'bound>>,
        vf: u16,
        vectors: u16,
    ) -> Result {
        let _ = (pdev, data, vf, vectors);
        build_error!(kernel::error::VTABLE_DEFAULT_ERROR)
    }

    /// An error was found; no access to the device may be made if it is frozen.
    fn error_detected<'bound>(
        pdev: &'bound pci::Device<Core<'_>>,
        data: Pin<&'bound Self::Data<'bound>>,
        state: ChannelState,
    ) -> Recovery {
        let _ = (pdev, data, state);
        build_error!(kernel::error::VTABLE_DEFAULT_ERROR)
    }

    /// The device was reset and its configuration space restored.
    fn slot_reset<'bound>(
        pdev: &'bound pci::Device<Core<'_>>,
        data: Pin<&'bound Self::Data<'bound>>,
    ) -> Recovery {
        let _ = (pdev, data);
        build_error!(kernel::error::VTABLE_DEFAULT_ERROR)
    }

    /// The device may be used again.
    fn resume<'bound>(pdev: &'bound pci::Device<Core<'_>>, data: Pin<&'bound Self::Data<'bound>>) {
        let _ = (pdev, data);
        build_error!(kernel::error::VTABLE_DEFAULT_ERROR)
    }

    /// The device is about to be reset by somebody else, such as `echo 1 >reset`.
    fn reset_prepare<'bound>(
        pdev: &'bound pci::Device<Core<'_>>,
        data: Pin<&'bound Self::Data<'bound>>,
    ) {
        let _ = (pdev, data);
        build_error!(kernel::error::VTABLE_DEFAULT_ERROR)
    }

    /// The device was reset by somebody else.
    fn reset_done<'bound>(
        pdev: &'bound pci::Device<Core<'_>>,
        data: Pin<&'bound Self::Data<'bound>>,
    ) {
        let _ = (pdev, data);
        build_error!(kernel::error::VTABLE_DEFAULT_ERROR)
    }

    /// The machine goes to sleep, or is about to write an image of its memory: the device must stop its DMA, and may lose all
    /// that it was told.
    fn sleep<'bound>(
        pdev: &'bound pci::Device<Core<'_>>,
        data: Pin<&'bound Self::Data<'bound>>,
    ) -> Result {
        let _ = (pdev, data);
        build_error!(kernel::error::VTABLE_DEFAULT_ERROR)
    }

    /// The machine goes on. The PCI core has given the device back its configuration; other than that it is as after a reset,
    /// or as [`Driver::sleep`] left it.
    fn wake<'bound>(
        pdev: &'bound pci::Device<Core<'_>>,
        data: Pin<&'bound Self::Data<'bound>>,
    ) -> Result {
        let _ = (pdev, data);
        build_error!(kernel::error::VTABLE_DEFAULT_ERROR)
    }

    /// The machine goes down: the device must stop its DMA.
    fn shutdown<'bound>(
        pdev: &'bound pci::Device<Core<'_>>,
        data: Pin<&'bound Self::Data<'bound>>,
    ) {
        let _ = (pdev, data);
        build_error!(kernel::error::VTABLE_DEFAULT_ERROR)
    }
}

fn raw(pdev: &pci::Device) -> *mut bindings::pci_dev {
    // CAST: `pci::Device` is a transparent wrapper of `struct pci_dev`.
    core::ptr::from_ref(pdev).cast_mut().cast()
}

/// Registers a [`Driver`] with the PCI core.
pub struct Adapter<T: Driver>(PhantomData<T>);

// SAFETY: `struct pci_driver` is `repr(C)` and embeds a `struct device_driver` at this offset;
// `T::Data` is what `probe` stores as the device's private data.
unsafe impl<T: Driver> driver::DriverLayout for Adapter<T> {
    type DriverType = bindings::pci_driver;
    type DriverData<'bound> = T::Data<'bound>;
    const DEVICE_DRIVER_OFFSET: usize = core::mem::offset_of!(Self::DriverType, driver);
}

// SAFETY: `unregister` undoes what a successful `register` did.
unsafe impl<T: Driver> driver::RegistrationOps for Adapter<T> {
    unsafe fn register(
        pdrv: &Opaque<Self::DriverType>,
        name: &'static CStr,
        module: &'static ThisModule,
    ) -> Result {
        let pdrv = pdrv.get();
        // SAFETY: `pdrv` is initialized and nobody else's until it is registered.
        unsafe {
            (*pdrv).name = name.as_char_ptr();
            (*pdrv).probe = Some(Self::probe);
            (*pdrv).remove = Some(Self::remove);
            (*pdrv).id_table = T::ID_TABLE.as_ptr();
            (*pdrv).err_handler = Self::ERROR_HANDLERS_REF;
            (*pdrv).driver_managed_dma = T::DRIVER_MANAGED_DMA;
            if T::HAS_SRIOV_CONFIGURE {
                (*pdrv).sriov_configure = Some(Self::sriov_configure);
            }
            if T::HAS_SRIOV_TOTAL_VECTORS {
                (*pdrv).sriov_get_vf_total_msix = Some(Self::sriov_total_vectors);
            }
            if T::HAS_SRIOV_SET_VECTORS {
                (*pdrv).sriov_set_msix_vec_count = Some(Self::sriov_set_vectors);
            }
            (*pdrv).driver.pm = Self::POWER_REF;
            if T::HAS_SHUTDOWN {
                (*pdrv).shutdown = Some(Self::shutdown);
            }
        }
        // SAFETY: `pdrv` is filled in, and stays where it is until `unregister`.
        to_result(unsafe {
            bindings::__pci_register_driver(pdrv, module.as_ptr(), name.as_char_ptr())
        })
    }

    unsafe fn unregister(pdrv: &Opaque<Self::DriverType>) {
        // SAFETY: by the requirements of this function, `register` registered it.
        unsafe { bindings::pci_unregister_driver(pdrv.get()) }
    }
}

impl<T: Driver> Adapter<T> {
    const ERROR_HANDLERS: bindings::pci_error_handlers = bindings::pci_error_handlers {
        error_detected: optional!(HAS_ERROR_DETECTED, error_detected),
        slot_reset: optional!(HAS_SLOT_RESET, slot_reset),
        resume: optional!(HAS_RESUME, resume),
        reset_prepare: optional!(HAS_RESET_PREPARE, reset_prepare),
        reset_done: optional!(HAS_RESET_DONE, reset_done),
        ..pin_init::zeroed()
    };
    const POWER: bindings::dev_pm_ops = bindings::dev_pm_ops {
        suspend: optional!(HAS_SLEEP, sleep),
        resume: optional!(HAS_WAKE, wake),
        freeze: optional!(HAS_SLEEP, sleep),
        thaw: optional!(HAS_WAKE, wake),
        poweroff: optional!(HAS_SLEEP, sleep),
        restore: optional!(HAS_WAKE, wake),
        ..pin_init::zeroed()
    };
    const POWER_REF: &'static bindings::dev_pm_ops = {
        assert!(T::HAS_SLEEP == T::HAS_WAKE);
        &Self::POWER
    };
    const DMA_MASK: u64 = {
        assert!(T::DMA_BITS >= 24 && T::DMA_BITS <= 64);
        u64::MAX >> (64 - T::DMA_BITS)
    };
    const ERROR_HANDLERS_REF: &'static bindings::pci_error_handlers = &Self::ERROR_HANDLERS;

    extern "C" fn probe(pdev: *mut bindings::pci_dev, id: *const bindings::pci_device_id) -> c_int {
        from_result(|| {
            // SAFETY: no driver uses the device yet, so that nobody does DMA with another mask.
            to_result(unsafe {
                bindings::dma_set_mask_and_coherent(&raw mut (*pdev).dev, Self::DMA_MASK)
            })?;
            // SAFETY: the PCI core calls this with a valid device, which it keeps locked until this
            // returns.
            let pdev = unsafe { &*pdev.cast::<pci::Device<CoreInternal<'_>>>() };
            // SAFETY: the PCI core passes an entry of the driver's table, or one that user space
            // added, whose index is the one of an entry of the table. `DeviceId` is a transparent
            // wrapper of it.
            let id = unsafe { &*id.cast::<pci::DeviceId>() };
            let data = T::probe(pdev, T::ID_TABLE.info(id.index()));
            pdev.as_ref().set_drvdata(data)?;
            if T::HAS_SLOT_RESET {
                // What `slot_reset` restores: the device as the driver set it up.
                //
                // SAFETY: the device is valid and locked.
                unsafe { bindings::pci_save_state(raw(pdev)) };
            }
            Ok(0)
        })
    }

    extern "C" fn remove(pdev: *mut bindings::pci_dev) {
        // SAFETY: the PCI core calls this for a device that was probed.
        let (pdev, data) = unsafe { Self::bound(pdev) };
        T::unbind(pdev, data);
    }

    /// Returns the device and its private data.
    ///
    /// # Safety
    ///
    /// `pdev` is valid, locked, and bound to this driver for `'a`: probed with success and not
    /// unbound.
    unsafe fn bound<'a>(
        pdev: *mut bindings::pci_dev,
    ) -> (&'a pci::Device<CoreInternal<'a>>, Pin<&'a T::Data<'a>>) {
        // SAFETY: by the requirements of this function.
        let pdev = unsafe { &*pdev.cast::<pci::Device<CoreInternal<'_>>>() };
        // SAFETY: `probe` stored a `T::Data`, and it stays until the device is unbound.
        let data = unsafe { pdev.as_ref().drvdata_borrow::<T::Data<'_>>() };
        (pdev, data)
    }

    extern "C" fn sriov_configure(pdev: *mut bindings::pci_dev, vfs: c_int) -> c_int {
        // SAFETY: `sriov_numvfs_store` holds the lock of the device and found it bound.
        let (pdev, data) = unsafe { Self::bound(pdev) };
        from_result(|| {
            let vfs = u16::try_from(vfs)?;
            Ok(T::sriov_configure(pdev, data, vfs)?.into())
        })
    }

    extern "C" fn sriov_total_vectors(pdev: *mut bindings::pci_dev) -> u32 {
        // SAFETY: `sriov_vf_total_msix_show` holds the lock of the device and found it bound.
        let (pdev, data) = unsafe { Self::bound(pdev) };
        T::sriov_total_vectors(pdev, data)
    }

    extern "C" fn sriov_set_vectors(vf: *mut bindings::pci_dev, vectors: c_int) -> c_int {
        // SAFETY: `sriov_vf_msix_count_store` passes a VF, and holds the lock of its PF, which it found
        // bound.
        let (pdev, data) = unsafe { Self::bound((*vf).__bindgen_anon_1.physfn) };
        // SAFETY: it is valid.
        let vf = unsafe { bindings::pci_iov_vf_id(vf) };
        from_result(|| {
            let vf = u16::try_from(vf)?;
            let vectors = u16::try_from(vectors).map_err(|_| ERANGE)?;
            T::sriov_set_vectors(pdev, data, vf, vectors)?;
            Ok(0)
        })
    }

    extern "C" fn sleep(dev: *mut bindings::device) -> c_int {
        // SAFETY: the PM core passes a device of this driver, which is in a PCI device; it holds the lock of the device and
        // found it bound.
        let (pdev, data) =
            unsafe { Self::bound(kernel::container_of!(dev, bindings::pci_dev, dev)) };
        from_result(|| T::sleep(pdev, data).map(|()| 0))
    }

    extern "C" fn wake(dev: *mut bindings::device) -> c_int {
        // SAFETY: as in `sleep`.
        let (pdev, data) =
            unsafe { Self::bound(kernel::container_of!(dev, bindings::pci_dev, dev)) };
        from_result(|| T::wake(pdev, data).map(|()| 0))
    }

    extern "C" fn shutdown(pdev: *mut bindings::pci_dev) {
        // SAFETY: `device_shutdown` holds the lock of the device and found it bound.
        let (pdev, data) = unsafe { Self::bound(pdev) };
        T::shutdown(pdev, data);
    }

    extern "C" fn error_detected(
        pdev: *mut bindings::pci_dev,
        state: bindings::pci_channel_state_t,
    ) -> bindings::pci_ers_result_t {
        // SAFETY: error recovery holds the lock of the device and found it bound.
        let (pdev, data) = unsafe { Self::bound(pdev) };
        let state = match state {
            bindings::pci_channel_io_normal => ChannelState::Normal,
            bindings::pci_channel_io_frozen => ChannelState::Frozen,
            _ => ChannelState::PermanentFailure,
        };
        T::error_detected(pdev, data, state).raw()
    }

    extern "C" fn slot_reset(pdev: *mut bindings::pci_dev) -> bindings::pci_ers_result_t {
        // SAFETY: error recovery holds the lock of the device and found it bound.
        let (pdev, data) = unsafe { Self::bound(pdev) };
        // SAFETY: the device was reset and is not in use; `probe` saved its state. Restoring uses the
        // saved state up.
        unsafe {
            bindings::pci_restore_state(raw(pdev));
            bindings::pci_save_state(raw(pdev));
        }
        T::slot_reset(pdev, data).raw()
    }

    extern "C" fn resume(pdev: *mut bindings::pci_dev) {
        // SAFETY: error recovery holds the lock of the device and found it bound.
        let (pdev, data) = unsafe { Self::bound(pdev) };
        T::resume(pdev, data);
    }

    extern "C" fn reset_prepare(pdev: *mut bindings::pci_dev) {
        // SAFETY: who resets a device holds its lock and found it bound.
        let (pdev, data) = unsafe { Self::bound(pdev) };
        T::reset_prepare(pdev, data);
    }

    extern "C" fn reset_done(pdev: *mut bindings::pci_dev) {
        // SAFETY: who resets a device holds its lock and found it bound.
        let (pdev, data) = unsafe { Self::bound(pdev) };
        T::reset_done(pdev, data);
    }
}

/// Enables a device until its driver is unbound, and lets it be bus master.
///
/// # Errors
///
/// Those of the PCI core, such as `EIO` for a device that cannot be powered up.
pub fn enable(pdev: &pci::Device<Core<'_>>) -> Result {
    // SAFETY: the device is valid and being probed or bound.
    to_result(unsafe { bindings::pcim_enable_device(raw(pdev)) })?;
    pdev.set_master();
    Ok(())
}

/// Keeps a PCI device from all access to memory, its interrupts with it, until it is
/// [enabled](enable) anew: the last resort when it does not answer and its memory is to be freed.
///
/// Does nothing for a device that is not on PCI.
pub fn stop_dma(device: &kernel::device::Device<Bound>) {
    if let Ok(pdev) = <&pci::Device<Bound>>::try_from(device) {
        // SAFETY: the device is valid.
        unsafe { bindings::pci_clear_master(raw(pdev)) };
    }
}

/// Returns whether the device is a VF.
pub fn is_vf(pdev: &pci::Device) -> bool {
    // SAFETY: the device is valid; the bit does not change after its discovery.
    unsafe { (*raw(pdev)).is_virtfn() != 0 }
}

/// Returns the largest number of VFs that the device can have.
pub fn total_vfs(pdev: &pci::Device<Bound>) -> u16 {
    // SAFETY: the device is valid.
    let vfs = unsafe { bindings::pci_sriov_get_totalvfs(raw(pdev)) };
    u16::try_from(vfs).unwrap_or(0)
}

/// Returns the number of VFs that the device has.
pub fn num_vfs(pdev: &pci::Device<Bound>) -> u16 {
    // SAFETY: the device is valid.
    let vfs = unsafe { bindings::pci_num_vf(raw(pdev)) };
    u16::try_from(vfs).unwrap_or(0)
}

/// Makes `vfs` VFs.
///
/// # Errors
///
/// `EBUSY` if there are VFs, `ERANGE` if that is too many, `ENOSYS` if there is no SR-IOV.
pub fn enable_sriov(pdev: &pci::Device<Core<'_>>, vfs: u16) -> Result {
    // SAFETY: the device is valid and locked.
    to_result(unsafe { bindings::pci_enable_sriov(raw(pdev), vfs.into()) })
}

/// Removes all VFs, unless one is in use by a virtual machine. For [`Driver::sriov_configure`], which
/// is called with the lock held that keeps PCI devices from coming and going.
///
/// # Errors
///
/// `EBUSY` if one is in use.
pub fn disable_sriov(pdev: &pci::Device<Core<'_>>) -> Result {
    // SAFETY: the device is valid and locked.
    unsafe {
        if bindings::pci_vfs_assigned(raw(pdev)) > 0 {
            return Err(EBUSY);
        }
        bindings::pci_disable_sriov(raw(pdev));
    }
    Ok(())
}

/// Returns whether the device is being removed by whoever holds the lock that keeps PCI devices from coming
/// and going, and is therefore unbound.
pub fn is_being_removed(pdev: &pci::Device<Bound>) -> bool {
    /// Bit of `priv_flags` that the PCI core clears, holding the lock, before it unbinds the driver
    /// of a device that it removes (`drivers/pci/pci.h`).
    const PCI_DEV_ADDED: usize = 1 << 0;

    // SAFETY: the device is valid; the word is one that the PCI core changes by atomic bit
    // operations.
    let flags = unsafe { (&raw const (*raw(pdev)).priv_flags).read_volatile() };
    flags & PCI_DEV_ADDED == 0
}

/// As [`disable_sriov`], for [`pci::Driver::unbind`]: takes that lock, unless whoever removes the
/// device holds it already.
///
/// # Errors
///
/// `EBUSY` if a VF is in use.
pub fn disable_sriov_in_unbind(pdev: &pci::Device<Core<'_>>) -> Result {
    if is_being_removed(pdev) {
        return disable_sriov(pdev);
    }
    // SAFETY: the caller does not hold the lock: the device is not being removed, and unbinding by
    // itself, by sysfs or because the module goes, takes no lock but that of the device, within
    // which `sriov_numvfs` takes this one, too.
    unsafe { bindings::pci_lock_rescan_remove() };
    let result = disable_sriov(pdev);
    // SAFETY: it was just locked.
    unsafe { bindings::pci_unlock_rescan_remove() };
    result
}
