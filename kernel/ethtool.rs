// SPDX-License-Identifier: GPL-2.0

//! What users see and set with ethtool.
//!
//! All operations are called under the lock of the device, in process context.
//!
//! C header: [`include/linux/ethtool.h`](srctree/include/linux/ethtool.h)

use crate::{
    bindings,
    devlink::ExtAck,
    netdev::{
        self,
        Device, //
    },
    netdev_lock::{
        Lock,
        Locks, //
    },
    optional::optional, //
};
use core::{
    fmt::{
        self,
        Write, //
    },
    marker::PhantomData, //
};
use kernel::{
    error::from_result,
    prelude::*, //
};

pub mod diagnostics;
pub mod frames;
pub mod ntuple;
pub mod rss;

pub use diagnostics::Diagnostics;
pub use frames::Frames;
pub use ntuple::Ntuple;
pub use rss::Rss;

/// What a driver does for ethtool.
#[vtable]
pub trait Operations: Rss + Ntuple + Frames + Diagnostics {
    /// Tells of driver and firmware.
    fn drvinfo(device: &Device<Self>, info: &mut DrvInfo<'_>) {
        let _ = (device, info);
        build_error!(kernel::error::VTABLE_DEFAULT_ERROR)
    }

    /// Returns how many counters [`Operations::statistics`] has.
    fn statistics_count(device: &Device<Self>) -> usize {
        let _ = device;
        build_error!(kernel::error::VTABLE_DEFAULT_ERROR)
    }

    /// Tells names and values of the counters, in an order that does not change.
    fn statistics(device: &Device<Self>, statistics: &mut dyn Statistics) {
        let _ = (device, statistics);
        build_error!(kernel::error::VTABLE_DEFAULT_ERROR)
    }

    /// Tells of the rings.
    fn rings(device: &Device<Self>) -> Rings {
        let _ = device;
        build_error!(kernel::error::VTABLE_DEFAULT_ERROR)
    }

    /// Sets the rings. All numbers are at most the maximum.
    fn set_rings(
        device: &Device<Self>,
        locks: &Locks,
        wanted: RingsChange,
        extack: &mut ExtAck<'_>,
    ) -> Result {
        let _ = (device, locks, wanted, extack);
        build_error!(kernel::error::VTABLE_DEFAULT_ERROR)
    }

    /// Tells the number of queue pairs in use, and its maximum.
    fn channels(device: &Device<Self>) -> (u16, u16) {
        let _ = device;
        build_error!(kernel::error::VTABLE_DEFAULT_ERROR)
    }

    /// Sets the number of queue pairs in use, from 1 to the maximum.
    fn set_channels(
        device: &Device<Self>,
        locks: &Locks,
        count: u16,
        extack: &mut ExtAck<'_>,
    ) -> Result {
        let _ = (device, locks, count, extack);
        build_error!(kernel::error::VTABLE_DEFAULT_ERROR)
    }

    /// Tells the speed of the link in Mbit/s, if there is one.
    fn link_speed(device: &Device<Self>) -> Option<u32> {
        let _ = device;
        build_error!(kernel::error::VTABLE_DEFAULT_ERROR)
    }

    /// Sets the link.
    fn set_link(device: &Device<Self>, lock: &Lock, wanted: Link) -> Result {
        let _ = (device, lock, wanted);
        build_error!(kernel::error::VTABLE_DEFAULT_ERROR)
    }

    /// Tells how interrupts are moderated.
    fn coalesce(device: &Device<Self>) -> Coalesce {
        let _ = device;
        build_error!(kernel::error::VTABLE_DEFAULT_ERROR)
    }

    /// Sets how interrupts are moderated.
    fn set_coalesce(
        device: &Device<Self>,
        lock: &Lock,
        coalesce: Coalesce,
        extack: &mut ExtAck<'_>,
    ) -> Result {
        let _ = (device, lock, coalesce, extack);
        build_error!(kernel::error::VTABLE_DEFAULT_ERROR)
    }
}

/// What a user wants of the link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Link {
    /// Speed in Mbit/s, if any is named.
    pub speed: Option<u32>,
    /// Both ends may send at the same time, or it is not said.
    pub full_duplex: bool,
    /// Both ends negotiate.
    pub autoneg: bool,
}

