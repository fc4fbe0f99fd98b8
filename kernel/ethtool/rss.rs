// SPDX-License-Identifier: GPL-2.0

//! Receive side scaling: contexts, each with a table, a key, and a choice of what is hashed.
//!
//! The core keeps table and key of each context but context 0, which is the driver's alone. What
//! else there is of a context, the driver keeps.

use super::NOT_SUPPORTED;
use crate::{
    bindings,
    devlink::ExtAck,
    netdev::{
        self,
        Device, //
    },
    netdev_lock::Lock, //
};
use core::marker::PhantomData;
use kernel::{
    error::{
        from_result,
        to_result, //
    },
    prelude::*, //
};

/// What a driver does for receive side scaling.
///
/// All operations but [`Rss::rss_size`] are called with the core's lock of contexts held. A context is
/// named by its number; 0 is the one that packets go to without a filter.
#[vtable]
pub trait Rss: netdev::Operations {
    /// Largest number of entries of a table if that changes with the number of channels, else 0.
    const TABLE_SPACE: u32 = 0;
    /// What can be done to fields before they are hashed, beside nothing.
    const TRANSFORMS: Transform = Transform::NONE;

    /// Returns the number of entries of the table and of bytes of the key.
    fn rss_size(device: &Device<Self>) -> (u32, u32) {
        let _ = device;
        build_error!(kernel::error::VTABLE_DEFAULT_ERROR)
    }

    /// Fills in the table and the key of context 0, either of which may be empty, and returns what is
    /// done to fields.
    fn rss(device: &Device<Self>, table: &mut [u32], key: &mut [u8]) -> Transform {
        let _ = (device, table, key);
        build_error!(kernel::error::VTABLE_DEFAULT_ERROR)
    }

    /// Changes context 0.
    fn set_rss(
        device: &Device<Self>,
        lock: &Lock,
        change: &Change<'_>,
        extack: &mut ExtAck<'_>,
    ) -> Result {
        let _ = (device, lock, change, extack);
        build_error!(kernel::error::VTABLE_DEFAULT_ERROR)
    }

    /// Makes a context, and fills in what `change` leaves to the driver.
    fn create_rss_context(
        device: &Device<Self>,
        lock: &Lock,
        number: u32,
        change: &Change<'_>,
        context: &mut Context<'_>,
        extack: &mut ExtAck<'_>,
    ) -> Result {
        let _ = (device, lock, number, change, context, extack);
        build_error!(kernel::error::VTABLE_DEFAULT_ERROR)
    }

    /// Changes a context.
    fn modify_rss_context(
        device: &Device<Self>,
        lock: &Lock,
        number: u32,
        change: &Change<'_>,
        extack: &mut ExtAck<'_>,
    ) -> Result {
        let _ = (device, lock, number, change, extack);
        build_error!(kernel::error::VTABLE_DEFAULT_ERROR)
    }

    /// Removes a context, which no filter names.
    fn remove_rss_context(
        device: &Device<Self>,
        lock: &Lock,
        number: u32,
        extack: &mut ExtAck<'_>,
    ) -> Result {
        let _ = (device, lock, number, extack);
        build_error!(kernel::error::VTABLE_DEFAULT_ERROR)
    }

    /// Returns the fields that are hashed of packets of a kind.
    fn rss_fields(device: &Device<Self>, context: u32, flow: FlowType) -> Result<Fields> {
        let _ = (device, context, flow);
        build_error!(kernel::error::VTABLE_DEFAULT_ERROR)
    }

    /// Chooses the fields that are hashed of packets of a kind.
    fn set_rss_fields(
        device: &Device<Self>,
        lock: &Lock,
        context: u32,
        flow: FlowType,
        fields: Fields,
        extack: &mut ExtAck<'_>,
    ) -> Result {
        let _ = (device, lock, context, flow, fields, extack);
        build_error!(kernel::error::VTABLE_DEFAULT_ERROR)
    }
}

/// What is done to source and destination before they are hashed: a set of bits, in which none stands
/// for nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Transform(u8);

impl Transform {
    /// Nothing.
    pub const NONE: Self = Self(0);
    /// Both are replaced by their exclusive or.
    pub const XOR: Self = Self(bindings::RXH_XFRM_SYM_XOR as u8);
    /// The source is replaced by the or of both, the destination by their exclusive or.
    pub const OR_XOR: Self = Self(bindings::RXH_XFRM_SYM_OR_XOR as u8);

