// SPDX-License-Identifier: GPL-2.0

//! Packet traps of an instance: what a device drops, by the reason, in groups that policers limit.

use super::{
    lock::Memory,
    ops::Table,
    ExtAck,
    Instance,
    Keep,
    Ops,
    Port, //
};
use crate::bindings;
use core::sync::atomic::{
    AtomicPtr,
    Ordering, //
};
use kernel::{
    error::{
        from_result,
        to_result, //
    },
    prelude::*,
    sync::Arc, //
};

/// Why packets are dropped, as users know it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TrapReason {
    id: u16,
    name: &'static CStr,
    generic: bool,
}

macro_rules! generic {
    ($($(#[doc = $doc:literal])* $name:ident, $id:ident, $text:literal;)*) => {
        $(
            $(#[doc = $doc])*
            pub const $name: Self = Self {
                // CAST: there are far fewer.
                id: bindings::$id as u16,
                name: $text,
                generic: true,
            };
        )*
    };
}

impl TrapReason {
    generic! {
        /// The VLAN tag is not one that the sender may use.
        VLAN_TAG_MISMATCH, devlink_trap_generic_id_DEVLINK_TRAP_GENERIC_ID_VLAN_TAG_MISMATCH, c"vlan_tag_mismatch";
        /// The VLAN is not one that the receiver is in.
        INGRESS_VLAN_FILTER, devlink_trap_generic_id_DEVLINK_TRAP_GENERIC_ID_INGRESS_VLAN_FILTER, c"ingress_vlan_filter";
        /// Nobody receives for the destination.
        DMAC_FILTER, devlink_trap_generic_id_DEVLINK_TRAP_GENERIC_ID_DMAC_FILTER, c"dmac_filter";
        /// Nobody is in the group.
        EMPTY_TX_LIST, devlink_trap_generic_id_DEVLINK_TRAP_GENERIC_ID_EMPTY_TX_LIST, c"port_list_is_empty";
        /// It would go back to where it came from.
        PORT_LOOPBACK_FILTER, devlink_trap_generic_id_DEVLINK_TRAP_GENERIC_ID_PORT_LOOPBACK_FILTER, c"port_loopback_filter";
        /// A rule drops it.
        INGRESS_FLOW_ACTION_DROP, devlink_trap_generic_id_DEVLINK_TRAP_GENERIC_ID_INGRESS_FLOW_ACTION_DROP, c"ingress_flow_action_drop";
    }

    /// Returns a reason of the driver's own; `number` tells them apart.
    pub const fn own(number: u16, name: &'static CStr) -> Self {
        let first = bindings::devlink_trap_generic_id_DEVLINK_TRAP_GENERIC_ID_MAX as u16 + 1;
        Self {
            id: first + number,
            name,
            generic: false,
        }
    }
}

/// A group of traps, as users know it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TrapGroup {
    id: u16,
    name: &'static CStr,
}

impl TrapGroup {
    /// What is dropped on the way through layer 2.
    pub const L2_DROPS: Self = Self {
        // CAST: there are far fewer.
        id: bindings::devlink_trap_group_generic_id_DEVLINK_TRAP_GROUP_GENERIC_ID_L2_DROPS as u16,
        name: c"l2_drops",
    };
    /// What rules drop.
    pub const ACL_DROPS: Self = Self {
        // CAST: as above.
        id: bindings::devlink_trap_group_generic_id_DEVLINK_TRAP_GROUP_GENERIC_ID_ACL_DROPS as u16,
        name: c"acl_drops",
    };
}

/// A policer.
#[derive(Clone, Copy, Debug)]
pub struct TrapPolicer {
    /// Its number, from 1.
    pub id: u32,
    /// Packets a second, to begin with.
    pub rate: u64,
    /// Packets at once, to begin with.
    pub burst: u64,
    /// Most packets a second.
    pub max_rate: u64,
    /// Most packets at once.
    pub max_burst: u64,
}

/// A trap that is in its instance.
struct Item {
    trap: bindings::devlink_trap,
    /// What devlink wants to hear of its packets by.
    context: AtomicPtr<c_void>,
}

/// An instance has these traps, groups and policers for as long as this lives.
///
/// # Invariants
///
/// The first `registered` elements of each list are registered, by their address.
pub struct Traps {
    memory: Arc<Memory>,
    policers: KVec<bindings::devlink_trap_policer>,
    groups: KVec<bindings::devlink_trap_group>,
    traps: KVec<Item>,
    registered: [usize; 3],
    // What operations are called with.
    _data: Arc<dyn Keep>,
}

// SAFETY: traps do not belong to a thread, and the names that they point to are static.
unsafe impl Send for Traps {}

// SAFETY: as above; the functions on traps that are used here lock the instance, or may be called at any time.
unsafe impl Sync for Traps {}

impl<T: Ops> Instance<T> {
    /// Adds traps, all of which drop at first, each in one of the groups, which have a policer each, 0 for none.
    ///
    /// # Errors
    ///
    /// `EEXIST` if there are such already, `EINVAL` for a group or policer that is not among those given, `ENOMEM`; what
    /// the operations fail with that are told of policers.
    pub fn add_traps(
        &self,
        traps: &[(TrapReason, TrapGroup)],
        groups: &[(TrapGroup, u32)],
        policers: &[TrapPolicer],
    ) -> Result<Traps> {
        const {
            assert!(T::HAS_TRAP_SET && T::HAS_TRAP_DROPS && T::HAS_TRAP_GROUP_SET);
            assert!(T::HAS_TRAP_POLICER_SET && T::HAS_TRAP_POLICER_DROPS);
        }
        let has_group = |group: &TrapGroup| groups.iter().any(|(known, _)| known == group);
        let has_policer = |id: &u32| *id == 0 || policers.iter().any(|known| known.id == *id);
        // devlink takes it ill.
        if !traps.iter().all(|(_, group)| has_group(group))
            || !groups.iter().all(|(_, policer)| has_policer(policer))
        {
            return Err(EINVAL);
        }
        let mut all = Traps {
            memory: self.memory.clone(),
            policers: KVec::with_capacity(policers.len(), GFP_KERNEL)?,
            groups: KVec::with_capacity(groups.len(), GFP_KERNEL)?,
            traps: KVec::with_capacity(traps.len(), GFP_KERNEL)?,
            // INVARIANT: none is registered.
            registered: [0; 3],
            _data: self.data.clone(),
        };
        for policer in policers {
            let policer = bindings::devlink_trap_policer {
                id: policer.id,
                init_rate: policer.rate,
                init_burst: policer.burst,
                max_rate: policer.max_rate,
                min_rate: 1,
                max_burst: policer.max_burst,
                min_burst: 1,
            };
            all.policers.push(policer, GFP_KERNEL)?;
        }
        for (group, policer) in groups {
            let group = bindings::devlink_trap_group {
                name: group.name.as_char_ptr(),
                id: group.id,
                generic: true,
                init_policer_id: *policer,
            };
            all.groups.push(group, GFP_KERNEL)?;
        }
        for (reason, group) in traps {
            let trap = bindings::devlink_trap {
                type_: bindings::devlink_trap_type_DEVLINK_TRAP_TYPE_DROP,
                init_action: bindings::devlink_trap_action_DEVLINK_TRAP_ACTION_DROP,
                generic: reason.generic,
                id: reason.id,
                name: reason.name.as_char_ptr(),
                init_group_id: group.id,
                // `DEVLINK_TRAP_METADATA_TYPE_F_IN_PORT`, which is a macro.
                metadata_cap: 1 << 0,
            };
            let context = AtomicPtr::new(core::ptr::null_mut());
            all.traps.push(Item { trap, context }, GFP_KERNEL)?;
        }
        all.register()?;
        Ok(all)
    }
}

impl Traps {
    fn register(&mut self) -> Result {
        let locked = self.memory.lock();
        let devlink = locked.as_raw();
        let [policers, groups, traps] = &mut self.registered;
        for policer in &self.policers {
            // SAFETY: the lock is held; the policer stays where it is until the drop of this has removed it.
            to_result(unsafe { bindings::devl_trap_policers_register(devlink, policer, 1) })?;
            // INVARIANT: it was just registered.
            *policers += 1;
        }
        for group in &self.groups {
            // SAFETY: as above.
            to_result(unsafe { bindings::devl_trap_groups_register(devlink, group, 1) })?;
            // INVARIANT: it was just registered.
            *groups += 1;
        }
        for item in &self.traps {
            let none = core::ptr::null_mut();
            // SAFETY: as above; `init` finds the item around the trap.
            to_result(unsafe { bindings::devl_traps_register(devlink, &item.trap, 1, none) })?;
            // INVARIANT: it was just registered.
            *traps += 1;
        }
        Ok(())
    }

    /// Tells that a packet was trapped for a reason, which came from a port if that is known.
    pub fn report(&self, reason: TrapReason, frame: &[u8], port: Option<&Port>) {
        let Some(item) = self.traps.iter().find(|item| item.trap.id == reason.id) else {
            return;
        };
        // ORDERING: relaxed; it was set in the registration, which came before who has this.
        let context = item.context.load(Ordering::Relaxed);
        let port = port.map_or(core::ptr::null_mut(), Port::as_raw);
        // SAFETY: by the invariants of this type the trap is registered, so that its context is the one that devlink gave it.
        // The port is valid, and devlink takes care of what its net device is. The bytes are copied.
        unsafe {
            bindings::ferrite_helper_devlink_trap_report(
                self.memory.as_raw(),
                frame.as_ptr().cast(),
                frame.len(),
                context,
                port,
            )
        };
    }
}

impl Drop for Traps {
    fn drop(&mut self) {
        let locked = self.memory.lock();
        let devlink = locked.as_raw();
        let [policers, groups, traps] = self.registered;
        // SAFETY: by the invariants of this type, and the lock is held.
        unsafe {
            for item in self.traps.iter().take(traps) {
                bindings::devl_traps_unregister(devlink, &item.trap, 1);
            }
            for group in self.groups.iter().take(groups) {
                bindings::devl_trap_groups_unregister(devlink, group, 1);
            }
            for policer in self.policers.iter().take(policers) {
                bindings::devl_trap_policers_unregister(devlink, policer, 1);
            }
        }
    }
}

impl TrapReason {
    /// Returns whether it is the one that devlink knows by this number.
    pub fn is(&self, id: u16) -> bool {
        self.id == id
    }
}

impl TrapGroup {
    /// Returns whether it is the one that devlink knows by this number.
    pub fn is(&self, id: u16) -> bool {
        self.id == id
    }
}

// The entries of the C table of an instance that a `T` operates: what is said at `Table` holds for all of them. Traps, groups
// and policers are those of a `Traps`.

/// # Safety
///
/// As said at [`Table`].
pub(super) unsafe extern "C" fn init<T: Ops>(
    _devlink: *mut bindings::devlink,
    trap: *const bindings::devlink_trap,
    context: *mut c_void,
) -> c_int {
    // SAFETY: the trap is one of a `Traps`, in an item.
    let item = unsafe { &*kernel::container_of!(trap.cast_mut(), Item, trap).cast_const() };
    // ORDERING: relaxed, see `Traps::report`.
    item.context.store(context, Ordering::Relaxed);
    0
}

/// # Safety
///
/// As said at [`Table`].
pub(super) unsafe extern "C" fn action_set<T: Ops>(
    devlink: *mut bindings::devlink,
    trap: *const bindings::devlink_trap,
    action: bindings::devlink_trap_action,
    extack: *mut bindings::netlink_ext_ack,
) -> c_int {
    // SAFETY: as said at `Table`.
    let ((data, operation), id, mut extack) = unsafe {
        (
            Table::<T>::begin(devlink),
            (*trap).id,
            ExtAck::from_raw(extack),
        )
    };
    from_result(|| {
        let trapped = match action {
            bindings::devlink_trap_action_DEVLINK_TRAP_ACTION_DROP => false,
            bindings::devlink_trap_action_DEVLINK_TRAP_ACTION_TRAP => true,
            _ => {
                extack.set(fmt!("packets that are dropped cannot be mirrored"));
                return Err(EINVAL);
            }
        };
        data.trap_set(id, trapped, &operation.locked(), &mut extack)?;
        Ok(0)
    })
}

/// # Safety
///
/// As said at [`Table`].
pub(super) unsafe extern "C" fn drops<T: Ops>(
    devlink: *mut bindings::devlink,
    trap: *const bindings::devlink_trap,
    count: *mut u64,
) -> c_int {
    // SAFETY: as said at `Table`.
    let ((data, operation), id) = unsafe { (Table::<T>::begin(devlink), (*trap).id) };
    from_result(|| {
        let drops = data.trap_drops(id, &operation.locked())?;
        // SAFETY: as said at `Table`.
        unsafe { count.write(drops) };
        Ok(0)
    })
}

/// # Safety
///
/// As said at [`Table`].
pub(super) unsafe extern "C" fn group_set<T: Ops>(
    devlink: *mut bindings::devlink,
    group: *const bindings::devlink_trap_group,
    policer: *const bindings::devlink_trap_policer,
    extack: *mut bindings::netlink_ext_ack,
) -> c_int {
    // SAFETY: as said at `Table`; the policer may be null.
    let ((data, operation), id, policer, mut extack) = unsafe {
        (
            Table::<T>::begin(devlink),
            (*group).id,
            policer.as_ref().map_or(0, |policer| policer.id),
            ExtAck::from_raw(extack),
        )
    };
    from_result(|| {
        data.trap_group_set(id, policer, &operation.locked(), &mut extack)?;
        Ok(0)
    })
}

/// # Safety
///
/// As said at [`Table`].
pub(super) unsafe extern "C" fn policer_init<T: Ops>(
    devlink: *mut bindings::devlink,
    policer: *const bindings::devlink_trap_policer,
) -> c_int {
    // SAFETY: as said at `Table`.
    unsafe {
        let (rate, burst) = ((*policer).init_rate, (*policer).init_burst);
        policer_set::<T>(devlink, policer, rate, burst, core::ptr::null_mut())
    }
}

/// # Safety
///
/// As said at [`Table`].
pub(super) unsafe extern "C" fn policer_set<T: Ops>(
    devlink: *mut bindings::devlink,
    policer: *const bindings::devlink_trap_policer,
    rate: u64,
    burst: u64,
    extack: *mut bindings::netlink_ext_ack,
) -> c_int {
    // SAFETY: as said at `Table`.
    let ((data, operation), id, mut extack) = unsafe {
        (
            Table::<T>::begin(devlink),
            (*policer).id,
            ExtAck::from_raw(extack),
        )
    };
    from_result(|| {
        data.trap_policer_set(id, rate, burst, &operation.locked(), &mut extack)?;
        Ok(0)
    })
}

/// # Safety
///
/// As said at [`Table`].
pub(super) unsafe extern "C" fn policer_drops<T: Ops>(
    devlink: *mut bindings::devlink,
    policer: *const bindings::devlink_trap_policer,
    count: *mut u64,
) -> c_int {
    // SAFETY: as said at `Table`.
    let ((data, operation), id) = unsafe { (Table::<T>::begin(devlink), (*policer).id) };
    from_result(|| {
        let drops = data.trap_policer_drops(id, &operation.locked())?;
        // SAFETY: as said at `Table`.
        unsafe { count.write(drops) };
        Ok(0)
    })
}

#[kunit_tests(ferrite_devlink_trap)]
mod tests {
    use super::*;
    use crate::{
        devlink::Locked,
        testing::TestDevice, //
    };
    use kernel::{
        new_mutex,
        sync::Mutex, //
    };

    const NO_EXTACK: *mut bindings::netlink_ext_ack = core::ptr::null_mut();
    const OWN: TrapReason = TrapReason::own(0, c"too_heavy");
    const TRAPS: &[(TrapReason, TrapGroup)] = &[
        (TrapReason::DMAC_FILTER, TrapGroup::L2_DROPS),
        (TrapReason::INGRESS_FLOW_ACTION_DROP, TrapGroup::ACL_DROPS),
        (OWN, TrapGroup::L2_DROPS),
    ];
    const GROUPS: &[(TrapGroup, u32)] = &[(TrapGroup::L2_DROPS, 1), (TrapGroup::ACL_DROPS, 0)];
    const POLICERS: &[TrapPolicer] = &[TrapPolicer {
        id: 1,
        rate: 100,
        burst: 10,
        max_rate: 1000,
        max_burst: 100,
    }];

    /// What a card was told last.
    #[derive(Default, Clone, Copy)]
    struct Told {
        trapped: Option<u16>,
        policer: Option<u32>,
        rate: u64,
    }

    #[pin_data]
    struct Card {
        #[pin]
        told: Mutex<Told>,
    }

    #[vtable]
    impl Ops for Card {
        fn trap_set(
            &self,
            trap: u16,
            trapped: bool,
            _locked: &Locked<'_>,
            _extack: &mut ExtAck<'_>,
        ) -> Result {
            self.told.lock().trapped = trapped.then_some(trap);
            Ok(())
        }

        fn trap_drops(&self, _trap: u16, _locked: &Locked<'_>) -> Result<u64> {
            Ok(7)
        }

        fn trap_group_set(
            &self,
            _group: u16,
            policer: u32,
            _locked: &Locked<'_>,
            _extack: &mut ExtAck<'_>,
        ) -> Result {
            self.told.lock().policer = Some(policer);
            Ok(())
        }

        fn trap_policer_set(
            &self,
            _policer: u32,
            rate: u64,
            _burst: u64,
            _locked: &Locked<'_>,
            _extack: &mut ExtAck<'_>,
        ) -> Result {
            self.told.lock().rate = rate;
            Ok(())
        }

        fn trap_policer_drops(&self, _policer: u32, _locked: &Locked<'_>) -> Result<u64> {
            Ok(9)
        }
    }

    fn card() -> Result<(TestDevice, Instance<Card>)> {
        let device = TestDevice::new(c"ferrite-trap")?;
        let card = Arc::pin_init(
            try_pin_init!(Card { told <- new_mutex!(Told::default()) }? Error),
            GFP_KERNEL,
        )?;
        let instance = Instance::new(device.device(), card)?;
        Ok((device, instance))
    }

    #[test]
    fn traps_come_and_go_with_their_groups_and_policers() -> Result {
        let (_device, instance) = card()?;
        let traps = instance.add_traps(TRAPS, GROUPS, POLICERS)?;
        assert_eq!(instance.told.lock().rate, 100);
        assert_eq!(
            instance.add_traps(TRAPS, GROUPS, POLICERS).err(),
            Some(EEXIST)
        );
        traps.report(OWN, &[0; 60], None);
        traps.report(TrapReason::VLAN_TAG_MISMATCH, &[0; 60], None);
        drop(traps);
        drop(instance.add_traps(TRAPS, GROUPS, POLICERS)?);
        Ok(())
    }

    #[test]
    fn a_group_that_is_not_there_is_refused() -> Result {
        let (_device, instance) = card()?;
        let groups = &[(TrapGroup::L2_DROPS, 0)];
        let refused = instance.add_traps(TRAPS, groups, &[]);
        assert_eq!(refused.err(), Some(EINVAL));
        let refused = instance.add_traps(TRAPS, GROUPS, &[]);
        assert_eq!(refused.err(), Some(EINVAL));
        // Nothing of it stayed.
        drop(instance.add_traps(TRAPS, GROUPS, POLICERS)?);
        Ok(())
    }

    #[test]
    fn what_users_set_reaches_the_driver() -> Result {
        let (_device, instance) = card()?;
        let traps = instance.add_traps(TRAPS, GROUPS, POLICERS)?;
        let ops = Table::<Card>::OPS_REF;
        let locked = instance.lock();
        let devlink = locked.memory().as_raw();
        let trap = bindings::devlink_trap_action_DEVLINK_TRAP_ACTION_TRAP;
        let mirror = bindings::devlink_trap_action_DEVLINK_TRAP_ACTION_MIRROR;
        // SAFETY: as devlink does it, with the lock held.
        unsafe {
            let set = ops.trap_action_set.ok_or(EINVAL)?;
            let of = &traps.traps[2].trap;
            assert_eq!(set(devlink, of, mirror, NO_EXTACK), EINVAL.to_errno());
            assert_eq!(set(devlink, of, trap, NO_EXTACK), 0);
            let mut count = 0;
            let drops = ops.trap_drop_counter_get.ok_or(EINVAL)?;
            assert_eq!(drops(devlink, of, &mut count), 0);
            assert_eq!(count, 7);
            let group = ops.trap_group_set.ok_or(EINVAL)?;
            let none = core::ptr::null();
            assert_eq!(group(devlink, &traps.groups[0], none, NO_EXTACK), 0);
        }
        let told = *instance.told.lock();
        assert!(told.trapped.is_some_and(|id| OWN.is(id)));
        assert_eq!(told.policer, Some(0));
        drop(locked);
        Ok(())
    }
}
