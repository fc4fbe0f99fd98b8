// SPDX-License-Identifier: GPL-2.0

//! The admin queue and its commands, the event queue.

use ferrite_abi::admin::{
    Opcode,
    Status,
    Submission, //
};
use ferrite_abi::cmd::{
    CreateEventQueue,
    CreateQueue,
    DestroyEventQueue,
    DestroyQueue,
    Echo,
    EnablePort,
    Identify,
    InjectFault,
    QueryFunction,
    QueryLink,
    QueryQueue,
    QueueKind,
    RssTable,
    RxFilter,
    SetMac,
    SetMtu,
    SetRss,
    SetRxMode,
    COMMANDS,
    MAX_RSS_TABLE,
    MAX_RX_FILTER,
    RSS_KEY, //
};
use ferrite_abi::event::{
    EventKind,
    FunctionChange,
    FunctionState,
    HealthChange,
    LinkChange,
    Syndrome, //
};
use ferrite_abi::ids::FunctionId;
use ferrite_abi::regs::{
    AdminControl,
    AdminCqHead,
    AdminError,
    AdminSqTail,
    AdminStatus,
    Status as StatusRegister,
    SyndromeCode, //
};
use ferrite_abi::wire::{
    IntoBytes,
    U16,
    U32,
    U64, //
};
use ferrite_model::testing::{
    Driver,
    Machine,
    Rings, //
};
use ferrite_model::{
    Config,
    PciFn,
    Trace, //
};

const VF: PciFn = PciFn::vf(0);

fn start() -> (Machine, Driver) {
    let mut machine = Machine::new(Config::default());
    let driver = Driver::start(&mut machine, PciFn::PF);
    (machine, driver)
}

fn echo(value: u64) -> Echo {
    Echo {
        value: U64::new(value),
    }
}

#[test]
fn commands_are_answered_through_many_passes_of_the_ring() {
    let (mut machine, mut driver) = start();
    for value in 0..1000 {
        assert_eq!(
            driver.send(&mut machine, echo(value)).unwrap().value.get(),
            value
        );
    }
    assert_eq!(machine.host.raised.len(), 1000);
    assert!(machine
        .host
        .raised
        .iter()
        .all(|raised| *raised == (PciFn::PF, 0)));
}

#[test]
fn batch_of_commands_is_answered_in_order_with_one_interrupt() {
    let (mut machine, mut driver) = start();
    for tag in 0..20 {
        driver.submit(
            &mut machine,
            &Submission::new(tag, FunctionId::PF, echo(tag.into())),
        );
    }
    machine.settle();
    assert_eq!(machine.host.raised, [(PciFn::PF, 0)]);
    for tag in 0..20 {
        let completion = driver.poll(&mut machine).unwrap();
        assert_eq!((completion.tag.get(), completion.status.get()), (tag, 0));
        assert_eq!(completion.done::<Echo>().value.get(), u64::from(tag));
        assert_eq!(completion.sq_head.get(), 20);
    }
    assert!(driver.poll(&mut machine).is_none());
}

#[test]
fn no_completion_is_written_into_an_unread_slot() {
    let (mut machine, mut driver) = start();
    let entries = driver.depth.entries();
    // Two rings full of commands, and the driver reads no completion.
    for round in 0..2 {
        for n in 0..entries {
            let tag = (round * entries + n) as u16;
            driver.submit(&mut machine, &Submission::new(tag, FunctionId::PF, echo(0)));
        }
        machine.settle();
    }
    // What there is no slot for is not carried out either, so that nothing piles up.
    let carried_out = |machine: &Machine| {
        let traces = machine.host.traces.iter();
        traces
            .filter(|trace| matches!(trace, Trace::Command { .. }))
            .count()
    };
    assert_eq!(carried_out(&machine), entries as usize);
    for tag in 0..2 * entries {
        let completion = driver.poll(&mut machine).unwrap();
        assert_eq!(u32::from(completion.tag.get()), tag);
        machine.settle();
    }
}

#[test]
fn polled_queue_raises_no_interrupt() {
    let (mut machine, mut driver) = start();
    machine.write_at(PciFn::PF, 0x114, 0);
    driver.send(&mut machine, echo(1)).unwrap();
    assert_eq!(machine.host.raised, []);
}

