// SPDX-License-Identifier: GPL-2.0

//! Classes of traffic, each with transmit queues of its own: `tc qdisc ... mqprio ... hw 1`.
//!
//! The class of a packet is that of the priority of its VLAN tag, or without tag of its priority in the
//! stack.
//!
//! C header: [`include/net/pkt_sched.h`](srctree/include/net/pkt_sched.h)

use crate::{
    bindings,
    devlink::ExtAck,
    netdev::{
        Device,
        Operations, //
    },
    netdev_lock::Locks, //
};
use kernel::{
    error::{
        from_result,
        to_result, //
    },
    prelude::*, //
};

/// Sets the classes of a device.
///
/// # Safety
///
/// As for all of `netdev_ops::Table`; the stack calls this under both locks, with the data of mqprio.
pub(crate) unsafe fn setup<T: Operations>(
    device: *mut bindings::net_device,
    mqprio: *mut bindings::tc_mqprio_qopt_offload,
) -> c_int {
    // SAFETY: by the requirements of this function.
    let (this, locks, mut extack) = unsafe {
        (
            Device::<T>::from_raw(device),
            Locks::assume(device),
            ExtAck::from_raw(bindings::ferrite_helper_mqprio_extack(mqprio)),
        )
    };
    from_result(|| {
        // SAFETY: by the requirements of this function.
        let count = unsafe { bindings::ferrite_helper_mqprio_classes(mqprio) };
        to_result(count)?;
        T::set_classes(this, &locks, u8::try_from(count)?, &mut extack)?;
        // SAFETY: by the requirements of this function.
        to_result(unsafe { bindings::ferrite_helper_mqprio_set(device, mqprio) })?;
        Ok(0)
    })
}
