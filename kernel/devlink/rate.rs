// SPDX-License-Identifier: GPL-2.0

//! The rates at which functions send: a tree whose leaves are ports and whose nodes users make.

use super::{
    ops,
    port::Port,
    ExtAck,
    Instance,
    Locked,
    Ops,
    PortRegistration, //
};
use crate::bindings;
use core::{
    any::TypeId,
    marker::PhantomData, //
};
use kernel::{
    error::{
        from_result,
        to_result, //
    },
    prelude::*,
    sync::{
        Arc,
        ArcBorrow, //
    },
};

/// Number of traffic classes.
pub const TRAFFIC_CLASSES: usize = bindings::DEVLINK_RATE_TCS_MAX as usize;

/// Something in the tree.
pub enum Member<L, N> {
    /// What a port has.
    Leaf(Arc<L>),
    /// What a user made.
    Node(Arc<N>),
}

/// What is set of something in the tree. Rates are in bytes a second; 0 is none.
pub enum Setting<N> {
    /// Rate that it gets before others get more than theirs.
    TxShare(u64),
    /// Largest rate.
    TxMax(u64),
    /// Priority among its siblings; a higher one goes first.
    TxPriority(u32),
    /// Weight among its siblings of the same priority.
    TxWeight(u32),
    /// Shares of the traffic classes in percent.
    TcBw([u32; TRAFFIC_CLASSES]),
    /// The node that it hangs from, or none. It is neither itself nor hangs from it.
    Parent(Option<Arc<N>>),
}

/// What a driver does for the rates of an instance that [`Instance::with_rates`] made.
///
/// As for [`Ops`], all operations are called in process context with the lock held.
pub trait RateOps: Ops {
    /// What a leaf is to the driver; given to [`Instance::add_rate_leaf`].
    type Leaf: Send + Sync + 'static;
    /// What a node is to the driver.
    type Node: Send + Sync + 'static;

    /// Makes a node, which hangs from none and has no rates.
    fn rate_node_new(
        &self,
        locked: &Locked<'_>,
        extack: &mut ExtAck<'_>,
    ) -> Result<Arc<Self::Node>>;

    /// Ends a node that nothing hangs from. It is gone even if this fails, and its `Arc` let go of.
    fn rate_node_del(
        &self,
        node: &Self::Node,
        locked: &Locked<'_>,
        extack: &mut ExtAck<'_>,
    ) -> Result;

    /// Sets something. If this fails, all is as before.
    fn rate_set(
        &self,
        member: Member<Self::Leaf, Self::Node>,
        setting: Setting<Self::Node>,
        locked: &Locked<'_>,
        extack: &mut ExtAck<'_>,
    ) -> Result;
}

/// A port has rates for as long as this lives.
pub struct RateLeaf<L> {
    port: Arc<Port>,
    leaf: Arc<L>,
}

impl<L> RateLeaf<L> {
    /// Returns what the leaf is to the driver.
    pub fn get(&self) -> &Arc<L> {
        &self.leaf
    }
}

impl<T: RateOps> Instance<T> {
    /// Gives a port rates, until what is returned is dropped. The instance must be one that
    /// [`Instance::with_rates`] made.
    ///
    /// # Errors
    ///
    /// `EINVAL` if the port is not in this instance, or that has no rates; `EBUSY` if the port has
    /// some; `ENOMEM`.
    pub fn add_rate_leaf(
        &self,
        port: &PortRegistration,
        leaf: Arc<T::Leaf>,
    ) -> Result<RateLeaf<T::Leaf>> {
        Self::add_rate_leaf_locked(&self.lock(), port, leaf)
    }

