// SPDX-License-Identifier: GPL-2.0

//! Network devices.
//!
//! A driver implements [`Operations`] for its data, makes a [`Device`] of it with a [`Builder`],
//! and registers that. Each operation that it implements shows in the C table of operations; others
//! stay empty, so that the network stack knows that there are none.
//!
//! All operations but those of the data path run under a [`Lock`] of the device, and most under the
//! RTNL as well ([`Locks`]), in process context. A queue's part of the data path, [`Operations::TxQueue`],
//! is locked by the stack's own lock of the queue: it costs no second one.
//!
//! C header: [`include/linux/netdevice.h`](srctree/include/linux/netdevice.h)

pub use crate::{
    netdev_builder::{
        Builder,
        Registration, //
    },
    netdev_lock::{
        Lock,
        Locks, //
    },
    netdev_queue::{
        TxGuard,
        TxQueue, //
    },
    netdev_rtnl::{
        lock_rtnl,
        Rtnl,
        RtnlGuard, //
    },
    netdev_types::{
        AddressList,
        AddressLists,
        Features,
        QueueStats,
        Stamps,
        Stats, //
    },
    netdev_vf::{
        VfChange,
        VfConfig,
        VfLink, //
    },
};

use crate::{
    bindings,
    devlink,
    flow::{
        self,
        block::Blocks, //
    },
    netdev_queue::TxSlots,
    skb::SkBuff,
    xdp, //
};
use core::{
    any::TypeId,
    marker::PhantomData,
    ops::Deref,
    ptr::{
        addr_of_mut,
        NonNull, //
    }, //
};
use kernel::{
    device,
    error::to_result,
    prelude::*,
    sync::{
        aref::{
            ARef,
            AlwaysRefCounted, //
        },
        Arc,
        Refcount, //
    },
    time::Msecs,
    types::Opaque, //
};

