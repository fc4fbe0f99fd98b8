// SPDX-License-Identifier: GPL-2.0

//! KUnit suite: operations are called as devlink calls them, through the C tables and with the lock
//! that it takes itself.

use super::*;
use crate::testing::TestDevice;
use kernel::sync::{
    new_mutex,
    Mutex, //
};

/// Null, for a user who did not ask why.
const NO_EXTACK: *mut bindings::netlink_ext_ack = core::ptr::null_mut();
const MAC: [u8; 6] = [2, 0, 0, 0, 0, 7];
const SF: Flavour = Flavour::PciSf {
    controller: 0,
    pf: 0,
    sf: 88,
    external: false,
};

/// Calls what devlink would, with the lock as it takes it.
fn as_devlink<R>(memory: &Arc<Memory>, call: impl FnOnce() -> R) -> R {
    // SAFETY: the instance is valid, and the lock is given back below.
    unsafe { bindings::devl_lock(memory.as_raw()) };
    let result = call();
    // SAFETY: it was just taken.
    unsafe { bindings::devl_unlock(memory.as_raw()) };
    result
}

/// The function behind a port.
#[pin_data]
struct Function {
    #[pin]
    state: Mutex<State>,
}

struct State {
    registration: Option<PortRegistration>,
    address: [u8; 6],
    active: bool,
    roce: bool,
    eqs: u32,
}

impl Function {
    fn new() -> Result<Arc<Self>> {
        Arc::pin_init(
            pin_init!(Self {
                state <- new_mutex!(State {
                    registration: None,
                    address: MAC,
                    active: false,
                    roce: false,
                    eqs: 1,
                }),
            }),
            GFP_KERNEL,
        )
    }
}

#[vtable]
impl PortOps for Function {
    fn port_del(&self, _locked: &Locked<'_>, _extack: &mut ExtAck<'_>) -> Result {
        let registration = self.state.lock().registration.take();
        drop(registration.ok_or(ENOENT)?);
        Ok(())
    }

    fn hw_addr_get(&self, _extack: &mut ExtAck<'_>) -> Result<[u8; 6]> {
        Ok(self.state.lock().address)
    }

    fn hw_addr_set(
        &self,
        address: [u8; 6],
        _locked: &Locked<'_>,
        _extack: &mut ExtAck<'_>,
    ) -> Result {
        self.state.lock().address = address;
        Ok(())
    }

    fn state_get(&self, _extack: &mut ExtAck<'_>) -> Result<(FunctionState, OpState)> {
        Ok(if self.state.lock().active {
            (FunctionState::Active, OpState::Attached)
        } else {
            (FunctionState::Inactive, OpState::Detached)
        })
    }

    fn state_set(
        &self,
        state: FunctionState,
        _locked: &Locked<'_>,
        _extack: &mut ExtAck<'_>,
    ) -> Result {
        self.state.lock().active = state == FunctionState::Active;
        Ok(())
    }

    fn roce_get(&self, _extack: &mut ExtAck<'_>) -> Result<bool> {
        Ok(self.state.lock().roce)
    }

    fn roce_set(&self, enable: bool, _locked: &Locked<'_>, _extack: &mut ExtAck<'_>) -> Result {
        self.state.lock().roce = enable;
        Ok(())
    }

    fn max_io_eqs_get(&self, _extack: &mut ExtAck<'_>) -> Result<u32> {
        Ok(self.state.lock().eqs)
    }

    fn max_io_eqs_set(&self, max: u32, _locked: &Locked<'_>, extack: &mut ExtAck<'_>) -> Result {
        if max == 0 {
            extack.set(fmt!("at least one"));
            return Err(EINVAL);
        }
        self.state.lock().eqs = max;
        Ok(())
    }
}

/// A leaf or node: what was set of it.
type Limits = Mutex<(u64, u32)>;

fn limits() -> Result<Arc<Limits>> {
    Arc::pin_init(new_mutex!((0, 0)), GFP_KERNEL)
}

/// What operates the instance.
#[pin_data]
struct Card {
    function: Arc<Function>,
    #[pin]
    mode: Mutex<EswitchMode>,
    /// What the parameters said when it was reloaded.
    #[pin]
    reloaded: Mutex<Option<(bool, bool)>>,
    /// Where a port comes from that was asked for; [`None`] for the right instance.
    #[pin]
    foreign: Mutex<Option<Arc<Port>>>,
    #[pin]
    hangs: Mutex<bool>,
}

