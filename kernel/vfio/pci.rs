// SPDX-License-Identifier: GPL-2.0

//! The PCI driver that a [`Driver`] is.

use crate::{
    bindings as own,
    device::{
        Device,
        Driver, //
    }, //
};
use core::{
    marker::PhantomData,
    mem::offset_of, //
};
use kernel::{
    bindings,
    device::CoreInternal,
    device_id::{
        RawDeviceId,
        RawDeviceIdIndex, //
    },
    driver,
    error::{
        from_result,
        to_result, //
    },
    pci,
    prelude::*,
    sync::aref::ARef,
    types::Opaque, //
};

/// An entry of the table of a VFIO driver: functions that it may be chosen for, and gets no other way.
#[repr(transparent)]
#[derive(Clone, Copy)]
pub struct DeviceId(bindings::pci_device_id);

impl DeviceId {
    const ANY: u32 = !0;

    /// Names a device by its ids.
    pub const fn new(vendor: u16, device: u16) -> Self {
        Self(bindings::pci_device_id {
            vendor: vendor as u32,
            device: device as u32,
            subvendor: Self::ANY,
            subdevice: Self::ANY,
            class: 0,
            class_mask: 0,
            driver_data: 0,
            override_only: bindings::PCI_ID_F_VFIO_DRIVER_OVERRIDE,
        })
    }
}

// SAFETY: `DeviceId` is a transparent wrapper of its raw type.
unsafe impl RawDeviceId for DeviceId {
    type RawType = bindings::pci_device_id;
}

// SAFETY: it is the offset of `driver_data`, which is of the size of a pointer.
unsafe impl RawDeviceIdIndex for DeviceId {
    const DRIVER_DATA_OFFSET: usize = offset_of!(bindings::pci_device_id, driver_data);

    fn index(&self) -> usize {
        self.0.driver_data
    }
}

/// Table of the functions that there is a VFIO driver for.
pub type IdTable = &'static dyn kernel::device_id::IdTable<DeviceId, ()>;

/// Makes a table of [`DeviceId`]s, with the aliases `vfio_pci:` by which user space finds the module.
#[macro_export]
macro_rules! device_table {
    ($table:ident, $module_table:ident, $ids:expr) => {
        const $table: ::kernel::device_id::IdArray<$crate::DeviceId, (), { $ids.len() }> =
            ::kernel::device_id::IdArray::new($ids);

        ::kernel::module_device_table!("pci", $module_table, $table);
    };
}

/// Registers a [`Driver`] with the PCI core.
pub struct Adapter<T: Driver>(PhantomData<T>);

// SAFETY: `struct pci_driver` is `repr(C)` and embeds a `struct device_driver` at this offset. `probe` stores no
// private data of the kind that the registration frees: it finds null, which `remove` left.
unsafe impl<T: Driver> driver::DriverLayout for Adapter<T> {
    type DriverType = bindings::pci_driver;
    type DriverData<'bound> = ();
    const DEVICE_DRIVER_OFFSET: usize = offset_of!(Self::DriverType, driver);
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
            // Users bring their own domain.
            (*pdrv).driver_managed_dma = true;
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
        error_detected: Some(Self::error_detected),
        reset_done: Some(Self::reset_done),
        ..pin_init::zeroed()
    };
    const ERROR_HANDLERS_REF: &'static bindings::pci_error_handlers = &Self::ERROR_HANDLERS;

    extern "C" fn probe(pdev: *mut bindings::pci_dev, _: *const bindings::pci_device_id) -> c_int {
        from_result(|| {
            // SAFETY: the PCI core calls this with a valid device, which it keeps locked until this returns.
            let safe = unsafe { &*pdev.cast::<pci::Device<CoreInternal<'_>>>() };
            let device = Device::<T>::alloc(safe, T::probe(safe))?;
            // SAFETY: the device is valid and being probed: its data are the driver's. VFIO wants them to be its
            // own device, which is what a `Device` starts with.
            unsafe { bindings::dev_set_drvdata(&raw mut (*pdev).dev, device.core().cast()) };
            device.register().inspect_err(|_| {
                // SAFETY: as above. Nobody shall take what is left there for a box.
                unsafe { bindings::dev_set_drvdata(&raw mut (*pdev).dev, core::ptr::null_mut()) };
            })?;
            // The reference is that of the driver data.
            let _ = ARef::into_raw(device);
            Ok(0)
        })
    }

    /// Returns the VFIO device of a function.
    ///
    /// # Safety
    ///
    /// `pdev` is valid, locked, and bound to this driver for `'a`.
    unsafe fn device<'a>(pdev: *mut bindings::pci_dev) -> &'a Device<T> {
        // SAFETY: by the requirements of this function `probe` stored what starts with a `struct vfio_device`,
        // with a reference to it.
        unsafe { Device::of(bindings::dev_get_drvdata(&raw mut (*pdev).dev).cast()) }
    }

    extern "C" fn remove(pdev: *mut bindings::pci_dev) {
        // SAFETY: the PCI core calls this for a device that was probed, and keeps it locked.
        let device = unsafe { Self::device(pdev) };
        // SAFETY: it was registered by `probe`. This waits until no user has it open.
        unsafe { own::vfio_pci_core_unregister_device(device.core()) };
        // SAFETY: the device is valid. There is nothing for the registration of the driver to free.
        unsafe { bindings::dev_set_drvdata(&raw mut (*pdev).dev, core::ptr::null_mut()) };
        // SAFETY: the reference is the one that `probe` left with the driver data, which are gone.
        drop(unsafe { ARef::from_raw(core::ptr::NonNull::from(device)) });
    }

    extern "C" fn error_detected(
        pdev: *mut bindings::pci_dev,
        state: bindings::pci_channel_state_t,
    ) -> bindings::pci_ers_result_t {
        // SAFETY: error recovery holds the lock of the device and found it bound, so that its data are VFIO's.
        unsafe { own::vfio_pci_core_aer_err_detected(pdev.cast(), state) }
    }

    extern "C" fn reset_done(pdev: *mut bindings::pci_dev) {
        // SAFETY: who resets a device holds its lock and found it bound.
        T::was_reset(unsafe { Self::device(pdev) });
    }
}
