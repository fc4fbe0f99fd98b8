// SPDX-License-Identifier: GPL-2.0

//! The words in which a user orders a fault.

use ferrite_abi::cmd::FaultKind;
use ferrite_core_logic::fault::{
    parse,
    BadOrder,
    Order, //
};

/// Kind, opcode, skip, count, param.
type Words = (u16, u16, u32, u32, u32);

/// Reads an order to inject a fault.
fn injected(line: &str) -> Words {
    match parse(line) {
        Ok(Order::Inject(fault)) => (
            fault.kind.get(),
            fault.opcode.get(),
            fault.skip.get(),
            fault.count.get(),
            fault.param.get(),
        ),
        other => panic!("{line:?} is {other:?}"),
    }
}

#[test]
fn orders_are_read() {
    let table = [
        ("lose_completion opcode=0x0000 count=1\n", (1, 0, 0, 1, 0)),
        ("hang", (8, 0xffff, 0, 1, 0)),
        (
            "  WRONG_TAG\tparam=65535 skip=3 count=0 ",
            (4, 0xffff, 3, 0, 65535),
        ),
        (
            "delay_completion param=0xFFFFFFFF",
            (2, 0xffff, 0, 1, u32::MAX),
        ),
    ];
    for (line, fault) in table {
        assert_eq!(injected(line), fault, "{line:?}");
    }
    let Ok(Order::Inject(drawn)) = parse("corrupt_word chance=0x64 seed=7") else {
        panic!("refused");
    };
    assert_eq!((drawn.chance.get(), drawn.seed.get()), (100, 7));
    assert!(matches!(parse("clear\n"), Ok(Order::Clear)));
    for (name, kind) in FaultKind::NAMED {
        assert_eq!(injected(&name.to_ascii_lowercase()).0, *kind);
    }
}

#[test]
fn nonsense_is_refused() {
    let table = [
        ("", BadOrder::Empty),
        (" \n", BadOrder::Empty),
        ("melt", BadOrder::UnknownKind),
        ("clear all", BadOrder::BadWord),
        ("hang now", BadOrder::BadWord),
        ("hang when=1", BadOrder::BadWord),
        ("hang count=", BadOrder::BadWord),
        ("hang count=0x", BadOrder::BadWord),
        ("hang count=+1", BadOrder::BadWord),
        ("hang count=-1", BadOrder::BadWord),
        ("hang opcode=0x10000", BadOrder::OutOfRange),
        ("hang count=4294967296", BadOrder::OutOfRange),
    ];
    for (line, expected) in table {
        match parse(line) {
            Err(bad) => assert_eq!(bad, expected, "{line:?}"),
            Ok(order) => panic!("{line:?} is {order:?}"),
        }
    }
}