#[vtable]
impl Ops for Card {
    fn port_new(
        &self,
        new: &NewPort,
        locked: &Locked<'_>,
        extack: &mut ExtAck<'_>,
    ) -> Result<Arc<Port>> {
        if new.flavour != NewFlavour::PciSf {
            extack.set(fmt!("SFs only"));
            return Err(not_supported());
        }
        if let Some(port) = &*self.foreign.lock() {
            return Ok(port.clone());
        }
        let attributes = PortAttributes::new(Flavour::PciSf {
            controller: 0,
            pf: new.pfnum,
            sf: new.sfnum.unwrap_or(0),
            external: false,
        })
        .switch_id(&[1, 2, 3, 4])?;
        let index = new.port_index.unwrap_or(1);
        let registration = locked.add_port_of(index, &attributes, self.function.clone())?;
        let port = registration.port().clone();
        self.function.state.lock().registration = Some(registration);
        Ok(port)
    }

    fn eswitch_mode_get(&self, _locked: &Locked<'_>) -> Result<EswitchMode> {
        Ok(*self.mode.lock())
    }

    fn eswitch_mode_set(
        &self,
        mode: EswitchMode,
        _locked: &Locked<'_>,
        _extack: &mut ExtAck<'_>,
    ) -> Result {
        *self.mode.lock() = mode;
        Ok(())
    }

    fn reload_down(
        &self,
        _netns_change: bool,
        _locked: &Locked<'_>,
        _extack: &mut ExtAck<'_>,
    ) -> Result {
        Ok(())
    }

    fn reload_up(&self, locked: &Locked<'_>, _extack: &mut ExtAck<'_>) -> Result {
        let values = (
            locked.param(BoolParam::EnableEth)?,
            locked.param(BoolParam::EnableVnet)?,
        );
        *self.reloaded.lock() = Some(values);
        Ok(())
    }

    fn param_validate(
        &self,
        param: BoolParam,
        value: bool,
        _locked: &Locked<'_>,
        _extack: &mut ExtAck<'_>,
    ) -> Result {
        if param == BoolParam::EnableVnet && value {
            return Err(EPERM);
        }
        Ok(())
    }
}

impl RateOps for Card {
    type Leaf = Limits;
    type Node = Limits;

    fn rate_node_new(&self, _locked: &Locked<'_>, _extack: &mut ExtAck<'_>) -> Result<Arc<Limits>> {
        limits()
    }

    fn rate_node_del(
        &self,
        node: &Limits,
        _locked: &Locked<'_>,
        _extack: &mut ExtAck<'_>,
    ) -> Result {
        // Told apart from a leaf by what the test set.
        assert_eq!(node.lock().0, 500);
        Ok(())
    }

    fn rate_set(
        &self,
        member: Member<Limits, Limits>,
        setting: Setting<Limits>,
        _locked: &Locked<'_>,
        _extack: &mut ExtAck<'_>,
    ) -> Result {
        let (Member::Leaf(limits) | Member::Node(limits)) = member;
        match setting {
            Setting::TxMax(max) => limits.lock().0 = max,
            Setting::TxShare(_) => return Err(EINVAL),
            Setting::TxPriority(value) | Setting::TxWeight(value) => limits.lock().1 = value,
            Setting::TcBw(shares) => limits.lock().1 = shares.iter().sum(),
            Setting::Parent(parent) => {
                *self.hangs.lock() = parent.is_some_and(|node| node.lock().0 == 500);
            }
        }
        Ok(())
    }
}

/// An instance on a device of its own. Dropped in this order.
struct Bench {
    instance: Instance<Card>,
    _device: TestDevice,
}

impl Bench {
    fn new(name: &CStr) -> Result<Self> {
        let device = TestDevice::new(name)?;
        let card = Arc::pin_init(
            try_pin_init!(Card {
                function: Function::new()?,
                mode <- new_mutex!(EswitchMode::Legacy),
                reloaded <- new_mutex!(None),
                foreign <- new_mutex!(None),
                hangs <- new_mutex!(false),
            }),
            GFP_KERNEL,
        )?;
        Ok(Self {
            instance: Instance::with_rates(device.device(), card)?,
            _device: device,
        })
    }

