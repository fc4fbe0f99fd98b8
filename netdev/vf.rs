// SPDX-License-Identifier: GPL-2.0

//! VFs as `ip link` shows and provisions them through the network device of their PF, in legacy
//! mode. In switchdev mode that is the business of the VF's devlink port.

use crate::{
    logic::flow::VLAN,
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
        QueryFunctionConfig, //
    },
    ids::FunctionId,
    wire::U16, //
};
use kernel::prelude::*;
use kernel_ext::{
    flow::not_supported,
    netdev::{
        Device,
        VfChange,
        VfConfig, //
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
    let (_, config) = find(device, vf)?;
    let caps = FunctionCaps(config.caps.get());
    Ok(VfConfig {
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
