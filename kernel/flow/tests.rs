// SPDX-License-Identifier: GPL-2.0

//! KUnit suite of the wrapper: rules as a classifier makes them, and a device that is bound to a
//! block of them.

use super::{
    block,
    not_supported,
    Action,
    Addresses,
    Basic,
    Command,
    Control,
    EthAddrs,
    Match,
    Ports,
    Rule,
    Vlan, //
};
use crate::{
    bindings,
    netdev::{
        lock_rtnl,
        Builder,
        Device,
        Features,
        Locks,
        Operations,
        Registration,
        Rtnl,
        TxQueue, //
    },
    skb::SkBuff,
    testing::TestDevice, //
};
use core::{
    mem::offset_of,
    ptr::NonNull, //
};
use kernel::{
    new_mutex,
    prelude::*,
    str::CStrExt,
    sync::Mutex, //
};

/// What a classifier has of a packet.
#[repr(C)]
#[derive(Clone, Copy)]
struct Fields {
    control: bindings::flow_dissector_key_control,
    basic: bindings::flow_dissector_key_basic,
    eth: bindings::flow_dissector_key_eth_addrs,
    vlan: bindings::flow_dissector_key_vlan,
    ipv4: bindings::flow_dissector_key_ipv4_addrs,
    ports: bindings::flow_dissector_key_ports,
    tcp: bindings::flow_dissector_key_tcp,
}

/// A rule together with what it points to. It does not move.
struct Fabricated {
    dissector: KBox<bindings::flow_dissector>,
    key: KBox<Fields>,
    mask: KBox<Fields>,
    rule: NonNull<bindings::flow_rule>,
    common: bindings::flow_cls_common_offload,
}

impl Fabricated {
    fn new(actions: usize) -> Result<Self> {
        // SAFETY: no requirements.
        let rule = unsafe { bindings::flow_rule_alloc(actions as u32) };
        let mut this = Self {
            dissector: KBox::new(pin_init::zeroed(), GFP_KERNEL)?,
            // SAFETY: all zeros is a value of these structs of integers.
            key: KBox::new(unsafe { core::mem::zeroed() }, GFP_KERNEL)?,
            // SAFETY: as above.
            mask: KBox::new(unsafe { core::mem::zeroed() }, GFP_KERNEL)?,
            rule: NonNull::new(rule).ok_or(ENOMEM)?,
            common: pin_init::zeroed(),
        };
        this.common.prio = 5;
        this.common.protocol = 0x0800u16.to_be();
        // SAFETY: the rule is nobody else's; what it points to does not move.
        unsafe {
            let matches = &mut this.rule.as_mut().match_;
            matches.dissector = &raw mut *this.dissector;
            matches.key = (&raw mut *this.key).cast();
            matches.mask = (&raw mut *this.mask).cast();
        }
        Ok(this)
    }

    fn uses(&mut self, key: bindings::flow_dissector_key_id, offset: usize) {
        self.dissector.used_keys |= 1 << key;
        self.dissector.offset[key as usize] = offset as u16;
    }

    fn action(&mut self, index: usize) -> &mut bindings::flow_action_entry {
        // SAFETY: the tests stay within what they asked for.
        unsafe {
            let entries = (&raw mut (*self.rule.as_ptr()).action.entries)
                .cast::<bindings::flow_action_entry>();
            &mut *entries.add(index)
        }
    }

    fn view(&self) -> Rule<'_> {
        // SAFETY: the rule and what it points to live for as long as `self`.
        unsafe { Rule::from_raw(self.rule.as_ptr(), &self.common, 77) }
    }
}

impl Drop for Fabricated {
    fn drop(&mut self) {
        // SAFETY: `flow_rule_alloc` allocated it with `kzalloc`.
        unsafe { kernel::bindings::kfree(self.rule.as_ptr().cast()) };
    }
}

/// A device that notes what the stack wants of it.
#[pin_data]
struct Port {
    /// Priorities of rules, and minus cookies of those removed.
    #[pin]
    seen: Mutex<KVec<i64>>,
}

#[vtable]
impl Operations for Port {
    type TxQueue = ();

    fn open(_device: &Device<Self>, _locks: &Locks) -> Result {
        Ok(())
    }

