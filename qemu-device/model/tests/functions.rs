// SPDX-License-Identifier: GPL-2.0

//! The life of VFs and SFs: provisioned, configured, activated, used, and gone.

use std::collections::BTreeMap;

use ferrite_abi::admin::Status;
use ferrite_abi::bar::DOORBELL_PAGE;
use ferrite_abi::cmd::{
    AttachFunction,
    ConfigureFunction,
    CreateSf,
    DestroySf,
    FunctionCaps,
    FunctionConfig,
    FunctionFields,
    QueryFunction,
    QueryFunctionConfig,
    QueryStats,
    QueueKind,
    SetEswitchMode,
    SetFunctionState,
    SetMac,
    SetVfPolicy, //
};
use ferrite_abi::event::{
    EventKind,
    FunctionChange,
    FunctionState,
    LinkChange, //
};
use ferrite_abi::ids::FunctionId;
use ferrite_abi::regs::{
    AdminControl,
    AdminError,
    AdminStatus,
    Control,
    Features,
    FeaturesHi,
    FeaturesLo,
    Limits, //
};
use ferrite_abi::wire::{
    U16,
    U32, //
};
use ferrite_model::testing::{
    frame,
    Driver,
    Machine,
    Rings, //
};
use ferrite_model::{
    Config,
    PciFn, //
};
use proptest::prelude::*;

const VF: PciFn = PciFn(1);
const VF_ID: FunctionId = FunctionId(1);

fn start(config: Config) -> (Machine, Driver) {
    let mut machine = Machine::new(config);
    let mut pf = Driver::start(&mut machine, PciFn::PF);
    pf.create_event_queue(&mut machine);
    (machine, pf)
}

fn create(m: &mut Machine, pf: &mut Driver, sfnum: u32) -> Result<FunctionId, Status> {
    let done = pf.send(
        m,
        CreateSf {
            sfnum: U32::new(sfnum),
        },
    );
    done.map(|done| FunctionId(done.function.get()))
}

fn set(
    m: &mut Machine,
    pf: &mut Driver,
    id: FunctionId,
    state: FunctionState,
) -> Result<(), Status> {
    let command = SetFunctionState {
        state: U16::new(state.0),
        rsvd: [0; 2],
    };
    pf.send_about(m, id, command)
}

fn attach(m: &mut Machine, pf: &mut Driver, id: FunctionId, attach: u8) -> Result<(), Status> {
    let rsvd = [0; 3];
    pf.send_about(m, id, AttachFunction { attach, rsvd })
}

fn config(m: &mut Machine, pf: &mut Driver, id: FunctionId) -> FunctionConfig {
    pf.send_about(m, id, QueryFunctionConfig {}).unwrap()
}

fn state(m: &mut Machine, pf: &mut Driver, id: FunctionId) -> FunctionState {
    FunctionState(config(m, pf, id).state.get())
}

fn policy(m: &mut Machine, pf: &mut Driver, state: FunctionState) {
    let command = SetVfPolicy {
        state: U16::new(state.0),
        rsvd: [0; 2],
    };
    pf.send(m, command).unwrap();
}

/// Returns the changes of state that the PF was told of.
fn told(m: &mut Machine, pf: &mut Driver) -> Vec<(FunctionId, FunctionState)> {
    let events = pf.events(m);
    let changes = events.iter().filter_map(|event| {
        let change = event.payload::<FunctionChange>()?;
        let id = FunctionId(event.function.get());
        Some((id, FunctionState(change.state.get())))
    });
    changes.collect()
}

/// An SF that is in use.
fn used_sf(m: &mut Machine, pf: &mut Driver) -> FunctionId {
    let id = create(m, pf, 1).unwrap();
    set(m, pf, id, FunctionState::ACTIVE).unwrap();
    attach(m, pf, id, 1).unwrap();
    id
}

