// SPDX-License-Identifier: GPL-2.0

//! Management devices: what users make vDPA devices of.

use super::{
    Device,
    Inner,
    Operations, //
};
use crate::bindings;
use core::marker::PhantomPinned;
use kernel::{
    device,
    device::Bound,
    error::{
        from_result,
        to_result, //
    },
    prelude::*,
    sync::aref::ARef,
    types::Opaque, //
};

/// What a user asks for, as far as it was said.
#[derive(Clone, Copy, Debug, Default)]
pub struct Config {
    /// Features to offer.
    pub features: Option<u64>,
    /// MAC address.
    pub mac: Option<[u8; 6]>,
    /// MTU.
    pub mtu: Option<u16>,
    /// Number of queue pairs.
    pub pairs: Option<u16>,
}

impl Config {
    /// Whatever a user can say.
    const ATTRIBUTES: u64 = bit(bindings::vdpa_attr_VDPA_ATTR_DEV_FEATURES)
        | bit(bindings::vdpa_attr_VDPA_ATTR_DEV_NET_CFG_MACADDR)
        | bit(bindings::vdpa_attr_VDPA_ATTR_DEV_NET_CFG_MTU)
        | bit(bindings::vdpa_attr_VDPA_ATTR_DEV_NET_CFG_MAX_VQP);

    fn new(raw: &bindings::vdpa_dev_set_config) -> Self {
        let said = |attribute| raw.mask & bit(attribute) != 0;
        let net = &raw.net;
        Self {
            features: said(bindings::vdpa_attr_VDPA_ATTR_DEV_FEATURES)
                .then_some(raw.device_features),
            mac: said(bindings::vdpa_attr_VDPA_ATTR_DEV_NET_CFG_MACADDR).then_some(net.mac),
            mtu: said(bindings::vdpa_attr_VDPA_ATTR_DEV_NET_CFG_MTU).then_some(net.mtu),
            pairs: said(bindings::vdpa_attr_VDPA_ATTR_DEV_NET_CFG_MAX_VQP)
                .then_some(net.max_vq_pairs),
        }
    }
}

const fn bit(attribute: u32) -> u64 {
    1 << attribute
}

/// Makes vDPA devices. The calls do not overlap.
pub trait Management: Send + Sync + 'static {
    /// What is made.
    type Device: Operations;

    /// Makes a device. Returns it and the number of its queues.
    ///
    /// # Errors
    ///
    /// What the user is told.
    fn add(&self, config: &Config) -> Result<(Self::Device, u32)>;

    /// Changes a device.
    ///
    /// # Errors
    ///
    /// What the user is told.
    fn set(&self, device: &Self::Device, config: &Config) -> Result;

    /// A device is about to go: nobody uses it any more.
    fn remove(&self, device: &Self::Device);
}

/// What the core knows of a management device. `raw` comes first, so that a pointer to it is one to
/// this.
#[repr(C)]
struct Memory<M: Management> {
    raw: Opaque<bindings::vdpa_mgmt_dev>,
    ids: Opaque<[bindings::virtio_device_id; 2]>,
    dma: ARef<device::Device>,
    management: M,
    _pin: PhantomPinned,
}

/// A management device is there for as long as this lives. With it go the devices that were made of it.
///
/// # Invariants
///
/// The management device in the memory is registered.
pub struct Registration<M: Management> {
    memory: Pin<KBox<Memory<M>>>,
    // What the memory points to.
    _device: ARef<device::Device>,
}

// SAFETY: a management device does not belong to a thread, and `M` is `Send`.
unsafe impl<M: Management> Send for Registration<M> {}

// SAFETY: nothing can be done with a shared registration.
unsafe impl<M: Management> Sync for Registration<M> {}

impl<M: Management> Registration<M> {
    const OPS: bindings::vdpa_mgmtdev_ops = bindings::vdpa_mgmtdev_ops {
        dev_add: Some(Self::dev_add),
        dev_del: Some(Self::dev_del),
        dev_set_attr: Some(Self::dev_set_attr),
    };
    const OPS_REF: &'static bindings::vdpa_mgmtdev_ops = &Self::OPS;

