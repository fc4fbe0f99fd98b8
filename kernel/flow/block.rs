// SPDX-License-Identifier: GPL-2.0

//! How the stack reaches a device with its rules: blocks of them are bound to the device, and for
//! each the device leaves a function to call.

use super::{
    not_supported,
    Command,
    Cookie,
    Counters,
    Rule, //
};
use crate::{
    bindings,
    devlink::ExtAck,
    netdev::{
        Device,
        Operations, //
    },
    netdev_classes,
    netdev_rtnl::Rtnl, //
};
use kernel::{
    error::from_result,
    prelude::*,
    types::Opaque, //
};

/// The blocks that are bound to a device.
///
/// # Invariants
///
/// The list is valid once [`Blocks::init`] was called. It changes under the RTNL only.
pub(crate) struct Blocks(Opaque<bindings::list_head>);

impl Blocks {
    /// Returns what is not a list yet.
    pub(crate) fn new() -> Self {
        Self(Opaque::zeroed())
    }

    /// Makes it an empty list.
    ///
    /// # Safety
    ///
    /// It does not move from here on, and nobody else uses it yet.
    pub(crate) unsafe fn init(&self) {
        let head = self.0.get();
        // INVARIANT: the head of an empty list points to itself.
        // SAFETY: it is nobody else's, by the requirements of this function.
        unsafe {
            (*head).next = head;
            (*head).prev = head;
        }
    }
}

/// The entry of the table of operations.
///
/// # Safety
///
/// As for all of `netdev_ops::Table`: `device` was made by a `Builder` of `T`; the stack calls this
/// under the RTNL with the data that belongs to `kind`.
pub(crate) unsafe extern "C" fn setup<T: Operations>(
    device: *mut bindings::net_device,
    kind: bindings::tc_setup_type,
    data: *mut c_void,
) -> c_int {
    if kind == bindings::tc_setup_type_TC_SETUP_QDISC_MQPRIO && T::HAS_SET_CLASSES {
        // SAFETY: by the requirements of this function.
        return unsafe { netdev_classes::setup::<T>(device, data.cast()) };
    }
    if kind != bindings::tc_setup_type_TC_SETUP_BLOCK {
        return not_supported().to_errno();
    }
    // SAFETY: the device is valid, by the requirements of this function. Its list was initialized
    // when it was made, and stays where it is until no block is bound, which the stack sees to when
    // it is unregistered. `call` gets the device with each call, which ends before that.
    unsafe {
        let blocks = Device::<T>::from_raw(device).blocks();
        bindings::flow_block_cb_setup_simple(
            data.cast(),
            blocks.0.get(),
            Some(call::<T>),
            device.cast(),
            device.cast(),
            true,
        )
    }
}

/// What the stack calls for each rule of a block.
///
/// # Safety
///
/// `device` is what `setup` gave; `data` is what belongs to `kind`. The RTNL is held, as `setup` did
/// not say that it need not be.
unsafe extern "C" fn call<T: Operations>(
    kind: bindings::tc_setup_type,
    data: *mut c_void,
    device: *mut c_void,
) -> c_int {
    let raw = device.cast::<bindings::net_device>();
    // SAFETY: by the requirements of this function.
    let (device, rtnl) = unsafe { (Device::<T>::from_raw(raw), Rtnl::assume()) };
    from_result(|| {
        // SAFETY: by the requirements of this function.
        match unsafe { command(raw, kind, data) }? {
            Some(command) => T::flow(device, rtnl, command)?,
            None => return Err(not_supported()),
        }
        Ok(0)
    })
}

/// Returns what the stack wants; [`None`] if nothing of this kind is carried out.
///
/// # Safety
///
/// `data` is what belongs to `kind`, for the lifetime of what is returned. `device` is valid.
unsafe fn command<'a>(
    device: *mut bindings::net_device,
    kind: bindings::tc_setup_type,
    data: *mut c_void,
) -> Result<Option<Command<'a>>> {
    match kind {
        bindings::tc_setup_type_TC_SETUP_CLSFLOWER => {
            let data = data.cast::<bindings::flow_cls_offload>();
            // SAFETY: by the requirements of this function. The rule is there when one is to be added.
            unsafe {
                let (rule, cookie) = ((*data).rule, (*data).cookie);
                let (common, stats) = (&raw mut (*data).common, &raw mut (*data).stats);
                match (*data).command {
                    bindings::flow_cls_command_FLOW_CLS_REPLACE => {
                        add(device, common, rule, cookie).map(Some)
                    }
                    bindings::flow_cls_command_FLOW_CLS_DESTROY => Ok(Some(remove(cookie))),
                    bindings::flow_cls_command_FLOW_CLS_STATS => Ok(Some(count(cookie, stats))),
                    _ => Ok(None),
                }
            }
        }
        bindings::tc_setup_type_TC_SETUP_CLSMATCHALL => {
            let data = data.cast::<bindings::tc_cls_matchall_offload>();
            // SAFETY: as above.
            unsafe {
                let (rule, cookie) = ((*data).rule, (*data).cookie);
                let (common, stats) = (&raw mut (*data).common, &raw mut (*data).stats);
                match (*data).command {
                    bindings::tc_matchall_command_TC_CLSMATCHALL_REPLACE => {
                        add(device, common, rule, cookie).map(Some)
                    }
                    bindings::tc_matchall_command_TC_CLSMATCHALL_DESTROY => {
                        Ok(Some(remove(cookie)))
                    }
                    bindings::tc_matchall_command_TC_CLSMATCHALL_STATS => {
                        Ok(Some(count(cookie, stats)))
                    }
                    _ => Ok(None),
                }
            }
        }
        _ => Ok(None),
    }
}

/// # Safety
///
/// `device` is valid, and so are `common` and `rule`, which meets the invariants of [`Rule`], for the
/// lifetime of what is returned.
unsafe fn add<'a>(
    device: *mut bindings::net_device,
    common: *mut bindings::flow_cls_common_offload,
    rule: *mut bindings::flow_rule,
    cookie: usize,
) -> Result<Command<'a>> {
    // SAFETY: by the requirements of this function.
    unsafe {
        // Says why, if not.
        if !bindings::ferrite_helper_tc_can_offload(device, common) {
            return Err(not_supported());
        }
        let extack = ExtAck::from_raw((*common).extack);
        Ok(Command::Add(Rule::from_raw(rule, &*common, cookie), extack))
    }
}

fn remove<'a>(cookie: usize) -> Command<'a> {
    Command::Remove(Cookie::new(cookie))
}

/// # Safety
///
/// `stats` is valid, and nobody else's, for the lifetime of what is returned.
unsafe fn count<'a>(cookie: usize, stats: *mut bindings::flow_stats) -> Command<'a> {
    // SAFETY: by the requirements of this function.
    Command::Count(Cookie::new(cookie), unsafe { Counters::from_raw(stats) })
}
