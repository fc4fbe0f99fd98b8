// SPDX-License-Identifier: GPL-2.0

//! Registers: access kinds, reset values, what reads where nothing is.

use ferrite_abi::ids::FunctionId;
use ferrite_abi::regs::{
    Access,
    AdminControl,
    AdminError,
    AdminSize,
    AdminStatus,
    Control,
    Features,
    FeaturesHi,
    FeaturesLo,
    Function,
    Heartbeat,
    Limits,
    Magic,
    Scratch,
    ScratchNot,
    Status,
    REGISTERS, //
};
use ferrite_model::testing::{
    Driver,
    Machine, //
};
use ferrite_model::{
    Config,
    ConfigError,
    Device,
    GuestError,
    PciFn,
    Trace, //
};

const VF: PciFn = PciFn::vf(0);

fn machine() -> Machine {
    let mut machine = Machine::new(Config::default());
    machine.set_vfs(1);
    machine
}

#[test]
fn every_register_reads_as_its_reset_value() {
    let mut machine = machine();
    for function in [PciFn::PF, VF] {
        for register in REGISTERS {
            let value = machine.read_at(function, register.offset);
            if let Some(reset) = register.reset {
                assert_eq!(value, reset, "{} of {function:?}", register.name);
            }
        }
    }
}

#[test]
fn read_only_registers_ignore_writes_and_write_only_ones_read_zero() {
    let mut machine = machine();
    for register in REGISTERS {
        let before = machine.read_at(PciFn::PF, register.offset);
        match register.access {
            Access::Ro => {
                machine.write_at(PciFn::PF, register.offset, !before);
                assert_eq!(
                    machine.read_at(PciFn::PF, register.offset),
                    before,
                    "{}",
                    register.name
                );
                let blamed = Trace::GuestError {
                    function: PciFn::PF,
                    error: GuestError::ReadOnlyRegister,
                    value: register.offset.into(),
                };
                assert_eq!(machine.host.traces.last(), Some(&blamed));
            }
            Access::Wo => assert_eq!(before, 0, "{}", register.name),
            Access::Rw => {}
        }
    }
}

#[test]
fn reserved_bits_of_a_register_stay_zero() {
    let mut machine = machine();
    machine.write_at(PciFn::PF, 0x110, u32::MAX);
    assert_eq!(machine.read::<AdminSize>(PciFn::PF), AdminSize(0xf));
    machine.write_at(PciFn::PF, 0x114, u32::MAX);
    assert_eq!(machine.read_at(PciFn::PF, 0x114), 0x8000_ffff);
}

#[test]
fn scratch_holds_and_is_complemented_for_each_function() {
    let mut machine = machine();
    machine.write(PciFn::PF, Scratch(0x1234_5678));
    machine.write(VF, Scratch(0x9abc_def0));
    assert_eq!(machine.read::<Scratch>(PciFn::PF), Scratch(0x1234_5678));
    assert_eq!(machine.read::<ScratchNot>(VF), ScratchNot(0x6543_210f));
}

#[test]
fn other_widths_and_unaligned_accesses_read_ones_and_write_nothing() {
    let mut machine = machine();
    let Machine { device, host, .. } = &mut machine;
    assert_eq!(device.reg_read(host, PciFn::PF, 0, 1), 0xff);
    assert_eq!(device.reg_read(host, PciFn::PF, 0, 2), 0xffff);
    assert_eq!(device.reg_read(host, PciFn::PF, 0, 8), u64::MAX);
    assert_eq!(device.reg_read(host, PciFn::PF, 2, 4), 0xffff_ffff);
    device.reg_write(host, PciFn::PF, 0x28, 2, 0xffff);
    device.reg_write(host, PciFn::PF, 0x2a, 4, 0xffff);
    device.reg_write(host, PciFn::PF, 0x28, 8, 0xffff);
    assert_eq!(machine.read::<Scratch>(PciFn::PF), Scratch(0));
}

#[test]
fn offsets_without_register_read_zero() {
    let mut machine = machine();
    for offset in [0x34, 0xfc, 0x12c, 0x3ffc] {
        assert_eq!(machine.read_at(PciFn::PF, offset), 0);
    }
}

#[test]
fn identity_tells_functions_apart() {
    let mut machine = machine();
    assert_eq!(
        machine.read::<Function>(PciFn::PF).id(),
        u32::from(FunctionId::PF.0)
    );
    assert_eq!(machine.read::<Function>(VF).id(), 1);
    assert_eq!(machine.read::<Limits>(PciFn::PF), Limits(256 << 16 | 4096));
    assert_eq!(machine.read::<Limits>(VF), Limits(16 << 16 | 1));
    let mut features = |function| {
        let lo = machine.read::<FeaturesLo>(function);
        Features::join(lo, machine.read::<FeaturesHi>(function))
    };
    assert!(features(PciFn::PF).contains(Features::SRIOV));
    assert!(!features(VF).contains(Features::SRIOV));
    assert!(!features(PciFn::PF).contains(Features::FAULTS));
}

