// SPDX-License-Identifier: GPL-2.0

//! Register accesses of any width, anywhere, in any order.

#![no_main]

use ferrite_abi::bar::DOORBELL_PAGE;
use ferrite_model_fuzz::{
    disturb,
    function,
    machine,
    Bytes,
    RUNS, //
};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let mut bytes = Bytes::new(data);
    let mut machine = machine();
    let latch = machine.device.doorbells();
    while !bytes.is_empty() {
        let choice = bytes.byte();
        let function = function(bytes.byte());
        let offset = u64::from(bytes.half()) % 0x400;
        // Mostly what the registers expect.
        let size = if choice & 0x80 == 0 {
            4
        } else {
            bytes.byte() % 10
        };
        let offset = if choice & 0x40 == 0 {
            offset & !3
        } else {
            offset
        };
        match choice % 4 {
            0 => {
                machine
                    .device
                    .reg_read(&mut machine.host, function, offset, size);
            }
            1 => {
                let value = bytes.word();
                machine
                    .device
                    .reg_write(&mut machine.host, function, offset, size, value.into());
            }
            2 => {
                let page = u64::from(bytes.byte()) * u64::from(DOORBELL_PAGE);
                if latch.ring(function, page + offset, bytes.word()) {
                    machine.host.scheduled = true;
                }
            }
            _ => disturb(&mut machine, &mut bytes),
        }
        machine.run(RUNS);
    }
});