/// How the interrupts of a queue are moderated.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Moderation {
    /// Least time between two in microseconds.
    pub usecs: u32,
    /// Packets after which one does not wait any longer, 0 for any number.
    pub packets: u32,
}

/// How interrupts are moderated.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Coalesce {
    /// Those of receive queues.
    pub rx: Moderation,
    /// Those of transmit queues.
    pub tx: Moderation,
    /// Those of receive queues follow their traffic.
    pub rx_adaptive: bool,
    /// Those of transmit queues follow their traffic.
    pub tx_adaptive: bool,
}

/// What a user wants of the rings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RingsChange {
    /// Depth of receive rings.
    pub rx: u32,
    /// Depth of transmit rings.
    pub tx: u32,
    /// Headers and data of received TCP segments come in buffers of their own.
    pub split: bool,
    /// Length of the longest packet that is not split.
    pub split_above: u32,
}

/// The rings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rings {
    /// Depth of receive rings.
    pub rx: u32,
    /// Depth of transmit rings.
    pub tx: u32,
    /// Largest depth of either.
    pub max: u32,
    /// Headers and data of received TCP segments come in buffers of their own.
    pub split: bool,
    /// Largest length of a packet that can be left whole.
    pub max_split_above: u32,
}

/// Takes the counters of a driver.
pub trait Statistics {
    /// Returns whether values are of interest, or names only.
    fn wants_values(&self) -> bool;

    /// Takes one.
    fn put(&mut self, name: fmt::Arguments<'_>, value: u64);
}

/// What is returned for what the driver does not know.
// CAST: errno values are small.
const NOT_SUPPORTED: c_int = -(kernel::bindings::EOPNOTSUPP as c_int);

/// Length of the name of a counter, and of most other texts.
const TEXT: usize = bindings::ETH_GSTRING_LEN as usize;

/// Copies text to a C string, cutting off what does not fit.
fn copy_text(to: &mut [c_char], text: fmt::Arguments<'_>) {
    struct Line<'a>(&'a mut [c_char], usize);
    impl Write for Line<'_> {
        fn write_str(&mut self, text: &str) -> fmt::Result {
            for byte in text.bytes() {
                if self.1 + 1 >= self.0.len() {
                    return Err(fmt::Error);
                }
                self.0[self.1] = byte as c_char;
                self.1 += 1;
            }
            Ok(())
        }
    }
    to.fill(0);
    // What does not fit is cut off, which is no error.
    let _ = Line(to, 0).write_fmt(text);
}

/// Names of counters, one after the other in memory of the core's.
struct Names<'a>(core::slice::ChunksExactMut<'a, c_char>);

impl Statistics for Names<'_> {
    fn wants_values(&self) -> bool {
        false
    }

    fn put(&mut self, name: fmt::Arguments<'_>, _value: u64) {
        if let Some(to) = self.0.next() {
            copy_text(to, name);
        }
    }
}

/// Values of counters.
struct Values<'a>(core::slice::IterMut<'a, u64>);

impl Statistics for Values<'_> {
    fn wants_values(&self) -> bool {
        true
    }

    fn put(&mut self, _name: fmt::Arguments<'_>, value: u64) {
        if let Some(to) = self.0.next() {
            *to = value;
        }
    }
}

/// What is told of driver and firmware.
pub struct DrvInfo<'a>(&'a mut bindings::ethtool_drvinfo);

impl DrvInfo<'_> {
    /// Sets the name of the driver.
    pub fn driver(&mut self, name: fmt::Arguments<'_>) -> &mut Self {
        copy_text(&mut self.0.driver, name);
        self
    }

    /// Sets the version of the firmware.
    pub fn firmware(&mut self, version: fmt::Arguments<'_>) -> &mut Self {
        copy_text(&mut self.0.fw_version, version);
        self
    }
}

