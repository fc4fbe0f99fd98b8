// SPDX-License-Identifier: GPL-2.0

//! Admin commands with any contents, from the PF and a VF.

#![no_main]

use ferrite_abi::admin::Submission;
use ferrite_abi::cmd::COMMANDS;
use ferrite_abi::wire::{
    FromBytes,
    U16,
    U32,
    U64, //
};
use ferrite_model::testing::{
    Driver,
    FakeHost, //
};
use ferrite_model::PciFn;
use ferrite_model_fuzz::{
    disturb,
    machine,
    Bytes,
    MEMORY,
    RUNS, //
};
use libfuzzer_sys::fuzz_target;

/// Functions that there can be.
const FUNCTIONS: [u16; 10] = [0, 1, 2, 0x100, 0x101, 0x102, 0x8001, 0x8002, 0x8100, 0x8101];

fuzz_target!(|data: &[u8]| {
    let mut bytes = Bytes::new(data);
    let mut machine = machine();
    let mut drivers =
        [PciFn::PF, PciFn::vf(0)].map(|function| Driver::start(&mut machine, function));
    while !bytes.is_empty() {
        let choice = bytes.byte();
        let driver = &mut drivers[usize::from(choice & 1)];
        if choice & 0xf0 == 0xf0 {
            disturb(&mut machine, &mut bytes);
            machine.run(RUNS);
            continue;
        }
        let mut submission = Submission::read_from_bytes(&bytes.array::<64>()).unwrap();
        // Most entries are such that they get past the first check.
        if choice & 2 == 0 {
            let at = usize::from(bytes.byte()) % COMMANDS.len();
            let command = &COMMANDS[at];
            submission.opcode = U16::new(command.opcode.0);
            submission.rsvd = [0; 2];
            submission.rsvd2 = [0; 4];
            submission.params[command.sizes.0..].fill(0);
            let (addr, length) = if command.sizes.2 == 0 {
                (0, 0)
            } else {
                let addr = FakeHost::base() + u64::from(bytes.word()) % MEMORY as u64;
                (addr, command.sizes.2 as u32)
            };
            submission.data_addr = U64::new(addr);
            submission.data_len = U32::new(length);
            // Mostly one that can be there: PF, VFs, SFs, representors.
            submission.function = match choice & 0x0c {
                0 | 4 => U16::new(driver.id().0),
                8 => U16::new(FUNCTIONS[usize::from(bytes.byte()) % FUNCTIONS.len()]),
                _ => submission.function,
            };
            if choice & 8 == 0 {
                // Addresses that may be good, in the places where commands have them.
                for at in 0..3 {
                    let addr = FakeHost::base() + u64::from(bytes.half()) * 64 % MEMORY as u64;
                    if command.sizes.0 >= 40 || at == 0 && command.sizes.0 == 16 {
                        submission.params[8 * at..8 * at + 8].copy_from_slice(&addr.to_le_bytes());
                    }
                }
            }
        }
        driver.submit(&mut machine, &submission);
        machine.run(RUNS);
        // A driver may be slow to read completions.
        if choice & 0x40 == 0 {
            while driver.poll(&mut machine).is_some() {}
        }
    }
});
