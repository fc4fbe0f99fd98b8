// SPDX-License-Identifier: GPL-2.0

//! Images are written to the slot that is not running, and run after an activation.

use ferrite_abi::admin::{
    Opcode,
    Status,
    Submission, //
};
use ferrite_abi::cmd::{
    ActivateFirmware,
    BeginFlash,
    EndFlash,
    FaultKind,
    FirmwareInfo,
    FlashChunk,
    FlashOverwrite,
    Identify,
    InjectFault,
    QueryFirmware,
    QueryLink,
    ReadCrash,
    WriteFlash,
    ANY_OPCODE,
    CRASH_COMMANDS, //
};
use ferrite_abi::firmware::{
    FirmwareComponent,
    ImageFault,
    MAX_IMAGE, //
};
use ferrite_abi::ids::FunctionId;
use ferrite_abi::regs::{
    Control,
    FirmwareVersion, //
};
use ferrite_abi::wire::{
    U16,
    U32, //
};
use ferrite_model::testing::{
    image,
    Driver,
    Machine, //
};
use ferrite_model::{
    Config,
    PciFn,
    FIRMWARE, //
};

const NEW: u32 = FirmwareVersion(0).with_major(2).with_minor(3).0;

fn start() -> (Machine, Driver) {
    let mut machine = Machine::new(Config::default());
    let driver = Driver::start(&mut machine, PciFn::PF);
    (machine, driver)
}

fn begin(component: u16, overwrite: FlashOverwrite, length: usize) -> BeginFlash {
    BeginFlash {
        component: U16::new(component),
        overwrite: U16::new(overwrite.0),
        length: U32::new(length as u32),
    }
}

fn write(
    machine: &mut Machine,
    driver: &mut Driver,
    offset: usize,
    part: &[u8],
) -> Result<(), Status> {
    let mut chunk = FlashChunk { bytes: [0; 4096] };
    chunk.bytes[..part.len()].copy_from_slice(part);
    let command = WriteFlash {
        offset: U32::new(offset as u32),
        length: U32::new(part.len() as u32),
    };
    driver.send_with(machine, command, &chunk)
}

fn flash(
    machine: &mut Machine,
    driver: &mut Driver,
    overwrite: FlashOverwrite,
    bytes: &[u8],
) -> ImageFault {
    driver
        .send(machine, begin(0, overwrite, bytes.len()))
        .unwrap();
    for (nth, part) in bytes.chunks(4096).enumerate() {
        write(machine, driver, nth * 4096, part).unwrap();
    }
    let verdict = driver.send(machine, EndFlash {}).unwrap();
    ImageFault(verdict.fault.get())
}

fn info(machine: &mut Machine, driver: &mut Driver, component: u16) -> FirmwareInfo {
    let query = QueryFirmware {
        component: U16::new(component),
        rsvd: [0; 2],
    };
    driver.fetch(machine, query).unwrap().1
}

/// Resets the PF as its driver does, and starts anew.
fn reset(machine: &mut Machine) -> Driver {
    machine.write(PciFn::PF, Control::default().with_reset(1));
    machine.advance(10_000_000);
    Driver::start(machine, PciFn::PF)
}

#[test]
fn image_runs_after_its_activation() {
    let (mut machine, mut driver) = start();
    let bytes = image(FirmwareComponent::FIRMWARE, NEW, &[5; 10_000]);
    let fault = flash(&mut machine, &mut driver, FlashOverwrite(0), &bytes);
    assert_eq!(fault, ImageFault::NONE);
    let before = info(&mut machine, &mut driver, 0);
    assert_eq!(before.running.get(), FIRMWARE.0);
    assert_eq!(before.stored.get(), NEW);
    assert_eq!((before.running_slot, before.stored_slot), (0, 1));
    let (_, identity) = driver.fetch(&mut machine, Identify {}).unwrap();
    assert_eq!(&identity.fw_stored[..6], b"2.3.0\0");
    // A reset alone starts nothing.
    let mut driver = reset(&mut machine);
    assert_eq!(machine.read::<FirmwareVersion>(PciFn::PF).0, FIRMWARE.0);
    driver.send(&mut machine, ActivateFirmware {}).unwrap();
    assert_eq!(info(&mut machine, &mut driver, 0).activating, 1);
    let mut driver = reset(&mut machine);
    assert_eq!(machine.read::<FirmwareVersion>(PciFn::PF).0, NEW);
    let after = info(&mut machine, &mut driver, 0);
    assert_eq!((after.running_slot, after.activating), (1, 0));
    // What was not to be overwritten was not.
    assert_eq!((after.psid, after.board), (before.psid, before.board));
}

#[test]
fn power_on_starts_what_is_stored() {
    let (mut machine, mut driver) = start();
    let bytes = image(FirmwareComponent::FIRMWARE, NEW, &[]);
    let all = FlashOverwrite::SETTINGS.with(FlashOverwrite::IDENTIFIERS);
    assert_eq!(
        flash(&mut machine, &mut driver, all, &bytes),
        ImageFault::NONE
    );
    machine.device.reset(&mut machine.host);
    machine
        .device
        .set_bus_master(&mut machine.host, PciFn::PF, true);
    let mut driver = Driver::start(&mut machine, PciFn::PF);
    let info = info(&mut machine, &mut driver, 0);
    assert_eq!(info.running.get(), NEW);
    assert!(info.psid.starts_with(b"TEST-PSID\0"));
    assert!(info.board.starts_with(b"test-board\0"));
}

