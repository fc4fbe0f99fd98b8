// SPDX-License-Identifier: GPL-2.0

//! The C tables of operations of a device, made of a [`Driver`].

use crate::{
    bindings as own,
    device::{
        Device,
        Driver, //
    },
    log::{
        Dirty,
        Ranges, //
    },
    window::Mapping, //
};
use core::{
    marker::PhantomData,
    ptr::NonNull, //
};
use kernel::{
    error::from_result,
    page::PAGE_SHIFT,
    prelude::*,
    sync::aref::ARef, //
};

/// The C tables of the operations of a `T`.
///
/// All functions here are called by VFIO only, with devices that have these tables, so that they are a
/// [`Device`] of `T`; they exist until the functions return, as do the other arguments.
pub(crate) struct Table<T>(PhantomData<T>);

impl<T: Driver> Table<T> {
    const DEVICE: own::vfio_device_ops = own::vfio_device_ops {
        name: T::NAME.as_ptr().cast_mut().cast(),
        init: Some(own::vfio_pci_core_init_dev),
        release: Some(Self::release),
        bind_iommufd: Some(own::vfio_iommufd_physical_bind),
        unbind_iommufd: Some(own::vfio_iommufd_physical_unbind),
        attach_ioas: Some(own::vfio_iommufd_physical_attach_ioas),
        detach_ioas: Some(own::vfio_iommufd_physical_detach_ioas),
        open_device: Some(Self::open),
        close_device: Some(Self::close),
        read: Some(Self::read),
        write: Some(Self::write),
        ioctl: Some(Self::ioctl),
        get_region_info_caps: Some(Self::region_info),
        mmap: Some(Self::mmap),
        request: Some(own::vfio_pci_core_request),
        match_: Some(own::vfio_pci_core_match),
        match_token_uuid: Some(own::vfio_pci_core_match_token_uuid),
        device_feature: Some(own::vfio_pci_core_ioctl_feature),
        ..pin_init::zeroed()
    };
    pub(crate) const DEVICE_REF: &'static own::vfio_device_ops = &Self::DEVICE;

    const MIGRATION: own::vfio_migration_ops = own::vfio_migration_ops {
        migration_set_state: Some(Self::set_state),
        migration_get_state: Some(Self::state),
        migration_get_data_size: Some(Self::data_size),
    };
    pub(crate) const MIGRATION_REF: &'static own::vfio_migration_ops = &Self::MIGRATION;

    const LOG: own::vfio_log_ops = own::vfio_log_ops {
        log_start: Some(Self::log_start),
        log_stop: Some(Self::log_stop),
        log_read_and_clear: Some(Self::log_report),
    };
    pub(crate) const LOG_REF: &'static own::vfio_log_ops = &Self::LOG;

    unsafe extern "C" fn release(vdev: *mut own::vfio_device) {
        // SAFETY: VFIO frees the device, which nobody uses any more.
        unsafe {
            Device::<T>::free(vdev.cast());
            own::vfio_pci_core_release_dev(vdev);
        }
    }

    unsafe extern "C" fn open(vdev: *mut own::vfio_device) -> c_int {
        // SAFETY: VFIO passes a device of `T`.
        let device = unsafe { Device::<T>::of(vdev) };
        // SAFETY: VFIO opens the device for its first user.
        let result = unsafe { own::vfio_pci_core_enable(device.core()) };
        if result == 0 {
            T::opened(device);
            // SAFETY: it was just enabled.
            unsafe { own::vfio_pci_core_finish_enable(device.core()) };
        }
        result
    }

    unsafe extern "C" fn close(vdev: *mut own::vfio_device) {
        // SAFETY: VFIO passes a device of `T`.
        T::closing(unsafe { Device::<T>::of(vdev) });
        // SAFETY: VFIO closes the device for its last user.
        unsafe { own::vfio_pci_core_close_device(vdev) };
    }

    /// Returns whether a region is a BAR that may not be mapped though VFIO could.
    fn hides(region: u32) -> bool {
        region < own::VFIO_PCI_ROM_REGION_INDEX && region != T::WINDOW && !T::is_mappable(region)
    }

    /// Returns how much of a region user space gets to see, [`None`] for all of it.
    fn visible(device: &Device<T>, region: u32) -> Option<u64> {
        (region < own::VFIO_PCI_ROM_REGION_INDEX)
            .then(|| device.data().visible(region))
            .flatten()
    }