#[test]
fn sf_goes_through_its_life_and_each_step_is_told() {
    let (mut machine, mut pf) = start(Config::default());
    let m = &mut machine;
    let id = create(m, &mut pf, 88).unwrap();
    assert_eq!(id, FunctionId(0x100));
    let about = config(m, &mut pf, id);
    assert_eq!(about.mac, [0x56, 0x01, 0x00, 0x12, 0x34, 0x56]);
    assert_eq!((about.sfnum.get(), about.vectors.get()), (88, 0));
    assert_eq!(about.max_eqs.get(), 8);
    assert_eq!(about.caps.get(), FunctionCaps::SPOOF_CHECK.0);
    assert_eq!(attach(m, &mut pf, id, 1), Err(Status::BAD_STATE));
    set(m, &mut pf, id, FunctionState::ACTIVE).unwrap();
    set(m, &mut pf, id, FunctionState::ACTIVE).unwrap();
    assert_eq!(pf.send_about(m, id, DestroySf {}), Err(Status::BAD_STATE));
    assert_eq!(attach(m, &mut pf, id, 0), Err(Status::BAD_STATE));
    attach(m, &mut pf, id, 1).unwrap();
    assert_eq!(attach(m, &mut pf, id, 1), Err(Status::BAD_STATE));
    attach(m, &mut pf, id, 0).unwrap();
    set(m, &mut pf, id, FunctionState::INACTIVE).unwrap();
    pf.send_about(m, id, DestroySf {}).unwrap();
    assert_eq!(
        pf.send_about(m, id, QueryFunction {}).err(),
        Some(Status::INVALID_FUNCTION)
    );
    let states = [
        FunctionState::INACTIVE,
        FunctionState::ACTIVE,
        FunctionState::IN_USE,
        FunctionState::ACTIVE,
        FunctionState::INACTIVE,
        FunctionState::ABSENT,
    ];
    assert_eq!(told(m, &mut pf), states.map(|state| (id, state)));
}

#[test]
fn sfs_are_limited_and_ids_rest_before_they_are_used_again() {
    let (mut machine, mut pf) = start(Config {
        max_sfs: 3,
        ..Config::default()
    });
    let m = &mut machine;
    let ids: Vec<_> = (0..3).map(|n| create(m, &mut pf, n).unwrap()).collect();
    assert_eq!(ids, [0x100, 0x101, 0x102].map(FunctionId));
    assert_eq!(create(m, &mut pf, 3), Err(Status::NO_RESOURCE));
    pf.send_about(m, ids[2], DestroySf {}).unwrap();
    pf.send_about(m, ids[0], DestroySf {}).unwrap();
    assert_eq!(create(m, &mut pf, 4), Ok(ids[0]));
    pf.send_about(m, ids[0], DestroySf {}).unwrap();
    assert_eq!(
        create(m, &mut pf, 5),
        Ok(ids[2]),
        "the one that rested longest"
    );
}

#[test]
fn device_without_sfs_has_no_such_commands() {
    let (mut machine, mut pf) = start(Config {
        max_sfs: 0,
        ..Config::default()
    });
    let m = &mut machine;
    assert_eq!(create(m, &mut pf, 1), Err(Status::NOT_SUPPORTED));
    let features = |m: &mut Machine| {
        let (lo, hi) = (
            m.read::<FeaturesLo>(PciFn::PF),
            m.read::<FeaturesHi>(PciFn::PF),
        );
        Features::join(lo, hi)
    };
    assert!(!features(m).contains(Features::SUB_FUNCTIONS));
    let (mut machine, _) = start(Config::default());
    assert!(features(&mut machine).contains(Features::SUB_FUNCTIONS));
}