    const UNCHANGED: u8 = bindings::RXH_XFRM_NO_CHANGE as u8;

    /// Returns the bits of both.
    #[must_use]
    pub const fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Returns the bits.
    pub(super) const fn bits(self) -> u8 {
        self.0
    }
}

/// Fields of a packet that are hashed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fields(u32);

impl Fields {
    /// None: packets are not hashed.
    pub const NONE: Self = Self(0);
    /// Source address.
    pub const SRC_IP: Self = Self(bindings::RXH_IP_SRC);
    /// Destination address.
    pub const DST_IP: Self = Self(bindings::RXH_IP_DST);
    /// The first two bytes of layer 4: the source port.
    pub const SRC_PORT: Self = Self(bindings::RXH_L4_B_0_1);
    /// The next two: the destination port.
    pub const DST_PORT: Self = Self(bindings::RXH_L4_B_2_3);
    /// Flow label of IPv6.
    pub const FLOW_LABEL: Self = Self(bindings::RXH_IP6_FL);

    /// Returns the fields of both.
    #[must_use]
    pub const fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Returns whether all of `other` are among them.
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// Returns whether there is no other among them than those of `other`.
    pub const fn is_within(self, other: Self) -> bool {
        self.0 & !other.0 == 0
    }
}

/// Kind of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FlowType(u32);

impl FlowType {
    /// TCP over IPv4.
    pub const TCP4: Self = Self(bindings::TCP_V4_FLOW);
    /// UDP over IPv4.
    pub const UDP4: Self = Self(bindings::UDP_V4_FLOW);
    /// TCP over IPv6.
    pub const TCP6: Self = Self(bindings::TCP_V6_FLOW);
    /// UDP over IPv6.
    pub const UDP6: Self = Self(bindings::UDP_V6_FLOW);
    /// All else over IPv4.
    pub const IP4: Self = Self(bindings::IPV4_FLOW);
    /// All else over IPv6.
    pub const IP6: Self = Self(bindings::IPV6_FLOW);
}

/// A change of a context. What is [`None`] stays as it is; in a new context it is the driver's choice.
#[derive(Debug)]
pub struct Change<'a> {
    /// The table, which names queues that are in use.
    pub table: Option<&'a [u32]>,
    /// The key.
    pub key: Option<&'a [u8]>,
    /// What is done to fields: one of [`Rss::TRANSFORMS`], or nothing.
    pub transform: Option<Transform>,
}

/// What the core keeps of a context that is being made.
pub struct Context<'a>(&'a mut bindings::ethtool_rxfh_context);

impl Context<'_> {
    /// Tells what the context has. What the user asked for is written once more by the core.
    ///
    /// # Errors
    ///
    /// `EINVAL` if the sizes are not those of [`Rss::rss_size`].
    pub fn fill(&mut self, table: &[u32], key: &[u8], transform: Transform) -> Result {
        if table.len() != self.0.indir_size as usize || key.len() != self.0.key_size as usize {
            return Err(EINVAL);
        }
        self.0.hfunc = TOEPLITZ;
        self.0.input_xfrm = transform.0;
        let table_offset = usize::from(self.0.priv_size).next_multiple_of(size_of::<u32>());
        let key_offset = self.0.key_off as usize;
        // SAFETY: the core allocated the context with, behind it, the driver's private part, which is
        // padded to whole `u32`s, and room for `indir_size` entries of the table; at `key_off` there is
        // room for `key_size` bytes of the key. Nobody else has the context while it is made, and
        // what is copied is of other memory.
        unsafe {
            let data: *mut u8 = (&raw mut self.0.data).cast();
            let to = data.add(table_offset).cast::<u32>();
            to.copy_from_nonoverlapping(table.as_ptr(), table.len());
            data.add(key_offset)
                .copy_from_nonoverlapping(key.as_ptr(), key.len());
        }
        Ok(())
    }
}

/// The hash function.
const TOEPLITZ: u8 = 1 << bindings::ETH_RSS_HASH_TOP_BIT;

/// Returns a key that the system chose.
pub fn default_key<const N: usize>() -> [u8; N] {
    let mut key = [0; N];
    // SAFETY: the pointer is valid for as many bytes.
    unsafe { bindings::netdev_rss_key_fill(key.as_mut_ptr().cast(), N) };
    key
}

