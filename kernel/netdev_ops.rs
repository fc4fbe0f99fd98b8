// SPDX-License-Identifier: GPL-2.0

//! The C tables of operations of a network device, made of [`Operations`].

use crate::{
    bindings,
    devlink::ExtAck,
    flow,
    netdev::{
        Device,
        Operations,
        PacketRef, //
    },
    netdev_lock::Locks,
    netdev_types::{
        AddressList,
        AddressLists,
        Features,
        Stamps,
        Stats, //
    },
    netdev_vf,
    optional::{
        elsewhere,
        optional, //
    },
    skb::SkBuff,
    xdp, //
};
use core::{
    marker::PhantomData,
    ptr::NonNull, //
};
use kernel::{
    error::from_result,
    prelude::*, //
};

/// The C tables of the operations of a `T`.
///
/// All functions here are called by the network stack only, with devices that have these tables, so
/// that a [`Builder`](crate::netdev::Builder) of `T` made them; they exist until the functions
/// return, as do the other arguments.
pub(crate) struct Table<T: Operations>(PhantomData<T>);

#[expect(
    clippy::missing_safety_doc,
    reason = "what holds for all of them is said at `Table`"
)]
impl<T: Operations> Table<T> {
    const OPS: bindings::net_device_ops = bindings::net_device_ops {
        ndo_open: Some(Self::open),
        ndo_stop: Some(Self::stop),
        ndo_start_xmit: Some(Self::start_xmit),
        // Tells `Device::downcast` that the table is one of these.
        ndo_validate_addr: Some(bindings::ferrite_helper_validate_addr),
        ndo_select_queue: if T::HAS_SET_CLASSES {
            Some(bindings::ferrite_helper_netdev_select_queue)
        } else {
            None
        },
        ndo_features_check: optional!(HAS_FEATURES_CHECK, features_check),
        ndo_get_stats64: optional!(HAS_GET_STATS64, get_stats64),
        ndo_set_rx_mode_async: optional!(HAS_SET_RX_MODE, set_rx_mode),
        ndo_set_mac_address: optional!(HAS_SET_MAC_ADDRESS, set_mac_address),
        ndo_change_mtu: optional!(HAS_CHANGE_MTU, change_mtu),
        ndo_set_features: optional!(HAS_SET_FEATURES, set_features),
        ndo_setup_tc: elsewhere!(HAS_FLOW, flow::block::setup),
        ndo_get_vf_config: elsewhere!(HAS_VF_CONFIG, netdev_vf::get_config),
        ndo_set_vf_mac: elsewhere!(HAS_SET_VF, netdev_vf::set_mac),
        ndo_set_vf_vlan: elsewhere!(HAS_SET_VF, netdev_vf::set_vlan),
        ndo_set_vf_spoofchk: elsewhere!(HAS_SET_VF, netdev_vf::set_spoof_check),
        ndo_set_vf_trust: elsewhere!(HAS_SET_VF, netdev_vf::set_trust),
        ndo_set_vf_link_state: elsewhere!(HAS_SET_VF, netdev_vf::set_link_state),
        ndo_set_vf_rate: elsewhere!(HAS_SET_VF, netdev_vf::set_rate),
        ndo_tx_timeout: optional!(HAS_TX_TIMEOUT, tx_timeout),
        ndo_work: optional!(HAS_WORK, work),
        ndo_hwtstamp_get: optional!(HAS_STAMPS, hwtstamp_get),
        ndo_hwtstamp_set: optional!(HAS_SET_STAMPS, hwtstamp_set),
        ndo_fix_features: optional!(HAS_FIX_FEATURES, fix_features),
        ndo_bpf: optional!(HAS_XDP_SETUP, bpf),
        ndo_xdp_xmit: optional!(HAS_XDP_SETUP, xdp_xmit),
        ..pin_init::zeroed()
    };
    pub(crate) const OPS_REF: &'static bindings::net_device_ops = &Self::OPS;

    const STAT_OPS: bindings::netdev_stat_ops = bindings::netdev_stat_ops {
        get_queue_stats_rx: optional!(HAS_QUEUE_STATS, queue_stats_rx),
        get_queue_stats_tx: optional!(HAS_QUEUE_STATS, queue_stats_tx),
        get_base_stats: optional!(HAS_BASE_STATS, base_stats),
    };

    /// The table, or null if the driver has no such counters.
    pub(crate) const STAT_OPS_REF: *const bindings::netdev_stat_ops = if T::HAS_QUEUE_STATS {
        &Self::STAT_OPS
    } else {
        core::ptr::null()
    };

