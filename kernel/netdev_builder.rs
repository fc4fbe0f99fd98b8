// SPDX-License-Identifier: GPL-2.0

//! How a network device comes to be, is seen, and goes.

use crate::{
    bindings,
    devlink,
    ethtool,
    flow::block::Blocks,
    netdev::{
        Device,
        Header,
        Operations,
        Private, //
    },
    netdev_ops::Table,
    netdev_queue::TxSlots,
    netdev_types::Features, //
};
use core::{
    any::TypeId,
    mem::offset_of,
    ptr::NonNull, //
};
use kernel::{
    device::{
        self,
        Bound, //
    },
    error::to_result,
    prelude::*,
    sync::{
        aref::ARef,
        Arc,
        Refcount, //
    }, //
};

/// A network device that is not visible yet, to be configured and [registered](Self::register).
pub struct Builder<T: Operations>(ARef<Device<T>>);

impl<T: Operations> Builder<T> {
    /// Makes an Ethernet device with up to `queues` queues of each kind, as a child of `parent`.
    ///
    /// # Errors
    ///
    /// `ENOMEM`, and what `data` fails with.
    pub fn new(
        parent: &device::Device<Bound>,
        queues: u16,
        data: impl PinInit<T, Error>,
    ) -> Result<Self> {
        const {
            assert!(align_of::<Private<T>>() <= bindings::NETDEV_ALIGN as usize);
            // The header must be found whatever `T` is.
            assert!(offset_of!(Private<T>, header) == 0);
        }
        let tx = TxSlots::new(queues)?;
        // SAFETY: no requirements.
        let raw = unsafe {
            bindings::alloc_etherdev_mqs(
                size_of::<Private<T>>() as c_int,
                queues.into(),
                queues.into(),
            )
        };
        let raw = NonNull::new(raw).ok_or(ENOMEM)?;
        // SAFETY: the device is new: nobody else uses it. Its private part has the size that was
        // asked for and, as asserted, the alignment, and does not move. If `data` fails, the device
        // is freed without it.
        unsafe {
            let private = bindings::ferrite_helper_netdev_priv(raw.as_ptr()).cast::<Private<T>>();
            if let Err(error) = data.__pinned_init(&raw mut (*private).data) {
                bindings::free_netdev(raw.as_ptr());
                return Err(error);
            }
            (&raw mut (*private).tx).write(tx);
            (&raw mut (*private).header).write(Header {
                refs: Refcount::new(1),
                destroy: Device::<T>::destroy,
                port: None,
                dma_device: None,
                operations: TypeId::of::<T>(),
                blocks: Blocks::new(),
            });
            (*private).header.blocks.init();
        }
        // SAFETY: the device is new: nobody else uses it. `parent` exists until the device is
        // registered, if the caller keeps it bound, and from then on is referenced by it.
        unsafe {
            (*raw.as_ptr()).netdev_ops = Table::<T>::OPS_REF;
            (*raw.as_ptr()).request_ops_lock = true;
            (*raw.as_ptr()).stat_ops = Table::<T>::STAT_OPS_REF;
            if T::HAS_XDP_SETUP {
                bindings::ferrite_helper_xdp_offer(raw.as_ptr());
            }
            bindings::ferrite_helper_netdev_set_parent(
                raw.as_ptr(),
                // CAST: `Device` is a transparent wrapper of `struct device`.
                core::ptr::from_ref(parent).cast_mut().cast(),
            );
        }
        // SAFETY: the count was set to one, for this reference. `Device` is a transparent wrapper.
        Ok(Self(unsafe { ARef::from_raw(raw.cast()) }))
    }

    /// Returns the device.
    pub fn device(&self) -> &Device<T> {
        &self.0
    }

    fn raw(&self) -> *mut bindings::net_device {
        self.0.as_ptr()
    }

    /// Sets the MAC address; a random one, if `address` cannot be that of a device.
    pub fn mac(self, address: [u8; 6]) -> Self {
        // SAFETY: the device is valid and not registered, so that nobody else uses the address.
        unsafe {
            if address == [0; 6] || address[0] & 1 != 0 {
                bindings::ferrite_helper_netdev_random_address(self.raw());
            } else {
                bindings::ferrite_helper_netdev_set_address(self.raw(), address.as_ptr());
            }
        }
        self
    }

    /// Sets the MTU and its range.
    pub fn mtu(self, mtu: u32, min: u32, max: u32) -> Self {
        // SAFETY: the device is valid and not registered.
        unsafe {
            let raw = self.raw();
            (*raw).mtu = mtu.clamp(min, max);
            (*raw).min_mtu = min;
            (*raw).max_mtu = max;
        }
        self
    }