/// Resizing of tables, for drivers whose [`Rss::TABLE_SPACE`] is not 0. Not to be called from the
/// operations of [`Rss`], whose lock is taken here.
impl<T: Rss> Device<T> {
    /// Returns whether the table of context 0 is a user's.
    pub fn is_rss_table_set(&self, _lock: &Lock) -> bool {
        // SAFETY: the device is valid.
        unsafe { bindings::netif_is_rxfh_configured(self.as_ptr()) }
    }

    /// Returns whether `table`, that of context 0, can have `entries` instead of what it has without
    /// that the user's choice is lost.
    pub fn can_resize_rss_table(&self, _lock: &Lock, table: &[u32], entries: u32) -> bool {
        // CAST: a table has a few hundred entries.
        let (data, len) = (table.as_ptr(), table.len() as u32);
        // SAFETY: the device is valid, and so is the table for its length, which is all that is read.
        unsafe { bindings::ethtool_rxfh_indir_can_resize(self.as_ptr(), data, len, entries) }
    }

    /// Finds out whether the tables of all contexts but context 0 can have `entries`.
    ///
    /// # Errors
    ///
    /// `EINVAL` if not.
    pub fn can_resize_rss_contexts(&self, _lock: &Lock, entries: u32) -> Result {
        // SAFETY: the device is valid.
        to_result(unsafe { bindings::ethtool_rxfh_ctxs_can_resize(self.as_ptr(), entries) })
    }

    /// Gives the tables of all contexts but context 0 this number of entries, and tells users. Those
    /// that there were are repeated, or cut, so that the share of each queue stays.
    ///
    /// # Errors
    ///
    /// As [`Self::can_resize_rss_contexts`], and nothing happens.
    pub fn resize_rss_contexts(&self, lock: &Lock, entries: u32) -> Result {
        self.can_resize_rss_contexts(lock, entries)?;
        // SAFETY: the device is valid; the tables can be resized, and do not change meanwhile, as the
        // lock is held, of this device if the caller is right.
        unsafe { bindings::ethtool_rxfh_ctxs_resize(self.as_ptr(), entries) };
        Ok(())
    }
}

/// The entries of the C table for the operations of a `T`, under the rules of
/// [`super::Table`].
pub(super) struct Table<T: Rss>(PhantomData<T>);

#[expect(
    clippy::missing_safety_doc,
    reason = "what holds for all of them is said at `super::Table`"
)]
impl<T: Rss> Table<T> {
    pub(super) unsafe extern "C" fn key_size(device: *mut bindings::net_device) -> u32 {
        // SAFETY: see `Table`.
        T::rss_size(unsafe { Device::<T>::from_raw(device) }).1
    }

    pub(super) unsafe extern "C" fn table_size(device: *mut bindings::net_device) -> u32 {
        // SAFETY: see `Table`.
        T::rss_size(unsafe { Device::<T>::from_raw(device) }).0
    }

    pub(super) unsafe extern "C" fn get(
        device: *mut bindings::net_device,
        param: *mut bindings::ethtool_rxfh_param,
    ) -> c_int {
        // SAFETY: see `Table`.
        let (device, param) = unsafe { (Device::<T>::from_raw(device), &mut *param) };
        param.hfunc = TOEPLITZ;
        let (entries, key) = T::rss_size(device);
        // SAFETY: the core passes null, or room for as many as the size operations told.
        let (table, key) = unsafe {
            (
                slice_mut(param.indir, entries as usize),
                slice_mut(param.key, key as usize),
            )
        };
        param.input_xfrm = T::rss(device, table, key).0;
        0
    }

