// SPDX-License-Identifier: GPL-2.0

//! VFs that the driver of their PF keeps from other drivers and lets them have, one by one.

use super::raw;
use crate::bindings as own;
use core::ptr::NonNull;
use kernel::{
    bindings,
    device::{
        Bound,
        Device, //
    },
    error::to_result,
    pci,
    prelude::*, //
};

/// A reference to a VF.
///
/// # Invariants
///
/// The pointer is valid, and a reference is held.
struct Vf(NonNull<bindings::pci_dev>);

impl Vf {
    fn get(pf: &pci::Device<Bound>, index: u16) -> Result<Self> {
        if index >= super::num_vfs(pf) {
            return Err(ENODEV);
        }
        // SAFETY: the PF is valid and has SR-IOV, since it has VFs.
        let vf = unsafe { own::ferrite_helper_pci_get_vf(raw(pf).cast(), index.into()) };
        // INVARIANT: what is returned is null or a reference.
        NonNull::new(vf.cast()).map(Self).ok_or(ENODEV)
    }

    fn device(&self) -> *mut bindings::device {
        // SAFETY: by the invariants of this type.
        unsafe { &raw mut (*self.0.as_ptr()).dev }
    }
}

impl Drop for Vf {
    fn drop(&mut self) {
        // SAFETY: by the invariants of this type.
        unsafe { bindings::pci_dev_put(self.0.as_ptr()) };
    }
}

/// Looks for a driver for a VF that has none. That there is none is no error.
///
/// Locks the VF.
///
/// # Errors
///
/// `ENODEV` if there is no such VF, and what the driver core says of one that cannot be bound.
pub fn attach_vf(pf: &pci::Device<Bound>, index: u16) -> Result {
    let vf = Vf::get(pf, index)?;
    // SAFETY: by the invariants of `Vf`.
    to_result(unsafe { bindings::device_attach(vf.device()) })
}

/// Chooses the driver that a VF may have, by its name, and lets it have it. Returns whether it does: there may be
/// no such driver, or it may refuse. The choice stays until [`forget_driver`].
///
/// Locks the VF.
///
/// # Errors
///
/// `ENODEV` if there is no such VF, `ENOMEM`, `EBUSY` if another driver has it.
pub fn attach_vf_to(pf: &pci::Device<Bound>, index: u16, driver: &CStr) -> Result<bool> {
    let vf = Vf::get(pf, index)?;
    choose(&vf, driver)?;
    // SAFETY: by the invariants of `Vf`.
    let attached = unsafe { bindings::device_attach(vf.device()) };
    to_result(attached)?;
    Ok(attached > 0)
}

/// Lets a VF have any driver again. That there is no such VF any more is no error.
pub fn forget_driver(pf: &pci::Device<Bound>, index: u16) {
    if let Ok(vf) = Vf::get(pf, index) {
        // To forget takes no memory.
        let _ = choose(&vf, c"");
    }
}

/// Chooses the driver of a VF; any if `driver` is empty.
fn choose(vf: &Vf, driver: &CStr) -> Result {
    let len = driver.count_bytes();
    // SAFETY: by the invariants of `Vf`; the string is copied.
    to_result(unsafe {
        bindings::__device_set_driver_override(vf.device(), driver.as_char_ptr(), len)
    })
}

/// Returns whether a device is the VF of `pf` with this index.
pub fn is_vf_of(device: &pci::Device, pf: &Device<Bound>, index: u16) -> bool {
    if !super::is_vf(device) {
        return false;
    }
    // SAFETY: the device is valid and a VF, which knows its PF for as long as it lives. Addresses are compared.
    let same = unsafe {
        let physfn = (*raw(device)).__bindgen_anon_1.physfn;
        core::ptr::eq((&raw const (*physfn).dev).cast(), pf)
    };
    // SAFETY: the device is valid.
    same && unsafe { bindings::pci_iov_vf_id(raw(device)) } == i32::from(index)
}