    fn stop(_device: &Device<Self>, _locks: &Locks) {}

    fn start_xmit(
        _device: &Device<Self>,
        _queue: &mut (),
        _handle: TxQueue<'_>,
        _skb: SkBuff,
    ) -> Result<(), SkBuff> {
        Ok(())
    }

    fn flow(device: &Device<Self>, _rtnl: &Rtnl, command: Command<'_>) -> Result {
        let note = match command {
            Command::Add(rule, mut extack) => {
                if rule.actions().len() == 0 {
                    extack.set(format_args!("a rule without action"));
                    return Err(not_supported());
                }
                i64::from(rule.priority())
            }
            Command::Remove(cookie) => -(cookie.0 as i64),
            Command::Count(_, mut counters) => {
                counters.add(3, 300, 0);
                return Ok(());
            }
        };
        device.data().seen.lock().push(note, GFP_KERNEL)?;
        Ok(())
    }
}

/// Another driver's device.
struct Other;

#[vtable]
impl Operations for Other {
    type TxQueue = ();

    fn open(_device: &Device<Self>, _locks: &Locks) -> Result {
        Ok(())
    }

    fn stop(_device: &Device<Self>, _locks: &Locks) {}

    fn start_xmit(
        _device: &Device<Self>,
        _queue: &mut (),
        _handle: TxQueue<'_>,
        _skb: SkBuff,
    ) -> Result<(), SkBuff> {
        Ok(())
    }
}

fn register<T: Operations>(
    parent: &TestDevice,
    data: impl PinInit<T, Error>,
    features: Features,
) -> Result<Registration<T>> {
    Builder::new(parent.device(), 1, data)?
        .mac([0; 6])
        .mtu(1500, 68, 9000)
        .features(features, Features::NONE)
        .register()
}

fn port() -> impl PinInit<Port, Error> {
    try_pin_init!(Port {
        seen <- new_mutex!(KVec::new()),
    }? Error)
}

/// A block of rules that a device is bound to.
struct Bound<'a> {
    device: &'a Registration<Port>,
    block: Pin<KBox<Block>>,
}

#[pin_data]
struct Block {
    block: bindings::flow_block,
    offload: bindings::flow_block_offload,
    #[pin]
    _pin: core::marker::PhantomPinned,
}

fn empty(head: &mut bindings::list_head) {
    head.next = head;
    head.prev = head;
}

impl<'a> Bound<'a> {
    fn new(device: &'a Registration<Port>) -> Result<Self> {
        let block = KBox::pin_init(
            pin_init!(Block {
                block: pin_init::zeroed(),
                offload: pin_init::zeroed(),
                _pin: core::marker::PhantomPinned,
            }),
            GFP_KERNEL,
        )?;
        let mut this = Self { device, block };
        let inner = this.inner();
        empty(&mut inner.block.cb_list);
        empty(&mut inner.offload.cb_list);
        inner.offload.block = &mut inner.block;
        inner.offload.binder_type =
            bindings::flow_block_binder_type_FLOW_BLOCK_BINDER_TYPE_CLSACT_INGRESS;
        inner.offload.command = bindings::flow_block_command_FLOW_BLOCK_BIND;
        kernel::error::to_result(this.setup())?;
        Ok(this)
    }

    fn inner(&mut self) -> &mut Block {
        // SAFETY: nothing is moved out of it.
        unsafe { self.block.as_mut().get_unchecked_mut() }
    }

    fn setup(&mut self) -> c_int {
        let _rtnl = lock_rtnl();
        let device = self.device.device().as_ptr();
        let offload = &raw mut self.inner().offload;
        // SAFETY: the device is one of a `Port`, the request is as the stack makes it, and the RTNL
        // is held.
        unsafe {
            block::setup::<Port>(
                device,
                bindings::tc_setup_type_TC_SETUP_BLOCK,
                offload.cast(),
            )
        }
    }

    /// Returns what the device left to call.
    fn entry(&mut self) -> *mut bindings::flow_block_cb {
        let first = self.inner().offload.cb_list.next;
        // SAFETY: the list has one entry, the one that the device put in when it was bound.
        unsafe { kernel::container_of!(first, bindings::flow_block_cb, list) }
    }

