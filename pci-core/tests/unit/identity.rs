// SPDX-License-Identifier: GPL-2.0

//! Checks of what a device says of itself.

use ferrite_abi::cmd::QueryFunctionDone;
use ferrite_abi::ids::FunctionId;
use ferrite_abi::regs::{
    AbiVersion,
    Function,
    Limits,
    Magic,
    Status, //
};
use ferrite_abi::wire::U16;
use ferrite_core_logic::identity::{
    check_function,
    check_ready,
    check_registers,
    text,
    Basics,
    Unfit, //
};

use super::bench::Bench;

const BASICS: Basics = Basics {
    id: FunctionId::PF,
    vectors: 9,
    doorbell_pages: 4,
};

/// A bench whose registers are those of a PF.
fn pf() -> Bench {
    let bench = Bench::new();
    bench.set(Limits::default().with_vectors(9).with_doorbell_pages(4));
    bench
}

#[test]
fn good_device_is_taken() {
    assert_eq!(check_registers(&pf()), Ok(BASICS));
}

#[test]
fn foreign_and_dead_devices_are_refused() {
    let bench = pf();
    bench.set(Magic(0x1234));
    assert_eq!(check_registers(&bench), Err(Unfit::Magic(0x1234)));
    bench.vanished.set(true);
    assert_eq!(check_registers(&bench), Err(Unfit::Vanished));
    assert_eq!(check_ready(&bench), Err(Unfit::Vanished));
}

#[test]
fn other_major_version_is_refused() {
    let bench = pf();
    bench.set(AbiVersion(0x0002_0000));
    let unfit = check_registers(&bench).unwrap_err();
    assert_eq!(unfit, Unfit::Version(0x0002_0000));
    assert_eq!(
        unfit.to_string(),
        "hardware contract is version 2.0, this driver knows 1.x"
    );
}

#[test]
fn bus_that_does_not_carry_what_is_written_is_refused() {
    let bench = pf();
    bench.stuck.set(1 << 31);
    let (wrote, read) = (0xaaaa_aaaa, 0x2aaa_aaaa);
    assert_eq!(check_registers(&bench), Err(Unfit::Scratch { wrote, read }));
}

#[test]
fn function_must_be_ready_and_well() {
    let bench = pf();
    let table = [
        (0b001, true),
        (0b000, false),
        (0b011, false),
        (0b101, false),
    ];
    for (status, ready) in table {
        bench.set(Status(status));
        assert_eq!(check_ready(&bench).is_ok(), ready, "{status:#05b}");
    }
    bench.set(Status(0));
    assert_eq!(check_ready(&bench), Err(Unfit::Inactive));
}

#[test]
fn function_id_and_limits_must_be_possible() {
    let bench = pf();
    bench.set(Function(0x00ff));
    assert_eq!(check_registers(&bench), Err(Unfit::Function(0x00ff)));
    bench.set(Function(1));
    for limits in [0x0000_0004, 0x0009_0000, 0x0801_0004] {
        bench.set(Limits(limits));
        assert_eq!(
            check_registers(&bench),
            Err(Unfit::Limits(limits)),
            "{limits:#010x}"
        );
    }
}

fn answer() -> QueryFunctionDone {
    QueryFunctionDone {
        mac: [2, 0, 0, 0, 0, 1],
        mtu: U16::new(1500),
        max_mtu: U16::new(9600),
        max_queues: U16::new(8),
        max_depth_log2: 13,
        ..QueryFunctionDone::default()
    }
}

/// Makes an answer impossible.
type Spoil = fn(&mut QueryFunctionDone);

#[test]
fn numbers_out_of_range_are_refused() {
    assert_eq!(check_function(&answer(), &BASICS), Ok(()));
    let table: [(&str, Spoil); 8] = [
        ("number of queues", |answer| answer.max_queues = U16::new(0)),
        ("number of queues", |answer| {
            answer.max_queues = U16::new(65)
        }),
        ("largest MTU", |answer| answer.max_mtu = U16::new(67)),
        ("largest MTU", |answer| answer.max_mtu = U16::new(9601)),
        ("MTU", |answer| {
            (answer.mtu, answer.max_mtu) = (U16::new(1501), U16::new(1500))
        }),
        ("largest queue depth", |answer| answer.max_depth_log2 = 3),
        ("largest queue depth", |answer| answer.max_depth_log2 = 14),
        ("doorbell page", |answer| answer.doorbell_page = U16::new(4)),
    ];
    for (name, spoil) in table {
        let mut answer = answer();
        spoil(&mut answer);
        match check_function(&answer, &BASICS) {
            Err(Unfit::Number { field, .. }) => assert_eq!(field, name),
            other => panic!("{name}: {other:?}"),
        }
    }
}

#[test]
fn text_is_printable_and_padded() {
    let table: [(&[u8], Option<&str>); 7] = [
        (b"FERR-1\0\0", Some("FERR-1")),
        (b"FERR-1", Some("FERR-1")),
        (b"two words\0", Some("two words")),
        (b"\0\0\0", None),
        (b"", None),
        (b"a\0b", None),
        (b"a\nb\0", None),
    ];
    for (field, expected) in table {
        assert_eq!(text(field), expected, "{field:?}");
    }
}