#[test]
fn commands_about_functions_want_the_right_kind() {
    let (mut machine, mut pf) = start(Config::default());
    let m = &mut machine;
    m.set_vfs(1);
    let invalid = Err(Status::INVALID_FUNCTION);
    for id in [
        FunctionId::PF,
        FunctionId(2),
        FunctionId(0x100),
        FunctionId(0x8001),
    ] {
        assert_eq!(
            set(m, &mut pf, id, FunctionState::ACTIVE),
            invalid,
            "{id:?}"
        );
        let configure = ConfigureFunction::default();
        assert_eq!(pf.send_about(m, id, configure), invalid);
        assert_eq!(attach(m, &mut pf, id, 1), invalid);
    }
    assert_eq!(
        attach(m, &mut pf, VF_ID, 1),
        invalid,
        "a VF attaches itself"
    );
    assert_eq!(pf.send_about(m, VF_ID, DestroySf {}), invalid);
    let create = CreateSf { sfnum: U32::new(1) };
    assert_eq!(
        pf.send_about(m, VF_ID, create).err(),
        Some(Status::INVALID_FUNCTION)
    );
    let mut vf = Driver::start(m, VF);
    assert_eq!(
        vf.send(m, QueryFunctionConfig {}).err(),
        Some(Status::NOT_PERMITTED)
    );
    assert_eq!(
        set(m, &mut vf, VF_ID, FunctionState::INACTIVE),
        Err(Status::NOT_PERMITTED)
    );
    for bad in [
        FunctionState::ABSENT,
        FunctionState::IN_USE,
        FunctionState(9),
    ] {
        assert_eq!(set(m, &mut pf, VF_ID, bad), Err(Status::INVALID_FIELD));
    }
    let bad = SetVfPolicy {
        state: U16::new(FunctionState::IN_USE.0),
        rsvd: [0; 2],
    };
    assert_eq!(pf.send(m, bad), Err(Status::INVALID_FIELD));
}

#[test]
fn queues_are_for_functions_in_use() {
    let (mut machine, mut pf) = start(Config::default());
    let m = &mut machine;
    let id = create(m, &mut pf, 1).unwrap();
    let rings = Rings::unborn(PciFn::PF, m, QueueKind::TX, 0, 6);
    let create = rings.command(QueueKind::TX, 0);
    let mac = SetMac {
        mac: [2; 6],
        rsvd: [0; 2],
    };
    for _ in 0..2 {
        assert_eq!(pf.send_about(m, id, create), Err(Status::BAD_STATE));
        assert_eq!(pf.send_about(m, id, mac), Err(Status::BAD_STATE));
        set(m, &mut pf, id, FunctionState::ACTIVE).unwrap();
    }
    attach(m, &mut pf, id, 1).unwrap();
    pf.send_about(m, id, create).unwrap();
    pf.send_about(m, id, mac).unwrap();
    attach(m, &mut pf, id, 0).unwrap();
    attach(m, &mut pf, id, 1).unwrap();
    pf.send_about(m, id, create).unwrap();
    let about = pf.send_about(m, id, QueryFunction {}).unwrap();
    assert_eq!(
        about.mac,
        [0x56, 0x01, 0x00, 0x12, 0x34, 0x56],
        "as provisioned"
    );
    assert_eq!(about.doorbell_page.get(), 1);
}

#[test]
fn packets_pass_between_pf_and_sf() {
    let (mut machine, mut pf) = start(Config::default());
    let m = &mut machine;
    let id = used_sf(m, &mut pf);
    let (mut pf_tx, mut pf_rx) = (pf.tx_queue(m, 0), pf.rx_queue(m, 0));
    let (mut tx, mut rx) = (pf.tx_queue_of(m, id, 0), pf.rx_queue_of(m, id, 0));
    pf.open(m);
    pf.open_of(m, id);
    pf_rx.post(m, 4);
    rx.post(m, 4);
    let (pf_mac, mac) = (Config::default().mac, config(m, &mut pf, id).mac);
    pf_tx.send(m, &frame::plain(mac, pf_mac, b"to the SF"));
    tx.send(m, &frame::plain(pf_mac, mac, b"to the PF"));
    assert_eq!(rx.reap(m)[0].bytes[14..], *b"to the SF");
    assert_eq!(pf_rx.reap(m)[0].bytes[14..], *b"to the PF");
    let (_, stats) = pf.fetch_about(m, id, QueryStats {}).unwrap();
    assert_eq!((stats.tx_packets.get(), stats.rx_packets.get()), (1, 1));
    // Interrupts are those of the PF.
    assert!(m
        .host
        .raised
        .iter()
        .all(|(function, _)| *function == PciFn::PF));
}

