// SPDX-License-Identifier: GPL-2.0

//! What a driver does for an instance, and the C table of it.

use super::{
    lock::{
        Memory,
        Operation, //
    },
    not_supported,
    trap,
    BoolParam,
    ExtAck,
    Flash,
    Info,
    Locked,
    Port, //
};
use crate::{
    bindings,
    optional::{
        elsewhere,
        optional, //
    }, //
};
use core::marker::PhantomData;
use kernel::{
    error::from_result,
    prelude::*,
    sync::{
        Arc,
        ArcBorrow, //
    },
};

/// How the switch of a device forwards.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EswitchMode {
    /// As the device does by itself.
    Legacy,
    /// By rules, and through the representors of its ports.
    Switchdev,
}

/// What kind of port a user asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NewFlavour {
    /// A VF.
    PciVf,
    /// An SF.
    PciSf,
    /// Another one, by its number in `enum devlink_port_flavour`.
    Other(u32),
}

/// The port that a user asks for.
#[derive(Clone, Copy, Debug)]
pub struct NewPort {
    /// What it shall be.
    pub flavour: NewFlavour,
    /// PF that the function shall belong to.
    pub pfnum: u16,
    /// Number that the SF shall have.
    pub sfnum: Option<u32>,
    /// Controller that the function shall belong to.
    pub controller: Option<u32>,
    /// Index that the port shall have.
    pub port_index: Option<u32>,
}

impl NewPort {
    pub(super) fn from_raw(attrs: &bindings::devlink_port_new_attrs) -> Self {
        let given = |valid, value| (valid != 0).then_some(value);
        Self {
            flavour: match attrs.flavour {
                bindings::devlink_port_flavour_DEVLINK_PORT_FLAVOUR_PCI_VF => NewFlavour::PciVf,
                bindings::devlink_port_flavour_DEVLINK_PORT_FLAVOUR_PCI_SF => NewFlavour::PciSf,
                other => NewFlavour::Other(other),
            },
            pfnum: attrs.pfnum,
            sfnum: given(attrs.sfnum_valid(), attrs.sfnum),
            controller: given(attrs.controller_valid(), attrs.controller),
            port_index: given(attrs.port_index_valid(), attrs.port_index),
        }
    }
}

/// What a test of a device ended with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It was not made.
    Skipped,
    /// All is well.
    Passed,
    /// Something is not.
    Failed,
}