    fn raw(&self) -> *mut bindings::devlink {
        self.instance.memory.as_raw()
    }

    /// Has devlink add a port, and returns it.
    fn port_new(
        &self,
        attrs: &bindings::devlink_port_new_attrs,
    ) -> (c_int, *mut bindings::devlink_port) {
        let mut port = core::ptr::null_mut();
        let result = as_devlink(&self.instance.memory, || {
            // SAFETY: the lock is held, and the arguments are valid.
            unsafe {
                rate::Table::<Card>::OPS_REF
                    .port_new
                    .map(|port_new| port_new(self.raw(), attrs, NO_EXTACK, &mut port))
            }
        });
        (result.unwrap_or(-1), port)
    }
}

fn wanted() -> bindings::devlink_port_new_attrs {
    let mut attrs: bindings::devlink_port_new_attrs = pin_init::zeroed();
    attrs.flavour = bindings::devlink_port_flavour_DEVLINK_PORT_FLAVOUR_PCI_SF;
    attrs.sfnum = 88;
    attrs.set_sfnum_valid(1);
    attrs.port_index = 7;
    attrs.set_port_index_valid(1);
    attrs
}

#[kunit_tests(ferrite_devlink)]
mod suite {
    use super::*;

    #[test]
    fn port_comes_and_goes_in_operations() -> Result {
        let bench = Bench::new(c"ferrite-devlink")?;
        let _visible = bench.instance.register()?;
        let (result, port) = bench.port_new(&wanted());
        assert_eq!(result, 0);
        // SAFETY: devlink was just given the port.
        let (attrs, index) = unsafe { ((*port).attrs, (*port).index) };
        assert_eq!(index, 7);
        // SAFETY: it is the port of an SF.
        assert_eq!(unsafe { attrs.__bindgen_anon_1.pci_sf.sf }, 88);
        assert_eq!(attrs.switch_id.id_len, 4);
        assert_eq!(attrs.switch_id.id[..4], [1, 2, 3, 4]);

        // The operation drops the registration of the port that it is for, with the lock held.
        let memory = bench.instance.memory.clone();
        // SAFETY: the port is registered.
        let port_del = unsafe { (*(*port).ops).port_del };
        let deleted = as_devlink(&memory, || {
            // SAFETY: the lock is held, and the port is registered.
            port_del.map(|port_del| unsafe { port_del(memory.as_raw(), port, NO_EXTACK) })
        });
        assert_eq!(deleted, Some(0));
        // The index is free again.
        drop(bench.instance.lock().add_port(7, Flavour::Virtual)?);
        Ok(())
    }

    #[test]
    fn port_of_another_instance_is_refused() -> Result {
        let (bench, other) = (
            Bench::new(c"ferrite-devlink")?,
            Bench::new(c"ferrite-other")?,
        );
        let _visible = bench.instance.register()?;
        let foreign = other.instance.lock().add_port(1, SF)?;
        *bench.instance.foreign.lock() = Some(foreign.port().clone());
        assert_eq!(bench.port_new(&wanted()).0, EINVAL.to_errno());
        let gone = bench.instance.lock().add_port(1, SF)?.port().clone();
        *bench.instance.foreign.lock() = Some(gone);
        assert_eq!(bench.port_new(&wanted()).0, EINVAL.to_errno());
        *bench.instance.foreign.lock() = None;
        Ok(())
    }

    #[test]
    fn what_is_asked_for_reaches_the_driver() {
        let mut attrs = wanted();
        attrs.set_sfnum_valid(0);
        attrs.flavour = bindings::devlink_port_flavour_DEVLINK_PORT_FLAVOUR_PCI_VF;
        attrs.pfnum = 3;
        attrs.controller = 9;
        let new = NewPort::from_raw(&attrs);
        assert_eq!(new.flavour, NewFlavour::PciVf);
        assert_eq!((new.pfnum, new.sfnum), (3, None));
        assert_eq!((new.controller, new.port_index), (None, Some(7)));
    }