#[test]
fn tail_too_far_ahead_is_fatal_until_reset() {
    let (mut machine, mut driver) = start();
    driver.create_event_queue(&mut machine);
    machine.write(PciFn::PF, AdminSqTail(1000));
    machine.settle();
    let status = machine.read::<AdminStatus>(PciFn::PF);
    assert_eq!(status.error(), u32::from(AdminError::BAD_TAIL.0));
    assert_eq!(status.enabled(), 0);
    assert_eq!(
        machine.read::<StatusRegister>(PciFn::PF),
        StatusRegister(1 << 2)
    );
    assert_eq!(
        machine.read::<SyndromeCode>(PciFn::PF).code(),
        Syndrome::ADMIN_BAD_TAIL.0
    );
    let events = driver.events(&mut machine);
    let health: HealthChange = events[0].payload().unwrap();
    assert_eq!(health.syndrome.get(), Syndrome::ADMIN_BAD_TAIL.0);
    machine.device.reset_function(&mut machine.host, PciFn::PF);
    machine.advance(1_000_000);
    assert_eq!(machine.read::<StatusRegister>(PciFn::PF), StatusRegister(1));
    let mut driver = Driver::start(&mut machine, PciFn::PF);
    driver.send(&mut machine, echo(1)).unwrap();
}

#[test]
fn ring_that_cannot_be_accessed_is_fatal() {
    for completion_ring in [false, true] {
        let (mut machine, mut driver) = start();
        let broken = if completion_ring {
            driver.cq
        } else {
            driver.sq
        };
        machine.host.break_range(None, broken..broken + 64);
        driver.submit(&mut machine, &Submission::new(0, FunctionId::PF, echo(0)));
        machine.settle();
        assert_eq!(
            machine.read::<AdminStatus>(PciFn::PF).error(),
            u32::from(AdminError::DMA_FAULT.0)
        );
        assert_eq!(
            machine.read::<SyndromeCode>(PciFn::PF).code(),
            Syndrome::ADMIN_DMA_FAULT.0
        );
    }
}

#[test]
fn head_ahead_of_what_was_written_is_ignored() {
    let (mut machine, mut driver) = start();
    driver.send(&mut machine, echo(1)).unwrap();
    machine.write(PciFn::PF, AdminCqHead(100));
    for _ in 0..100 {
        driver.send(&mut machine, echo(1)).unwrap();
    }
}

#[test]
fn disabled_queue_does_no_dma() {
    let (mut machine, mut driver) = start();
    driver.submit(&mut machine, &Submission::new(0, FunctionId::PF, echo(0)));
    machine.write(PciFn::PF, AdminControl(0));
    let before = machine.host.dma_accesses;
    machine.settle();
    assert_eq!(machine.host.dma_accesses, before);
    assert!(driver.poll(&mut machine).is_none());
}

#[test]
fn function_without_bus_master_does_no_dma_until_it_has() {
    let (mut machine, mut driver) = start();
    machine
        .device
        .set_bus_master(&mut machine.host, PciFn::PF, false);
    driver.submit(&mut machine, &Submission::new(0, FunctionId::PF, echo(0)));
    machine.settle();
    assert_eq!(machine.host.dma_accesses, 0);
    machine
        .device
        .set_bus_master(&mut machine.host, PciFn::PF, true);
    machine.settle();
    assert!(driver.poll(&mut machine).is_some());
}

#[test]
fn every_command_of_the_contract_has_a_handler() {
    let mut machine = Machine::new(Config {
        faults: true,
        ..Config::default()
    });
    let mut driver = Driver::start(&mut machine, PciFn::PF);
    for command in COMMANDS {
        // Reserved bytes that are set are refused, but only once the opcode is known.
        let mut submission = Submission::new(1, FunctionId::PF, echo(0));
        submission.opcode = U16::new(command.opcode.0);
        submission.rsvd2 = [1; 4];
        let completion = driver.call(&mut machine, &submission);
        assert_eq!(
            Status(completion.status.get()),
            Status::INVALID_FIELD,
            "{}",
            command.name
        );
    }
    let mut submission = Submission::new(1, FunctionId::PF, echo(0));
    submission.opcode = U16::new(0x7777);
    let completion = driver.call(&mut machine, &submission);
    assert_eq!(Status(completion.status.get()), Status::UNKNOWN_OPCODE);
    assert_eq!(completion.opcode.get(), 0x7777);
}