    /// Calls `apply` with the change that `param` asks for.
    ///
    /// # Safety
    ///
    /// `param` is the core's, for an operation on `device`.
    unsafe fn change(
        device: &Device<T>,
        param: &bindings::ethtool_rxfh_param,
        apply: impl FnOnce(&Change<'_>) -> Result,
    ) -> c_int {
        if param.hfunc != bindings::ETH_RSS_HASH_NO_CHANGE as u8 && param.hfunc != TOEPLITZ {
            return NOT_SUPPORTED;
        }
        let transform = match param.input_xfrm {
            Transform::UNCHANGED => None,
            bits => Some(Transform(bits)),
        };
        let one = |transform: Transform| transform.0.count_ones() <= 1;
        let known = |transform: Transform| transform.0 & !T::TRANSFORMS.0 == 0;
        if !transform.is_none_or(|transform| one(transform) && known(transform)) {
            return NOT_SUPPORTED;
        }
        let (entries, key) = T::rss_size(device);
        // SAFETY: the core passes null, or as many as the size operations told.
        let (table, key): (&[u32], &[u8]) = unsafe {
            (
                slice_mut(param.indir, entries as usize),
                slice_mut(param.key, key as usize),
            )
        };
        let change = Change {
            table: (!table.is_empty()).then_some(table),
            key: (!key.is_empty()).then_some(key),
            transform,
        };
        from_result(|| apply(&change).map(|()| 0))
    }

    pub(super) unsafe extern "C" fn set(
        device: *mut bindings::net_device,
        param: *mut bindings::ethtool_rxfh_param,
        extack: *mut bindings::netlink_ext_ack,
    ) -> c_int {
        // SAFETY: see `Table`.
        unsafe {
            let (lock, mut extack) = (Lock::assume(device), ExtAck::from_raw(extack));
            let device = Device::<T>::from_raw(device);
            Self::change(device, &*param, |change| {
                T::set_rss(device, &lock, change, &mut extack)
            })
        }
    }

    pub(super) unsafe extern "C" fn create(
        device: *mut bindings::net_device,
        context: *mut bindings::ethtool_rxfh_context,
        param: *const bindings::ethtool_rxfh_param,
        extack: *mut bindings::netlink_ext_ack,
    ) -> c_int {
        // SAFETY: see `Table`.
        unsafe {
            let (lock, mut extack) = (Lock::assume(device), ExtAck::from_raw(extack));
            let device = Device::<T>::from_raw(device);
            let (number, mut context) = ((*param).rss_context, Context(&mut *context));
            Self::change(device, &*param, |change| {
                T::create_rss_context(device, &lock, number, change, &mut context, &mut extack)
            })
        }
    }

    pub(super) unsafe extern "C" fn modify(
        device: *mut bindings::net_device,
        _context: *mut bindings::ethtool_rxfh_context,
        param: *const bindings::ethtool_rxfh_param,
        extack: *mut bindings::netlink_ext_ack,
    ) -> c_int {
        // SAFETY: see `Table`.
        unsafe {
            let (lock, mut extack) = (Lock::assume(device), ExtAck::from_raw(extack));
            let device = Device::<T>::from_raw(device);
            Self::change(device, &*param, |change| {
                T::modify_rss_context(device, &lock, (*param).rss_context, change, &mut extack)
            })
        }
    }

    pub(super) unsafe extern "C" fn remove(
        device: *mut bindings::net_device,
        _context: *mut bindings::ethtool_rxfh_context,
        number: u32,
        extack: *mut bindings::netlink_ext_ack,
    ) -> c_int {
        // SAFETY: see `Table`.
        let (device, lock, mut extack) = unsafe {
            (
                Device::<T>::from_raw(device),
                Lock::assume(device),
                ExtAck::from_raw(extack),
            )
        };
        from_result(|| T::remove_rss_context(device, &lock, number, &mut extack).map(|()| 0))
    }

    pub(super) unsafe extern "C" fn fields(
        device: *mut bindings::net_device,
        fields: *mut bindings::ethtool_rxfh_fields,
    ) -> c_int {
        // SAFETY: see `Table`.
        let (device, fields) = unsafe { (Device::<T>::from_raw(device), &mut *fields) };
        from_result(|| {
            fields.data = T::rss_fields(device, fields.rss_context, FlowType(fields.flow_type))?.0;
            Ok(0)
        })
    }

    pub(super) unsafe extern "C" fn set_fields(
        device: *mut bindings::net_device,
        fields: *const bindings::ethtool_rxfh_fields,
        extack: *mut bindings::netlink_ext_ack,
    ) -> c_int {
        // SAFETY: see `Table`.
        let (device, lock, fields, mut extack) = unsafe {
            (
                Device::<T>::from_raw(device),
                Lock::assume(device),
                &*fields,
                ExtAck::from_raw(extack),
            )
        };
        let flow = FlowType(fields.flow_type);
        let chosen = Fields(fields.data);
        from_result(|| {
            let context = fields.rss_context;
            T::set_rss_fields(device, &lock, context, flow, chosen, &mut extack).map(|()| 0)
        })
    }
}

/// Returns the slice of `len` at `data`, an empty one if that is null.
///
/// # Safety
///
/// `data` is null or valid for `len` entries, which are nobody else's for `'a`.
unsafe fn slice_mut<'a, T>(data: *mut T, len: usize) -> &'a mut [T] {
    if data.is_null() {
        return &mut [];
    }
    // SAFETY: by the requirements of this function.
    unsafe { core::slice::from_raw_parts_mut(data, len) }
}
