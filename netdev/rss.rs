// SPDX-License-Identifier: GPL-2.0

//! Receive side scaling, as users see and set it.

use crate::{
    logic::rss::Context,
    port::Port, //
};
use ferrite_abi::cmd::{
    RssFields,
    RssFlow,
    RssTransform,
    MAX_RSS_TABLE,
    RSS_KEY, //
};
use kernel::prelude::*;
use kernel_ext::{
    devlink::{
        not_supported,
        ExtAck, //
    },
    ethtool::rss::{
        default_key,
        Change,
        Context as Told,
        Fields,
        FlowType,
        Rss,
        Transform, //
    },
    netdev::{
        Device,
        Lock, //
    },
};

/// The fields that both sides know.
const FIELDS: [(Fields, RssFields); 5] = [
    (Fields::SRC_IP, RssFields::SRC_IP),
    (Fields::DST_IP, RssFields::DST_IP),
    (Fields::SRC_PORT, RssFields::SRC_PORT),
    (Fields::DST_PORT, RssFields::DST_PORT),
    (Fields::FLOW_LABEL, RssFields::FLOW_LABEL),
];

/// Returns the kind of packets as the device names it, [`None`] if it does not tell them apart.
fn flow(flow: FlowType) -> Option<RssFlow> {
    Some(match flow {
        FlowType::TCP4 => RssFlow::TCP4,
        FlowType::UDP4 => RssFlow::UDP4,
        FlowType::TCP6 => RssFlow::TCP6,
        FlowType::UDP6 => RssFlow::UDP6,
        FlowType::IP4 => RssFlow::IP4,
        FlowType::IP6 => RssFlow::IP6,
        _ => return None,
    })
}

/// Changes a copy of a context, which has tables of `entries`.
fn change(
    context: &mut Context,
    change: &Change<'_>,
    entries: u16,
    extack: &mut ExtAck<'_>,
) -> Result {
    if let Some(table) = change.table {
        if table.len() != usize::from(entries) || !context.set_table(table) {
            return Err(EINVAL);
        }
    }
    if let Some(key) = change.key {
        context.key = key.try_into().map_err(|_| EINVAL)?;
    }
    if let Some(transform) = change.transform {
        let wanted = match transform {
            Transform::NONE => RssTransform::NONE,
            Transform::XOR => RssTransform::XOR,
            Transform::OR_XOR => RssTransform::OR_XOR,
            _ => return Err(not_supported()),
        };
        if !context.set_transform(wanted) {
            extack.set(format_args!(
                "a symmetric hash needs source and destination to be hashed together"
            ));
            return Err(EINVAL);
        }
    }
    Ok(())
}

fn transform(context: &Context) -> Transform {
    match context.transform {
        RssTransform::XOR => Transform::XOR,
        RssTransform::OR_XOR => Transform::OR_XOR,
        _ => Transform::NONE,
    }
}

/// Changes a context that there is.
fn modify(
    device: &Device<Port>,
    number: u32,
    wanted: &Change<'_>,
    extack: &mut ExtAck<'_>,
) -> Result {
    let port = device.data().get_ref();
    let mut control = port.control.lock();
    let queues = control.config.pairs;
    let steering = &mut control.steering;
    if wanted
        .transform
        .is_some_and(|wanted| wanted != Transform::NONE)
        && !steering.limits.choice
    {
        extack.set(format_args!("the device has no symmetric hash"));
        return Err(not_supported());
    }
    let mut context = steering.context(number).ok_or(ENOENT)?.clone();
    change(&mut context, wanted, steering.entries(), extack)?;
    // CAST: the number of a context that there is.
    let number = number as u16;
    let highest = u32::from(context.highest(steering.entries())) + steering.added_to(number);
    if highest >= queues.into() {
        extack.set(format_args!(
            "a filter that adds to the table would lead to queue {highest}, there are {queues}"
        ));
        return Err(EINVAL);
    }
    steering.set_context(&port.function, number, &context)
}

#[vtable]
impl Rss for Port {
    const TABLE_SPACE: u32 = MAX_RSS_TABLE as u32;
    const TRANSFORMS: Transform = Transform::XOR.with(Transform::OR_XOR);

    fn rss_size(device: &Device<Self>) -> (u32, u32) {
        match device.data().control.lock().steering.entries() {
            0 => (0, 0),
            entries => (entries.into(), RSS_KEY as u32),
        }
    }