#[test]
fn reserved_bytes_are_refused_wherever_they_are() {
    let (mut machine, mut driver) = start();
    let mut refused = |submission: &Submission| {
        let completion = driver.call(&mut machine, submission);
        assert_eq!(Status(completion.status.get()), Status::INVALID_FIELD);
    };
    let pf = FunctionId::PF;
    refused(&Submission {
        rsvd: [0, 1],
        ..Submission::new(1, pf, echo(0))
    });
    let mut beyond = Submission::new(1, pf, echo(0));
    beyond.params[8] = 1;
    refused(&beyond);
    refused(&Submission {
        data_len: U32::new(8),
        ..Submission::new(1, pf, echo(0))
    });
    refused(&Submission {
        data_addr: U64::new(8),
        ..Submission::new(1, pf, echo(0))
    });
    refused(&Submission::new(
        1,
        pf,
        EnablePort {
            enable: 1,
            rsvd: [0, 0, 1],
        },
    ));
    refused(&Submission::new(
        1,
        pf,
        EnablePort {
            enable: 2,
            rsvd: [0; 3],
        },
    ));
    refused(&Submission::new(
        1,
        pf,
        SetMtu {
            mtu: U16::new(1500),
            rsvd: [1, 0],
        },
    ));
    refused(&Submission::new(
        1,
        pf,
        SetMac {
            mac: [2, 0, 0, 0, 0, 1],
            rsvd: [1, 0],
        },
    ));
}

#[test]
fn functions_are_checked_before_anything_else() {
    let (mut machine, mut pf) = start();
    machine.set_vfs(2);
    let mut vf = Driver::start(&mut machine, VF);
    let mut status = |driver: &mut Driver, function| {
        let submission = Submission::new(3, FunctionId(function), echo(0));
        Status(driver.call(&mut machine, &submission).status.get())
    };
    assert_eq!(status(&mut pf, 0), Status::OK);
    assert_eq!(status(&mut pf, 2), Status::OK);
    assert_eq!(status(&mut pf, 3), Status::INVALID_FUNCTION);
    assert_eq!(status(&mut pf, 0x100), Status::INVALID_FUNCTION);
    assert_eq!(status(&mut pf, 0xffff), Status::INVALID_FUNCTION);
    assert_eq!(status(&mut vf, 1), Status::OK);
    assert_eq!(status(&mut vf, 0), Status::NOT_PERMITTED);
    assert_eq!(status(&mut vf, 2), Status::NOT_PERMITTED);
}

#[test]
fn commands_that_are_not_for_everyone_are_refused() {
    let (mut machine, mut pf) = start();
    machine.set_vfs(1);
    let mut vf = Driver::start(&mut machine, VF);
    let fault = InjectFault::default();
    assert_eq!(vf.send(&mut machine, fault), Err(Status::NOT_PERMITTED));
    assert_eq!(pf.send(&mut machine, fault), Err(Status::NOT_SUPPORTED));
}

#[test]
fn data_buffers_are_checked() {
    let (mut machine, mut driver) = start();
    let mut status = |change: fn(&mut Submission)| {
        let mut submission = driver.with_data(Identify {});
        change(&mut submission);
        Status(driver.call(&mut machine, &submission).status.get())
    };
    assert_eq!(status(|_| {}), Status::OK);
    assert_eq!(status(|entry| entry.data_len = U32::new(4096)), Status::OK);
    assert_eq!(
        status(|entry| entry.data_len = U32::new(4097)),
        Status::INVALID_FIELD
    );
    assert_eq!(
        status(|entry| entry.data_len = U32::new(255)),
        Status::SHORT_BUFFER
    );
    assert_eq!(
        status(|entry| entry.data_len = U32::new(0)),
        Status::SHORT_BUFFER
    );
    assert_eq!(
        status(|entry| entry.data_addr = U64::new(0)),
        Status::SHORT_BUFFER
    );
    assert_eq!(
        status(|entry| entry.data_addr = U64::new(u64::MAX - 7)),
        Status::DMA_FAULT
    );
}

#[test]
fn identity_is_that_of_the_set_up() {
    let uuid = *b"0123456789abcdef";
    let config = Config {
        uuid,
        serial: "SN-7".into(),
        max_vfs: 9,
        ..Config::default()
    };
    let mut machine = Machine::new(config);
    let mut driver = Driver::start(&mut machine, PciFn::PF);
    let (_, identity) = driver.fetch(&mut machine, Identify {}).unwrap();
    assert_eq!(identity.serial[..5], *b"SN-7\0");
    assert_eq!(identity.asic[..9], *b"ferrite-1");
    assert_eq!(identity.fw_running[..6], *b"1.0.0\0");
    assert_eq!((identity.max_vfs.get(), identity.max_sfs.get()), (9, 512));
    assert_eq!(identity.uuid, uuid);
    assert_eq!(identity.total_vf_vectors.get(), 9 * 16);
    assert_eq!(identity.max_vf_vectors.get(), 64);
    assert!(identity.as_bytes()[142..].iter().all(|byte| *byte == 0));
}

