// SPDX-License-Identifier: GPL-2.0

//! Packets that are dropped are counted by cause, and handed to the driver that wants them.

use ferrite_abi::admin::Status;
use ferrite_abi::cmd::{
    QueryTraps,
    ReadTrapped,
    SetTrap,
    SetTrapPolicer,
    TrapAction,
    TrapCause,
    TrapStats,
    UPLINK, //
};
use ferrite_abi::event::PacketTrapped;
use ferrite_abi::wire::{
    U16,
    U32, //
};
use ferrite_model::testing::{
    frame,
    Driver,
    Machine, //
};
use ferrite_model::{
    Config,
    PciFn, //
};

fn start() -> (Machine, Driver) {
    let mut machine = Machine::new(Config::default());
    let mut driver = Driver::start(&mut machine, PciFn::PF);
    driver.create_event_queue(&mut machine);
    driver.open(&mut machine);
    (machine, driver)
}

fn set(cause: TrapCause, action: TrapAction, policer: u16) -> SetTrap {
    SetTrap {
        cause: U16::new(cause.0),
        action: U16::new(action.0),
        policer: U16::new(policer),
        rsvd: [0; 2],
    }
}

fn stats(machine: &mut Machine, driver: &mut Driver) -> TrapStats {
    driver.fetch(machine, QueryTraps {}).unwrap().1
}

/// A frame for somebody whom the device does not know.
fn stray() -> Vec<u8> {
    let mut bytes = frame::udp4(b"whom?");
    bytes[..6].copy_from_slice(&[2, 9, 9, 9, 9, 9]);
    bytes
}

#[test]
fn drops_are_counted_and_nothing_more_unless_it_is_asked_for() {
    let (mut machine, mut driver) = start();
    machine.receive(&stray());
    let told = stats(&mut machine, &mut driver);
    let place = usize::from(TrapCause::DESTINATION.0);
    assert_eq!(told.dropped[place].get(), 1);
    assert_eq!(told.dropped.iter().map(|count| count.get()).sum::<u64>(), 1);
    assert!(driver.events(&mut machine).is_empty());
    let nothing = driver.fetch(&mut machine, ReadTrapped {});
    assert_eq!(nothing.err(), Some(Status::BAD_STATE));
}

#[test]
fn packets_of_a_cause_are_handed_to_the_driver() {
    let (mut machine, mut driver) = start();
    let trap = set(TrapCause::DESTINATION, TrapAction::TRAP, 0);
    driver.send(&mut machine, trap).unwrap();
    machine.receive(&stray());
    machine.receive(&stray());
    let events = driver.events(&mut machine);
    assert_eq!(events.len(), 1, "one event until all are taken");
    let event: PacketTrapped = events[0].payload().unwrap();
    assert_eq!(event.cause.get(), TrapCause::DESTINATION.0);
    for left in [1, 0] {
        let (done, packet) = driver.fetch(&mut machine, ReadTrapped {}).unwrap();
        assert_eq!((done.port.get(), done.left.get()), (UPLINK, left));
        let length = usize::from(done.length.get());
        assert_eq!(packet.bytes[..length], stray());
    }
    machine.receive(&stray());
    assert_eq!(driver.events(&mut machine).len(), 1);
    let told = stats(&mut machine, &mut driver);
    assert_eq!(told.dropped.map(|count| count.get()), [0; 8]);
}

#[test]
fn policer_drops_what_is_too_much() {
    let (mut machine, mut driver) = start();
    let police = SetTrapPolicer {
        policer: U16::new(2),
        rsvd: [0; 2],
        rate: U32::new(1),
        burst: U32::new(3),
    };
    driver.send(&mut machine, police).unwrap();
    let trap = set(TrapCause::DESTINATION, TrapAction::TRAP, 2);
    driver.send(&mut machine, trap).unwrap();
    for _ in 0..5 {
        machine.receive(&stray());
    }
    let (done, _) = driver.fetch(&mut machine, ReadTrapped {}).unwrap();
    assert_eq!(done.left.get(), 2);
    let told = stats(&mut machine, &mut driver);
    assert_eq!(told.policed.map(|count| count.get()), [0, 2, 0, 0]);
}

#[test]
fn what_there_is_not_is_refused() {
    let (mut machine, mut driver) = start();
    for command in [
        set(TrapCause(99), TrapAction::TRAP, 0),
        set(TrapCause::RULE, TrapAction(2), 0),
        set(TrapCause::RULE, TrapAction::TRAP, 5),
    ] {
        let refused = driver.send(&mut machine, command);
        assert_eq!(refused, Err(Status::INVALID_FIELD));
    }
}

#[test]
fn what_waits_can_be_saved_and_loaded() {
    let (mut machine, mut driver) = start();
    let trap = set(TrapCause::DESTINATION, TrapAction::TRAP, 1);
    driver.send(&mut machine, trap).unwrap();
    machine.receive(&stray());
    machine.migrate();
    assert!(driver.fetch(&mut machine, ReadTrapped {}).is_ok());
}