#[test]
fn deactivated_function_touches_no_memory_and_gets_nothing() {
    for sf in [true, false] {
        let (mut machine, mut pf) = start(Config::default());
        let m = &mut machine;
        m.set_vfs(1);
        let mut vf = Driver::start(m, VF);
        let (id, driver) = if sf {
            (used_sf(m, &mut pf), &mut pf)
        } else {
            (VF_ID, &mut vf)
        };
        let (mut tx, mut rx) = (driver.tx_queue_of(m, id, 0), driver.rx_queue_of(m, id, 0));
        driver.open_of(m, id);
        rx.post(m, 8);
        // Something waits in the queues and on the wire as the end comes.
        let broadcast = frame::plain([0xff; 6], [2; 6], &[0; 46]);
        let desc = ferrite_model::testing::TxQueue::place(m, &broadcast);
        tx.0.post(m, &[desc]);
        let _ = m.device.uplink_receive(&mut m.host, &broadcast);
        let page = if sf { DOORBELL_PAGE } else { 0 };
        let pci = if sf { PciFn::PF } else { VF };
        set(m, &mut pf, id, FunctionState::INACTIVE).unwrap();
        for queue in [&tx.0, &rx.rings] {
            m.host.break_range(None, queue.ring..queue.ring + 0x1000);
            m.host.break_range(None, queue.cq..queue.cq + 0x1000);
            m.host.break_range(None, queue.state..queue.state + 0x80);
        }
        m.host.raised.clear();
        m.receive(&broadcast);
        m.ring_at(pci, page.into());
        m.ring_at(pci, u64::from(page) + 0x400);
        m.settle();
        m.advance(1_000_000_000);
        assert_eq!(m.host.raised, [], "sf {sf}");
        m.host.mend();
        let sent = pf.fetch_about(m, id, QueryStats {}).unwrap().1;
        // Activated again it has nothing of what it had.
        set(m, &mut pf, id, FunctionState::ACTIVE).unwrap();
        m.receive(&broadcast);
        let stats = pf.fetch_about(m, id, QueryStats {}).unwrap().1;
        assert_eq!(stats.rx_packets.get(), sent.rx_packets.get());
        assert_eq!(stats.rx_closed.get(), sent.rx_closed.get() + 1);
    }
}

#[test]
fn inactive_vf_is_not_ready_and_its_admin_queue_does_not_start() {
    let (mut machine, mut pf) = start(Config::default());
    let m = &mut machine;
    policy(m, &mut pf, FunctionState::INACTIVE);
    m.set_vfs(2);
    use ferrite_abi::regs::Status as StatusReg;
    assert_eq!(m.read::<StatusReg>(VF), StatusReg(0));
    m.write(VF, AdminControl(1));
    let admin: AdminStatus = m.read(VF);
    assert_eq!(admin.enabled(), 0);
    assert_eq!(admin.error(), AdminError::INACTIVE.0.into());
    m.write(VF, AdminControl(0));
    set(m, &mut pf, VF_ID, FunctionState::ACTIVE).unwrap();
    assert_eq!(m.read::<StatusReg>(VF).ready(), 1);
    let mut vf = Driver::start(m, VF);
    vf.send(m, QueryFunction {}).unwrap();
    assert_eq!(state(m, &mut pf, VF_ID), FunctionState::IN_USE);
    assert_eq!(state(m, &mut pf, FunctionId(2)), FunctionState::INACTIVE);
    // A reset is no activation.
    m.write(PciFn(2), Control(1));
    m.advance(10_000_000);
    assert_eq!(state(m, &mut pf, FunctionId(2)), FunctionState::INACTIVE);
    // Deactivating stops the queue under its driver.
    set(m, &mut pf, VF_ID, FunctionState::INACTIVE).unwrap();
    assert_eq!(m.read::<StatusReg>(VF), StatusReg(0));
    assert_eq!(m.read::<AdminStatus>(VF).enabled(), 0);
    assert_eq!(m.read::<AdminControl>(VF).enable(), 0);
}

