// SPDX-License-Identifier: GPL-2.0

//! Rules of the stack that the switch carries out: those of the uplink and of representors.
//!
//! What the device is told is made in [`crate::logic::flow`]; this is the list of rules that it was
//! told. The device forgets a rule when a port that it names goes: frames then take the slow way, on
//! which the stack knows the rule. After a reset it is told all of them again.

use crate::{
    logic::flow::{
        Frames,
        Masked,
        Refusal,
        Steps,
        SwitchPort,
        Told, //
    },
    port::Port, //
};
use ferrite_abi::{
    admin::Status,
    cmd::{
        AddRule,
        QueryRule,
        RemoveRule,
        Rule, //
    },
    ids::FunctionId,
    wire::U32, //
};
use ferrite_aux::{
    About,
    CmdError,
    Function, //
};
use kernel::{
    new_mutex,
    prelude::*,
    rbtree::{
        RBTree,
        RBTreeNodeReservation, //
    },
    sync::{
        atomic::{
            Atomic,
            Relaxed, //
        },
        Mutex, //
    },
};
use kernel_ext::{
    devlink::ExtAck,
    flow::{
        self,
        Action,
        Command,
        Control,
        Cookie,
        Counters,
        Target, //
    },
    netdev::{
        Device,
        Features, //
    },
};

/// The rules of a device that the switch carries out.
#[pin_data]
pub(crate) struct Rules {
    #[pin]
    list: Mutex<RBTree<Cookie, Entry>>,
    /// How many were ever added.
    added: Atomic<u64>,
}

/// A rule that the switch carries out.
struct Entry {
    /// Its number for the device.
    id: u32,
    /// How many were added before it.
    age: u64,
    rule: Rule,
    counts: bool,
    told: Told,
}

impl Rules {
    /// Returns an empty list.
    pub(crate) fn new() -> impl PinInit<Self> {
        pin_init!(Self {
            list <- new_mutex!(RBTree::new(), "ferrite_net_rules"),
            added: Atomic::new(0),
        })
    }

    /// Returns whether there are none.
    fn is_empty(&self) -> bool {
        self.list.lock().is_empty()
    }
}

/// Returns the feature of a function that is a port of the switch.
pub(crate) fn feature(function: &Function) -> Features {
    match SwitchPort::of(function.id()) {
        Ok(_) => Features::HW_TC,
        Err(_) => Features::NONE,
    }
}

/// Does what the stack wants of rules.
///
/// # Errors
///
/// `EOPNOTSUPP` for a rule that stays in software, and those of [`CmdError`].
pub(crate) fn command(device: &Device<Port>, command: Command<'_>) -> Result {
    match command {
        Command::Add(rule, mut extack) => add(device, &rule, &mut extack),
        Command::Remove(cookie) => remove(device, cookie),
        Command::Count(cookie, mut counters) => count(device, cookie, &mut counters),
    }
}

/// Checks that users may have `features`.
///
/// # Errors
///
/// `EBUSY` if rules are carried out and should not any more.
pub(crate) fn check_features(device: &Device<Port>, features: Features) -> Result {
    if features.contains(Features::HW_TC) || device.data().rules.is_empty() {
        return Ok(());
    }
    dev_err!(
        device,
        "the switch carries out rules of tc: remove them to turn hw-tc-offload off\n"
    );
    Err(EBUSY)
}

/// Returns whom commands about the switch are about.
fn switch(function: &Function) -> About<'_> {
    function.about(FunctionId::PF)
}

fn add(device: &Device<Port>, rule: &flow::Rule<'_>, extack: &mut ExtAck<'_>) -> Result {
    let port = device.data();
    let (wanted, counts) = translate(device, rule).map_err(|refusal| {
        extack.set(format_args!("{refusal}"));
        flow::not_supported()
    })?;
    // What can fail here fails before the device knows of the rule.
    let node = RBTreeNodeReservation::new(GFP_KERNEL)?;
    let done = switch(&port.function)
        .send_with(AddRule {}, &wanted)
        .map_err(|error| refused(error, extack))?;
    let entry = Entry {
        id: done.rule.get(),
        age: port.rules.added.fetch_add(1, Relaxed),
        rule: wanted,
        counts,
        told: Told::default(),
    };
    let node = node.into_node(rule.cookie(), entry);
    let previous = port.rules.list.lock().insert(node);
    if let Some(previous) = previous {
        // The stack gave a new rule the name of one that is there still.
        forget(&port.function, previous.to_key_value().1.id);
    }
    Ok(())
}