/// What a driver does for a network device.
#[vtable]
pub trait Operations: Sized + Send + Sync + 'static {
    /// What a transmit queue has for sending. It is installed by [`Device::lock_tx`].
    type TxQueue: Send;

    /// Brings the device up.
    fn open(device: &Device<Self>, locks: &Locks) -> Result;

    /// Takes the device down. Nothing is being sent any more.
    fn stop(device: &Device<Self>, locks: &Locks);

    /// Sends a packet, in atomic context.
    ///
    /// `more` tells that another packet for the queue follows at once.
    ///
    /// # Errors
    ///
    /// The packet, if there was no room: the stack tries again when the queue is woken. A queue is
    /// to be stopped early enough for that not to happen.
    fn start_xmit(
        device: &Device<Self>,
        queue: &mut Self::TxQueue,
        handle: TxQueue<'_>,
        skb: SkBuff,
    ) -> Result<(), SkBuff>;

    /// Narrows the features that apply to a packet.
    fn features_check(device: &Device<Self>, skb: &PacketRef, features: Features) -> Features {
        let _ = (device, skb, features);
        build_error!(kernel::error::VTABLE_DEFAULT_ERROR)
    }

    /// Tells the counters, in atomic context, at any time.
    fn get_stats64(device: &Device<Self>, stats: &mut Stats) {
        let _ = (device, stats);
        build_error!(kernel::error::VTABLE_DEFAULT_ERROR)
    }

    /// Sets which packets are received. If it fails it is called again a little later, some times.
    fn set_rx_mode(device: &Device<Self>, lists: &AddressLists<'_>) -> Result {
        let _ = (device, lists);
        build_error!(kernel::error::VTABLE_DEFAULT_ERROR)
    }

    /// Sets the address that packets are received for.
    fn set_mac_address(device: &Device<Self>, locks: &Locks, address: [u8; 6]) -> Result {
        let _ = (device, locks, address);
        build_error!(kernel::error::VTABLE_DEFAULT_ERROR)
    }

    /// Sets the MTU, which is in range. The device is told of it if this succeeds.
    fn change_mtu(device: &Device<Self>, locks: &Locks, mtu: u32) -> Result {
        let _ = (device, locks, mtu);
        build_error!(kernel::error::VTABLE_DEFAULT_ERROR)
    }

    /// Takes note that users want `features` from now on. The device has those of before until this
    /// succeeds.
    fn set_features(device: &Device<Self>, locks: &Locks, features: Features) -> Result {
        let _ = (device, locks, features);
        build_error!(kernel::error::VTABLE_DEFAULT_ERROR)
    }

    /// Returns how a VF is provisioned.
    fn vf_config(device: &Device<Self>, rtnl: &Rtnl, vf: u16) -> Result<VfConfig> {
        let _ = (device, rtnl, vf);
        build_error!(kernel::error::VTABLE_DEFAULT_ERROR)
    }

    /// Changes how a VF is provisioned.
    fn set_vf(device: &Device<Self>, rtnl: &Rtnl, vf: u16, change: VfChange) -> Result {
        let _ = (device, rtnl, vf, change);
        build_error!(kernel::error::VTABLE_DEFAULT_ERROR)
    }

    /// Does what the stack wants of rules for packets that come in. Such a device has the feature
    /// [`Features::HW_TC`].
    fn flow(device: &Device<Self>, rtnl: &Rtnl, command: flow::Command<'_>) -> Result {
        let _ = (device, rtnl, command);
        build_error!(kernel::error::VTABLE_DEFAULT_ERROR)
    }

    /// Sees to it that at least `count` transmit queues are in use, for as many classes of traffic: each
    /// gets its share of the queues. 0 is for no classes. Only to be implemented with
    /// [`Operations::flow`].
    fn set_classes(
        device: &Device<Self>,
        locks: &Locks,
        count: u8,
        extack: &mut devlink::ExtAck<'_>,
    ) -> Result {
        let _ = (device, locks, count, extack);
        build_error!(kernel::error::VTABLE_DEFAULT_ERROR)
    }

    /// Takes note that a transmit queue made no progress for too long, in atomic context.
    fn tx_timeout(device: &Device<Self>, queue: u16) {
        let _ = (device, queue);
        build_error!(kernel::error::VTABLE_DEFAULT_ERROR)
    }

    /// Does what [`NetDevice::schedule_work`] was called with.
    fn work(device: &Device<Self>, locks: &Locks, events: usize) {
        let _ = (device, locks, events);
        build_error!(kernel::error::VTABLE_DEFAULT_ERROR)
    }

    /// Puts an XDP program in place of what there was, or takes it away. Only to be implemented
    /// with [`Operations::xdp_xmit`] and [`Operations::xdp_kick`].
    fn xdp_setup(
        device: &Device<Self>,
        locks: &Locks,
        program: Option<xdp::Program>,
        extack: &mut devlink::ExtAck<'_>,
    ) -> Result {
        let _ = (device, locks, program, extack);
        build_error!(kernel::error::VTABLE_DEFAULT_ERROR)
    }

    /// Sends a packet of an XDP program's, in atomic context. [`Operations::xdp_kick`] follows.
    ///
    /// # Errors
    ///
    /// The packet, if there was no room.
    fn xdp_xmit(queue: &mut Self::TxQueue, frame: xdp::Frame) -> Result<(), xdp::Frame> {
        let _ = (queue, frame);
        build_error!(kernel::error::VTABLE_DEFAULT_ERROR)
    }

    /// Tells the device of what [`Operations::xdp_xmit`] sent.
    fn xdp_kick(queue: &mut Self::TxQueue) {
        let _ = queue;
        build_error!(kernel::error::VTABLE_DEFAULT_ERROR)
    }

    /// Tells which packets are stamped with the time.
    fn stamps(device: &Device<Self>) -> Stamps {
        let _ = device;
        build_error!(kernel::error::VTABLE_DEFAULT_ERROR)
    }

    /// Returns the [number](crate::ptp::Registration::index) of the clock that stamps are of.
    fn clock_index(device: &Device<Self>) -> i32 {
        let _ = device;
        build_error!(kernel::error::VTABLE_DEFAULT_ERROR)
    }

    /// Sets which packets are stamped with the time.
    fn set_stamps(
        device: &Device<Self>,
        locks: &Locks,
        stamps: Stamps,
        extack: &mut devlink::ExtAck<'_>,
    ) -> Result {
        let _ = (device, locks, stamps, extack);
        build_error!(kernel::error::VTABLE_DEFAULT_ERROR)
    }

    /// Narrows the features that the user asks for to those that go with each other.
    fn fix_features(device: &Device<Self>, features: Features) -> Features {
        let _ = (device, features);
        build_error!(kernel::error::VTABLE_DEFAULT_ERROR)
    }

    /// Tells the counters of a queue pair.
    fn queue_stats(device: &Device<Self>, queue: u16) -> QueueStats {
        let _ = (device, queue);
        build_error!(kernel::error::VTABLE_DEFAULT_ERROR)
    }

    /// Tells the counters that belong to no queue that is in use.
    fn base_stats(device: &Device<Self>) -> QueueStats {
        let _ = device;
        build_error!(kernel::error::VTABLE_DEFAULT_ERROR)
    }
}

