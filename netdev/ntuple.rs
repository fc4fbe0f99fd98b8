// SPDX-License-Identifier: GPL-2.0

//! Filters of received packets, as users see and set them.

use crate::{
    logic::ntuple::{
        locate,
        Place, //
    },
    port::Port,
    steering::{
        Rule,
        Steering, //
    },
};
use ferrite_abi::{
    cmd,
    cmd::{
        FilterAction,
        RuleKey,
        SetFilter, //
    },
    wire::{
        IntoBytes,
        U16, //
    },
};
use kernel::prelude::*;
use kernel_ext::{
    devlink::not_supported,
    ethtool::ntuple::{
        Fields,
        Filter,
        Ntuple,
        Place as Wanted,
        Target, //
    },
    netdev::{
        Device,
        Lock, //
    },
};

/// EtherType of the VLAN tags that the device knows.
const VLAN: u16 = 0x8100;

/// Returns fields, or the bits of them that count, as the device has them.
fn key(fields: &Fields) -> RuleKey {
    RuleKey {
        dst_mac: fields.dst_mac,
        src_mac: fields.src_mac,
        eth_type: U16::new(fields.eth_type),
        vlan_tci: U16::new(fields.vlan_tci),
        ip_proto: fields.ip_proto,
        tos: fields.tos,
        src_ip: fields.src_ip,
        dst_ip: fields.dst_ip,
        src_port: U16::new(fields.src_port),
        dst_port: U16::new(fields.dst_port),
        ..RuleKey::default()
    }
}

/// Returns what a filter is for as the device has it.
fn filter(user: &Filter) -> Result<cmd::Filter> {
    let pattern = user.pattern()?;
    let mut filter = cmd::Filter {
        key: key(&pattern.fields),
        mask: key(&pattern.mask),
    };
    match (pattern.fields.vlan_type, pattern.mask.vlan_type) {
        (_, 0) => {}
        (VLAN, u16::MAX) => (filter.key.tagged, filter.mask.tagged) = (1, u8::MAX),
        _ => return Err(not_supported()),
    }
    Ok(filter)
}

/// Returns the command that sets a filter, but for its location.
fn command(steering: &Steering, user: &Filter) -> Result<SetFilter> {
    let (action, queue, context) = match user.target()? {
        Target::Drop => (FilterAction::DROP, 0, 0),
        Target::Queue(queue) => (FilterAction::QUEUE, queue, 0),
        Target::Context(context, added) => {
            // Context 0 is as good as none where there is no scaling.
            steering.context(context).ok_or(EINVAL)?;
            (FilterAction::RSS, added, context)
        }
    };
    let number = |number| u16::try_from(number).map(U16::new).map_err(|_| EINVAL);
    Ok(SetFilter {
        location: U16::new(0),
        action: U16::new(action.0),
        queue: number(queue)?,
        context: number(context)?,
    })
}

#[vtable]
impl Ntuple for Port {
    const ADDS_QUEUE: bool = true;

    fn filter_count(device: &Device<Self>) -> (u32, u32) {
        let control = device.data().get_ref().control.lock();
        let steering = &control.steering;
        // CAST: no more than there are locations, the number of which has 16 bits.
        (
            steering.rules().len() as u32,
            steering.limits.filters.into(),
        )
    }

    fn filter_locations(device: &Device<Self>, tell: &mut dyn FnMut(u32) -> bool) {
        let control = device.data().get_ref().control.lock();
        let mut rules = control.steering.rules().iter();
        let _ = rules.all(|rule| tell(rule.location().into()));
    }

    fn filter(device: &Device<Self>, location: u32) -> Result<Filter> {
        let control = device.data().get_ref().control.lock();
        let mut rules = control.steering.rules().iter();
        let rule = rules.find(|rule| u32::from(rule.location()) == location);
        rule.map(|rule| rule.user).ok_or(ENOENT)
    }

    fn set_filter(device: &Device<Self>, _lock: &Lock, user: &Filter) -> Result<u32> {
        let port = device.data().get_ref();
        let mut control = port.control.lock();
        let queues = control.config.pairs;
        let steering = &mut control.steering;
        let limits = steering.limits;
        if limits.filters == 0 {
            return Err(not_supported());
        }
        let filter = filter(user)?;
        let is_same = |rule: &&Rule| rule.filter.as_bytes() == filter.as_bytes();
        let place = match user.location()? {
            Wanted::At(at) => Place::At(at),
            Wanted::First => Place::First,
            Wanted::Last => Place::Last,
            Wanted::Any => match steering.rules().iter().find(is_same) {
                Some(rule) => Place::At(rule.location().into()),
                None => Place::First,
            },
        };
        let taken = steering.rules().iter().map(Rule::location);
        let location = locate(place, taken, limits.filters).ok_or(match place {
            Place::At(_) => EINVAL,
            _ => ENOSPC,
        })?;
        let rule = Rule {
            user: user.at(location.into()),
            command: SetFilter {
                location: U16::new(location),
                ..command(steering, user)?
            },
            filter,
        };
        if steering.reach(&rule) >= queues.into() {
            return Err(EINVAL);
        }
        steering.set_rule(&port.function, rule)?;
        Ok(location.into())
    }

    fn remove_filter(device: &Device<Self>, _lock: &Lock, location: u32) -> Result {
        let port = device.data().get_ref();
        let mut control = port.control.lock();
        control.steering.remove_rule(&port.function, location)
    }
}
