// SPDX-License-Identifier: GPL-2.0

//! Levels of suspension, and who may ask for them.

use super::*;

#[test]
fn suspended_initiator_does_no_dma_and_answers() {
    let (mut m, mut pf, mut guest) = machine(1);
    guest.rx[0].post(&mut m, 8);
    guest
        .driver
        .submit(&mut m, &Submission::new(9, VF[0], Echo { value: 1.into() }));
    m.settle();
    pf.suspend(&mut m, VF[0], SuspendLevel::INITIATOR).unwrap();
    m.host.writes = Some(Vec::new());
    let raised = m.host.raised.len();
    guest.send(&mut m, b"held back");
    guest.arrive(&mut m, b"held back");
    guest.driver.submit(
        &mut m,
        &Submission::new(10, VF[0], Echo { value: 2.into() }),
    );
    m.write(PciFn::vf(0), Scratch(0x1234));
    m.device.set_uplink(&mut m.host, false);
    m.device.set_uplink(&mut m.host, true);
    m.advance(1_000_000_000);
    assert_eq!(m.read::<Scratch>(PciFn::vf(0)), Scratch(0x1234));
    assert_eq!(m.read::<StatusRegister>(PciFn::vf(0)).ready(), 1);
    let own = |(who, ..): &(PciFn, u64, usize)| *who == PciFn::vf(0);
    let writes = m.host.writes.take().unwrap();
    assert_eq!(writes.iter().filter(|write| own(write)).count(), 0);
    assert!(m.host.raised[raised..]
        .iter()
        .all(|(who, _)| *who == PciFn::PF));
    assert!(m.host.sent.is_empty());
    // All of it happens when it goes on.
    pf.resume(&mut m, VF[0], SuspendLevel::RUNNING).unwrap();
    m.settle();
    assert_eq!(m.host.sent.len(), 1);
    assert_eq!(guest.rx[0].reap(&mut m).len(), 1);
    assert!(guest.driver.poll(&mut m).is_some());
    assert_eq!(guest.driver.poll(&mut m).unwrap().tag.get(), 10);
    let events = guest.driver.events(&mut m);
    assert_eq!(events[0].kind.get(), EventKind::LINK_CHANGE.0);
    assert!(events[0].sequence() > 0, "no gap: {events:?}");
}

#[test]
fn stopped_function_does_not_change() {
    let (mut m, mut pf, mut guest) = machine(2);
    guest.rx[0].post(&mut m, 2);
    let before = saved(&mut m, &mut pf);
    pf.end_save(&mut m, VF[0]).unwrap();
    guest.send(&mut m, b"x");
    guest.rx[0].post(&mut m, 2);
    guest.arrive(&mut m, b"x");
    guest
        .driver
        .submit(&mut m, &Submission::new(9, VF[0], Echo { value: 1.into() }));
    for offset in (0..0x200).step_by(4) {
        m.write_at(PciFn::vf(0), offset, 0xffff_ffff);
        m.read_at(PciFn::vf(0), offset);
    }
    m.write(PciFn::vf(0), Control(1));
    m.ring(PciFn::vf(0), Doorbell::Tx(1));
    m.advance(1_000_000_000);
    let after = pf.save_part(&mut m, VF[0], SavePass::FINAL, 0).unwrap();
    let state = |stream: &[u8]| {
        let mut parts = parts(stream);
        for (tag, _, payload) in &mut parts {
            if [StreamTag::TX_STATE, StreamTag::RX_STATE].contains(tag) {
                // Time goes on.
                payload[16..24].fill(0);
            }
        }
        parts
    };
    assert_eq!(state(&before), state(&after));
}

#[test]
fn doorbells_that_were_rung_meanwhile_count() {
    let (mut m, mut pf, mut guest) = machine(1);
    pf.suspend(&mut m, VF[0], SuspendLevel::FULL).unwrap();
    guest.send(&mut m, b"x");
    guest
        .driver
        .submit(&mut m, &Submission::new(9, VF[0], Echo { value: 1.into() }));
    m.settle();
    assert!(m.host.sent.is_empty() && guest.driver.poll(&mut m).is_none());
    pf.resume(&mut m, VF[0], SuspendLevel::INITIATOR).unwrap();
    m.settle();
    assert!(m.host.sent.is_empty() && guest.driver.poll(&mut m).is_none());
    pf.resume(&mut m, VF[0], SuspendLevel::RUNNING).unwrap();
    m.settle();
    assert_eq!(m.host.sent.len(), 1);
    assert!(guest.driver.poll(&mut m).is_some());
}

#[test]
fn levels_are_kept_apart() {
    let (mut m, mut pf, _guest) = machine(1);
    let m = &mut m;
    let [vf, other] = VF;
    assert_eq!(
        pf.suspend(m, vf, SuspendLevel::RUNNING),
        Err(Status::INVALID_FIELD)
    );
    assert_eq!(
        pf.resume(m, vf, SuspendLevel::FULL),
        Err(Status::INVALID_FIELD)
    );
    for level_now in [SuspendLevel::INITIATOR, SuspendLevel::FULL] {
        assert_eq!(pf.suspend(m, vf, level_now), Ok(()));
        assert_eq!(pf.suspend(m, vf, level_now), Ok(()));
        assert_eq!(level(m, &mut pf, vf), level_now);
    }
    assert_eq!(
        pf.suspend(m, vf, SuspendLevel::INITIATOR),
        Err(Status::BAD_STATE)
    );
    assert_eq!(level(m, &mut pf, other), SuspendLevel::RUNNING);
    for level_now in [SuspendLevel::INITIATOR, SuspendLevel::RUNNING] {
        assert_eq!(pf.resume(m, vf, level_now), Ok(()));
        assert_eq!(pf.resume(m, vf, level_now), Ok(()));
        assert_eq!(level(m, &mut pf, vf), level_now);
    }
}