/// What a driver does for a devlink instance.
///
/// All operations are called in process context, with the lock of the instance held, while it is
/// registered. They say in `extack` why they fail; the user may not have asked for it.
#[vtable]
pub trait Ops: Send + Sync + 'static {
    /// Tells of the device and its firmware.
    fn info_get(&self, info: &mut Info<'_>, extack: &mut ExtAck<'_>) -> Result {
        let _ = (info, extack);
        build_error!(kernel::error::VTABLE_DEFAULT_ERROR)
    }

    /// Adds a port with the function that belongs to it, by [`Locked::add_port_of`], and returns it.
    ///
    /// devlink shows the port to the user at once, and takes it ill if an operation of it that tells
    /// something fails then. If there is no memory for the answer, it has it deleted again.
    fn port_new(
        &self,
        new: &NewPort,
        locked: &Locked<'_>,
        extack: &mut ExtAck<'_>,
    ) -> Result<Arc<Port>> {
        let _ = (new, locked, extack);
        build_error!(kernel::error::VTABLE_DEFAULT_ERROR)
    }

    /// Tells how the switch forwards.
    fn eswitch_mode_get(&self, locked: &Locked<'_>) -> Result<EswitchMode> {
        let _ = locked;
        build_error!(kernel::error::VTABLE_DEFAULT_ERROR)
    }

    /// Has the switch forward in another way, or in the same. There are no rate nodes then.
    fn eswitch_mode_set(
        &self,
        mode: EswitchMode,
        locked: &Locked<'_>,
        extack: &mut ExtAck<'_>,
    ) -> Result {
        let _ = (mode, locked, extack);
        build_error!(kernel::error::VTABLE_DEFAULT_ERROR)
    }

    /// Takes down what [`Ops::reload_up`] brings up, all ports of the instance among it. The lock of
    /// the device is held, too. `netns_change` tells whether the user moves the instance to another
    /// network namespace.
    fn reload_down(
        &self,
        netns_change: bool,
        locked: &Locked<'_>,
        extack: &mut ExtAck<'_>,
    ) -> Result {
        let _ = (netns_change, locked, extack);
        build_error!(kernel::error::VTABLE_DEFAULT_ERROR)
    }

    /// Brings up what the [parameters](super::Params) say, which have taken their new values. The lock
    /// of the device is held, too.
    fn reload_up(&self, locked: &Locked<'_>, extack: &mut ExtAck<'_>) -> Result {
        let _ = (locked, extack);
        build_error!(kernel::error::VTABLE_DEFAULT_ERROR)
    }

    /// Writes an image to the device. It runs after the next [`Ops::activate`], or power-on.
    fn flash(&self, flash: &Flash<'_>, locked: &Locked<'_>, extack: &mut ExtAck<'_>) -> Result {
        let _ = (flash, locked, extack);
        build_error!(kernel::error::VTABLE_DEFAULT_ERROR)
    }

    /// Has the device run the firmware that is stored. The lock of the device is held, too.
    fn activate(&self, locked: &Locked<'_>, extack: &mut ExtAck<'_>) -> Result {
        let _ = (locked, extack);
        build_error!(kernel::error::VTABLE_DEFAULT_ERROR)
    }

    /// Tests what firmware is kept in.
    fn test_flash(&self, locked: &Locked<'_>, extack: &mut ExtAck<'_>) -> Outcome {
        let _ = (locked, extack);
        build_error!(kernel::error::VTABLE_DEFAULT_ERROR)
    }

    /// Has packets of a [trap](super::Traps) handed to the driver, which [reports](super::Traps::report) them, or not. They
    /// are dropped in any case.
    fn trap_set(
        &self,
        trap: u16,
        trapped: bool,
        locked: &Locked<'_>,
        extack: &mut ExtAck<'_>,
    ) -> Result {
        let _ = (trap, trapped, locked, extack);
        build_error!(kernel::error::VTABLE_DEFAULT_ERROR)
    }

    /// Tells how many packets of a trap were dropped and not handed to the driver.
    fn trap_drops(&self, trap: u16, locked: &Locked<'_>) -> Result<u64> {
        let _ = (trap, locked);
        build_error!(kernel::error::VTABLE_DEFAULT_ERROR)
    }

    /// Limits the packets of a group of traps by a policer, 0 for none.
    fn trap_group_set(
        &self,
        group: u16,
        policer: u32,
        locked: &Locked<'_>,
        extack: &mut ExtAck<'_>,
    ) -> Result {
        let _ = (group, policer, locked, extack);
        build_error!(kernel::error::VTABLE_DEFAULT_ERROR)
    }

    /// Sets how many packets a policer lets through, a second and at once.
    fn trap_policer_set(
        &self,
        policer: u32,
        rate: u64,
        burst: u64,
        locked: &Locked<'_>,
        extack: &mut ExtAck<'_>,
    ) -> Result {
        let _ = (policer, rate, burst, locked, extack);
        build_error!(kernel::error::VTABLE_DEFAULT_ERROR)
    }

    /// Tells how many packets a policer dropped.
    fn trap_policer_drops(&self, policer: u32, locked: &Locked<'_>) -> Result<u64> {
        let _ = (policer, locked);
        build_error!(kernel::error::VTABLE_DEFAULT_ERROR)
    }

    /// Refuses a value of a parameter, if it cannot be had.
    fn param_validate(
        &self,
        param: BoolParam,
        value: bool,
        locked: &Locked<'_>,
        extack: &mut ExtAck<'_>,
    ) -> Result {
        let _ = (param, value, locked, extack);
        build_error!(kernel::error::VTABLE_DEFAULT_ERROR)
    }
}