/// A packet that somebody else owns.
pub struct PacketRef(Opaque<bindings::sk_buff>);

impl PacketRef {
    /// # Safety
    ///
    /// `skb` is valid for `'a` and nobody changes it meanwhile.
    pub(crate) unsafe fn from_raw<'a>(skb: *mut bindings::sk_buff) -> &'a Self {
        // SAFETY: by the requirements of this function.
        unsafe { &*skb.cast() }
    }

    /// Removes from `features` what does not work for a packet with several VLAN tags.
    pub fn vlan_features(&self, features: Features) -> Features {
        // SAFETY: the packet is valid.
        Features(unsafe { bindings::ferrite_helper_vlan_features_check(self.0.get(), features.0) })
    }
}

/// What all network devices made by [`Builder`] have, whatever their type.
#[repr(C)]
pub(crate) struct Header {
    pub(crate) refs: Refcount,
    pub(crate) destroy: unsafe fn(*mut bindings::net_device),
    pub(crate) port: Option<Arc<devlink::Port>>,
    /// Reads and writes packets.
    pub(crate) dma_device: Option<ARef<device::Device>>,
    /// What `Operations` the device is of.
    pub(crate) operations: TypeId,
    pub(crate) blocks: Blocks,
}

/// The private part of the network device of a driver. `data` is pinned.
#[repr(C)]
pub(crate) struct Private<T: Operations> {
    pub(crate) header: Header,
    pub(crate) tx: TxSlots<T>,
    pub(crate) data: T,
}

/// A network device, whatever drives it.
///
/// # Invariants
///
/// It was made by a [`Builder`]; its private part starts with a `Header`.
#[repr(transparent)]
pub struct NetDevice(Opaque<bindings::net_device>);

// SAFETY: a network device does not belong to a thread.
unsafe impl Send for NetDevice {}

// SAFETY: the methods lock what must be locked.
unsafe impl Sync for NetDevice {}

// SAFETY: the count is that of `Header`, with which the device is freed.
unsafe impl AlwaysRefCounted for NetDevice {
    fn inc_ref(&self) {
        self.header().refs.inc();
    }

    unsafe fn dec_ref(obj: NonNull<Self>) {
        // SAFETY: the caller gives a reference away, until which the device exists.
        let header = unsafe { obj.as_ref() }.header();
        let destroy = header.destroy;
        if header.refs.dec_and_test() {
            // SAFETY: that was the last reference.
            unsafe { destroy(obj.as_ptr().cast()) };
        }
    }
}

impl NetDevice {
    pub(crate) fn as_ptr(&self) -> *mut bindings::net_device {
        self.0.get()
    }

    fn header(&self) -> &Header {
        // SAFETY: the private part starts with a header, by the type's invariants, which is changed
        // only before the device is shared.
        unsafe { &*bindings::ferrite_helper_netdev_priv(self.as_ptr()).cast::<Header>() }
    }