    unsafe extern "C" fn open(device: *mut bindings::net_device) -> c_int {
        // SAFETY: see `Table`; the stack holds both locks.
        let (device, locks) = unsafe { (Device::<T>::from_raw(device), Locks::assume(device)) };
        from_result(|| T::open(device, &locks).map(|()| 0))
    }

    unsafe extern "C" fn stop(device: *mut bindings::net_device) -> c_int {
        // SAFETY: see `Table`; the stack holds both locks.
        let (device, locks) = unsafe { (Device::<T>::from_raw(device), Locks::assume(device)) };
        T::stop(device, &locks);
        0
    }

    unsafe extern "C" fn start_xmit(
        skb: *mut bindings::sk_buff,
        device: *mut bindings::net_device,
    ) -> bindings::netdev_tx_t {
        // SAFETY: see `Table`. The stack gives the packet away.
        let (device, index, skb) = unsafe {
            (
                Device::<T>::from_raw(device),
                bindings::ferrite_helper_skb_queue(skb),
                SkBuff::from_raw(NonNull::new_unchecked(skb)),
            )
        };
        // SAFETY: the stack holds the lock of the queue that the packet is for, as the device has
        // no lock of its own for sending (`lltx` is not set).
        let slot = unsafe { device.tx_slots().get(index) };
        // A packet for a queue that is not in use is dropped.
        if let (Some(Some(queue)), Some(handle)) = (slot, device.tx_queue(index)) {
            if let Err(skb) = T::start_xmit(device, queue, handle, skb) {
                // The stack keeps the packet.
                let _ = skb.into_raw();
                return bindings::netdev_tx_NETDEV_TX_BUSY;
            }
        }
        bindings::netdev_tx_NETDEV_TX_OK
    }

    unsafe extern "C" fn features_check(
        skb: *mut bindings::sk_buff,
        device: *mut bindings::net_device,
        features: bindings::netdev_features_t,
    ) -> bindings::netdev_features_t {
        // SAFETY: see `Table`.
        let (device, skb) = unsafe { (Device::<T>::from_raw(device), PacketRef::from_raw(skb)) };
        T::features_check(device, skb, Features(features)).0
    }

    unsafe extern "C" fn get_stats64(
        device: *mut bindings::net_device,
        stats: *mut bindings::rtnl_link_stats64,
    ) {
        // SAFETY: see `Table`.
        let (device, stats) = unsafe { (Device::<T>::from_raw(device), Stats::from_raw(stats)) };
        T::get_stats64(device, stats);
    }

    unsafe extern "C" fn set_rx_mode(
        device: *mut bindings::net_device,
        unicast: *mut bindings::netdev_hw_addr_list,
        multicast: *mut bindings::netdev_hw_addr_list,
    ) -> c_int {
        // SAFETY: see `Table`; the lists are copies made for this call, and the flags change under
        // the RTNL only, which the stack holds.
        let (device, lists) = unsafe {
            let flags = (*device).flags;
            let lists = AddressLists {
                promiscuous: flags & bindings::net_device_flags_IFF_PROMISC != 0,
                all_multicast: flags & bindings::net_device_flags_IFF_ALLMULTI != 0,
                unicast: AddressList::from_raw(unicast),
                multicast: AddressList::from_raw(multicast),
            };
            (Device::<T>::from_raw(device), lists)
        };
        from_result(|| T::set_rx_mode(device, &lists).map(|()| 0))
    }

    unsafe extern "C" fn set_mac_address(
        device: *mut bindings::net_device,
        address: *mut c_void,
    ) -> c_int {
        // SAFETY: see `Table`; the stack holds both locks and passes a `sockaddr_storage`, in which
        // at least six bytes follow the family.
        let (device, locks, address) = unsafe {
            let address = address.cast::<u8>().add(2).cast::<[u8; 6]>().read();
            (
                Device::<T>::from_raw(device),
                Locks::assume(device),
                address,
            )
        };
        if address == [0; 6] || address[0] & 1 != 0 {
            // CAST: errno values are small.
            return -(kernel::bindings::EADDRNOTAVAIL as c_int);
        }
        from_result(|| {
            T::set_mac_address(device, &locks, address)?;
            device.set_address(&locks, address);
            Ok(0)
        })
    }