#[test]
fn function_is_described_as_it_is() {
    let (mut machine, mut driver) = start();
    machine.set_vfs(1);
    let about = driver.send(&mut machine, QueryFunction {}).unwrap();
    assert_eq!(about.mac, Config::default().mac);
    assert_eq!((about.mtu.get(), about.max_mtu.get()), (1500, 9600));
    assert_eq!((about.max_queues.get(), about.doorbell_page.get()), (8, 0));
    assert_eq!(about.state.get(), FunctionState::IN_USE.0);
    let mut vf = Driver::start(&mut machine, VF);
    let about = vf.send(&mut machine, QueryFunction {}).unwrap();
    assert_eq!(about.mac, [0x52, 0x54, 0x00, 0x12, 0x34, 0x57]);
}

#[test]
fn queues_are_limited_by_vectors() {
    let config = Config {
        num_queues: 64,
        vf_vectors: 4,
        ..Config::default()
    };
    let mut machine = Machine::new(config);
    machine.set_vfs(1);
    let mut vf = Driver::start(&mut machine, VF);
    assert_eq!(
        vf.send(&mut machine, QueryFunction {})
            .unwrap()
            .max_queues
            .get(),
        3
    );
}

#[test]
fn port_settings_are_checked_and_kept() {
    let (mut machine, mut driver) = start();
    let m = &mut machine;
    let mtu = |mtu| SetMtu {
        mtu: U16::new(mtu),
        rsvd: [0; 2],
    };
    assert_eq!(driver.send(m, mtu(67)), Err(Status::INVALID_FIELD));
    assert_eq!(driver.send(m, mtu(9601)), Err(Status::INVALID_FIELD));
    driver.send(m, mtu(9000)).unwrap();
    let mac = |mac| SetMac { mac, rsvd: [0; 2] };
    assert_eq!(driver.send(m, mac([0; 6])), Err(Status::INVALID_FIELD));
    assert_eq!(
        driver.send(m, mac([3, 0, 0, 0, 0, 0])),
        Err(Status::INVALID_FIELD)
    );
    driver.send(m, mac([2, 0, 0, 0, 0, 7])).unwrap();
    let about = driver.send(m, QueryFunction {}).unwrap();
    assert_eq!((about.mac, about.mtu.get()), ([2, 0, 0, 0, 0, 7], 9000));
    m.device.reset_function(&mut m.host, PciFn::PF);
    m.advance(1_000_000);
    let mut driver = Driver::start(m, PciFn::PF);
    let about = driver.send(m, QueryFunction {}).unwrap();
    assert_eq!((about.mac, about.mtu.get()), (Config::default().mac, 1500));
}

#[test]
fn receive_filter_takes_as_many_addresses_as_fit() {
    let (mut machine, mut driver) = start();
    let filter = RxFilter {
        addresses: [[3; 6]; MAX_RX_FILTER],
    };
    let mode = |mode, count| SetRxMode {
        mode: U16::new(mode),
        count: U16::new(count),
    };
    driver
        .send_with(&mut machine, mode(0, 128), &filter)
        .unwrap();
    driver.send_with(&mut machine, mode(3, 0), &filter).unwrap();
    assert_eq!(
        driver.send_with(&mut machine, mode(0, 129), &filter),
        Err(Status::INVALID_FIELD)
    );
    assert_eq!(
        driver.send_with(&mut machine, mode(4, 0), &filter),
        Err(Status::INVALID_FIELD)
    );
    // The buffer may be as short as the addresses that count.
    driver.send(&mut machine, mode(0, 0)).unwrap();
    let mut short = driver.with_data(mode(0, 2));
    short.data_len = U32::new(12);
    assert_eq!(driver.call(&mut machine, &short).status.get(), Status::OK.0);
    short.data_len = U32::new(11);
    assert_eq!(
        driver.call(&mut machine, &short).status.get(),
        Status::SHORT_BUFFER.0
    );
}