    /// Returns its name, as it is now.
    pub fn name(&self) -> Name {
        let mut name = [0; bindings::IFNAMSIZ as usize];
        for (index, to) in name.iter_mut().enumerate() {
            // SAFETY: the device is valid and the index in range. The name may be changed at the
            // same time: bytes are read one by one, and whatever they are is put up with.
            *to = unsafe { (&raw const (*self.as_ptr()).name[index]).read_volatile() };
        }
        Name(name)
    }

    /// Returns the number of transmit queues that it was made with.
    pub fn tx_queues(&self) -> u16 {
        // SAFETY: the device is valid, and the number does not change. It was a `u16`.
        unsafe { (*self.as_ptr()).num_tx_queues as u16 }
    }

    /// Returns the number of receive queues that it was made with.
    pub fn rx_queues(&self) -> u16 {
        // SAFETY: the device is valid, and the number does not change. It was a `u16`.
        unsafe { (*self.as_ptr()).num_rx_queues as u16 }
    }

    /// Returns the number of transmit queues that are in use, at least one.
    #[inline]
    pub fn real_tx_queues(&self) -> u16 {
        // SAFETY: the device is valid; the number may change at the same time. It was a `u16`.
        let count = unsafe { (&raw const (*self.as_ptr()).real_num_tx_queues).read_volatile() };
        (count as u16).max(1)
    }

    /// Returns a transmit queue, if there is one of this index.
    #[inline]
    pub fn tx_queue(&self, index: u16) -> Option<TxQueue<'_>> {
        // SAFETY: the device is valid and `index` is checked first.
        (index < self.tx_queues()).then(|| unsafe {
            TxQueue::from_raw(bindings::ferrite_helper_netdev_tx_queue(
                self.as_ptr(),
                index.into(),
            ))
        })
    }

    /// Returns its MTU.
    pub fn mtu(&self) -> u32 {
        // SAFETY: the device is valid; the number may change at the same time.
        unsafe { (&raw const (*self.as_ptr()).mtu).read_volatile() }
    }

    /// Returns the features that are turned on.
    pub fn features(&self) -> Features {
        // SAFETY: the device is valid; the number may change at the same time.
        Features(unsafe { (&raw const (*self.as_ptr()).features).read_volatile() })
    }

    /// Returns its MAC address.
    pub fn address(&self, _rtnl: &Rtnl) -> [u8; 6] {
        // SAFETY: the device is valid, its address has six bytes and changes under the RTNL only.
        unsafe { (*self.as_ptr()).dev_addr.cast::<[u8; 6]>().read() }
    }

    /// Sets its MAC address.
    pub fn set_address(&self, _rtnl: &Rtnl, address: [u8; 6]) {
        // SAFETY: the device is valid and the RTNL is held.
        unsafe {
            bindings::ferrite_helper_netdev_set_address(self.as_ptr(), address.as_ptr());
        }
    }

    /// Returns whether it is up.
    pub fn is_running(&self) -> bool {
        // SAFETY: the device is valid.
        unsafe { bindings::ferrite_helper_netif_running(self.as_ptr()) }
    }

    /// Returns whether there is a link.
    pub fn has_carrier(&self) -> bool {
        // SAFETY: the device is valid.
        unsafe { bindings::ferrite_helper_netif_carrier_ok(self.as_ptr()) }
    }

    /// Tells the stack whether there is a link.
    pub fn set_carrier(&self, up: bool) {
        // SAFETY: the device is valid. Both may be called in any context.
        unsafe {
            if up {
                bindings::netif_carrier_on(self.as_ptr());
            } else {
                bindings::netif_carrier_off(self.as_ptr());
            }
        }
    }

    /// Sets how many queues of each kind are in use.
    ///
    /// # Errors
    ///
    /// `EINVAL` if it was not made with as many, or the lock is that of another device; `ENOMEM`.
    pub fn set_real_queues(&self, locks: &Locks, tx: u16, rx: u16) -> Result {
        if !locks.device_lock().is_of(self) {
            return Err(EINVAL);
        }
        // SAFETY: the device is valid and both locks are held.
        to_result(unsafe {
            bindings::netif_set_real_num_queues(self.as_ptr(), tx.into(), rx.into())
        })
    }

    /// Asks [`Operations::fix_features`] anew.
    pub fn update_features(&self, locks: &Locks) {
        if locks.device_lock().is_of(self) {
            // SAFETY: the device is valid and both locks are held.
            unsafe { bindings::ferrite_helper_netdev_update_features(self.as_ptr()) };
        }
    }

    /// Keeps packets from being sent and waits until none is.
    pub fn stop_all_queues(&self) {
        // SAFETY: the device is valid.
        unsafe { bindings::ferrite_helper_netif_tx_disable(self.as_ptr()) };
    }

    /// Lets packets be sent.
    pub fn wake_all_queues(&self) {
        // SAFETY: the device is valid.
        unsafe { bindings::ferrite_helper_netif_tx_wake_all_queues(self.as_ptr()) };
    }

    /// Sends a packet of the device, which must be turned around, to itself through a transmit queue, and
    /// waits for it for `timeout` milliseconds at most.
    ///
    /// # Errors
    ///
    /// `EINVAL` if there is no such queue or the lock is another device's, `ENETDOWN` if it takes no packet,
    /// `ETIMEDOUT` if the packet does not come back, `EBADMSG` if it was changed on the way, `ENOMEM`.
    pub fn echo(&self, lock: &Lock, queue: u16, timeout: Msecs) -> Result {
        if queue >= self.real_tx_queues() || !lock.is_of(self) {
            return Err(EINVAL);
        }
        // SAFETY: the device is valid and has the queue, and its lock is held.
        to_result(unsafe { bindings::ferrite_helper_netdev_echo(self.as_ptr(), queue, timeout) })
    }

    /// Returns whether another message about a fault may be printed, so that a device which is
    /// never right cannot fill the log.
    pub fn may_report(&self) -> bool {
        // SAFETY: no requirements.
        unsafe { bindings::net_ratelimit() != 0 }
    }

    /// Makes [`Operations::work`] run soon with `events`, and with what else was asked for until
    /// then. Does nothing if the device is not registered. Not for hard interrupt context.
    pub fn schedule_work(&self, events: usize) {
        // SAFETY: the device is valid.
        unsafe { bindings::netdev_work_sched(self.as_ptr(), events) };
    }
}

