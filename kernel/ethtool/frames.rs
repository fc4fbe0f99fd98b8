// SPDX-License-Identifier: GPL-2.0

//! Counters of frames that standards define: those of the MAC (IEEE 802.3), of MAC control, and of remote
//! monitoring (RFC 2819), as `ethtool -S DEV --groups eth-mac eth-ctrl rmon` shows them.

use crate::{
    bindings,
    netdev::{
        self,
        Device, //
    }, //
};
use core::marker::PhantomData;
use kernel::prelude::*;

/// Largest number of classes of lengths.
pub const MAX_CLASSES: usize = bindings::ETHTOOL_RMON_HIST_MAX as usize;

/// What a driver knows of frames.
#[vtable]
pub trait Frames: netdev::Operations {
    /// Shortest and longest frame of each class of lengths, at most [`MAX_CLASSES`].
    const CLASSES: &'static [(u16, u16)] = &[];

    /// Returns the counters, or [`None`] if there are none to be had.
    fn frames(device: &Device<Self>) -> Option<FrameCounters> {
        let _ = device;
        build_error!(kernel::error::VTABLE_DEFAULT_ERROR)
    }
}

/// Counters of frames.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FrameCounters {
    /// Those sent.
    pub tx: DirectionCounters,
    /// Those received.
    pub rx: DirectionCounters,
    /// Frames that were dropped for their length.
    pub too_long: u64,
}

/// Counters of the frames of one direction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DirectionCounters {
    /// All.
    pub frames: u64,
    /// Their bytes, with checksums.
    pub octets: u64,
    /// Those to a multicast address.
    pub multicast: u64,
    /// Those to the broadcast address.
    pub broadcast: u64,
    /// Those of MAC control.
    pub control: u64,
    /// Frames that the device lost by a fault of its own.
    pub lost: u64,
    /// Frames of each class of lengths.
    pub classes: [u64; MAX_CLASSES],
}

/// Returns the classes as C has them: those that are not used are zero.
const fn ranges(classes: &[(u16, u16)]) -> [bindings::ethtool_rmon_hist_range; MAX_CLASSES] {
    let none = bindings::ethtool_rmon_hist_range { low: 0, high: 0 };
    let mut ranges = [none; MAX_CLASSES];
    let mut index = 0;
    while index < classes.len() {
        let (low, high) = classes[index];
        ranges[index] = bindings::ethtool_rmon_hist_range { low, high };
        index += 1;
    }
    ranges
}

/// C functions for the table of a `T`, as [`super::Table`].
pub(super) struct Table<T: Frames>(PhantomData<T>);

#[expect(
    clippy::missing_safety_doc,
    reason = "what holds for all of them is said at `super::Table`"
)]
impl<T: Frames> Table<T> {
    const RANGES: [bindings::ethtool_rmon_hist_range; MAX_CLASSES] = ranges(T::CLASSES);
    const RANGES_REF: &'static [bindings::ethtool_rmon_hist_range; MAX_CLASSES] = &Self::RANGES;

    pub(super) unsafe extern "C" fn mac(
        device: *mut bindings::net_device,
        stats: *mut bindings::ethtool_eth_mac_stats,
    ) {
        // SAFETY: see `super::Table`.
        let (device, stats) = unsafe { (Device::<T>::from_raw(device), &mut *stats) };
        // What is not told is left as the core set it: not counted.
        let Some(FrameCounters { tx, rx, too_long }) = T::frames(device) else {
            return;
        };
        let group = &mut stats.__bindgen_anon_1;
        group.stats.FramesTransmittedOK = tx.frames;
        group.stats.OctetsTransmittedOK = tx.octets;
        group.stats.MulticastFramesXmittedOK = tx.multicast;
        group.stats.BroadcastFramesXmittedOK = tx.broadcast;
        group.stats.FramesLostDueToIntMACXmitError = tx.lost;
        group.stats.FramesReceivedOK = rx.frames;
        group.stats.OctetsReceivedOK = rx.octets;
        group.stats.MulticastFramesReceivedOK = rx.multicast;
        group.stats.BroadcastFramesReceivedOK = rx.broadcast;
        group.stats.FramesLostDueToIntMACRcvError = rx.lost;
        group.stats.FrameTooLongErrors = too_long;
    }

    pub(super) unsafe extern "C" fn control(
        device: *mut bindings::net_device,
        stats: *mut bindings::ethtool_eth_ctrl_stats,
    ) {
        // SAFETY: see `super::Table`.
        let (device, stats) = unsafe { (Device::<T>::from_raw(device), &mut *stats) };
        let Some(FrameCounters { tx, rx, .. }) = T::frames(device) else {
            return;
        };
        let group = &mut stats.__bindgen_anon_1;
        group.stats.MACControlFramesTransmitted = tx.control;
        group.stats.MACControlFramesReceived = rx.control;
    }

    pub(super) unsafe extern "C" fn rmon(
        device: *mut bindings::net_device,
        stats: *mut bindings::ethtool_rmon_stats,
        ranges: *mut *const bindings::ethtool_rmon_hist_range,
    ) {
        // SAFETY: see `super::Table`.
        let (device, stats) = unsafe { (Device::<T>::from_raw(device), &mut *stats) };
        let Some(FrameCounters { tx, rx, too_long }) = T::frames(device) else {
            return;
        };
        // SAFETY: the core passes a place for the address of the classes, which are there for ever.
        unsafe { *ranges = Self::RANGES_REF.as_ptr() };
        let group = &mut stats.__bindgen_anon_1;
        group.stats.oversize_pkts = too_long;
        group.stats.hist = rx.classes;
        group.stats.hist_tx = tx.classes;
    }
}

#[kunit_tests(ferrite_ethtool_frames)]
mod tests {
    use super::*;

    #[test]
    fn classes_end_with_one_that_is_zero() {
        let made = ranges(&[(64, 64), (65, 127)]);
        let bounds = |index: usize| (made[index].low, made[index].high);
        assert_eq!(bounds(0), (64, 64));
        assert_eq!(bounds(1), (65, 127));
        assert_eq!(bounds(2), (0, 0));
    }
}
