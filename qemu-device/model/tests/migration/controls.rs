// SPDX-License-Identifier: GPL-2.0

//! Registers by which a VF is suspended and resumed, on devices that have them.

use ferrite_abi::cmd::MigrationCaps;
use ferrite_abi::regs::MigrationControl;

use super::*;

fn with_controls(on: bool) -> (Machine, Driver) {
    let mut m = Machine::new(Config {
        max_vfs: 2,
        vf_controls: on,
        ..Config::default()
    });
    m.set_vfs(2);
    let mut pf = Driver::start(&mut m, PciFn::PF);
    pf.make_migratable(&mut m, VF[0]);
    (m, pf)
}

fn info(m: &mut Machine, pf: &mut Driver) -> MigrationInfo {
    pf.fetch_about(m, VF[0], QueryMigration {}).unwrap().1
}

fn set(m: &mut Machine, vf: u16, level: SuspendLevel) {
    m.write(PciFn::vf(vf), MigrationControl(level.0.into()));
}

fn read(m: &mut Machine, vf: u16) -> u32 {
    m.read::<MigrationControl>(PciFn::vf(vf)).level()
}

#[test]
fn register_suspends_and_resumes_its_vf() {
    let (mut m, mut pf) = with_controls(true);
    let caps = MigrationCaps(info(&mut m, &mut pf).caps.get());
    assert!(caps.contains(MigrationCaps::VF_CONTROLS));
    for level in [
        SuspendLevel::INITIATOR,
        SuspendLevel::FULL,
        SuspendLevel::INITIATOR,
        SuspendLevel::RUNNING,
        SuspendLevel::FULL,
        SuspendLevel::RUNNING,
    ] {
        set(&mut m, 0, level);
        assert_eq!(read(&mut m, 0), u32::from(level.0));
        assert_eq!(info(&mut m, &mut pf).level.get(), level.0);
    }
    pf.suspend(&mut m, VF[0], SuspendLevel::FULL).unwrap();
    assert_eq!(read(&mut m, 0), u32::from(SuspendLevel::FULL.0));
}

#[test]
fn what_the_pf_would_be_refused_has_no_effect() {
    let (mut m, mut pf) = with_controls(true);
    // No level, a VF that is not to be moved, and the PF.
    m.write(PciFn::vf(0), MigrationControl(3));
    set(&mut m, 1, SuspendLevel::FULL);
    m.write(PciFn::PF, MigrationControl(2));
    assert_eq!((read(&mut m, 0), read(&mut m, 1)), (0, 0));
    assert_eq!(m.read::<MigrationControl>(PciFn::PF).0, 0);
    // One that is loaded stands still.
    pf.suspend(&mut m, VF[0], SuspendLevel::FULL).unwrap();
    pf.send_about(&mut m, VF[0], BeginLoad {}).unwrap();
    set(&mut m, 0, SuspendLevel::RUNNING);
    assert_eq!(read(&mut m, 0), u32::from(SuspendLevel::FULL.0));
}

#[test]
fn other_devices_have_no_such_register() {
    let (mut m, mut pf) = with_controls(false);
    let caps = MigrationCaps(info(&mut m, &mut pf).caps.get());
    assert!(!caps.contains(MigrationCaps::VF_CONTROLS));
    set(&mut m, 0, SuspendLevel::FULL);
    assert_eq!(read(&mut m, 0), 0);
    assert_eq!(info(&mut m, &mut pf).level.get(), SuspendLevel::RUNNING.0);
    pf.suspend(&mut m, VF[0], SuspendLevel::FULL).unwrap();
    assert_eq!(read(&mut m, 0), 0);
}