/// Tells the user why the device does not take a rule.
fn refused(error: CmdError, extack: &mut ExtAck<'_>) -> Error {
    match error {
        CmdError::Status(Status::BAD_STATE) => {
            extack.set(format_args!(
                "the switch follows no rules in legacy mode: devlink dev eswitch set ... mode switchdev"
            ));
            flow::not_supported()
        }
        CmdError::Status(Status::NO_RESOURCE) => {
            extack.set(format_args!("the switch has no room for another rule"));
            ENOSPC
        }
        CmdError::Status(Status::INVALID_FUNCTION) => {
            extack.set(format_args!("a port of the rule is gone from the switch"));
            ENODEV
        }
        error => {
            extack.set(format_args!("the device does not take the rule: {error}"));
            error.into()
        }
    }
}

fn remove(device: &Device<Port>, cookie: Cookie) -> Result {
    let port = device.data();
    let entry = port.rules.list.lock().remove(&cookie).ok_or(ENOENT)?;
    forget(&port.function, entry.id);
    Ok(())
}

fn forget(function: &Function, id: u32) {
    let command = RemoveRule { rule: U32::new(id) };
    // A device that is gone, or forgot the rule before, does not follow it.
    let _ = switch(function).send(command);
}

fn count(device: &Device<Port>, cookie: Cookie, counters: &mut Counters<'_>) -> Result {
    let port = device.data();
    let id = {
        let list = port.rules.list.lock();
        let entry = list.get(&cookie).ok_or(ENOENT)?;
        if !entry.counts {
            return Ok(());
        }
        entry.id
    };
    let query = QueryRule { rule: U32::new(id) };
    let done = switch(&port.function).send(query)?;
    if let Some(entry) = port.rules.list.lock().get_mut(&cookie) {
        let (packets, bytes) = entry.told.next(done.packets.get(), done.bytes.get());
        counters.add(packets, bytes, done.idle_ms.get());
    }
    Ok(())
}

/// Has the switch carry out all rules anew, which it may have forgotten in a reset.
pub(crate) fn restore(device: &Device<Port>) {
    let missing = match by_age(&device.data().rules) {
        Ok(rules) => rules
            .values()
            .filter(|cookie| restore_one(device, **cookie).is_err())
            .count(),
        Err(_) => usize::MAX,
    };
    if missing > 0 {
        dev_err!(
            device,
            "the switch does not carry out all rules any more: remove and add them again\n"
        );
    }
}

/// Returns the names of all rules, those of older ones first.
fn by_age(rules: &Rules) -> Result<RBTree<u64, Cookie>> {
    let mut by_age = RBTree::new();
    for (cookie, entry) in rules.list.lock().iter() {
        by_age.try_create_and_insert(entry.age, *cookie, GFP_KERNEL)?;
    }
    Ok(by_age)
}

fn restore_one(device: &Device<Port>, cookie: Cookie) -> Result {
    let port = device.data();
    let (id, rule) = {
        let list = port.rules.list.lock();
        let entry = list.get(&cookie).ok_or(ENOENT)?;
        (entry.id, entry.rule)
    };
    // It is still there if the device was not reset. No other rule has its id.
    forget(&port.function, id);
    let done = switch(&port.function).send_with(AddRule {}, &rule)?;
    if let Some(entry) = port.rules.list.lock().get_mut(&cookie) {
        entry.id = done.rule.get();
        entry.told = Told::default();
    }
    Ok(())
}