#[test]
fn configuration_is_checked_as_a_whole() {
    let (mut machine, mut pf) = start(Config::default());
    let m = &mut machine;
    m.set_vfs(1);
    let id = create(m, &mut pf, 1).unwrap();
    let all = ConfigureFunction {
        mask: U16::new(
            FunctionFields::MAC.0
                | FunctionFields::CAPS.0
                | FunctionFields::MAX_EQS.0
                | FunctionFields::VLAN.0,
        ),
        mac: [2, 0, 0, 0, 0x88, 0x88],
        caps: U16::new(FunctionCaps::ROCE.0),
        max_eqs: U16::new(2),
        vectors: U16::new(0),
        vlan: U16::new(5),
    };
    for id in [id, VF_ID] {
        let before = config(m, &mut pf, id);
        for bad in [
            ConfigureFunction {
                mac: [1, 0, 0, 0, 0, 1],
                ..all
            },
            ConfigureFunction { mac: [0; 6], ..all },
            ConfigureFunction {
                caps: U16::new(1 << 6),
                ..all
            },
            ConfigureFunction {
                max_eqs: U16::new(0),
                ..all
            },
            ConfigureFunction {
                max_eqs: U16::new(9),
                ..all
            },
            ConfigureFunction {
                vlan: U16::new(4095),
                ..all
            },
            ConfigureFunction {
                mask: U16::new(1 << 5),
                ..all
            },
        ] {
            assert_eq!(
                pf.send_about(m, id, bad),
                Err(Status::INVALID_FIELD),
                "{bad:?}"
            );
            assert_eq!(
                format!("{:?}", config(m, &mut pf, id)),
                format!("{before:?}")
            );
        }
        pf.send_about(m, id, all).unwrap();
        let after = config(m, &mut pf, id);
        assert_eq!(
            (after.mac, after.caps, after.max_eqs, after.vlan),
            (all.mac, all.caps, all.max_eqs, all.vlan)
        );
        let about = pf.send_about(m, id, QueryFunction {}).unwrap();
        assert_eq!((about.mac, about.max_queues.get()), (all.mac, 2));
    }
    let migratable = ConfigureFunction {
        mask: U16::new(FunctionFields::CAPS.0),
        caps: U16::new(FunctionCaps::MIGRATABLE.0),
        ..all
    };
    assert_eq!(pf.send_about(m, id, migratable), Err(Status::INVALID_FIELD));
    pf.send_about(m, VF_ID, migratable).unwrap();
    let vectors = ConfigureFunction {
        mask: U16::new(FunctionFields::VECTORS.0),
        vectors: U16::new(4),
        ..all
    };
    assert_eq!(pf.send_about(m, id, vectors), Err(Status::INVALID_FIELD));
}

#[test]
fn address_of_a_function_in_use_changes_with_its_reset() {
    let (mut machine, mut pf) = start(Config::default());
    let m = &mut machine;
    let id = used_sf(m, &mut pf);
    let mac = [2, 0, 0, 0, 0x88, 0x88];
    let configure = ConfigureFunction {
        mask: U16::new(FunctionFields::MAC.0),
        mac,
        ..ConfigureFunction::default()
    };
    pf.send_about(m, id, configure).unwrap();
    assert_eq!(config(m, &mut pf, id).mac, mac);
    assert_ne!(pf.send_about(m, id, QueryFunction {}).unwrap().mac, mac);
    attach(m, &mut pf, id, 0).unwrap();
    assert_eq!(pf.send_about(m, id, QueryFunction {}).unwrap().mac, mac);
}