    #[test]
    fn function_is_configured_through_its_port() -> Result {
        let bench = Bench::new(c"ferrite-devlink")?;
        let _visible = bench.instance.register()?;
        let function = bench.instance.function.clone();
        let attributes = PortAttributes::new(SF);
        let registration = bench
            .instance
            .lock()
            .add_port_of(1, &attributes, function.clone())?;
        let port = registration.port().as_raw();
        // SAFETY: the port is registered.
        let ops = unsafe { &*(*port).ops };
        assert!(ops.port_fn_migratable_get.is_none());
        as_devlink(&bench.instance.memory, || -> Result {
            let (mut address, mut len) = ([0; 32], 0);
            let (mut state, mut opstate) = (9, 9);
            let new = [2, 0, 0, 0, 0x88, 0x88];
            // SAFETY: the lock is held, the port is registered, and what the operations fill is as
            // large as devlink's.
            unsafe {
                let get = ops.port_fn_hw_addr_get.ok_or(EINVAL)?;
                assert_eq!(get(port, address.as_mut_ptr(), &mut len, NO_EXTACK), 0);
                assert_eq!((&address[..6], len), (&MAC[..], 6));
                let set = ops.port_fn_hw_addr_set.ok_or(EINVAL)?;
                assert_eq!(set(port, new.as_ptr(), 5, NO_EXTACK), EINVAL.to_errno());
                assert_eq!(set(port, new.as_ptr(), 6, NO_EXTACK), 0);
                let get = ops.port_fn_state_get.ok_or(EINVAL)?;
                assert_eq!(get(port, &mut state, &mut opstate, NO_EXTACK), 0);
                assert_eq!((state, opstate), (0, 0));
                let set = ops.port_fn_state_set.ok_or(EINVAL)?;
                assert_eq!(set(port, 1, NO_EXTACK), 0);
                assert_eq!(get(port, &mut state, &mut opstate, NO_EXTACK), 0);
                assert_eq!((state, opstate), (1, 1));
                let set = ops.port_fn_max_io_eqs_set.ok_or(EINVAL)?;
                assert_eq!(set(port, 0, NO_EXTACK), EINVAL.to_errno());
                assert_eq!(set(port, 12, NO_EXTACK), 0);
                let set = ops.port_fn_roce_set.ok_or(EINVAL)?;
                assert_eq!(set(port, true, NO_EXTACK), 0);
            }
            let now = function.state.lock();
            assert_eq!(
                (now.address, now.active, now.roce, now.eqs),
                (new, true, true, 12)
            );
            Ok(())
        })
    }

    #[test]
    fn index_is_taken_once() -> Result {
        let bench = Bench::new(c"ferrite-devlink")?;
        let locked = bench.instance.lock();
        let _first = locked.add_port(1, Flavour::Physical { number: 0 })?;
        assert!(locked.add_port(1, Flavour::Virtual).is_err());
        let _second = locked.add_port(2, Flavour::Virtual)?;
        Ok(())
    }

    #[test]
    fn switch_id_has_a_size() {
        for (len, fits) in [
            (0, false),
            (1, true),
            (MAX_SWITCH_ID, true),
            (MAX_SWITCH_ID + 1, false),
        ] {
            let id = [0; MAX_SWITCH_ID + 1];
            assert_eq!(PortAttributes::new(SF).switch_id(&id[..len]).is_ok(), fits);
        }
    }

    #[test]
    fn instance_is_nested_in_the_port_of_its_sf() -> Result {
        let (bench, inner) = (
            Bench::new(c"ferrite-devlink")?,
            Bench::new(c"ferrite-inner")?,
        );
        let of_sf = bench.instance.lock().add_port(1, SF)?;
        let physical = bench
            .instance
            .lock()
            .add_port(2, Flavour::Physical { number: 0 })?;
        let gone = bench.instance.lock().add_port(3, SF)?.port().clone();
        assert_eq!(inner.instance.nest_in(physical.port()), Err(EINVAL));
        assert_eq!(inner.instance.nest_in(&gone), Err(ENODEV));
        inner.instance.nest_in(of_sf.port())?;
        assert_eq!(inner.instance.nest_in(of_sf.port()), Err(EBUSY));
        // SAFETY: the port is registered.
        assert!(unsafe { (*of_sf.port().as_raw()).rel_index } != 0);
        let other = Bench::new(c"ferrite-other")?;
        let _visible = other.instance.register()?;
        assert_eq!(other.instance.nest_in(of_sf.port()), Err(EBUSY));
        Ok(())
    }