/// Returns the bits at the start of the C table. `contexts` says whether there are contexts of receive
/// side scaling, each of which has a key and fields of its own.
const fn capabilities(
    transforms: rss::Transform,
    contexts: bool,
    adds_queue: bool,
) -> bindings::__BindgenBitfieldUnit<[u8; 2]> {
    let mut bits = 0;
    if contexts {
        // `rxfh_per_ctx_fields`, `rxfh_per_ctx_key`.
        bits |= 1 << 1 | 1 << 2;
    }
    if adds_queue {
        // `cap_rss_rxnfc_adds`.
        bits |= 1 << 3;
    }
    // `supported_input_xfrm` comes first. Bit fields begin at the lowest bit.
    bindings::__BindgenBitfieldUnit::new([transforms.bits(), bits])
}

#[kunit_tests(ferrite_ethtool)]
mod tests {
    use super::*;

    #[test]
    fn capabilities_are_where_c_has_them() {
        let ops = |transforms, contexts, adds_queue| bindings::ethtool_ops {
            _bitfield_1: capabilities(transforms, contexts, adds_queue),
            ..pin_init::zeroed()
        };
        let told = |ops: bindings::ethtool_ops| {
            [
                ops.supported_input_xfrm(),
                ops.cap_link_lanes_supported(),
                ops.rxfh_per_ctx_fields(),
                ops.rxfh_per_ctx_key(),
                ops.cap_rss_rxnfc_adds(),
            ]
        };
        let both = rss::Transform::XOR.with(rss::Transform::OR_XOR);
        assert_eq!(told(ops(both, false, false)), [3, 0, 0, 0, 0]);
        assert_eq!(
            told(ops(rss::Transform::NONE, true, false)),
            [0, 0, 1, 1, 0]
        );
        assert_eq!(
            told(ops(rss::Transform::NONE, false, true)),
            [0, 0, 0, 0, 1]
        );
    }
}

/// The C table of the operations of a `T`.
///
/// All functions here are called by ethtool's core only, with devices that have this table, so that
/// a [`Builder`](netdev::Builder) of `T` made them; they exist until the functions return, as do
/// the other arguments. The lock of the device is held; the RTNL is as well where `op_needs_rtnl` says so.
pub(crate) struct Table<T: Operations>(PhantomData<T>);

#[expect(
    clippy::missing_safety_doc,
    reason = "what holds for all of them is said at `Table`"
)]
impl<T: Operations> Table<T> {
    const OPS: bindings::ethtool_ops = bindings::ethtool_ops {
        _bitfield_1: capabilities(
            T::TRANSFORMS,
            T::HAS_CREATE_RSS_CONTEXT,
            <T as Ntuple>::ADDS_QUEUE,
        ),
        supported_coalesce_params: if T::HAS_SET_COALESCE {
            bindings::ferrite_ethtool_FERRITE_ETHTOOL_COALESCE
        } else {
            0
        },
        supported_ring_params: if T::HAS_SET_RINGS {
            bindings::ferrite_ethtool_FERRITE_ETHTOOL_RINGS
        } else {
            0
        },
        op_needs_rtnl: bindings::ferrite_ethtool_FERRITE_ETHTOOL_NEED_RTNL,
        get_drvinfo: optional!(HAS_DRVINFO, drvinfo),
        get_link: Some(bindings::ethtool_op_get_link),
        get_ts_info: if <T as netdev::Operations>::HAS_STAMPS {
            Some(Self::ts_info)
        } else {
            Some(bindings::ethtool_op_get_ts_info)
        },
        self_test: optional!(HAS_SELF_TEST, diagnostics::Table<T>, test),
        get_regs_len: optional!(HAS_REGISTERS, diagnostics::Table<T>, registers_len),
        get_regs: optional!(HAS_REGISTERS, diagnostics::Table<T>, registers),
        get_strings: optional!(HAS_STATISTICS, strings),
        get_sset_count: optional!(HAS_STATISTICS, sset_count),
        get_ethtool_stats: optional!(HAS_STATISTICS, statistics),
        get_ringparam: optional!(HAS_RINGS, rings),
        set_ringparam: optional!(HAS_SET_RINGS, set_rings),
        get_channels: optional!(HAS_CHANNELS, channels),
        set_channels: optional!(HAS_SET_CHANNELS, set_channels),
        get_rx_ring_count: optional!(HAS_CHANNELS, rx_ring_count),
        get_link_ksettings: optional!(HAS_LINK_SPEED, link_ksettings),
        set_link_ksettings: optional!(HAS_SET_LINK, set_link_ksettings),
        get_coalesce: optional!(HAS_COALESCE, coalesce),
        set_coalesce: optional!(HAS_SET_COALESCE, set_coalesce),
        get_rxfh_key_size: optional!(HAS_RSS, rss::Table<T>, key_size),
        get_rxfh_indir_size: optional!(HAS_RSS, rss::Table<T>, table_size),
        get_rxfh: optional!(HAS_RSS, rss::Table<T>, get),
        set_rxfh: optional!(HAS_SET_RSS, rss::Table<T>, set),
        get_rxfh_fields: optional!(HAS_RSS_FIELDS, rss::Table<T>, fields),
        set_rxfh_fields: optional!(HAS_SET_RSS_FIELDS, rss::Table<T>, set_fields),
        create_rxfh_context: optional!(HAS_CREATE_RSS_CONTEXT, rss::Table<T>, create),
        modify_rxfh_context: optional!(HAS_CREATE_RSS_CONTEXT, rss::Table<T>, modify),
        remove_rxfh_context: optional!(HAS_CREATE_RSS_CONTEXT, rss::Table<T>, remove),
        rxfh_indir_space: T::TABLE_SPACE,
        get_rxnfc: optional!(HAS_FILTER, ntuple::Table<T>, get),
        set_rxnfc: optional!(HAS_SET_FILTER, ntuple::Table<T>, set),
        get_eth_mac_stats: optional!(HAS_FRAMES, frames::Table<T>, mac),
        get_eth_ctrl_stats: optional!(HAS_FRAMES, frames::Table<T>, control),
        get_rmon_stats: optional!(HAS_FRAMES, frames::Table<T>, rmon),
        ..pin_init::zeroed()
    };
    pub(crate) const OPS_REF: &'static bindings::ethtool_ops = &Self::OPS;