/// The private part of an instance that a `T` operates.
///
/// # Invariants
///
/// Both are from an [`Arc`], of which [`Registration`](super::Registration) has one until nothing of
/// the instance is left that an operation is called for.
pub(super) struct Private<T> {
    pub(super) data: *const T,
    pub(super) memory: *const Memory,
}

const REINIT: bindings::devlink_reload_action =
    bindings::devlink_reload_action_DEVLINK_RELOAD_ACTION_DRIVER_REINIT;
const ACTIVATE: bindings::devlink_reload_action =
    bindings::devlink_reload_action_DEVLINK_RELOAD_ACTION_FW_ACTIVATE;
const TEST_FLASH: c_uint = bindings::devlink_attr_selftest_id_DEVLINK_ATTR_SELFTEST_ID_FLASH;

type ReloadDown = unsafe extern "C" fn(
    *mut bindings::devlink,
    bool,
    bindings::devlink_reload_action,
    bindings::devlink_reload_limit,
    *mut bindings::netlink_ext_ack,
) -> c_int;
type ReloadUp = unsafe extern "C" fn(
    *mut bindings::devlink,
    bindings::devlink_reload_action,
    bindings::devlink_reload_limit,
    *mut u32,
    *mut bindings::netlink_ext_ack,
) -> c_int;

/// The C table of the operations of a `T`.
///
/// All functions here are called by devlink only, with the lock held, for an instance whose private
/// part is a `Private<T>` and which is registered or being unregistered by its
/// [`Registration`](super::Registration). Other arguments are valid until the functions return, but
/// that `extack` may be null.
pub(super) struct Table<T: Ops>(PhantomData<T>);

#[expect(
    clippy::missing_safety_doc,
    reason = "what holds for all of them is said at `Table`"
)]
impl<T: Ops> Table<T> {
    pub(super) const OPS: bindings::devlink_ops = bindings::devlink_ops {
        info_get: optional!(HAS_INFO_GET, info_get),
        port_new: optional!(HAS_PORT_NEW, port_new),
        eswitch_mode_get: optional!(HAS_ESWITCH_MODE_GET, eswitch_mode_get),
        eswitch_mode_set: optional!(HAS_ESWITCH_MODE_SET, eswitch_mode_set),
        reload_actions: Self::RELOAD_ACTIONS,
        reload_down: Self::RELOAD_DOWN,
        reload_up: Self::RELOAD_UP,
        supported_flash_update_params: Self::OVERWRITE_MASK,
        flash_update: optional!(HAS_FLASH, flash_update),
        trap_init: elsewhere!(HAS_TRAP_SET, trap::init),
        trap_action_set: elsewhere!(HAS_TRAP_SET, trap::action_set),
        trap_drop_counter_get: elsewhere!(HAS_TRAP_DROPS, trap::drops),
        trap_group_set: elsewhere!(HAS_TRAP_GROUP_SET, trap::group_set),
        trap_policer_init: elsewhere!(HAS_TRAP_POLICER_SET, trap::policer_init),
        trap_policer_set: elsewhere!(HAS_TRAP_POLICER_SET, trap::policer_set),
        trap_policer_counter_get: elsewhere!(HAS_TRAP_POLICER_DROPS, trap::policer_drops),
        selftest_check: optional!(HAS_TEST_FLASH, selftest_check),
        selftest_run: optional!(HAS_TEST_FLASH, selftest_run),
        ..pin_init::zeroed()
    };
    pub(super) const OPS_REF: &'static bindings::devlink_ops = &Self::OPS;

    const RELOAD_ACTIONS: usize = {
        assert!(T::HAS_RELOAD_DOWN == T::HAS_RELOAD_UP);
        let reinit = if T::HAS_RELOAD_UP { 1 << REINIT } else { 0 };
        let activate = if T::HAS_ACTIVATE { 1 << ACTIVATE } else { 0 };
        reinit | activate
    };
    const RELOAD_DOWN: Option<ReloadDown> = match Self::RELOAD_ACTIONS {
        0 => None,
        _ => Some(Self::reload_down),
    };
    const RELOAD_UP: Option<ReloadUp> = match Self::RELOAD_ACTIONS {
        0 => None,
        _ => Some(Self::reload_up),
    };
    /// `DEVLINK_SUPPORT_FLASH_UPDATE_OVERWRITE_MASK`, which is a macro.
    const OVERWRITE_MASK: u32 = if T::HAS_FLASH { 1 << 0 } else { 0 };