/// Unbinds the driver of a VF, if there is one.
///
/// Locks the VF.
///
/// # Errors
///
/// `ENODEV` if there is no such VF.
pub fn release_vf(pf: &pci::Device<Bound>, index: u16) -> Result {
    let vf = Vf::get(pf, index)?;
    // SAFETY: by the invariants of `Vf`.
    unsafe { bindings::device_release_driver(vf.device()) };
    Ok(())
}

/// Unbinds the driver of a VF if it is the one of the PF; returns whether it was. For a reset of the PF, which
/// the driver of the VF is not told of.
///
/// Locks the VF.
///
/// # Errors
///
/// `ENODEV` if there is no such VF.
pub fn release_own_vf(pf: &pci::Device<Bound>, index: u16) -> Result<bool> {
    let vf = Vf::get(pf, index)?;
    // SAFETY: both devices are valid. The pointers are compared and not followed, and whoever changes the
    // one of the VF meanwhile gets what it asked for after us.
    let same = unsafe {
        let driver =
            |device: *const bindings::device| (&raw const (*device).driver).read_volatile();
        driver(vf.device()) == driver(&raw const (*raw(pf)).dev)
    };
    if same {
        // SAFETY: by the invariants of `Vf`.
        unsafe { bindings::device_release_driver(vf.device()) };
    }
    Ok(same)
}

/// As [`enable_sriov`](super::enable_sriov), for a caller that does not hold the lock of the PF, and may
/// hold locks that are taken inside of it.
///
/// The lock that keeps PCI devices from coming and going is not taken: who removes the PF holds it and
/// waits for the driver of the PF, and so perhaps for the caller. As long as no driver but that of the PF
/// touches its VFs, nobody notices.
///
/// # Errors
///
/// `EBUSY` if the PF is locked or has VFs already, `ERANGE` if that is too many, `ENOSYS` if there is no
/// SR-IOV.
pub fn try_enable_sriov(pf: &pci::Device<Bound>, vfs: u16) -> Result {
    let device = raw(pf);
    // SAFETY: the device is valid.
    let device_lock = unsafe { (&raw mut (*device).dev).cast() };
    // SAFETY: the device is valid.
    if unsafe { own::ferrite_helper_device_trylock(device_lock) } == 0 {
        return Err(EBUSY);
    }
    // SAFETY: the device is valid and locked.
    let result = to_result(unsafe { bindings::pci_enable_sriov(device, vfs.into()) });
    // SAFETY: it was just locked.
    unsafe { own::ferrite_helper_device_unlock(device_lock) };
    result
}

/// Shows that the lock is held that keeps PCI devices from coming and going.
pub struct Held(());

/// Does something with the lock held that keeps PCI devices from coming and going. To be taken before the
/// lock of a device.
pub fn hold_devices<R>(work: impl FnOnce(&Held) -> R) -> R {
    // SAFETY: it is taken here and given back below.
    unsafe { bindings::pci_lock_rescan_remove() };
    let result = work(&Held(()));
    // SAFETY: it was just taken.
    unsafe { bindings::pci_unlock_rescan_remove() };
    result
}

/// Removes all VFs, unless one is in use by a virtual machine, for a caller that does not hold the lock of
/// the PF.
///
/// # Errors
///
/// `EBUSY` if one is in use, or the PF is locked.
pub fn disable_sriov_held(pf: &pci::Device<Bound>, _held: &Held) -> Result {
    let device = raw(pf);
    // SAFETY: the device is valid.
    let device_lock = unsafe { (&raw mut (*device).dev).cast() };
    // SAFETY: the device is valid.
    if unsafe { own::ferrite_helper_device_trylock(device_lock) } == 0 {
        return Err(EBUSY);
    }
    // SAFETY: the device is valid and locked, and so are the coming and going of others.
    let result = unsafe {
        if bindings::pci_vfs_assigned(device) > 0 {
            Err(EBUSY)
        } else {
            bindings::pci_disable_sriov(device);
            Ok(())
        }
    };
    // SAFETY: it was just locked.
    unsafe { own::ferrite_helper_device_unlock(device_lock) };
    result
}