    unsafe extern "C" fn drvinfo(
        device: *mut bindings::net_device,
        info: *mut bindings::ethtool_drvinfo,
    ) {
        // SAFETY: see `Table`.
        let (device, info) = unsafe { (Device::<T>::from_raw(device), &mut *info) };
        T::drvinfo(device, &mut DrvInfo(info));
    }

    unsafe extern "C" fn sset_count(device: *mut bindings::net_device, set: c_int) -> c_int {
        // SAFETY: see `Table`.
        let device = unsafe { Device::<T>::from_raw(device) };
        match set as u32 {
            bindings::ethtool_stringset_ETH_SS_STATS => T::statistics_count(device) as c_int,
            bindings::ethtool_stringset_ETH_SS_TEST if T::HAS_SELF_TEST => T::TESTS.len() as c_int,
            _ => NOT_SUPPORTED,
        }
    }

    unsafe extern "C" fn strings(device: *mut bindings::net_device, set: u32, to: *mut u8) {
        if set == bindings::ethtool_stringset_ETH_SS_TEST {
            // SAFETY: the core has room for as many names as `sset_count` told.
            let to = unsafe { core::slice::from_raw_parts_mut(to.cast(), T::TESTS.len() * TEXT) };
            diagnostics::names(T::TESTS, to);
            return;
        }
        if set != bindings::ethtool_stringset_ETH_SS_STATS {
            return;
        }
        // SAFETY: see `Table`. The core has room for as many names as `sset_count` told, with the
        // lock held throughout.
        let (device, to) = unsafe {
            let device = Device::<T>::from_raw(device);
            let len = T::statistics_count(device) * TEXT;
            (device, core::slice::from_raw_parts_mut(to.cast(), len))
        };
        T::statistics(device, &mut Names(to.chunks_exact_mut(TEXT)));
    }

    unsafe extern "C" fn statistics(
        device: *mut bindings::net_device,
        _stats: *mut bindings::ethtool_stats,
        to: *mut u64,
    ) {
        // SAFETY: see `Table`. The core has room for as many values as `sset_count` told, with the
        // lock held throughout.
        let (device, to) = unsafe {
            let device = Device::<T>::from_raw(device);
            let len = T::statistics_count(device);
            (device, core::slice::from_raw_parts_mut(to, len))
        };
        T::statistics(device, &mut Values(to.iter_mut()));
    }

