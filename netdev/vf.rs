// SPDX-License-Identifier: GPL-2.0

//! VFs as `ip link` shows and provisions them through the network device of their PF, in legacy
//! mode. In switchdev mode that is the business of the VF's devlink port.

use crate::{
    logic::{
        flow::VLAN,
        rate::{
            bytes,
            megabits, //
        },
    },
    port::Port, //
};
use ferrite_abi::{
    cmd::{
        ConfigureFunction,
        EswitchMode,
        FunctionCaps,
        FunctionConfig,
        FunctionFields,
        QueryEswitch,
        QueryFunctionConfig,
        QueryRate,
        Rate,
        SetRate,
        RATE_ROOT, //
    },
    ids::FunctionId,
    wire::{
        U16,
        U64, //
    },
};
use kernel::prelude::*;
use kernel_ext::{
    flow::not_supported,
    netdev::{
        Device,
        VfChange,
        VfConfig,
        VfLink, //
    },
};

/// Returns the id of a VF, and how it is provisioned.
///
/// # Errors
///
/// `EOPNOTSUPP` for all devices but those of PFs, and in switchdev mode; `EINVAL` for a VF that there
/// cannot be; those of `CmdError`.
fn find(device: &Device<Port>, vf: u16) -> Result<(FunctionId, FunctionConfig)> {
    let function = &device.data().get_ref().function;
    if function.id() != FunctionId::PF {
        return Err(not_supported());
    }
    let id = FunctionId::vf(vf).ok_or(EINVAL)?;
    let eswitch = function.about(FunctionId::PF).send(QueryEswitch {})?;
    if EswitchMode(eswitch.mode.get()) != EswitchMode::LEGACY {
        return Err(not_supported());
    }
    Ok((id, function.about(id).send(QueryFunctionConfig {})?))
}

/// Returns how a VF is provisioned.
///
/// # Errors
///
/// Those of [`find`].
pub(crate) fn config(device: &Device<Port>, vf: u16) -> Result<VfConfig> {
    let (id, config) = find(device, vf)?;
    let caps = FunctionCaps(config.caps.get());
    let rate = rate(device, id)?;
    Ok(VfConfig {
        link: link(caps),
        rate: (megabits(rate.tx_share.get()), megabits(rate.tx_max.get())),
        mac: config.mac,
        vlan: config.vlan.get(),
        spoof_check: caps.contains(FunctionCaps::SPOOF_CHECK),
        trusted: caps.contains(FunctionCaps::TRUSTED),
    })
}

/// Provisions a VF anew.
///
/// # Errors
///
/// Those of [`find`]; `EINVAL` for an address that no device can have, and for tags that the switch
/// does not make.
pub(crate) fn set(device: &Device<Port>, vf: u16, change: VfChange) -> Result {
    let (id, config) = find(device, vf)?;
    let mut command = ConfigureFunction::default();
    let mut caps = FunctionCaps(config.caps.get());
    let field = match change {
        VfChange::Mac(mac) => {
            command.mac = mac;
            FunctionFields::MAC
        }
        VfChange::Vlan { id, priority, tpid } => {
            if id != 0 && tpid != VLAN || priority != 0 {
                return Err(EINVAL);
            }
            command.vlan = U16::new(id);
            FunctionFields::VLAN
        }
        VfChange::SpoofCheck(on) => {
            caps = with(caps, FunctionCaps::SPOOF_CHECK, on);
            FunctionFields::CAPS
        }
        VfChange::Trust(on) => {
            caps = with(caps, FunctionCaps::TRUSTED, on);
            FunctionFields::CAPS
        }
        VfChange::Link(link) => {
            caps = with(caps, FunctionCaps::LINK_UP, link == VfLink::Up);
            caps = with(caps, FunctionCaps::LINK_DOWN, link == VfLink::Down);
            FunctionFields::CAPS
        }
        VfChange::Rate { share, max } => return set_rate(device, id, share, max),
    };
    command.mask = U16::new(field.0);
    if field == FunctionFields::CAPS {
        command.caps = U16::new(caps.0);
    }
    Ok(device.data().function.about(id).send(command)?)
}

fn with(caps: FunctionCaps, cap: FunctionCaps, on: bool) -> FunctionCaps {
    if on {
        caps.with(cap)
    } else {
        FunctionCaps(caps.0 & !cap.0)
    }
}

/// Returns how the link of a VF is held.
fn link(caps: FunctionCaps) -> VfLink {
    if caps.contains(FunctionCaps::LINK_UP) {
        VfLink::Up
    } else if caps.contains(FunctionCaps::LINK_DOWN) {
        VfLink::Down
    } else {
        VfLink::Auto
    }
}

/// Returns the rate of a VF.
fn rate(device: &Device<Port>, id: FunctionId) -> Result<Rate> {
    let function = &device.data().get_ref().function;
    let query = QueryRate {
        node: U16::new(RATE_ROOT),
        rsvd: [0; 2],
    };
    let mut rate = Rate::default();
    function.about(id).fetch(query, &mut rate)?;
    Ok(rate)
}

/// Sets the rate of a VF, and leaves what users cannot say in this way.
fn set_rate(device: &Device<Port>, id: FunctionId, share: u32, max: u32) -> Result {
    if max != 0 && share > max {
        return Err(EINVAL);
    }
    let rate = Rate {
        tx_share: U64::new(bytes(share)),
        tx_max: U64::new(bytes(max)),
        ..rate(device, id)?
    };
    let command = SetRate {
        node: U16::new(RATE_ROOT),
        parent: U16::new(RATE_ROOT),
    };
    let function = &device.data().get_ref().function;
    Ok(function.about(id).send_with(command, &rate)?)
}