#[test]
fn vectors_of_a_vf_are_given_and_taken() {
    let (mut machine, mut pf) = start(Config {
        max_vfs: 4,
        vf_vectors: 8,
        ..Config::default()
    });
    let m = &mut machine;
    m.set_vfs(4);
    let vectors = |count| ConfigureFunction {
        mask: U16::new(FunctionFields::VECTORS.0),
        vectors: U16::new(count),
        ..ConfigureFunction::default()
    };
    // All have what they come with: there is nothing to give.
    assert_eq!(
        pf.send_about(m, VF_ID, vectors(9)),
        Err(Status::NO_RESOURCE)
    );
    for bad in [0, 1, 33] {
        assert_eq!(
            pf.send_about(m, VF_ID, vectors(bad)),
            Err(Status::INVALID_FIELD)
        );
    }
    pf.send_about(m, FunctionId(2), vectors(2)).unwrap();
    pf.send_about(m, FunctionId(3), vectors(2)).unwrap();
    pf.send_about(m, VF_ID, vectors(20)).unwrap();
    assert_eq!(m.host.vectors, [(PciFn(2), 2), (PciFn(3), 2), (VF, 20)]);
    assert_eq!(m.read::<Limits>(VF).vectors(), 20);
    assert_eq!(m.read::<Limits>(PciFn(2)).vectors(), 2);
    assert_eq!(config(m, &mut pf, VF_ID).vectors.get(), 20);
    let few = pf.send_about(m, FunctionId(2), QueryFunction {}).unwrap();
    assert_eq!(
        few.max_queues.get(),
        1,
        "one vector is that of the admin queue"
    );
    let mut vf = Driver::start(m, VF);
    assert_eq!(pf.send_about(m, VF_ID, vectors(8)), Err(Status::BAD_STATE));
    vf.tx_queue(m, 0);
    m.migrate();
    assert_eq!(m.read::<Limits>(VF).vectors(), 20);
    // What comes new has what such a one comes with.
    m.set_vfs(0);
    m.set_vfs(1);
    assert_eq!(m.read::<Limits>(VF).vectors(), 8);
    assert_eq!(
        m.host.vectors.iter().rev().find(|(vf, _)| *vf == VF),
        Some(&(VF, 8))
    );
}

#[test]
fn reset_of_the_pf_ends_sfs_and_leaves_vfs() {
    let (mut machine, mut pf) = start(Config::default());
    let m = &mut machine;
    policy(m, &mut pf, FunctionState::INACTIVE);
    m.set_vfs(1);
    let id = used_sf(m, &mut pf);
    let tx = pf.tx_queue_of(m, id, 0);
    m.write(PciFn::PF, Control(1));
    let state = tx.0.state;
    m.host.break_range(None, state..state + 0x80);
    m.ring_at(PciFn::PF, DOORBELL_PAGE.into());
    m.advance(10_000_000);
    m.host.mend();
    let mut pf = Driver::start(m, PciFn::PF);
    assert_eq!(
        pf.send_about(m, id, QueryFunction {}).err(),
        Some(Status::INVALID_FUNCTION)
    );
    assert_eq!(self::state(m, &mut pf, VF_ID), FunctionState::INACTIVE);
    m.set_vfs(0);
    m.set_vfs(1);
    assert_eq!(
        self::state(m, &mut pf, VF_ID),
        FunctionState::ACTIVE,
        "policy is as it was"
    );
}

#[test]
fn link_changes_are_told_to_each_function_in_use() {
    let (mut machine, mut pf) = start(Config::default());
    let m = &mut machine;
    let used = used_sf(m, &mut pf);
    let unused = create(m, &mut pf, 2).unwrap();
    pf.events(m);
    m.device.set_uplink(&mut m.host, false);
    let about: Vec<_> = pf
        .events(m)
        .iter()
        .filter(|event| event.kind.get() == EventKind::LINK_CHANGE.0)
        .map(|event| {
            assert_eq!(event.payload::<LinkChange>().unwrap().up, 0);
            FunctionId(event.function.get())
        })
        .collect();
    assert_eq!(about, [FunctionId::PF, used]);
    assert_ne!(used, unused);
}