    unsafe extern "C" fn rings(
        device: *mut bindings::net_device,
        ring: *mut bindings::ethtool_ringparam,
        kernel: *mut bindings::kernel_ethtool_ringparam,
        _extack: *mut bindings::netlink_ext_ack,
    ) {
        // SAFETY: see `Table`.
        let (device, ring, kernel) =
            unsafe { (Device::<T>::from_raw(device), &mut *ring, &mut *kernel) };
        let rings = T::rings(device);
        ring.rx_max_pending = rings.max;
        ring.tx_max_pending = rings.max;
        ring.rx_pending = rings.rx;
        ring.tx_pending = rings.tx;
        // The core knows the threshold, and what the user chose; this is what came of it.
        // CAST: small numbers.
        kernel.tcp_data_split = if rings.split {
            bindings::ferrite_ethtool_FERRITE_ETHTOOL_SPLIT_ENABLED as u8
        } else {
            bindings::ferrite_ethtool_FERRITE_ETHTOOL_SPLIT_DISABLED as u8
        };
        kernel.hds_thresh_max = rings.max_split_above;
    }

    unsafe extern "C" fn set_rings(
        device: *mut bindings::net_device,
        ring: *mut bindings::ethtool_ringparam,
        kernel: *mut bindings::kernel_ethtool_ringparam,
        extack: *mut bindings::netlink_ext_ack,
    ) -> c_int {
        // SAFETY: see `Table`.
        let (device, locks, ring, kernel, mut extack) = unsafe {
            (
                Device::<T>::from_raw(device),
                Locks::assume(device),
                &*ring,
                &*kernel,
                ExtAck::from_raw(extack),
            )
        };
        let wanted = RingsChange {
            rx: ring.rx_pending,
            tx: ring.tx_pending,
            // Nothing is split unless the user wants it.
            split: u32::from(kernel.tcp_data_split)
                == bindings::ferrite_ethtool_FERRITE_ETHTOOL_SPLIT_ENABLED,
            split_above: kernel.hds_thresh,
        };
        from_result(|| T::set_rings(device, &locks, wanted, &mut extack).map(|()| 0))
    }

    unsafe extern "C" fn channels(
        device: *mut bindings::net_device,
        channels: *mut bindings::ethtool_channels,
    ) {
        // SAFETY: see `Table`.
        let (device, channels) = unsafe { (Device::<T>::from_raw(device), &mut *channels) };
        let (count, max) = T::channels(device);
        channels.max_combined = max.into();
        channels.combined_count = count.into();
    }

    unsafe extern "C" fn set_channels(
        device: *mut bindings::net_device,
        channels: *mut bindings::ethtool_channels,
    ) -> c_int {
        // SAFETY: see `Table`.
        let (device, locks, channels) = unsafe {
            (
                Device::<T>::from_raw(device),
                Locks::assume(device),
                &*channels,
            )
        };
        // SAFETY: null is a valid `ExtAck`: this operation has none.
        let mut extack = unsafe { ExtAck::from_raw(core::ptr::null_mut()) };
        from_result(|| {
            let count = u16::try_from(channels.combined_count)?;
            if count == 0 {
                return Err(EINVAL);
            }
            T::set_channels(device, &locks, count, &mut extack).map(|()| 0)
        })
    }

    unsafe extern "C" fn rx_ring_count(device: *mut bindings::net_device) -> u32 {
        // SAFETY: see `Table`.
        let device = unsafe { Device::<T>::from_raw(device) };
        T::channels(device).0.into()
    }

    unsafe extern "C" fn link_ksettings(
        device: *mut bindings::net_device,
        settings: *mut bindings::ethtool_link_ksettings,
    ) -> c_int {
        // SAFETY: see `Table`.
        let (device, base) = unsafe { (Device::<T>::from_raw(device), &mut (*settings).base) };
        let speed = T::link_speed(device);
        base.speed = speed.unwrap_or(bindings::SPEED_UNKNOWN as u32);
        base.duplex = match speed {
            Some(_) => bindings::DUPLEX_FULL as u8,
            None => bindings::DUPLEX_UNKNOWN as u8,
        };
        base.autoneg = bindings::AUTONEG_DISABLE as u8;
        base.port = bindings::PORT_OTHER as u8;
        0
    }