impl AsRef<device::Device> for NetDevice {
    fn as_ref(&self) -> &device::Device {
        // CAST: both sets of bindings describe the same type, of which `Device` is a transparent
        // wrapper.
        //
        // SAFETY: a network device contains a `struct device`, which exists for as long.
        unsafe { &*addr_of_mut!((*self.as_ptr()).dev).cast::<device::Device>() }
    }
}

/// Name of a network device.
#[derive(Clone, Copy)]
pub struct Name([u8; bindings::IFNAMSIZ as usize]);

impl kernel::fmt::Display for Name {
    fn fmt(&self, f: &mut kernel::fmt::Formatter<'_>) -> kernel::fmt::Result {
        let text = self.0.split(|byte| *byte == 0).next().unwrap_or_default();
        f.write_str(core::str::from_utf8(text).unwrap_or("?"))
    }
}

/// The network device of a driver. It dereferences to [`NetDevice`], and the driver's part of it is
/// [`Device::data`].
///
/// # Invariants
///
/// Its private part is a `Private` of `T`.
#[repr(transparent)]
pub struct Device<T: Operations>(NetDevice, PhantomData<T>);

// SAFETY: as for `NetDevice`; `T` is `Send` and `Sync`, and what a queue has can be sent.
unsafe impl<T: Operations> Send for Device<T> {}

// SAFETY: as above.
unsafe impl<T: Operations> Sync for Device<T> {}

// SAFETY: forwarded.
unsafe impl<T: Operations> AlwaysRefCounted for Device<T> {
    fn inc_ref(&self) {
        self.0.inc_ref();
    }

    unsafe fn dec_ref(obj: NonNull<Self>) {
        // SAFETY: forwarded; `Self` is a transparent wrapper.
        unsafe { NetDevice::dec_ref(obj.cast()) };
    }
}