#[test]
fn heartbeat_counts_ten_times_a_second() {
    let mut machine = machine();
    let before = machine.read::<Heartbeat>(PciFn::PF).count();
    machine.advance(1_000_000_000);
    assert_eq!(machine.read::<Heartbeat>(PciFn::PF).count(), before + 10);
}

#[test]
fn absent_vf_reads_as_all_ones() {
    let mut machine = machine();
    assert_eq!(machine.read::<Magic>(PciFn::vf(1)), Magic(u32::MAX));
    assert_eq!(machine.read::<Magic>(PciFn(u16::MAX)), Magic(u32::MAX));
    machine.set_vfs(0);
    assert_eq!(machine.read::<Magic>(VF), Magic(u32::MAX));
}

#[test]
fn function_in_reset_reads_as_all_ones_and_then_is_ready() {
    let mut machine = machine();
    machine.write(PciFn::PF, Scratch(7));
    machine.write(PciFn::PF, Control(1));
    assert_eq!(machine.read::<Status>(PciFn::PF), Status(u32::MAX));
    assert_eq!(
        machine.read::<Magic>(VF),
        Magic(0x5252_4546),
        "the VF is not in reset"
    );
    machine.write(PciFn::PF, Scratch(8));
    machine.advance(1_000_000);
    assert_eq!(machine.read::<Status>(PciFn::PF), Status(1));
    assert_eq!(machine.read::<Scratch>(PciFn::PF), Scratch(0));
}

#[test]
fn admin_registers_are_fixed_while_the_queue_runs() {
    let mut machine = machine();
    let driver = Driver::start(&mut machine, PciFn::PF);
    assert_eq!(machine.read::<AdminStatus>(PciFn::PF), AdminStatus(1));
    machine.write_at(PciFn::PF, 0x100, 0);
    assert_eq!(u64::from(machine.read_at(PciFn::PF, 0x100)), driver.sq);
    machine.write(PciFn::PF, AdminControl(0));
    machine.write_at(PciFn::PF, 0x100, 0);
    assert_eq!(machine.read_at(PciFn::PF, 0x100), 0);
}

#[test]
fn bad_admin_setup_is_reported_and_can_be_mended() {
    for (offset, value) in [(0x110, 3), (0x110, 9), (0x100, 0x40_0010), (0x108, 0)] {
        let mut machine = machine();
        for (offset, value) in [(0x100, 0x40_0000), (0x108, 0x41_0000), (0x110, 4)] {
            machine.write_at(PciFn::PF, offset, value);
        }
        let good = machine.read_at(PciFn::PF, offset);
        machine.write_at(PciFn::PF, offset, value);
        machine.write(PciFn::PF, AdminControl(1));
        let status = machine.read::<AdminStatus>(PciFn::PF);
        assert_eq!(
            status.error(),
            u32::from(AdminError::BAD_SETUP.0),
            "{offset:#x}"
        );
        assert_eq!(status.enabled(), 0);
        machine.write(PciFn::PF, AdminControl(0));
        machine.write_at(PciFn::PF, offset, good);
        machine.write(PciFn::PF, AdminControl(1));
        assert_eq!(machine.read::<AdminStatus>(PciFn::PF), AdminStatus(1));
    }
}

#[test]
fn impossible_setups_are_refused_with_a_reason() {
    let refuse = |change: fn(&mut Config)| {
        let mut config = Config::default();
        change(&mut config);
        Device::new(config).expect_err("accepted").to_string()
    };
    assert_eq!(
        refuse(|config| config.num_queues = 65),
        "num_queues is 65, must be 1 to 64"
    );
    assert_eq!(
        refuse(|config| config.max_vfs = 65),
        "max_vfs is 65, must be 0 to 64"
    );
    assert_eq!(
        refuse(|config| config.max_sfs = 1025),
        "max_sfs is 1025, must be 0 to 1024"
    );
    assert_eq!(
        refuse(|config| config.pf_vectors = 1),
        "vectors is 1, must be 2 to 2048"
    );
    assert_eq!(
        refuse(|config| config.mac = [1, 0, 0, 0, 0, 0]),
        "mac 01:00:00:00:00:00 is zero or multicast"
    );
    assert!(refuse(|config| config.serial = "a b".into()).starts_with("serial must be"));
    assert_eq!(
        refuse(|config| config.fault_script = "hang".into()),
        "fault_script needs faults=on"
    );
    let mut config = Config {
        faults: true,
        ..Config::default()
    };
    config.fault_script = "hang:skip=x".into();
    let error = Device::new(config).expect_err("accepted");
    assert!(matches!(error, ConfigError::FaultScript(_)));
    assert_eq!(
        error.to_string(),
        "fault_script: the value in 'skip=x' cannot be read"
    );
}
