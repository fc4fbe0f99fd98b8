// SPDX-License-Identifier: GPL-2.0

//! The C table of the operations of a vDPA device.

use super::{
    Areas,
    Callback,
    Inner,
    Iotlb,
    Operations,
    StatsMessage,
    VqState, //
};
use crate::bindings;
use core::marker::PhantomData;
use kernel::{
    error::from_result,
    prelude::*, //
};

/// What every function of the table requires: that it is called by the core for a device made with
/// this table, which has its data until `free`.
pub(super) struct Table<T: Operations>(PhantomData<T>);

/// # Safety
///
/// `vdev` is one that was made with the table of `T`, and is not freed while the result is used.
unsafe fn data<'a, T: Operations>(vdev: *const bindings::vdpa_device) -> Option<&'a T> {
    // SAFETY: by the requirements of this function `vdev` is the first field of an `Inner`, whose data
    // nobody changes until `free`.
    unsafe { (*vdev.cast::<Inner<T>>()).data.as_ref() }
}

/// Runs `$body` with the data of `$vdev`, or returns `$none`.
macro_rules! with {
    ($vdev:ident, $none:expr, |$data:ident| $body:expr) => {{
        // SAFETY: by the requirements of `Table`.
        match unsafe { data::<T>($vdev) } {
            Some($data) => $body,
            None => $none,
        }
    }};
}

type Vdev = *mut bindings::vdpa_device;

// Each function is called by the core, as `Table` requires; what else it is passed is valid for the call.
impl<T: Operations> Table<T> {
    const OPS: bindings::vdpa_config_ops = bindings::vdpa_config_ops {
        set_vq_address: Some(Self::set_vq_address),
        set_vq_num: Some(Self::set_vq_num),
        kick_vq: Some(Self::kick_vq),
        kick_vq_with_data: Some(Self::kick_vq_with_data),
        set_vq_cb: Some(Self::set_vq_cb),
        set_vq_ready: Some(Self::set_vq_ready),
        get_vq_ready: Some(Self::get_vq_ready),
        set_vq_state: Some(Self::set_vq_state),
        get_vq_state: Some(Self::get_vq_state),
        get_vendor_vq_stats: Some(Self::get_vendor_vq_stats),
        get_vq_irq: Some(Self::get_vq_irq),
        get_vq_size: Some(Self::get_vq_size),
        get_vq_align: Some(Self::get_vq_align),
        get_vq_group: Some(Self::get_vq_group),
        get_vq_desc_group: Some(Self::get_vq_desc_group),
        get_device_features: Some(Self::get_device_features),
        get_backend_features: Some(Self::get_backend_features),
        set_driver_features: Some(Self::set_driver_features),
        get_driver_features: Some(Self::get_driver_features),
        set_config_cb: Some(Self::set_config_cb),
        get_vq_num_max: Some(Self::get_vq_num_max),
        get_device_id: Some(Self::get_device_id),
        get_vendor_id: Some(Self::get_vendor_id),
        get_status: Some(Self::get_status),
        set_status: Some(Self::set_status),
        reset: Some(Self::reset),
        compat_reset: Some(Self::compat_reset),
        suspend: Some(Self::suspend),
        resume: Some(Self::resume),
        get_config_size: Some(Self::get_config_size),
        get_config: Some(Self::get_config),
        set_config: Some(Self::set_config),
        get_generation: Some(Self::get_generation),
        set_map: Some(Self::set_map),
        reset_map: Some(Self::reset_map),
        set_group_asid: Some(Self::set_group_asid),
        free: Some(Self::free),
        ..pin_init::zeroed()
    };
    pub(super) const OPS_REF: &'static bindings::vdpa_config_ops = &Self::OPS;

    unsafe extern "C" fn set_vq_address(vdev: Vdev, index: u16, d: u64, a: u64, u: u64) -> c_int {
        let areas = Areas {
            descriptors: d,
            driver: a,
            device: u,
        };
        with!(vdev, ENODEV.to_errno(), |data| from_result(|| data
            .set_vq_address(index, areas)
            .map(|()| 0)))
    }

    unsafe extern "C" fn set_vq_num(vdev: Vdev, index: u16, num: u32) {
        with!(vdev, (), |data| data.set_vq_num(index, num));
    }