impl<T: Operations> Deref for Device<T> {
    type Target = NetDevice;

    fn deref(&self) -> &NetDevice {
        &self.0
    }
}

impl<T: Operations> Device<T> {
    /// # Safety
    ///
    /// `device` was made by a [`Builder`] of `T` and exists for all of `'a`.
    #[inline]
    pub(crate) unsafe fn from_raw<'a>(device: *mut bindings::net_device) -> &'a Self {
        // SAFETY: `Self` is a transparent wrapper; the rest is the caller's promise.
        unsafe { &*device.cast() }
    }

    pub(crate) fn private(&self) -> *mut Private<T> {
        // SAFETY: the device is valid.
        unsafe { bindings::ferrite_helper_netdev_priv(self.as_ptr()).cast() }
    }

    /// Returns what the driver keeps in it.
    #[inline]
    pub fn data(&self) -> Pin<&T> {
        // SAFETY: by the type's invariants; it is initialized before the device is shared, and does
        // not move until it is dropped.
        unsafe { Pin::new_unchecked(&(*self.private()).data) }
    }

    #[inline]
    pub(crate) fn tx_slots(&self) -> &TxSlots<T> {
        // SAFETY: as for `data`.
        unsafe { &(*self.private()).tx }
    }

    /// Returns the device that reads and writes packets, or null.
    pub(crate) fn dma_device(&self) -> *mut bindings::device {
        let device = self.header().dma_device.as_deref();
        device.map_or(core::ptr::null_mut(), |device| {
            // CAST: `Device` is a transparent wrapper of `struct device`.
            core::ptr::from_ref(device).cast_mut().cast()
        })
    }

    /// Returns the blocks of rules that are bound to it.
    pub(crate) fn blocks(&self) -> &Blocks {
        &self.header().blocks
    }

    /// Returns `device` as one of a `T`, if a [`Builder`] of `T` made it.
    ///
    /// # Safety
    ///
    /// `device` is null, or a registered network device for all of `'a`, whatever drives it.
    pub(crate) unsafe fn downcast<'a>(device: *mut bindings::net_device) -> Option<&'a Self> {
        // SAFETY: the device is valid, by the requirements of this function, and so is its table of
        // operations, if it has one.
        let is_built = unsafe {
            let ops = device.as_ref()?.netdev_ops.as_ref()?;
            is_mark(ops.ndo_validate_addr)
        };
        if !is_built {
            return None;
        }
        // SAFETY: only the tables of `Builder` have the mark, and a device gets one of them after
        // its header.
        let device = unsafe { &*device.cast::<Self>() };
        (device.header().operations == TypeId::of::<T>()).then_some(device)
    }

    /// Takes the lock of a transmit queue, to install or remove what it has for sending. [`None`]
    /// if there is no such queue.
    ///
    /// The guard disables bottom halves: take what is to be dropped out of it first.
    pub fn lock_tx(&self, index: u16) -> Option<TxGuard<'_, T>> {
        TxGuard::new(self, index)
    }

    /// Destroys the device.
    ///
    /// # Safety
    ///
    /// `device` was made by a [`Builder`] of `T` and nobody has a reference. It is not registered.
    pub(crate) unsafe fn destroy(device: *mut bindings::net_device) {
        // SAFETY: the private part was initialized, and is not used any more. A device that is not
        // registered may be freed, once.
        unsafe {
            let private = bindings::ferrite_helper_netdev_priv(device).cast::<Private<T>>();
            core::ptr::drop_in_place(private);
            bindings::free_netdev(device);
        }
    }
}

/// Returns whether an operation is the one that only the tables of [`Builder`] have.
fn is_mark(
    validate_addr: Option<unsafe extern "C" fn(*mut bindings::net_device) -> c_int>,
) -> bool {
    validate_addr.is_some_and(|function| {
        core::ptr::fn_addr_eq(
            function,
            bindings::ferrite_helper_validate_addr
                as unsafe extern "C" fn(*mut bindings::net_device) -> c_int,
        )
    })
}