    fn rss(device: &Device<Self>, table: &mut [u32], key: &mut [u8]) -> Transform {
        let control = device.data().get_ref().control.lock();
        let steering = &control.steering;
        let Some(context) = steering.context(0) else {
            return Transform::NONE;
        };
        for (to, queue) in table.iter_mut().zip(context.table(steering.entries())) {
            *to = (*queue).into();
        }
        for (to, byte) in key.iter_mut().zip(context.key) {
            *to = byte;
        }
        transform(context)
    }

    fn set_rss(
        device: &Device<Self>,
        _lock: &Lock,
        change: &Change<'_>,
        extack: &mut ExtAck<'_>,
    ) -> Result {
        modify(device, 0, change, extack)
    }

    fn create_rss_context(
        device: &Device<Self>,
        _lock: &Lock,
        number: u32,
        wanted: &Change<'_>,
        told: &mut Told<'_>,
        extack: &mut ExtAck<'_>,
    ) -> Result {
        let port = device.data().get_ref();
        let mut control = port.control.lock();
        let queues = control.config.pairs;
        let steering = &mut control.steering;
        let most = steering.limits.contexts;
        if most == 0 {
            extack.set(format_args!("the device has no further contexts"));
            return Err(not_supported());
        }
        let number = u16::try_from(number).ok().filter(|number| *number <= most);
        let Some(number) = number else {
            extack.set(format_args!("the device has contexts 1 to {most}"));
            return Err(ENOSPC);
        };
        let entries = steering.entries();
        // Over no more queues than there are processors, so that the others can be taken away.
        let spread = queues.min(Port::default_pairs(&port.function));
        let mut context = Context::new(default_key(), spread);
        // What of a default is beyond the size of the table is none of it.
        context.cut(entries);
        change(&mut context, wanted, entries, extack)?;
        let mut table = [0; MAX_RSS_TABLE];
        for (to, queue) in table.iter_mut().zip(context.table(entries)) {
            *to = (*queue).into();
        }
        told.fill(
            &table[..usize::from(entries)],
            &context.key,
            transform(&context),
        )?;
        steering.add_context(&port.function, number, &context)
    }

    fn modify_rss_context(
        device: &Device<Self>,
        _lock: &Lock,
        number: u32,
        change: &Change<'_>,
        extack: &mut ExtAck<'_>,
    ) -> Result {
        modify(device, number, change, extack)
    }

    fn remove_rss_context(
        device: &Device<Self>,
        _lock: &Lock,
        number: u32,
        _extack: &mut ExtAck<'_>,
    ) -> Result {
        let port = device.data().get_ref();
        let number = u16::try_from(number).map_err(|_| ENOENT)?;
        let mut control = port.control.lock();
        control.steering.remove_context(&port.function, number)
    }

    fn rss_fields(device: &Device<Self>, number: u32, kind: FlowType) -> Result<Fields> {
        let control = device.data().get_ref().control.lock();
        let steering = &control.steering;
        let flow = flow(kind).filter(|_| steering.limits.table != 0);
        let chosen = steering
            .context(number)
            .ok_or(ENOENT)?
            .fields(flow.ok_or_else(not_supported)?)
            .ok_or_else(not_supported)?;
        let mut fields = Fields::NONE;
        for (theirs, ours) in FIELDS {
            if chosen.contains(ours) {
                fields = fields.with(theirs);
            }
        }
        Ok(fields)
    }

    fn set_rss_fields(
        device: &Device<Self>,
        _lock: &Lock,
        number: u32,
        kind: FlowType,
        fields: Fields,
        extack: &mut ExtAck<'_>,
    ) -> Result {
        let port = device.data().get_ref();
        let mut control = port.control.lock();
        let steering = &mut control.steering;
        let Some(flow) = flow(kind).filter(|_| steering.limits.choice) else {
            extack.set(format_args!(
                "nothing can be chosen for packets of this kind"
            ));
            return Err(not_supported());
        };
        let mut chosen = RssFields(0);
        let mut known = Fields::NONE;
        for (theirs, ours) in FIELDS {
            known = known.with(theirs);
            if fields.contains(theirs) {
                chosen = chosen.with(ours);
            }
        }
        let mut context = steering.context(number).ok_or(ENOENT)?.clone();
        if !fields.is_within(known) || !context.set_fields(flow, chosen) {
            extack.set(format_args!(
                "packets of this kind have no such fields, or a symmetric hash is in the way"
            ));
            return Err(EINVAL);
        }
        // CAST: the number of a context that there is.
        steering.set_context(&port.function, number as u16, &context)
    }
}