    /// Returns how many of `count` bytes from `position` on a user may reach, as `read` and `write` count them.
    fn reach(device: &Device<T>, position: i64, count: usize) -> Result<usize> {
        let position = u64::try_from(position).map_err(|_| EINVAL)?;
        // CAST: what is too large is no BAR, cut or not.
        let region = (position >> own::VFIO_PCI_OFFSET_SHIFT) as u32;
        let Some(visible) = Self::visible(device, region) else {
            return Ok(count);
        };
        let offset = position & ((1 << own::VFIO_PCI_OFFSET_SHIFT) - 1);
        let rest = visible
            .checked_sub(offset)
            .filter(|rest| *rest > 0)
            .ok_or(EINVAL)?;
        Ok(usize::try_from(rest).map_or(count, |rest| rest.min(count)))
    }

    unsafe extern "C" fn read(
        vdev: *mut own::vfio_device,
        buffer: *mut c_char,
        count: usize,
        position: *mut own::loff_t,
    ) -> isize {
        // SAFETY: VFIO passes a device of `T`, and a valid position.
        match unsafe { Self::reach(Device::<T>::of(vdev), *position, count) } {
            // SAFETY: the arguments are passed on, with a count that is no larger.
            Ok(count) => unsafe { own::vfio_pci_core_read(vdev, buffer, count, position) },
            // CAST: errno values are small.
            Err(error) => error.to_errno() as isize,
        }
    }

    unsafe extern "C" fn write(
        vdev: *mut own::vfio_device,
        buffer: *const c_char,
        count: usize,
        position: *mut own::loff_t,
    ) -> isize {
        // SAFETY: VFIO passes a device of `T`, and a valid position.
        match unsafe { Self::reach(Device::<T>::of(vdev), *position, count) } {
            // SAFETY: the arguments are passed on, with a count that is no larger.
            Ok(count) => unsafe { own::vfio_pci_core_write(vdev, buffer, count, position) },
            // CAST: errno values are small.
            Err(error) => error.to_errno() as isize,
        }
    }

    unsafe extern "C" fn ioctl(
        vdev: *mut own::vfio_device,
        command: c_uint,
        argument: c_ulong,
    ) -> c_long {
        /// `VFIO_DEVICE_IOEVENTFD`, `_IO(VFIO_TYPE, VFIO_BASE + 16)`.
        const IOEVENTFD: c_uint = ((b';' as c_uint) << 8) | (100 + 16);

        // By this the kernel writes to a BAR for the user, where he says and whatever was checked before: he may say
        // something else by then. It is a shortcut, which devices need not have.
        if command == IOEVENTFD {
            // SAFETY: VFIO passes a device of `T`.
            let device = unsafe { Device::<T>::of(vdev) };
            if (0..own::VFIO_PCI_ROM_REGION_INDEX).any(|bar| Self::visible(device, bar).is_some()) {
                // CAST: errno values are small.
                return ENOTTY.to_errno() as c_long;
            }
        }
        // SAFETY: the arguments are passed on.
        unsafe { own::vfio_pci_core_ioctl(vdev, command, argument) }
    }

    unsafe extern "C" fn region_info(
        vdev: *mut own::vfio_device,
        info: *mut own::vfio_region_info,
        caps: *mut own::vfio_info_cap,
    ) -> c_int {
        /// `struct vfio_region_info_cap_sparse_mmap` with one area.
        #[repr(C)]
        struct Sparse {
            header: own::vfio_info_cap_header,
            areas: u32,
            rsvd: u32,
            offset: u64,
            size: u64,
        }

        // SAFETY: VFIO passes valid arguments, which are passed on.
        let result = unsafe { own::vfio_pci_ioctl_get_region_info(vdev, info, caps) };
        if result != 0 {
            return result;
        }
        // SAFETY: VFIO passes a valid structure that nobody else uses.
        let info = unsafe { &mut *info };
        // SAFETY: VFIO passes a device of `T`.
        let device = unsafe { Device::<T>::of(vdev) };
        if let Some(visible) = Self::visible(device, info.index) {
            info.size = info.size.min(visible);
        }
        if Self::hides(info.index) {
            info.flags &= !own::VFIO_REGION_INFO_FLAG_MMAP;
        }
        if info.index == T::WINDOW && info.flags & own::VFIO_REGION_INFO_FLAG_MMAP != 0 {
            let mut sparse = Sparse {
                header: own::vfio_info_cap_header {
                    // CAST: it is 1.
                    id: own::VFIO_REGION_INFO_CAP_SPARSE_MMAP as u16,
                    version: 1,
                    next: 0,
                },
                areas: 1,
                rsvd: 0,
                offset: 0,
                size: info.size,
            };
            let size = size_of::<Sparse>();
            // SAFETY: the header is the first field of what is that large.
            return unsafe {
                let header = (&raw mut sparse).cast();
                own::vfio_info_add_capability(caps, header, size)
            };
        }
        0
    }