    #[test]
    fn mode_is_passed_on() -> Result {
        let bench = Bench::new(c"ferrite-devlink")?;
        let _visible = bench.instance.register()?;
        let ops = rate::Table::<Card>::OPS_REF;
        let get = ops.eswitch_mode_get.ok_or(EINVAL)?;
        let set = ops.eswitch_mode_set.ok_or(EINVAL)?;
        as_devlink(&bench.instance.memory, || {
            let mut mode = 9;
            // SAFETY: the lock is held, and the arguments are valid.
            unsafe {
                assert_eq!(set(bench.raw(), 1, NO_EXTACK), 0);
                assert_eq!(get(bench.raw(), &mut mode), 0);
                assert_eq!(mode, 1);
                assert_eq!(set(bench.raw(), 2, NO_EXTACK), not_supported().to_errno());
                assert_eq!(set(bench.raw(), 0, NO_EXTACK), 0);
                assert_eq!(get(bench.raw(), &mut mode), 0);
            }
            assert_eq!(mode, 0);
        });
        Ok(())
    }

    #[test]
    fn parameters_count_when_reloaded() -> Result {
        let bench = Bench::new(c"ferrite-devlink")?;
        let instance = &bench.instance;
        let both = [(BoolParam::EnableEth, true), (BoolParam::EnableVnet, false)];
        assert!(instance.lock().param(BoolParam::EnableEth).is_err());
        let params = instance.add_params(&both)?;
        assert!(instance.add_params(&both[1..]).is_err());
        assert!(instance.add_params(&[]).is_ok());
        let _visible = instance.register()?;
        assert!(instance.lock().param(BoolParam::EnableEth)?);
        let ops = rate::Table::<Card>::OPS_REF;
        let (down, up) = (ops.reload_down.ok_or(EINVAL)?, ops.reload_up.ok_or(EINVAL)?);
        let mut performed = 0;
        as_devlink(&instance.memory, || {
            // SAFETY: the lock is held, and the arguments are valid.
            unsafe {
                assert_eq!(down(bench.raw(), false, 1, 0, NO_EXTACK), 0);
                assert_eq!(up(bench.raw(), 1, 0, &mut performed, NO_EXTACK), 0);
            }
        });
        assert_eq!(performed, 1 << 1);
        assert_eq!(*instance.reloaded.lock(), Some((true, false)));
        instance.lock().set_param(BoolParam::EnableEth, false)?;
        assert!(!instance.lock().param(BoolParam::EnableEth)?);
        drop(params);
        assert!(instance.lock().param(BoolParam::EnableEth).is_err());
        Ok(())
    }

    #[test]
    fn value_of_a_parameter_can_be_refused() -> Result {
        let bench = Bench::new(c"ferrite-devlink")?;
        let _visible = bench.instance.register()?;
        let validate = |id: u32, value: bool| {
            let mut raw: bindings::devlink_param_value = pin_init::zeroed();
            raw.vbool = value;
            as_devlink(&bench.instance.memory, || {
                // SAFETY: the lock is held, and the arguments are valid.
                unsafe { Table::<Card>::param_validate(bench.raw(), id, &mut raw, NO_EXTACK) }
            })
        };
        let eth = bindings::devlink_param_generic_id_DEVLINK_PARAM_GENERIC_ID_ENABLE_ETH;
        let vnet = bindings::devlink_param_generic_id_DEVLINK_PARAM_GENERIC_ID_ENABLE_VNET;
        assert_eq!(validate(eth, true), 0);
        assert_eq!(validate(vnet, true), EPERM.to_errno());
        assert_eq!(validate(vnet, false), 0);
        Ok(())
    }

    struct Three;

    impl Occupancy for Three {
        fn taken(&self, _locked: &Locked<'_>) -> u64 {
            3
        }
    }