    /// Sets how many queues of each kind are in use to begin with.
    ///
    /// # Errors
    ///
    /// `EINVAL` if the device was not made with as many.
    pub fn real_queues(self, count: u16) -> Result<Self> {
        // SAFETY: the device is valid and not registered.
        to_result(unsafe {
            bindings::netif_set_real_num_queues(self.raw(), count.into(), count.into())
        })?;
        Ok(self)
    }

    /// Sets the features that users may turn on and off; they start turned on. Those in `fixed` are
    /// always on.
    pub fn features(self, changeable: Features, fixed: Features) -> Self {
        // SAFETY: the device is valid and not registered.
        unsafe {
            let raw = self.raw();
            (*raw).hw_features |= changeable.0;
            // Rules are for the device itself, not for what is above it.
            (*raw).vlan_features |= changeable.without(Features::HW_TC).0;
            (*raw).features |= changeable.0 | fixed.0;
        }
        self
    }

    /// Sets features that users may turn on and off, and that start turned off.
    pub fn optional_features(self, features: Features) -> Self {
        // SAFETY: the device is valid and not registered.
        unsafe { (*self.raw()).hw_features |= features.0 };
        self
    }

    /// Has the stack spread the interrupts of NAPI instances over processors, and keep what users
    /// set of that while the device is down. The driver is to
    /// [tell](crate::napi::Napi::set_irq) of them.
    pub fn spread_interrupts(self) -> Self {
        // SAFETY: the device is valid and not registered.
        unsafe { bindings::netif_set_affinity_auto(self.raw()) };
        self
    }

    /// Sets the largest packet that the device cuts into segments.
    pub fn tso_max_size(self, bytes: u32) -> Self {
        // SAFETY: the device is valid and not registered.
        unsafe { bindings::netif_set_tso_max_size(self.raw(), bytes) };
        self
    }

    /// Tells that [`Operations::set_rx_mode`] filters unicast addresses.
    pub fn unicast_filter(self) -> Self {
        // SAFETY: the device is valid and not registered.
        unsafe { bindings::ferrite_helper_netdev_set_unicast_filter(self.raw()) };
        self
    }

    /// Sets after how many milliseconds without progress [`Operations::tx_timeout`] is called.
    pub fn tx_timeout(self, msecs: u32) -> Self {
        // SAFETY: the device is valid and not registered.
        unsafe {
            (*self.raw()).watchdog_timeo = kernel::time::msecs_to_jiffies(msecs) as c_int;
        }
        self
    }

    /// Offers the operations of the driver for ethtool.
    pub fn ethtool(self) -> Self
    where
        T: ethtool::Operations,
    {
        // SAFETY: the device is valid and not registered; the table is static.
        unsafe { (*self.raw()).ethtool_ops = ethtool::Table::<T>::OPS_REF };
        self
    }

    /// Makes the device that of a devlink port.
    pub fn port(self, port: Option<Arc<devlink::Port>>) -> Self {
        // SAFETY: the device is valid and not registered or shared; its header keeps the port for
        // as long as it exists.
        unsafe {
            (*self.raw()).devlink_port = port
                .as_ref()
                .map_or(core::ptr::null_mut(), |port| port.as_raw());
            (*self.0.private()).header.port = port;
        }
        self
    }

    /// Notes the device that reads and writes packets.
    pub(crate) fn dma_device(self, device: &device::Device) -> Self {
        // SAFETY: the device is valid and not registered or shared.
        unsafe { (*self.0.private()).header.dma_device = Some(device.into()) };
        self
    }

    /// Makes the device visible, without link. Its operations may be called before this returns.
    ///
    /// # Errors
    ///
    /// What `register_netdev` fails with.
    pub fn register(self) -> Result<Registration<T>> {
        self.0.set_carrier(false);
        // SAFETY: the device is valid and not registered.
        to_result(unsafe { bindings::register_netdev(self.raw()) })?;
        // INVARIANT: the device was just registered.
        Ok(Registration(self.0))
    }
}

/// A network device is visible for as long as this lives. Dropping it takes the device down.
///
/// Must not be dropped with the RTNL held.
///
/// # Invariants
///
/// The device is registered.
pub struct Registration<T: Operations>(ARef<Device<T>>);

impl<T: Operations> Registration<T> {
    /// Returns the device.
    pub fn device(&self) -> &ARef<Device<T>> {
        &self.0
    }
}

impl<T: Operations> Drop for Registration<T> {
    fn drop(&mut self) {
        // SAFETY: the device is registered, and this is the end of it.
        unsafe { bindings::unregister_netdev(self.0.as_ptr()) };
    }
}