/// Returns what a rule is to the device, and whether the user wants it counted.
fn translate(device: &Device<Port>, rule: &flow::Rule<'_>) -> Result<(Rule, bool), Refusal> {
    let own = SwitchPort::of(device.data().function.id())?;
    let stats = rule.hw_stats().ok_or(Refusal::Stats)?;
    if !stats.allows_immediate() && !stats.allows_none() {
        return Err(Refusal::Stats);
    }
    let frames = frames(rule)?;
    let mut steps = Steps::new(&frames);
    for action in rule.actions() {
        match action {
            Action::Accept | Action::Trap => steps.accept(own)?,
            Action::Drop => steps.drop_frame()?,
            Action::Pipe => {}
            Action::Redirect(target) => steps.redirect(switch_port(device, &target)?)?,
            Action::Mirror(target) => steps.mirror(switch_port(device, &target)?)?,
            Action::PushVlan { tpid, tci } => steps.push_vlan(tpid, tci)?,
            Action::PopVlan => steps.pop_vlan()?,
            Action::Other(name) => return Err(Refusal::Action(name)),
        }
    }
    let wanted = steps.rule(rule.priority(), own, &frames)?;
    Ok((wanted, stats.allows_immediate()))
}

/// Returns what a target is to the switch of `device`.
fn switch_port(device: &Device<Port>, target: &Target<'_>) -> Result<SwitchPort, Refusal> {
    let function = &device.data().get_ref().function;
    let other = target.downcast::<Port>().ok_or(Refusal::Target)?;
    let other = &other.data().get_ref().function;
    if !function.is_beside(other) {
        return Err(Refusal::Target);
    }
    SwitchPort::of(other.id()).map_err(|_| Refusal::Target)
}

/// Returns what frames must look like to meet a rule.
fn frames(rule: &flow::Rule<'_>) -> Result<Frames, Refusal> {
    if let Some(name) = rule.unknown_key() {
        return Err(Refusal::Match(name));
    }
    let mut frames = Frames::new(rule.protocol())?;
    // The order is that in which one needs the other.
    if let Some(flow::Match { key, mask }) = rule.vlan() {
        frames.vlan(
            Masked::new(key.tpid, mask.tpid),
            Masked::new(key.tci, mask.tci),
        )?;
    }
    if let Some(flow::Match { key, mask }) = rule.basic() {
        frames.eth_type(Masked::new(key.eth_type, mask.eth_type))?;
        frames.ip_proto(Masked::new(key.ip_proto, mask.ip_proto))?;
    }
    if let Some(flow::Match { key, mask }) = rule.control() {
        let known = [Control::FRAGMENT, Control::FIRST_FRAGMENT];
        frames.flags(known, Masked::new(key.flags, mask.flags))?;
    }
    if let Some(flow::Match { key, mask }) = rule.eth_addrs() {
        frames.mac(
            Masked::new(key.dst, mask.dst),
            Masked::new(key.src, mask.src),
        );
    }
    if let Some(flow::Match { key, mask }) = rule.ipv4_addrs() {
        frames.ipv4(
            Masked::new(key.src, mask.src),
            Masked::new(key.dst, mask.dst),
        )?;
    }
    if let Some(flow::Match { key, mask }) = rule.ipv6_addrs() {
        frames.ipv6(
            Masked::new(key.src, mask.src),
            Masked::new(key.dst, mask.dst),
        )?;
    }
    if let Some(flow::Match { key, mask }) = rule.ip() {
        frames.ip(
            Masked::new(key.tos, mask.tos),
            Masked::new(key.ttl, mask.ttl),
        )?;
    }
    if let Some(flow::Match { key, mask }) = rule.ports() {
        frames.ports(
            Masked::new(key.src, mask.src),
            Masked::new(key.dst, mask.dst),
        )?;
    }
    if let Some(flow::Match { key, mask }) = rule.icmp() {
        frames.icmp(
            Masked::new(key.kind, mask.kind),
            Masked::new(key.code, mask.code),
        )?;
    }
    if let Some(flow::Match { key, mask }) = rule.tcp_flags() {
        frames.tcp_flags(Masked::new(key, mask))?;
    }
    Ok(frames)
}