#[test]
fn components_have_slots_of_their_own() {
    let (mut machine, mut driver) = start();
    let boot = image(FirmwareComponent::BOOT, NEW, b"rom");
    let fault = flash(&mut machine, &mut driver, FlashOverwrite(0), &boot);
    assert_eq!(fault, ImageFault::COMPONENT);
    driver
        .send(&mut machine, begin(1, FlashOverwrite(0), boot.len()))
        .unwrap();
    write(&mut machine, &mut driver, 0, &boot).unwrap();
    driver.send(&mut machine, EndFlash {}).unwrap();
    assert_eq!(info(&mut machine, &mut driver, 1).stored.get(), NEW);
    assert_eq!(info(&mut machine, &mut driver, 0).stored.get(), FIRMWARE.0);
}

#[test]
fn what_cannot_be_is_refused() {
    let (mut machine, mut driver) = start();
    let none = FlashOverwrite(0);
    let refused = Err(Status::INVALID_FIELD);
    for command in [
        begin(2, none, 200),
        begin(0, FlashOverwrite(4), 200),
        begin(0, none, 127),
        begin(0, none, MAX_IMAGE as usize + 1),
    ] {
        assert_eq!(driver.send(&mut machine, command), refused);
    }
    let early = write(&mut machine, &mut driver, 0, &[1]);
    assert_eq!(early, Err(Status::BAD_STATE));
    assert!(matches!(
        driver.send(&mut machine, EndFlash {}),
        Err(Status::BAD_STATE)
    ));
    driver.send(&mut machine, begin(0, none, 200)).unwrap();
    for (offset, part) in [(1, 1), (0, 0), (0, 201)] {
        let result = write(&mut machine, &mut driver, offset, &vec![0; part]);
        assert_eq!(result, refused, "{part} bytes at {offset}");
    }
    write(&mut machine, &mut driver, 0, &[0; 150]).unwrap();
    assert_eq!(write(&mut machine, &mut driver, 0, &[0; 10]), refused);
    // A reset gives it up.
    let mut driver = reset(&mut machine);
    let late = write(&mut machine, &mut driver, 150, &[0; 50]);
    assert_eq!(late, Err(Status::BAD_STATE));
}

#[test]
fn what_the_firmware_did_before_it_stopped_is_kept() {
    let mut machine = Machine::new(Config {
        faults: true,
        ..Config::default()
    });
    let mut driver = Driver::start(&mut machine, PciFn::PF);
    let (_, dump) = driver.fetch(&mut machine, ReadCrash {}).unwrap();
    assert_eq!((dump.crashes.get(), dump.count.get()), (0, 0));
    for _ in 0..2 * CRASH_COMMANDS {
        driver.fetch(&mut machine, Identify {}).unwrap();
    }
    let fault = InjectFault {
        kind: U16::new(FaultKind::HANG.0),
        opcode: U16::new(ANY_OPCODE),
        count: U32::new(1),
        ..InjectFault::default()
    };
    driver.send(&mut machine, fault).unwrap();
    let last = Submission::new(0x1234, FunctionId::PF, QueryLink {});
    driver.submit(&mut machine, &last);
    machine.settle();
    let mut driver = reset(&mut machine);
    let (_, dump) = driver.fetch(&mut machine, ReadCrash {}).unwrap();
    assert_eq!(dump.crashes.get(), 1);
    assert_eq!(dump.count.get() as usize, CRASH_COMMANDS);
    assert_eq!(dump.firmware.get(), FIRMWARE.0);
    let [.., before, last] = dump.commands;
    assert_eq!(before.opcode.get(), Opcode::INJECT_FAULT.0);
    assert_eq!(before.status.get(), Status::OK.0);
    assert_eq!(last.opcode.get(), Opcode::QUERY_LINK.0);
    assert_eq!((last.tag.get(), last.status.get()), (0x1234, 0xffff));
    machine.migrate();
    let (_, again) = driver.fetch(&mut machine, ReadCrash {}).unwrap();
    assert_eq!(again.crashes.get(), 1);
}

#[test]
fn half_an_image_can_be_saved_and_loaded() {
    let (mut machine, mut driver) = start();
    let bytes = image(FirmwareComponent::FIRMWARE, NEW, &[9; 5000]);
    driver
        .send(&mut machine, begin(0, FlashOverwrite(0), bytes.len()))
        .unwrap();
    write(&mut machine, &mut driver, 0, &bytes[..4096]).unwrap();
    machine.migrate();
    write(&mut machine, &mut driver, 4096, &bytes[4096..]).unwrap();
    let verdict = driver.send(&mut machine, EndFlash {}).unwrap();
    assert_eq!(verdict.fault.get(), ImageFault::NONE.0);
}