#[test]
fn scaling_is_checked() {
    let (mut machine, mut driver) = start();
    let mut table = RssTable {
        key: [1; RSS_KEY],
        queues: [U16::new(7); MAX_RSS_TABLE],
    };
    let rss = |hash, entries| SetRss {
        hash: U16::new(hash),
        entries: U16::new(entries),
        ..SetRss::default()
    };
    let m = &mut machine;
    driver.send_with(m, rss(15, 256), &table).unwrap();
    driver.send_with(m, rss(0, 0), &table).unwrap();
    assert_eq!(
        driver.send_with(m, rss(17, 256), &table),
        Err(Status::INVALID_FIELD)
    );
    assert_eq!(
        driver.send_with(m, rss(1, 0), &table),
        Err(Status::INVALID_FIELD)
    );
    assert_eq!(
        driver.send_with(m, rss(1, 100), &table),
        Err(Status::INVALID_FIELD)
    );
    assert_eq!(
        driver.send_with(m, rss(1, 512), &table),
        Err(Status::INVALID_FIELD)
    );
    table.queues[3] = U16::new(8);
    assert_eq!(
        driver.send_with(m, rss(1, 4), &table),
        Err(Status::INVALID_FIELD)
    );
    driver.send_with(m, rss(1, 2), &table).unwrap();
}

#[test]
fn queues_are_created_and_destroyed_once() {
    let (mut machine, mut driver) = start();
    let m = &mut machine;
    let rings = Rings::unborn(PciFn::PF, m, QueueKind::TX, 7, 6);
    let good = rings.command(QueueKind::TX, 7);
    let name = DestroyQueue {
        kind: good.kind,
        index: good.index,
    };
    let query = QueryQueue {
        kind: good.kind,
        index: good.index,
    };
    assert_eq!(driver.send(m, name), Err(Status::BAD_STATE));
    driver.send(m, good).unwrap();
    assert_eq!(driver.send(m, good), Err(Status::IN_USE));
    let done = driver.send(m, query).unwrap();
    assert_eq!(
        (done.head.get(), done.cq_tail.get(), done.syndrome.get()),
        (0, 0, 0)
    );
    driver.send(m, name).unwrap();
    assert_eq!(driver.send(m, name), Err(Status::BAD_STATE));
    assert_eq!(driver.send(m, query).err(), Some(Status::BAD_STATE));
    driver.send(m, good).unwrap();
}

#[test]
fn queue_parameters_are_checked() {
    let (mut machine, mut driver) = start();
    let rings = Rings::unborn(PciFn::PF, &mut machine, QueueKind::RX, 0, 6);
    let mut status = |change: fn(&mut CreateQueue)| {
        let mut command = rings.command(QueueKind::RX, 0);
        change(&mut command);
        driver.send(&mut machine, command)
    };
    let bad = Err(Status::INVALID_FIELD);
    assert_eq!(status(|queue| queue.ring_addr = U64::new(0)), bad);
    assert_eq!(status(|queue| queue.cq_addr = U64::new(32)), bad);
    assert_eq!(status(|queue| queue.state_addr = U64::new(0)), bad);
    assert_eq!(
        status(|queue| queue.ring_addr = U64::new(u64::MAX - 63)),
        bad
    );
    assert_eq!(status(|queue| queue.kind = U16::new(2)), bad);
    assert_eq!(status(|queue| queue.index = U16::new(8)), bad);
    assert_eq!(status(|queue| queue.vector = U16::new(256)), bad);
    assert_eq!(status(|queue| queue.depth_log2 = 3), bad);
    assert_eq!(status(|queue| queue.depth_log2 = 14), bad);
    assert_eq!(status(|queue| queue.flags = 8), bad);
    assert_eq!(
        status(|queue| queue.state_addr = U64::new(1 << 40)),
        Err(Status::DMA_FAULT)
    );
    assert_eq!(status(|_| {}), Ok(()));
}

#[test]
fn link_is_that_of_the_uplink_and_changes_are_told() {
    let (mut machine, mut driver) = start();
    driver.create_event_queue(&mut machine);
    let link = driver.send(&mut machine, QueryLink {}).unwrap();
    assert_eq!((link.speed.get(), link.up), (25_000, 1));
    machine.host.raised.clear();
    machine.device.set_uplink(&mut machine.host, false);
    machine.device.set_uplink(&mut machine.host, false);
    let events = driver.events(&mut machine);
    assert_eq!(events.len(), 1);
    let change: LinkChange = events[0].payload().unwrap();
    assert_eq!((change.speed.get(), change.up), (0, 0));
    assert_eq!(machine.host.raised, [(PciFn::PF, 0)]);
    let link = driver.send(&mut machine, QueryLink {}).unwrap();
    assert_eq!((link.speed.get(), link.up), (0, 0));
}

