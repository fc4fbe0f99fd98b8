// SPDX-License-Identifier: GPL-2.0

//! How a network device shows and provisions the VFs of its PCI function: `ip link set ... vf`.

use crate::{
    bindings,
    netdev::{
        Device,
        Operations, //
    },
    netdev_rtnl::Rtnl, //
};
use kernel::{
    error::from_result,
    prelude::*, //
};

/// How a VF is provisioned.
#[derive(Clone, Copy, Debug, Default)]
pub struct VfConfig {
    /// MAC address.
    pub mac: [u8; 6],
    /// VLAN that it is in, 0 for none.
    pub vlan: u16,
    /// Whether it may send from its own address only.
    pub spoof_check: bool,
    /// Whether it may do what others may not.
    pub trusted: bool,
    /// How its link is.
    pub link: VfLink,
    /// What it gets of the rate before others get more, and the rate that it sends at most, in Mbit/s; 0
    /// for none.
    pub rate: (u32, u32),
}

/// How the link of a VF is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum VfLink {
    /// As that of the PF.
    #[default]
    Auto,
    /// Up, whatever that of the PF is.
    Up,
    /// Down, whatever that of the PF is.
    Down,
}

impl VfLink {
    /// Returns what a user asks for.
    fn of(state: c_int) -> Option<Self> {
        // CAST: what is negative is nothing that there is.
        match state as u32 {
            bindings::IFLA_VF_LINK_STATE_AUTO => Some(Self::Auto),
            bindings::IFLA_VF_LINK_STATE_ENABLE => Some(Self::Up),
            bindings::IFLA_VF_LINK_STATE_DISABLE => Some(Self::Down),
            _ => None,
        }
    }

    /// Returns what a user is told.
    fn state(self) -> u32 {
        match self {
            Self::Auto => bindings::IFLA_VF_LINK_STATE_AUTO,
            Self::Up => bindings::IFLA_VF_LINK_STATE_ENABLE,
            Self::Down => bindings::IFLA_VF_LINK_STATE_DISABLE,
        }
    }
}

/// What a user wants changed of a VF.
#[derive(Clone, Copy, Debug)]
pub enum VfChange {
    /// The MAC address, which is one that a device can have or all zeros.
    Mac([u8; 6]),
    /// The VLAN that it is in, and the priority in tags of it.
    Vlan {
        /// Number, 0 for none.
        id: u16,
        /// Priority.
        priority: u8,
        /// EtherType of the tag.
        tpid: u16,
    },
    /// Whether it may send from its own address only.
    SpoofCheck(bool),
    /// Whether it may do what others may not.
    Trust(bool),
    /// How its link is.
    Link(VfLink),
    /// What it gets of the rate before others get more, and the rate that it sends at most, in Mbit/s; 0
    /// for none.
    Rate {
        /// What it gets.
        share: u32,
        /// What it sends at most.
        max: u32,
    },
}

/// Changes a VF.
///
/// # Safety
///
/// As for all of `netdev_ops::Table`; the stack holds the RTNL.
unsafe fn set<T: Operations>(
    device: *mut bindings::net_device,
    vf: c_int,
    change: VfChange,
) -> c_int {
    // SAFETY: by the requirements of this function.
    let (device, rtnl) = unsafe { (Device::<T>::from_raw(device), Rtnl::assume()) };
    from_result(|| {
        let vf = u16::try_from(vf).map_err(|_| EINVAL)?;
        T::set_vf(device, rtnl, vf, change).map(|()| 0)
    })
}

/// # Safety
///
/// As for all of `netdev_ops::Table`.
pub(crate) unsafe extern "C" fn get_config<T: Operations>(
    device: *mut bindings::net_device,
    vf: c_int,
    info: *mut bindings::ifla_vf_info,
) -> c_int {
    // SAFETY: by the requirements of this function; the stack holds the RTNL.
    let (device, rtnl) = unsafe { (Device::<T>::from_raw(device), Rtnl::assume()) };
    from_result(|| {
        let index = u16::try_from(vf).map_err(|_| EINVAL)?;
        let config = T::vf_config(device, rtnl, index)?;
        // SAFETY: the stack passes a valid struct to fill.
        let info = unsafe { &mut *info };
        info.vf = index.into();
        info.mac[..6].copy_from_slice(&config.mac);
        info.vlan = config.vlan.into();
        info.spoofchk = config.spoof_check.into();
        info.trusted = config.trusted.into();
        info.linkstate = config.link.state();
        (info.min_tx_rate, info.max_tx_rate) = config.rate;
        Ok(0)
    })
}

/// # Safety
///
/// As for all of `netdev_ops::Table`.
pub(crate) unsafe extern "C" fn set_mac<T: Operations>(
    device: *mut bindings::net_device,
    vf: c_int,
    mac: *mut u8,
) -> c_int {
    // SAFETY: the stack passes an address of six bytes at least.
    let mac = unsafe { mac.cast::<[u8; 6]>().read() };
    // SAFETY: by the requirements of this function.
    unsafe { set::<T>(device, vf, VfChange::Mac(mac)) }
}

/// # Safety
///
/// As for all of `netdev_ops::Table`.
pub(crate) unsafe extern "C" fn set_vlan<T: Operations>(
    device: *mut bindings::net_device,
    vf: c_int,
    id: u16,
    priority: u8,
    tpid: u16,
) -> c_int {
    let change = VfChange::Vlan {
        id,
        priority,
        tpid: u16::from_be(tpid),
    };
    // SAFETY: by the requirements of this function.
    unsafe { set::<T>(device, vf, change) }
}

/// # Safety
///
/// As for all of `netdev_ops::Table`.
pub(crate) unsafe extern "C" fn set_spoof_check<T: Operations>(
    device: *mut bindings::net_device,
    vf: c_int,
    on: bool,
) -> c_int {
    // SAFETY: by the requirements of this function.
    unsafe { set::<T>(device, vf, VfChange::SpoofCheck(on)) }
}

/// # Safety
///
/// As for all of `netdev_ops::Table`.
pub(crate) unsafe extern "C" fn set_trust<T: Operations>(
    device: *mut bindings::net_device,
    vf: c_int,
    on: bool,
) -> c_int {
    // SAFETY: by the requirements of this function.
    unsafe { set::<T>(device, vf, VfChange::Trust(on)) }
}

/// # Safety
///
/// As for all of `netdev_ops::Table`.
pub(crate) unsafe extern "C" fn set_link_state<T: Operations>(
    device: *mut bindings::net_device,
    vf: c_int,
    state: c_int,
) -> c_int {
    let Some(link) = VfLink::of(state) else {
        return EINVAL.to_errno();
    };
    // SAFETY: by the requirements of this function.
    unsafe { set::<T>(device, vf, VfChange::Link(link)) }
}

/// # Safety
///
/// As for all of `netdev_ops::Table`.
pub(crate) unsafe extern "C" fn set_rate<T: Operations>(
    device: *mut bindings::net_device,
    vf: c_int,
    share: c_int,
    max: c_int,
) -> c_int {
    let (Ok(share), Ok(max)) = (u32::try_from(share), u32::try_from(max)) else {
        return EINVAL.to_errno();
    };
    // SAFETY: by the requirements of this function.
    unsafe { set::<T>(device, vf, VfChange::Rate { share, max }) }
}