    /// As [`Instance::add_rate_leaf`], for an operation, which may have no [`Instance`] at hand.
    ///
    /// # Errors
    ///
    /// Those of [`Instance::add_rate_leaf`].
    pub fn add_rate_leaf_locked(
        locked: &Locked<'_>,
        port: &PortRegistration,
        leaf: Arc<T::Leaf>,
    ) -> Result<RateLeaf<T::Leaf>> {
        let port = port.port();
        if !port.is_in(locked) || locked.memory().rates != Some(TypeId::of::<T>()) {
            return Err(EINVAL);
        }
        // SAFETY: the port is valid and the lock is held.
        if unsafe { !(*port.as_raw()).devlink_rate.is_null() } {
            return Err(EBUSY);
        }
        // SAFETY: the port is registered and the lock is held. The pointer is valid until the drop
        // of `RateLeaf` destroys the leaf, which does not outlive the instance, and is what the table
        // of a `T` expects.
        to_result(unsafe {
            bindings::devl_rate_leaf_create(
                port.as_raw(),
                Arc::as_ptr(&leaf).cast_mut().cast(),
                core::ptr::null_mut(),
            )
        })?;
        Ok(RateLeaf {
            port: port.clone(),
            leaf,
        })
    }
}

impl<L> Drop for RateLeaf<L> {
    fn drop(&mut self) {
        let _locked = self.port.memory().lock();
        // SAFETY: the lock is held, and the leaf was made for this port.
        unsafe { bindings::devl_rate_leaf_destroy(self.port.as_raw()) };
    }
}

/// The C table of the operations of a `T`, with those for rates.
///
/// All functions here are called by devlink only, with the lock held, for a rate of an instance as
/// [`ops::Table`] says. A leaf's private pointer is to a `T::Leaf` that its [`RateLeaf`] keeps, a
/// node's is to a `T::Node` from an [`Arc`] that belongs to the node. `extack` may be null.
pub(super) struct Table<T: RateOps>(PhantomData<T>);

/// Functions of the table that set something, for leaves and nodes.
macro_rules! setters {
    ($($leaf:ident, $node:ident: |$value:ident: $ty:ty| $setting:expr;)*) => {
        $(
            unsafe extern "C" fn $leaf(
                rate: *mut bindings::devlink_rate,
                private: *mut c_void,
                $value: $ty,
                extack: *mut bindings::netlink_ext_ack,
            ) -> c_int {
                // SAFETY: as all arguments here are.
                unsafe { Self::set(rate, Self::leaf(private), $setting, extack) }
            }

            unsafe extern "C" fn $node(
                rate: *mut bindings::devlink_rate,
                private: *mut c_void,
                $value: $ty,
                extack: *mut bindings::netlink_ext_ack,
            ) -> c_int {
                // SAFETY: as all arguments here are.
                unsafe { Self::set(rate, Self::node(private), $setting, extack) }
            }
        )*
    };
}

#[expect(
    clippy::missing_safety_doc,
    reason = "what holds for all of them is said at `Table`"
)]
impl<T: RateOps> Table<T> {
    const OPS: bindings::devlink_ops = bindings::devlink_ops {
        rate_leaf_tx_share_set: Some(Self::leaf_tx_share_set),
        rate_leaf_tx_max_set: Some(Self::leaf_tx_max_set),
        rate_leaf_tx_priority_set: Some(Self::leaf_tx_priority_set),
        rate_leaf_tx_weight_set: Some(Self::leaf_tx_weight_set),
        rate_leaf_tc_bw_set: Some(Self::leaf_tc_bw_set),
        rate_leaf_parent_set: Some(Self::leaf_parent_set),
        rate_node_tx_share_set: Some(Self::node_tx_share_set),
        rate_node_tx_max_set: Some(Self::node_tx_max_set),
        rate_node_tx_priority_set: Some(Self::node_tx_priority_set),
        rate_node_tx_weight_set: Some(Self::node_tx_weight_set),
        rate_node_tc_bw_set: Some(Self::node_tc_bw_set),
        rate_node_parent_set: Some(Self::node_parent_set),
        rate_node_new: Some(Self::node_new),
        rate_node_del: Some(Self::node_del),
        ..ops::Table::<T>::OPS
    };
    pub(super) const OPS_REF: &'static bindings::devlink_ops = &Self::OPS;

    unsafe fn leaf(private: *mut c_void) -> Member<T::Leaf, T::Node> {
        // SAFETY: the private pointer of a leaf is to a `T::Leaf` from an `Arc`, which is kept.
        Member::Leaf(unsafe { ArcBorrow::from_raw(private.cast::<T::Leaf>()) }.into())
    }

    unsafe fn node(private: *mut c_void) -> Member<T::Leaf, T::Node> {
        // SAFETY: the private pointer of a node is to a `T::Node` from an `Arc`, which is kept.
        Member::Node(unsafe { ArcBorrow::from_raw(private.cast::<T::Node>()) }.into())
    }