    unsafe extern "C" fn kick_vq(vdev: Vdev, index: u16) {
        with!(vdev, (), |data| data.kick_vq(index));
    }

    unsafe extern "C" fn kick_vq_with_data(vdev: Vdev, value: u32) {
        with!(vdev, (), |data| data.kick_vq_with_data(value));
    }

    unsafe extern "C" fn set_vq_cb(vdev: Vdev, index: u16, cb: *mut bindings::vdpa_callback) {
        // SAFETY: as said above.
        let callback = unsafe { callback(cb) };
        with!(vdev, (), |data| data.set_vq_callback(index, callback));
    }

    unsafe extern "C" fn set_vq_ready(vdev: Vdev, index: u16, ready: bool) {
        with!(vdev, (), |data| data.set_vq_ready(index, ready));
    }

    unsafe extern "C" fn get_vq_ready(vdev: Vdev, index: u16) -> bool {
        with!(vdev, false, |data| data.vq_ready(index))
    }

    unsafe extern "C" fn set_vq_state(
        vdev: Vdev,
        index: u16,
        state: *const bindings::vdpa_vq_state,
    ) -> c_int {
        // SAFETY: as said above; the state is two words of 16 bits, or the first of them.
        let state = VqState(unsafe { state.cast::<[u16; 2]>().read() });
        with!(vdev, ENODEV.to_errno(), |data| from_result(|| data
            .set_vq_state(index, state)
            .map(|()| 0)))
    }

    unsafe extern "C" fn get_vq_state(
        vdev: Vdev,
        index: u16,
        state: *mut bindings::vdpa_vq_state,
    ) -> c_int {
        with!(vdev, ENODEV.to_errno(), |data| from_result(|| {
            let found = data.vq_state(index)?;
            // SAFETY: as in `set_vq_state`.
            unsafe { state.cast::<[u16; 2]>().write(found.0) };
            Ok(0)
        }))
    }

    unsafe extern "C" fn get_vendor_vq_stats(
        vdev: Vdev,
        index: u16,
        message: *mut bindings::sk_buff,
        _extack: *mut bindings::netlink_ext_ack,
    ) -> c_int {
        // SAFETY: as said above; `StatsMessage` is a transparent wrapper.
        let message = unsafe { &mut *message.cast::<StatsMessage>() };
        with!(vdev, ENODEV.to_errno(), |data| from_result(|| data
            .vq_stats(index, message)
            .map(|()| 0)))
    }

    unsafe extern "C" fn get_vq_irq(vdev: Vdev, index: u16) -> c_int {
        let irq = with!(vdev, None, |data| data.vq_irq(index));
        irq.and_then(|irq| c_int::try_from(irq).ok())
            // CAST: errno values are small.
            .unwrap_or(-(kernel::bindings::EOPNOTSUPP as c_int))
    }

    unsafe extern "C" fn get_vq_size(vdev: Vdev, index: u16) -> u16 {
        with!(vdev, 0, |data| data.vq_size(index))
    }

    unsafe extern "C" fn get_vq_align(_vdev: Vdev) -> u32 {
        T::VQ_ALIGN
    }

    unsafe extern "C" fn get_vq_group(vdev: Vdev, index: u16) -> u32 {
        with!(vdev, 0, |data| data.vq_group(index))
    }

    unsafe extern "C" fn get_vq_desc_group(vdev: Vdev, index: u16) -> u32 {
        with!(vdev, 0, |data| data.vq_desc_group(index))
    }

    unsafe extern "C" fn get_device_features(vdev: Vdev) -> u64 {
        with!(vdev, 0, |data| data.device_features())
    }

    unsafe extern "C" fn get_backend_features(vdev: *const bindings::vdpa_device) -> u64 {
        with!(vdev, 0, |data| data.backend_features())
    }

    unsafe extern "C" fn set_driver_features(vdev: Vdev, features: u64) -> c_int {
        with!(vdev, ENODEV.to_errno(), |data| from_result(|| data
            .set_driver_features(features)
            .map(|()| 0)))
    }

    unsafe extern "C" fn get_driver_features(vdev: Vdev) -> u64 {
        with!(vdev, 0, |data| data.driver_features())
    }