    /// Returns the data of an instance, and the operation that is called.
    pub(super) unsafe fn begin(devlink: *mut bindings::devlink) -> (Arc<T>, Operation) {
        // SAFETY: the private part is a `Private<T>`, which nobody writes.
        let private = unsafe { &*bindings::devlink_priv(devlink).cast::<Private<T>>() };
        // SAFETY: by the invariants of `Private`.
        let (data, memory) = unsafe {
            (
                ArcBorrow::from_raw(private.data),
                ArcBorrow::from_raw(private.memory),
            )
        };
        // SAFETY: devlink holds the lock until the caller returns.
        let operation = unsafe { Operation::begin(memory.into()) };
        (data.into(), operation)
    }

    unsafe extern "C" fn info_get(
        devlink: *mut bindings::devlink,
        req: *mut bindings::devlink_info_req,
        extack: *mut bindings::netlink_ext_ack,
    ) -> c_int {
        // SAFETY: as all arguments here are.
        let ((data, _operation), mut info, mut extack) = unsafe {
            (
                Self::begin(devlink),
                Info::from_raw(req),
                ExtAck::from_raw(extack),
            )
        };
        from_result(|| {
            data.info_get(&mut info, &mut extack)?;
            Ok(0)
        })
    }

    unsafe extern "C" fn port_new(
        devlink: *mut bindings::devlink,
        attrs: *const bindings::devlink_port_new_attrs,
        extack: *mut bindings::netlink_ext_ack,
        port: *mut *mut bindings::devlink_port,
    ) -> c_int {
        // SAFETY: as all arguments here are.
        let ((data, operation), new, mut extack) = unsafe {
            (
                Self::begin(devlink),
                NewPort::from_raw(&*attrs),
                ExtAck::from_raw(extack),
            )
        };
        let locked = operation.locked();
        from_result(|| {
            let added = data.port_new(&new, &locked, &mut extack)?;
            if !added.is_in(&locked) {
                extack.set(fmt!("the driver removed the port at once"));
                return Err(EINVAL);
            }
            // SAFETY: as all arguments here are. The port is in the instance, so that its
            // registration keeps it until devlink has given the lock back.
            unsafe { port.write(added.as_raw()) };
            Ok(0)
        })
    }

    unsafe extern "C" fn eswitch_mode_get(
        devlink: *mut bindings::devlink,
        mode: *mut u16,
    ) -> c_int {
        // SAFETY: as all arguments here are.
        let (data, operation) = unsafe { Self::begin(devlink) };
        from_result(|| {
            let is = match data.eswitch_mode_get(&operation.locked())? {
                EswitchMode::Legacy => bindings::devlink_eswitch_mode_DEVLINK_ESWITCH_MODE_LEGACY,
                EswitchMode::Switchdev => {
                    bindings::devlink_eswitch_mode_DEVLINK_ESWITCH_MODE_SWITCHDEV
                }
            };
            // SAFETY: as all arguments here are. CAST: modes are small.
            unsafe { mode.write(is as u16) };
            Ok(0)
        })
    }

    unsafe extern "C" fn eswitch_mode_set(
        devlink: *mut bindings::devlink,
        mode: u16,
        extack: *mut bindings::netlink_ext_ack,
    ) -> c_int {
        // SAFETY: as all arguments here are.
        let ((data, operation), mut extack) =
            unsafe { (Self::begin(devlink), ExtAck::from_raw(extack)) };
        from_result(|| {
            let mode = match mode.into() {
                bindings::devlink_eswitch_mode_DEVLINK_ESWITCH_MODE_LEGACY => EswitchMode::Legacy,
                bindings::devlink_eswitch_mode_DEVLINK_ESWITCH_MODE_SWITCHDEV => {
                    EswitchMode::Switchdev
                }
                _ => {
                    extack.set(fmt!("modes are legacy and switchdev"));
                    return Err(not_supported());
                }
            };
            data.eswitch_mode_set(mode, &operation.locked(), &mut extack)?;
            Ok(0)
        })
    }