    unsafe extern "C" fn change_mtu(device: *mut bindings::net_device, mtu: c_int) -> c_int {
        // SAFETY: see `Table`; the stack holds both locks.
        let (this, locks) = unsafe { (Device::<T>::from_raw(device), Locks::assume(device)) };
        from_result(|| {
            let mtu = u32::try_from(mtu).map_err(|_| EINVAL)?;
            T::change_mtu(this, &locks, mtu)?;
            // SAFETY: the device is valid; the MTU changes under the RTNL and may be read at any
            // time.
            unsafe { mtu_of(device).write_volatile(mtu) };
            Ok(0)
        })
    }

    unsafe extern "C" fn set_features(
        device: *mut bindings::net_device,
        features: bindings::netdev_features_t,
    ) -> c_int {
        // SAFETY: see `Table`; the stack holds both locks.
        let (device, locks) = unsafe { (Device::<T>::from_raw(device), Locks::assume(device)) };
        from_result(|| T::set_features(device, &locks, Features(features)).map(|()| 0))
    }

    unsafe extern "C" fn tx_timeout(device: *mut bindings::net_device, queue: c_uint) {
        // SAFETY: see `Table`.
        let device = unsafe { Device::<T>::from_raw(device) };
        // CAST: the device has no more queues than that.
        T::tx_timeout(device, queue as u16);
    }

    unsafe extern "C" fn work(device: *mut bindings::net_device, events: c_ulong) {
        // SAFETY: see `Table`; the stack holds both locks.
        let (device, locks) = unsafe { (Device::<T>::from_raw(device), Locks::assume(device)) };
        T::work(device, &locks, events);
    }

    unsafe extern "C" fn hwtstamp_get(
        device: *mut bindings::net_device,
        config: *mut bindings::kernel_hwtstamp_config,
    ) -> c_int {
        // SAFETY: see `Table`.
        let (device, config) = unsafe { (Device::<T>::from_raw(device), &mut *config) };
        put_stamps(config, T::stamps(device));
        0
    }

    unsafe extern "C" fn hwtstamp_set(
        device: *mut bindings::net_device,
        config: *mut bindings::kernel_hwtstamp_config,
        extack: *mut bindings::netlink_ext_ack,
    ) -> c_int {
        // SAFETY: see `Table`; the stack holds both locks.
        let (device, locks, config, mut extack) = unsafe {
            (
                Device::<T>::from_raw(device),
                Locks::assume(device),
                &mut *config,
                ExtAck::from_raw(extack),
            )
        };
        from_result(|| {
            let tx = match config.tx_type as u32 {
                bindings::hwtstamp_tx_types_HWTSTAMP_TX_OFF => false,
                bindings::hwtstamp_tx_types_HWTSTAMP_TX_ON => true,
                _ => return Err(ERANGE),
            };
            // Whatever the filter, more than it asks for is stamped.
            let rx = config.rx_filter as u32 != bindings::hwtstamp_rx_filters_HWTSTAMP_FILTER_NONE;
            let stamps = Stamps { rx, tx };
            T::set_stamps(device, &locks, stamps, &mut extack)?;
            put_stamps(config, stamps);
            Ok(0)
        })
    }

    unsafe extern "C" fn fix_features(
        device: *mut bindings::net_device,
        features: bindings::netdev_features_t,
    ) -> bindings::netdev_features_t {
        // SAFETY: see `Table`.
        let device = unsafe { Device::<T>::from_raw(device) };
        T::fix_features(device, Features(features)).0
    }

    unsafe extern "C" fn bpf(
        device: *mut bindings::net_device,
        request: *mut bindings::netdev_bpf,
    ) -> c_int {
        // SAFETY: see `Table`; the stack holds both locks.
        let (device, locks) = unsafe { (Device::<T>::from_raw(device), Locks::assume(device)) };
        // SAFETY: see `Table`.
        if unsafe { (*request).command } != bindings::bpf_netdev_command_XDP_SETUP_PROG {
            // CAST: errno values are small.
            return -(kernel::bindings::EOPNOTSUPP as c_int);
        }
        // SAFETY: for this command, that part of the request is valid. The stack has taken a
        // reference to the program for the driver, and drops it itself if this fails.
        let (program, mut extack) = unsafe {
            let setup = &(*request).__bindgen_anon_1.__bindgen_anon_1;
            (
                NonNull::new(setup.prog).map(|program| {
                    bindings::ferrite_helper_xdp_get(program.as_ptr());
                    xdp::Program::from_raw(program)
                }),
                ExtAck::from_raw(setup.extack),
            )
        };
        let raw = program.as_ref().map(xdp::Program::as_raw);
        let result = T::xdp_setup(device, &locks, program, &mut extack);
        if let (Ok(()), Some(raw)) = (result, raw) {
            // The driver has the reference that was taken here: that of the stack is one too many.
            //
            // SAFETY: the stack's reference is owned, as this succeeds.
            drop(unsafe { xdp::Program::from_raw(raw) });
        }
        from_result(|| result.map(|()| 0))
    }