    unsafe extern "C" fn set_config_cb(vdev: Vdev, cb: *mut bindings::vdpa_callback) {
        // SAFETY: as said above.
        let callback = unsafe { callback(cb) };
        with!(vdev, (), |data| data.set_config_callback(callback));
    }

    unsafe extern "C" fn get_vq_num_max(vdev: Vdev) -> u16 {
        with!(vdev, 0, |data| data.vq_num_max())
    }

    unsafe extern "C" fn get_device_id(_vdev: Vdev) -> u32 {
        T::DEVICE_ID
    }

    unsafe extern "C" fn get_vendor_id(_vdev: Vdev) -> u32 {
        T::VENDOR_ID
    }

    unsafe extern "C" fn get_status(vdev: Vdev) -> u8 {
        with!(vdev, 0, |data| data.status())
    }

    unsafe extern "C" fn set_status(vdev: Vdev, status: u8) {
        with!(vdev, (), |data| data.set_status(status));
    }

    unsafe extern "C" fn reset(vdev: Vdev) -> c_int {
        with!(vdev, ENODEV.to_errno(), |data| from_result(|| data
            .reset(false)
            .map(|()| 0)))
    }

    unsafe extern "C" fn compat_reset(vdev: Vdev, flags: u32) -> c_int {
        let clean = flags & bindings::VDPA_RESET_F_CLEAN_MAP != 0;
        with!(vdev, ENODEV.to_errno(), |data| from_result(|| data
            .reset(clean)
            .map(|()| 0)))
    }

    unsafe extern "C" fn suspend(vdev: Vdev) -> c_int {
        with!(vdev, ENODEV.to_errno(), |data| from_result(|| data
            .suspend()
            .map(|()| 0)))
    }

    unsafe extern "C" fn resume(vdev: Vdev) -> c_int {
        with!(vdev, ENODEV.to_errno(), |data| from_result(|| data
            .resume()
            .map(|()| 0)))
    }

    unsafe extern "C" fn get_config_size(vdev: Vdev) -> usize {
        with!(vdev, 0, |data| data.config_size())
    }

    unsafe extern "C" fn get_config(vdev: Vdev, offset: c_uint, to: *mut c_void, len: c_uint) {
        // SAFETY: as said above.
        let buffer = unsafe { core::slice::from_raw_parts_mut(to.cast::<u8>(), len as usize) };
        with!(vdev, buffer.fill(0), |data| data
            .config(offset as usize, buffer));
    }

    /// A driver of virtio 1 writes nothing there.
    unsafe extern "C" fn set_config(_: Vdev, _offset: c_uint, _: *const c_void, _len: c_uint) {}

    unsafe extern "C" fn get_generation(vdev: Vdev) -> u32 {
        with!(vdev, 0, |data| data.generation())
    }

    unsafe extern "C" fn set_map(
        vdev: Vdev,
        space: c_uint,
        iotlb: *mut bindings::vhost_iotlb,
    ) -> c_int {
        // SAFETY: as said above; `Iotlb` is a transparent wrapper.
        let iotlb = unsafe { &*iotlb.cast::<Iotlb>() };
        with!(vdev, ENODEV.to_errno(), |data| from_result(|| data
            .set_map(space, iotlb)
            .map(|()| 0)))
    }

    unsafe extern "C" fn reset_map(vdev: Vdev, space: c_uint) -> c_int {
        with!(vdev, ENODEV.to_errno(), |data| from_result(|| data
            .reset_map(space)
            .map(|()| 0)))
    }

    unsafe extern "C" fn set_group_asid(vdev: Vdev, group: c_uint, space: c_uint) -> c_int {
        with!(vdev, ENODEV.to_errno(), |data| from_result(|| data
            .set_group_space(group, space)
            .map(|()| 0)))
    }

    unsafe extern "C" fn free(vdev: Vdev) {
        // SAFETY: as said above, and nobody uses the device any more.
        drop(unsafe { (*vdev.cast::<Inner<T>>()).data.take() });
    }
}

/// # Safety
///
/// `cb` is a valid callback.
unsafe fn callback(cb: *mut bindings::vdpa_callback) -> Option<Callback> {
    // SAFETY: by the requirements of this function.
    let cb = unsafe { &*cb };
    cb.callback.map(|function| Callback {
        function,
        private: cb.private,
    })
}