    /// Calls the device as the stack does.
    fn call(&mut self, offload: &mut bindings::flow_cls_offload) -> c_int {
        let _rtnl = lock_rtnl();
        let entry = self.entry();
        // SAFETY: the entry is valid until the device is unbound, and has a function.
        unsafe {
            let Some(function) = (*entry).cb else {
                return 1;
            };
            let kind = bindings::tc_setup_type_TC_SETUP_CLSFLOWER;
            function(kind, core::ptr::from_mut(offload).cast(), (*entry).cb_priv)
        }
    }

    fn unbind(mut self) -> c_int {
        let entry = self.entry();
        let inner = self.inner();
        // The stack keeps what the device left in the block.
        inner.block.cb_list = inner.offload.cb_list;
        // SAFETY: there is one entry, whose neighbours are the head that moves.
        unsafe {
            (*entry).list.next = &mut inner.block.cb_list;
            (*entry).list.prev = &mut inner.block.cb_list;
        }
        empty(&mut inner.offload.cb_list);
        inner.offload.command = bindings::flow_block_command_FLOW_BLOCK_UNBIND;
        let result = self.setup();
        // SAFETY: nobody has the entry any more.
        unsafe { bindings::flow_block_cb_free(entry) };
        result
    }
}

#[kunit_tests(ferrite_flow)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_told() -> Result {
        let mut fabricated = Fabricated::new(0)?;
        for (key, offset) in [
            (
                bindings::flow_dissector_key_id_FLOW_DISSECTOR_KEY_BASIC,
                offset_of!(Fields, basic),
            ),
            (
                bindings::flow_dissector_key_id_FLOW_DISSECTOR_KEY_CONTROL,
                offset_of!(Fields, control),
            ),
            (
                bindings::flow_dissector_key_id_FLOW_DISSECTOR_KEY_ETH_ADDRS,
                offset_of!(Fields, eth),
            ),
            (
                bindings::flow_dissector_key_id_FLOW_DISSECTOR_KEY_VLAN,
                offset_of!(Fields, vlan),
            ),
            (
                bindings::flow_dissector_key_id_FLOW_DISSECTOR_KEY_IPV4_ADDRS,
                offset_of!(Fields, ipv4),
            ),
            (
                bindings::flow_dissector_key_id_FLOW_DISSECTOR_KEY_PORTS,
                offset_of!(Fields, ports),
            ),
            (
                bindings::flow_dissector_key_id_FLOW_DISSECTOR_KEY_TCP,
                offset_of!(Fields, tcp),
            ),
        ] {
            fabricated.uses(key, offset);
        }
        fabricated.key.basic.n_proto = 0x0800u16.to_be();
        fabricated.mask.basic.n_proto = 0xffff;
        fabricated.key.basic.ip_proto = 6;
        fabricated.key.control.flags = Control::FRAGMENT;
        fabricated.mask.control.flags = Control::FRAGMENT | Control::FIRST_FRAGMENT;
        fabricated.key.eth.dst = [1, 2, 3, 4, 5, 6];
        fabricated.key.vlan.vlan_tpid = 0x8100u16.to_be();
        // SAFETY: all of the union is initialized.
        unsafe {
            let tag = &mut fabricated.key.vlan.__bindgen_anon_1.__bindgen_anon_1;
            tag.set_vlan_id(5);
            tag.set_vlan_priority(3);
        }
        fabricated.key.ipv4.src = u32::from_ne_bytes([10, 0, 0, 1]);
        fabricated.key.ports.__bindgen_anon_1.ports = u32::from_ne_bytes([0, 80, 1, 187]);
        fabricated.key.tcp.flags = 0x12u16.to_be();

        let rule = fabricated.view();
        assert_eq!(rule.protocol(), Some(0x0800));
        assert_eq!(rule.priority(), 5);
        assert_eq!(
            rule.basic(),
            Some(Match {
                key: Basic {
                    eth_type: 0x0800,
                    ip_proto: 6
                },
                mask: Basic {
                    eth_type: 0xffff,
                    ip_proto: 0
                },
            })
        );
        let control = rule.control().ok_or(EINVAL)?;
        assert_eq!((control.key.flags, control.mask.flags), (1, 3));
        assert_eq!(
            rule.eth_addrs().map(|eth| eth.key),
            Some(EthAddrs {
                dst: [1, 2, 3, 4, 5, 6],
                src: [0; 6]
            })
        );
        assert_eq!(
            rule.vlan().map(|vlan| vlan.key),
            Some(Vlan {
                tpid: 0x8100,
                tci: 0x6005
            })
        );
        assert_eq!(
            rule.ipv4_addrs().map(|ip| ip.key),
            Some(Addresses {
                src: [10, 0, 0, 1],
                dst: [0; 4]
            })
        );
        assert_eq!(
            rule.ports().map(|ports| ports.key),
            Some(Ports { src: 80, dst: 443 })
        );
        assert_eq!(rule.tcp_flags().map(|flags| flags.key), Some(0x12));
        assert!(rule.ipv6_addrs().is_none());
        assert!(rule.icmp().is_none());
        assert!(rule.unknown_key().is_none());
        Ok(())
    }

    #[test]
    fn field_that_is_not_known_is_named() -> Result {
        let mut fabricated = Fabricated::new(0)?;
        fabricated.uses(bindings::flow_dissector_key_id_FLOW_DISSECTOR_KEY_MPLS, 0);
        assert_eq!(fabricated.view().unknown_key(), Some("MPLS"));
        fabricated.dissector.used_keys = 1 << 63;
        let unknown = fabricated.view().unknown_key();
        assert_eq!(unknown, Some("a field that is new"));
        Ok(())
    }

    #[test]
    fn rule_for_all_packets_has_no_fields() -> Result {
        let mut fabricated = Fabricated::new(0)?;
        // SAFETY: the rule is nobody else's.
        unsafe { fabricated.rule.as_mut().match_ = pin_init::zeroed() };
        fabricated.common.protocol = (bindings::ETH_P_ALL as u16).to_be();
        let rule = fabricated.view();
        assert!(rule.basic().is_none());
        assert!(rule.unknown_key().is_none());
        assert!(rule.protocol().is_none());
        Ok(())
    }

    #[test]
    fn actions_are_told_in_order() -> Result {
        let parent = TestDevice::new(c"ferrite-flow")?;
        let device = register(&parent, port(), Features::NONE)?;
        let mut fabricated = Fabricated::new(4)?;
        fabricated.action(0).id = bindings::flow_action_id_FLOW_ACTION_VLAN_PUSH;
        // SAFETY: all of the union is initialized.
        let vlan = unsafe { &mut fabricated.action(0).__bindgen_anon_1.vlan };
        vlan.vid = 5;
        vlan.prio = 3;
        vlan.proto = 0x8100u16.to_be();
        fabricated.action(1).id = bindings::flow_action_id_FLOW_ACTION_MIRRED;
        fabricated.action(1).__bindgen_anon_1.dev = device.device().as_ptr();
        fabricated.action(2).id = bindings::flow_action_id_FLOW_ACTION_POLICE;
        fabricated.action(3).id = bindings::flow_action_id_FLOW_ACTION_DROP;
        let mut actions = fabricated.view().actions();
        assert_eq!(actions.len(), 4);
        assert!(matches!(
            actions.next(),
            Some(Action::PushVlan {
                tpid: 0x8100,
                tci: 0x6005
            })
        ));
        let Some(Action::Mirror(target)) = actions.next() else {
            return Err(EINVAL);
        };
        let found = target.downcast::<Port>().ok_or(EINVAL)?;
        assert!(core::ptr::eq(found.as_ptr(), device.device().as_ptr()));
        assert!(matches!(actions.next(), Some(Action::Other("police"))));
        assert!(matches!(actions.next(), Some(Action::Drop)));
        Ok(())
    }

    #[test]
    fn target_of_another_driver_is_none_of_ours() -> Result {
        let parent = TestDevice::new(c"ferrite-flow")?;
        let other = register(&parent, Ok::<_, Error>(Other), Features::NONE)?;
        let mut fabricated = Fabricated::new(3)?;
        for index in 0..3 {
            fabricated.action(index).id = bindings::flow_action_id_FLOW_ACTION_REDIRECT;
        }
        // SAFETY: the kernel has this device for ever, and does not make another one.
        let blackhole = unsafe { bindings::blackhole_netdev };
        fabricated.action(0).__bindgen_anon_1.dev = other.device().as_ptr();
        fabricated.action(1).__bindgen_anon_1.dev = blackhole;
        let ours = fabricated.view().actions().filter(|action| match action {
            Action::Redirect(target) => target.downcast::<Port>().is_some(),
            _ => true,
        });
        assert_eq!(ours.count(), 0);
        Ok(())
    }

    #[test]
    fn wanted_counters_are_told() -> Result {
        let mut fabricated = Fabricated::new(2)?;
        let stats = fabricated.view().hw_stats().ok_or(EINVAL)?;
        assert!(stats.allows_immediate() && stats.allows_none());
        fabricated.action(0).hw_stats = bindings::flow_action_hw_stats_FLOW_ACTION_HW_STATS_DELAYED;
        assert!(fabricated.view().hw_stats().is_none());
        fabricated.action(1).hw_stats = bindings::flow_action_hw_stats_FLOW_ACTION_HW_STATS_DELAYED;
        let stats = fabricated.view().hw_stats().ok_or(EINVAL)?;
        assert!(!stats.allows_immediate() && !stats.allows_none());
        Ok(())
    }

    #[test]
    fn rules_of_a_block_reach_the_device() -> Result {
        let parent = TestDevice::new(c"ferrite-flow")?;
        let device = register(&parent, port(), Features::HW_TC)?;
        let mut bound = Bound::new(&device)?;
        let mut fabricated = Fabricated::new(1)?;
        let mut extack: bindings::netlink_ext_ack = pin_init::zeroed();
        let mut offload: bindings::flow_cls_offload = pin_init::zeroed();
        offload.cookie = 77;
        offload.rule = fabricated.rule.as_ptr();
        offload.common = fabricated.common;
        offload.common.extack = &mut extack;
        offload.command = bindings::flow_cls_command_FLOW_CLS_REPLACE;
        assert_eq!(bound.call(&mut offload), 0);
        // SAFETY: the rule is nobody else's.
        unsafe { fabricated.rule.as_mut().action.num_entries = 0 };
        assert_eq!(bound.call(&mut offload), not_supported().to_errno());
        // SAFETY: the text is static or in `extack`, with a zero at its end.
        let text = unsafe { CStr::from_char_ptr(extack._msg) };
        assert_eq!(text.to_bytes(), b"a rule without action");
        offload.common.chain_index = 1;
        assert_eq!(bound.call(&mut offload), not_supported().to_errno());
        offload.command = bindings::flow_cls_command_FLOW_CLS_STATS;
        assert_eq!(bound.call(&mut offload), 0);
        assert_eq!((offload.stats.pkts, offload.stats.bytes), (3, 300));
        offload.command = bindings::flow_cls_command_FLOW_CLS_DESTROY;
        assert_eq!(bound.call(&mut offload), 0);
        offload.command = bindings::flow_cls_command_FLOW_CLS_TMPLT_CREATE;
        assert_eq!(bound.call(&mut offload), not_supported().to_errno());
        assert_eq!(bound.unbind(), 0);
        assert_eq!(&device.device().data().seen.lock()[..], &[5, -77]);
        Ok(())
    }

    #[test]
    fn device_without_the_feature_gets_no_rules() -> Result {
        let parent = TestDevice::new(c"ferrite-flow")?;
        let device = register(&parent, port(), Features::NONE)?;
        let mut bound = Bound::new(&device)?;
        let fabricated = Fabricated::new(1)?;
        let mut offload: bindings::flow_cls_offload = pin_init::zeroed();
        offload.rule = fabricated.rule.as_ptr();
        offload.common = fabricated.common;
        assert_eq!(bound.call(&mut offload), not_supported().to_errno());
        assert_eq!(bound.unbind(), 0);
        assert_eq!(device.device().data().seen.lock().len(), 0);
        Ok(())
    }

    #[test]
    fn device_is_bound_to_a_block_once() -> Result {
        let parent = TestDevice::new(c"ferrite-flow")?;
        let device = register(&parent, port(), Features::HW_TC)?;
        let bound = Bound::new(&device)?;
        assert_eq!(Bound::new(&device).err(), Some(EBUSY));
        assert_eq!(bound.unbind(), 0);
        assert_eq!(Bound::new(&device)?.unbind(), 0);
        Ok(())
    }
}