#[test]
fn functions_survive_migration() {
    let (mut machine, mut pf) = start(Config::default());
    let m = &mut machine;
    let first = create(m, &mut pf, 7).unwrap();
    let used = used_sf(m, &mut pf);
    let (mut tx, mut rx) = (pf.tx_queue_of(m, used, 0), pf.rx_queue_of(m, used, 0));
    pf.open_of(m, used);
    rx.post(m, 4);
    pf.send_about(m, first, DestroySf {}).unwrap();
    m.migrate();
    m.settle();
    let mac = config(m, &mut pf, used).mac;
    tx.send(m, &frame::plain([2; 6], mac, b"out"));
    assert_eq!(m.host.sent.len(), 1);
    m.receive(&frame::plain(mac, [2; 6], b"in"));
    assert_eq!(rx.reap(m).len(), 1);
    assert_ne!(create(m, &mut pf, 8).unwrap(), first, "the id still rests");
}

/// A step of the random life.
#[derive(Clone, Copy, Debug)]
enum Step {
    Create,
    Destroy(u16),
    Set(u16, bool),
    Attach(u16, bool),
    Queue(u16),
    Mac(u16, u8),
    Vfs(u16),
    VfDriver(u16, bool),
    VfReset(u16),
    Mode(u16),
    Packet,
    Migrate,
}

fn step() -> impl Strategy<Value = Step> {
    // SFs by index, VFs above.
    let any_function = 0..6u16;
    let sf = 0..4u16;
    prop_oneof![
        3 => Just(Step::Create),
        2 => sf.clone().prop_map(Step::Destroy),
        4 => (any_function.clone(), any::<bool>()).prop_map(|(f, on)| Step::Set(f, on)),
        4 => (sf, any::<bool>()).prop_map(|(f, on)| Step::Attach(f, on)),
        2 => any_function.clone().prop_map(Step::Queue),
        2 => (any_function, any::<u8>()).prop_map(|(f, n)| Step::Mac(f, n)),
        1 => (0..3u16).prop_map(Step::Vfs),
        2 => (0..2u16, any::<bool>()).prop_map(|(f, on)| Step::VfDriver(f, on)),
        1 => (0..2u16).prop_map(Step::VfReset),
        2 => (0..3u16).prop_map(Step::Mode),
        1 => Just(Step::Packet),
        1 => Just(Step::Migrate),
    ]
}