    unsafe extern "C" fn mmap(vdev: *mut own::vfio_device, vma: *mut own::vm_area_struct) -> c_int {
        // SAFETY: VFIO passes a mapping that is being made.
        let (offset, length) = unsafe {
            let bounds = &(*vma).__bindgen_anon_1.__bindgen_anon_1;
            ((*vma).vm_pgoff, bounds.vm_end - bounds.vm_start)
        };
        // CAST: what is too large is no BAR, cut or not.
        let region = (offset >> (own::VFIO_PCI_OFFSET_SHIFT as usize - PAGE_SHIFT)) as u32;
        if Self::hides(region) {
            return EINVAL.to_errno();
        }
        // SAFETY: VFIO passes a device of `T`.
        let device = unsafe { Device::<T>::of(vdev) };
        // CAST: the number of a page has fewer bits than an offset, and an offset of a file is not negative.
        let position = (offset << PAGE_SHIFT) as i64;
        if !matches!(Self::reach(device, position, length), Ok(all) if all == length) {
            return EINVAL.to_errno();
        }
        // SAFETY: the arguments are passed on.
        let result = unsafe { own::vfio_pci_core_mmap(vdev, vma) };
        if result == 0 && region == T::WINDOW {
            // SAFETY: the mapping is being made, and one of the window of a `T`.
            unsafe { (*vma).vm_ops = Mapping::<T>::TABLE_REF };
        }
        result
    }

    unsafe extern "C" fn set_state(
        vdev: *mut own::vfio_device,
        state: own::vfio_device_mig_state,
    ) -> *mut own::file {
        // SAFETY: VFIO passes a device of `T`.
        match T::set_state(unsafe { Device::<T>::of(vdev) }, state) {
            Ok(None) => core::ptr::null_mut(),
            // The reference is the caller's now.
            Ok(Some(file)) => ARef::into_raw(file).as_ptr().cast(),
            Err(error) => error.to_ptr(),
        }
    }

    unsafe extern "C" fn state(
        vdev: *mut own::vfio_device,
        state: *mut own::vfio_device_mig_state,
    ) -> c_int {
        from_result(|| {
            // SAFETY: VFIO passes a device of `T`.
            let now = T::state(unsafe { Device::<T>::of(vdev) })?;
            // SAFETY: VFIO passes a valid pointer.
            unsafe { *state = now };
            Ok(0)
        })
    }

    unsafe extern "C" fn data_size(vdev: *mut own::vfio_device, size: *mut usize) -> c_int {
        from_result(|| {
            // SAFETY: VFIO passes a device of `T`.
            let now = T::data_size(unsafe { Device::<T>::of(vdev) })?;
            // SAFETY: VFIO passes a valid pointer.
            unsafe { *size = now };
            Ok(0)
        })
    }

    unsafe extern "C" fn log_start(
        vdev: *mut own::vfio_device,
        root: *mut own::rb_root_cached,
        count: u32,
        page_size: *mut u64,
    ) -> c_int {
        from_result(|| {
            let root = NonNull::new(root).ok_or(EINVAL)?;
            // SAFETY: VFIO passes a tree that it made for this call.
            let ranges = unsafe { Ranges::new(root, count) };
            // SAFETY: VFIO passes a valid pointer.
            let wanted = unsafe { *page_size };
            // SAFETY: VFIO passes a device of `T`.
            let chosen = T::log_start(unsafe { Device::<T>::of(vdev) }, ranges, wanted)?;
            // SAFETY: VFIO passes a valid pointer.
            unsafe { *page_size = chosen };
            Ok(0)
        })
    }

    unsafe extern "C" fn log_stop(vdev: *mut own::vfio_device) -> c_int {
        from_result(|| {
            // SAFETY: VFIO passes a device of `T`.
            T::log_stop(unsafe { Device::<T>::of(vdev) })?;
            Ok(0)
        })
    }

    unsafe extern "C" fn log_report(
        vdev: *mut own::vfio_device,
        iova: usize,
        length: usize,
        bitmap: *mut own::iova_bitmap,
    ) -> c_int {
        from_result(|| {
            let bitmap = NonNull::new(bitmap).ok_or(EINVAL)?;
            // SAFETY: VFIO passes a bitmap that it made for this call.
            let mut dirty = unsafe { Dirty::new(bitmap) };
            // SAFETY: VFIO passes a device of `T`.
            let device = unsafe { Device::<T>::of(vdev) };
            T::log_report(device, iova, length, &mut dirty)?;
            Ok(0)
        })
    }
}