    #[test]
    fn resources_are_one_set() -> Result {
        let bench = Bench::new(c"ferrite-devlink")?;
        let locked = bench.instance.lock();
        let one = |name| -> Result<[Resource; 1]> {
            Ok([Resource {
                name,
                size: 16,
                occupancy: Arc::new(Three, GFP_KERNEL)?,
            }])
        };
        let resources = locked.add_resources(one(c"max_SFs")?)?;
        assert_eq!(resources.taken(0), Some(3));
        assert_eq!(resources.taken(1), None);
        assert_eq!(locked.add_resources(one(c"more")?).err(), Some(EBUSY));
        let mut size = 0;
        // SAFETY: the lock is held.
        let found = unsafe { bindings::devl_resource_size_get(bench.raw(), 1, &mut size) };
        assert_eq!((found, size), (0, 16));
        drop(resources);
        drop(locked.add_resources(one(c"more")?)?);
        Ok(())
    }

    #[test]
    fn rates_reach_leaves_and_nodes() -> Result {
        let bench = Bench::new(c"ferrite-devlink")?;
        let visible = bench.instance.register()?;
        let port = bench.instance.lock().add_port(1, SF)?;
        let leaf = bench.instance.add_rate_leaf(&port, limits()?)?;
        let again = bench.instance.add_rate_leaf(&port, limits()?);
        assert_eq!(again.err(), Some(EBUSY));
        let ops = rate::Table::<Card>::OPS_REF;
        as_devlink(&bench.instance.memory, || -> Result {
            // SAFETY: the lock is held. devlink made the leaf, and a node that is like those that it
            // makes has an instance and what `rate_node_new` returned.
            unsafe {
                let rate = (*port.port().as_raw()).devlink_rate;
                let set = ops.rate_leaf_tx_max_set.ok_or(EINVAL)?;
                assert_eq!(set(rate, (*rate).priv_, 1000, NO_EXTACK), 0);
                let set = ops.rate_leaf_tc_bw_set.ok_or(EINVAL)?;
                let mut shares = [20, 0, 0, 0, 0, 80, 0, 0];
                assert_eq!(set(rate, (*rate).priv_, shares.as_mut_ptr(), NO_EXTACK), 0);
                assert_eq!(*leaf.get().lock(), (1000, 100));
                let set = ops.rate_leaf_tx_share_set.ok_or(EINVAL)?;
                assert_eq!(set(rate, (*rate).priv_, 1, NO_EXTACK), EINVAL.to_errno());

                let mut node: bindings::devlink_rate = pin_init::zeroed();
                node.devlink = bench.raw();
                let new = ops.rate_node_new.ok_or(EINVAL)?;
                assert_eq!(new(&mut node, &mut node.priv_, NO_EXTACK), 0);
                let set = ops.rate_node_tx_max_set.ok_or(EINVAL)?;
                assert_eq!(set(&mut node, node.priv_, 500, NO_EXTACK), 0);
                let hang = ops.rate_leaf_parent_set.ok_or(EINVAL)?;
                assert_eq!(
                    hang(rate, &mut node, (*rate).priv_, node.priv_, NO_EXTACK),
                    0
                );
                assert!(*bench.instance.hangs.lock());
                let (root, none) = (core::ptr::null_mut(), core::ptr::null_mut());
                assert_eq!(hang(rate, root, (*rate).priv_, none, NO_EXTACK), 0);
                assert!(!*bench.instance.hangs.lock());
                let del = ops.rate_node_del.ok_or(EINVAL)?;
                assert_eq!(del(&mut node, node.priv_, NO_EXTACK), 0);
            }
            Ok(())
        })?;
        drop(visible);
        // The port first: the leaf keeps what it needs.
        drop(port);
        drop(leaf);
        Ok(())
    }

    #[test]
    fn lock_is_taken_once_more_by_its_holder() -> Result {
        let bench = Bench::new(c"ferrite-devlink")?;
        let outer = bench.instance.lock();
        drop(bench.instance.lock());
        // Still held: another thread does not get it.
        let (memory, got) = (bench.instance.memory.clone(), completed()?);
        let signal = got.clone();
        crate::work::queue().try_spawn(GFP_KERNEL, move || {
            drop(memory.lock());
            signal.complete();
        })?;
        assert!(!got.wait_timeout(20));
        drop(outer);
        assert!(got.wait_timeout(10_000));
        Ok(())
    }

    fn completed() -> Result<Arc<crate::completion::Completion>> {
        Arc::pin_init(crate::completion::Completion::new(), GFP_KERNEL)
    }
}