    unsafe extern "C" fn reload_down(
        devlink: *mut bindings::devlink,
        netns_change: bool,
        action: bindings::devlink_reload_action,
        _limit: bindings::devlink_reload_limit,
        extack: *mut bindings::netlink_ext_ack,
    ) -> c_int {
        // SAFETY: as all arguments here are.
        let ((data, operation), mut extack) =
            unsafe { (Self::begin(devlink), ExtAck::from_raw(extack)) };
        from_result(|| {
            // Activation does not end what the instance has.
            if T::HAS_RELOAD_DOWN && action == REINIT {
                data.reload_down(netns_change, &operation.locked(), &mut extack)?;
            }
            Ok(0)
        })
    }

    unsafe extern "C" fn reload_up(
        devlink: *mut bindings::devlink,
        action: bindings::devlink_reload_action,
        _limit: bindings::devlink_reload_limit,
        performed: *mut u32,
        extack: *mut bindings::netlink_ext_ack,
    ) -> c_int {
        // SAFETY: as all arguments here are.
        let ((data, operation), mut extack) =
            unsafe { (Self::begin(devlink), ExtAck::from_raw(extack)) };
        from_result(|| {
            let locked = operation.locked();
            if T::HAS_ACTIVATE && action == ACTIVATE {
                data.activate(&locked, &mut extack)?;
            } else if T::HAS_RELOAD_UP {
                data.reload_up(&locked, &mut extack)?;
            }
            // SAFETY: as all arguments here are.
            unsafe { performed.write(1 << action) };
            Ok(0)
        })
    }

    unsafe extern "C" fn flash_update(
        devlink: *mut bindings::devlink,
        params: *mut bindings::devlink_flash_update_params,
        extack: *mut bindings::netlink_ext_ack,
    ) -> c_int {
        // SAFETY: as all arguments here are.
        let ((data, operation), flash, mut extack) = unsafe {
            (
                Self::begin(devlink),
                Flash::from_raw(devlink, params),
                ExtAck::from_raw(extack),
            )
        };
        from_result(|| {
            data.flash(&flash, &operation.locked(), &mut extack)?;
            Ok(0)
        })
    }

    unsafe extern "C" fn selftest_check(
        _devlink: *mut bindings::devlink,
        id: c_uint,
        _extack: *mut bindings::netlink_ext_ack,
    ) -> bool {
        id == TEST_FLASH
    }

    unsafe extern "C" fn selftest_run(
        devlink: *mut bindings::devlink,
        _id: c_uint,
        extack: *mut bindings::netlink_ext_ack,
    ) -> bindings::devlink_selftest_status {
        // SAFETY: as all arguments here are.
        let ((data, operation), mut extack) =
            unsafe { (Self::begin(devlink), ExtAck::from_raw(extack)) };
        match data.test_flash(&operation.locked(), &mut extack) {
            Outcome::Skipped => bindings::devlink_selftest_status_DEVLINK_SELFTEST_STATUS_SKIP,
            Outcome::Passed => bindings::devlink_selftest_status_DEVLINK_SELFTEST_STATUS_PASS,
            Outcome::Failed => bindings::devlink_selftest_status_DEVLINK_SELFTEST_STATUS_FAIL,
        }
    }

    /// The entry of a parameter of type bool.
    pub(super) unsafe extern "C" fn param_validate(
        devlink: *mut bindings::devlink,
        id: u32,
        value: *mut bindings::devlink_param_value,
        extack: *mut bindings::netlink_ext_ack,
    ) -> c_int {
        // SAFETY: as all arguments here are; the parameter is of type bool.
        let ((data, operation), value, mut extack) = unsafe {
            (
                Self::begin(devlink),
                (*value).vbool,
                ExtAck::from_raw(extack),
            )
        };
        from_result(|| {
            let param = BoolParam::from_id(id).ok_or(EINVAL)?;
            data.param_validate(param, value, &operation.locked(), &mut extack)?;
            Ok(0)
        })
    }
}