    unsafe extern "C" fn set_link_ksettings(
        device: *mut bindings::net_device,
        settings: *const bindings::ethtool_link_ksettings,
    ) -> c_int {
        // SAFETY: see `Table`.
        let (device, lock, base) = unsafe {
            (
                Device::<T>::from_raw(device),
                Lock::assume(device),
                &(*settings).base,
            )
        };
        let wanted = Link {
            // A link that is down has no speed, which is passed on if the user does not name one.
            speed: Some(base.speed).filter(|speed| *speed != bindings::SPEED_UNKNOWN as u32),
            full_duplex: u32::from(base.duplex) != bindings::DUPLEX_HALF,
            autoneg: u32::from(base.autoneg) != bindings::AUTONEG_DISABLE,
        };
        from_result(|| T::set_link(device, &lock, wanted).map(|()| 0))
    }

    unsafe extern "C" fn coalesce(
        device: *mut bindings::net_device,
        coalesce: *mut bindings::ethtool_coalesce,
        _kernel: *mut bindings::kernel_ethtool_coalesce,
        _extack: *mut bindings::netlink_ext_ack,
    ) -> c_int {
        // SAFETY: see `Table`.
        let (device, coalesce) = unsafe { (Device::<T>::from_raw(device), &mut *coalesce) };
        let Coalesce {
            rx,
            tx,
            rx_adaptive,
            tx_adaptive,
        } = T::coalesce(device);
        coalesce.use_adaptive_rx_coalesce = rx_adaptive.into();
        coalesce.use_adaptive_tx_coalesce = tx_adaptive.into();
        coalesce.rx_coalesce_usecs = rx.usecs;
        coalesce.rx_max_coalesced_frames = rx.packets;
        coalesce.tx_coalesce_usecs = tx.usecs;
        coalesce.tx_max_coalesced_frames = tx.packets;
        0
    }

    unsafe extern "C" fn ts_info(
        device: *mut bindings::net_device,
        info: *mut bindings::kernel_ethtool_ts_info,
    ) -> c_int {
        // SAFETY: the core passes both, and they are valid.
        unsafe {
            bindings::ethtool_op_get_ts_info(device, info);
            let info = &mut *info;
            info.so_timestamping |= bindings::SOF_TIMESTAMPING_TX_HARDWARE
                | bindings::SOF_TIMESTAMPING_RX_HARDWARE
                | bindings::SOF_TIMESTAMPING_RAW_HARDWARE;
            info.tx_types = 1 << bindings::hwtstamp_tx_types_HWTSTAMP_TX_OFF
                | 1 << bindings::hwtstamp_tx_types_HWTSTAMP_TX_ON;
            info.rx_filters = 1 << bindings::hwtstamp_rx_filters_HWTSTAMP_FILTER_NONE
                | 1 << bindings::hwtstamp_rx_filters_HWTSTAMP_FILTER_ALL;
            if <T as netdev::Operations>::HAS_CLOCK_INDEX {
                info.phc_index = T::clock_index(Device::<T>::from_raw(device));
            }
        }
        0
    }

    unsafe extern "C" fn set_coalesce(
        device: *mut bindings::net_device,
        coalesce: *mut bindings::ethtool_coalesce,
        _kernel: *mut bindings::kernel_ethtool_coalesce,
        extack: *mut bindings::netlink_ext_ack,
    ) -> c_int {
        // SAFETY: see `Table`.
        let (device, lock, coalesce, mut extack) = unsafe {
            (
                Device::<T>::from_raw(device),
                Lock::assume(device),
                &*coalesce,
                ExtAck::from_raw(extack),
            )
        };
        let wanted = Coalesce {
            rx: Moderation {
                usecs: coalesce.rx_coalesce_usecs,
                packets: coalesce.rx_max_coalesced_frames,
            },
            tx: Moderation {
                usecs: coalesce.tx_coalesce_usecs,
                packets: coalesce.tx_max_coalesced_frames,
            },
            rx_adaptive: coalesce.use_adaptive_rx_coalesce != 0,
            tx_adaptive: coalesce.use_adaptive_tx_coalesce != 0,
        };
        from_result(|| T::set_coalesce(device, &lock, wanted, &mut extack).map(|()| 0))
    }
}