#[test]
fn full_event_queue_shows_the_gap_in_the_sequence() {
    let (mut machine, mut driver) = start();
    driver.create_event_queue(&mut machine);
    let entries = driver.depth.entries();
    for n in 0..entries + 6 {
        machine.device.set_uplink(&mut machine.host, n % 2 == 1);
    }
    let sequences: Vec<_> = driver
        .events(&mut machine)
        .iter()
        .map(|event| event.sequence())
        .collect();
    assert_eq!(sequences, (0..entries).collect::<Vec<_>>());
    machine.device.set_uplink(&mut machine.host, false);
    let events = driver.events(&mut machine);
    assert_eq!(
        events
            .iter()
            .map(|event| event.sequence())
            .collect::<Vec<_>>(),
        [entries + 6]
    );
}

#[test]
fn pf_is_told_of_vfs_and_their_drivers() {
    let (mut machine, mut driver) = start();
    driver.create_event_queue(&mut machine);
    machine.set_vfs(1);
    let mut vf = Driver::start(&mut machine, VF);
    vf.send(&mut machine, echo(0)).unwrap();
    machine.write(VF, AdminControl(0));
    machine.set_vfs(0);
    let states: Vec<_> = driver
        .events(&mut machine)
        .iter()
        .map(|event| {
            assert_eq!(event.kind.get(), EventKind::FUNCTION_CHANGE.0);
            assert_eq!(event.function.get(), 1);
            FunctionState(event.payload::<FunctionChange>().unwrap().state.get())
        })
        .collect();
    let expected = [
        FunctionState::ACTIVE,
        FunctionState::IN_USE,
        FunctionState::ACTIVE,
        FunctionState::ABSENT,
    ];
    assert_eq!(states, expected);
}

#[test]
fn event_queue_is_created_once_and_destroyed_once() {
    let (mut machine, mut driver) = start();
    assert_eq!(
        driver.send(&mut machine, DestroyEventQueue {}),
        Err(Status::BAD_STATE)
    );
    driver.create_event_queue(&mut machine);
    let again = CreateEventQueue {
        ring_addr: U64::new(0x20_0000),
        vector: U16::new(0),
        depth_log2: 6,
        rsvd: [0; 5],
    };
    assert_eq!(driver.send(&mut machine, again), Err(Status::IN_USE));
    driver.send(&mut machine, DestroyEventQueue {}).unwrap();
    machine.device.set_uplink(&mut machine.host, false);
    assert_eq!(driver.events(&mut machine).len(), 0);
    for bad in [
        CreateEventQueue {
            ring_addr: U64::new(0),
            ..again
        },
        CreateEventQueue {
            ring_addr: U64::new(0x20_0020),
            ..again
        },
        CreateEventQueue {
            vector: U16::new(256),
            ..again
        },
        CreateEventQueue {
            depth_log2: 14,
            ..again
        },
        CreateEventQueue {
            rsvd: [1; 5],
            ..again
        },
    ] {
        assert_eq!(
            driver.send(&mut machine, bad),
            Err(Status::INVALID_FIELD),
            "{bad:?}"
        );
    }
    driver.send(&mut machine, again).unwrap();
}

#[test]
fn pf_configures_a_vf_by_its_id() {
    let (mut machine, mut driver) = start();
    machine.set_vfs(1);
    let mac = SetMac {
        mac: [2, 0, 0, 0, 0, 9],
        rsvd: [0; 2],
    };
    let id = FunctionId::vf(0).unwrap();
    // A port that nobody uses has nobody to change it for.
    let completion = driver.call(&mut machine, &Submission::new(1, id, mac));
    assert_eq!(completion.status.get(), Status::BAD_STATE.0);
    let mut vf = Driver::start(&mut machine, VF);
    let completion = driver.call(&mut machine, &Submission::new(2, id, mac));
    assert_eq!(completion.status.get(), Status::OK.0);
    assert_eq!(Opcode(completion.opcode.get()), Opcode::SET_MAC);
    assert_eq!(
        vf.send(&mut machine, QueryFunction {}).unwrap().mac,
        [2, 0, 0, 0, 0, 9]
    );
}