fn id_of(function: u16) -> FunctionId {
    match function {
        0..4 => FunctionId::sf(function).unwrap(),
        vf => FunctionId::vf(vf - 4).unwrap(),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever is asked in whatever order, a plain table says how it ends, and events tell it.
    #[test]
    fn life_in_any_order_is_as_the_table_says(steps in proptest::collection::vec(step(), 1..60)) {
        let (mut machine, mut pf) = start(Config { max_sfs: 4, max_vfs: 2, ..Config::default() });
        let m = &mut machine;
        let mut table: BTreeMap<FunctionId, FunctionState> = BTreeMap::new();
        let mut seen = table.clone();
        let mut mode = 0;
        let (absent, inactive) = (FunctionState::ABSENT, FunctionState::INACTIVE);
        let (active, in_use) = (FunctionState::ACTIVE, FunctionState::IN_USE);
        for step in steps {
            match step {
                Step::Create => {
                    let free = (0..4).filter(|n| !table.contains_key(&id_of(*n))).count();
                    match create(m, &mut pf, 1) {
                        Ok(id) => {
                            prop_assert!(free > 0 && !table.contains_key(&id));
                            table.insert(id, inactive);
                        }
                        Err(status) => prop_assert_eq!((free, status), (0, Status::NO_RESOURCE)),
                    }
                }
                Step::Destroy(f) => {
                    let id = id_of(f);
                    let expected = match table.get(&id) {
                        None => Err(Status::INVALID_FUNCTION),
                        Some(state) if *state == inactive => Ok(()),
                        Some(_) => Err(Status::BAD_STATE),
                    };
                    prop_assert_eq!(pf.send_about(m, id, DestroySf {}), expected);
                    if expected.is_ok() {
                        table.remove(&id);
                    }
                }
                Step::Set(f, on) => {
                    let id = id_of(f);
                    let wanted = if on { active } else { inactive };
                    let result = set(m, &mut pf, id, wanted);
                    match table.get_mut(&id) {
                        None => prop_assert_eq!(result, Err(Status::INVALID_FUNCTION)),
                        Some(state) => {
                            prop_assert_eq!(result, Ok(()));
                            if !on || *state == inactive {
                                *state = wanted;
                            }
                        }
                    }
                }
                Step::Attach(f, on) => {
                    let id = id_of(f);
                    let (from, to) = if on { (active, in_use) } else { (in_use, active) };
                    let result = attach(m, &mut pf, id, on.into());
                    match table.get_mut(&id) {
                        None => prop_assert_eq!(result, Err(Status::INVALID_FUNCTION)),
                        Some(state) if *state == from => {
                            prop_assert_eq!(result, Ok(()));
                            *state = to;
                        }
                        Some(_) => prop_assert_eq!(result, Err(Status::BAD_STATE)),
                    }
                }
                Step::Queue(f) => {
                    let id = id_of(f);
                    let pci = if f < 4 { PciFn::PF } else { PciFn(f - 3) };
                    let rings = Rings::unborn(pci, m, QueueKind::RX, 1, 4);
                    let result = pf.send_about(m, id, rings.command(QueueKind::RX, 1));
                    match table.get(&id) {
                        None => prop_assert_eq!(result, Err(Status::INVALID_FUNCTION)),
                        Some(state) if *state == in_use => {
                            prop_assert!(matches!(result, Ok(()) | Err(Status::IN_USE)));
                        }
                        Some(_) => prop_assert_eq!(result, Err(Status::BAD_STATE)),
                    }
                }
                Step::Mac(f, n) => {
                    let configure = ConfigureFunction {
                        mask: U16::new(FunctionFields::MAC.0),
                        mac: [2, 0, 0, 0, 1, n],
                        ..ConfigureFunction::default()
                    };
                    let result = pf.send_about(m, id_of(f), configure);
                    prop_assert_eq!(result.is_ok(), table.contains_key(&id_of(f)));
                }
                Step::Vfs(count) => {
                    m.set_vfs(count);
                    for vf in 0..2 {
                        let id = FunctionId::vf(vf).unwrap();
                        if vf < count {
                            table.entry(id).or_insert(active);
                        } else {
                            table.remove(&id);
                        }
                    }
                }
                Step::VfDriver(vf, on) => {
                    m.write(PciFn::vf(vf), AdminControl(0));
                    if on {
                        Driver::start(m, PciFn::vf(vf));
                    }
                    if let Some(state) = table.get_mut(&FunctionId::vf(vf).unwrap()) {
                        if *state != inactive {
                            *state = if on { in_use } else { active };
                        }
                    }
                }
                Step::VfReset(vf) => {
                    m.write(PciFn::vf(vf), Control(1));
                    m.advance(10_000_000);
                    if let Some(state) = table.get_mut(&FunctionId::vf(vf).unwrap()) {
                        if *state == in_use {
                            *state = active;
                        }
                    }
                }
                Step::Mode(wanted) => {
                    mode = wanted;
                    let command = SetEswitchMode { mode: U16::new(mode), rsvd: [0; 2] };
                    pf.send(m, command).unwrap();
                }
                Step::Packet => m.receive(&frame::plain([0xff; 6], [2; 6], &[0; 46])),
                Step::Migrate => {
                    m.migrate();
                    m.settle();
                }
            }
            for (id, state) in told(m, &mut pf) {
                if state == absent {
                    seen.remove(&id);
                } else {
                    seen.insert(id, state);
                }
            }
            prop_assert_eq!(&seen, &table, "after {:?}", step);
            for f in 0..6 {
                let result = pf.send_about(m, id_of(f), QueryFunctionConfig {});
                let state = result.map(|config| FunctionState(config.state.get()));
                prop_assert_eq!(state.ok(), table.get(&id_of(f)).copied());
                let representor = id_of(f).representor().unwrap();
                let represented = pf.send_about(m, representor, QueryFunction {}).is_ok();
                prop_assert_eq!(represented, mode != 0 && table.contains_key(&id_of(f)));
            }
        }
    }
}