    /// Registers `device` as a management device of what `management` makes, which does DMA as `dma`
    /// does.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub fn new(
        device: &device::Device<Bound>,
        dma: &device::Device<Bound>,
        features: u64,
        max_queues: u32,
        management: M,
    ) -> Result<Self> {
        let id = |device| bindings::virtio_device_id {
            device,
            vendor: u32::MAX,
        };
        let memory = KBox::pin(
            Memory {
                raw: Opaque::new(pin_init::zeroed()),
                ids: Opaque::new([id(M::Device::DEVICE_ID), id(0)]),
                dma: dma.into(),
                management,
                _pin: PhantomPinned,
            },
            GFP_KERNEL,
        )?;
        let raw = memory.raw.get();
        // SAFETY: nobody else knows of the memory yet, and it is zeroed but for what is set here.
        unsafe {
            (*raw).device = core::ptr::from_ref(device).cast_mut().cast();
            (*raw).ops = Self::OPS_REF;
            (*raw).id_table = memory.ids.get().cast();
            (*raw).config_attr_mask = Config::ATTRIBUTES;
            (*raw).supported_features = features;
            (*raw).max_supported_vqs = max_queues;
        }
        // SAFETY: what is registered does not move and lives until it is unregistered, and so does the
        // device, a reference to which is kept.
        to_result(unsafe { bindings::vdpa_mgmtdev_register(raw) })?;
        // INVARIANT: it was just registered.
        Ok(Self {
            memory,
            _device: device.into(),
        })
    }

    unsafe extern "C" fn dev_add(
        mdev: *mut bindings::vdpa_mgmt_dev,
        name: *const c_char,
        config: *const bindings::vdpa_dev_set_config,
    ) -> c_int {
        // SAFETY: the core calls this for a management device of this type that is registered, which
        // is the first field of its memory.
        let memory = unsafe { &*mdev.cast::<Memory<M>>() };
        // SAFETY: the core passes a valid configuration.
        let config = Config::new(unsafe { &*config });
        from_result(|| {
            let (data, queues) = memory.management.add(&config)?;
            // SAFETY: the parent is there while the management device is registered.
            let parent = unsafe { &*(*mdev).device.cast::<device::Device>() };
            let made = Device::new(parent, &memory.dma, name, data)?;
            // SAFETY: nobody else knows of the device yet.
            unsafe { (*made.raw()).mdev = mdev };
            // SAFETY: the device is complete, and this is called from `dev_add`, as it must.
            let registered =
                to_result(unsafe { bindings::_vdpa_register_device(made.raw(), queues) });
            if let Err(error) = registered {
                // SAFETY: by the invariants of `Device`.
                if let Some(data) = unsafe { &(*made.raw().cast::<Inner<M::Device>>()).data } {
                    memory.management.remove(data);
                }
                return Err(error);
            }
            // The core has the reference now, and gives it up in `_vdpa_unregister_device`.
            core::mem::forget(made);
            Ok(0)
        })
    }

    unsafe extern "C" fn dev_del(
        mdev: *mut bindings::vdpa_mgmt_dev,
        vdev: *mut bindings::vdpa_device,
    ) {
        // SAFETY: as in `dev_add`.
        let memory = unsafe { &*mdev.cast::<Memory<M>>() };
        // SAFETY: the device is one of this management device; this reference keeps it until the end.
        unsafe {
            kernel::bindings::get_device((&raw mut (*vdev).dev).cast());
            bindings::_vdpa_unregister_device(vdev);
        }
        // SAFETY: the device was made in `dev_add` and has its data until the last reference goes.
        if let Some(data) = unsafe { &(*vdev.cast::<Inner<M::Device>>()).data } {
            memory.management.remove(data);
        }
        // SAFETY: the reference is the one from above.
        unsafe { kernel::bindings::put_device((&raw mut (*vdev).dev).cast()) };
    }

    unsafe extern "C" fn dev_set_attr(
        mdev: *mut bindings::vdpa_mgmt_dev,
        vdev: *mut bindings::vdpa_device,
        config: *const bindings::vdpa_dev_set_config,
    ) -> c_int {
        // SAFETY: as in `dev_add` and `dev_del`.
        let (memory, data) = unsafe {
            (
                &*mdev.cast::<Memory<M>>(),
                &(*vdev.cast::<Inner<M::Device>>()).data,
            )
        };
        // SAFETY: the core passes a valid configuration.
        let config = Config::new(unsafe { &*config });
        from_result(|| {
            let data = data.as_ref().ok_or(ENODEV)?;
            memory.management.set(data, &config).map(|()| 0)
        })
    }
}

impl<M: Management> Drop for Registration<M> {
    fn drop(&mut self) {
        // SAFETY: by the invariants of this type. No operation runs afterwards, so that the memory may
        // go.
        unsafe { bindings::vdpa_mgmtdev_unregister(self.memory.raw.get()) };
    }
}