    unsafe extern "C" fn xdp_xmit(
        device: *mut bindings::net_device,
        count: c_int,
        frames: *mut *mut bindings::xdp_frame,
        flags: u32,
    ) -> c_int {
        if flags & !bindings::XDP_XMIT_FLUSH != 0 {
            return -(kernel::bindings::EINVAL as c_int);
        }
        // CAST: errno values are small.
        const DOWN: c_int = -(kernel::bindings::ENETDOWN as c_int);
        // SAFETY: see `Table`.
        let device = unsafe { Device::<T>::from_raw(device) };
        if !device.is_running() || !device.has_carrier() {
            return DOWN;
        }
        // Each processor has its queue, as far as there are enough.
        let processor = kernel::cpu::CpuId::current().as_u32();
        // CAST: there are no more queues than that.
        let index = (processor % u32::from(device.real_tx_queues())) as u16;
        let Some(mut guard) = device.lock_tx(index) else {
            return DOWN;
        };
        guard.touch();
        let Some(queue) = &mut *guard else {
            return DOWN;
        };
        let mut sent = 0;
        while sent < count {
            // SAFETY: see `Table`: there are `count` frames, all valid; those that are counted as
            // sent are given away.
            let frame = unsafe {
                let raw = *frames.add(sent as usize);
                xdp::Frame::from_raw(NonNull::new_unchecked(raw), None)
            };
            if let Err(frame) = T::xdp_xmit(queue, frame) {
                // The stack keeps the frame.
                let _ = frame.into_raw();
                break;
            }
            sent += 1;
        }
        T::xdp_kick(queue);
        sent
    }

    unsafe extern "C" fn queue_stats_rx(
        device: *mut bindings::net_device,
        index: c_int,
        stats: *mut bindings::netdev_queue_stats_rx,
    ) {
        // SAFETY: see `Table`.
        let (device, stats) = unsafe { (Device::<T>::from_raw(device), &mut *stats) };
        // CAST: the device has no more queues than that.
        T::queue_stats(device, index as u16).fill_rx(stats);
    }

    unsafe extern "C" fn queue_stats_tx(
        device: *mut bindings::net_device,
        index: c_int,
        stats: *mut bindings::netdev_queue_stats_tx,
    ) {
        // SAFETY: see `Table`.
        let (device, stats) = unsafe { (Device::<T>::from_raw(device), &mut *stats) };
        // CAST: the device has no more queues than that.
        T::queue_stats(device, index as u16).fill_tx(stats);
    }

    unsafe extern "C" fn base_stats(
        device: *mut bindings::net_device,
        rx: *mut bindings::netdev_queue_stats_rx,
        tx: *mut bindings::netdev_queue_stats_tx,
    ) {
        // SAFETY: see `Table`.
        let (device, rx, tx) = unsafe { (Device::<T>::from_raw(device), &mut *rx, &mut *tx) };
        let stats = T::base_stats(device);
        stats.fill_rx(rx);
        stats.fill_tx(tx);
    }
}

/// Tells the stack which packets are stamped.
fn put_stamps(config: &mut bindings::kernel_hwtstamp_config, stamps: Stamps) {
    // CAST: small numbers.
    config.tx_type = if stamps.tx {
        bindings::hwtstamp_tx_types_HWTSTAMP_TX_ON as c_int
    } else {
        bindings::hwtstamp_tx_types_HWTSTAMP_TX_OFF as c_int
    };
    config.rx_filter = if stamps.rx {
        bindings::hwtstamp_rx_filters_HWTSTAMP_FILTER_ALL as c_int
    } else {
        bindings::hwtstamp_rx_filters_HWTSTAMP_FILTER_NONE as c_int
    };
}

/// Returns where the MTU of a device is.
///
/// # Safety
///
/// `device` is valid.
pub(crate) unsafe fn mtu_of(device: *mut bindings::net_device) -> *mut u32 {
    // SAFETY: by the requirements of this function.
    unsafe { &raw mut (*device).mtu }
}