    unsafe fn set(
        rate: *mut bindings::devlink_rate,
        member: Member<T::Leaf, T::Node>,
        setting: Setting<T::Node>,
        extack: *mut bindings::netlink_ext_ack,
    ) -> c_int {
        // SAFETY: as all arguments here are; the instance is one that a `T` operates.
        let ((data, operation), mut extack) = unsafe {
            (
                ops::Table::<T>::begin((*rate).devlink),
                ExtAck::from_raw(extack),
            )
        };
        from_result(|| {
            data.rate_set(member, setting, &operation.locked(), &mut extack)?;
            Ok(0)
        })
    }

    setters! {
        leaf_tx_share_set, node_tx_share_set: |share: u64| Setting::TxShare(share);
        leaf_tx_max_set, node_tx_max_set: |max: u64| Setting::TxMax(max);
        leaf_tx_priority_set, node_tx_priority_set: |value: u32| Setting::TxPriority(value);
        leaf_tx_weight_set, node_tx_weight_set: |value: u32| Setting::TxWeight(value);
        leaf_tc_bw_set, node_tc_bw_set: |shares: *mut u32|
            Setting::TcBw(shares.cast::<[u32; TRAFFIC_CLASSES]>().read());
    }

    unsafe fn parent(private: *mut c_void) -> Setting<T::Node> {
        let node = (!private.is_null()).then(|| {
            // SAFETY: the private pointer of a node is to a `T::Node` from an `Arc`, which is kept.
            unsafe { ArcBorrow::from_raw(private.cast::<T::Node>()) }.into()
        });
        Setting::Parent(node)
    }

    unsafe extern "C" fn leaf_parent_set(
        child: *mut bindings::devlink_rate,
        _parent: *mut bindings::devlink_rate,
        private: *mut c_void,
        private_of_parent: *mut c_void,
        extack: *mut bindings::netlink_ext_ack,
    ) -> c_int {
        // SAFETY: as all arguments here are; null stands for no parent.
        unsafe {
            let parent = Self::parent(private_of_parent);
            Self::set(child, Self::leaf(private), parent, extack)
        }
    }

    unsafe extern "C" fn node_parent_set(
        child: *mut bindings::devlink_rate,
        _parent: *mut bindings::devlink_rate,
        private: *mut c_void,
        private_of_parent: *mut c_void,
        extack: *mut bindings::netlink_ext_ack,
    ) -> c_int {
        // SAFETY: as all arguments here are; null stands for no parent.
        unsafe {
            let parent = Self::parent(private_of_parent);
            Self::set(child, Self::node(private), parent, extack)
        }
    }

    unsafe extern "C" fn node_new(
        rate: *mut bindings::devlink_rate,
        private: *mut *mut c_void,
        extack: *mut bindings::netlink_ext_ack,
    ) -> c_int {
        // SAFETY: as all arguments here are; the instance is one that a `T` operates.
        let ((data, operation), mut extack) = unsafe {
            (
                ops::Table::<T>::begin((*rate).devlink),
                ExtAck::from_raw(extack),
            )
        };
        from_result(|| {
            let node = data.rate_node_new(&operation.locked(), &mut extack)?;
            // SAFETY: as all arguments here are. The node is devlink's until `node_del`.
            unsafe { private.write(Arc::into_raw(node).cast_mut().cast()) };
            Ok(0)
        })
    }

    unsafe extern "C" fn node_del(
        rate: *mut bindings::devlink_rate,
        private: *mut c_void,
        extack: *mut bindings::netlink_ext_ack,
    ) -> c_int {
        // SAFETY: as all arguments here are; the instance is one that a `T` operates. `node_new` gave
        // the node away, and devlink forgets it after this.
        let ((data, operation), node, mut extack) = unsafe {
            (
                ops::Table::<T>::begin((*rate).devlink),
                Arc::from_raw(private.cast::<T::Node>()),
                ExtAck::from_raw(extack),
            )
        };
        from_result(|| {
            data.rate_node_del(&node, &operation.locked(), &mut extack)?;
            Ok(0)
        })
    }
}