#[test]
fn vf_moves_nobody() {
    let (mut m, mut pf, mut guest) = machine(1);
    let suspend = SuspendFunction {
        level: U16::new(SuspendLevel::FULL.0),
        rsvd: [0; 2],
    };
    for target in [VF[0], VF[1], FunctionId::PF] {
        let refused = guest.driver.send_about(&mut m, target, suspend);
        assert_eq!(refused, Err(Status::NOT_PERMITTED), "{target:?}");
        let refused = guest.driver.send_about(&mut m, target, BeginLoad {});
        assert_eq!(refused, Err(Status::NOT_PERMITTED), "{target:?}");
    }
    assert_eq!(level(&mut m, &mut pf, VF[0]), SuspendLevel::RUNNING);
}

#[test]
fn only_migratable_vfs_are_moved() {
    let mut m = Machine::new(config());
    m.set_vfs(1);
    let mut pf = Driver::start(&mut m, PciFn::PF);
    let m = &mut m;
    let full = SuspendLevel::FULL;
    assert_eq!(pf.suspend(m, VF[0], full), Err(Status::NOT_PERMITTED));
    assert_eq!(
        pf.suspend(m, FunctionId::PF, full),
        Err(Status::INVALID_FUNCTION)
    );
    assert_eq!(
        pf.suspend(m, FunctionId(0x100), full),
        Err(Status::INVALID_FUNCTION)
    );
    pf.make_migratable(m, VF[0]);
    let inactive = SetFunctionState {
        state: U16::new(FunctionState::INACTIVE.0),
        rsvd: [0; 2],
    };
    pf.send_about(m, VF[0], inactive).unwrap();
    assert_eq!(pf.suspend(m, VF[0], full), Err(Status::BAD_STATE));
}

#[test]
fn virtio_device_is_not_moved() {
    let (mut m, mut pf, _guest) = machine(0);
    let m = &mut m;
    let create = CreateVirtio {
        features: U64::new(virtio::NEEDED),
        pairs: U16::new(1),
        mtu: U16::new(1500),
        ..CreateVirtio::default()
    };
    pf.send_about(m, VF[0], create).unwrap();
    let refused = pf.suspend(m, VF[0], SuspendLevel::FULL);
    assert_eq!(refused, Err(Status::NOT_SUPPORTED));
    let refused = pf.save_part(m, VF[0], SavePass::SETUP, 0);
    assert_eq!(refused, Err(Status::NOT_SUPPORTED));
    pf.send_about(m, VF[0], DestroyVirtio {}).unwrap();
    pf.suspend(m, VF[0], SuspendLevel::FULL).unwrap();
    assert_eq!(pf.send_about(m, VF[0], create), Err(Status::BAD_STATE));
}

#[test]
fn set_up_of_a_suspended_function_is_left_alone() {
    let (mut m, mut pf, _guest) = machine(1);
    let m = &mut m;
    pf.suspend(m, VF[0], SuspendLevel::INITIATOR).unwrap();
    let mtu = SetMtu {
        mtu: U16::new(1400),
        rsvd: [0; 2],
    };
    assert_eq!(pf.send_about(m, VF[0], mtu), Err(Status::BAD_STATE));
    let caps = ConfigureFunction {
        mask: U16::new(FunctionFields::CAPS.0),
        ..ConfigureFunction::default()
    };
    assert_eq!(pf.send_about(m, VF[0], caps), Err(Status::BAD_STATE));
    assert!(pf.send_about(m, VF[0], QueryFunction {}).is_ok());
    pf.resume(m, VF[0], SuspendLevel::RUNNING).unwrap();
    assert!(pf.send_about(m, VF[0], mtu).is_ok());
    // While it is saved it stays one that can be.
    pf.save_part(m, VF[0], SavePass::SETUP, 0).unwrap();
    assert_eq!(pf.send_about(m, VF[0], caps), Err(Status::BAD_STATE));
    pf.end_save(m, VF[0]).unwrap();
    assert!(pf.send_about(m, VF[0], caps).is_ok());
}

#[test]
fn resume_while_loading_is_refused() {
    let (mut m, mut pf, _guest) = machine(1);
    let m = &mut m;
    assert_eq!(
        pf.send_about(m, VF[1], BeginLoad {}).err(),
        Some(Status::BAD_STATE)
    );
    pf.suspend(m, VF[1], SuspendLevel::FULL).unwrap();
    pf.send_about(m, VF[1], BeginLoad {}).unwrap();
    let resume = ResumeFunction {
        level: U16::new(SuspendLevel::RUNNING.0),
        rsvd: [0; 2],
    };
    assert_eq!(
        pf.send_about(m, VF[1], resume).err(),
        Some(Status::BAD_STATE)
    );
    let end = EndLoad {
        commit: 0,
        rsvd: [0; 3],
    };
    pf.send_about(m, VF[1], end).unwrap();
    assert!(pf.send_about(m, VF[1], resume).is_ok());
}
